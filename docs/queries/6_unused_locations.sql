-- Locations that no photometer stands at.
SELECT l.place
FROM location_t AS l
LEFT OUTER JOIN tess_t AS i USING (location_id)
WHERE i.mac_address IS NULL;

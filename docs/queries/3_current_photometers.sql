-- The photometers as they are now. The view tess_v brings the name and the location along.
SELECT v.name AS "Name", v.mac_address AS "MAC", (v.latitude || ' ' || v.longitude) AS "Coordinates",
       (v.place || ', ' || v.town || ', ' || v.region) AS "Location", v.contact_email AS "User", v.zp1 AS "ZP",
       v.filter1 AS "Filter"
FROM tess_v AS v
WHERE v.valid_state = 'Current'
ORDER BY v.name ASC;

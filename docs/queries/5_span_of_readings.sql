-- The first and the last reading of each photometer.
SELECT i.mac_address, MIN(d.sql_date || 'T' || t.time || 'Z') AS earliest,
       MAX(d.sql_date || 'T' || t.time || 'Z') AS latest
FROM tess_readings_t AS r
JOIN tess_t AS i USING (tess_id)
JOIN location_t AS l ON l.location_id = r.location_id
JOIN date_t AS d USING (date_id)
JOIN time_t AS t USING (time_id)
GROUP BY i.mac_address;

-- All readings of one photometer, for a table: psql --csv -v name=stars1 -f 2_readings_of_a_photometer.sql
SELECT (d.julian_day + t.day_fraction) AS julian_day, (d.sql_date || 'T' || t.time) AS timestamp,
       r.sequence_number, l.place, i.mac_address, r.frequency, r.magnitude, i.zp1, r.sky_temperature,
       r.box_temperature
FROM tess_readings_t AS r
JOIN tess_t AS i USING (tess_id)
JOIN location_t AS l ON l.location_id = r.location_id
JOIN date_t AS d USING (date_id)
JOIN time_t AS t USING (time_id)
WHERE i.mac_address IN (SELECT mac_address FROM name_to_mac_t WHERE name = :'name')
ORDER BY r.date_id ASC, r.time_id ASC;

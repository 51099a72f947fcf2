-- Readings of each photometer, day by day.
SELECT d.sql_date, i.mac_address, count(*) AS readings
FROM tess_readings_t AS r
JOIN tess_t AS i USING (tess_id)
JOIN date_t AS d USING (date_id)
GROUP BY d.date_id, i.tess_id
ORDER BY d.sql_date DESC;

-- How the zero points and filters of photometers changed. One that lost its name has none here.
SELECT n.name AS "Name", i.zp1 AS "ZP", i.filter1 AS "Filter", i.valid_since AS "Since", i.valid_until AS "Until",
       i.valid_state AS "Change State"
FROM tess_t AS i
LEFT JOIN name_to_mac_t AS n ON n.mac_address = i.mac_address AND n.valid_state = 'Current'
ORDER BY n.name ASC, i.valid_since ASC;

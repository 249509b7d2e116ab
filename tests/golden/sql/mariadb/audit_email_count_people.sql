-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT people_vip.`_open`,
  people_vip.`_found`,
  people_vip.`_half`,
  count(*) AS count_1
FROM people_vip
GROUP BY people_vip.`_open`,
  people_vip.`_found`,
  people_vip.`_half`;

-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT extras_vip.`_in_first`,
  extras_vip.`_in_second`,
  extras_vip.`_open`,
  count(*) AS count_1
FROM extras_vip
GROUP BY extras_vip.`_in_first`,
  extras_vip.`_in_second`,
  extras_vip.`_open`;

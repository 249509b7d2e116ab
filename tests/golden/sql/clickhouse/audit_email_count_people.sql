-- clickhouse: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT `reverse_etl`.`people_vip`.`_open`,
  `reverse_etl`.`people_vip`.`_found`,
  `reverse_etl`.`people_vip`.`_half`,
  count(*) AS `count_1`
FROM `reverse_etl`.`people_vip`
GROUP BY `reverse_etl`.`people_vip`.`_open`,
  `reverse_etl`.`people_vip`.`_found`,
  `reverse_etl`.`people_vip`.`_half`;

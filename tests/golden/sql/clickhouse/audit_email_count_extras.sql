-- clickhouse: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT `reverse_etl`.`extras_vip`.`_in_first`,
  `reverse_etl`.`extras_vip`.`_in_second`,
  `reverse_etl`.`extras_vip`.`_open`,
  count(*) AS `count_1`
FROM `reverse_etl`.`extras_vip`
GROUP BY `reverse_etl`.`extras_vip`.`_in_first`,
  `reverse_etl`.`extras_vip`.`_in_second`,
  `reverse_etl`.`extras_vip`.`_open`;

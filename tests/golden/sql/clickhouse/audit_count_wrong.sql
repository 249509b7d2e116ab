-- clickhouse: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT `reverse_etl`.`audited_vip`.`_operation`,
  count(*) AS `count_1`
FROM `reverse_etl`.`audited_vip`
GROUP BY `reverse_etl`.`audited_vip`.`_operation`;

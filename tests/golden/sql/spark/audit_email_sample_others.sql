-- spark: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT `reverse_etl`.`extras_vip`.`_handle` AS `shown`
FROM `reverse_etl`.`extras_vip`
WHERE `reverse_etl`.`extras_vip`.`_in_first` = 1
    AND `reverse_etl`.`extras_vip`.`_open` IS NULL
    AND NOT (EXISTS (
  SELECT 1 AS `anon_1`
  FROM `reverse_etl`.`audited_vip`
  WHERE `reverse_etl`.`audited_vip`.`_identity` = `reverse_etl`.`extras_vip`.`_handle`
))
ORDER BY `shown`
LIMIT 10;

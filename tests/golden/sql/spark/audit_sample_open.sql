-- spark: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT `reverse_etl`.`left_open_vip`.`_identity`,
  `reverse_etl`.`left_open_vip`.`_origin`
FROM `reverse_etl`.`left_open_vip`
ORDER BY `reverse_etl`.`left_open_vip`.`_identity`
LIMIT 10;

-- clickhouse: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT `reverse_etl`.`audited_vip`.`_identity`
FROM `reverse_etl`.`audited_vip`
WHERE `reverse_etl`.`audited_vip`.`_operation` = 'delete'
ORDER BY `reverse_etl`.`audited_vip`.`_identity`
LIMIT 10;

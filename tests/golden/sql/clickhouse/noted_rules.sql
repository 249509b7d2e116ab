-- clickhouse: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT `reverse_etl`.`sync_state`.`sync_name`,
  `reverse_etl`.`sync_state`.`sync_log_retention_days`
FROM `reverse_etl`.`sync_state`
ORDER BY `reverse_etl`.`sync_state`.`sync_name`;

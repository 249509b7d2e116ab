-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT `sync_state`.`sync_name`,
  `sync_state`.`sync_log_retention_days`
FROM `reverse_etl`.`sync_state`
ORDER BY `sync_state`.`sync_name`;

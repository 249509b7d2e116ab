-- redshift: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT reverse_etl.sync_state.sync_name,
  reverse_etl.sync_state.sync_log_retention_days
FROM reverse_etl.sync_state
ORDER BY reverse_etl.sync_state.sync_name;

-- trino: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

UPDATE reverse_etl.sync_state
SET account_host='api.iterable.com',
  mapping='{}',
  committed_run_id=5,
  position=0,
  send_limit=30,
  requests_sent=0,
  snapshot_rows=NULL,
  changes_rows=NULL,
  sync_log_retention_days=30,
  due_after=TIMESTAMP '2030-01-02 03:04:05.000000'
WHERE reverse_etl.sync_state.sync_name = 'vip'
    AND reverse_etl.sync_state.lease_token = 7;

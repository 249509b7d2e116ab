-- trino: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

UPDATE reverse_etl.sync_state
SET alerts=reverse_etl.sync_state.alerts
WHERE reverse_etl.sync_state.sync_name = 'vip';

UPDATE reverse_etl.sync_state
SET alerts='{"5e0cc35bc4ea1d73": "failed"}'
WHERE reverse_etl.sync_state.sync_name = 'vip';

-- postgresql: only the text is compared here; the statement is executed on this engine
-- by tests/conformance and tests/acceptance. Lines are broken for reading.

UPDATE reverse_etl.sync_state
SET due_after='2030-01-02 03:04:05'
WHERE reverse_etl.sync_state.sync_name = 'vip'
    AND reverse_etl.sync_state.lease_token = 7;

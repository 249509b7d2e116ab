-- postgresql: only the text is compared here; the statement is executed on this engine
-- by tests/conformance and tests/acceptance. Lines are broken for reading.

UPDATE reverse_etl.sync_state
SET lease_expires_at=clock_timestamp() AT TIME ZONE 'UTC' + 30.0 * interval '1 second'
WHERE reverse_etl.sync_state.sync_name = 'vip'
    AND reverse_etl.sync_state.lease_token = 7;

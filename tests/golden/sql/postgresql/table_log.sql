-- postgresql: only the text is compared here; the statement is executed on this engine
-- by tests/conformance and tests/acceptance. Lines are broken for reading.

CREATE TABLE reverse_etl.sync_log ( sync_name VARCHAR, sync_run_id BIGINT, primary_key VARCHAR, identity VARCHAR, operation VARCHAR, status VARCHAR, error_code VARCHAR, error_reason VARCHAR, attempts BIGINT, sync_started_at TIMESTAMP WITHOUT TIME ZONE, sync_finished_at TIMESTAMP WITHOUT TIME ZONE );

-- trino: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

CREATE TABLE reverse_etl.sync_log ( sync_name VARCHAR, sync_run_id BIGINT, primary_key VARCHAR, identity VARCHAR, operation VARCHAR, status VARCHAR, error_code VARCHAR, error_reason VARCHAR, attempts BIGINT, sync_started_at TIMESTAMP(6), sync_finished_at TIMESTAMP(6) );

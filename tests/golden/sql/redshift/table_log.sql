-- redshift: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

CREATE TABLE reverse_etl.sync_log ( sync_name VARCHAR(65535), sync_run_id BIGINT, primary_key VARCHAR(65535), "identity" VARCHAR(65535), operation VARCHAR(65535), status VARCHAR(65535), error_code VARCHAR(65535), error_reason VARCHAR(65535), attempts BIGINT, sync_started_at TIMESTAMP WITHOUT TIME ZONE, sync_finished_at TIMESTAMP WITHOUT TIME ZONE );

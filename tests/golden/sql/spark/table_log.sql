-- spark: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

CREATE TABLE `reverse_etl`.`sync_log` ( `sync_name` STRING, `sync_run_id` BIGINT, `primary_key` STRING, `identity` STRING, `operation` STRING, `status` STRING, `error_code` STRING, `error_reason` STRING, `attempts` BIGINT, `sync_started_at` TIMESTAMP_NTZ, `sync_finished_at` TIMESTAMP_NTZ ) USING PARQUET PARTITIONED BY (`sync_name`, `sync_run_id`);

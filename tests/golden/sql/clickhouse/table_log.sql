-- clickhouse: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

CREATE TABLE `reverse_etl`.`sync_log` (`sync_name` Nullable(String), `sync_run_id` Nullable(Int64), `primary_key` Nullable(String), `identity` Nullable(String), `operation` Nullable(String), `status` Nullable(String), `error_code` Nullable(String), `error_reason` Nullable(String), `attempts` Nullable(Int64), `sync_started_at` Nullable(DateTime64(6, 'UTC')), `sync_finished_at` Nullable(DateTime64(6, 'UTC'))) ENGINE = MergeTree
ORDER BY (`sync_name`, `sync_run_id`) SETTINGS allow_nullable_key = 1;

-- clickhouse: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

CREATE TABLE `reverse_etl`.`outcomes_vip_5` (`seq` Nullable(Int64), `status` Nullable(String), `outcome` Nullable(String), `error_code` Nullable(String), `error_reason` Nullable(String), `retryable` Nullable(Bool), `attempts` Nullable(Int64)) ENGINE = MergeTree
ORDER BY (`seq`) SETTINGS allow_nullable_key = 1;

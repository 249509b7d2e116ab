-- spark: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

CREATE TABLE `reverse_etl`.`outcomes_vip_5` ( `seq` BIGINT, `status` STRING, `outcome` STRING, `error_code` STRING, `error_reason` STRING, `retryable` BOOLEAN, `attempts` BIGINT ) USING PARQUET;

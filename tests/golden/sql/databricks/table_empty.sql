-- databricks: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

CREATE TABLE reverse_etl.outcomes_vip_5 ( `seq` BIGINT, `status` STRING, `outcome` STRING, `error_code` STRING, `error_reason` STRING, `retryable` BOOLEAN, `attempts` BIGINT ) USING DELTA TBLPROPERTIES('delta.columnMapping.mode' = 'name');

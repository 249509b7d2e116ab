-- redshift: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

CREATE TABLE reverse_etl.outcomes_vip_5 ( "seq" BIGINT, "status" VARCHAR(65535), "outcome" VARCHAR(65535), "error_code" VARCHAR(65535), "error_reason" VARCHAR(65535), "retryable" BOOLEAN, "attempts" BIGINT );

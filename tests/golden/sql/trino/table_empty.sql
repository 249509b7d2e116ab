-- trino: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

CREATE TABLE reverse_etl.outcomes_vip_5 ( "seq" BIGINT, "status" VARCHAR, "outcome" VARCHAR, "error_code" VARCHAR, "error_reason" VARCHAR, "retryable" BOOLEAN, "attempts" BIGINT );

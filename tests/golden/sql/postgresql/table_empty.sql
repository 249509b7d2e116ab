-- postgresql: only the text is compared here; the statement is executed on this engine
-- by tests/conformance and tests/acceptance. Lines are broken for reading.

CREATE TABLE reverse_etl.outcomes_vip_5 ( "seq" BIGINT, "status" VARCHAR, "outcome" VARCHAR, "error_code" VARCHAR, "error_reason" VARCHAR, "retryable" BOOLEAN, "attempts" BIGINT );

-- duckdb: only the text is compared here; the statement is executed on this engine
-- by tests/conformance and tests/acceptance. Lines are broken for reading.

SELECT CAST(NULL AS BIGINT) AS seq,
  CAST(NULL AS VARCHAR) AS status,
  CAST(NULL AS VARCHAR) AS outcome,
  CAST(NULL AS VARCHAR) AS error_code,
  CAST(NULL AS VARCHAR) AS error_reason,
  CAST(NULL AS BOOLEAN) AS retryable,
  CAST(NULL AS BIGINT) AS attempts
WHERE false;

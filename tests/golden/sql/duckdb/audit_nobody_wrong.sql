-- duckdb: only the text is compared here; the statement is executed on this engine
-- by tests/conformance and tests/acceptance. Lines are broken for reading.

SELECT CAST(NULL AS VARCHAR) AS _identity,
  CAST(NULL AS VARCHAR) AS _alias,
  CAST(NULL AS VARCHAR) AS _primary_key,
  CAST(NULL AS VARCHAR) AS _operation
WHERE false;

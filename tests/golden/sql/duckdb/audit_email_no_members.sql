-- duckdb: only the text is compared here; the statement is executed on this engine
-- by tests/conformance and tests/acceptance. Lines are broken for reading.

SELECT CAST(NULL AS VARCHAR) AS email,
  CAST(NULL AS INTEGER) AS _reading
WHERE false;

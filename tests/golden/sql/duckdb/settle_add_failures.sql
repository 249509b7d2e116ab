-- duckdb: only the text is compared here; the statement is executed on this engine
-- by tests/conformance and tests/acceptance. Lines are broken for reading.

INSERT INTO reverse_etl.failed_records (sync_name, identity, primary_key, operation, error_code, error_reason, retryable, attempts, first_failed_run_id, last_failed_run_id, first_failed_at, last_failed_at, alias, unidentified, fields, retry_requested_at)
SELECT failures_vip."sync_name",
  failures_vip."identity",
  failures_vip."primary_key",
  failures_vip."operation",
  failures_vip."error_code",
  failures_vip."error_reason",
  failures_vip."retryable",
  failures_vip."attempts",
  failures_vip."first_failed_run_id",
  failures_vip."last_failed_run_id",
  failures_vip."first_failed_at",
  failures_vip."last_failed_at",
  failures_vip."alias",
  failures_vip."unidentified",
  failures_vip."fields",
  failures_vip."retry_requested_at"
FROM failures_vip;

-- duckdb: only the text is compared here; the statement is executed on this engine
-- by tests/conformance and tests/acceptance. Lines are broken for reading.

SELECT reverse_etl.sync_runs.sync_name,
  reverse_etl.sync_runs.status,
  reverse_etl.sync_runs.finished_at,
  reverse_etl.sync_runs.failed_records_open
FROM reverse_etl.sync_runs
JOIN (
  SELECT reverse_etl.sync_runs.sync_name AS sync_name,
    max(reverse_etl.sync_runs.sync_run_id) AS sync_run_id
  FROM reverse_etl.sync_runs
  WHERE reverse_etl.sync_runs.sync_name IN ('vip', 'people')
      AND reverse_etl.sync_runs.finished_at IS NOT NULL
  GROUP BY reverse_etl.sync_runs.sync_name
) AS newest ON reverse_etl.sync_runs.sync_name = newest.sync_name
    AND reverse_etl.sync_runs.sync_run_id = newest.sync_run_id;

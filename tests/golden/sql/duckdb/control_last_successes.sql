-- duckdb: only the text is compared here; the statement is executed on this engine
-- by tests/conformance and tests/acceptance. Lines are broken for reading.

SELECT reverse_etl.sync_runs.sync_name,
  max(reverse_etl.sync_runs.finished_at) AS max_1
FROM reverse_etl.sync_runs
WHERE reverse_etl.sync_runs.sync_name IN ('vip', 'people')
    AND reverse_etl.sync_runs.status IN ('succeeded', 'completed_with_failures')
GROUP BY reverse_etl.sync_runs.sync_name;

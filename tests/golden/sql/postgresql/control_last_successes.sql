-- postgresql: only the text is compared here; the statement is executed on this engine
-- by tests/conformance and tests/acceptance. Lines are broken for reading.

SELECT reverse_etl.sync_runs.sync_name,
  max(CASE WHEN (reverse_etl.sync_runs.status IN ('succeeded', 'completed_with_failures')) THEN reverse_etl.sync_runs.finished_at END) AS succeeded_at,
  max(CASE WHEN (reverse_etl.sync_runs.status IN ('succeeded', 'completed_with_failures')) THEN reverse_etl.sync_runs.sync_run_id END) AS succeeded_run_id,
  min(reverse_etl.sync_runs.started_at) AS began_at
FROM reverse_etl.sync_runs
WHERE reverse_etl.sync_runs.sync_name IN ('vip', 'people')
GROUP BY reverse_etl.sync_runs.sync_name;

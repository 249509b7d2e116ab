-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT reverse_etl.sync_runs.sync_run_id,
  reverse_etl.sync_runs.started_at
FROM reverse_etl.sync_runs
WHERE reverse_etl.sync_runs.sync_name = 'vip'
    AND reverse_etl.sync_runs.status IN ('planning', 'delivering')
ORDER BY reverse_etl.sync_runs.sync_run_id;

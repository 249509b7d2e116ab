-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

UPDATE reverse_etl.sync_runs
SET status='held'
WHERE reverse_etl.sync_runs.sync_name = 'vip'
    AND reverse_etl.sync_runs.sync_run_id = 5;

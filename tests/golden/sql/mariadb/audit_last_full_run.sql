-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT max(reverse_etl.sync_runs.sync_run_id) AS max_1
FROM reverse_etl.sync_runs
WHERE reverse_etl.sync_runs.sync_name = 'vip'
    AND reverse_etl.sync_runs.sync_type = 'full'
    AND NOT (reverse_etl.sync_runs.status IN ('held', 'planning') OR reverse_etl.sync_runs.status = 'failed' AND reverse_etl.sync_runs.inserts_planned + reverse_etl.sync_runs.updates_planned + reverse_etl.sync_runs.deletes_planned = 0);

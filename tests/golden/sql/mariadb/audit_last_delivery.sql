-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT max(reverse_etl.sync_runs.finished_at) AS max_1
FROM reverse_etl.sync_runs
WHERE reverse_etl.sync_runs.sync_name = 'vip'
    AND reverse_etl.sync_runs.inserts_succeeded + reverse_etl.sync_runs.updates_succeeded + reverse_etl.sync_runs.deletes_succeeded > 0;

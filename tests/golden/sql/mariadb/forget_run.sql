-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

DELETE
FROM reverse_etl.sync_log
WHERE reverse_etl.sync_log.sync_name = 'vip'
    AND reverse_etl.sync_log.sync_run_id = 5;

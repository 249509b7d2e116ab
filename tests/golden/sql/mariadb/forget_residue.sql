-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

DELETE
FROM reverse_etl.residue
WHERE reverse_etl.residue.sync_name = 'vip'
    AND reverse_etl.residue.sync_run_id < 5;

-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

INSERT INTO reverse_etl.sync_runs (sync_name, sync_run_id, status)
VALUES ('vip', 5, 'planning');

-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT count(*) AS count_1
FROM reverse_etl.failed_records
WHERE reverse_etl.failed_records.sync_name = 'vip';

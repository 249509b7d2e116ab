-- clickhouse: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

DELETE
FROM `reverse_etl`.`failed_records`
WHERE `sync_name` = 'vip';

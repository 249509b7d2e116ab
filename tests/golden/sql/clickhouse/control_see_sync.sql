-- clickhouse: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

UPDATE `reverse_etl`.`sync_state`
SET `due_after`=toDateTime64('2030-01-02 03:04:05.000000', 6, 'UTC')
WHERE `reverse_etl`.`sync_state`.`sync_name` = 'vip'
    AND `reverse_etl`.`sync_state`.`due_after` IS NULL;

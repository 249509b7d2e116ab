-- clickhouse: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

UPDATE `reverse_etl`.`sync_state`
SET `alerts`=`reverse_etl`.`sync_state`.`alerts`
WHERE `reverse_etl`.`sync_state`.`sync_name` = 'vip';

UPDATE `reverse_etl`.`sync_state`
SET `alerts`='{"5e0cc35bc4ea1d73": "failed"}'
WHERE `reverse_etl`.`sync_state`.`sync_name` = 'vip';

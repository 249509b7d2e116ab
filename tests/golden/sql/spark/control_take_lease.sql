-- spark: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

UPDATE `reverse_etl`.`sync_state`
SET `lease_owner`='host:1:ab',
  `lease_token`=(`reverse_etl`.`sync_state`.`lease_token` + 1),
  `lease_expires_at`=convert_timezone('UTC', CAST(current_timestamp() AS TIMESTAMP_NTZ)) + INTERVAL '30.0' SECOND
WHERE `reverse_etl`.`sync_state`.`sync_name` = 'vip'
    AND (`reverse_etl`.`sync_state`.`lease_expires_at` IS NULL OR `reverse_etl`.`sync_state`.`lease_expires_at` < convert_timezone('UTC', CAST(current_timestamp() AS TIMESTAMP_NTZ)));

-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

UPDATE `reverse_etl`.`sync_state`
SET `lease_owner`='host:1:ab',
  `lease_token`=(`sync_state`.`lease_token` + 1),
  `lease_expires_at`=DATETIME_ADD(CURRENT_DATETIME('UTC'), INTERVAL 30000 MILLISECOND)
WHERE `sync_state`.`sync_name` = 'vip'
    AND (`sync_state`.`lease_expires_at` IS NULL OR `sync_state`.`lease_expires_at` < CURRENT_DATETIME('UTC'));

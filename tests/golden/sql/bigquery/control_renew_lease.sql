-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

UPDATE `reverse_etl`.`sync_state`
SET `lease_expires_at`=DATETIME_ADD(CURRENT_DATETIME('UTC'), INTERVAL 30000 MILLISECOND)
WHERE `sync_state`.`sync_name` = 'vip'
    AND `sync_state`.`lease_token` = 7;

-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

UPDATE `reverse_etl`.`sync_state`
SET `lease_token`=7
WHERE `sync_state`.`sync_name` = 'vip'
    AND `sync_state`.`lease_token` = 7;

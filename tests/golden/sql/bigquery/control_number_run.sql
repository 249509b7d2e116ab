-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

UPDATE `reverse_etl`.`sync_state`
SET `last_run_id`=(`sync_state`.`last_run_id` + 1)
WHERE `sync_state`.`sync_name` = 'vip'
    AND `sync_state`.`lease_token` = 7;

-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

UPDATE `reverse_etl`.`sync_runs`
SET `status`='held'
WHERE `sync_runs`.`sync_name` = 'vip'
    AND `sync_runs`.`sync_run_id` = 5;

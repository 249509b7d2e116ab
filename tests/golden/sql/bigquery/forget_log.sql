-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

DELETE
FROM `reverse_etl`.`sync_log`
WHERE `sync_log`.`sync_name` = 'vip'
    AND `sync_log`.`sync_run_id` < 5
    AND `sync_log`.`sync_finished_at` < DATETIME '2030-01-02 03:04:05.000000';

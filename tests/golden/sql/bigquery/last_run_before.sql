-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT max(`sync_runs`.`sync_run_id`) AS `max_1`
FROM `reverse_etl`.`sync_runs`
WHERE `sync_runs`.`sync_name` = 'vip'
    AND `sync_runs`.`finished_at` < DATETIME '2030-01-02 03:04:05.000000';

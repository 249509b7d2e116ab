-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT max(`sync_runs`.`finished_at`) AS `max_1`
FROM `reverse_etl`.`sync_runs`
WHERE `sync_runs`.`sync_name` = 'vip'
    AND `sync_runs`.`inserts_succeeded` + `sync_runs`.`updates_succeeded` + `sync_runs`.`deletes_succeeded` > 0;

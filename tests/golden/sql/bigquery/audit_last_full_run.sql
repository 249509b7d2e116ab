-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT max(`sync_runs`.`sync_run_id`) AS `max_1`
FROM `reverse_etl`.`sync_runs`
WHERE `sync_runs`.`sync_name` = 'vip'
    AND `sync_runs`.`sync_type` = 'full'
    AND NOT (`sync_runs`.`status` IN ('held', 'planning') OR `sync_runs`.`status` = 'failed' AND `sync_runs`.`inserts_planned` + `sync_runs`.`updates_planned` + `sync_runs`.`deletes_planned` = 0);

-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT `sync_runs`.`sync_run_id`,
  `sync_runs`.`started_at`
FROM `reverse_etl`.`sync_runs`
WHERE `sync_runs`.`sync_name` = 'vip'
    AND `sync_runs`.`status` IN ('planning', 'delivering')
ORDER BY `sync_runs`.`sync_run_id`;

-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT `sync_runs`.`sync_name`,
  max(CASE WHEN (`sync_runs`.`status` IN ('succeeded', 'completed_with_failures')) THEN `sync_runs`.`finished_at` END) AS `succeeded_at`,
  max(CASE WHEN (`sync_runs`.`status` IN ('succeeded', 'completed_with_failures')) THEN `sync_runs`.`sync_run_id` END) AS `succeeded_run_id`,
  min(`sync_runs`.`started_at`) AS `began_at`
FROM `reverse_etl`.`sync_runs`
WHERE `sync_runs`.`sync_name` IN ('vip', 'people')
GROUP BY `sync_runs`.`sync_name`;

-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT `sync_runs`.`sync_name`,
  `sync_runs`.`status`,
  `sync_runs`.`finished_at`,
  `sync_runs`.`failed_records_open`
FROM `reverse_etl`.`sync_runs`
JOIN (
  SELECT `sync_runs`.`sync_name` AS `sync_name`,
    max(`sync_runs`.`sync_run_id`) AS `sync_run_id`
  FROM `reverse_etl`.`sync_runs`
  WHERE `sync_runs`.`sync_name` IN ('vip', 'people')
      AND `sync_runs`.`finished_at` IS NOT NULL
  GROUP BY `sync_runs`.`sync_name`
) AS `newest` ON `sync_runs`.`sync_name` = `newest`.`sync_name`
    AND `sync_runs`.`sync_run_id` = `newest`.`sync_run_id`;

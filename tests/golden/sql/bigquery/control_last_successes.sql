-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT `sync_runs`.`sync_name`,
  max(`sync_runs`.`finished_at`) AS `max_1`
FROM `reverse_etl`.`sync_runs`
WHERE `sync_runs`.`sync_name` IN ('vip', 'people')
    AND `sync_runs`.`status` IN ('succeeded', 'completed_with_failures')
GROUP BY `sync_runs`.`sync_name`;

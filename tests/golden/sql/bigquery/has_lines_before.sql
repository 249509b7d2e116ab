-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT count(*) AS `count_1`
FROM (
  SELECT `sync_log`.`sync_name` AS `sync_name`
  FROM `reverse_etl`.`sync_log`
  WHERE `sync_log`.`sync_name` = 'vip'
      AND `sync_log`.`sync_run_id` < 5
      AND `sync_log`.`sync_finished_at` < DATETIME '2030-01-02 03:04:05.000000'
  LIMIT 1
) AS `anon_1`;

-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT `placed`.`sync_name`,
  `placed`.`identity`,
  `placed`.`primary_key`,
  `placed`.`operation`,
  `placed`.`error_code`,
  `placed`.`error_reason`,
  `placed`.`retryable`,
  `placed`.`attempts`,
  `placed`.`first_failed_run_id`,
  `placed`.`last_failed_run_id`,
  `placed`.`first_failed_at`,
  `placed`.`last_failed_at`,
  `placed`.`alias`,
  `placed`.`unidentified`,
  `placed`.`fields`,
  `placed`.`retry_requested_at`
FROM (
  SELECT `failed_records`.`sync_name` AS `sync_name`,
    `failed_records`.`identity` AS `identity`,
    `failed_records`.`primary_key` AS `primary_key`,
    `failed_records`.`operation` AS `operation`,
    `failed_records`.`error_code` AS `error_code`,
    `failed_records`.`error_reason` AS `error_reason`,
    `failed_records`.`retryable` AS `retryable`,
    `failed_records`.`attempts` AS `attempts`,
    `failed_records`.`first_failed_run_id` AS `first_failed_run_id`,
    `failed_records`.`last_failed_run_id` AS `last_failed_run_id`,
    `failed_records`.`first_failed_at` AS `first_failed_at`,
    `failed_records`.`last_failed_at` AS `last_failed_at`,
    `failed_records`.`alias` AS `alias`,
    `failed_records`.`unidentified` AS `unidentified`,
    `failed_records`.`fields` AS `fields`,
    `failed_records`.`retry_requested_at` AS `retry_requested_at`,
    row_number() OVER (PARTITION BY `failed_records`.`error_code`, `failed_records`.`retryable`, `failed_records`.`unidentified` ORDER BY `failed_records`.`last_failed_run_id` DESC, `failed_records`.`identity`) AS `place`
  FROM `reverse_etl`.`failed_records`
  WHERE `failed_records`.`sync_name` = 'vip'
) AS `placed`
WHERE `placed`.`place` <= 5
ORDER BY `placed`.`place`;

-- spark: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

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
  SELECT `reverse_etl`.`failed_records`.`sync_name` AS `sync_name`,
    `reverse_etl`.`failed_records`.`identity` AS `identity`,
    `reverse_etl`.`failed_records`.`primary_key` AS `primary_key`,
    `reverse_etl`.`failed_records`.`operation` AS `operation`,
    `reverse_etl`.`failed_records`.`error_code` AS `error_code`,
    `reverse_etl`.`failed_records`.`error_reason` AS `error_reason`,
    `reverse_etl`.`failed_records`.`retryable` AS `retryable`,
    `reverse_etl`.`failed_records`.`attempts` AS `attempts`,
    `reverse_etl`.`failed_records`.`first_failed_run_id` AS `first_failed_run_id`,
    `reverse_etl`.`failed_records`.`last_failed_run_id` AS `last_failed_run_id`,
    `reverse_etl`.`failed_records`.`first_failed_at` AS `first_failed_at`,
    `reverse_etl`.`failed_records`.`last_failed_at` AS `last_failed_at`,
    `reverse_etl`.`failed_records`.`alias` AS `alias`,
    `reverse_etl`.`failed_records`.`unidentified` AS `unidentified`,
    `reverse_etl`.`failed_records`.`fields` AS `fields`,
    `reverse_etl`.`failed_records`.`retry_requested_at` AS `retry_requested_at`,
    row_number() OVER (PARTITION BY `reverse_etl`.`failed_records`.`error_code`, `reverse_etl`.`failed_records`.`retryable`, `reverse_etl`.`failed_records`.`unidentified` ORDER BY `reverse_etl`.`failed_records`.`last_failed_run_id` DESC, `reverse_etl`.`failed_records`.`identity`) AS `place`
  FROM `reverse_etl`.`failed_records`
  WHERE `reverse_etl`.`failed_records`.`sync_name` = 'vip'
) AS `placed`
WHERE `placed`.`place` <= 5
ORDER BY `placed`.`place`;

-- spark: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT `reverse_etl`.`failed_records`.`sync_name`,
  `reverse_etl`.`failed_records`.`identity`,
  `reverse_etl`.`failed_records`.`primary_key`,
  `reverse_etl`.`failed_records`.`operation`,
  `reverse_etl`.`failed_records`.`error_code`,
  `reverse_etl`.`failed_records`.`error_reason`,
  `reverse_etl`.`failed_records`.`retryable`,
  `reverse_etl`.`failed_records`.`attempts`,
  `reverse_etl`.`failed_records`.`first_failed_run_id`,
  `reverse_etl`.`failed_records`.`last_failed_run_id`,
  `reverse_etl`.`failed_records`.`first_failed_at`,
  `reverse_etl`.`failed_records`.`last_failed_at`,
  `reverse_etl`.`failed_records`.`alias`,
  `reverse_etl`.`failed_records`.`unidentified`,
  `reverse_etl`.`failed_records`.`fields`,
  `reverse_etl`.`failed_records`.`retry_requested_at`
FROM `reverse_etl`.`failed_records`
WHERE `reverse_etl`.`failed_records`.`sync_name` = 'vip'
ORDER BY `reverse_etl`.`failed_records`.`last_failed_run_id` DESC,
  `reverse_etl`.`failed_records`.`identity`
LIMIT 10;

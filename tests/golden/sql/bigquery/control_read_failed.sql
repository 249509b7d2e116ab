-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT `failed_records`.`sync_name`,
  `failed_records`.`identity`,
  `failed_records`.`primary_key`,
  `failed_records`.`operation`,
  `failed_records`.`error_code`,
  `failed_records`.`error_reason`,
  `failed_records`.`retryable`,
  `failed_records`.`attempts`,
  `failed_records`.`first_failed_run_id`,
  `failed_records`.`last_failed_run_id`,
  `failed_records`.`first_failed_at`,
  `failed_records`.`last_failed_at`,
  `failed_records`.`alias`,
  `failed_records`.`unidentified`,
  `failed_records`.`fields`,
  `failed_records`.`retry_requested_at`
FROM `reverse_etl`.`failed_records`
WHERE `failed_records`.`sync_name` = 'vip'
ORDER BY `failed_records`.`last_failed_run_id` DESC,
  `failed_records`.`identity`
LIMIT 10;

-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT `failed_records`.`error_code`,
  `failed_records`.`retryable`,
  `failed_records`.`unidentified`,
  count(*) AS `count_1`,
  count(`failed_records`.`retry_requested_at`) AS `count_2`
FROM `reverse_etl`.`failed_records`
WHERE `failed_records`.`sync_name` = 'vip'
GROUP BY `failed_records`.`error_code`,
  `failed_records`.`retryable`,
  `failed_records`.`unidentified`
ORDER BY count(*) DESC,
  `failed_records`.`error_code`;

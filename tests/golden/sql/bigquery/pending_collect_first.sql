-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT `failed_records`.`identity` AS `_identity`,
  `failed_records`.`alias` AS `_alias`,
  `failed_records`.`primary_key` AS `_primary_key`,
  `failed_records`.`operation` AS `_operation`,
  'failed' AS `_origin`,
  CAST(`failed_records`.`error_code` = 'unknown' OR `failed_records`.`retryable` OR `failed_records`.`retry_requested_at` IS NOT NULL AS BOOL) AS `_due`,
  `failed_records`.`fields` AS `_fields`
FROM `reverse_etl`.`failed_records`
WHERE `failed_records`.`sync_name` = 'vip'
    AND NOT `failed_records`.`unidentified`;

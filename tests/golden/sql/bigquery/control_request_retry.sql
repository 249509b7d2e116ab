-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT `failed_records`.`error_code`,
  `failed_records`.`unidentified`,
  count(*) AS `count_1`
FROM `reverse_etl`.`failed_records`
WHERE `failed_records`.`sync_name` = 'vip'
    AND `failed_records`.`error_code` = 'rejected'
    AND `failed_records`.`primary_key` = '7'
GROUP BY `failed_records`.`error_code`,
  `failed_records`.`unidentified`
ORDER BY `failed_records`.`error_code`;

UPDATE `reverse_etl`.`failed_records`
SET `retry_requested_at`=DATETIME '2030-01-02 03:04:05.000000'
WHERE `failed_records`.`sync_name` = 'vip'
    AND `failed_records`.`error_code` = 'rejected'
    AND `failed_records`.`primary_key` = '7'
    AND NOT `failed_records`.`unidentified`;

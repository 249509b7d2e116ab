-- spark: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT `reverse_etl`.`failed_records`.`error_code`,
  `reverse_etl`.`failed_records`.`unidentified`,
  count(*) AS `count_1`
FROM `reverse_etl`.`failed_records`
WHERE `reverse_etl`.`failed_records`.`sync_name` = 'vip'
    AND `reverse_etl`.`failed_records`.`error_code` = 'rejected'
    AND `reverse_etl`.`failed_records`.`primary_key` = '7'
GROUP BY `reverse_etl`.`failed_records`.`error_code`,
  `reverse_etl`.`failed_records`.`unidentified`
ORDER BY `reverse_etl`.`failed_records`.`error_code`;

UPDATE `reverse_etl`.`failed_records`
SET `retry_requested_at`=TIMESTAMP_NTZ '2030-01-02 03:04:05.000000'
WHERE `reverse_etl`.`failed_records`.`sync_name` = 'vip'
    AND `reverse_etl`.`failed_records`.`error_code` = 'rejected'
    AND `reverse_etl`.`failed_records`.`primary_key` = '7'
    AND NOT `reverse_etl`.`failed_records`.`unidentified`;

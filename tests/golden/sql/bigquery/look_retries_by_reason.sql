-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT `failed_records`.`error_code`,
  count(*) AS `count_1`
FROM `reverse_etl`.`changes_vip_5`
LEFT OUTER JOIN `reverse_etl`.`failed_records` ON `failed_records`.`sync_name` = 'vip'
    AND `failed_records`.`identity` = `changes_vip_5`.`_identity`
    AND NOT `failed_records`.`unidentified`
WHERE `changes_vip_5`.`_retry`
GROUP BY `failed_records`.`error_code`
ORDER BY count(*) DESC;

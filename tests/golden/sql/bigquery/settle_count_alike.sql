-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT `tried`.`_operation`,
  `tried`.`status`,
  count(*) AS `count_1`
FROM (
  SELECT `changes_vip_5`.`_operation` AS `_operation`,
    `changes_vip_5`.`_identity` AS `_identity`,
    `changes_vip_5`.`_alias` AS `_alias`,
    `changes_vip_5`.`_primary_key` AS `_primary_key`,
    CAST('succeeded' AS STRING) AS `status`,
    CAST(NULL AS STRING) AS `error_code`,
    CAST(NULL AS STRING) AS `error_reason`,
    false AS `retryable`,
    1 AS `attempts`,
    CAST(NULL AS STRING) AS `fields`
  FROM `reverse_etl`.`changes_vip_5`
  WHERE `changes_vip_5`.`_seq` <= 120
) AS `tried`
GROUP BY `tried`.`_operation`,
  `tried`.`status`;

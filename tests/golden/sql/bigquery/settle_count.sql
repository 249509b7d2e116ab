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
    CASE
      WHEN (`outcomes_vip_5`.`seq` IS NOT NULL) THEN `outcomes_vip_5`.`status`
      WHEN (`outcomes_vip_5`.`seq` IS NULL AND `changes_vip_5`.`_seq` > 90) THEN 'failed'
      ELSE 'succeeded' END AS `status`,
    CASE
      WHEN (`outcomes_vip_5`.`seq` IS NULL AND `changes_vip_5`.`_seq` > 90) THEN 'unknown'
      ELSE `outcomes_vip_5`.`error_code` END AS `error_code`,
    CASE
      WHEN (`outcomes_vip_5`.`seq` IS NULL AND `changes_vip_5`.`_seq` > 90) THEN 'the run was killed while this change may have been on its way'
      ELSE `outcomes_vip_5`.`error_reason` END AS `error_reason`,
    coalesce(`outcomes_vip_5`.`retryable`, `outcomes_vip_5`.`seq` IS NULL AND `changes_vip_5`.`_seq` > 90) AS `retryable`,
    coalesce(`outcomes_vip_5`.`attempts`, 1) AS `attempts`,
    CAST(NULL AS STRING) AS `fields`
  FROM `reverse_etl`.`changes_vip_5`
  LEFT OUTER JOIN `reverse_etl`.`outcomes_vip_5` ON `outcomes_vip_5`.`seq` = `changes_vip_5`.`_seq`
  WHERE `changes_vip_5`.`_seq` <= 120
      OR `outcomes_vip_5`.`seq` IS NOT NULL
) AS `tried`
GROUP BY `tried`.`_operation`,
  `tried`.`status`;

-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT CAST(row_number() OVER (ORDER BY `planned`.`_phase`, `planned`.`_operation`) AS INT64) AS `_seq`,
  `planned`.`_phase`,
  `planned`.`_operation`,
  `planned`.`_identity`,
  `planned`.`_alias`,
  `planned`.`_primary_key`,
  `planned`.`_retry`,
  `planned`.`_carried`,
  `planned`.`_fields`,
  `planned`.`email`,
  `planned`.`plan`,
  `planned`.`score`
FROM (
  SELECT CASE
      WHEN (`snapshot_vip_5`.`_identity` IS NULL) THEN 0
      ELSE 1 END AS `_phase`,
    CASE
      WHEN (`snapshot_vip_5`.`_identity` IS NULL) THEN 'delete'
      WHEN (`base`.`_identity` IS NULL) THEN 'insert'
      WHEN (`pending_vip`.`_operation` = 'insert' AND `pending_vip`.`_origin` != 'residue') THEN 'insert'
      ELSE 'update' END AS `_operation`,
    CASE
      WHEN (`snapshot_vip_5`.`_identity` IS NOT NULL) THEN `snapshot_vip_5`.`_identity`
      ELSE CASE
      WHEN (`base`.`_identity` IS NOT NULL) THEN `base`.`_identity`
      ELSE `pending_vip`.`_identity` END END AS `_identity`,
    CASE
      WHEN (`snapshot_vip_5`.`_identity` IS NOT NULL) THEN `snapshot_vip_5`.`_alias`
      ELSE CASE
      WHEN (`base`.`_identity` IS NOT NULL) THEN `base`.`_alias`
      ELSE `pending_vip`.`_alias` END END AS `_alias`,
    CASE
      WHEN (`snapshot_vip_5`.`_identity` IS NOT NULL) THEN `snapshot_vip_5`.`_primary_key`
      ELSE CASE
      WHEN (`base`.`_identity` IS NOT NULL) THEN `base`.`_primary_key`
      ELSE `pending_vip`.`_primary_key` END END AS `_primary_key`,
    CAST(coalesce(`pending_vip`.`_due` AND `pending_vip`.`_origin` IN ('plan', 'failed'), false) AS BOOL) AS `_retry`,
    CAST(coalesce(`pending_vip`.`_operation` = 'delete' AND `pending_vip`.`_origin` IN ('plan', 'failed'), false) AS BOOL) AS `_carried`,
    CAST(NULL AS STRING) AS `_fields`,
    CASE
      WHEN (`snapshot_vip_5`.`_identity` IS NOT NULL) THEN `snapshot_vip_5`.`email`
      ELSE NULL END AS `email`,
    CASE
      WHEN (`snapshot_vip_5`.`_identity` IS NOT NULL) THEN `snapshot_vip_5`.`plan`
      ELSE NULL END AS `plan`,
    CASE
      WHEN (`snapshot_vip_5`.`_identity` IS NOT NULL) THEN `snapshot_vip_5`.`score`
      ELSE NULL END AS `score`
  FROM `reverse_etl`.`snapshot_vip_5`
  FULL OUTER JOIN (
    SELECT `snapshot_vip_5`.`_identity` AS `_identity`,
      `snapshot_vip_5`.`_alias` AS `_alias`,
      `snapshot_vip_5`.`_primary_key` AS `_primary_key`,
      `snapshot_vip_5`.`customer_id` AS `customer_id`,
      `snapshot_vip_5`.`email` AS `email`,
      `snapshot_vip_5`.`plan` AS `plan`,
      `snapshot_vip_5`.`score` AS `score`
    FROM `reverse_etl`.`snapshot_vip_5`
    WHERE false
  ) AS `base` ON `snapshot_vip_5`.`_identity` = `base`.`_identity`
  FULL OUTER JOIN `reverse_etl`.`pending_vip` ON `pending_vip`.`_identity` = coalesce(`snapshot_vip_5`.`_identity`, `base`.`_identity`)
  WHERE (`snapshot_vip_5`.`_identity` IS DISTINCT FROM `base`.`_identity` OR `pending_vip`.`_due`)
      AND true
) AS `planned`;

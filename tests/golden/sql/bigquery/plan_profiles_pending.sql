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
  `planned`.`paid`,
  `planned`.`seen`,
  `planned`.`joined`,
  `planned`.`extras`
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
    CASE
      WHEN (`snapshot_vip_5`.`_identity` IS NOT NULL AND `pending_vip`.`_fields` IS NULL) THEN CAST(NULL AS STRING)
      WHEN (`snapshot_vip_5`.`_identity` IS NOT NULL AND `base`.`_identity` IS NOT NULL) THEN CASE
      WHEN (CASE WHEN (`pending_vip`.`_operation` = 'insert' AND `pending_vip`.`_origin` IN ('plan', 'failed')) THEN coalesce(`pending_vip`.`_fields`, '[]') ELSE CASE WHEN (`pending_vip`.`_fields` IS NULL) THEN '["extras", "joined", "paid", "paid_text", "seen"]' WHEN (strpos(`pending_vip`.`_fields`, '["extras", "joined", "paid", "paid_text", "seen"]') > 0) THEN `pending_vip`.`_fields` ELSE `pending_vip`.`_fields` || '\n' || '["extras", "joined", "paid", "paid_text", "seen"]' END END IS NULL) THEN '["extras", "joined", "paid", "paid_text", "seen"]'
      WHEN (strpos(CASE WHEN (`pending_vip`.`_operation` = 'insert' AND `pending_vip`.`_origin` IN ('plan', 'failed')) THEN coalesce(`pending_vip`.`_fields`, '[]') ELSE CASE WHEN (`pending_vip`.`_fields` IS NULL) THEN '["extras", "joined", "paid", "paid_text", "seen"]' WHEN (strpos(`pending_vip`.`_fields`, '["extras", "joined", "paid", "paid_text", "seen"]') > 0) THEN `pending_vip`.`_fields` ELSE `pending_vip`.`_fields` || '\n' || '["extras", "joined", "paid", "paid_text", "seen"]' END END, '["extras", "joined", "paid", "paid_text", "seen"]') > 0) THEN CASE
      WHEN (`pending_vip`.`_operation` = 'insert' AND `pending_vip`.`_origin` IN ('plan', 'failed')) THEN coalesce(`pending_vip`.`_fields`, '[]')
      ELSE CASE
      WHEN (`pending_vip`.`_fields` IS NULL) THEN '["extras", "joined", "paid", "paid_text", "seen"]'
      WHEN (strpos(`pending_vip`.`_fields`, '["extras", "joined", "paid", "paid_text", "seen"]') > 0) THEN `pending_vip`.`_fields`
      ELSE `pending_vip`.`_fields` || '\n' || '["extras", "joined", "paid", "paid_text", "seen"]' END END
      ELSE CASE
      WHEN (`pending_vip`.`_operation` = 'insert' AND `pending_vip`.`_origin` IN ('plan', 'failed')) THEN coalesce(`pending_vip`.`_fields`, '[]')
      ELSE CASE
      WHEN (`pending_vip`.`_fields` IS NULL) THEN '["extras", "joined", "paid", "paid_text", "seen"]'
      WHEN (strpos(`pending_vip`.`_fields`, '["extras", "joined", "paid", "paid_text", "seen"]') > 0) THEN `pending_vip`.`_fields`
      ELSE `pending_vip`.`_fields` || '\n' || '["extras", "joined", "paid", "paid_text", "seen"]' END END || '\n' || '["extras", "joined", "paid", "paid_text", "seen"]' END
      WHEN (`snapshot_vip_5`.`_identity` IS NOT NULL) THEN CASE
      WHEN (`pending_vip`.`_fields` IS NULL) THEN '["extras", "joined", "paid", "paid_text", "seen"]'
      WHEN (strpos(`pending_vip`.`_fields`, '["extras", "joined", "paid", "paid_text", "seen"]') > 0) THEN `pending_vip`.`_fields`
      ELSE `pending_vip`.`_fields` || '\n' || '["extras", "joined", "paid", "paid_text", "seen"]' END
      WHEN (`base`.`_identity` IS NOT NULL) THEN CASE
      WHEN (`pending_vip`.`_operation` = 'insert' AND `pending_vip`.`_origin` IN ('plan', 'failed')) THEN coalesce(`pending_vip`.`_fields`, '[]')
      ELSE CASE
      WHEN (`pending_vip`.`_fields` IS NULL) THEN '["extras", "joined", "paid", "paid_text", "seen"]'
      WHEN (strpos(`pending_vip`.`_fields`, '["extras", "joined", "paid", "paid_text", "seen"]') > 0) THEN `pending_vip`.`_fields`
      ELSE `pending_vip`.`_fields` || '\n' || '["extras", "joined", "paid", "paid_text", "seen"]' END END
      ELSE `pending_vip`.`_fields` END AS `_fields`,
    CASE
      WHEN (`snapshot_vip_5`.`_identity` IS NOT NULL) THEN `snapshot_vip_5`.`email`
      ELSE `base`.`email` END AS `email`,
    CASE
      WHEN (`snapshot_vip_5`.`_identity` IS NOT NULL) THEN `snapshot_vip_5`.`paid`
      ELSE `base`.`paid` END AS `paid`,
    CASE
      WHEN (`snapshot_vip_5`.`_identity` IS NOT NULL) THEN `snapshot_vip_5`.`seen`
      ELSE `base`.`seen` END AS `seen`,
    CASE
      WHEN (`snapshot_vip_5`.`_identity` IS NOT NULL) THEN `snapshot_vip_5`.`joined`
      ELSE `base`.`joined` END AS `joined`,
    CASE
      WHEN (`snapshot_vip_5`.`_identity` IS NOT NULL) THEN `snapshot_vip_5`.`extras`
      ELSE `base`.`extras` END AS `extras`
  FROM `reverse_etl`.`snapshot_vip_5`
  FULL OUTER JOIN `reverse_etl`.`snapshot_vip_4` AS `base` ON `snapshot_vip_5`.`_identity` = `base`.`_identity`
  FULL OUTER JOIN `reverse_etl`.`pending_vip` ON `pending_vip`.`_identity` = coalesce(`snapshot_vip_5`.`_identity`, `base`.`_identity`)
  WHERE (`snapshot_vip_5`.`_identity` IS DISTINCT FROM `base`.`_identity` OR CAST(`snapshot_vip_5`.`paid` AS STRING) IS DISTINCT FROM CAST(`base`.`paid` AS STRING) OR `snapshot_vip_5`.`paid` IS DISTINCT FROM `base`.`paid` OR datetime_trunc(`snapshot_vip_5`.`seen`, SECOND) IS DISTINCT FROM datetime_trunc(`base`.`seen`, SECOND) OR timestamp_trunc(`snapshot_vip_5`.`joined`, SECOND) IS DISTINCT FROM timestamp_trunc(`base`.`joined`, SECOND) OR `snapshot_vip_5`.`extras` IS DISTINCT FROM `base`.`extras` OR `pending_vip`.`_due`)
      AND true
) AS `planned`;

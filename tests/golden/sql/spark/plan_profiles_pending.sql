-- spark: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT CAST(row_number() OVER (ORDER BY `planned`.`_phase`, `planned`.`_operation`) AS BIGINT) AS `_seq`,
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
      WHEN (`reverse_etl`.`snapshot_vip_5`.`_identity` IS NULL) THEN 0
      ELSE 1 END AS `_phase`,
    CASE
      WHEN (`reverse_etl`.`snapshot_vip_5`.`_identity` IS NULL) THEN 'delete'
      WHEN (`base`.`_identity` IS NULL) THEN 'insert'
      WHEN (`reverse_etl`.`pending_vip`.`_operation` = 'insert' AND `reverse_etl`.`pending_vip`.`_origin` != 'residue') THEN 'insert'
      ELSE 'update' END AS `_operation`,
    CASE
      WHEN (`reverse_etl`.`snapshot_vip_5`.`_identity` IS NOT NULL) THEN `reverse_etl`.`snapshot_vip_5`.`_identity`
      ELSE CASE
      WHEN (`base`.`_identity` IS NOT NULL) THEN `base`.`_identity`
      ELSE `reverse_etl`.`pending_vip`.`_identity` END END AS `_identity`,
    CASE
      WHEN (`reverse_etl`.`snapshot_vip_5`.`_identity` IS NOT NULL) THEN `reverse_etl`.`snapshot_vip_5`.`_alias`
      ELSE CASE
      WHEN (`base`.`_identity` IS NOT NULL) THEN `base`.`_alias`
      ELSE `reverse_etl`.`pending_vip`.`_alias` END END AS `_alias`,
    CASE
      WHEN (`reverse_etl`.`snapshot_vip_5`.`_identity` IS NOT NULL) THEN `reverse_etl`.`snapshot_vip_5`.`_primary_key`
      ELSE CASE
      WHEN (`base`.`_identity` IS NOT NULL) THEN `base`.`_primary_key`
      ELSE `reverse_etl`.`pending_vip`.`_primary_key` END END AS `_primary_key`,
    CAST(coalesce(`reverse_etl`.`pending_vip`.`_due` AND `reverse_etl`.`pending_vip`.`_origin` IN ('plan', 'failed'), false) AS BOOLEAN) AS `_retry`,
    CAST(coalesce(`reverse_etl`.`pending_vip`.`_operation` = 'delete' AND `reverse_etl`.`pending_vip`.`_origin` IN ('plan', 'failed'), false) AS BOOLEAN) AS `_carried`,
    CASE
      WHEN (`reverse_etl`.`snapshot_vip_5`.`_identity` IS NOT NULL AND `reverse_etl`.`pending_vip`.`_fields` IS NULL) THEN CAST(NULL AS STRING)
      WHEN (`reverse_etl`.`snapshot_vip_5`.`_identity` IS NOT NULL AND `base`.`_identity` IS NOT NULL) THEN CASE
      WHEN (CASE WHEN (`reverse_etl`.`pending_vip`.`_operation` = 'insert' AND `reverse_etl`.`pending_vip`.`_origin` IN ('plan', 'failed')) THEN coalesce(`reverse_etl`.`pending_vip`.`_fields`, '[]') ELSE CASE WHEN (`reverse_etl`.`pending_vip`.`_fields` IS NULL) THEN '["extras", "joined", "paid", "paid_text", "seen"]' WHEN (instr(`reverse_etl`.`pending_vip`.`_fields`, '["extras", "joined", "paid", "paid_text", "seen"]') > 0) THEN `reverse_etl`.`pending_vip`.`_fields` ELSE `reverse_etl`.`pending_vip`.`_fields` || '
' || '["extras", "joined", "paid", "paid_text", "seen"]' END END IS NULL) THEN '["extras", "joined", "paid", "paid_text", "seen"]'
      WHEN (instr(CASE WHEN (`reverse_etl`.`pending_vip`.`_operation` = 'insert' AND `reverse_etl`.`pending_vip`.`_origin` IN ('plan', 'failed')) THEN coalesce(`reverse_etl`.`pending_vip`.`_fields`, '[]') ELSE CASE WHEN (`reverse_etl`.`pending_vip`.`_fields` IS NULL) THEN '["extras", "joined", "paid", "paid_text", "seen"]' WHEN (instr(`reverse_etl`.`pending_vip`.`_fields`, '["extras", "joined", "paid", "paid_text", "seen"]') > 0) THEN `reverse_etl`.`pending_vip`.`_fields` ELSE `reverse_etl`.`pending_vip`.`_fields` || '
' || '["extras", "joined", "paid", "paid_text", "seen"]' END END, '["extras", "joined", "paid", "paid_text", "seen"]') > 0) THEN CASE
      WHEN (`reverse_etl`.`pending_vip`.`_operation` = 'insert' AND `reverse_etl`.`pending_vip`.`_origin` IN ('plan', 'failed')) THEN coalesce(`reverse_etl`.`pending_vip`.`_fields`, '[]')
      ELSE CASE
      WHEN (`reverse_etl`.`pending_vip`.`_fields` IS NULL) THEN '["extras", "joined", "paid", "paid_text", "seen"]'
      WHEN (instr(`reverse_etl`.`pending_vip`.`_fields`, '["extras", "joined", "paid", "paid_text", "seen"]') > 0) THEN `reverse_etl`.`pending_vip`.`_fields`
      ELSE `reverse_etl`.`pending_vip`.`_fields` || '
' || '["extras", "joined", "paid", "paid_text", "seen"]' END END
      ELSE CASE
      WHEN (`reverse_etl`.`pending_vip`.`_operation` = 'insert' AND `reverse_etl`.`pending_vip`.`_origin` IN ('plan', 'failed')) THEN coalesce(`reverse_etl`.`pending_vip`.`_fields`, '[]')
      ELSE CASE
      WHEN (`reverse_etl`.`pending_vip`.`_fields` IS NULL) THEN '["extras", "joined", "paid", "paid_text", "seen"]'
      WHEN (instr(`reverse_etl`.`pending_vip`.`_fields`, '["extras", "joined", "paid", "paid_text", "seen"]') > 0) THEN `reverse_etl`.`pending_vip`.`_fields`
      ELSE `reverse_etl`.`pending_vip`.`_fields` || '
' || '["extras", "joined", "paid", "paid_text", "seen"]' END END || '
' || '["extras", "joined", "paid", "paid_text", "seen"]' END
      WHEN (`reverse_etl`.`snapshot_vip_5`.`_identity` IS NOT NULL) THEN CASE
      WHEN (`reverse_etl`.`pending_vip`.`_fields` IS NULL) THEN '["extras", "joined", "paid", "paid_text", "seen"]'
      WHEN (instr(`reverse_etl`.`pending_vip`.`_fields`, '["extras", "joined", "paid", "paid_text", "seen"]') > 0) THEN `reverse_etl`.`pending_vip`.`_fields`
      ELSE `reverse_etl`.`pending_vip`.`_fields` || '
' || '["extras", "joined", "paid", "paid_text", "seen"]' END
      WHEN (`base`.`_identity` IS NOT NULL) THEN CASE
      WHEN (`reverse_etl`.`pending_vip`.`_operation` = 'insert' AND `reverse_etl`.`pending_vip`.`_origin` IN ('plan', 'failed')) THEN coalesce(`reverse_etl`.`pending_vip`.`_fields`, '[]')
      ELSE CASE
      WHEN (`reverse_etl`.`pending_vip`.`_fields` IS NULL) THEN '["extras", "joined", "paid", "paid_text", "seen"]'
      WHEN (instr(`reverse_etl`.`pending_vip`.`_fields`, '["extras", "joined", "paid", "paid_text", "seen"]') > 0) THEN `reverse_etl`.`pending_vip`.`_fields`
      ELSE `reverse_etl`.`pending_vip`.`_fields` || '
' || '["extras", "joined", "paid", "paid_text", "seen"]' END END
      ELSE `reverse_etl`.`pending_vip`.`_fields` END AS `_fields`,
    CASE
      WHEN (`reverse_etl`.`snapshot_vip_5`.`_identity` IS NOT NULL) THEN `reverse_etl`.`snapshot_vip_5`.`email`
      ELSE `base`.`email` END AS `email`,
    CASE
      WHEN (`reverse_etl`.`snapshot_vip_5`.`_identity` IS NOT NULL) THEN `reverse_etl`.`snapshot_vip_5`.`paid`
      ELSE `base`.`paid` END AS `paid`,
    CASE
      WHEN (`reverse_etl`.`snapshot_vip_5`.`_identity` IS NOT NULL) THEN `reverse_etl`.`snapshot_vip_5`.`seen`
      ELSE `base`.`seen` END AS `seen`,
    CASE
      WHEN (`reverse_etl`.`snapshot_vip_5`.`_identity` IS NOT NULL) THEN `reverse_etl`.`snapshot_vip_5`.`joined`
      ELSE `base`.`joined` END AS `joined`,
    CASE
      WHEN (`reverse_etl`.`snapshot_vip_5`.`_identity` IS NOT NULL) THEN `reverse_etl`.`snapshot_vip_5`.`extras`
      ELSE `base`.`extras` END AS `extras`
  FROM `reverse_etl`.`snapshot_vip_5`
  FULL OUTER JOIN `reverse_etl`.`snapshot_vip_4` AS `base` ON `reverse_etl`.`snapshot_vip_5`.`_identity` = `base`.`_identity`
  FULL OUTER JOIN `reverse_etl`.`pending_vip` ON `reverse_etl`.`pending_vip`.`_identity` = coalesce(`reverse_etl`.`snapshot_vip_5`.`_identity`, `base`.`_identity`)
  WHERE (`reverse_etl`.`snapshot_vip_5`.`_identity` IS DISTINCT FROM `base`.`_identity` OR CAST(`reverse_etl`.`snapshot_vip_5`.`paid` AS STRING) IS DISTINCT FROM CAST(`base`.`paid` AS STRING) OR `reverse_etl`.`snapshot_vip_5`.`paid` IS DISTINCT FROM `base`.`paid` OR date_trunc('second', `reverse_etl`.`snapshot_vip_5`.`seen`) IS DISTINCT FROM date_trunc('second', `base`.`seen`) OR date_trunc('second', `reverse_etl`.`snapshot_vip_5`.`joined`) IS DISTINCT FROM date_trunc('second', `base`.`joined`) OR `reverse_etl`.`snapshot_vip_5`.`extras` IS DISTINCT FROM `base`.`extras` OR `reverse_etl`.`pending_vip`.`_due`)
      AND true
) AS `planned`;

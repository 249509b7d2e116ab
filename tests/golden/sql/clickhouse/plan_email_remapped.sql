-- clickhouse: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT CAST(row_number() OVER (ORDER BY `planned`.`_phase`, `planned`.`_operation`) AS Nullable(Int64)) AS `_seq`,
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
      WHEN (`reverse_etl`.`snapshot_vip_5`.`_identity` IS NULL) THEN 0
      ELSE 1 END AS `_phase`,
    CASE
      WHEN (`reverse_etl`.`snapshot_vip_5`.`_identity` IS NULL) THEN 'delete'
      WHEN (`base`.`_identity` IS NULL) THEN 'insert'
      ELSE 'update' END AS `_operation`,
    CASE
      WHEN (`reverse_etl`.`snapshot_vip_5`.`_identity` IS NOT NULL) THEN `reverse_etl`.`snapshot_vip_5`.`_identity`
      ELSE `base`.`_identity` END AS `_identity`,
    CASE
      WHEN (`reverse_etl`.`snapshot_vip_5`.`_identity` IS NOT NULL) THEN `reverse_etl`.`snapshot_vip_5`.`_alias`
      ELSE `base`.`_alias` END AS `_alias`,
    CASE
      WHEN (`reverse_etl`.`snapshot_vip_5`.`_identity` IS NOT NULL) THEN `reverse_etl`.`snapshot_vip_5`.`_primary_key`
      ELSE `base`.`_primary_key` END AS `_primary_key`,
    false AS `_retry`,
    false AS `_carried`,
    CAST(NULL AS Nullable(String)) AS `_fields`,
    CASE
      WHEN (`reverse_etl`.`snapshot_vip_5`.`_identity` IS NOT NULL) THEN `reverse_etl`.`snapshot_vip_5`.`email`
      ELSE `base`.`email` END AS `email`,
    CASE
      WHEN (`reverse_etl`.`snapshot_vip_5`.`_identity` IS NOT NULL) THEN `reverse_etl`.`snapshot_vip_5`.`plan`
      ELSE `base`.`plan` END AS `plan`,
    CASE
      WHEN (`reverse_etl`.`snapshot_vip_5`.`_identity` IS NOT NULL) THEN `reverse_etl`.`snapshot_vip_5`.`score`
      ELSE `base`.`score` END AS `score`
  FROM `reverse_etl`.`snapshot_vip_5`
  FULL OUTER JOIN `reverse_etl`.`snapshot_vip_4` AS `base` ON `reverse_etl`.`snapshot_vip_5`.`_identity` = `base`.`_identity`
  WHERE (`reverse_etl`.`snapshot_vip_5`.`_identity` IS DISTINCT FROM `base`.`_identity` OR `reverse_etl`.`snapshot_vip_5`.`_identity` IS NOT NULL)
      AND true
) AS `planned`;

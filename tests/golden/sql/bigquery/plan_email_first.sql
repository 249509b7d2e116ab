-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT CAST(row_number() OVER () AS INT64) AS `_seq`,
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
  SELECT CAST(1 AS INT64) AS `_phase`,
    'insert' AS `_operation`,
    `snapshot_vip_5`.`_identity` AS `_identity`,
    `snapshot_vip_5`.`_alias` AS `_alias`,
    `snapshot_vip_5`.`_primary_key` AS `_primary_key`,
    false AS `_retry`,
    false AS `_carried`,
    CAST(NULL AS STRING) AS `_fields`,
    `snapshot_vip_5`.`email` AS `email`,
    `snapshot_vip_5`.`plan` AS `plan`,
    `snapshot_vip_5`.`score` AS `score`
  FROM `reverse_etl`.`snapshot_vip_5`
) AS `planned`;

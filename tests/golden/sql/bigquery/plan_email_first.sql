-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT CAST(row_number() OVER () AS INT64) AS `_seq`,
  CAST(1 AS INT64) AS `_phase`,
  'insert' AS `_operation`,
  `snapshot_vip_5`.`_identity`,
  `snapshot_vip_5`.`_alias`,
  `snapshot_vip_5`.`_primary_key`,
  false AS `_retry`,
  false AS `_carried`,
  CAST(NULL AS STRING) AS `_fields`,
  `snapshot_vip_5`.`email`,
  `snapshot_vip_5`.`plan`,
  `snapshot_vip_5`.`score`
FROM `reverse_etl`.`snapshot_vip_5`;

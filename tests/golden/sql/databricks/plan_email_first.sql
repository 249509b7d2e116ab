-- databricks: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT CAST(row_number() OVER (ORDER BY 1) AS BIGINT) AS _seq,
  CAST(1 AS INT) AS _phase,
  'insert' AS _operation,
  reverse_etl.snapshot_vip_5.`_identity`,
  reverse_etl.snapshot_vip_5.`_alias`,
  reverse_etl.snapshot_vip_5.`_primary_key`,
  false AS _retry,
  false AS _carried,
  CAST(NULL AS STRING) AS _fields,
  reverse_etl.snapshot_vip_5.`email`,
  reverse_etl.snapshot_vip_5.`plan`,
  reverse_etl.snapshot_vip_5.`score`
FROM reverse_etl.snapshot_vip_5;

-- redshift: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT CAST(row_number() OVER () AS BIGINT) AS _seq,
  CAST(1 AS INTEGER) AS _phase,
  'insert' AS _operation,
  reverse_etl.snapshot_vip_5."_identity",
  reverse_etl.snapshot_vip_5."_alias",
  reverse_etl.snapshot_vip_5."_primary_key",
  false AS _retry,
  false AS _carried,
  CAST(NULL AS VARCHAR(65535)) AS _fields,
  reverse_etl.snapshot_vip_5."email",
  reverse_etl.snapshot_vip_5."plan",
  reverse_etl.snapshot_vip_5."score"
FROM reverse_etl.snapshot_vip_5;

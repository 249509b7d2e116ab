-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT CAST(row_number() OVER () AS SIGNED INTEGER) AS _seq,
  CAST(1 AS SIGNED INTEGER) AS _phase,
  'insert' AS _operation,
  reverse_etl.snapshot_vip_5.`_identity`,
  reverse_etl.snapshot_vip_5.`_alias`,
  reverse_etl.snapshot_vip_5.`_primary_key`,
  false AS _retry,
  false AS _carried,
  CAST(NULL AS CHAR(20000)) AS _fields,
  reverse_etl.snapshot_vip_5.`email`,
  reverse_etl.snapshot_vip_5.`plan`,
  reverse_etl.snapshot_vip_5.`score`
FROM reverse_etl.snapshot_vip_5;

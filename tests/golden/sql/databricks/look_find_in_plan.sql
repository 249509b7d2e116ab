-- databricks: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT reverse_etl.changes_vip_5.`_identity`,
  reverse_etl.changes_vip_5.`_alias`,
  reverse_etl.changes_vip_5.`_primary_key`,
  reverse_etl.changes_vip_5.`_operation`,
  reverse_etl.changes_vip_5.`_retry`,
  reverse_etl.changes_vip_5.`_fields`,
  CASE
    WHEN (was.`_identity` IS NOT NULL) THEN 1
    ELSE 0 END AS _known,
  was.`_alias` AS _was_alias,
  CAST(reverse_etl.changes_vip_5.`email` AS STRING) AS now_0,
  CAST(reverse_etl.changes_vip_5.`plan` AS STRING) AS now_1,
  reverse_etl.changes_vip_5.`score` AS now_2,
  CAST(was.`email` AS STRING) AS was_0,
  CAST(was.`plan` AS STRING) AS was_1,
  was.`score` AS was_2
FROM reverse_etl.changes_vip_5
LEFT OUTER JOIN reverse_etl.snapshot_vip_4 AS was ON was.`_identity` = reverse_etl.changes_vip_5.`_identity`
WHERE reverse_etl.changes_vip_5.`_identity` IN ('ada@x.com', 'o\'hara@x.com')
ORDER BY reverse_etl.changes_vip_5.`_seq`;

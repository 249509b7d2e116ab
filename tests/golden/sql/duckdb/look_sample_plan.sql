-- duckdb: only the text is compared here; the statement is executed on this engine
-- by tests/conformance and tests/acceptance. Lines are broken for reading.

SELECT reverse_etl.changes_vip_5."_identity",
  reverse_etl.changes_vip_5."_alias",
  reverse_etl.changes_vip_5."_primary_key",
  reverse_etl.changes_vip_5."_operation",
  reverse_etl.changes_vip_5."_retry",
  reverse_etl.changes_vip_5."_fields",
  CASE
    WHEN (was."_identity" IS NOT NULL) THEN 1
    ELSE 0 END AS _known,
  was."_alias" AS _was_alias,
  CAST(reverse_etl.changes_vip_5."email" AS VARCHAR) AS now_0,
  CAST(reverse_etl.changes_vip_5."plan" AS VARCHAR) AS now_1,
  CAST(reverse_etl.changes_vip_5."score" AS VARCHAR) AS now_2,
  CAST(was."email" AS VARCHAR) AS was_0,
  CAST(was."plan" AS VARCHAR) AS was_1,
  CAST(was."score" AS VARCHAR) AS was_2
FROM reverse_etl.changes_vip_5
LEFT OUTER JOIN reverse_etl.snapshot_vip_4 AS was ON was."_identity" = reverse_etl.changes_vip_5."_identity"
WHERE reverse_etl.changes_vip_5."_operation" = 'update'
ORDER BY reverse_etl.changes_vip_5."_seq"
LIMIT 10;

SELECT reverse_etl.changes_vip_5."_identity",
  reverse_etl.changes_vip_5."_alias",
  reverse_etl.changes_vip_5."_primary_key",
  reverse_etl.changes_vip_5."_operation",
  reverse_etl.changes_vip_5."_retry",
  reverse_etl.changes_vip_5."_fields",
  0 AS _known,
  CAST(NULL AS VARCHAR) AS _was_alias,
  CAST(reverse_etl.changes_vip_5."email" AS VARCHAR) AS "email",
  CAST(reverse_etl.changes_vip_5."plan" AS VARCHAR) AS "plan",
  CAST(reverse_etl.changes_vip_5."score" AS VARCHAR) AS "score"
FROM reverse_etl.changes_vip_5
WHERE reverse_etl.changes_vip_5."_operation" = 'insert'
ORDER BY reverse_etl.changes_vip_5."_seq"
LIMIT 10;

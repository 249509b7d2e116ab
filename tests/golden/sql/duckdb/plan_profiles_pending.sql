-- duckdb: only the text is compared here; the statement is executed on this engine
-- by tests/conformance and tests/acceptance. Lines are broken for reading.

SELECT CAST(row_number() OVER (ORDER BY planned._phase, planned._operation) AS BIGINT) AS _seq,
  planned._phase,
  planned._operation,
  planned._identity,
  planned._alias,
  planned._primary_key,
  planned._retry,
  planned._carried,
  planned._fields,
  planned."email",
  planned."paid",
  planned."seen",
  planned."joined",
  planned."extras"
FROM (
  SELECT CASE
      WHEN (reverse_etl.snapshot_vip_5."_identity" IS NULL) THEN 0
      ELSE 1 END AS _phase,
    CASE
      WHEN (reverse_etl.snapshot_vip_5."_identity" IS NULL) THEN 'delete'
      WHEN (base."_identity" IS NULL) THEN 'insert'
      WHEN (pending_vip."_operation" = 'insert' AND pending_vip."_origin" != 'residue') THEN 'insert'
      ELSE 'update' END AS _operation,
    CASE
      WHEN (reverse_etl.snapshot_vip_5."_identity" IS NOT NULL) THEN reverse_etl.snapshot_vip_5."_identity"
      ELSE CASE
      WHEN (base."_identity" IS NOT NULL) THEN base."_identity"
      ELSE pending_vip."_identity" END END AS _identity,
    CASE
      WHEN (reverse_etl.snapshot_vip_5."_identity" IS NOT NULL) THEN reverse_etl.snapshot_vip_5."_alias"
      ELSE CASE
      WHEN (base."_identity" IS NOT NULL) THEN base."_alias"
      ELSE pending_vip."_alias" END END AS _alias,
    CASE
      WHEN (reverse_etl.snapshot_vip_5."_identity" IS NOT NULL) THEN reverse_etl.snapshot_vip_5."_primary_key"
      ELSE CASE
      WHEN (base."_identity" IS NOT NULL) THEN base."_primary_key"
      ELSE pending_vip."_primary_key" END END AS _primary_key,
    CAST(coalesce(pending_vip."_due" AND pending_vip."_origin" IN ('plan', 'failed'), false) AS BOOLEAN) AS _retry,
    CAST(coalesce(pending_vip."_operation" = 'delete' AND pending_vip."_origin" IN ('plan', 'failed'), false) AS BOOLEAN) AS _carried,
    CASE
      WHEN (reverse_etl.snapshot_vip_5."_identity" IS NOT NULL AND pending_vip."_fields" IS NULL) THEN CAST(NULL AS VARCHAR)
      WHEN (reverse_etl.snapshot_vip_5."_identity" IS NOT NULL AND base."_identity" IS NOT NULL) THEN CASE
      WHEN (CASE WHEN (pending_vip."_operation" = 'insert' AND pending_vip."_origin" IN ('plan', 'failed')) THEN coalesce(pending_vip."_fields", '[]') ELSE CASE WHEN (pending_vip."_fields" IS NULL) THEN '["extras", "joined", "paid", "paid_text", "seen"]' WHEN (strpos(pending_vip."_fields", '["extras", "joined", "paid", "paid_text", "seen"]') > 0) THEN pending_vip."_fields" ELSE pending_vip."_fields" || '
' || '["extras", "joined", "paid", "paid_text", "seen"]' END END IS NULL) THEN '["extras", "joined", "paid", "paid_text", "seen"]'
      WHEN (strpos(CASE WHEN (pending_vip."_operation" = 'insert' AND pending_vip."_origin" IN ('plan', 'failed')) THEN coalesce(pending_vip."_fields", '[]') ELSE CASE WHEN (pending_vip."_fields" IS NULL) THEN '["extras", "joined", "paid", "paid_text", "seen"]' WHEN (strpos(pending_vip."_fields", '["extras", "joined", "paid", "paid_text", "seen"]') > 0) THEN pending_vip."_fields" ELSE pending_vip."_fields" || '
' || '["extras", "joined", "paid", "paid_text", "seen"]' END END, '["extras", "joined", "paid", "paid_text", "seen"]') > 0) THEN CASE
      WHEN (pending_vip."_operation" = 'insert' AND pending_vip."_origin" IN ('plan', 'failed')) THEN coalesce(pending_vip."_fields", '[]')
      ELSE CASE
      WHEN (pending_vip."_fields" IS NULL) THEN '["extras", "joined", "paid", "paid_text", "seen"]'
      WHEN (strpos(pending_vip."_fields", '["extras", "joined", "paid", "paid_text", "seen"]') > 0) THEN pending_vip."_fields"
      ELSE pending_vip."_fields" || '
' || '["extras", "joined", "paid", "paid_text", "seen"]' END END
      ELSE CASE
      WHEN (pending_vip."_operation" = 'insert' AND pending_vip."_origin" IN ('plan', 'failed')) THEN coalesce(pending_vip."_fields", '[]')
      ELSE CASE
      WHEN (pending_vip."_fields" IS NULL) THEN '["extras", "joined", "paid", "paid_text", "seen"]'
      WHEN (strpos(pending_vip."_fields", '["extras", "joined", "paid", "paid_text", "seen"]') > 0) THEN pending_vip."_fields"
      ELSE pending_vip."_fields" || '
' || '["extras", "joined", "paid", "paid_text", "seen"]' END END || '
' || '["extras", "joined", "paid", "paid_text", "seen"]' END
      WHEN (reverse_etl.snapshot_vip_5."_identity" IS NOT NULL) THEN CASE
      WHEN (pending_vip."_fields" IS NULL) THEN '["extras", "joined", "paid", "paid_text", "seen"]'
      WHEN (strpos(pending_vip."_fields", '["extras", "joined", "paid", "paid_text", "seen"]') > 0) THEN pending_vip."_fields"
      ELSE pending_vip."_fields" || '
' || '["extras", "joined", "paid", "paid_text", "seen"]' END
      WHEN (base."_identity" IS NOT NULL) THEN CASE
      WHEN (pending_vip."_operation" = 'insert' AND pending_vip."_origin" IN ('plan', 'failed')) THEN coalesce(pending_vip."_fields", '[]')
      ELSE CASE
      WHEN (pending_vip."_fields" IS NULL) THEN '["extras", "joined", "paid", "paid_text", "seen"]'
      WHEN (strpos(pending_vip."_fields", '["extras", "joined", "paid", "paid_text", "seen"]') > 0) THEN pending_vip."_fields"
      ELSE pending_vip."_fields" || '
' || '["extras", "joined", "paid", "paid_text", "seen"]' END END
      ELSE pending_vip."_fields" END AS _fields,
    CASE
      WHEN (reverse_etl.snapshot_vip_5."_identity" IS NOT NULL) THEN reverse_etl.snapshot_vip_5."email"
      ELSE base."email" END AS "email",
    CASE
      WHEN (reverse_etl.snapshot_vip_5."_identity" IS NOT NULL) THEN reverse_etl.snapshot_vip_5."paid"
      ELSE base."paid" END AS "paid",
    CASE
      WHEN (reverse_etl.snapshot_vip_5."_identity" IS NOT NULL) THEN reverse_etl.snapshot_vip_5."seen"
      ELSE base."seen" END AS "seen",
    CASE
      WHEN (reverse_etl.snapshot_vip_5."_identity" IS NOT NULL) THEN reverse_etl.snapshot_vip_5."joined"
      ELSE base."joined" END AS "joined",
    CASE
      WHEN (reverse_etl.snapshot_vip_5."_identity" IS NOT NULL) THEN reverse_etl.snapshot_vip_5."extras"
      ELSE base."extras" END AS "extras"
  FROM (
    SELECT differing._identity AS _identity
    FROM (
      SELECT coalesce(here._identity, there._identity) AS _identity
      FROM (
        SELECT reverse_etl.snapshot_vip_5."_identity" AS _identity,
          hash(CASE WHEN regexp_matches(typeof(CAST(reverse_etl.snapshot_vip_5."paid" AS VARCHAR)), '^(U?HUGEINT|BIGNUM|DECIMAL[(](19|[23][0-9]),.*|(STRUCT|MAP|UNION)[(].*|.*\])$') THEN hash(CAST(CAST(reverse_etl.snapshot_vip_5."paid" AS VARCHAR) AS VARCHAR)) ELSE hash(CAST(reverse_etl.snapshot_vip_5."paid" AS VARCHAR)) END, CASE WHEN regexp_matches(typeof(reverse_etl.snapshot_vip_5."paid"), '^(U?HUGEINT|BIGNUM|DECIMAL[(](19|[23][0-9]),.*|(STRUCT|MAP|UNION)[(].*|.*\])$') THEN hash(CAST(reverse_etl.snapshot_vip_5."paid" AS VARCHAR)) ELSE hash(reverse_etl.snapshot_vip_5."paid") END, CASE WHEN regexp_matches(typeof(date_trunc('second', reverse_etl.snapshot_vip_5."seen")), '^(U?HUGEINT|BIGNUM|DECIMAL[(](19|[23][0-9]),.*|(STRUCT|MAP|UNION)[(].*|.*\])$') THEN hash(CAST(date_trunc('second', reverse_etl.snapshot_vip_5."seen") AS VARCHAR)) ELSE hash(date_trunc('second', reverse_etl.snapshot_vip_5."seen")) END, CASE WHEN regexp_matches(typeof(date_trunc('second', timezone('UTC', reverse_etl.snapshot_vip_5."joined"))), '^(U?HUGEINT|BIGNUM|DECIMAL[(](19|[23][0-9]),.*|(STRUCT|MAP|UNION)[(].*|.*\])$') THEN hash(CAST(date_trunc('second', timezone('UTC', reverse_etl.snapshot_vip_5."joined")) AS VARCHAR)) ELSE hash(date_trunc('second', timezone('UTC', reverse_etl.snapshot_vip_5."joined"))) END, CASE WHEN regexp_matches(typeof(CASE WHEN regexp_matches(reverse_etl.snapshot_vip_5."extras", '[0-9.]{16}') THEN reverse_etl.snapshot_vip_5."extras" ELSE coalesce(TRY(json(reverse_etl.snapshot_vip_5."extras")), reverse_etl.snapshot_vip_5."extras") END), '^(U?HUGEINT|BIGNUM|DECIMAL[(](19|[23][0-9]),.*|(STRUCT|MAP|UNION)[(].*|.*\])$') THEN hash(CAST(CASE WHEN regexp_matches(reverse_etl.snapshot_vip_5."extras", '[0-9.]{16}') THEN reverse_etl.snapshot_vip_5."extras" ELSE coalesce(TRY(json(reverse_etl.snapshot_vip_5."extras")), reverse_etl.snapshot_vip_5."extras") END AS VARCHAR)) ELSE hash(CASE WHEN regexp_matches(reverse_etl.snapshot_vip_5."extras", '[0-9.]{16}') THEN reverse_etl.snapshot_vip_5."extras" ELSE coalesce(TRY(json(reverse_etl.snapshot_vip_5."extras")), reverse_etl.snapshot_vip_5."extras") END) END) AS _hash
        FROM reverse_etl.snapshot_vip_5
      ) AS here
      FULL OUTER JOIN (
        SELECT base."_identity" AS _identity,
          hash(CASE WHEN regexp_matches(typeof(CAST(base."paid" AS VARCHAR)), '^(U?HUGEINT|BIGNUM|DECIMAL[(](19|[23][0-9]),.*|(STRUCT|MAP|UNION)[(].*|.*\])$') THEN hash(CAST(CAST(base."paid" AS VARCHAR) AS VARCHAR)) ELSE hash(CAST(base."paid" AS VARCHAR)) END, CASE WHEN regexp_matches(typeof(base."paid"), '^(U?HUGEINT|BIGNUM|DECIMAL[(](19|[23][0-9]),.*|(STRUCT|MAP|UNION)[(].*|.*\])$') THEN hash(CAST(base."paid" AS VARCHAR)) ELSE hash(base."paid") END, CASE WHEN regexp_matches(typeof(date_trunc('second', base."seen")), '^(U?HUGEINT|BIGNUM|DECIMAL[(](19|[23][0-9]),.*|(STRUCT|MAP|UNION)[(].*|.*\])$') THEN hash(CAST(date_trunc('second', base."seen") AS VARCHAR)) ELSE hash(date_trunc('second', base."seen")) END, CASE WHEN regexp_matches(typeof(date_trunc('second', timezone('UTC', base."joined"))), '^(U?HUGEINT|BIGNUM|DECIMAL[(](19|[23][0-9]),.*|(STRUCT|MAP|UNION)[(].*|.*\])$') THEN hash(CAST(date_trunc('second', timezone('UTC', base."joined")) AS VARCHAR)) ELSE hash(date_trunc('second', timezone('UTC', base."joined"))) END, CASE WHEN regexp_matches(typeof(CASE WHEN regexp_matches(base."extras", '[0-9.]{16}') THEN base."extras" ELSE coalesce(TRY(json(base."extras")), base."extras") END), '^(U?HUGEINT|BIGNUM|DECIMAL[(](19|[23][0-9]),.*|(STRUCT|MAP|UNION)[(].*|.*\])$') THEN hash(CAST(CASE WHEN regexp_matches(base."extras", '[0-9.]{16}') THEN base."extras" ELSE coalesce(TRY(json(base."extras")), base."extras") END AS VARCHAR)) ELSE hash(CASE WHEN regexp_matches(base."extras", '[0-9.]{16}') THEN base."extras" ELSE coalesce(TRY(json(base."extras")), base."extras") END) END) AS _hash
        FROM reverse_etl.snapshot_vip_4 AS base
      ) AS there ON here._identity = there._identity
      WHERE here._hash IS DISTINCT FROM there._hash
    ) AS differing
    UNION
    SELECT pending_vip."_identity" AS _identity
    FROM pending_vip
    WHERE pending_vip."_due"
  ) AS keys
  LEFT OUTER JOIN reverse_etl.snapshot_vip_5 ON reverse_etl.snapshot_vip_5."_identity" = keys._identity
  LEFT OUTER JOIN reverse_etl.snapshot_vip_4 AS base ON base."_identity" = keys._identity
  LEFT OUTER JOIN pending_vip ON pending_vip."_identity" = keys._identity
  WHERE true
) AS planned;

-- postgresql: only the text is compared here; the statement is executed on this engine
-- by tests/conformance and tests/acceptance. Lines are broken for reading.

WITH shared_identity AS MATERIALIZED (
  SELECT reverse_etl.snapshot_vip_5."_identity" AS value
  FROM reverse_etl.snapshot_vip_5
  WHERE reverse_etl.snapshot_vip_5."_identity" IS NOT NULL
  GROUP BY reverse_etl.snapshot_vip_5."_identity"
  HAVING count(*) > 1
),
  shared_alias AS MATERIALIZED (
  SELECT reverse_etl.snapshot_vip_5."_alias" AS value
  FROM reverse_etl.snapshot_vip_5
  WHERE reverse_etl.snapshot_vip_5."_alias" IS NOT NULL
  GROUP BY reverse_etl.snapshot_vip_5."_alias"
  HAVING count(*) > 1
)
SELECT reverse_etl.snapshot_vip_5."_identity",
  reverse_etl.snapshot_vip_5."_alias",
  reverse_etl.snapshot_vip_5."_primary_key",
  reverse_etl.snapshot_vip_5."user id",
  reverse_etl.snapshot_vip_5."customer_id",
  reverse_etl.snapshot_vip_5."email",
  reverse_etl.snapshot_vip_5."plan",
  reverse_etl.snapshot_vip_5."score",
  row_number() OVER (ORDER BY reverse_etl.snapshot_vip_5."user id" ASC NULLS LAST, reverse_etl.snapshot_vip_5."customer_id" ASC NULLS LAST, CAST(reverse_etl.snapshot_vip_5."email" AS TEXT) COLLATE "C" ASC NULLS LAST, CAST(reverse_etl.snapshot_vip_5."plan" AS TEXT) COLLATE "C" ASC NULLS LAST, reverse_etl.snapshot_vip_5."score" ASC NULLS LAST) AS _rank
FROM reverse_etl.snapshot_vip_5
LEFT OUTER JOIN shared_identity ON shared_identity.value = reverse_etl.snapshot_vip_5."_identity"
LEFT OUTER JOIN shared_alias ON shared_alias.value = reverse_etl.snapshot_vip_5."_alias"
WHERE reverse_etl.snapshot_vip_5."_identity" IS NULL
    OR shared_identity.value IS NOT NULL
    OR shared_alias.value IS NOT NULL;

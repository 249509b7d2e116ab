-- snowflake: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT "reverse_etl"."snapshot_vip_4"."_identity",
  "reverse_etl"."snapshot_vip_4"."_primary_key",
  CAST("reverse_etl"."snapshot_vip_4"."email" AS VARCHAR) AS "email",
  CAST("reverse_etl"."snapshot_vip_4"."plan" AS VARCHAR) AS "plan",
  "reverse_etl"."snapshot_vip_4"."score"
FROM "reverse_etl"."snapshot_vip_4"
WHERE "reverse_etl"."snapshot_vip_4"."_identity" IN ('ada@x.com', 'o''hara@x.com')
    OR "reverse_etl"."snapshot_vip_4"."_primary_key" = '7'
ORDER BY "reverse_etl"."snapshot_vip_4"."_identity"
LIMIT 21;

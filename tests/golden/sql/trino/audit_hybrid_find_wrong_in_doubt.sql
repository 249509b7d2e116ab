-- trino: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT reverse_etl.people_vip."_identity",
  reverse_etl.people_vip."_alias",
  reverse_etl.people_vip."_primary_key",
  'update' AS _operation
FROM reverse_etl.people_vip
WHERE NOT reverse_etl.people_vip."_open"
    AND NOT reverse_etl.people_vip."_found"
UNION ALL
SELECT ours."_identity",
  ours._alias,
  ours."_primary_key",
  ours._operation
FROM (
  SELECT reverse_etl.claims_vip."_identity" AS "_identity",
    reverse_etl.claims_vip."_alias" AS _alias,
    reverse_etl.claims_vip."_primary_key" AS "_primary_key",
    'delete' AS _operation
  FROM reverse_etl.claims_vip
  JOIN reverse_etl.extras_vip ON reverse_etl.extras_vip."_handle" = reverse_etl.claims_vip."_identity"
      AND reverse_etl.extras_vip."_in_first" = 1
  LEFT OUTER JOIN reverse_etl.extras_vip AS pair ON pair."_other" = ('email:' || reverse_etl.claims_vip."_alias")
      AND pair."_in_first" = 0
  WHERE reverse_etl.extras_vip."_open" IS NULL
      AND (reverse_etl.extras_vip."_in_first" = 1 AND reverse_etl.extras_vip."_in_second" = 1 OR pair."_other" IS NOT NULL)
  UNION
  SELECT reverse_etl.claims_vip."_identity" AS "_identity",
    substr(reverse_etl.extras_vip."_other", 7) AS _alias,
    reverse_etl.claims_vip."_primary_key" AS "_primary_key",
    'delete' AS _operation
  FROM reverse_etl.claims_vip
  JOIN reverse_etl.extras_vip ON reverse_etl.extras_vip."_other" = reverse_etl.claims_vip."_identity"
      AND reverse_etl.extras_vip."_in_second" = 1
  WHERE reverse_etl.extras_vip."_open" IS NULL
      AND reverse_etl.extras_vip."_in_first" = 1
      AND reverse_etl.extras_vip."_in_second" = 1
) AS ours;

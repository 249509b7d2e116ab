-- redshift: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT people_vip."_identity",
  people_vip."_alias",
  people_vip."_primary_key",
  'update' AS _operation
FROM people_vip
WHERE NOT people_vip."_open"
    AND NOT people_vip."_found"
UNION ALL
SELECT ours."_identity",
  ours._alias,
  ours."_primary_key",
  ours._operation
FROM (
  SELECT claims_vip."_identity" AS "_identity",
    claims_vip."_alias" AS _alias,
    claims_vip."_primary_key" AS "_primary_key",
    'delete' AS _operation
  FROM claims_vip
  JOIN extras_vip ON extras_vip."_handle" = claims_vip."_identity"
      AND extras_vip."_in_first" = 1
  LEFT OUTER JOIN extras_vip AS pair ON pair."_other" = ('email:' || claims_vip."_alias")
      AND pair."_in_first" = 0
  WHERE extras_vip."_open" IS NULL
      AND (extras_vip."_in_first" = 1 AND extras_vip."_in_second" = 1 OR pair."_other" IS NOT NULL)
  UNION
  SELECT claims_vip."_identity" AS "_identity",
    substr(extras_vip."_other", 7) AS _alias,
    claims_vip."_primary_key" AS "_primary_key",
    'delete' AS _operation
  FROM claims_vip
  JOIN extras_vip ON extras_vip."_other" = claims_vip."_identity"
      AND extras_vip."_in_second" = 1
  WHERE extras_vip."_open" IS NULL
      AND extras_vip."_in_first" = 1
      AND extras_vip."_in_second" = 1
) AS ours;

-- postgresql: only the text is compared here; the statement is executed on this engine
-- by tests/conformance and tests/acceptance. Lines are broken for reading.

SELECT reverse_etl.refused_vip_5."_kind",
  reverse_etl.refused_vip_5."_error_code",
  CAST(sum(reverse_etl.refused_vip_5."_rows") AS BIGINT) AS sum_1,
  CAST(sum(CASE WHEN reverse_etl.refused_vip_5."_new" THEN reverse_etl.refused_vip_5."_rows" ELSE 0 END) AS BIGINT) AS sum_2
FROM reverse_etl.refused_vip_5
GROUP BY reverse_etl.refused_vip_5."_kind",
  reverse_etl.refused_vip_5."_error_code"
ORDER BY CAST(sum(reverse_etl.refused_vip_5."_rows") AS BIGINT) DESC;

SELECT placed."_error_code",
  placed."_identity",
  placed."_primary_key",
  placed."_error_reason"
FROM (
  SELECT reverse_etl.refused_vip_5."_error_code" AS "_error_code",
    reverse_etl.refused_vip_5."_identity" AS "_identity",
    reverse_etl.refused_vip_5."_primary_key" AS "_primary_key",
    reverse_etl.refused_vip_5."_error_reason" AS "_error_reason",
    row_number() OVER (PARTITION BY reverse_etl.refused_vip_5."_error_code" ORDER BY reverse_etl.refused_vip_5."_primary_key", reverse_etl.refused_vip_5."_identity") AS _place
  FROM reverse_etl.refused_vip_5
) AS placed
WHERE placed._place <= 3
ORDER BY placed."_error_code",
  placed._place;

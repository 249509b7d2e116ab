-- duckdb: only the text is compared here; the statement is executed on this engine
-- by tests/conformance and tests/acceptance. Lines are broken for reading.

SELECT reverse_etl.refused_vip_5."_identity",
  reverse_etl.refused_vip_5."_primary_key",
  reverse_etl.refused_vip_5."_error_code",
  reverse_etl.refused_vip_5."_error_reason"
FROM reverse_etl.refused_vip_5
WHERE reverse_etl.refused_vip_5."_identity" IN ('ada@x.com', 'o''hara@x.com')
ORDER BY reverse_etl.refused_vip_5."_identity",
  reverse_etl.refused_vip_5."_primary_key"
LIMIT 21;

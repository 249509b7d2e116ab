-- databricks: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT reverse_etl.refused_vip_5.`_kind`,
  reverse_etl.refused_vip_5.`_new`,
  CAST(sum(reverse_etl.refused_vip_5.`_rows`) AS BIGINT) AS sum_1
FROM reverse_etl.refused_vip_5
GROUP BY reverse_etl.refused_vip_5.`_kind`,
  reverse_etl.refused_vip_5.`_new`;

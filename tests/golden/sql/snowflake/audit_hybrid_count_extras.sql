-- snowflake: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT "reverse_etl"."extras_vip"."_in_first",
  "reverse_etl"."extras_vip"."_in_second",
  "reverse_etl"."extras_vip"."_open",
  count(*) AS "count_1"
FROM "reverse_etl"."extras_vip"
GROUP BY "reverse_etl"."extras_vip"."_in_first",
  "reverse_etl"."extras_vip"."_in_second",
  "reverse_etl"."extras_vip"."_open";

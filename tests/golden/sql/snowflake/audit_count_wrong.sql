-- snowflake: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT "reverse_etl"."audited_vip"."_operation",
  count(*) AS "count_1"
FROM "reverse_etl"."audited_vip"
GROUP BY "reverse_etl"."audited_vip"."_operation";

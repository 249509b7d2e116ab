-- snowflake: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT "reverse_etl"."left_open_vip"."_identity",
  "reverse_etl"."left_open_vip"."_origin"
FROM "reverse_etl"."left_open_vip"
ORDER BY "reverse_etl"."left_open_vip"."_identity"
LIMIT 10;

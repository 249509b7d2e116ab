-- snowflake: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT CAST(hash_agg("reverse_etl"."changes_vip_5"."_identity", "reverse_etl"."changes_vip_5"."score") AS VARCHAR) AS "hash_agg_1"
FROM "reverse_etl"."changes_vip_5";

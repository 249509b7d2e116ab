-- snowflake: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT "reverse_etl"."sync_runs"."sync_name",
  max("reverse_etl"."sync_runs"."finished_at") AS "max_1"
FROM "reverse_etl"."sync_runs"
WHERE "reverse_etl"."sync_runs"."sync_name" IN ('vip', 'people')
    AND "reverse_etl"."sync_runs"."status" IN ('succeeded', 'completed_with_failures')
GROUP BY "reverse_etl"."sync_runs"."sync_name";

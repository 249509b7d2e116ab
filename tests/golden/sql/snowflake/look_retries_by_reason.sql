-- snowflake: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT "reverse_etl"."failed_records"."error_code",
  count(*) AS "count_1"
FROM "reverse_etl"."changes_vip_5"
LEFT OUTER JOIN "reverse_etl"."failed_records" ON "reverse_etl"."failed_records"."sync_name" = 'vip'
    AND "reverse_etl"."failed_records"."identity" = "reverse_etl"."changes_vip_5"."_identity"
    AND NOT "reverse_etl"."failed_records"."unidentified"
WHERE "reverse_etl"."changes_vip_5"."_retry"
GROUP BY "reverse_etl"."failed_records"."error_code"
ORDER BY count(*) DESC;

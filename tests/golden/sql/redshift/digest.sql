-- redshift: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT CAST(sum(CAST(fnv_hash(coalesce('=' || CAST(reverse_etl.changes_vip_5."score" AS VARCHAR(65535)), ''), fnv_hash(coalesce('=' || CAST(reverse_etl.changes_vip_5."_identity" AS VARCHAR(65535)), ''))) AS NUMERIC(38, 0))) AS VARCHAR(65535)) AS sum_1
FROM reverse_etl.changes_vip_5;

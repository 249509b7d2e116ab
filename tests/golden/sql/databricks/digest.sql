-- databricks: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT CAST(sum(CAST(xxhash64(to_json(array(CAST(reverse_etl.changes_vip_5.`_identity` AS STRING), CAST(reverse_etl.changes_vip_5.`score` AS STRING)))) AS DECIMAL(38, 0))) AS STRING) AS sum_1
FROM reverse_etl.changes_vip_5;

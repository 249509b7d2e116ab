-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT CAST(sum(CAST(farm_fingerprint(to_json_string(struct(`changes_vip_5`.`_identity`, `changes_vip_5`.`score`))) AS NUMERIC)) AS STRING) AS `sum_1`
FROM `reverse_etl`.`changes_vip_5`;

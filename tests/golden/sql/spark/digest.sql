-- spark: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT CAST(sum(CAST(xxhash64(to_json(array(CAST(`reverse_etl`.`changes_vip_5`.`_identity` AS STRING), CAST(`reverse_etl`.`changes_vip_5`.`score` AS STRING)))) AS DECIMAL(38, 0))) AS STRING) AS `sum_1`
FROM `reverse_etl`.`changes_vip_5`;

-- clickhouse: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT CAST(sum(toUInt128(sipHash64(tuple(`reverse_etl`.`changes_vip_5`.`_identity`, `reverse_etl`.`changes_vip_5`.`score`)))) AS Nullable(String)) AS `sum_1`
FROM `reverse_etl`.`changes_vip_5`;

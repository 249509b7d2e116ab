-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT CAST(sum(CAST(conv(left(md5(concat(coalesce(concat(octet_length(CAST(reverse_etl.changes_vip_5.`_identity` AS BINARY)), ':', CAST(reverse_etl.changes_vip_5.`_identity` AS BINARY)), '-'), coalesce(concat(octet_length(CAST(reverse_etl.changes_vip_5.`score` AS BINARY)), ':', CAST(reverse_etl.changes_vip_5.`score` AS BINARY)), '-'))), 15), 16, 10) AS DECIMAL(38, 0))) AS CHAR) AS sum_1
FROM reverse_etl.changes_vip_5;

-- clickhouse: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT `tried`.`_operation`,
  `tried`.`status`,
  count(*) AS `count_1`
FROM (
  SELECT `reverse_etl`.`changes_vip_5`.`_operation` AS `_operation`,
    `reverse_etl`.`changes_vip_5`.`_identity` AS `_identity`,
    `reverse_etl`.`changes_vip_5`.`_alias` AS `_alias`,
    `reverse_etl`.`changes_vip_5`.`_primary_key` AS `_primary_key`,
    CAST('succeeded' AS Nullable(String)) AS `status`,
    CAST(NULL AS Nullable(String)) AS `error_code`,
    CAST(NULL AS Nullable(String)) AS `error_reason`,
    false AS `retryable`,
    1 AS `attempts`,
    CAST(NULL AS Nullable(String)) AS `fields`
  FROM `reverse_etl`.`changes_vip_5`
  WHERE `reverse_etl`.`changes_vip_5`.`_seq` <= 120
) AS `tried`
GROUP BY `tried`.`_operation`,
  `tried`.`status`;

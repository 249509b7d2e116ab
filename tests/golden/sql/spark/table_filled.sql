-- spark: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

CREATE TABLE `reverse_etl`.`snapshot_vip_5` USING PARQUET AS
SELECT count(*) AS `count_1`
FROM `reverse_etl`.`changes_vip_5`;

CREATE TABLE `reverse_etl`.`pending_vip` USING PARQUET AS
SELECT count(*) AS `count_1`
FROM `reverse_etl`.`changes_vip_5`;

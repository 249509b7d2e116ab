-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

CREATE TABLE `reverse_etl`.`snapshot_vip_5` AS
SELECT count(*) AS `count_1`
FROM `reverse_etl`.`changes_vip_5`;

CREATE TABLE `reverse_etl`.`pending_vip` AS
SELECT count(*) AS `count_1`
FROM `reverse_etl`.`changes_vip_5`;

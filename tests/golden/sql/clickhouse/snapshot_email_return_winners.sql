-- clickhouse: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

DELETE
FROM `reverse_etl`.`snapshot_vip_5`
WHERE `_identity` IS NULL;

DELETE
FROM `reverse_etl`.`snapshot_vip_5`
WHERE `_identity` IN (
  SELECT `_identity`
  FROM `reverse_etl`.`contested_vip`
  WHERE `_identity` IS NOT NULL
);

INSERT INTO `reverse_etl`.`snapshot_vip_5` (`_identity`, `_alias`, `_primary_key`, `customer_id`, `email`, `plan`, `score`)
SELECT `reverse_etl`.`resolved_vip`.`_person`,
  `reverse_etl`.`resolved_vip`.`_alias`,
  `reverse_etl`.`resolved_vip`.`_primary_key`,
  `reverse_etl`.`resolved_vip`.`customer_id`,
  `reverse_etl`.`resolved_vip`.`email`,
  `reverse_etl`.`resolved_vip`.`plan`,
  `reverse_etl`.`resolved_vip`.`score`
FROM `reverse_etl`.`resolved_vip`
WHERE `reverse_etl`.`resolved_vip`.`_person` IS NOT NULL
    AND `reverse_etl`.`resolved_vip`.`_place` = 1;

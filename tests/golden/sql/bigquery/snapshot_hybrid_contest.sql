-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT `snapshot_vip_5`.`_identity`,
  `snapshot_vip_5`.`_alias`,
  `snapshot_vip_5`.`_primary_key`,
  `snapshot_vip_5`.`user id`,
  `snapshot_vip_5`.`customer_id`,
  `snapshot_vip_5`.`email`,
  `snapshot_vip_5`.`plan`,
  `snapshot_vip_5`.`score`,
  row_number() OVER (ORDER BY `snapshot_vip_5`.`user id` ASC NULLS LAST, `snapshot_vip_5`.`customer_id` ASC NULLS LAST, `snapshot_vip_5`.`email` ASC NULLS LAST, `snapshot_vip_5`.`plan` ASC NULLS LAST, `snapshot_vip_5`.`score` ASC NULLS LAST) AS `_rank`
FROM `reverse_etl`.`snapshot_vip_5`
LEFT OUTER JOIN (
  SELECT `snapshot_vip_5`.`_identity` AS `value`
  FROM `reverse_etl`.`snapshot_vip_5`
  WHERE `snapshot_vip_5`.`_identity` IS NOT NULL
  GROUP BY `snapshot_vip_5`.`_identity`
  HAVING count(*) > 1
) AS `shared_identity` ON `shared_identity`.`value` = `snapshot_vip_5`.`_identity`
LEFT OUTER JOIN (
  SELECT `snapshot_vip_5`.`_alias` AS `value`
  FROM `reverse_etl`.`snapshot_vip_5`
  WHERE `snapshot_vip_5`.`_alias` IS NOT NULL
  GROUP BY `snapshot_vip_5`.`_alias`
  HAVING count(*) > 1
) AS `shared_alias` ON `shared_alias`.`value` = `snapshot_vip_5`.`_alias`
WHERE `snapshot_vip_5`.`_identity` IS NULL
    OR `shared_identity`.`value` IS NOT NULL
    OR `shared_alias`.`value` IS NOT NULL;

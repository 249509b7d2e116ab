-- spark: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT `reverse_etl`.`snapshot_vip_4`.`_identity`,
  `reverse_etl`.`snapshot_vip_4`.`_alias`,
  `reverse_etl`.`snapshot_vip_4`.`_primary_key`,
  `reverse_etl`.`left_open_vip`.`_identity` IS NOT NULL AS `_open`,
  `reverse_etl`.`lines_vip`.`_handle` IS NOT NULL AS `_found`,
  CAST(NULL AS STRING) AS `_half`
FROM `reverse_etl`.`snapshot_vip_4`
LEFT OUTER JOIN `reverse_etl`.`left_open_vip` ON `reverse_etl`.`left_open_vip`.`_identity` = `reverse_etl`.`snapshot_vip_4`.`_identity`
LEFT OUTER JOIN `reverse_etl`.`lines_vip` ON `reverse_etl`.`lines_vip`.`_handle` = `reverse_etl`.`snapshot_vip_4`.`_identity`;

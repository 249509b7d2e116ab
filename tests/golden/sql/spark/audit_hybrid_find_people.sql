-- spark: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT `reverse_etl`.`snapshot_vip_4`.`_identity`,
  `reverse_etl`.`snapshot_vip_4`.`_alias`,
  `reverse_etl`.`snapshot_vip_4`.`_primary_key`,
  `reverse_etl`.`left_open_vip`.`_identity` IS NOT NULL AS `_open`,
  `reverse_etl`.`lines_vip`.`_handle` IS NOT NULL
    OR `others`.`_other` IS NOT NULL AS `_found`,
  CASE
    WHEN (`reverse_etl`.`lines_vip`.`_handle` IS NOT NULL AND `others`.`_other` IS NULL AND `reverse_etl`.`lines_vip`.`_in_second` = 0) THEN 'first'
    WHEN (`reverse_etl`.`lines_vip`.`_handle` IS NULL AND `others`.`_other` IS NOT NULL AND `others`.`_in_first` = 0) THEN 'second'
    ELSE CAST(NULL AS STRING) END AS `_half`
FROM `reverse_etl`.`snapshot_vip_4`
LEFT OUTER JOIN `reverse_etl`.`left_open_vip` ON `reverse_etl`.`left_open_vip`.`_identity` = `reverse_etl`.`snapshot_vip_4`.`_identity`
LEFT OUTER JOIN `reverse_etl`.`lines_vip` ON `reverse_etl`.`lines_vip`.`_handle` = `reverse_etl`.`snapshot_vip_4`.`_identity`
LEFT OUTER JOIN (
  SELECT `reverse_etl`.`lines_vip`.`_other` AS `_other`,
    max(`reverse_etl`.`lines_vip`.`_in_first`) AS `_in_first`
  FROM `reverse_etl`.`lines_vip`
  WHERE `reverse_etl`.`lines_vip`.`_other` IS NOT NULL
  GROUP BY `reverse_etl`.`lines_vip`.`_other`
) AS `others` ON `others`.`_other` = ('email:' || `reverse_etl`.`snapshot_vip_4`.`_alias`);

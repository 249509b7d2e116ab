-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT `snapshot_vip_4`.`_identity`,
  `snapshot_vip_4`.`_alias`,
  `snapshot_vip_4`.`_primary_key`,
  `left_open_vip`.`_identity` IS NOT NULL AS `_open`,
  `lines_vip`.`_handle` IS NOT NULL AS `_found`,
  CAST(NULL AS STRING) AS `_half`
FROM `reverse_etl`.`snapshot_vip_4`
LEFT OUTER JOIN `reverse_etl`.`left_open_vip` ON `left_open_vip`.`_identity` = `snapshot_vip_4`.`_identity`
LEFT OUTER JOIN `reverse_etl`.`lines_vip` ON `lines_vip`.`_handle` = `snapshot_vip_4`.`_identity`;

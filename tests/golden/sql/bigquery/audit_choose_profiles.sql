-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT `snapshot_vip_4`.`_identity`,
  `snapshot_vip_4`.`_alias`,
  `snapshot_vip_4`.`_primary_key`
FROM `reverse_etl`.`snapshot_vip_4`
LEFT OUTER JOIN `reverse_etl`.`left_open_vip` ON `left_open_vip`.`_identity` = `snapshot_vip_4`.`_identity`
WHERE `left_open_vip`.`_identity` IS NULL
ORDER BY md5(`snapshot_vip_4`.`_identity`),
  `snapshot_vip_4`.`_identity`
LIMIT 100;

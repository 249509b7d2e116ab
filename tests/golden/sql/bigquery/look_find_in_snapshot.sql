-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT `snapshot_vip_4`.`_identity`,
  `snapshot_vip_4`.`_primary_key`,
  CAST(`snapshot_vip_4`.`email` AS STRING) AS `email`,
  CAST(`snapshot_vip_4`.`plan` AS STRING) AS `plan`,
  `snapshot_vip_4`.`score`
FROM `reverse_etl`.`snapshot_vip_4`
WHERE `snapshot_vip_4`.`_identity` IN ('ada@x.com', "o'hara@x.com")
    OR `snapshot_vip_4`.`_primary_key` = '7'
ORDER BY `snapshot_vip_4`.`_identity`
LIMIT 21;

-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT `refused_vip_5`.`_identity`,
  `refused_vip_5`.`_primary_key`,
  `refused_vip_5`.`_error_code`,
  `refused_vip_5`.`_error_reason`
FROM `reverse_etl`.`refused_vip_5`
WHERE `refused_vip_5`.`_identity` IN ('ada@x.com', "o'hara@x.com")
ORDER BY `refused_vip_5`.`_identity`,
  `refused_vip_5`.`_primary_key`
LIMIT 21;

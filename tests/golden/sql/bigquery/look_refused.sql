-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT `refused_vip_5`.`_kind`,
  `refused_vip_5`.`_error_code`,
  CAST(sum(`refused_vip_5`.`_rows`) AS INT64) AS `sum_1`,
  CAST(sum(CASE WHEN `refused_vip_5`.`_new` THEN `refused_vip_5`.`_rows` ELSE 0 END) AS INT64) AS `sum_2`
FROM `reverse_etl`.`refused_vip_5`
GROUP BY `refused_vip_5`.`_kind`,
  `refused_vip_5`.`_error_code`
ORDER BY CAST(sum(`refused_vip_5`.`_rows`) AS INT64) DESC;

SELECT `placed`.`_error_code`,
  `placed`.`_identity`,
  `placed`.`_primary_key`,
  `placed`.`_error_reason`
FROM (
  SELECT `refused_vip_5`.`_error_code` AS `_error_code`,
    `refused_vip_5`.`_identity` AS `_identity`,
    `refused_vip_5`.`_primary_key` AS `_primary_key`,
    `refused_vip_5`.`_error_reason` AS `_error_reason`,
    row_number() OVER (PARTITION BY `refused_vip_5`.`_error_code` ORDER BY `refused_vip_5`.`_primary_key`, `refused_vip_5`.`_identity`) AS `_place`
  FROM `reverse_etl`.`refused_vip_5`
) AS `placed`
WHERE `placed`.`_place` <= 3
ORDER BY `placed`.`_error_code`,
  `placed`.`_place`;

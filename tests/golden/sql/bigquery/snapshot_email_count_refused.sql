-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT `refused_vip_5`.`_kind`,
  `refused_vip_5`.`_new`,
  CAST(sum(`refused_vip_5`.`_rows`) AS INT64) AS `sum_1`
FROM `reverse_etl`.`refused_vip_5`
GROUP BY `refused_vip_5`.`_kind`,
  `refused_vip_5`.`_new`;

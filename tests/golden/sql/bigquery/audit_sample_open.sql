-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT `left_open_vip`.`_identity`,
  `left_open_vip`.`_origin`
FROM `reverse_etl`.`left_open_vip`
ORDER BY `left_open_vip`.`_identity`
LIMIT 10;

-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT `people_vip`.`_open`,
  `people_vip`.`_found`,
  `people_vip`.`_half`,
  count(*) AS `count_1`
FROM `reverse_etl`.`people_vip`
GROUP BY `people_vip`.`_open`,
  `people_vip`.`_found`,
  `people_vip`.`_half`;

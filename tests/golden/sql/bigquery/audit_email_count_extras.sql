-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT `extras_vip`.`_in_first`,
  `extras_vip`.`_in_second`,
  `extras_vip`.`_open`,
  count(*) AS `count_1`
FROM `reverse_etl`.`extras_vip`
GROUP BY `extras_vip`.`_in_first`,
  `extras_vip`.`_in_second`,
  `extras_vip`.`_open`;

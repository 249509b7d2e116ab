-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT CASE
    WHEN (`extras_vip`.`_in_second` = 1 AND `extras_vip`.`_other` IS NOT NULL) THEN `extras_vip`.`_other`
    ELSE `extras_vip`.`_handle` END AS `shown`
FROM `reverse_etl`.`extras_vip`
WHERE `extras_vip`.`_in_first` = 1
    AND `extras_vip`.`_open` IS NULL
    AND NOT (EXISTS (
  SELECT 1 AS `anon_1`
  FROM `reverse_etl`.`audited_vip`
  WHERE `audited_vip`.`_identity` = `extras_vip`.`_handle`
      OR `audited_vip`.`_identity` = `extras_vip`.`_other`
))
ORDER BY `shown`
LIMIT 10;

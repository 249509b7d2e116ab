-- spark: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT `reverse_etl`.`lines_vip`.`_handle`,
  `reverse_etl`.`lines_vip`.`_other`,
  `reverse_etl`.`lines_vip`.`_in_first`,
  `reverse_etl`.`lines_vip`.`_in_second`,
  `left_open`.`own` AS `_open`
FROM `reverse_etl`.`lines_vip`
LEFT OUTER JOIN `reverse_etl`.`snapshot_vip_4` ON `reverse_etl`.`snapshot_vip_4`.`_identity` = `reverse_etl`.`lines_vip`.`_handle`
LEFT OUTER JOIN (
  SELECT `handles`.`handle` AS `handle`,
    max(`handles`.`own`) AS `own`
  FROM (
    SELECT `reverse_etl`.`left_open_vip`.`_identity` AS `handle`,
      1 AS `own`
    FROM `reverse_etl`.`left_open_vip`
  ) AS `handles`
  GROUP BY `handles`.`handle`
) AS `left_open` ON `left_open`.`handle` = `reverse_etl`.`lines_vip`.`_handle`
WHERE `reverse_etl`.`snapshot_vip_4`.`_identity` IS NULL;

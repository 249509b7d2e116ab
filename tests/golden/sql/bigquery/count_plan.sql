-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT `changes_vip_5`.`_phase`,
  `changes_vip_5`.`_operation`,
  `changes_vip_5`.`_retry`,
  `changes_vip_5`.`_carried`,
  count(*) AS `count_1`,
  min(`changes_vip_5`.`_seq`) AS `min_1`,
  max(`changes_vip_5`.`_seq`) AS `max_1`
FROM `reverse_etl`.`changes_vip_5`
GROUP BY `changes_vip_5`.`_phase`,
  `changes_vip_5`.`_operation`,
  `changes_vip_5`.`_retry`,
  `changes_vip_5`.`_carried`;

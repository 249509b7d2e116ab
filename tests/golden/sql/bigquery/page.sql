-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT `changes_vip_5`.`_seq`,
  `changes_vip_5`.`_phase`,
  `changes_vip_5`.`_operation`,
  `changes_vip_5`.`_identity`,
  `changes_vip_5`.`_alias`,
  `changes_vip_5`.`_primary_key`,
  `changes_vip_5`.`_retry`,
  `changes_vip_5`.`_carried`,
  `changes_vip_5`.`_fields`,
  `changes_vip_5`.`email`,
  `changes_vip_5`.`plan`,
  `changes_vip_5`.`score`
FROM `reverse_etl`.`changes_vip_5`
WHERE `changes_vip_5`.`_seq` >= 11
    AND `changes_vip_5`.`_seq` <= 20
ORDER BY `changes_vip_5`.`_seq`;

-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT `found`.`_identity`,
  max(`found`.`_alias`) AS `_alias`,
  max(`found`.`_primary_key`) AS `_primary_key`
FROM (
  SELECT `sync_log`.`identity` AS `_identity`,
    CAST(NULL AS STRING) AS `_alias`,
    `sync_log`.`primary_key` AS `_primary_key`
  FROM `reverse_etl`.`sync_log`
  JOIN `reverse_etl`.`extras_vip` ON `sync_log`.`identity` = `extras_vip`.`_handle`
  WHERE `extras_vip`.`_open` IS NULL
      AND `sync_log`.`sync_name` = 'vip'
      AND `sync_log`.`sync_run_id` >= 2
      AND `sync_log`.`status` = 'succeeded'
      AND `sync_log`.`operation` IN ('insert', 'update')
  UNION ALL
  SELECT `changes_vip_3`.`_identity` AS `_identity`,
    `changes_vip_3`.`_alias` AS `_alias`,
    `changes_vip_3`.`_primary_key` AS `_primary_key`
  FROM `reverse_etl`.`changes_vip_3`
  JOIN `reverse_etl`.`extras_vip` ON `extras_vip`.`_handle` = `changes_vip_3`.`_identity`
  LEFT OUTER JOIN `reverse_etl`.`outcomes_vip_3` ON `outcomes_vip_3`.`seq` = `changes_vip_3`.`_seq`
  WHERE `extras_vip`.`_open` IS NULL
      AND `changes_vip_3`.`_operation` IN ('insert', 'update')
      AND coalesce(`outcomes_vip_3`.`status`, 'succeeded') = 'succeeded'
) AS `found`
GROUP BY `found`.`_identity`;

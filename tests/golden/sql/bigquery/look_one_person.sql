-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT DISTINCT `sync_log`.`identity`
FROM `reverse_etl`.`sync_log`
WHERE `sync_log`.`sync_name` = 'vip'
    AND `sync_log`.`primary_key` = '7'
ORDER BY `sync_log`.`identity`
LIMIT 21;

SELECT DISTINCT `snapshot_vip_4`.`_identity`
FROM `reverse_etl`.`snapshot_vip_4`
WHERE `snapshot_vip_4`.`_primary_key` = '7'
ORDER BY `snapshot_vip_4`.`_identity`
LIMIT 21;

SELECT `sync_log`.`sync_name`,
  `sync_log`.`sync_run_id`,
  `sync_log`.`primary_key`,
  `sync_log`.`identity`,
  `sync_log`.`operation`,
  `sync_log`.`status`,
  `sync_log`.`error_code`,
  `sync_log`.`error_reason`,
  `sync_log`.`attempts`,
  `sync_log`.`sync_started_at`,
  `sync_log`.`sync_finished_at`
FROM `reverse_etl`.`sync_log`
WHERE `sync_log`.`sync_name` = 'vip'
    AND `sync_log`.`identity` IN ('ada@x.com', "o'hara@x.com")
ORDER BY `sync_log`.`sync_run_id`,
  `sync_log`.`primary_key`;

SELECT `failed_records`.`sync_name`,
  `failed_records`.`identity`,
  `failed_records`.`primary_key`,
  `failed_records`.`operation`,
  `failed_records`.`error_code`,
  `failed_records`.`error_reason`,
  `failed_records`.`retryable`,
  `failed_records`.`attempts`,
  `failed_records`.`first_failed_run_id`,
  `failed_records`.`last_failed_run_id`,
  `failed_records`.`first_failed_at`,
  `failed_records`.`last_failed_at`,
  `failed_records`.`alias`,
  `failed_records`.`unidentified`,
  `failed_records`.`fields`,
  `failed_records`.`retry_requested_at`
FROM `reverse_etl`.`failed_records`
WHERE `failed_records`.`sync_name` = 'vip'
    AND `failed_records`.`identity` IN ('ada@x.com', "o'hara@x.com")
ORDER BY `failed_records`.`identity`;

SELECT `residue`.`identity`
FROM `reverse_etl`.`residue`
WHERE `residue`.`sync_name` = 'vip'
    AND `residue`.`sync_run_id` = 4
    AND `residue`.`identity` IN ('ada@x.com', "o'hara@x.com");

SELECT `changes_vip_4`.`_identity`,
  `changes_vip_4`.`_seq`,
  `changes_vip_4`.`_operation`,
  `outcomes_vip_4`.`status`,
  `outcomes_vip_4`.`error_code`
FROM `reverse_etl`.`changes_vip_4`
LEFT OUTER JOIN `reverse_etl`.`outcomes_vip_4` ON `outcomes_vip_4`.`seq` = `changes_vip_4`.`_seq`
WHERE `changes_vip_4`.`_identity` IN ('ada@x.com', "o'hara@x.com");

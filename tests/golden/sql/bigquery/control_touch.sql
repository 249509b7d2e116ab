-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

INSERT INTO `reverse_etl`.`sync_state` (`sync_name`, `lease_owner`, `account_host`, `account_kind`, `account_object`, `target_id`, `target_name`, `mapping`, `moved_to`, `alerts`, `lease_token`, `last_run_id`, `committed_run_id`, `position`, `send_limit`, `requests_sent`, `snapshot_rows`, `changes_rows`, `sync_log_retention_days`, `lease_expires_at`, `target_created_at`, `due_after`)
SELECT `sync_state`.`sync_name`,
  `sync_state`.`lease_owner`,
  `sync_state`.`account_host`,
  `sync_state`.`account_kind`,
  `sync_state`.`account_object`,
  `sync_state`.`target_id`,
  `sync_state`.`target_name`,
  `sync_state`.`mapping`,
  `sync_state`.`moved_to`,
  `sync_state`.`alerts`,
  `sync_state`.`lease_token`,
  `sync_state`.`last_run_id`,
  `sync_state`.`committed_run_id`,
  `sync_state`.`position`,
  `sync_state`.`send_limit`,
  `sync_state`.`requests_sent`,
  `sync_state`.`snapshot_rows`,
  `sync_state`.`changes_rows`,
  `sync_state`.`sync_log_retention_days`,
  `sync_state`.`lease_expires_at`,
  `sync_state`.`target_created_at`,
  `sync_state`.`due_after`
FROM `reverse_etl`.`sync_state`
WHERE false;

UPDATE `reverse_etl`.`sync_state`
SET `sync_name`=`sync_state`.`sync_name`
WHERE false;

DELETE
FROM `reverse_etl`.`sync_state`
WHERE false;

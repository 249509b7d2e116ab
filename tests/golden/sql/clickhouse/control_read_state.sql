-- clickhouse: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT `reverse_etl`.`sync_state`.`sync_name`,
  `reverse_etl`.`sync_state`.`lease_owner`,
  `reverse_etl`.`sync_state`.`account_host`,
  `reverse_etl`.`sync_state`.`account_kind`,
  `reverse_etl`.`sync_state`.`account_object`,
  `reverse_etl`.`sync_state`.`target_id`,
  `reverse_etl`.`sync_state`.`target_name`,
  `reverse_etl`.`sync_state`.`mapping`,
  `reverse_etl`.`sync_state`.`moved_to`,
  `reverse_etl`.`sync_state`.`alerts`,
  `reverse_etl`.`sync_state`.`lease_token`,
  `reverse_etl`.`sync_state`.`last_run_id`,
  `reverse_etl`.`sync_state`.`committed_run_id`,
  `reverse_etl`.`sync_state`.`position`,
  `reverse_etl`.`sync_state`.`send_limit`,
  `reverse_etl`.`sync_state`.`requests_sent`,
  `reverse_etl`.`sync_state`.`snapshot_rows`,
  `reverse_etl`.`sync_state`.`changes_rows`,
  `reverse_etl`.`sync_state`.`sync_log_retention_days`,
  `reverse_etl`.`sync_state`.`lease_expires_at`,
  `reverse_etl`.`sync_state`.`target_created_at`,
  `reverse_etl`.`sync_state`.`due_after`
FROM `reverse_etl`.`sync_state`
WHERE `reverse_etl`.`sync_state`.`sync_name` = 'vip';

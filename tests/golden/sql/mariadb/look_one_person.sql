-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT DISTINCT reverse_etl.sync_log.identity
FROM reverse_etl.sync_log
WHERE reverse_etl.sync_log.sync_name = 'vip'
    AND reverse_etl.sync_log.primary_key = '7'
ORDER BY reverse_etl.sync_log.identity
LIMIT 21;

SELECT DISTINCT reverse_etl.snapshot_vip_4.`_identity`
FROM reverse_etl.snapshot_vip_4
WHERE reverse_etl.snapshot_vip_4.`_primary_key` = '7'
ORDER BY reverse_etl.snapshot_vip_4.`_identity`
LIMIT 21;

SELECT reverse_etl.sync_log.sync_name,
  reverse_etl.sync_log.sync_run_id,
  reverse_etl.sync_log.primary_key,
  reverse_etl.sync_log.identity,
  reverse_etl.sync_log.operation,
  reverse_etl.sync_log.status,
  reverse_etl.sync_log.error_code,
  reverse_etl.sync_log.error_reason,
  reverse_etl.sync_log.attempts,
  reverse_etl.sync_log.sync_started_at,
  reverse_etl.sync_log.sync_finished_at
FROM reverse_etl.sync_log
WHERE reverse_etl.sync_log.sync_name = 'vip'
    AND reverse_etl.sync_log.identity IN ('ada@x.com', 'o''hara@x.com')
ORDER BY reverse_etl.sync_log.sync_run_id,
  reverse_etl.sync_log.primary_key;

SELECT reverse_etl.failed_records.sync_name,
  reverse_etl.failed_records.identity,
  reverse_etl.failed_records.primary_key,
  reverse_etl.failed_records.operation,
  reverse_etl.failed_records.error_code,
  reverse_etl.failed_records.error_reason,
  reverse_etl.failed_records.retryable,
  reverse_etl.failed_records.attempts,
  reverse_etl.failed_records.first_failed_run_id,
  reverse_etl.failed_records.last_failed_run_id,
  reverse_etl.failed_records.first_failed_at,
  reverse_etl.failed_records.last_failed_at,
  reverse_etl.failed_records.alias,
  reverse_etl.failed_records.unidentified,
  reverse_etl.failed_records.fields,
  reverse_etl.failed_records.retry_requested_at
FROM reverse_etl.failed_records
WHERE reverse_etl.failed_records.sync_name = 'vip'
    AND reverse_etl.failed_records.identity IN ('ada@x.com', 'o''hara@x.com')
ORDER BY reverse_etl.failed_records.identity;

SELECT reverse_etl.residue.identity
FROM reverse_etl.residue
WHERE reverse_etl.residue.sync_name = 'vip'
    AND reverse_etl.residue.sync_run_id = 4
    AND reverse_etl.residue.identity IN ('ada@x.com', 'o''hara@x.com');

SELECT reverse_etl.changes_vip_4.`_identity`,
  reverse_etl.changes_vip_4.`_seq`,
  reverse_etl.changes_vip_4.`_operation`,
  reverse_etl.outcomes_vip_4.`status`,
  reverse_etl.outcomes_vip_4.`error_code`
FROM reverse_etl.changes_vip_4
LEFT OUTER JOIN reverse_etl.outcomes_vip_4 ON reverse_etl.outcomes_vip_4.`seq` = reverse_etl.changes_vip_4.`_seq`
WHERE reverse_etl.changes_vip_4.`_identity` IN ('ada@x.com', 'o''hara@x.com');

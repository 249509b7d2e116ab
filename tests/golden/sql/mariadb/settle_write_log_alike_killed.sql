-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

INSERT INTO reverse_etl.sync_log (sync_name, sync_run_id, primary_key, identity, operation, status, error_code, error_reason, attempts, sync_started_at, sync_finished_at)
SELECT 'vip' AS anon_1,
  5 AS anon_2,
  tried.`_primary_key`,
  tried.`_identity`,
  tried.`_operation`,
  tried.status,
  tried.error_code,
  tried.error_reason,
  tried.attempts,
  '2030-01-02 03:04:05' AS anon_3,
  '2030-01-02 03:04:05' AS anon_4
FROM (
  SELECT reverse_etl.changes_vip_5.`_operation` AS `_operation`,
    reverse_etl.changes_vip_5.`_identity` AS `_identity`,
    reverse_etl.changes_vip_5.`_alias` AS `_alias`,
    reverse_etl.changes_vip_5.`_primary_key` AS `_primary_key`,
    CASE
      WHEN (reverse_etl.changes_vip_5.`_seq` > 90) THEN CAST('failed' AS CHAR)
      ELSE CAST('succeeded' AS CHAR) END AS status,
    CASE
      WHEN (reverse_etl.changes_vip_5.`_seq` > 90) THEN CAST('unknown' AS CHAR)
      ELSE CAST(NULL AS CHAR(20000)) END AS error_code,
    CASE
      WHEN (reverse_etl.changes_vip_5.`_seq` > 90) THEN CAST('the run was killed while this change may have been on its way' AS CHAR)
      ELSE CAST(NULL AS CHAR(20000)) END AS error_reason,
    CASE
      WHEN (reverse_etl.changes_vip_5.`_seq` > 90) THEN true
      ELSE false END AS retryable,
    1 AS attempts,
    CAST(NULL AS CHAR(20000)) AS fields
  FROM reverse_etl.changes_vip_5
  WHERE reverse_etl.changes_vip_5.`_seq` <= 120
) AS tried;

INSERT INTO reverse_etl.sync_log (sync_name, sync_run_id, primary_key, identity, operation, status, error_code, error_reason, attempts, sync_started_at, sync_finished_at)
SELECT 'vip' AS anon_1,
  5 AS anon_2,
  reverse_etl.refused_vip_5.`_primary_key`,
  reverse_etl.refused_vip_5.`_identity`,
  'insert' AS anon_3,
  'failed' AS anon_4,
  reverse_etl.refused_vip_5.`_error_code`,
  reverse_etl.refused_vip_5.`_error_reason`,
  0 AS anon_5,
  '2030-01-02 03:04:05' AS anon_6,
  '2030-01-02 03:04:05' AS anon_7
FROM reverse_etl.refused_vip_5
WHERE reverse_etl.refused_vip_5.`_new` = 1
    AND (reverse_etl.refused_vip_5.`_kind` = 'invalid' OR reverse_etl.refused_vip_5.`_differs` = 1);

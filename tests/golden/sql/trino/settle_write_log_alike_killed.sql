-- trino: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

INSERT INTO reverse_etl.sync_log (sync_name, sync_run_id, primary_key, identity, operation, status, error_code, error_reason, attempts, sync_started_at, sync_finished_at)
SELECT 'vip' AS anon_1,
  5 AS anon_2,
  tried."_primary_key",
  tried."_identity",
  tried."_operation",
  tried.status,
  tried.error_code,
  tried.error_reason,
  tried.attempts,
  TIMESTAMP '2030-01-02 03:04:05.000000' AS anon_3,
  TIMESTAMP '2030-01-02 03:04:05.000000' AS anon_4
FROM (
  SELECT reverse_etl.changes_vip_5."_operation" AS "_operation",
    reverse_etl.changes_vip_5."_identity" AS "_identity",
    reverse_etl.changes_vip_5."_alias" AS "_alias",
    reverse_etl.changes_vip_5."_primary_key" AS "_primary_key",
    CASE
      WHEN (reverse_etl.changes_vip_5."_seq" > 90) THEN CAST('failed' AS VARCHAR)
      ELSE CAST('succeeded' AS VARCHAR) END AS status,
    CASE
      WHEN (reverse_etl.changes_vip_5."_seq" > 90) THEN CAST('unknown' AS VARCHAR)
      ELSE CAST(NULL AS VARCHAR) END AS error_code,
    CASE
      WHEN (reverse_etl.changes_vip_5."_seq" > 90) THEN CAST('the run was killed while this change may have been on its way' AS VARCHAR)
      ELSE CAST(NULL AS VARCHAR) END AS error_reason,
    CASE
      WHEN (reverse_etl.changes_vip_5."_seq" > 90) THEN true
      ELSE false END AS retryable,
    1 AS attempts,
    CAST(NULL AS VARCHAR) AS fields
  FROM reverse_etl.changes_vip_5
  WHERE reverse_etl.changes_vip_5."_seq" <= 120
) AS tried;

INSERT INTO reverse_etl.sync_log (sync_name, sync_run_id, primary_key, identity, operation, status, error_code, error_reason, attempts, sync_started_at, sync_finished_at)
SELECT 'vip' AS anon_1,
  5 AS anon_2,
  reverse_etl.refused_vip_5."_primary_key",
  reverse_etl.refused_vip_5."_identity",
  'insert' AS anon_3,
  'failed' AS anon_4,
  reverse_etl.refused_vip_5."_error_code",
  reverse_etl.refused_vip_5."_error_reason",
  0 AS anon_5,
  TIMESTAMP '2030-01-02 03:04:05.000000' AS anon_6,
  TIMESTAMP '2030-01-02 03:04:05.000000' AS anon_7
FROM reverse_etl.refused_vip_5
WHERE reverse_etl.refused_vip_5."_new"
    AND (reverse_etl.refused_vip_5."_kind" = 'invalid' OR reverse_etl.refused_vip_5."_differs");

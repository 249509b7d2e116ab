-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT `both`.sync_name,
  `both`.identity,
  `both`.primary_key,
  `both`.operation,
  `both`.error_code,
  `both`.error_reason,
  `both`.retryable,
  `both`.attempts,
  `both`.first_failed_run_id,
  `both`.last_failed_run_id,
  `both`.first_failed_at,
  `both`.last_failed_at,
  `both`.alias,
  `both`.unidentified,
  `both`.fields,
  `both`.retry_requested_at
FROM (
  SELECT 'vip' AS sync_name,
    tried.`_identity` AS identity,
    tried.`_primary_key` AS primary_key,
    tried.`_operation` AS operation,
    tried.error_code AS error_code,
    tried.error_reason AS error_reason,
    tried.retryable AS retryable,
    coalesce(old.attempts, 0) + 1 AS attempts,
    coalesce(old.first_failed_run_id, 5) AS first_failed_run_id,
    5 AS last_failed_run_id,
    coalesce(old.first_failed_at, '2030-01-02 03:04:05') AS first_failed_at,
    '2030-01-02 03:04:05' AS last_failed_at,
    tried.`_alias` AS alias,
    false AS unidentified,
    tried.fields AS fields,
    CAST(NULL AS DATETIME(6)) AS retry_requested_at
  FROM (
    SELECT reverse_etl.changes_vip_5.`_operation` AS `_operation`,
      reverse_etl.changes_vip_5.`_identity` AS `_identity`,
      reverse_etl.changes_vip_5.`_alias` AS `_alias`,
      reverse_etl.changes_vip_5.`_primary_key` AS `_primary_key`,
      CASE
        WHEN (reverse_etl.outcomes_vip_5.`seq` IS NOT NULL) THEN reverse_etl.outcomes_vip_5.`status`
        WHEN (reverse_etl.outcomes_vip_5.`seq` IS NULL AND reverse_etl.changes_vip_5.`_seq` > 90) THEN 'failed'
        ELSE 'succeeded' END AS status,
      CASE
        WHEN (reverse_etl.outcomes_vip_5.`seq` IS NULL AND reverse_etl.changes_vip_5.`_seq` > 90) THEN 'unknown'
        ELSE reverse_etl.outcomes_vip_5.`error_code` END AS error_code,
      CASE
        WHEN (reverse_etl.outcomes_vip_5.`seq` IS NULL AND reverse_etl.changes_vip_5.`_seq` > 90) THEN 'the run was killed while this change may have been on its way'
        ELSE reverse_etl.outcomes_vip_5.`error_reason` END AS error_reason,
      coalesce(reverse_etl.outcomes_vip_5.`retryable`, reverse_etl.outcomes_vip_5.`seq` IS NULL AND reverse_etl.changes_vip_5.`_seq` > 90) AS retryable,
      coalesce(reverse_etl.outcomes_vip_5.`attempts`, 1) AS attempts,
      CASE
        WHEN (reverse_etl.outcomes_vip_5.`outcome` = 'invalid') THEN coalesce(reverse_etl.changes_vip_5.`_fields`, '[]')
        ELSE coalesce(reverse_etl.changes_vip_5.`_fields`, '["extras", "joined", "paid", "paid_text", "seen"]') END AS fields
    FROM reverse_etl.changes_vip_5
    LEFT OUTER JOIN reverse_etl.outcomes_vip_5 ON reverse_etl.outcomes_vip_5.`seq` = reverse_etl.changes_vip_5.`_seq`
    WHERE reverse_etl.changes_vip_5.`_seq` <= 120
        OR reverse_etl.outcomes_vip_5.`seq` IS NOT NULL
  ) AS tried
  LEFT OUTER JOIN reverse_etl.failed_records AS old ON old.sync_name = 'vip'
      AND old.identity = tried.`_identity`
      AND old.unidentified = 0
  WHERE tried.status = 'failed'
  UNION ALL
  SELECT 'vip' AS sync_name,
    reverse_etl.refused_vip_5.`_identity` AS identity,
    reverse_etl.refused_vip_5.`_primary_key` AS primary_key,
    'insert' AS operation,
    reverse_etl.refused_vip_5.`_error_code` AS error_code,
    reverse_etl.refused_vip_5.`_error_reason` AS error_reason,
    false AS retryable,
    CASE
      WHEN (known.error_code = reverse_etl.refused_vip_5.`_error_code` AND known.error_reason = reverse_etl.refused_vip_5.`_error_reason`) THEN known.attempts
      ELSE coalesce(known.attempts, 0) + 1 END AS attempts,
    CASE
      WHEN (known.error_code = reverse_etl.refused_vip_5.`_error_code` AND known.error_reason = reverse_etl.refused_vip_5.`_error_reason`) THEN known.first_failed_run_id
      ELSE coalesce(known.first_failed_run_id, 5) END AS first_failed_run_id,
    CASE
      WHEN (known.error_code = reverse_etl.refused_vip_5.`_error_code` AND known.error_reason = reverse_etl.refused_vip_5.`_error_reason`) THEN known.last_failed_run_id
      ELSE 5 END AS last_failed_run_id,
    CASE
      WHEN (known.error_code = reverse_etl.refused_vip_5.`_error_code` AND known.error_reason = reverse_etl.refused_vip_5.`_error_reason`) THEN known.first_failed_at
      ELSE coalesce(known.first_failed_at, '2030-01-02 03:04:05') END AS first_failed_at,
    CASE
      WHEN (known.error_code = reverse_etl.refused_vip_5.`_error_code` AND known.error_reason = reverse_etl.refused_vip_5.`_error_reason`) THEN known.last_failed_at
      ELSE '2030-01-02 03:04:05' END AS last_failed_at,
    CAST(NULL AS CHAR(20000)) AS alias,
    true AS unidentified,
    CAST(NULL AS CHAR(20000)) AS fields,
    CAST(NULL AS DATETIME(6)) AS retry_requested_at
  FROM reverse_etl.refused_vip_5
  LEFT OUTER JOIN reverse_etl.failed_records AS known ON known.sync_name = 'vip'
      AND known.identity = reverse_etl.refused_vip_5.`_identity`
      AND known.unidentified = 1
  WHERE reverse_etl.refused_vip_5.`_kind` = 'invalid'
) AS `both`;

-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT settled.identity,
  settled.unidentified
FROM (
  SELECT reverse_etl.failed_records.identity AS identity,
    reverse_etl.failed_records.unidentified AS unidentified
  FROM reverse_etl.failed_records
  WHERE reverse_etl.failed_records.sync_name = 'vip'
      AND reverse_etl.failed_records.unidentified = 0
      AND reverse_etl.failed_records.identity IN (
    SELECT tried.`_identity`
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
        CAST(NULL AS CHAR(20000)) AS fields
      FROM reverse_etl.changes_vip_5
      LEFT OUTER JOIN reverse_etl.outcomes_vip_5 ON reverse_etl.outcomes_vip_5.`seq` = reverse_etl.changes_vip_5.`_seq`
      WHERE reverse_etl.changes_vip_5.`_seq` <= 120
          OR reverse_etl.outcomes_vip_5.`seq` IS NOT NULL
    ) AS tried
  )
  UNION ALL
  SELECT reverse_etl.failed_records.identity AS identity,
    reverse_etl.failed_records.unidentified AS unidentified
  FROM reverse_etl.failed_records
  WHERE reverse_etl.failed_records.sync_name = 'vip'
      AND reverse_etl.failed_records.unidentified = 0
      AND reverse_etl.failed_records.identity IN (
    SELECT reverse_etl.residue.identity
    FROM reverse_etl.residue
    WHERE reverse_etl.residue.sync_name = 'vip'
        AND reverse_etl.residue.sync_run_id = 5
  )
  UNION ALL
  SELECT reverse_etl.failed_records.identity AS identity,
    reverse_etl.failed_records.unidentified AS unidentified
  FROM reverse_etl.failed_records
  WHERE reverse_etl.failed_records.sync_name = 'vip'
      AND reverse_etl.failed_records.unidentified = 1
) AS settled;

-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

INSERT INTO `reverse_etl`.`sync_log` (`sync_name`, `sync_run_id`, `primary_key`, `identity`, `operation`, `status`, `error_code`, `error_reason`, `attempts`, `sync_started_at`, `sync_finished_at`)
SELECT 'vip' AS `anon_1`,
  5 AS `anon_2`,
  `tried`.`_primary_key`,
  `tried`.`_identity`,
  `tried`.`_operation`,
  `tried`.`status`,
  `tried`.`error_code`,
  `tried`.`error_reason`,
  `tried`.`attempts`,
  DATETIME '2030-01-02 03:04:05.000000' AS `anon_3`,
  DATETIME '2030-01-02 03:04:05.000000' AS `anon_4`
FROM (
  SELECT `changes_vip_5`.`_operation` AS `_operation`,
    `changes_vip_5`.`_identity` AS `_identity`,
    `changes_vip_5`.`_alias` AS `_alias`,
    `changes_vip_5`.`_primary_key` AS `_primary_key`,
    CASE
      WHEN (`changes_vip_5`.`_seq` > 90) THEN CAST('failed' AS STRING)
      ELSE CAST('succeeded' AS STRING) END AS `status`,
    CASE
      WHEN (`changes_vip_5`.`_seq` > 90) THEN CAST('unknown' AS STRING)
      ELSE CAST(NULL AS STRING) END AS `error_code`,
    CASE
      WHEN (`changes_vip_5`.`_seq` > 90) THEN CAST('the run was killed while this change may have been on its way' AS STRING)
      ELSE CAST(NULL AS STRING) END AS `error_reason`,
    CASE
      WHEN (`changes_vip_5`.`_seq` > 90) THEN true
      ELSE false END AS `retryable`,
    1 AS `attempts`,
    CAST(NULL AS STRING) AS `fields`
  FROM `reverse_etl`.`changes_vip_5`
  WHERE `changes_vip_5`.`_seq` <= 120
) AS `tried`;

INSERT INTO `reverse_etl`.`sync_log` (`sync_name`, `sync_run_id`, `primary_key`, `identity`, `operation`, `status`, `error_code`, `error_reason`, `attempts`, `sync_started_at`, `sync_finished_at`)
SELECT 'vip' AS `anon_1`,
  5 AS `anon_2`,
  `refused_vip_5`.`_primary_key`,
  `refused_vip_5`.`_identity`,
  'insert' AS `anon_3`,
  'failed' AS `anon_4`,
  `refused_vip_5`.`_error_code`,
  `refused_vip_5`.`_error_reason`,
  0 AS `anon_5`,
  DATETIME '2030-01-02 03:04:05.000000' AS `anon_6`,
  DATETIME '2030-01-02 03:04:05.000000' AS `anon_7`
FROM `reverse_etl`.`refused_vip_5`
WHERE `refused_vip_5`.`_new`
    AND (`refused_vip_5`.`_kind` = 'invalid' OR `refused_vip_5`.`_differs`);

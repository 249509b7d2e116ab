-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT `both`.`sync_name`,
  `both`.`identity`,
  `both`.`primary_key`,
  `both`.`operation`,
  `both`.`error_code`,
  `both`.`error_reason`,
  `both`.`retryable`,
  `both`.`attempts`,
  `both`.`first_failed_run_id`,
  `both`.`last_failed_run_id`,
  `both`.`first_failed_at`,
  `both`.`last_failed_at`,
  `both`.`alias`,
  `both`.`unidentified`,
  `both`.`fields`,
  `both`.`retry_requested_at`
FROM (
  SELECT 'vip' AS `sync_name`,
    `tried`.`_identity` AS `identity`,
    `tried`.`_primary_key` AS `primary_key`,
    `tried`.`_operation` AS `operation`,
    `tried`.`error_code` AS `error_code`,
    `tried`.`error_reason` AS `error_reason`,
    CAST(`tried`.`retryable` AS BOOL) AS `retryable`,
    coalesce(`old`.`attempts`, 0) + 1 AS `attempts`,
    coalesce(`old`.`first_failed_run_id`, 5) AS `first_failed_run_id`,
    5 AS `last_failed_run_id`,
    coalesce(`old`.`first_failed_at`, DATETIME '2030-01-02 03:04:05.000000') AS `first_failed_at`,
    DATETIME '2030-01-02 03:04:05.000000' AS `last_failed_at`,
    `tried`.`_alias` AS `alias`,
    false AS `unidentified`,
    `tried`.`fields` AS `fields`,
    CAST(NULL AS DATETIME) AS `retry_requested_at`
  FROM (
    SELECT `changes_vip_5`.`_operation` AS `_operation`,
      `changes_vip_5`.`_identity` AS `_identity`,
      `changes_vip_5`.`_alias` AS `_alias`,
      `changes_vip_5`.`_primary_key` AS `_primary_key`,
      CASE
        WHEN (`outcomes_vip_5`.`seq` IS NOT NULL) THEN `outcomes_vip_5`.`status`
        WHEN (`outcomes_vip_5`.`seq` IS NULL AND `changes_vip_5`.`_seq` > 90) THEN 'failed'
        ELSE 'succeeded' END AS `status`,
      CASE
        WHEN (`outcomes_vip_5`.`seq` IS NULL AND `changes_vip_5`.`_seq` > 90) THEN 'unknown'
        ELSE `outcomes_vip_5`.`error_code` END AS `error_code`,
      CASE
        WHEN (`outcomes_vip_5`.`seq` IS NULL AND `changes_vip_5`.`_seq` > 90) THEN 'the run was killed while this change may have been on its way'
        ELSE `outcomes_vip_5`.`error_reason` END AS `error_reason`,
      coalesce(`outcomes_vip_5`.`retryable`, `outcomes_vip_5`.`seq` IS NULL AND `changes_vip_5`.`_seq` > 90) AS `retryable`,
      coalesce(`outcomes_vip_5`.`attempts`, 1) AS `attempts`,
      CASE
        WHEN (`outcomes_vip_5`.`outcome` = 'invalid') THEN coalesce(`changes_vip_5`.`_fields`, '[]')
        ELSE coalesce(`changes_vip_5`.`_fields`, '["extras", "joined", "paid", "paid_text", "seen"]') END AS `fields`
    FROM `reverse_etl`.`changes_vip_5`
    LEFT OUTER JOIN `reverse_etl`.`outcomes_vip_5` ON `outcomes_vip_5`.`seq` = `changes_vip_5`.`_seq`
    WHERE `changes_vip_5`.`_seq` <= 120
        OR `outcomes_vip_5`.`seq` IS NOT NULL
  ) AS `tried`
  LEFT OUTER JOIN `reverse_etl`.`failed_records` AS `old` ON `old`.`sync_name` = 'vip'
      AND `old`.`identity` = `tried`.`_identity`
      AND NOT `old`.`unidentified`
  WHERE `tried`.`status` = 'failed'
  UNION ALL
  SELECT 'vip' AS `sync_name`,
    `refused_vip_5`.`_identity` AS `identity`,
    `refused_vip_5`.`_primary_key` AS `primary_key`,
    'insert' AS `operation`,
    `refused_vip_5`.`_error_code` AS `error_code`,
    `refused_vip_5`.`_error_reason` AS `error_reason`,
    false AS `retryable`,
    CASE
      WHEN (`known`.`error_code` = `refused_vip_5`.`_error_code` AND `known`.`error_reason` = `refused_vip_5`.`_error_reason`) THEN `known`.`attempts`
      ELSE coalesce(`known`.`attempts`, 0) + 1 END AS `attempts`,
    CASE
      WHEN (`known`.`error_code` = `refused_vip_5`.`_error_code` AND `known`.`error_reason` = `refused_vip_5`.`_error_reason`) THEN `known`.`first_failed_run_id`
      ELSE coalesce(`known`.`first_failed_run_id`, 5) END AS `first_failed_run_id`,
    CASE
      WHEN (`known`.`error_code` = `refused_vip_5`.`_error_code` AND `known`.`error_reason` = `refused_vip_5`.`_error_reason`) THEN `known`.`last_failed_run_id`
      ELSE 5 END AS `last_failed_run_id`,
    CASE
      WHEN (`known`.`error_code` = `refused_vip_5`.`_error_code` AND `known`.`error_reason` = `refused_vip_5`.`_error_reason`) THEN `known`.`first_failed_at`
      ELSE coalesce(`known`.`first_failed_at`, DATETIME '2030-01-02 03:04:05.000000') END AS `first_failed_at`,
    CASE
      WHEN (`known`.`error_code` = `refused_vip_5`.`_error_code` AND `known`.`error_reason` = `refused_vip_5`.`_error_reason`) THEN `known`.`last_failed_at`
      ELSE DATETIME '2030-01-02 03:04:05.000000' END AS `last_failed_at`,
    CAST(NULL AS STRING) AS `alias`,
    true AS `unidentified`,
    CAST(NULL AS STRING) AS `fields`,
    CAST(NULL AS DATETIME) AS `retry_requested_at`
  FROM `reverse_etl`.`refused_vip_5`
  LEFT OUTER JOIN `reverse_etl`.`failed_records` AS `known` ON `known`.`sync_name` = 'vip'
      AND `known`.`identity` = `refused_vip_5`.`_identity`
      AND `known`.`unidentified`
  WHERE `refused_vip_5`.`_kind` = 'invalid'
) AS `both`;

-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT `unconfirmed`.`_identity`,
  `unconfirmed`.`_alias`,
  `unconfirmed`.`_primary_key`,
  `unconfirmed`.`_operation`,
  `unconfirmed`.`_origin`,
  `unconfirmed`.`_due`,
  `unconfirmed`.`_fields`
FROM (
  SELECT `changes_vip_4`.`_identity` AS `_identity`,
    `changes_vip_4`.`_alias` AS `_alias`,
    `changes_vip_4`.`_primary_key` AS `_primary_key`,
    `changes_vip_4`.`_operation` AS `_operation`,
    'plan' AS `_origin`,
    true AS `_due`,
    CAST(NULL AS STRING) AS `_fields`
  FROM `reverse_etl`.`changes_vip_4`
  WHERE `changes_vip_4`.`_seq` > 90
      AND NOT (EXISTS (
    SELECT *
    FROM `reverse_etl`.`outcomes_vip_4`
    WHERE `outcomes_vip_4`.`seq` = `changes_vip_4`.`_seq`
        AND `outcomes_vip_4`.`status` = 'succeeded'
  ))
) AS `unconfirmed`
UNION ALL
SELECT `failures`.`_identity`,
  `failures`.`_alias`,
  `failures`.`_primary_key`,
  `failures`.`_operation`,
  `failures`.`_origin`,
  `failures`.`_due`,
  `failures`.`_fields`
FROM (
  SELECT `failed_records`.`identity` AS `_identity`,
    `failed_records`.`alias` AS `_alias`,
    `failed_records`.`primary_key` AS `_primary_key`,
    `failed_records`.`operation` AS `_operation`,
    'failed' AS `_origin`,
    CAST(`failed_records`.`error_code` = 'unknown' OR `failed_records`.`retryable` OR `failed_records`.`retry_requested_at` IS NOT NULL AS BOOL) AS `_due`,
    `failed_records`.`fields` AS `_fields`
  FROM `reverse_etl`.`failed_records`
  WHERE `failed_records`.`sync_name` = 'vip'
      AND NOT `failed_records`.`unidentified`
) AS `failures`
WHERE NOT (EXISTS (
  SELECT *
  FROM (
    SELECT `changes_vip_4`.`_identity` AS `_identity`,
      `changes_vip_4`.`_alias` AS `_alias`,
      `changes_vip_4`.`_primary_key` AS `_primary_key`,
      `changes_vip_4`.`_operation` AS `_operation`,
      'plan' AS `_origin`,
      true AS `_due`,
      CAST(NULL AS STRING) AS `_fields`
    FROM `reverse_etl`.`changes_vip_4`
    WHERE `changes_vip_4`.`_seq` > 90
        AND NOT (EXISTS (
      SELECT *
      FROM `reverse_etl`.`outcomes_vip_4`
      WHERE `outcomes_vip_4`.`seq` = `changes_vip_4`.`_seq`
          AND `outcomes_vip_4`.`status` = 'succeeded'
    ))
  ) AS `unconfirmed`
  WHERE `failures`.`_identity` = `unconfirmed`.`_identity`
))
UNION ALL
SELECT `residues`.`_identity`,
  `residues`.`_alias`,
  `residues`.`_primary_key`,
  `residues`.`_operation`,
  `residues`.`_origin`,
  `residues`.`_due`,
  `residues`.`_fields`
FROM (
  SELECT `residue`.`identity` AS `_identity`,
    `residue`.`alias` AS `_alias`,
    `residue`.`primary_key` AS `_primary_key`,
    'delete' AS `_operation`,
    'residue' AS `_origin`,
    true AS `_due`,
    `residue`.`fields` AS `_fields`
  FROM `reverse_etl`.`residue`
  WHERE `residue`.`sync_name` = 'vip'
      AND `residue`.`sync_run_id` = 4
) AS `residues`
WHERE NOT (EXISTS (
  SELECT *
  FROM (
    SELECT `changes_vip_4`.`_identity` AS `_identity`,
      `changes_vip_4`.`_alias` AS `_alias`,
      `changes_vip_4`.`_primary_key` AS `_primary_key`,
      `changes_vip_4`.`_operation` AS `_operation`,
      'plan' AS `_origin`,
      true AS `_due`,
      CAST(NULL AS STRING) AS `_fields`
    FROM `reverse_etl`.`changes_vip_4`
    WHERE `changes_vip_4`.`_seq` > 90
        AND NOT (EXISTS (
      SELECT *
      FROM `reverse_etl`.`outcomes_vip_4`
      WHERE `outcomes_vip_4`.`seq` = `changes_vip_4`.`_seq`
          AND `outcomes_vip_4`.`status` = 'succeeded'
    ))
  ) AS `unconfirmed`
  WHERE `residues`.`_identity` = `unconfirmed`.`_identity`
))
    AND NOT (EXISTS (
  SELECT *
  FROM (
    SELECT `failed_records`.`identity` AS `_identity`,
      `failed_records`.`alias` AS `_alias`,
      `failed_records`.`primary_key` AS `_primary_key`,
      `failed_records`.`operation` AS `_operation`,
      'failed' AS `_origin`,
      CAST(`failed_records`.`error_code` = 'unknown' OR `failed_records`.`retryable` OR `failed_records`.`retry_requested_at` IS NOT NULL AS BOOL) AS `_due`,
      `failed_records`.`fields` AS `_fields`
    FROM `reverse_etl`.`failed_records`
    WHERE `failed_records`.`sync_name` = 'vip'
        AND NOT `failed_records`.`unidentified`
  ) AS `failures`
  WHERE `failures`.`_identity` = `residues`.`_identity`
));

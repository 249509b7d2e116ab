-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT CAST(row_number() OVER (ORDER BY `planned`.`_phase`, `planned`.`_operation`) AS INT64) AS `_seq`,
  `planned`.`_phase`,
  `planned`.`_operation`,
  `planned`.`_identity`,
  `planned`.`_alias`,
  `planned`.`_primary_key`,
  `planned`.`_retry`,
  `planned`.`_carried`,
  `planned`.`_fields`,
  `planned`.`user id`,
  `planned`.`email`,
  `planned`.`plan`,
  `planned`.`score`
FROM (
  SELECT CASE
      WHEN (`snapshot_vip_5`.`_identity` IS NULL) THEN 0
      WHEN (`snapshot_vip_5`.`_identity` = ('email:' || `snapshot_vip_5`.`_alias`)) THEN 3
      WHEN (`holder`.`_identity` IS NOT NULL OR `former_holders`.`alias` IS NOT NULL) THEN 2
      ELSE 1 END AS `_phase`,
    CASE
      WHEN (`snapshot_vip_5`.`_identity` IS NULL) THEN 'delete'
      WHEN (`base`.`_identity` IS NULL) THEN 'insert'
      ELSE 'update' END AS `_operation`,
    CASE
      WHEN (`snapshot_vip_5`.`_identity` IS NOT NULL) THEN `snapshot_vip_5`.`_identity`
      ELSE `base`.`_identity` END AS `_identity`,
    CASE
      WHEN (`snapshot_vip_5`.`_identity` IS NOT NULL) THEN `snapshot_vip_5`.`_alias`
      ELSE `base`.`_alias` END AS `_alias`,
    CASE
      WHEN (`snapshot_vip_5`.`_identity` IS NOT NULL) THEN `snapshot_vip_5`.`_primary_key`
      ELSE `base`.`_primary_key` END AS `_primary_key`,
    false AS `_retry`,
    false AS `_carried`,
    CAST(NULL AS STRING) AS `_fields`,
    CASE
      WHEN (`snapshot_vip_5`.`_identity` IS NOT NULL) THEN `snapshot_vip_5`.`user id`
      ELSE `base`.`user id` END AS `user id`,
    CASE
      WHEN (`snapshot_vip_5`.`_identity` IS NOT NULL) THEN `snapshot_vip_5`.`email`
      ELSE `base`.`email` END AS `email`,
    CASE
      WHEN (`snapshot_vip_5`.`_identity` IS NOT NULL) THEN `snapshot_vip_5`.`plan`
      ELSE `base`.`plan` END AS `plan`,
    CASE
      WHEN (`snapshot_vip_5`.`_identity` IS NOT NULL) THEN `snapshot_vip_5`.`score`
      ELSE `base`.`score` END AS `score`
  FROM `reverse_etl`.`snapshot_vip_5`
  FULL OUTER JOIN `reverse_etl`.`snapshot_vip_4` AS `base` ON `snapshot_vip_5`.`_identity` = `base`.`_identity`
  LEFT OUTER JOIN `reverse_etl`.`snapshot_vip_4` AS `holder` ON `holder`.`_alias` = `snapshot_vip_5`.`_alias`
      AND `holder`.`_identity` != `snapshot_vip_5`.`_identity`
  LEFT OUTER JOIN (
    SELECT `former_aliases`.`alias` AS `alias`,
      min(`former_aliases`.`identity`) AS `first`,
      max(`former_aliases`.`identity`) AS `last`
    FROM `reverse_etl`.`former_aliases`
    WHERE `former_aliases`.`sync_name` = 'vip'
        AND `former_aliases`.`sync_run_id` = 4
    GROUP BY `former_aliases`.`alias`
  ) AS `former_holders` ON `former_holders`.`alias` = `snapshot_vip_5`.`_alias`
      AND (`former_holders`.`first` != `snapshot_vip_5`.`_identity` OR `former_holders`.`last` != `snapshot_vip_5`.`_identity`)
  LEFT OUTER JOIN (
    SELECT `snapshot_vip_5`.`_alias` AS `_alias`
    FROM `reverse_etl`.`snapshot_vip_5`
    WHERE `snapshot_vip_5`.`_alias` IS NOT NULL
    UNION DISTINCT
    SELECT `refused_vip_5`.`_alias` AS `_alias`
    FROM `reverse_etl`.`refused_vip_5`
    WHERE `refused_vip_5`.`_alias` IS NOT NULL
  ) AS `held` ON `held`.`_alias` = coalesce(`base`.`_alias`, '')
  LEFT OUTER JOIN (
    SELECT DISTINCT `still_theirs`.`identity` AS `identity`
    FROM (
      SELECT `former_aliases`.`identity` AS `identity`,
        `former_aliases`.`alias` AS `alias`
      FROM `reverse_etl`.`former_aliases`
      LEFT OUTER JOIN `reverse_etl`.`snapshot_vip_4` AS `as_before` ON `former_aliases`.`identity` = `as_before`.`_identity`
      WHERE `former_aliases`.`sync_name` = 'vip'
          AND `former_aliases`.`sync_run_id` = 4
          AND `as_before`.`_identity` IS NOT NULL
          AND `as_before`.`_alias` IS NULL
    ) AS `still_theirs`
    JOIN (
      SELECT `snapshot_vip_5`.`_alias` AS `_alias`
      FROM `reverse_etl`.`snapshot_vip_5`
      WHERE `snapshot_vip_5`.`_alias` IS NOT NULL
      UNION DISTINCT
      SELECT `refused_vip_5`.`_alias` AS `_alias`
      FROM `reverse_etl`.`refused_vip_5`
      WHERE `refused_vip_5`.`_alias` IS NOT NULL
    ) AS `held_now` ON `still_theirs`.`alias` = `held_now`.`_alias`
  ) AS `formerly` ON `formerly`.`identity` = `base`.`_identity`
  WHERE (`snapshot_vip_5`.`_identity` IS DISTINCT FROM `base`.`_identity` OR `snapshot_vip_5`.`_alias` IS DISTINCT FROM `base`.`_alias` OR `snapshot_vip_5`.`plan` IS DISTINCT FROM `base`.`plan` OR `snapshot_vip_5`.`score` IS DISTINCT FROM `base`.`score`)
      AND (`snapshot_vip_5`.`_identity` IS NOT NULL OR `held`.`_alias` IS NULL AND `formerly`.`identity` IS NULL)
) AS `planned`;

-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT CAST(row_number() OVER (ORDER BY planned._phase, planned._operation) AS SIGNED INTEGER) AS _seq,
  planned._phase,
  planned._operation,
  planned._identity,
  planned._alias,
  planned._primary_key,
  planned._retry,
  planned._carried,
  planned._fields,
  planned.`user id`,
  planned.`email`,
  planned.`plan`,
  planned.`score`
FROM (
  SELECT CASE
      WHEN (reverse_etl.snapshot_vip_5.`_identity` IS NULL) THEN 0
      WHEN (reverse_etl.snapshot_vip_5.`_identity` = (concat('email:', reverse_etl.snapshot_vip_5.`_alias`))) THEN 3
      WHEN (holder.`_identity` IS NOT NULL OR former_holders.alias IS NOT NULL) THEN 2
      ELSE 1 END AS _phase,
    CASE
      WHEN (reverse_etl.snapshot_vip_5.`_identity` IS NULL) THEN 'delete'
      WHEN (base.`_identity` IS NULL) THEN 'insert'
      ELSE 'update' END AS _operation,
    CASE
      WHEN (reverse_etl.snapshot_vip_5.`_identity` IS NOT NULL) THEN reverse_etl.snapshot_vip_5.`_identity`
      ELSE base.`_identity` END AS _identity,
    CASE
      WHEN (reverse_etl.snapshot_vip_5.`_identity` IS NOT NULL) THEN reverse_etl.snapshot_vip_5.`_alias`
      ELSE base.`_alias` END AS _alias,
    CASE
      WHEN (reverse_etl.snapshot_vip_5.`_identity` IS NOT NULL) THEN reverse_etl.snapshot_vip_5.`_primary_key`
      ELSE base.`_primary_key` END AS _primary_key,
    false AS _retry,
    false AS _carried,
    CAST(NULL AS CHAR(20000)) AS _fields,
    CASE
      WHEN (reverse_etl.snapshot_vip_5.`_identity` IS NOT NULL) THEN reverse_etl.snapshot_vip_5.`user id`
      ELSE base.`user id` END AS `user id`,
    CASE
      WHEN (reverse_etl.snapshot_vip_5.`_identity` IS NOT NULL) THEN reverse_etl.snapshot_vip_5.`email`
      ELSE base.`email` END AS `email`,
    CASE
      WHEN (reverse_etl.snapshot_vip_5.`_identity` IS NOT NULL) THEN reverse_etl.snapshot_vip_5.`plan`
      ELSE base.`plan` END AS `plan`,
    CASE
      WHEN (reverse_etl.snapshot_vip_5.`_identity` IS NOT NULL) THEN reverse_etl.snapshot_vip_5.`score`
      ELSE base.`score` END AS `score`
  FROM (
    SELECT reverse_etl.snapshot_vip_5.`_identity` AS `_identity`
    FROM reverse_etl.snapshot_vip_5
    LEFT OUTER JOIN reverse_etl.snapshot_vip_4 AS base ON reverse_etl.snapshot_vip_5.`_identity` = base.`_identity`
    WHERE NOT (reverse_etl.snapshot_vip_5.`_identity` <=> base.`_identity`)
        OR NOT (reverse_etl.snapshot_vip_5.`_alias` <=> base.`_alias`)
        OR NOT (reverse_etl.snapshot_vip_5.`plan` <=> base.`plan`)
        OR NOT (reverse_etl.snapshot_vip_5.`score` <=> base.`score`)
    UNION
    SELECT base.`_identity` AS `_identity`
    FROM reverse_etl.snapshot_vip_4 AS base
    LEFT OUTER JOIN reverse_etl.snapshot_vip_5 ON reverse_etl.snapshot_vip_5.`_identity` = base.`_identity`
    WHERE reverse_etl.snapshot_vip_5.`_identity` IS NULL
  ) AS `keys`
  LEFT OUTER JOIN reverse_etl.snapshot_vip_5 ON reverse_etl.snapshot_vip_5.`_identity` = `keys`.`_identity`
  LEFT OUTER JOIN reverse_etl.snapshot_vip_4 AS base ON base.`_identity` = `keys`.`_identity`
  LEFT OUTER JOIN reverse_etl.snapshot_vip_4 AS holder ON holder.`_alias` = reverse_etl.snapshot_vip_5.`_alias`
      AND holder.`_identity` != reverse_etl.snapshot_vip_5.`_identity`
  LEFT OUTER JOIN (
    SELECT reverse_etl.former_aliases.alias AS alias,
      min(reverse_etl.former_aliases.identity) AS first,
      max(reverse_etl.former_aliases.identity) AS last
    FROM reverse_etl.former_aliases
    WHERE reverse_etl.former_aliases.sync_name = 'vip'
        AND reverse_etl.former_aliases.sync_run_id = 4
    GROUP BY reverse_etl.former_aliases.alias
  ) AS former_holders ON former_holders.alias = reverse_etl.snapshot_vip_5.`_alias`
      AND (former_holders.first != reverse_etl.snapshot_vip_5.`_identity` OR former_holders.last != reverse_etl.snapshot_vip_5.`_identity`)
  LEFT OUTER JOIN (
    SELECT reverse_etl.snapshot_vip_5.`_alias` AS `_alias`
    FROM reverse_etl.snapshot_vip_5
    WHERE reverse_etl.snapshot_vip_5.`_alias` IS NOT NULL
    UNION
    SELECT reverse_etl.refused_vip_5.`_alias` AS `_alias`
    FROM reverse_etl.refused_vip_5
    WHERE reverse_etl.refused_vip_5.`_alias` IS NOT NULL
  ) AS held ON held.`_alias` = coalesce(base.`_alias`, '')
  LEFT OUTER JOIN (
    SELECT DISTINCT still_theirs.identity AS identity
    FROM (
      SELECT reverse_etl.former_aliases.identity AS identity,
        reverse_etl.former_aliases.alias AS alias
      FROM reverse_etl.former_aliases
      LEFT OUTER JOIN reverse_etl.snapshot_vip_4 AS as_before ON reverse_etl.former_aliases.identity = as_before.`_identity`
      WHERE reverse_etl.former_aliases.sync_name = 'vip'
          AND reverse_etl.former_aliases.sync_run_id = 4
          AND as_before.`_identity` IS NOT NULL
          AND as_before.`_alias` IS NULL
    ) AS still_theirs INNER
    JOIN (
      SELECT reverse_etl.snapshot_vip_5.`_alias` AS `_alias`
      FROM reverse_etl.snapshot_vip_5
      WHERE reverse_etl.snapshot_vip_5.`_alias` IS NOT NULL
      UNION
      SELECT reverse_etl.refused_vip_5.`_alias` AS `_alias`
      FROM reverse_etl.refused_vip_5
      WHERE reverse_etl.refused_vip_5.`_alias` IS NOT NULL
    ) AS held_now ON still_theirs.alias = held_now.`_alias`
  ) AS formerly ON formerly.identity = base.`_identity`
  WHERE reverse_etl.snapshot_vip_5.`_identity` IS NOT NULL
      OR held.`_alias` IS NULL
      AND formerly.identity IS NULL
) AS planned;

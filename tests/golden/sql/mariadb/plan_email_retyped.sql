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
  planned.`email`,
  planned.`plan`,
  planned.`score`
FROM (
  SELECT CASE
      WHEN (reverse_etl.snapshot_vip_5.`_identity` IS NULL) THEN 0
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
      WHEN (reverse_etl.snapshot_vip_5.`_identity` IS NOT NULL) THEN reverse_etl.snapshot_vip_5.`email`
      ELSE base.`email` END AS `email`,
    CASE
      WHEN (reverse_etl.snapshot_vip_5.`_identity` IS NOT NULL) THEN reverse_etl.snapshot_vip_5.`plan`
      ELSE base.`plan` END AS `plan`,
    CASE
      WHEN (reverse_etl.snapshot_vip_5.`_identity` IS NOT NULL) THEN reverse_etl.snapshot_vip_5.`score`
      ELSE NULL END AS `score`
  FROM (
    SELECT reverse_etl.snapshot_vip_5.`_identity` AS `_identity`
    FROM reverse_etl.snapshot_vip_5
    LEFT OUTER JOIN reverse_etl.snapshot_vip_4 AS base ON reverse_etl.snapshot_vip_5.`_identity` = base.`_identity`
    WHERE NOT (reverse_etl.snapshot_vip_5.`_identity` <=> base.`_identity`)
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
  WHERE true = 1
) AS planned;

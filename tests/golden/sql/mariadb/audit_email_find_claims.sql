-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT found._identity,
  max(found._alias) AS _alias,
  max(found._primary_key) AS _primary_key
FROM (
  SELECT reverse_etl.sync_log.identity AS _identity,
    CAST(NULL AS CHAR(20000)) AS _alias,
    reverse_etl.sync_log.primary_key AS _primary_key
  FROM reverse_etl.sync_log INNER
  JOIN extras_vip ON reverse_etl.sync_log.identity = extras_vip.`_handle`
  WHERE extras_vip.`_open` IS NULL
      AND reverse_etl.sync_log.sync_name = 'vip'
      AND reverse_etl.sync_log.sync_run_id >= 2
      AND reverse_etl.sync_log.status = 'succeeded'
      AND reverse_etl.sync_log.operation IN ('insert', 'update')
  UNION ALL
  SELECT reverse_etl.changes_vip_3.`_identity` AS `_identity`,
    reverse_etl.changes_vip_3.`_alias` AS `_alias`,
    reverse_etl.changes_vip_3.`_primary_key` AS `_primary_key`
  FROM reverse_etl.changes_vip_3 INNER
  JOIN extras_vip ON extras_vip.`_handle` = reverse_etl.changes_vip_3.`_identity`
  LEFT OUTER JOIN reverse_etl.outcomes_vip_3 ON reverse_etl.outcomes_vip_3.`seq` = reverse_etl.changes_vip_3.`_seq`
  WHERE extras_vip.`_open` IS NULL
      AND reverse_etl.changes_vip_3.`_operation` IN ('insert', 'update')
      AND coalesce(reverse_etl.outcomes_vip_3.`status`, 'succeeded') = 'succeeded'
) AS found
GROUP BY found._identity;

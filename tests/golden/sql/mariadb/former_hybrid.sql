-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

INSERT INTO reverse_etl.former_aliases (sync_name, sync_run_id, identity, alias)
SELECT 'vip' AS anon_1,
  5 AS anon_2,
  kept.identity,
  kept.alias
FROM (
  SELECT reverse_etl.snapshot_vip_4.`_identity` AS identity,
    reverse_etl.snapshot_vip_4.`_alias` AS alias
  FROM reverse_etl.snapshot_vip_4 INNER
  JOIN reverse_etl.changes_vip_5 ON reverse_etl.snapshot_vip_4.`_identity` = reverse_etl.changes_vip_5.`_identity`
  WHERE reverse_etl.snapshot_vip_4.`_alias` IS NOT NULL
      AND NOT (reverse_etl.snapshot_vip_4.`_alias` <=> reverse_etl.changes_vip_5.`_alias`)
  UNION
  SELECT still_theirs.identity AS identity,
    still_theirs.alias AS alias
  FROM (
    SELECT reverse_etl.former_aliases.identity AS identity,
      reverse_etl.former_aliases.alias AS alias
    FROM reverse_etl.former_aliases
    LEFT OUTER JOIN pending_vip AS still_open ON reverse_etl.former_aliases.identity = still_open.`_identity`
    LEFT OUTER JOIN reverse_etl.snapshot_vip_4 AS as_before ON reverse_etl.former_aliases.identity = as_before.`_identity`
    WHERE reverse_etl.former_aliases.sync_name = 'vip'
        AND reverse_etl.former_aliases.sync_run_id = 4
        AND (still_open.`_identity` IS NOT NULL OR as_before.`_identity` IS NOT NULL AND as_before.`_alias` IS NULL)
  ) AS still_theirs
) AS kept;

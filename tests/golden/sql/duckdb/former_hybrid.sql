-- duckdb: only the text is compared here; the statement is executed on this engine
-- by tests/conformance and tests/acceptance. Lines are broken for reading.

INSERT INTO reverse_etl.former_aliases (sync_name, sync_run_id, identity, alias)
SELECT 'vip' AS anon_1,
  5 AS anon_2,
  kept.identity,
  kept.alias
FROM (
  SELECT reverse_etl.snapshot_vip_4."_identity" AS identity,
    reverse_etl.snapshot_vip_4."_alias" AS alias
  FROM reverse_etl.snapshot_vip_4
  JOIN reverse_etl.changes_vip_5 ON reverse_etl.snapshot_vip_4."_identity" = reverse_etl.changes_vip_5."_identity"
  WHERE reverse_etl.snapshot_vip_4."_alias" IS NOT NULL
      AND reverse_etl.snapshot_vip_4."_alias" IS DISTINCT FROM reverse_etl.changes_vip_5."_alias"
  UNION
  SELECT reverse_etl.former_aliases.identity AS identity,
    reverse_etl.former_aliases.alias AS alias
  FROM reverse_etl.former_aliases
  JOIN pending_vip ON reverse_etl.former_aliases.identity = pending_vip."_identity"
  WHERE reverse_etl.former_aliases.sync_name = 'vip'
      AND reverse_etl.former_aliases.sync_run_id = 4
  UNION
  SELECT reverse_etl.former_aliases.identity AS identity,
    reverse_etl.former_aliases.alias AS alias
  FROM reverse_etl.former_aliases
  JOIN reverse_etl.snapshot_vip_4 ON reverse_etl.former_aliases.identity = reverse_etl.snapshot_vip_4."_identity"
  WHERE reverse_etl.former_aliases.sync_name = 'vip'
      AND reverse_etl.former_aliases.sync_run_id = 4
      AND NOT (EXISTS (
    SELECT *
    FROM reverse_etl.snapshot_vip_5
    WHERE reverse_etl.snapshot_vip_5."_identity" = reverse_etl.snapshot_vip_4."_identity"
  ))
) AS kept;

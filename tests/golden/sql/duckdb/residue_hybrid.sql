-- duckdb: only the text is compared here; the statement is executed on this engine
-- by tests/conformance and tests/acceptance. Lines are broken for reading.

INSERT INTO reverse_etl.residue (sync_name, sync_run_id, identity, alias, primary_key)
SELECT 'vip' AS anon_1,
  5 AS anon_2,
  gone."_identity",
  max(gone."_alias") AS max_1,
  max(gone."_primary_key") AS max_2
FROM (
  SELECT reverse_etl.snapshot_vip_4."_identity" AS "_identity",
    reverse_etl.snapshot_vip_4."_alias" AS "_alias",
    reverse_etl.snapshot_vip_4."_primary_key" AS "_primary_key"
  FROM reverse_etl.snapshot_vip_4
  WHERE NOT (EXISTS (
    SELECT *
    FROM reverse_etl.snapshot_vip_5
    WHERE reverse_etl.snapshot_vip_5."_identity" = reverse_etl.snapshot_vip_4."_identity"
  ))
      AND NOT (EXISTS (
    SELECT *
    FROM reverse_etl.changes_vip_5
    WHERE reverse_etl.changes_vip_5."_identity" = reverse_etl.snapshot_vip_4."_identity"
  ))
  UNION
  SELECT pending_vip."_identity" AS "_identity",
    pending_vip."_alias" AS "_alias",
    pending_vip."_primary_key" AS "_primary_key"
  FROM pending_vip
  WHERE NOT (EXISTS (
    SELECT *
    FROM reverse_etl.snapshot_vip_5
    WHERE reverse_etl.snapshot_vip_5."_identity" = pending_vip."_identity"
  ))
      AND NOT (EXISTS (
    SELECT *
    FROM reverse_etl.changes_vip_5
    WHERE reverse_etl.changes_vip_5."_identity" = pending_vip."_identity"
  ))
      AND pending_vip."_due"
) AS gone
GROUP BY gone."_identity";

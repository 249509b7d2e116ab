-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

INSERT INTO reverse_etl.residue (sync_name, sync_run_id, identity, alias, primary_key, fields)
SELECT 'vip' AS anon_1,
  5 AS anon_2,
  gone.identity,
  gone.alias,
  gone.primary_key,
  gone.fields
FROM (
  SELECT reverse_etl.snapshot_vip_4.`_identity` AS identity,
    reverse_etl.snapshot_vip_4.`_alias` AS alias,
    reverse_etl.snapshot_vip_4.`_primary_key` AS primary_key,
    CAST(NULL AS CHAR(20000)) AS fields
  FROM reverse_etl.snapshot_vip_4
  WHERE NOT (EXISTS (
    SELECT *
    FROM reverse_etl.snapshot_vip_5
    WHERE reverse_etl.snapshot_vip_5.`_identity` = reverse_etl.snapshot_vip_4.`_identity`
  ))
      AND NOT (EXISTS (
    SELECT *
    FROM reverse_etl.changes_vip_5
    WHERE reverse_etl.changes_vip_5.`_identity` = reverse_etl.snapshot_vip_4.`_identity`
  ))
) AS gone;

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
    CASE
      WHEN (pending_vip.`_operation` = 'insert' AND pending_vip.`_origin` IN ('plan', 'failed')) THEN coalesce(pending_vip.`_fields`, '[]')
      ELSE CASE
      WHEN (pending_vip.`_fields` IS NULL) THEN '["extras", "joined", "paid", "paid_text", "seen"]'
      WHEN (INSTR(pending_vip.`_fields`, '["extras", "joined", "paid", "paid_text", "seen"]') > 0) THEN pending_vip.`_fields`
      ELSE concat(pending_vip.`_fields`, '
', '["extras", "joined", "paid", "paid_text", "seen"]') END END AS fields
  FROM reverse_etl.snapshot_vip_4
  LEFT OUTER JOIN pending_vip ON pending_vip.`_identity` = reverse_etl.snapshot_vip_4.`_identity`
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
  UNION ALL
  SELECT pending_vip.`_identity` AS identity,
    pending_vip.`_alias` AS alias,
    pending_vip.`_primary_key` AS primary_key,
    pending_vip.`_fields` AS fields
  FROM pending_vip
  WHERE NOT (EXISTS (
    SELECT *
    FROM reverse_etl.snapshot_vip_5
    WHERE reverse_etl.snapshot_vip_5.`_identity` = pending_vip.`_identity`
  ))
      AND NOT (EXISTS (
    SELECT *
    FROM reverse_etl.changes_vip_5
    WHERE reverse_etl.changes_vip_5.`_identity` = pending_vip.`_identity`
  ))
      AND NOT (EXISTS (
    SELECT *
    FROM reverse_etl.snapshot_vip_4
    WHERE reverse_etl.snapshot_vip_4.`_identity` = pending_vip.`_identity`
  ))
      AND pending_vip.`_due` = 1
) AS gone;

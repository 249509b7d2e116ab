-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT reverse_etl.snapshot_vip_4.`_identity`,
  reverse_etl.snapshot_vip_4.`_alias`,
  reverse_etl.snapshot_vip_4.`plan`
FROM reverse_etl.snapshot_vip_4
WHERE reverse_etl.snapshot_vip_4.`_identity` IN ('o''hara@x.com', '50%@x.com')
ORDER BY reverse_etl.snapshot_vip_4.`_identity`;

-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT reverse_etl.snapshot_vip_4.`_identity`,
  reverse_etl.snapshot_vip_4.`_alias`,
  reverse_etl.snapshot_vip_4.`_primary_key`,
  left_open_vip.`_identity` IS NOT NULL AS _open,
  lines_vip.`_handle` IS NOT NULL AS _found,
  CAST(NULL AS CHAR(20000)) AS _half
FROM reverse_etl.snapshot_vip_4
LEFT OUTER JOIN left_open_vip ON left_open_vip.`_identity` = reverse_etl.snapshot_vip_4.`_identity`
LEFT OUTER JOIN lines_vip ON lines_vip.`_handle` = reverse_etl.snapshot_vip_4.`_identity`;

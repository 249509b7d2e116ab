-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT reverse_etl.snapshot_vip_4.`_identity`,
  reverse_etl.snapshot_vip_4.`_alias`,
  reverse_etl.snapshot_vip_4.`_primary_key`
FROM reverse_etl.snapshot_vip_4
LEFT OUTER JOIN left_open_vip ON left_open_vip.`_identity` = reverse_etl.snapshot_vip_4.`_identity`
WHERE left_open_vip.`_identity` IS NULL
ORDER BY md5(reverse_etl.snapshot_vip_4.`_identity`),
  reverse_etl.snapshot_vip_4.`_identity`
LIMIT 100;

-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT reverse_etl.changes_vip_5.`_seq`,
  reverse_etl.changes_vip_5.`_phase`,
  reverse_etl.changes_vip_5.`_operation`,
  reverse_etl.changes_vip_5.`_identity`,
  reverse_etl.changes_vip_5.`_alias`,
  reverse_etl.changes_vip_5.`_primary_key`,
  reverse_etl.changes_vip_5.`_retry`,
  reverse_etl.changes_vip_5.`_carried`,
  reverse_etl.changes_vip_5.`_fields`,
  reverse_etl.changes_vip_5.`email`,
  reverse_etl.changes_vip_5.`plan`,
  reverse_etl.changes_vip_5.`score`
FROM reverse_etl.changes_vip_5
WHERE reverse_etl.changes_vip_5.`_seq` >= 11
    AND reverse_etl.changes_vip_5.`_seq` <= 20
ORDER BY reverse_etl.changes_vip_5.`_seq`;

-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT reverse_etl.snapshot_vip_5.`_identity`,
  reverse_etl.snapshot_vip_5.`_alias`,
  reverse_etl.snapshot_vip_5.`_primary_key`,
  reverse_etl.snapshot_vip_5.`customer_id`,
  reverse_etl.snapshot_vip_5.`email`,
  reverse_etl.snapshot_vip_5.`plan`,
  reverse_etl.snapshot_vip_5.`score`,
  row_number() OVER (ORDER BY CAST(reverse_etl.snapshot_vip_5.`customer_id` AS CHAR) IS NULL, CAST(reverse_etl.snapshot_vip_5.`customer_id` AS CHAR) ASC, reverse_etl.snapshot_vip_5.`email` IS NULL, reverse_etl.snapshot_vip_5.`email` ASC, reverse_etl.snapshot_vip_5.`plan` IS NULL, reverse_etl.snapshot_vip_5.`plan` ASC, reverse_etl.snapshot_vip_5.`score` IS NULL, reverse_etl.snapshot_vip_5.`score` ASC) AS _rank
FROM reverse_etl.snapshot_vip_5
LEFT OUTER JOIN (
  SELECT reverse_etl.snapshot_vip_5.`_identity` AS value
  FROM reverse_etl.snapshot_vip_5
  WHERE reverse_etl.snapshot_vip_5.`_identity` IS NOT NULL
  GROUP BY reverse_etl.snapshot_vip_5.`_identity`
  HAVING count(*) > 1
) AS shared_identity ON shared_identity.value = reverse_etl.snapshot_vip_5.`_identity`
WHERE reverse_etl.snapshot_vip_5.`_identity` IS NULL
    OR shared_identity.value IS NOT NULL;

-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

DELETE
FROM reverse_etl.snapshot_vip_5
WHERE reverse_etl.snapshot_vip_5.`_identity` IS NULL;

DELETE
FROM reverse_etl.snapshot_vip_5
WHERE reverse_etl.snapshot_vip_5.`_identity` IN (
  SELECT contested_vip.`_identity`
  FROM contested_vip
  WHERE contested_vip.`_identity` IS NOT NULL
);

INSERT INTO reverse_etl.snapshot_vip_5 (`_identity`, `_alias`, `_primary_key`, `user id`, `customer_id`, `email`, `plan`, `score`)
SELECT resolved_vip.`_person`,
  CASE
    WHEN (resolved_vip.`_claim` = 1) THEN resolved_vip.`_alias`
    ELSE CAST(NULL AS CHAR(20000)) END AS anon_1,
  resolved_vip.`_primary_key`,
  resolved_vip.`user id`,
  resolved_vip.`customer_id`,
  resolved_vip.`email`,
  resolved_vip.`plan`,
  resolved_vip.`score`
FROM resolved_vip
WHERE resolved_vip.`_person` IS NOT NULL
    AND resolved_vip.`_place` = 1;

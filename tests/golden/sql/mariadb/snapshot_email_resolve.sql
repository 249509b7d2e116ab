-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT placed.`_identity`,
  placed.`_alias`,
  placed.`_primary_key`,
  placed.`customer_id`,
  placed.`email`,
  placed.`plan`,
  placed.`score`,
  placed.`_rank`,
  placed._person,
  placed._place,
  row_number() OVER (PARTITION BY placed.`_alias`, CASE WHEN (placed._place = 1) THEN 1 ELSE 0 END ORDER BY placed.`_rank`) AS _claim
FROM (
  SELECT known.`_identity` AS `_identity`,
    known.`_alias` AS `_alias`,
    known.`_primary_key` AS `_primary_key`,
    known.`customer_id` AS `customer_id`,
    known.`email` AS `email`,
    known.`plan` AS `plan`,
    known.`score` AS `score`,
    known.`_rank` AS `_rank`,
    known._person AS _person,
    row_number() OVER (PARTITION BY known._person ORDER BY known.`_rank`) AS _place
  FROM (
    SELECT contested_vip.`_identity` AS `_identity`,
      contested_vip.`_alias` AS `_alias`,
      contested_vip.`_primary_key` AS `_primary_key`,
      contested_vip.`customer_id` AS `customer_id`,
      contested_vip.`email` AS `email`,
      contested_vip.`plan` AS `plan`,
      contested_vip.`score` AS `score`,
      contested_vip.`_rank` AS `_rank`,
      contested_vip.`_identity` AS _person
    FROM contested_vip
  ) AS known
) AS placed;

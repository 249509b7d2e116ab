-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT placed.`_identity`,
  placed.`_alias`,
  placed.`_primary_key`,
  placed.`user id`,
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
    known.`user id` AS `user id`,
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
      contested_vip.`user id` AS `user id`,
      contested_vip.`customer_id` AS `customer_id`,
      contested_vip.`email` AS `email`,
      contested_vip.`plan` AS `plan`,
      contested_vip.`score` AS `score`,
      contested_vip.`_rank` AS `_rank`,
      CASE
        WHEN (contested_vip.`_identity` = (concat('email:', contested_vip.`_alias`))) THEN coalesce(owner.`_identity`, contested_vip.`_identity`)
        ELSE contested_vip.`_identity` END AS _person
    FROM contested_vip
    LEFT OUTER JOIN (
      SELECT ranked.`_alias` AS `_alias`,
        ranked.`_identity` AS `_identity`
      FROM (
        SELECT contested_vip.`_alias` AS `_alias`,
          contested_vip.`_identity` AS `_identity`,
          row_number() OVER (PARTITION BY contested_vip.`_alias` ORDER BY contested_vip.`_rank`) AS _first
        FROM contested_vip
        WHERE contested_vip.`_alias` IS NOT NULL
            AND contested_vip.`_identity` != (concat('email:', contested_vip.`_alias`))
      ) AS ranked
      WHERE ranked._first = 1
    ) AS owner ON owner.`_alias` = contested_vip.`_alias`
  ) AS known
) AS placed;

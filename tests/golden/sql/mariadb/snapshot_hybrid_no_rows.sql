-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT source.`user id` AS `user id`,
  CAST(source.`email` AS CHAR) COLLATE utf8mb4_nopad_bin AS `email`,
  CAST(source.`plan` AS CHAR) COLLATE utf8mb4_nopad_bin AS `plan`,
  source.`score` AS `score`
FROM ( select customer_id,
    email,
    plan,
    score from customers where plan like '%:vip'
) AS source
LIMIT 0;

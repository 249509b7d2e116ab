-- clickhouse: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT `source`.`user id` AS `user id`,
  toValidUTF8(CAST(`source`.`email` AS Nullable(String))) AS `email`,
  toValidUTF8(CAST(`source`.`plan` AS Nullable(String))) AS `plan`,
  `source`.`score` AS `score`
FROM ( select customer_id,
    email,
    plan,
    score from customers where plan like '%:vip'
) AS `source`
LIMIT 0;

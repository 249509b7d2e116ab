-- spark: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT `source`.`user id` AS `user id`,
  `source`.`email` AS `email`,
  `source`.`plan` AS `plan`,
  `source`.`score` AS `score`
FROM ( select customer_id,
    email,
    plan,
    score from customers where plan like '%:vip'
) AS `source`
LIMIT 0;

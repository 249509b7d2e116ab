-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT `source`.`email` AS `email`,
  `source`.`plan` AS `plan`,
  `source`.`score` AS `score`
FROM ( select customer_id,
    email,
    plan,
    score from customers where plan like '%:vip'
) AS `source`
LIMIT 0;

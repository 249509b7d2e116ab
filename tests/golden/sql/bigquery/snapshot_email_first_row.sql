-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT CASE
    WHEN (length(CAST(`source`.`email` AS STRING)) <= 254 AND REGEXP_CONTAINS(CAST(`source`.`email` AS STRING), '^[!-?A-~]+@[!-?A-~]+[.][!-?A-~]+$')) THEN lower(CAST(`source`.`email` AS STRING))
    ELSE CASE
    WHEN (length(translate(trim(CAST(`source`.`email` AS STRING), '\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff'), 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')) <= 254 AND REGEXP_CONTAINS(translate(trim(CAST(`source`.`email` AS STRING), '\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff'), 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz'), '^[^@\\s\\x01-\\x1f\\x7f]+@[^@\\s\\x01-\\x1f\\x7f]+[.][^@\\s\\x01-\\x1f\\x7f]+$')) THEN translate(trim(CAST(`source`.`email` AS STRING), '\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff'), 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')
    ELSE CAST(NULL AS STRING) END END AS `_identity`,
  CAST(NULL AS STRING) AS `_alias`,
  CAST(`source`.`customer_id` AS STRING) AS `_primary_key`,
  `source`.`customer_id` AS `customer_id`,
  `source`.`email` AS `email`,
  `source`.`plan` AS `plan`,
  `source`.`score` AS `score`
FROM ( select customer_id,
    email,
    plan,
    score from customers where plan like '%:vip'
) AS `source`
LIMIT 1;

-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT coalesce('userId:' || CASE WHEN (length(CAST(`source`.`user id` AS STRING)) <= 52 AND REGEXP_CONTAINS(CAST(`source`.`user id` AS STRING), '^[!-~]([ -~]*[!-~])?$')) THEN CAST(`source`.`user id` AS STRING) ELSE CAST(NULL AS STRING) END, 'email:' || CASE WHEN (length(CAST(`source`.`email` AS STRING)) <= 254 AND REGEXP_CONTAINS(CAST(`source`.`email` AS STRING), '^[!-?A-~]+@[!-?A-~]+[.][!-?A-~]+$')) THEN lower(CAST(`source`.`email` AS STRING)) ELSE CASE WHEN (length(translate(trim(CAST(`source`.`email` AS STRING), '\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff'), 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')) <= 254 AND REGEXP_CONTAINS(translate(trim(CAST(`source`.`email` AS STRING), '\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff'), 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz'), '^[^@\\s\\x01-\\x1f\\x7f]+@[^@\\s\\x01-\\x1f\\x7f]+[.][^@\\s\\x01-\\x1f\\x7f]+$')) THEN translate(trim(CAST(`source`.`email` AS STRING), '\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff'), 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz') ELSE CAST(NULL AS STRING) END END) AS `_identity`,
  CASE
    WHEN (length(CAST(`source`.`email` AS STRING)) <= 254 AND REGEXP_CONTAINS(CAST(`source`.`email` AS STRING), '^[!-?A-~]+@[!-?A-~]+[.][!-?A-~]+$')) THEN lower(CAST(`source`.`email` AS STRING))
    ELSE CASE
    WHEN (length(translate(trim(CAST(`source`.`email` AS STRING), '\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff'), 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')) <= 254 AND REGEXP_CONTAINS(translate(trim(CAST(`source`.`email` AS STRING), '\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff'), 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz'), '^[^@\\s\\x01-\\x1f\\x7f]+@[^@\\s\\x01-\\x1f\\x7f]+[.][^@\\s\\x01-\\x1f\\x7f]+$')) THEN translate(trim(CAST(`source`.`email` AS STRING), '\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff'), 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')
    ELSE CAST(NULL AS STRING) END END AS `_alias`,
  '[' || to_json_string(`source`.`user id`) || ',' || to_json_string(`source`.`customer_id`) || ']' AS `_primary_key`,
  `source`.`user id` AS `user id`,
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

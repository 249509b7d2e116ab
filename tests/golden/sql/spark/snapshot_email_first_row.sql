-- spark: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT CASE
    WHEN (length(CAST(`source`.`email` AS STRING)) <= 254 AND regexp_like(CAST(`source`.`email` AS STRING), '^[!-?A-~]+@[!-?A-~]+[.][!-?A-~]+\\z')) THEN lower(CAST(`source`.`email` AS STRING))
    ELSE CASE
    WHEN (length(translate(btrim(CAST(`source`.`email` AS STRING), U&'\0009\000a\000b\000c\000d\0020\0085\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\2028\2029\202f\205f\3000\feff'), 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')) <= 254 AND regexp_like(translate(btrim(CAST(`source`.`email` AS STRING), U&'\0009\000a\000b\000c\000d\0020\0085\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\2028\2029\202f\205f\3000\feff'), 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz'), '^[^@\\s\\x01-\\x1f\\x7f]+@[^@\\s\\x01-\\x1f\\x7f]+[.][^@\\s\\x01-\\x1f\\x7f]+\\z')) THEN translate(btrim(CAST(`source`.`email` AS STRING), U&'\0009\000a\000b\000c\000d\0020\0085\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\2028\2029\202f\205f\3000\feff'), 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')
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

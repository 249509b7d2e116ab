-- clickhouse: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT CASE
    WHEN (lengthUTF8(toValidUTF8(CAST(`source`.`email` AS Nullable(String)))) <= 254 AND match(toValidUTF8(CAST(`source`.`email` AS Nullable(String))), '^[!-?A-~]+@[!-?A-~]+[.][!-?A-~]+$')) THEN lower(toValidUTF8(CAST(`source`.`email` AS Nullable(String))))
    ELSE CASE
    WHEN (lengthUTF8(lower(replaceRegexpAll(toValidUTF8(CAST(`source`.`email` AS Nullable(String))), '^[\\x{9}\\x{a}\\x{b}\\x{c}\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}\\x{2001}\\x{2002}\\x{2003}\\x{2004}\\x{2005}\\x{2006}\\x{2007}\\x{2008}\\x{2009}\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}\\x{feff}]+|[\\x{9}\\x{a}\\x{b}\\x{c}\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}\\x{2001}\\x{2002}\\x{2003}\\x{2004}\\x{2005}\\x{2006}\\x{2007}\\x{2008}\\x{2009}\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}\\x{feff}]+$', ''))) <= 254 AND match(lower(replaceRegexpAll(toValidUTF8(CAST(`source`.`email` AS Nullable(String))), '^[\\x{9}\\x{a}\\x{b}\\x{c}\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}\\x{2001}\\x{2002}\\x{2003}\\x{2004}\\x{2005}\\x{2006}\\x{2007}\\x{2008}\\x{2009}\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}\\x{feff}]+|[\\x{9}\\x{a}\\x{b}\\x{c}\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}\\x{2001}\\x{2002}\\x{2003}\\x{2004}\\x{2005}\\x{2006}\\x{2007}\\x{2008}\\x{2009}\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}\\x{feff}]+$', '')), '^[^@\\s\\x01-\\x1f\\x7f]+@[^@\\s\\x01-\\x1f\\x7f]+[.][^@\\s\\x01-\\x1f\\x7f]+$')) THEN lower(replaceRegexpAll(toValidUTF8(CAST(`source`.`email` AS Nullable(String))), '^[\\x{9}\\x{a}\\x{b}\\x{c}\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}\\x{2001}\\x{2002}\\x{2003}\\x{2004}\\x{2005}\\x{2006}\\x{2007}\\x{2008}\\x{2009}\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}\\x{feff}]+|[\\x{9}\\x{a}\\x{b}\\x{c}\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}\\x{2001}\\x{2002}\\x{2003}\\x{2004}\\x{2005}\\x{2006}\\x{2007}\\x{2008}\\x{2009}\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}\\x{feff}]+$', ''))
    ELSE CAST(NULL AS Nullable(String)) END END AS `_identity`,
  CAST(NULL AS Nullable(String)) AS `_alias`,
  CAST(`source`.`customer_id` AS Nullable(String)) AS `_primary_key`,
  `source`.`customer_id` AS `customer_id`,
  toValidUTF8(CAST(`source`.`email` AS Nullable(String))) AS `email`,
  toValidUTF8(CAST(`source`.`plan` AS Nullable(String))) AS `plan`,
  `source`.`score` AS `score`
FROM ( select customer_id,
    email,
    plan,
    score from customers where plan like '%:vip'
) AS `source`
LIMIT 1;

-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT CASE
    WHEN (CHAR_LENGTH(CAST(source.`email` AS CHAR) COLLATE utf8mb4_nopad_bin) <= 254 AND (CAST(CAST(source.`email` AS CHAR) COLLATE utf8mb4_nopad_bin AS BINARY) REGEXP '^[!-?A-~]+@[!-?A-~]+[.][!-?A-~]+\\z')) THEN lower(CAST(source.`email` AS CHAR) COLLATE utf8mb4_nopad_bin)
    ELSE CASE
    WHEN (CHAR_LENGTH(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(regexp_replace(CAST(source.`email` AS CHAR) COLLATE utf8mb4_nopad_bin, '^[\0009\000a\000b\000c\000d\0020\0085\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\2028\2029\202f\205f\3000\feff]+|[\0009\000a\000b\000c\000d\0020\0085\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\2028\2029\202f\205f\3000\feff]+\\z', ''), 'A', 'a'), 'B', 'b'), 'C', 'c'), 'D', 'd'), 'E', 'e'), 'F', 'f'), 'G', 'g'), 'H', 'h'), 'I', 'i'), 'J', 'j'), 'K', 'k'), 'L', 'l'), 'M', 'm'), 'N', 'n'), 'O', 'o'), 'P', 'p'), 'Q', 'q'), 'R', 'r'), 'S', 's'), 'T', 't'), 'U', 'u'), 'V', 'v'), 'W', 'w'), 'X', 'x'), 'Y', 'y'), 'Z', 'z')) <= 254 AND (CAST(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(regexp_replace(CAST(source.`email` AS CHAR) COLLATE utf8mb4_nopad_bin, '^[\0009\000a\000b\000c\000d\0020\0085\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\2028\2029\202f\205f\3000\feff]+|[\0009\000a\000b\000c\000d\0020\0085\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\2028\2029\202f\205f\3000\feff]+\\z', ''), 'A', 'a'), 'B', 'b'), 'C', 'c'), 'D', 'd'), 'E', 'e'), 'F', 'f'), 'G', 'g'), 'H', 'h'), 'I', 'i'), 'J', 'j'), 'K', 'k'), 'L', 'l'), 'M', 'm'), 'N', 'n'), 'O', 'o'), 'P', 'p'), 'Q', 'q'), 'R', 'r'), 'S', 's'), 'T', 't'), 'U', 'u'), 'V', 'v'), 'W', 'w'), 'X', 'x'), 'Y', 'y'), 'Z', 'z') AS BINARY) REGEXP '^[^@\\s\\x01-\\x1f\\x7f]+@[^@\\s\\x01-\\x1f\\x7f]+[.][^@\\s\\x01-\\x1f\\x7f]+\\z')) THEN replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(regexp_replace(CAST(source.`email` AS CHAR) COLLATE utf8mb4_nopad_bin, '^[\0009\000a\000b\000c\000d\0020\0085\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\2028\2029\202f\205f\3000\feff]+|[\0009\000a\000b\000c\000d\0020\0085\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\2028\2029\202f\205f\3000\feff]+\\z', ''), 'A', 'a'), 'B', 'b'), 'C', 'c'), 'D', 'd'), 'E', 'e'), 'F', 'f'), 'G', 'g'), 'H', 'h'), 'I', 'i'), 'J', 'j'), 'K', 'k'), 'L', 'l'), 'M', 'm'), 'N', 'n'), 'O', 'o'), 'P', 'p'), 'Q', 'q'), 'R', 'r'), 'S', 's'), 'T', 't'), 'U', 'u'), 'V', 'v'), 'W', 'w'), 'X', 'x'), 'Y', 'y'), 'Z', 'z')
    ELSE CAST(NULL AS CHAR(20000)) END END AS _identity,
  CAST(NULL AS CHAR(20000)) AS _alias,
  CAST(source.`customer_id` AS CHAR) COLLATE utf8mb4_nopad_bin AS _primary_key,
  CAST(source.`customer_id` AS CHAR) COLLATE utf8mb4_nopad_bin AS `customer_id`,
  CAST(source.`email` AS CHAR) COLLATE utf8mb4_nopad_bin AS `email`,
  CAST(source.`plan` AS CHAR) COLLATE utf8mb4_nopad_bin AS `plan`,
  source.`score` AS `score`
FROM ( select customer_id,
    email,
    plan,
    score from customers where plan like '%:vip'
) AS source
LIMIT 1;

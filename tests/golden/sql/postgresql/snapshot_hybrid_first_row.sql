-- postgresql: only the text is compared here; the statement is executed on this engine
-- by tests/conformance and tests/acceptance. Lines are broken for reading.

SELECT coalesce('userId:' || CASE WHEN (length(CAST(source."user id" AS VARCHAR) COLLATE "C") <= 52 AND ((CAST(source."user id" AS VARCHAR) COLLATE "C") COLLATE "C") ~ '^[!-~]([ -~]*[!-~])?$') THEN CAST(source."user id" AS VARCHAR) COLLATE "C" ELSE CAST(NULL AS VARCHAR) END, 'email:' || CASE WHEN (length(CAST(source."email" AS VARCHAR) COLLATE "C") <= 254 AND ((CAST(source."email" AS VARCHAR) COLLATE "C") COLLATE "C") ~ '^[!-?A-~]+@[!-?A-~]+[.][!-?A-~]+$') THEN lower((CAST(source."email" AS VARCHAR) COLLATE "C") COLLATE "C") ELSE CASE WHEN (length(lower(btrim(CAST(source."email" AS VARCHAR) COLLATE "C", U&'\0009\000a\000b\000c\000d\0020\0085\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\2028\2029\202f\205f\3000\feff') COLLATE "C")) <= 254 AND (lower(btrim(CAST(source."email" AS VARCHAR) COLLATE "C", U&'\0009\000a\000b\000c\000d\0020\0085\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\2028\2029\202f\205f\3000\feff') COLLATE "C") COLLATE "C") ~ '^[^@\s\x01-\x1f\x7f]+@[^@\s\x01-\x1f\x7f]+[.][^@\s\x01-\x1f\x7f]+$') THEN lower(btrim(CAST(source."email" AS VARCHAR) COLLATE "C", U&'\0009\000a\000b\000c\000d\0020\0085\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\2028\2029\202f\205f\3000\feff') COLLATE "C") ELSE CAST(NULL AS VARCHAR) END END) AS _identity,
  CASE
    WHEN (length(CAST(source."email" AS VARCHAR) COLLATE "C") <= 254 AND ((CAST(source."email" AS VARCHAR) COLLATE "C") COLLATE "C") ~ '^[!-?A-~]+@[!-?A-~]+[.][!-?A-~]+$') THEN lower((CAST(source."email" AS VARCHAR) COLLATE "C") COLLATE "C")
    ELSE CASE
    WHEN (length(lower(btrim(CAST(source."email" AS VARCHAR) COLLATE "C", U&'\0009\000a\000b\000c\000d\0020\0085\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\2028\2029\202f\205f\3000\feff') COLLATE "C")) <= 254 AND (lower(btrim(CAST(source."email" AS VARCHAR) COLLATE "C", U&'\0009\000a\000b\000c\000d\0020\0085\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\2028\2029\202f\205f\3000\feff') COLLATE "C") COLLATE "C") ~ '^[^@\s\x01-\x1f\x7f]+@[^@\s\x01-\x1f\x7f]+[.][^@\s\x01-\x1f\x7f]+$') THEN lower(btrim(CAST(source."email" AS VARCHAR) COLLATE "C", U&'\0009\000a\000b\000c\000d\0020\0085\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\2028\2029\202f\205f\3000\feff') COLLATE "C")
    ELSE CAST(NULL AS VARCHAR) END END AS _alias,
  '[' || coalesce(CAST(to_json(source."user id") AS VARCHAR), 'null') || ',' || coalesce(CAST(to_json(source."customer_id") AS VARCHAR), 'null') || ']' AS _primary_key,
  source."user id" AS "user id",
  source."customer_id" AS "customer_id",
  source."email" COLLATE "C" AS "email",
  source."plan" COLLATE "C" AS "plan",
  source."score" AS "score"
FROM ( select customer_id,
    email,
    plan,
    score from customers where plan like '%:vip'
) AS source
LIMIT 1;

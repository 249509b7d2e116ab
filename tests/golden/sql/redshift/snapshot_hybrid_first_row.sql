-- redshift: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT coalesce('userId:' || CASE WHEN (length(CAST(source."user id" AS VARCHAR(65535))) <= 52 AND strpos(CAST(source."user id" AS VARCHAR(65535)), chr(10)) = 0 AND CAST(source."user id" AS VARCHAR(65535)) ~ '^[!-~]([ -~]*[!-~])?$') THEN CAST(source."user id" AS VARCHAR(65535)) ELSE CAST(NULL AS VARCHAR(65535)) END, 'email:' || CASE WHEN (length(CAST(source."email" AS VARCHAR(65535))) <= 254 AND strpos(CAST(source."email" AS VARCHAR(65535)), chr(10)) = 0 AND CAST(source."email" AS VARCHAR(65535)) ~ '^[!-?A-~]+@[!-?A-~]+[.][!-?A-~]+$') THEN lower(CAST(source."email" AS VARCHAR(65535))) ELSE CASE WHEN (length(translate(btrim(CAST(source."email" AS VARCHAR(65535)), U&'\0009\000a\000b\000c\000d\0020\0085\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\2028\2029\202f\205f\3000\feff'), 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')) <= 254 AND strpos(translate(btrim(CAST(source."email" AS VARCHAR(65535)), U&'\0009\000a\000b\000c\000d\0020\0085\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\2028\2029\202f\205f\3000\feff'), 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz'), chr(10)) = 0 AND translate(btrim(CAST(source."email" AS VARCHAR(65535)), U&'\0009\000a\000b\000c\000d\0020\0085\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\2028\2029\202f\205f\3000\feff'), 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz') ~ '^[^@[:space:][:cntrl:]]+@[^@[:space:][:cntrl:]]+[.][^@[:space:][:cntrl:]]+$') THEN translate(btrim(CAST(source."email" AS VARCHAR(65535)), U&'\0009\000a\000b\000c\000d\0020\0085\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\2028\2029\202f\205f\3000\feff'), 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz') ELSE CAST(NULL AS VARCHAR(65535)) END END) AS _identity,
  CASE
    WHEN (length(CAST(source."email" AS VARCHAR(65535))) <= 254 AND strpos(CAST(source."email" AS VARCHAR(65535)), chr(10)) = 0 AND CAST(source."email" AS VARCHAR(65535)) ~ '^[!-?A-~]+@[!-?A-~]+[.][!-?A-~]+$') THEN lower(CAST(source."email" AS VARCHAR(65535)))
    ELSE CASE
    WHEN (length(translate(btrim(CAST(source."email" AS VARCHAR(65535)), U&'\0009\000a\000b\000c\000d\0020\0085\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\2028\2029\202f\205f\3000\feff'), 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')) <= 254 AND strpos(translate(btrim(CAST(source."email" AS VARCHAR(65535)), U&'\0009\000a\000b\000c\000d\0020\0085\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\2028\2029\202f\205f\3000\feff'), 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz'), chr(10)) = 0 AND translate(btrim(CAST(source."email" AS VARCHAR(65535)), U&'\0009\000a\000b\000c\000d\0020\0085\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\2028\2029\202f\205f\3000\feff'), 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz') ~ '^[^@[:space:][:cntrl:]]+@[^@[:space:][:cntrl:]]+[.][^@[:space:][:cntrl:]]+$') THEN translate(btrim(CAST(source."email" AS VARCHAR(65535)), U&'\0009\000a\000b\000c\000d\0020\0085\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\2028\2029\202f\205f\3000\feff'), 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')
    ELSE CAST(NULL AS VARCHAR(65535)) END END AS _alias,
  '[' || SUBSTRING(json_serialize(array(source."user id")) FROM 2 FOR length(json_serialize(array(source."user id"))) - 2) || ',' || SUBSTRING(json_serialize(array(source."customer_id")) FROM 2 FOR length(json_serialize(array(source."customer_id"))) - 2) || ']' AS _primary_key,
  source."user id" AS "user id",
  source."customer_id" AS "customer_id",
  source."email" AS "email",
  source."plan" AS "plan",
  source."score" AS "score"
FROM ( select customer_id,
    email,
    plan,
    score from customers where plan like '%:vip'
) AS source
LIMIT 1;

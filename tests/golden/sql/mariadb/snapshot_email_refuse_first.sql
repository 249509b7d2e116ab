-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

INSERT INTO reverse_etl.refused_vip_5 (`_identity`, `_primary_key`, `_alias`, `_kind`, `_error_code`, `_error_reason`, `_rows`, `_differs`, `_new`)
SELECT unidentified._identity,
  unidentified._primary_key,
  unidentified._alias,
  unidentified._kind,
  unidentified._error_code,
  unidentified._error_reason,
  unidentified._rows,
  unidentified._differs,
  true AS _new
FROM (
  SELECT each_row._identity AS _identity,
    min(each_row.`_primary_key`) AS _primary_key,
    CAST(NULL AS CHAR(20000)) AS _alias,
    'invalid' AS _kind,
    min(each_row._error_code) AS _error_code,
    min(each_row._error_reason) AS _error_reason,
    CAST(count(*) AS SIGNED INTEGER) AS _rows,
    false AS _differs
  FROM (
    SELECT concat('row:', coalesce(contested_vip.`_primary_key`, 'null')) AS _identity,
      contested_vip.`_primary_key` AS `_primary_key`,
      CASE
        WHEN ((CAST(contested_vip.`email` AS CHAR) COLLATE utf8mb4_nopad_bin) IS NOT NULL AND regexp_replace(CAST(contested_vip.`email` AS CHAR) COLLATE utf8mb4_nopad_bin, '^[\0009\000a\000b\000c\000d\0020\0085\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\2028\2029\202f\205f\3000\feff]+|[\0009\000a\000b\000c\000d\0020\0085\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\2028\2029\202f\205f\3000\feff]+\\z', '') != '') THEN 'invalid_identifier'
        ELSE 'missing_identifier' END AS _error_code,
      CASE
        WHEN ((CAST(contested_vip.`email` AS CHAR) COLLATE utf8mb4_nopad_bin) IS NOT NULL AND regexp_replace(CAST(contested_vip.`email` AS CHAR) COLLATE utf8mb4_nopad_bin, '^[\0009\000a\000b\000c\000d\0020\0085\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\2028\2029\202f\205f\3000\feff]+|[\0009\000a\000b\000c\000d\0020\0085\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\2028\2029\202f\205f\3000\feff]+\\z', '') != '') THEN 'column email holds no usable email: expected an e-mail address'
        ELSE 'no identifier: needs email (an e-mail address)' END AS _error_reason
    FROM contested_vip
    WHERE contested_vip.`_identity` IS NULL
  ) AS each_row
  GROUP BY each_row._identity
) AS unidentified;

INSERT INTO reverse_etl.refused_vip_5 (`_identity`, `_primary_key`, `_alias`, `_kind`, `_error_code`, `_error_reason`, `_rows`, `_differs`, `_new`)
SELECT duplicates._identity,
  duplicates.`_primary_key`,
  duplicates.`_alias`,
  duplicates._kind,
  duplicates._error_code,
  duplicates._error_reason,
  duplicates._rows,
  duplicates._differs,
  true AS _new
FROM (
  SELECT resolved_vip.`_person` AS _identity,
    resolved_vip.`_primary_key` AS `_primary_key`,
    resolved_vip.`_alias` AS `_alias`,
    'duplicate' AS _kind,
    'duplicate_identity' AS _error_code,
    concat('another row with the same identity goes first: primary key ', coalesce(winner.`_primary_key`, 'NULL')) AS _error_reason,
    CAST(1 AS SIGNED INTEGER) AS _rows,
    NOT (resolved_vip.`plan` <=> winner.`plan`)
      OR NOT (resolved_vip.`score` <=> winner.`score`) AS _differs
  FROM resolved_vip INNER
  JOIN resolved_vip AS winner ON winner.`_person` = resolved_vip.`_person`
      AND winner.`_place` = 1
  WHERE resolved_vip.`_person` IS NOT NULL
      AND resolved_vip.`_place` > 1
) AS duplicates;

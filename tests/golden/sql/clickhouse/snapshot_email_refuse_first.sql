-- clickhouse: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

INSERT INTO `reverse_etl`.`refused_vip_5` (`_identity`, `_primary_key`, `_alias`, `_kind`, `_error_code`, `_error_reason`, `_rows`, `_differs`, `_new`)
SELECT `unidentified`.`_identity`,
  `unidentified`.`_primary_key`,
  `unidentified`.`_alias`,
  `unidentified`.`_kind`,
  `unidentified`.`_error_code`,
  `unidentified`.`_error_reason`,
  `unidentified`.`_rows`,
  `unidentified`.`_differs`,
  true AS `_new`
FROM (
  SELECT `each_row`.`_identity` AS `_identity`,
    min(`each_row`.`_primary_key`) AS `_primary_key`,
    CAST(NULL AS Nullable(String)) AS `_alias`,
    'invalid' AS `_kind`,
    min(`each_row`.`_error_code`) AS `_error_code`,
    min(`each_row`.`_error_reason`) AS `_error_reason`,
    CAST(count(*) AS Nullable(Int64)) AS `_rows`,
    false AS `_differs`
  FROM (
    SELECT 'row:' || coalesce(`reverse_etl`.`contested_vip`.`_primary_key`, 'null') AS `_identity`,
      `reverse_etl`.`contested_vip`.`_primary_key` AS `_primary_key`,
      CASE
        WHEN (toValidUTF8(CAST(`reverse_etl`.`contested_vip`.`email` AS Nullable(String))) IS NOT NULL AND replaceRegexpAll(toValidUTF8(CAST(`reverse_etl`.`contested_vip`.`email` AS Nullable(String))), '^[\\x{9}\\x{a}\\x{b}\\x{c}\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}\\x{2001}\\x{2002}\\x{2003}\\x{2004}\\x{2005}\\x{2006}\\x{2007}\\x{2008}\\x{2009}\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}\\x{feff}]+|[\\x{9}\\x{a}\\x{b}\\x{c}\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}\\x{2001}\\x{2002}\\x{2003}\\x{2004}\\x{2005}\\x{2006}\\x{2007}\\x{2008}\\x{2009}\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}\\x{feff}]+$', '') != '') THEN 'invalid_identifier'
        ELSE 'missing_identifier' END AS `_error_code`,
      CASE
        WHEN (toValidUTF8(CAST(`reverse_etl`.`contested_vip`.`email` AS Nullable(String))) IS NOT NULL AND replaceRegexpAll(toValidUTF8(CAST(`reverse_etl`.`contested_vip`.`email` AS Nullable(String))), '^[\\x{9}\\x{a}\\x{b}\\x{c}\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}\\x{2001}\\x{2002}\\x{2003}\\x{2004}\\x{2005}\\x{2006}\\x{2007}\\x{2008}\\x{2009}\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}\\x{feff}]+|[\\x{9}\\x{a}\\x{b}\\x{c}\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}\\x{2001}\\x{2002}\\x{2003}\\x{2004}\\x{2005}\\x{2006}\\x{2007}\\x{2008}\\x{2009}\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}\\x{feff}]+$', '') != '') THEN 'column email holds no usable email: expected an e-mail address'
        ELSE 'no identifier: needs email (an e-mail address)' END AS `_error_reason`
    FROM `reverse_etl`.`contested_vip`
    WHERE `reverse_etl`.`contested_vip`.`_identity` IS NULL
  ) AS `each_row`
  GROUP BY `each_row`.`_identity`
) AS `unidentified`;

INSERT INTO `reverse_etl`.`refused_vip_5` (`_identity`, `_primary_key`, `_alias`, `_kind`, `_error_code`, `_error_reason`, `_rows`, `_differs`, `_new`)
SELECT `duplicates`.`_identity`,
  `duplicates`.`_primary_key`,
  `duplicates`.`_alias`,
  `duplicates`.`_kind`,
  `duplicates`.`_error_code`,
  `duplicates`.`_error_reason`,
  `duplicates`.`_rows`,
  `duplicates`.`_differs`,
  true AS `_new`
FROM (
  SELECT `reverse_etl`.`resolved_vip`.`_person` AS `_identity`,
    `reverse_etl`.`resolved_vip`.`_primary_key` AS `_primary_key`,
    `reverse_etl`.`resolved_vip`.`_alias` AS `_alias`,
    'duplicate' AS `_kind`,
    'duplicate_identity' AS `_error_code`,
    'another row with the same identity goes first: primary key ' || coalesce(`winner`.`_primary_key`, 'NULL') AS `_error_reason`,
    CAST(1 AS Nullable(Int64)) AS `_rows`,
    `reverse_etl`.`resolved_vip`.`plan` IS DISTINCT FROM `winner`.`plan`
      OR `reverse_etl`.`resolved_vip`.`score` IS DISTINCT FROM `winner`.`score` AS `_differs`
  FROM `reverse_etl`.`resolved_vip` INNER
  JOIN `reverse_etl`.`resolved_vip` AS `winner` ON `winner`.`_person` = `reverse_etl`.`resolved_vip`.`_person`
      AND `winner`.`_place` = 1
  WHERE `reverse_etl`.`resolved_vip`.`_person` IS NOT NULL
      AND `reverse_etl`.`resolved_vip`.`_place` > 1
) AS `duplicates`;

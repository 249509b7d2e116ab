-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT CASE
    WHEN (extras_vip.`_in_second` = 1 AND extras_vip.`_other` IS NOT NULL) THEN extras_vip.`_other`
    ELSE extras_vip.`_handle` END AS shown
FROM extras_vip
WHERE extras_vip.`_in_first` = 1
    AND extras_vip.`_open` IS NULL
    AND NOT (EXISTS (
  SELECT 1 AS anon_1
  FROM audited_vip
  WHERE audited_vip.`_identity` = extras_vip.`_handle`
      OR audited_vip.`_identity` = extras_vip.`_other`
))
ORDER BY shown
LIMIT 10;

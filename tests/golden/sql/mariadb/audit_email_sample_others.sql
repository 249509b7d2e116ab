-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT extras_vip.`_handle` AS shown
FROM extras_vip
WHERE extras_vip.`_in_first` = 1
    AND extras_vip.`_open` IS NULL
    AND NOT (EXISTS (
  SELECT 1 AS anon_1
  FROM audited_vip
  WHERE audited_vip.`_identity` = extras_vip.`_handle`
))
ORDER BY shown
LIMIT 10;

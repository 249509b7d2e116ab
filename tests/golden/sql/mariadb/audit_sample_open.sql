-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT left_open_vip.`_identity`,
  left_open_vip.`_origin`
FROM left_open_vip
ORDER BY left_open_vip.`_identity`
LIMIT 10;

-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT audited_vip.`_identity`
FROM audited_vip
WHERE audited_vip.`_operation` = 'delete'
ORDER BY audited_vip.`_identity`
LIMIT 10;

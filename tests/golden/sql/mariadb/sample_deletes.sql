-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT reverse_etl.changes_vip_5.`_identity`
FROM reverse_etl.changes_vip_5
WHERE reverse_etl.changes_vip_5.`_operation` = 'delete'
    AND reverse_etl.changes_vip_5.`_carried` = 0
ORDER BY reverse_etl.changes_vip_5.`_identity`
LIMIT 5;

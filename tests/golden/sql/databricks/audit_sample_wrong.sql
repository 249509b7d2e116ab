-- databricks: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT reverse_etl.audited_vip.`_identity`
FROM reverse_etl.audited_vip
WHERE reverse_etl.audited_vip.`_operation` = 'delete'
ORDER BY reverse_etl.audited_vip.`_identity`
LIMIT 10;

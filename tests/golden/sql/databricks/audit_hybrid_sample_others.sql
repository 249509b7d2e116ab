-- databricks: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT CASE
    WHEN (reverse_etl.extras_vip.`_in_second` = 1 AND reverse_etl.extras_vip.`_other` IS NOT NULL) THEN reverse_etl.extras_vip.`_other`
    ELSE reverse_etl.extras_vip.`_handle` END AS shown
FROM reverse_etl.extras_vip
LEFT OUTER JOIN reverse_etl.audited_vip ON reverse_etl.audited_vip.`_identity` = reverse_etl.extras_vip.`_handle`
LEFT OUTER JOIN reverse_etl.audited_vip AS by_other ON by_other.`_identity` = reverse_etl.extras_vip.`_other`
WHERE reverse_etl.extras_vip.`_in_first` = 1
    AND reverse_etl.extras_vip.`_open` IS NULL
    AND reverse_etl.audited_vip.`_identity` IS NULL
    AND by_other.`_identity` IS NULL
ORDER BY shown
LIMIT 10;

-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT `changes_vip_5`.`_identity`
FROM `reverse_etl`.`changes_vip_5`
WHERE `changes_vip_5`.`_operation` = 'delete'
    AND NOT `changes_vip_5`.`_carried`
ORDER BY `changes_vip_5`.`_identity`
LIMIT 5;

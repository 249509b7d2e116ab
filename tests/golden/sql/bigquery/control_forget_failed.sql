-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

DELETE
FROM `reverse_etl`.`failed_records`
WHERE `failed_records`.`sync_name` = 'vip';

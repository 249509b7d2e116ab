-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

DELETE
FROM `reverse_etl`.`residue`
WHERE `residue`.`sync_name` = 'vip'
    AND `residue`.`sync_run_id` < 5;

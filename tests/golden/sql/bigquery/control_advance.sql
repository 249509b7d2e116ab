-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

UPDATE `reverse_etl`.`sync_state`
SET `position`=90,
  `send_limit`=120,
  `requests_sent`=3
WHERE `sync_state`.`sync_name` = 'vip'
    AND `sync_state`.`lease_token` = 7;

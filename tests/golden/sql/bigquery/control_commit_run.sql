-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

UPDATE `reverse_etl`.`sync_state`
SET `account_host`='api.iterable.com',
  `mapping`='{}',
  `committed_run_id`=5,
  `position`=0,
  `send_limit`=30,
  `requests_sent`=0,
  `snapshot_rows`=NULL,
  `changes_rows`=NULL,
  `sync_log_retention_days`=30,
  `due_after`=DATETIME '2030-01-02 03:04:05.000000'
WHERE `sync_state`.`sync_name` = 'vip'
    AND `sync_state`.`lease_token` = 7;

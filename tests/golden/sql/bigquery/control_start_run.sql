-- bigquery: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

INSERT INTO `reverse_etl`.`sync_runs` (`sync_name`, `sync_run_id`, `status`)
VALUES ('vip', 5, 'planning');

-- redshift: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT count(*) AS count_1
FROM (
  SELECT reverse_etl.sync_log.sync_name AS sync_name
  FROM reverse_etl.sync_log
  WHERE reverse_etl.sync_log.sync_name = 'vip'
      AND reverse_etl.sync_log.sync_run_id < 5
      AND reverse_etl.sync_log.sync_finished_at < TIMESTAMP '2030-01-02 03:04:05.000000'
  LIMIT 1
) AS anon_1;

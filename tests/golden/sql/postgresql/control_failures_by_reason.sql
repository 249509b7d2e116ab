-- postgresql: only the text is compared here; the statement is executed on this engine
-- by tests/conformance and tests/acceptance. Lines are broken for reading.

SELECT reverse_etl.failed_records.error_code,
  reverse_etl.failed_records.retryable,
  reverse_etl.failed_records.unidentified,
  count(*) AS count_1,
  count(reverse_etl.failed_records.retry_requested_at) AS count_2
FROM reverse_etl.failed_records
WHERE reverse_etl.failed_records.sync_name = 'vip'
GROUP BY reverse_etl.failed_records.error_code,
  reverse_etl.failed_records.retryable,
  reverse_etl.failed_records.unidentified
ORDER BY count(*) DESC,
  reverse_etl.failed_records.error_code;

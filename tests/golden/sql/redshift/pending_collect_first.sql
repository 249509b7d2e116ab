-- redshift: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT reverse_etl.failed_records."identity" AS _identity,
  reverse_etl.failed_records.alias AS _alias,
  reverse_etl.failed_records.primary_key AS _primary_key,
  reverse_etl.failed_records.operation AS _operation,
  'failed' AS _origin,
  CAST(reverse_etl.failed_records.error_code = 'unknown' OR reverse_etl.failed_records.retryable OR reverse_etl.failed_records.retry_requested_at IS NOT NULL AS BOOLEAN) AS _due,
  reverse_etl.failed_records.fields AS _fields
FROM reverse_etl.failed_records
WHERE reverse_etl.failed_records.sync_name = 'vip'
    AND NOT reverse_etl.failed_records.unidentified;

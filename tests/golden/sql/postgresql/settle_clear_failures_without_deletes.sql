-- postgresql: only the text is compared here; the statement is executed on this engine
-- by tests/conformance and tests/acceptance. Lines are broken for reading.

DELETE
FROM reverse_etl.failed_records
WHERE reverse_etl.failed_records.sync_name = 'vip'
    AND NOT reverse_etl.failed_records.unidentified
    AND NOT (EXISTS (
  SELECT *
  FROM reverse_etl.snapshot_vip_5
  WHERE reverse_etl.failed_records.identity = reverse_etl.snapshot_vip_5."_identity"
));

-- redshift: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

UPDATE reverse_etl.sync_state
SET lease_owner='host:1:ab',
  lease_token=(reverse_etl.sync_state.lease_token + 1),
  lease_expires_at=DATEADD(millisecond, 30000, CAST(GETDATE() AS TIMESTAMPTZ) AT TIME ZONE 'UTC')
WHERE reverse_etl.sync_state.sync_name = 'vip'
    AND (reverse_etl.sync_state.lease_expires_at IS NULL OR reverse_etl.sync_state.lease_expires_at < CAST(GETDATE() AS TIMESTAMPTZ) AT TIME ZONE 'UTC');

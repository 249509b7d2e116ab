-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

UPDATE reverse_etl.sync_state
SET lease_owner='host:1:ab',
  lease_token=(reverse_etl.sync_state.lease_token + 1),
  lease_expires_at=UTC_TIMESTAMP(6) + INTERVAL 30000000 MICROSECOND
WHERE reverse_etl.sync_state.sync_name = 'vip';

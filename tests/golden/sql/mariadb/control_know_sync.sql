-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

INSERT INTO reverse_etl.sync_state (sync_name, lease_token, last_run_id)
SELECT 'vip' AS anon_1,
  0 AS anon_2,
  0 AS anon_3
FROM DUAL
WHERE NOT (EXISTS (
  SELECT reverse_etl.sync_state.sync_name
  FROM reverse_etl.sync_state
  WHERE reverse_etl.sync_state.sync_name = 'vip'
));

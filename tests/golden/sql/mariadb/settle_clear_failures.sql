-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

DELETE
FROM reverse_etl.failed_records
WHERE reverse_etl.failed_records.sync_name = 'vip'
    AND (EXISTS (
  SELECT *
  FROM settled_vip
  WHERE reverse_etl.failed_records.identity = settled_vip.`identity`
      AND reverse_etl.failed_records.unidentified = settled_vip.`unidentified`
));

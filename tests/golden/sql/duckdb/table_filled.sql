-- duckdb: only the text is compared here; the statement is executed on this engine
-- by tests/conformance and tests/acceptance. Lines are broken for reading.

CREATE TABLE reverse_etl.snapshot_vip_5 AS
SELECT count(*) AS count_1
FROM reverse_etl.changes_vip_5;

CREATE TEMPORARY TABLE pending_vip AS
SELECT count(*) AS count_1
FROM reverse_etl.changes_vip_5;

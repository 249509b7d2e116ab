-- postgresql: only the text is compared here; the statement is executed on this engine
-- by tests/conformance and tests/acceptance. Lines are broken for reading.

SELECT CAST(sum(CAST(hashtextextended(CAST(row(reverse_etl.changes_vip_5."_identity", reverse_etl.changes_vip_5."score") AS TEXT), 0) AS NUMERIC)) AS TEXT) AS sum_1
FROM reverse_etl.changes_vip_5;

-- duckdb: only the text is compared here; the statement is executed on this engine
-- by tests/conformance and tests/acceptance. Lines are broken for reading.

SELECT CAST(sum(CAST(hash(CASE WHEN regexp_matches(typeof(reverse_etl.changes_vip_5."_identity"), '^(U?HUGEINT|BIGNUM|DECIMAL[(](19|[23][0-9]),.*|(STRUCT|MAP|UNION)[(].*|.*\])$') THEN hash(CAST(reverse_etl.changes_vip_5."_identity" AS VARCHAR)) ELSE hash(reverse_etl.changes_vip_5."_identity") END, CASE WHEN regexp_matches(typeof(reverse_etl.changes_vip_5."score"), '^(U?HUGEINT|BIGNUM|DECIMAL[(](19|[23][0-9]),.*|(STRUCT|MAP|UNION)[(].*|.*\])$') THEN hash(CAST(reverse_etl.changes_vip_5."score" AS VARCHAR)) ELSE hash(reverse_etl.changes_vip_5."score") END) AS NUMERIC(38, 0))) AS VARCHAR) AS sum_1
FROM reverse_etl.changes_vip_5;

-- trino: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT to_hex(checksum(row(reverse_etl.changes_vip_5."_identity", reverse_etl.changes_vip_5."score"))) AS to_hex_1
FROM reverse_etl.changes_vip_5;

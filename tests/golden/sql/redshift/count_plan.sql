-- redshift: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT reverse_etl.changes_vip_5."_phase",
  reverse_etl.changes_vip_5."_operation",
  reverse_etl.changes_vip_5."_retry",
  reverse_etl.changes_vip_5."_carried",
  count(*) AS count_1,
  min(reverse_etl.changes_vip_5."_seq") AS min_1,
  max(reverse_etl.changes_vip_5."_seq") AS max_1
FROM reverse_etl.changes_vip_5
GROUP BY reverse_etl.changes_vip_5."_phase",
  reverse_etl.changes_vip_5."_operation",
  reverse_etl.changes_vip_5."_retry",
  reverse_etl.changes_vip_5."_carried";

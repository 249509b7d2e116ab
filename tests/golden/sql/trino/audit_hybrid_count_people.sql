-- trino: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT reverse_etl.people_vip."_open",
  reverse_etl.people_vip."_found",
  reverse_etl.people_vip."_half",
  count(*) AS count_1
FROM reverse_etl.people_vip
GROUP BY reverse_etl.people_vip."_open",
  reverse_etl.people_vip."_found",
  reverse_etl.people_vip."_half";

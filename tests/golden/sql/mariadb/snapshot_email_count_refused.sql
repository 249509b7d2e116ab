-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT reverse_etl.refused_vip_5.`_kind`,
  reverse_etl.refused_vip_5.`_new`,
  CAST(sum(reverse_etl.refused_vip_5.`_rows`) AS SIGNED INTEGER) AS sum_1
FROM reverse_etl.refused_vip_5
GROUP BY reverse_etl.refused_vip_5.`_kind`,
  reverse_etl.refused_vip_5.`_new`;

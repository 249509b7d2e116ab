-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT audited_vip.`_operation`,
  count(*) AS count_1
FROM audited_vip
GROUP BY audited_vip.`_operation`;

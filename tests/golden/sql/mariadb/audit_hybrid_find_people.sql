-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT reverse_etl.snapshot_vip_4.`_identity`,
  reverse_etl.snapshot_vip_4.`_alias`,
  reverse_etl.snapshot_vip_4.`_primary_key`,
  left_open_vip.`_identity` IS NOT NULL AS _open,
  lines_vip.`_handle` IS NOT NULL
    OR `others`.`_other` IS NOT NULL AS _found,
  CASE
    WHEN (lines_vip.`_handle` IS NOT NULL AND `others`.`_other` IS NULL AND lines_vip.`_in_second` = 0) THEN 'first'
    WHEN (lines_vip.`_handle` IS NULL AND `others`.`_other` IS NOT NULL AND `others`._in_first = 0) THEN 'second'
    ELSE CAST(NULL AS CHAR(20000)) END AS _half
FROM reverse_etl.snapshot_vip_4
LEFT OUTER JOIN left_open_vip ON left_open_vip.`_identity` = reverse_etl.snapshot_vip_4.`_identity`
LEFT OUTER JOIN lines_vip ON lines_vip.`_handle` = reverse_etl.snapshot_vip_4.`_identity`
LEFT OUTER JOIN (
  SELECT lines_vip.`_other` AS `_other`,
    max(lines_vip.`_in_first`) AS _in_first
  FROM lines_vip
  WHERE lines_vip.`_other` IS NOT NULL
  GROUP BY lines_vip.`_other`
) AS `others` ON `others`.`_other` = (concat('email:', reverse_etl.snapshot_vip_4.`_alias`));

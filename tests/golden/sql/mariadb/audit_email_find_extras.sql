-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT lines_vip.`_handle`,
  lines_vip.`_other`,
  lines_vip.`_in_first`,
  lines_vip.`_in_second`,
  left_open.own AS _open
FROM lines_vip
LEFT OUTER JOIN reverse_etl.snapshot_vip_4 ON reverse_etl.snapshot_vip_4.`_identity` = lines_vip.`_handle`
LEFT OUTER JOIN (
  SELECT handles.handle AS handle,
    max(handles.own) AS own
  FROM (
    SELECT left_open_vip.`_identity` AS handle,
      1 AS own
    FROM left_open_vip
  ) AS handles
  GROUP BY handles.handle
) AS left_open ON left_open.handle = lines_vip.`_handle`
WHERE reverse_etl.snapshot_vip_4.`_identity` IS NULL;

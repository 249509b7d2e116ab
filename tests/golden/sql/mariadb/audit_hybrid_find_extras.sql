-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT lines_vip.`_handle`,
  lines_vip.`_other`,
  lines_vip.`_in_first`,
  lines_vip.`_in_second`,
  coalesce(left_open.own, left_open_too.own) AS _open
FROM lines_vip
LEFT OUTER JOIN reverse_etl.snapshot_vip_4 ON reverse_etl.snapshot_vip_4.`_identity` = lines_vip.`_handle`
LEFT OUTER JOIN (
  SELECT handles.handle AS handle,
    max(handles.own) AS own
  FROM (
    SELECT left_open_vip.`_identity` AS handle,
      1 AS own
    FROM left_open_vip
    UNION ALL
    SELECT concat('email:', left_open_vip.`_alias`) AS handle,
      0 AS own
    FROM left_open_vip
    WHERE left_open_vip.`_alias` IS NOT NULL
  ) AS handles
  GROUP BY handles.handle
) AS left_open ON left_open.handle = lines_vip.`_handle`
LEFT OUTER JOIN reverse_etl.snapshot_vip_4 AS by_other ON by_other.`_identity` = lines_vip.`_other`
LEFT OUTER JOIN reverse_etl.snapshot_vip_4 AS by_alias ON (concat('email:', by_alias.`_alias`)) = lines_vip.`_other`
LEFT OUTER JOIN (
  SELECT handles.handle AS handle,
    max(handles.own) AS own
  FROM (
    SELECT left_open_vip.`_identity` AS handle,
      1 AS own
    FROM left_open_vip
    UNION ALL
    SELECT concat('email:', left_open_vip.`_alias`) AS handle,
      0 AS own
    FROM left_open_vip
    WHERE left_open_vip.`_alias` IS NOT NULL
  ) AS handles
  GROUP BY handles.handle
) AS left_open_too ON left_open_too.handle = lines_vip.`_other`
WHERE reverse_etl.snapshot_vip_4.`_identity` IS NULL
    AND by_other.`_identity` IS NULL
    AND by_alias.`_identity` IS NULL;

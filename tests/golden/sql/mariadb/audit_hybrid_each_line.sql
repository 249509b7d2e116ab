-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

SELECT named._handle,
  max(named._other) AS _other,
  max(CASE WHEN (named.`_reading` = 0) THEN 1 ELSE 0 END) AS _in_first,
  max(CASE WHEN (named.`_reading` = 1) THEN 1 ELSE 0 END) AS _in_second
FROM (
  SELECT concat('userId:', members_vip.`userId`) AS _handle,
    concat('email:', members_vip.`email`) AS _other,
    members_vip.`_reading` AS `_reading`
  FROM members_vip
) AS named
WHERE named._handle IS NOT NULL
GROUP BY named._handle;

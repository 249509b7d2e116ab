-- redshift: only text. Written from the documentation; no statement here was ever
-- executed by the service. Lines are broken for reading.

SELECT extras_vip."_handle" AS shown
FROM extras_vip
LEFT OUTER JOIN audited_vip ON audited_vip."_identity" = extras_vip."_handle"
WHERE extras_vip."_in_first" = 1
    AND extras_vip."_open" IS NULL
    AND audited_vip."_identity" IS NULL
ORDER BY shown
LIMIT 10;

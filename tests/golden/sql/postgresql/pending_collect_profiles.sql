-- postgresql: only the text is compared here; the statement is executed on this engine
-- by tests/conformance and tests/acceptance. Lines are broken for reading.

SELECT unconfirmed."_identity",
  unconfirmed."_alias",
  unconfirmed."_primary_key",
  unconfirmed."_operation",
  unconfirmed._origin,
  unconfirmed._due,
  unconfirmed._fields
FROM (
  SELECT reverse_etl.changes_vip_4."_identity" AS "_identity",
    reverse_etl.changes_vip_4."_alias" AS "_alias",
    reverse_etl.changes_vip_4."_primary_key" AS "_primary_key",
    reverse_etl.changes_vip_4."_operation" AS "_operation",
    'plan' AS _origin,
    true AS _due,
    coalesce(reverse_etl.changes_vip_4."_fields", '["extras", "joined", "paid", "paid_text", "seen"]') AS _fields
  FROM reverse_etl.changes_vip_4
  WHERE reverse_etl.changes_vip_4."_seq" > 90
      AND NOT (EXISTS (
    SELECT *
    FROM reverse_etl.outcomes_vip_4
    WHERE reverse_etl.outcomes_vip_4."seq" = reverse_etl.changes_vip_4."_seq"
        AND reverse_etl.outcomes_vip_4."status" = 'succeeded'
  ))
) AS unconfirmed
UNION ALL
SELECT failures._identity,
  failures._alias,
  failures._primary_key,
  failures._operation,
  failures._origin,
  failures._due,
  failures._fields
FROM (
  SELECT reverse_etl.failed_records.identity AS _identity,
    reverse_etl.failed_records.alias AS _alias,
    reverse_etl.failed_records.primary_key AS _primary_key,
    reverse_etl.failed_records.operation AS _operation,
    'failed' AS _origin,
    CAST(reverse_etl.failed_records.error_code = 'unknown' OR reverse_etl.failed_records.retryable OR reverse_etl.failed_records.retry_requested_at IS NOT NULL AS BOOLEAN) AS _due,
    reverse_etl.failed_records.fields AS _fields
  FROM reverse_etl.failed_records
  WHERE reverse_etl.failed_records.sync_name = 'vip'
      AND NOT reverse_etl.failed_records.unidentified
) AS failures
WHERE NOT (EXISTS (
  SELECT *
  FROM (
    SELECT reverse_etl.changes_vip_4."_identity" AS "_identity",
      reverse_etl.changes_vip_4."_alias" AS "_alias",
      reverse_etl.changes_vip_4."_primary_key" AS "_primary_key",
      reverse_etl.changes_vip_4."_operation" AS "_operation",
      'plan' AS _origin,
      true AS _due,
      coalesce(reverse_etl.changes_vip_4."_fields", '["extras", "joined", "paid", "paid_text", "seen"]') AS _fields
    FROM reverse_etl.changes_vip_4
    WHERE reverse_etl.changes_vip_4."_seq" > 90
        AND NOT (EXISTS (
      SELECT *
      FROM reverse_etl.outcomes_vip_4
      WHERE reverse_etl.outcomes_vip_4."seq" = reverse_etl.changes_vip_4."_seq"
          AND reverse_etl.outcomes_vip_4."status" = 'succeeded'
    ))
  ) AS unconfirmed
  WHERE failures._identity = unconfirmed."_identity"
))
UNION ALL
SELECT residues._identity,
  residues._alias,
  residues._primary_key,
  residues._operation,
  residues._origin,
  residues._due,
  residues._fields
FROM (
  SELECT reverse_etl.residue.identity AS _identity,
    reverse_etl.residue.alias AS _alias,
    reverse_etl.residue.primary_key AS _primary_key,
    'delete' AS _operation,
    'residue' AS _origin,
    true AS _due,
    reverse_etl.residue.fields AS _fields
  FROM reverse_etl.residue
  WHERE reverse_etl.residue.sync_name = 'vip'
      AND reverse_etl.residue.sync_run_id = 4
) AS residues
WHERE NOT (EXISTS (
  SELECT *
  FROM (
    SELECT reverse_etl.changes_vip_4."_identity" AS "_identity",
      reverse_etl.changes_vip_4."_alias" AS "_alias",
      reverse_etl.changes_vip_4."_primary_key" AS "_primary_key",
      reverse_etl.changes_vip_4."_operation" AS "_operation",
      'plan' AS _origin,
      true AS _due,
      coalesce(reverse_etl.changes_vip_4."_fields", '["extras", "joined", "paid", "paid_text", "seen"]') AS _fields
    FROM reverse_etl.changes_vip_4
    WHERE reverse_etl.changes_vip_4."_seq" > 90
        AND NOT (EXISTS (
      SELECT *
      FROM reverse_etl.outcomes_vip_4
      WHERE reverse_etl.outcomes_vip_4."seq" = reverse_etl.changes_vip_4."_seq"
          AND reverse_etl.outcomes_vip_4."status" = 'succeeded'
    ))
  ) AS unconfirmed
  WHERE residues._identity = unconfirmed."_identity"
))
    AND NOT (EXISTS (
  SELECT *
  FROM (
    SELECT reverse_etl.failed_records.identity AS _identity,
      reverse_etl.failed_records.alias AS _alias,
      reverse_etl.failed_records.primary_key AS _primary_key,
      reverse_etl.failed_records.operation AS _operation,
      'failed' AS _origin,
      CAST(reverse_etl.failed_records.error_code = 'unknown' OR reverse_etl.failed_records.retryable OR reverse_etl.failed_records.retry_requested_at IS NOT NULL AS BOOLEAN) AS _due,
      reverse_etl.failed_records.fields AS _fields
    FROM reverse_etl.failed_records
    WHERE reverse_etl.failed_records.sync_name = 'vip'
        AND NOT reverse_etl.failed_records.unidentified
  ) AS failures
  WHERE failures._identity = residues._identity
));

-- Our tables as a program of version 5 left them when it was killed in the middle of its second delivery:
-- ben and cat were taken off, fay and gus were added; hal and ann's new plan were not sent yet.
-- {list} stands for the id of the list.
CREATE SCHEMA reverse_etl;
CREATE TABLE reverse_etl.changes_people_1 (
  "_seq" BIGINT,
  "_phase" INTEGER,
  "_operation" VARCHAR,
  "_identity" VARCHAR,
  "_alias" VARCHAR,
  "_primary_key" VARCHAR,
  "_retry" BOOLEAN,
  "_carried" BOOLEAN,
  "_fields" VARCHAR,
  "email" VARCHAR,
  "plan" VARCHAR
);
INSERT INTO reverse_etl.changes_people_1 VALUES
  (1, 1, 'insert', 'ann@x.org', NULL, '1', FALSE, FALSE, NULL, 'ann@x.org', 'one'),
  (2, 1, 'insert', 'ben@x.org', NULL, '2', FALSE, FALSE, NULL, 'ben@x.org', 'one'),
  (3, 1, 'insert', 'cat@x.org', NULL, '3', FALSE, FALSE, NULL, 'cat@x.org', 'one'),
  (4, 1, 'insert', 'dan@x.org', NULL, '4', FALSE, FALSE, NULL, 'dan@x.org', 'one'),
  (5, 1, 'insert', 'eva@x.org', NULL, '5', FALSE, FALSE, NULL, 'eva@x.org', 'one');
CREATE TABLE reverse_etl.changes_people_2 (
  "_seq" BIGINT,
  "_phase" INTEGER,
  "_operation" VARCHAR,
  "_identity" VARCHAR,
  "_alias" VARCHAR,
  "_primary_key" VARCHAR,
  "_retry" BOOLEAN,
  "_carried" BOOLEAN,
  "_fields" VARCHAR,
  "email" VARCHAR,
  "plan" VARCHAR
);
INSERT INTO reverse_etl.changes_people_2 VALUES
  (1, 0, 'delete', 'ben@x.org', NULL, '2', FALSE, FALSE, NULL, 'ben@x.org', 'one'),
  (2, 0, 'delete', 'cat@x.org', NULL, '3', FALSE, FALSE, NULL, 'cat@x.org', 'one'),
  (3, 1, 'insert', 'fay@x.org', NULL, '7', FALSE, FALSE, NULL, 'fay@x.org', 'two'),
  (4, 1, 'insert', 'gus@x.org', NULL, '8', FALSE, FALSE, NULL, 'gus@x.org', 'two'),
  (5, 1, 'insert', 'hal@x.org', NULL, '9', FALSE, FALSE, NULL, 'hal@x.org', 'two'),
  (6, 1, 'update', 'ann@x.org', NULL, '1', FALSE, FALSE, NULL, 'ann@x.org', 'two');
CREATE TABLE reverse_etl.failed_records (
  "sync_name" VARCHAR,
  "identity" VARCHAR,
  "primary_key" VARCHAR,
  "operation" VARCHAR,
  "error_code" VARCHAR,
  "error_reason" VARCHAR,
  "retryable" BOOLEAN,
  "attempts" BIGINT,
  "first_failed_run_id" BIGINT,
  "last_failed_run_id" BIGINT,
  "first_failed_at" TIMESTAMP,
  "last_failed_at" TIMESTAMP,
  "alias" VARCHAR,
  "unidentified" BOOLEAN,
  "fields" VARCHAR
);
INSERT INTO reverse_etl.failed_records VALUES
  ('people', 'row:6', '6', 'insert', 'missing_identifier', 'no identifier: needs email (an e-mail address)', FALSE, 1, 1, 1, TIMESTAMP '2026-11-22 06:42:15.996247', TIMESTAMP '2026-11-22 06:42:15.996247', NULL, TRUE, NULL);
CREATE TABLE reverse_etl.former_aliases (
  "sync_name" VARCHAR,
  "identity" VARCHAR,
  "alias" VARCHAR,
  "sync_run_id" BIGINT
);
CREATE TABLE reverse_etl.outcomes_people_1 (
  "seq" BIGINT,
  "status" VARCHAR,
  "outcome" VARCHAR,
  "error_code" VARCHAR,
  "error_reason" VARCHAR,
  "retryable" BOOLEAN,
  "attempts" BIGINT
);
CREATE TABLE reverse_etl.outcomes_people_2 (
  "seq" BIGINT,
  "status" VARCHAR,
  "outcome" VARCHAR,
  "error_code" VARCHAR,
  "error_reason" VARCHAR,
  "retryable" BOOLEAN,
  "attempts" BIGINT
);
CREATE TABLE reverse_etl.refused_people_1 (
  "_identity" VARCHAR,
  "_primary_key" VARCHAR,
  "_alias" VARCHAR,
  "_kind" VARCHAR,
  "_error_code" VARCHAR,
  "_error_reason" VARCHAR,
  "_rows" BIGINT,
  "_differs" BOOLEAN,
  "_new" BOOLEAN
);
INSERT INTO reverse_etl.refused_people_1 VALUES
  ('row:6', '6', NULL, 'invalid', 'missing_identifier', 'no identifier: needs email (an e-mail address)', 1, FALSE, TRUE);
CREATE TABLE reverse_etl.refused_people_2 (
  "_identity" VARCHAR,
  "_primary_key" VARCHAR,
  "_alias" VARCHAR,
  "_kind" VARCHAR,
  "_error_code" VARCHAR,
  "_error_reason" VARCHAR,
  "_rows" BIGINT,
  "_differs" BOOLEAN,
  "_new" BOOLEAN
);
INSERT INTO reverse_etl.refused_people_2 VALUES
  ('row:6', '6', NULL, 'invalid', 'missing_identifier', 'no identifier: needs email (an e-mail address)', 1, FALSE, FALSE);
CREATE TABLE reverse_etl.residue (
  "sync_name" VARCHAR,
  "identity" VARCHAR,
  "alias" VARCHAR,
  "primary_key" VARCHAR,
  "fields" VARCHAR,
  "sync_run_id" BIGINT
);
CREATE TABLE reverse_etl.schema_version (
  "version" INTEGER
);
INSERT INTO reverse_etl.schema_version VALUES
  (5);
CREATE TABLE reverse_etl.snapshot_people_1 (
  "_identity" VARCHAR,
  "_alias" VARCHAR,
  "_primary_key" VARCHAR,
  "id" INTEGER,
  "email" VARCHAR,
  "plan" VARCHAR
);
INSERT INTO reverse_etl.snapshot_people_1 VALUES
  ('ann@x.org', NULL, '1', 1, 'ann@x.org', 'one'),
  ('ben@x.org', NULL, '2', 2, 'ben@x.org', 'one'),
  ('cat@x.org', NULL, '3', 3, 'cat@x.org', 'one'),
  ('dan@x.org', NULL, '4', 4, 'dan@x.org', 'one'),
  ('eva@x.org', NULL, '5', 5, 'eva@x.org', 'one');
CREATE TABLE reverse_etl.snapshot_people_2 (
  "_identity" VARCHAR,
  "_alias" VARCHAR,
  "_primary_key" VARCHAR,
  "id" INTEGER,
  "email" VARCHAR,
  "plan" VARCHAR
);
INSERT INTO reverse_etl.snapshot_people_2 VALUES
  ('ann@x.org', NULL, '1', 1, 'ann@x.org', 'two'),
  ('dan@x.org', NULL, '4', 4, 'dan@x.org', 'one'),
  ('eva@x.org', NULL, '5', 5, 'eva@x.org', 'one'),
  ('fay@x.org', NULL, '7', 7, 'fay@x.org', 'two'),
  ('gus@x.org', NULL, '8', 8, 'gus@x.org', 'two'),
  ('hal@x.org', NULL, '9', 9, 'hal@x.org', 'two');
CREATE TABLE reverse_etl.sync_log (
  "sync_name" VARCHAR,
  "sync_run_id" BIGINT,
  "primary_key" VARCHAR,
  "identity" VARCHAR,
  "operation" VARCHAR,
  "status" VARCHAR,
  "error_code" VARCHAR,
  "error_reason" VARCHAR,
  "attempts" BIGINT,
  "sync_started_at" TIMESTAMP,
  "sync_finished_at" TIMESTAMP
);
INSERT INTO reverse_etl.sync_log VALUES
  ('people', 1, '1', 'ann@x.org', 'insert', 'succeeded', NULL, NULL, 1, TIMESTAMP '2026-11-22 06:42:15.595706', TIMESTAMP '2026-11-22 06:42:15.996247'),
  ('people', 1, '2', 'ben@x.org', 'insert', 'succeeded', NULL, NULL, 1, TIMESTAMP '2026-11-22 06:42:15.595706', TIMESTAMP '2026-11-22 06:42:15.996247'),
  ('people', 1, '3', 'cat@x.org', 'insert', 'succeeded', NULL, NULL, 1, TIMESTAMP '2026-11-22 06:42:15.595706', TIMESTAMP '2026-11-22 06:42:15.996247'),
  ('people', 1, '4', 'dan@x.org', 'insert', 'succeeded', NULL, NULL, 1, TIMESTAMP '2026-11-22 06:42:15.595706', TIMESTAMP '2026-11-22 06:42:15.996247'),
  ('people', 1, '5', 'eva@x.org', 'insert', 'succeeded', NULL, NULL, 1, TIMESTAMP '2026-11-22 06:42:15.595706', TIMESTAMP '2026-11-22 06:42:15.996247'),
  ('people', 1, '6', 'row:6', 'insert', 'failed', 'missing_identifier', 'no identifier: needs email (an e-mail address)', 0, TIMESTAMP '2026-11-22 06:42:15.595706', TIMESTAMP '2026-11-22 06:42:15.996247');
CREATE TABLE reverse_etl.sync_runs (
  "sync_name" VARCHAR,
  "sync_run_id" BIGINT,
  "trigger" VARCHAR,
  "sync_type" VARCHAR,
  "status" VARCHAR,
  "scheduled_for" TIMESTAMP,
  "started_at" TIMESTAMP,
  "finished_at" TIMESTAMP,
  "rows_read" BIGINT,
  "rows_invalid" BIGINT,
  "rows_duplicate" BIGINT,
  "inserts_planned" BIGINT,
  "inserts_succeeded" BIGINT,
  "inserts_failed" BIGINT,
  "updates_planned" BIGINT,
  "updates_succeeded" BIGINT,
  "updates_failed" BIGINT,
  "deletes_planned" BIGINT,
  "deletes_succeeded" BIGINT,
  "deletes_failed" BIGINT,
  "retries_planned" BIGINT,
  "failed_records_open" BIGINT,
  "requests_sent" BIGINT,
  "error_code" VARCHAR,
  "error_reason" VARCHAR
);
INSERT INTO reverse_etl.sync_runs VALUES
  ('people', 1, 'manual', 'incremental', 'completed_with_failures', NULL, TIMESTAMP '2026-11-22 06:42:15.595706', TIMESTAMP '2026-11-22 06:42:15.996247', 6, 1, 0, 5, 5, 0, 0, 0, 0, 0, 0, 0, 0, 1, 8, NULL, NULL),
  ('people', 2, 'manual', 'incremental', 'delivering', NULL, TIMESTAMP '2026-11-22 06:42:16.529052', NULL, 7, 1, 0, 3, 0, 0, 1, 0, 0, 2, 0, 0, 0, 0, 0, NULL, NULL);
CREATE TABLE reverse_etl.sync_state (
  "sync_name" VARCHAR,
  "lease_owner" VARCHAR,
  "account_host" VARCHAR,
  "account_kind" VARCHAR,
  "account_object" VARCHAR,
  "target_id" VARCHAR,
  "target_name" VARCHAR,
  "mapping" VARCHAR,
  "moved_to" VARCHAR,
  "alerts" VARCHAR,
  "lease_token" BIGINT,
  "last_run_id" BIGINT,
  "committed_run_id" BIGINT,
  "position" BIGINT,
  "send_limit" BIGINT,
  "requests_sent" BIGINT,
  "snapshot_rows" BIGINT,
  "changes_rows" BIGINT,
  "sync_log_retention_days" BIGINT,
  "lease_expires_at" TIMESTAMP,
  "target_created_at" TIMESTAMP,
  "due_after" TIMESTAMP
);
INSERT INTO reverse_etl.sync_state VALUES
  ('people', 'dead', '127.0.0.1', 'email', 'list', '{list}', 'people', '{"columns": {"id": ["INTEGER", "integer"], "email": ["VARCHAR", "text"], "plan": ["VARCHAR", "text"]}, "fields": [{"name": "plan", "column": "plan", "constant": null, "type": null, "null": "skip"}]}', NULL, NULL, 2, 2, 2, 0, 16, 0, 6, 6, 30, TIMESTAMP '2001-01-01 00:00:00', TIMESTAMP '2026-11-22 06:42:15.963884', NULL);
CREATE VIEW reverse_etl.snapshot_people AS SELECT "_identity", "_alias", "_primary_key", "id", "email", "plan" FROM reverse_etl.snapshot_people_2;

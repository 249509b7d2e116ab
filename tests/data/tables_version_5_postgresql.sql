-- Our tables as a program of version 5 left them when it was killed in the middle of its second delivery:
-- ben and cat were taken off, fay and gus were added; hal and ann's new plan were not sent yet.
-- {list} stands for the id of the list.
CREATE SCHEMA reverse_etl;
CREATE TABLE reverse_etl.changes_people_1 (
  "_seq" bigint,
  "_phase" integer,
  "_operation" text,
  "_identity" character varying,
  "_alias" character varying,
  "_primary_key" character varying,
  "_retry" boolean,
  "_carried" boolean,
  "_fields" character varying,
  "email" text,
  "plan" text
);
INSERT INTO reverse_etl.changes_people_1 VALUES
  (1, 1, 'insert', 'ann@x.org', NULL, '1', FALSE, FALSE, NULL, 'ann@x.org', 'one'),
  (2, 1, 'insert', 'ben@x.org', NULL, '2', FALSE, FALSE, NULL, 'ben@x.org', 'one'),
  (3, 1, 'insert', 'cat@x.org', NULL, '3', FALSE, FALSE, NULL, 'cat@x.org', 'one'),
  (4, 1, 'insert', 'dan@x.org', NULL, '4', FALSE, FALSE, NULL, 'dan@x.org', 'one'),
  (5, 1, 'insert', 'eva@x.org', NULL, '5', FALSE, FALSE, NULL, 'eva@x.org', 'one');
CREATE TABLE reverse_etl.changes_people_2 (
  "_seq" bigint,
  "_phase" integer,
  "_operation" text,
  "_identity" character varying,
  "_alias" character varying,
  "_primary_key" character varying,
  "_retry" boolean,
  "_carried" boolean,
  "_fields" character varying,
  "email" text,
  "plan" text
);
INSERT INTO reverse_etl.changes_people_2 VALUES
  (1, 0, 'delete', 'ben@x.org', NULL, '2', FALSE, FALSE, NULL, 'ben@x.org', 'one'),
  (2, 0, 'delete', 'cat@x.org', NULL, '3', FALSE, FALSE, NULL, 'cat@x.org', 'one'),
  (3, 1, 'insert', 'fay@x.org', NULL, '7', FALSE, FALSE, NULL, 'fay@x.org', 'two'),
  (4, 1, 'insert', 'gus@x.org', NULL, '8', FALSE, FALSE, NULL, 'gus@x.org', 'two'),
  (5, 1, 'insert', 'hal@x.org', NULL, '9', FALSE, FALSE, NULL, 'hal@x.org', 'two'),
  (6, 1, 'update', 'ann@x.org', NULL, '1', FALSE, FALSE, NULL, 'ann@x.org', 'two');
CREATE TABLE reverse_etl.failed_records (
  "sync_name" character varying,
  "identity" character varying,
  "primary_key" character varying,
  "operation" character varying,
  "error_code" character varying,
  "error_reason" character varying,
  "retryable" boolean,
  "attempts" bigint,
  "first_failed_run_id" bigint,
  "last_failed_run_id" bigint,
  "first_failed_at" timestamp without time zone,
  "last_failed_at" timestamp without time zone,
  "alias" character varying,
  "unidentified" boolean,
  "fields" character varying
);
INSERT INTO reverse_etl.failed_records VALUES
  ('people', 'row:6', '6', 'insert', 'missing_identifier', 'no identifier: needs email (an e-mail address)', FALSE, 1, 1, 1, TIMESTAMP '2026-11-22 06:42:22.690496', TIMESTAMP '2026-11-22 06:42:22.690496', NULL, TRUE, NULL);
CREATE TABLE reverse_etl.former_aliases (
  "sync_name" character varying,
  "identity" character varying,
  "alias" character varying,
  "sync_run_id" bigint
);
CREATE TABLE reverse_etl.outcomes_people_1 (
  "seq" bigint,
  "status" character varying,
  "outcome" character varying,
  "error_code" character varying,
  "error_reason" character varying,
  "retryable" boolean,
  "attempts" bigint
);
CREATE TABLE reverse_etl.outcomes_people_2 (
  "seq" bigint,
  "status" character varying,
  "outcome" character varying,
  "error_code" character varying,
  "error_reason" character varying,
  "retryable" boolean,
  "attempts" bigint
);
CREATE TABLE reverse_etl.refused_people_1 (
  "_identity" character varying,
  "_primary_key" character varying,
  "_alias" character varying,
  "_kind" character varying,
  "_error_code" character varying,
  "_error_reason" character varying,
  "_rows" bigint,
  "_differs" boolean,
  "_new" boolean
);
INSERT INTO reverse_etl.refused_people_1 VALUES
  ('row:6', '6', NULL, 'invalid', 'missing_identifier', 'no identifier: needs email (an e-mail address)', 1, FALSE, TRUE);
CREATE TABLE reverse_etl.refused_people_2 (
  "_identity" character varying,
  "_primary_key" character varying,
  "_alias" character varying,
  "_kind" character varying,
  "_error_code" character varying,
  "_error_reason" character varying,
  "_rows" bigint,
  "_differs" boolean,
  "_new" boolean
);
INSERT INTO reverse_etl.refused_people_2 VALUES
  ('row:6', '6', NULL, 'invalid', 'missing_identifier', 'no identifier: needs email (an e-mail address)', 1, FALSE, FALSE);
CREATE TABLE reverse_etl.residue (
  "sync_name" character varying,
  "identity" character varying,
  "alias" character varying,
  "primary_key" character varying,
  "fields" character varying,
  "sync_run_id" bigint
);
CREATE TABLE reverse_etl.schema_version (
  "version" integer
);
INSERT INTO reverse_etl.schema_version VALUES
  (5);
CREATE TABLE reverse_etl.snapshot_people_1 (
  "_identity" character varying,
  "_alias" character varying,
  "_primary_key" character varying,
  "id" integer,
  "email" text,
  "plan" text
);
INSERT INTO reverse_etl.snapshot_people_1 VALUES
  ('ann@x.org', NULL, '1', 1, 'ann@x.org', 'one'),
  ('ben@x.org', NULL, '2', 2, 'ben@x.org', 'one'),
  ('cat@x.org', NULL, '3', 3, 'cat@x.org', 'one'),
  ('dan@x.org', NULL, '4', 4, 'dan@x.org', 'one'),
  ('eva@x.org', NULL, '5', 5, 'eva@x.org', 'one');
CREATE TABLE reverse_etl.snapshot_people_2 (
  "_identity" character varying,
  "_alias" character varying,
  "_primary_key" character varying,
  "id" integer,
  "email" text,
  "plan" text
);
INSERT INTO reverse_etl.snapshot_people_2 VALUES
  ('ann@x.org', NULL, '1', 1, 'ann@x.org', 'two'),
  ('dan@x.org', NULL, '4', 4, 'dan@x.org', 'one'),
  ('eva@x.org', NULL, '5', 5, 'eva@x.org', 'one'),
  ('fay@x.org', NULL, '7', 7, 'fay@x.org', 'two'),
  ('gus@x.org', NULL, '8', 8, 'gus@x.org', 'two'),
  ('hal@x.org', NULL, '9', 9, 'hal@x.org', 'two');
CREATE TABLE reverse_etl.sync_log (
  "sync_name" character varying,
  "sync_run_id" bigint,
  "primary_key" character varying,
  "identity" character varying,
  "operation" character varying,
  "status" character varying,
  "error_code" character varying,
  "error_reason" character varying,
  "attempts" bigint,
  "sync_started_at" timestamp without time zone,
  "sync_finished_at" timestamp without time zone
);
INSERT INTO reverse_etl.sync_log VALUES
  ('people', 1, '2', 'ben@x.org', 'insert', 'succeeded', NULL, NULL, 1, TIMESTAMP '2026-11-22 06:42:21.872191', TIMESTAMP '2026-11-22 06:42:22.690496'),
  ('people', 1, '5', 'eva@x.org', 'insert', 'succeeded', NULL, NULL, 1, TIMESTAMP '2026-11-22 06:42:21.872191', TIMESTAMP '2026-11-22 06:42:22.690496'),
  ('people', 1, '4', 'dan@x.org', 'insert', 'succeeded', NULL, NULL, 1, TIMESTAMP '2026-11-22 06:42:21.872191', TIMESTAMP '2026-11-22 06:42:22.690496'),
  ('people', 1, '1', 'ann@x.org', 'insert', 'succeeded', NULL, NULL, 1, TIMESTAMP '2026-11-22 06:42:21.872191', TIMESTAMP '2026-11-22 06:42:22.690496'),
  ('people', 1, '3', 'cat@x.org', 'insert', 'succeeded', NULL, NULL, 1, TIMESTAMP '2026-11-22 06:42:21.872191', TIMESTAMP '2026-11-22 06:42:22.690496'),
  ('people', 1, '6', 'row:6', 'insert', 'failed', 'missing_identifier', 'no identifier: needs email (an e-mail address)', 0, TIMESTAMP '2026-11-22 06:42:21.872191', TIMESTAMP '2026-11-22 06:42:22.690496');
CREATE TABLE reverse_etl.sync_runs (
  "sync_name" character varying,
  "sync_run_id" bigint,
  "trigger" character varying,
  "sync_type" character varying,
  "status" character varying,
  "scheduled_for" timestamp without time zone,
  "started_at" timestamp without time zone,
  "finished_at" timestamp without time zone,
  "rows_read" bigint,
  "rows_invalid" bigint,
  "rows_duplicate" bigint,
  "inserts_planned" bigint,
  "inserts_succeeded" bigint,
  "inserts_failed" bigint,
  "updates_planned" bigint,
  "updates_succeeded" bigint,
  "updates_failed" bigint,
  "deletes_planned" bigint,
  "deletes_succeeded" bigint,
  "deletes_failed" bigint,
  "retries_planned" bigint,
  "failed_records_open" bigint,
  "requests_sent" bigint,
  "error_code" character varying,
  "error_reason" character varying
);
INSERT INTO reverse_etl.sync_runs VALUES
  ('people', 1, 'manual', 'incremental', 'completed_with_failures', NULL, TIMESTAMP '2026-11-22 06:42:21.872191', TIMESTAMP '2026-11-22 06:42:22.690496', 6, 1, 0, 5, 5, 0, 0, 0, 0, 0, 0, 0, 0, 1, 8, NULL, NULL),
  ('people', 2, 'manual', 'incremental', 'delivering', NULL, TIMESTAMP '2026-11-22 06:42:23.350692', NULL, 7, 1, 0, 3, 0, 0, 1, 0, 0, 2, 0, 0, 0, 0, 0, NULL, NULL);
CREATE TABLE reverse_etl.sync_state (
  "sync_name" character varying,
  "lease_owner" character varying,
  "account_host" character varying,
  "account_kind" character varying,
  "account_object" character varying,
  "target_id" character varying,
  "target_name" character varying,
  "mapping" character varying,
  "moved_to" character varying,
  "alerts" character varying,
  "lease_token" bigint,
  "last_run_id" bigint,
  "committed_run_id" bigint,
  "position" bigint,
  "send_limit" bigint,
  "requests_sent" bigint,
  "snapshot_rows" bigint,
  "changes_rows" bigint,
  "sync_log_retention_days" bigint,
  "lease_expires_at" timestamp without time zone,
  "target_created_at" timestamp without time zone,
  "due_after" timestamp without time zone
);
INSERT INTO reverse_etl.sync_state VALUES
  ('people', 'dead', '127.0.0.1', 'email', 'list', '{list}', 'people', '{"columns": {"id": ["integer", "integer"], "email": ["text", "text"], "plan": ["text", "text"]}, "fields": [{"name": "plan", "column": "plan", "constant": null, "type": null, "null": "skip"}]}', NULL, NULL, 2, 2, 2, 0, 16, 0, 6, 6, 30, TIMESTAMP '2001-01-01 00:00:00', TIMESTAMP '2026-11-22 06:42:22.273658', NULL);
CREATE INDEX failed_records_identity ON reverse_etl.failed_records USING btree (sync_name, identity);
CREATE INDEX sync_log_finished ON reverse_etl.sync_log USING brin (sync_finished_at);
CREATE UNIQUE INDEX sync_runs_run ON reverse_etl.sync_runs USING btree (sync_name, sync_run_id);
CREATE UNIQUE INDEX sync_state_name ON reverse_etl.sync_state USING btree (sync_name);
CREATE VIEW reverse_etl.snapshot_people AS SELECT "_identity", "_alias", "_primary_key", "id", "email", "plan" FROM reverse_etl.snapshot_people_2;

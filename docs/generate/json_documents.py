"""Writes ``docs/json.md`` and the schemas in ``docs/json``: what ``--json`` prints.

The first part of this module says what each document holds; nothing else does. A key is described
by the text below it. Tests hold real output of real commands against the schemas. The examples are
real output too (``tests/acceptance/test_json_documents.py`` writes them). Run it from the root of
the repository, after a change of a document:

    python docs/generate/json_documents.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from reverse_etl.report import EXIT_CODES, FORMAT_VERSION

if TYPE_CHECKING:
    from pydantic.config import JsonDict

PAGE = Path(__file__).parents[1] / "json.md"
FOLDER = PAGE.with_suffix("")

# --- words ---------------------------------------------------------------------------------

_TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"
Time = Annotated[str, Field(pattern=_TIME, json_schema_extra={"format": "date-time"})]
Count = Annotated[int, Field(ge=0)]
Number = Annotated[int, Field(ge=1)]

Operation = Literal["insert", "update", "delete"]
Ended = Literal["succeeded", "completed_with_failures", "held", "failed", "interrupted"]
SyncType = Literal["incremental", "full"]
Phase = Literal["prepare", "plan", "deliver", "settle"]
Counted = Literal[
    "members",
    "compared",
    "in_step",
    "missing",
    "different",
    "extra_ours",
    "extra_others",
    "not_sendable",
    "open",
]


class Part(BaseModel):
    """An object in a document. It may gain keys."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)


class Row(Part):
    """A row, and whom it names."""

    identity: str
    """Who; `row:` and the primary key where the row has no identifier."""
    primary_key: str | None
    """The row; a JSON array in text where the key has several columns."""


class Document(Part):
    """The whole document."""

    format_version: Annotated[str, Field(pattern=r"^1\.\d+$")]
    """The version of this contract."""


# --- errors --------------------------------------------------------------------------------


def _without(*keys: str) -> JsonDict:
    """Return what forbids some keys.

    Else a document that lacks a key could pass for one in another form.
    """
    return {"not": {"anyOf": [{"required": [key]} for key in keys]}}


_OTHER_CODE: JsonDict = {"not": {"enum": ["config_error", "usage_error"]}}


class ErrorDocument(Document):
    """Anything else stopped it."""

    model_config = ConfigDict(json_schema_extra=_without("sync", "syncs", "status"))

    error_code: Annotated[str, Field(json_schema_extra=_OTHER_CODE)]
    """Stable name of the error: see [error codes](errors.md)."""
    error: str
    """What happened, and the next step."""


class ConfigErrorDocument(ErrorDocument):
    """The config cannot be used, or a file or name that was given. Nothing was contacted."""

    model_config = ConfigDict(json_schema_extra=_without("sync", "syncs", "status", "tables"))

    error_code: Literal["config_error"]
    """Always the same."""
    problems: list[str]
    """One finished line for each problem, with its place."""


class UsageErrorDocument(Document):
    """The command line cannot be understood. Nothing was contacted."""

    error_code: Literal["usage_error"]
    """Always the same."""
    problems: list[str]
    """What is wrong."""


# --- a run ---------------------------------------------------------------------------------


class Counts(Part):
    """Changes by operation."""

    insert: Count
    """People who are new to the destination."""
    update: Count
    """People whose values are sent again."""
    delete: Count
    """People who leave."""


class Run(Part):
    """What one run of a sync came to, or what a plan says of the next one."""

    sync: str
    """Name of the sync."""
    run_id: Number | None
    """Number of the run within its sync; null where none began."""
    status: Literal[Ended, "busy", "skipped", "planned"]
    """How it ended; `planned` and `held` in a plan."""
    planned: Counts
    """Changes that were planned."""
    succeeded: Counts
    """Changes that the destination confirmed."""
    failed: Counts
    """Changes that were tried and are not confirmed."""
    retries: Count
    """How many of the planned changes an earlier run had left open."""
    invalid: Count
    """Rows of the query without a usable identifier."""
    duplicates: Count
    """Rows that lost their identity to another row."""
    failed_records_open: Count
    """Failed records of the sync, afterwards."""
    requests: Count
    """Requests that were sent; in a plan an estimate."""
    error_code: str | None
    """Stable name of what stopped the run, or kept it from starting."""
    error: str | None
    """The same in words, with the next step."""
    warnings: list[str]
    """What should be known and stopped nothing."""
    seconds: dict[Phase, float]
    """How long each phase took, as far as the run came."""


class OneRun(Run):
    """Of one sync."""

    syncs: list[Run]
    """The same once more, as the one entry of a list."""


class RunDocument(OneRun, Document):
    """Of one sync."""


class RunsDocument(Document):
    """Of several syncs, or of none."""

    model_config = ConfigDict(json_schema_extra=_without("sync", "status"))

    syncs: list[Run]
    """One entry for each sync."""


class Waiting(Part):
    """A sync that is not due."""

    sync: str
    """Name of the sync."""
    next_tick: Time
    """When it is due."""


class DueDocument(RunDocument):
    """When one sync was due."""

    waiting: list[Waiting]
    """The syncs with a schedule that were not due."""


class DuesDocument(RunsDocument):
    """When several syncs were due, or none."""

    waiting: list[Waiting]
    """The syncs with a schedule that were not due."""


class Stopped(Document):
    """The scheduler was told to stop, and did."""

    stopped: Literal[True]
    """Always the same."""


# --- a plan --------------------------------------------------------------------------------


class Sent(Part):
    """What a run would send of a person."""

    values: dict[str, JsonValue]
    """By field, what is sent. Of a person who leaves a list, what was sent last."""
    before: dict[str, JsonValue] | None
    """The same as the last run had it; null for somebody it did not know."""
    retry: bool
    """Whether an earlier run left it open."""


class Change(Sent, Row):
    """A planned change."""


class Changes(Part):
    """Some planned changes, in the order of sending."""

    insert: list[Change]
    """Of those who are new."""
    update: list[Change]
    """Of those whose values are sent again."""
    delete: list[Change]
    """Of those who leave."""


class RefusedRow(Row):
    """A row that cannot be used."""

    error_reason: str
    """Why, in words."""


class Refused(Part):
    """Rows of the query that cannot be used, for one reason."""

    error_code: str
    """The reason."""
    rows: Count
    """How many."""
    new: Count
    """How many of them no earlier run had seen."""
    samples: list[RefusedRow]
    """Some of them."""


class Brake(Part):
    """The numbers that the brake compares."""

    max_delete_percent: float | None
    """Where it holds; null where nobody can be removed."""
    new_deletes: Count
    """People who would newly leave."""
    people: Count
    """People whom the destination is believed to hold, where somebody would newly leave; else 0."""


class Plan(Run):
    """What a run would send. Nothing was sent."""

    status: Literal["planned", "held"]
    """`held` where the brake would hold the run."""
    samples: Changes
    """Some changes of each operation."""
    refused: list[Refused]
    """Rows that cannot be used, by the reason."""
    retried: dict[str, Count]
    """By error code, the changes that earlier runs left open; "" where none was noted."""
    brake: Brake
    """What the brake looks at."""
    estimated_seconds: float | None
    """How long the requests take at least; null where the destination has no rate limit."""
    held: bool
    """Whether the brake would hold the run."""
    held_reason: str | None
    """Why it would."""
    sync_type: SyncType
    """`full` with `--full`."""
    digest: str
    """Names the plan: the same changes have the same digest."""


class PlanDocument(Plan, Document):
    """What a run would send. Nothing was sent."""


class NoPlan(Run, Document):
    """The plan could not be made; all counts are 0."""

    status: Literal["busy", "failed"]
    """`busy`: the DuckDB file stayed locked."""
    error_code: str
    """Stable name of the error."""
    error: str
    """The same in words, with the next step."""


class PlanFile(Document):
    """The file that `plan --out FILE` writes. It names nobody."""

    sync: str
    """Name of the sync."""
    sync_type: SyncType
    """Whether it is the plan of a full run."""
    digest: str
    """Names the plan."""
    planned: Counts
    """Changes that were planned."""
    held: bool
    """Whether the brake would hold the run."""
    written_at: Time
    """When."""


# --- audit ---------------------------------------------------------------------------------


class AuditedPerson(Part):
    """Somebody whom an audit shows."""

    identity: str
    """Who; of people whom others added, as the destination names them."""
    reason: str | None
    """What is known beside the count."""


class Audit(Part):
    """How the destination compares with what is believed of it."""

    sync: str
    """Name of the sync."""
    audits: Literal["members", "profiles"]
    """What was read: all members of a list, or a sample of profiles."""
    base_run_id: Number | None
    """The run that was compared with; null where none has sent anything yet."""
    in_step: bool
    """Whether nothing is wrong."""
    wrong: Count
    """How many people a repair would put right."""
    counts: dict[Counted, Count]
    """People by [what was found](audit.md#lists)."""
    samples: dict[Counted, list[AuditedPerson]]
    """Some of them, by the same words."""
    notes: list[str]
    """What the counts cannot say."""


class AuditDocument(Audit, Document):
    """The comparison was made."""

    error_code: None
    """Nothing stopped it."""
    error: None
    """Nothing stopped it."""


class NoAudit(Document):
    """The comparison could not be made."""

    model_config = ConfigDict(json_schema_extra=_without("run_id", "status", "audits"))

    sync: str
    """Name of the sync."""
    error_code: str
    """Stable name of the error."""
    error: str
    """The same in words, with the next step."""


class Repair(Run):
    """A run that puts right what is wrong."""

    audit: Audit
    """What was found wrong before the plan was made."""


class RepairDocument(Repair, Document):
    """With `--repair`: the run, with what it found."""

    syncs: list[Repair]
    """The same once more, as the one entry of a list."""


class NoRepair(RunDocument):
    """With `--repair`: the run ended before anything was compared."""

    model_config = ConfigDict(json_schema_extra=_without("audit"))

    error_code: str
    """Stable name of what stopped it."""
    error: str
    """The same in words, with the next step."""


# --- before a run --------------------------------------------------------------------------


class Guess(Part):
    """A choice of columns."""

    columns: list[str]
    """One, or those of a primary key."""
    reason: str
    """What it rests on."""
    is_certain: bool
    """Whether the warehouse says so; else it is a guess."""


class Proposal(Part):
    """A sync of one table."""

    primary_key: Guess
    """What names a row."""
    email: Guess | None
    """The column with e-mail addresses."""
    user_id: Guess | None
    """The column with ids of people."""
    fields: list[str]
    """The columns that become fields."""
    left_out: dict[str, str]
    """Columns that do not, each with the reason."""


class Init(Document):
    """The files were written."""

    folder: str
    """Where, as it was named."""
    files: list[str]
    """Their names."""
    sync: str
    """The sync that the next commands are about."""
    proposal: Proposal | None
    """What was guessed of the table; null with the sample warehouse."""
    to_set: list[str]
    """Variables that the config asks for and nobody sets yet."""
    next: list[str]
    """The next command lines, to be called in the folder."""


class TablesToChooseFrom(ConfigErrorDocument):
    """`--from-warehouse` without `--table`."""

    model_config = ConfigDict(json_schema_extra=_without("sync", "syncs", "status"))

    tables: list[str]
    """The tables and views that there are."""


class Validated(Document):
    """The config can be used."""

    model_config = ConfigDict(json_schema_extra=_without("schedules"))

    syncs: list[str]
    """Names of the syncs."""
    problems: Annotated[list[str], Field(max_length=0)]
    """Always empty: with a problem there is the document of an error."""
    warnings: list[str]
    """What should be changed and stops nothing."""


class ValidatedWithSchedules(Validated):
    """With `--schedules`."""

    model_config = ConfigDict(json_schema_extra=None)

    schedules: dict[str, list[Time]]
    """By sync, when it is due next; empty where runs are started by hand."""


class Finding(Part):
    """One thing that was looked at."""

    subject: str
    """What, in two or three words."""
    verdict: Literal["ok", "warning", "failed", "unproven"]
    """`failed`: a run would not work. `unproven`: it could not be found out without writing."""
    text: str
    """What was found, with the next step where there is one."""


class Checked(Part):
    """What was found out about a sync."""

    sync: str
    """Name of the sync."""
    failed: bool
    """Whether a run of it would not work."""
    findings: list[Finding]
    """In the order of looking."""


class Checks(Document):
    """What was found out."""

    failed: bool
    """Whether a run of one of the syncs would not work."""
    syncs: list[Checked]
    """One entry for each sync."""


class List(Part):
    """A list at the destination."""

    id: str
    """The destination's own id."""
    name: str
    """Its name."""
    type: str
    """The destination's word for its type."""
    created_at: Time | None
    """When it was made; null where the destination does not say."""
    description: str | None
    """Its description; null where it has none."""
    writable: bool
    """Whether a sync could keep it."""


class Lists(Document):
    """The lists of the account, the newest first."""

    destination: str
    """Name of the destination in the config."""
    lists: list[List]
    """The lists."""


class Moved(Document):
    """The tables are in the new place."""

    sync_name: str
    """Name of the sync."""
    place: str
    """Where its tables are now."""
    rows: dict[str, Count]
    """Lines that were copied, by table; empty where an earlier call had copied them."""
    warehouse: str
    """The warehouse of the config that was named by `--to`."""


class Notification(Part):
    """What became of one test message."""

    number: Count
    """Place of the webhook in `notifications`, from 0."""
    place: str
    """Its scheme and host; never its path, which is a secret."""
    format: Literal["slack", "json"]
    """The form of the message."""
    accepted: bool
    """Whether the webhook took it."""
    problem: str | None
    """What went wrong; null where it was accepted."""


class Notifications(Document):
    """A message was sent to each webhook."""

    notifications: list[Notification]
    """One entry for each."""


# --- looking at the tables -----------------------------------------------------------------


class RunRow(Part):
    """A row of the table [`sync_runs`](tables.md), by the names of its columns."""

    sync_run_id: Number
    """Number of the run within its sync."""
    trigger: Literal["manual", "schedule"]
    """What started it."""
    sync_type: SyncType
    """`full` after `--full`."""
    status: Literal[Ended, "planning", "delivering"]
    """How it ended; `planning` and `delivering` while it is under way, or was killed."""
    scheduled_for: Time | None
    """The tick that it served."""
    started_at: Time
    """When it took the lease."""
    finished_at: Time | None
    """When it ended."""
    rows_read: Count
    """Rows of the query."""
    rows_invalid: Count
    """Rows without a usable identifier."""
    rows_duplicate: Count
    """Rows that lost their identity to another row."""
    inserts_planned: Count
    """Inserts that were planned."""
    inserts_succeeded: Count
    """Inserts that were confirmed."""
    inserts_failed: Count
    """Inserts that were tried and are not confirmed."""
    updates_planned: Count
    """Updates that were planned."""
    updates_succeeded: Count
    """Updates that were confirmed."""
    updates_failed: Count
    """Updates that were tried and are not confirmed."""
    deletes_planned: Count
    """Deletes that were planned."""
    deletes_succeeded: Count
    """Deletes that were confirmed."""
    deletes_failed: Count
    """Deletes that were tried and are not confirmed."""
    retries_planned: Count
    """How many of the planned changes an earlier run had left open."""
    failed_records_open: Count
    """Failed records of the sync when it ended."""
    requests_sent: Count
    """Requests of the run, repeats included."""
    error_code: str | None
    """Stable name of what stopped or held it."""
    error_reason: str | None
    """The same in words."""


class RunRows(Document):
    """The newest runs."""

    sync: str
    """Name of the sync."""
    runs: list[RunRow]
    """The newest first; empty where it never ran."""


class Status(Part):
    """Where one sync stands."""

    sync: str
    """Name of the sync."""
    running: bool | None
    """Whether a run is under way; null where the warehouse could not be asked."""
    lease_until: Time | None
    """Until when the lease of that run holds."""
    last_run: RunRow | None
    """The newest run; null where it never ran."""
    failed_records_open: Count | None
    """Failed records; null where the warehouse could not be asked."""
    next_tick: Time | None
    """When its schedule asks for the next run; null where runs are started by hand."""
    due_since: Time | None
    """The tick that nobody has served yet, though its time has come."""
    error: str | None
    """Why the warehouse could not be asked."""


class Statuses(Document):
    """Where the syncs stand."""

    syncs: list[Status]
    """One entry for each sync of the config."""


class Failure(Part):
    """An open failed record."""

    operation: Operation
    """What was tried."""
    error_code: str
    """Stable name of the reason."""
    error_reason: str | None
    """The same in words."""
    retryable: bool
    """Whether it is a failure that may pass by itself."""
    attempts: Count
    """Runs that tried it."""
    first_failed_run_id: Number
    """The run that failed first."""
    last_failed_run_id: Number
    """The run that failed last."""
    retry_requested_at: Time | None
    """When `retry` asked for it, until a run has tried it."""
    tried_again: bool
    """Whether the next run tries it, though its values did not change."""


class FailedRecord(Failure, Row):
    """A row of the table [`failed_records`](tables.md), with what becomes of it."""

    unidentified: bool
    """Whether it is a row without identifier, for which nothing can be sent."""
    first_failed_at: Time
    """When it failed first."""
    last_failed_at: Time
    """When it failed last."""
    next_try_at: Time | None
    """When the schedule asks for the run that tries it again."""


class Reason(Part):
    """Failed records with one reason."""

    error_code: str
    """The reason."""
    retryable: bool
    """Whether it is a failure that may pass by itself."""
    unidentified: bool
    """Whether they are rows without identifier, for which nothing can be sent."""
    count: Number
    """How many."""
    retry_requested: Count
    """How many of them `retry` has asked for."""
    tried_again: bool
    """Whether the next run tries all of them, though their values did not change."""
    next_step: str
    """What becomes of them, in words."""
    samples: list[FailedRecord]
    """The newest of them."""


class Failures(Part):
    """Who is out of step, and why."""

    sync: str
    """Name of the sync."""
    failed_records_open: Count
    """How many; with `--reason`, how many for that reason."""
    by_code: list[Reason]
    """By the reason, the most frequent first."""
    failures: list[FailedRecord]
    """The records, the newest first, 1000 at most or `--limit`."""


class FailuresDocument(Failures, Document):
    """Who is out of step, and why."""


class Requested(Part):
    """Failed records that are asked for, with one error code."""

    error_code: str
    """The code."""
    count: Count
    """How many."""


class Retry(Document):
    """What the next run will try again."""

    sync: str
    """Name of the sync."""
    requested: Count
    """How many failed records."""
    by_code: list[Requested]
    """The same by their error code."""
    without_identifier: Count
    """Rows that match too, but that nothing can be sent for."""


class SourceRow(Row):
    """A row of the query."""

    values: dict[str, JsonValue]
    """The columns that the sync uses; empty where the row is not used."""
    error_code: str | None
    """Why it is not used."""
    error_reason: str | None
    """The same in words."""


class Source(Part):
    """The rows of the query that are asked for."""

    rows: list[SourceRow]
    """The rows."""
    error: str | None
    """Why the query could not be asked."""


class Believed(Part):
    """A person at the destination, as far as it is known."""

    state: Literal["there", "outdated", "unsure", "former", "not_there"]
    """`outdated`: with older values. `unsure`: a change is not confirmed. `former`: by the log."""
    since_run_id: Number | None
    """The run that added the person, as far as the log is kept."""
    since: Time | None
    """When that run ended."""
    last_confirmed_run_id: Number | None
    """The last run whose change was confirmed."""
    values: dict[str, JsonValue] | None
    """Fields as the last run had them; null for somebody it did not know."""
    values_of_run_id: Number | None
    """That run."""


class LogLine(Part):
    """A line of the table [`sync_log`](tables.md), by the names of its columns."""

    sync_run_id: Number
    """The run."""
    primary_key: str | None
    """The row."""
    operation: Operation
    """What was tried."""
    status: Literal["succeeded", "failed"]
    """What became of it."""
    error_code: str | None
    """Why it failed."""
    error_reason: str | None
    """The same in words."""
    attempts: Count
    """Requests of the run that carried it."""
    sync_finished_at: Time
    """When the run ended."""


class Next(Sent):
    """A person's part in the next run."""

    operation: Operation | None
    """null: nothing."""


class Person(Part):
    """One person."""

    identity: str
    """Who."""
    destination: Believed
    """What the destination is believed to hold."""
    log: list[LogLine]
    """Every line of the log, in order."""
    failed_record: Failure | None
    """What is out of step."""
    next: Next | None
    """What the next run does; null where the query could not be asked."""


class Explained(Document):
    """The life of a row, or of a person."""

    sync: str
    """Name of the sync."""
    key: str | None
    """The primary key that was asked for."""
    identity: str | None
    """The person who was asked for."""
    source: Source
    """What the query says now."""
    people: list[Person]
    """Everybody whom the row has ever named, or the one who was asked for."""
    held_reason: str | None
    """Why the brake would hold the next run."""
    unfinished_run_id: Number | None
    """A run that is under way, or was killed and is not settled yet."""
    is_cut: bool
    """Whether the key repeats, and only some of its rows and people are told."""


class Retained(Document):
    """Old log lines were dropped."""

    shortened: dict[str, list[str]]
    """By warehouse of the config, the syncs of which something was dropped."""
    errors: dict[str, str]
    """By warehouse, why it could not be used."""


# --- the rest ------------------------------------------------------------------------------


class ErrorCode(Part):
    """An error code."""

    code: str
    """Its name."""
    connector: str | None
    """The connector whose own it is; null for those that all share."""
    places: list[Literal["record", "run", "command"]]
    """Where it is met: of one person, of a run, or in the document of a command."""
    meaning: str
    """What it means."""
    action: str
    """What to do."""
    by_itself: str
    """What happens when nobody does anything."""
    retryable: bool | None
    """As in `failed_records`; null where it depends, or where there is no record."""
    exit_codes: list[int]
    """Exit codes of a command that met it."""


class ErrorCodes(Document):
    """What the codes mean."""

    codes: list[ErrorCode]
    """The one that was named, or all."""


class Demo(Document):
    """The story was told to the end."""

    folder: str
    """What it made, and where to look further."""
    config: str
    """The config in it."""
    runs: list[OneRun | Plan | Failures]
    """The documents of the commands that were run, without `format_version`."""


class ConfigSchema(Document):
    """The schema is the config's: an editor checks a config with it."""

    config_schema: Annotated[dict[str, JsonValue], Field(alias="schema")]
    """The JSON Schema."""


class Sandbox(Document):
    """The sandbox is ready; the command goes on until it is told to stop."""

    url: str | None
    """Where it listens."""
    ready: str
    """The line that it says without `--json`."""


class Version(Document):
    """The version of the program."""

    version: str
    """Such as 1.2.3."""


# --- the documents -------------------------------------------------------------------------

ERRORS = (ConfigErrorDocument, UsageErrorDocument, ErrorDocument)


class _Schemas(GenerateJsonSchema):
    """Schemas without a title at each key: it would only repeat the key."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 - as declared there
        """Return False."""
        return False


@dataclass(frozen=True)
class Printed:
    """What is printed, or written to a file.

    Attributes:
        name: Of the schema; mostly the command.
        what: What it is, in Markdown.
        forms: What it may be.
        text: What else to say, in Markdown.
    """

    name: str
    what: str
    forms: tuple[type[Document], ...]
    text: str = ""

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        # What is only written cannot be an error.
        errors = () if self.name == "plan-file" else ERRORS
        whole: Any = reduce(or_, dict.fromkeys([*self.forms, *errors]))
        made = TypeAdapter(whole).json_schema(schema_generator=_Schemas)
        return {"$schema": _Schemas.schema_dialect, "title": self.what.replace("`", ""), **made}

    @property
    def example(self) -> Path:
        """The file with an example."""
        return FOLDER / f"{self.name}.example.json"


DOCUMENTS = (
    Printed("error", "An error, of any command", ERRORS, "In the place of its own document."),
    Printed("init", "`reverse-etl init --json`", (Init, TablesToChooseFrom)),
    Printed("demo", "`reverse-etl demo --json`", (Demo,), "The example is cut short."),
    Printed(
        "validate",
        "`reverse-etl validate --json`",
        (Validated, ValidatedWithSchedules),
    ),
    Printed("check", "`reverse-etl check --json`", (Checks,), "More: [check](check.md)."),
    Printed("plan", "`reverse-etl plan SYNC --json`", (PlanDocument, NoPlan)),
    Printed(
        "plan-file",
        "`reverse-etl plan SYNC --out FILE`",
        (PlanFile,),
        "`run-sync SYNC --plan FILE` sends just that plan, or refuses.",
    ),
    Printed(
        "run-sync",
        "`reverse-etl run-sync SYNC ... --json`",
        (RunDocument, RunsDocument),
        "Read `syncs`: it is there for one sync and for several.",
    ),
    Printed(
        "run-due",
        "`reverse-etl run-due --json`",
        (DueDocument, DuesDocument),
        "Read `syncs`: it is there for one sync and for several.",
    ),
    Printed(
        "serve",
        "`reverse-etl serve --json`",
        (Stopped,),
        "Printed when it ends. What happens while it runs is told by its "
        "[log and `/metrics`](operation.md).",
    ),
    Printed(
        "audit",
        "`reverse-etl audit SYNC --json`",
        (AuditDocument, NoAudit, RepairDocument, NoRepair),
        "More: [audit](audit.md).",
    ),
    Printed("status", "`reverse-etl status --json`", (Statuses,)),
    Printed("runs", "`reverse-etl runs SYNC --json`", (RunRows,)),
    Printed("explain", "`reverse-etl explain SYNC --identity ID --json`", (Explained,)),
    Printed("failures", "`reverse-etl failures SYNC --json`", (FailuresDocument,)),
    Printed("retry", "`reverse-etl retry SYNC --json`", (Retry,)),
    Printed("explain-error", "`reverse-etl explain-error CODE --json`", (ErrorCodes,)),
    Printed("retain", "`reverse-etl retain --json`", (Retained,)),
    Printed("lists", "`reverse-etl lists DESTINATION --json`", (Lists,)),
    Printed("move", "`reverse-etl move SYNC --to WAREHOUSE --json`", (Moved,)),
    Printed(
        "test-notifications",
        "`reverse-etl test-notifications --json`",
        (Notifications,),
        "More: [alerts](alerts.md).",
    ),
    Printed(
        "sandbox",
        "`reverse-etl sandbox --json`",
        (Sandbox,),
        "Printed as soon as it is ready.",
    ),
    Printed("schema", "`reverse-etl schema --json`", (ConfigSchema,), "The example is cut short."),
    Printed("version", "`reverse-etl --version --json`", (Version,)),
)


def schemas() -> dict[Path, str]:
    """Return the text of each schema, by its file."""
    return {
        FOLDER / f"{each.name}.schema.json": _laid_out(each.schema()) + "\n" for each in DOCUMENTS
    }


# --- the page ------------------------------------------------------------------------------

_HEAD = """\
<!-- Made by docs/generate/json_documents.py, which says what the documents hold: change that. -->

# JSON documents

With `--json` every command prints one JSON document on standard output. Warnings, progress and the
log go to standard error. Each command has a JSON Schema
([2020-12](https://json-schema.org/draft/2020-12)), beside this page in the folder `json`; every
document of the command, an error too, is valid against it. The tests hold each document that they
read against these schemas, and fail when a key is missing, is new or has another type.

- **`format_version`** is `{version}`, on top of each document. The second number grows when keys,
  listed values or documents are added, the first one when a key goes, gets another type or another
  meaning. So look at the first number, and ignore keys that you do not know.
- **Every key is always there.** Where there is no value it is `null`, or an empty list. Where a
  command has several forms of a document, below it is said which one is when.
- **Times** are UTC, to the second: `2030-01-31T04:00:00Z`. **Primary keys** are text.
- **Names of people** are in the documents of `plan`, `failures`, `explain` and `audit`, and may be
  in every `error` and `error_reason`. No secret is in any of them.
- **No document** is printed by a command that a signal ends, but runs and `serve` end in order at
  the first one, and then there is one; by `failures --csv`; and by `sandbox` when its own options
  are wrong.
- **Closed and open sets.** Where this page lists the values of a key, this version has no others.
  [Error codes](errors.md) and the words of a destination are not listed here: others may come.

## Exit codes

What the [exit code](commands.md#exit-codes) says is in the document too. `status` and `retain` ask
several warehouses and have a text for each that could not be asked; their exit code is the worst.

| exit code | in the document |
|---|---|
"""

_SHARED: Mapping[str, type[Part]] = {
    "A run": Run,
    "Counts": Counts,
    "A change": Change,
    "A row of sync_runs": RunRow,
    "A failed record": FailedRecord,
    "A guess": Guess,
}
"""The parts that have a place of their own on the page."""

_PLACES: Mapping[str, str] = {
    "Run": "[run](#a-run)",
    "Counts": "[counts](#counts)",
    "Change": "[change](#a-change)",
    "RunRow": "[row of sync_runs](#a-row-of-sync_runs)",
    "FailedRecord": "[failed record](#a-failed-record)",
    "Guess": "[guess](#a-guess)",
    "ConfigErrorDocument": "[config error](#error)",
    "Audit": "[audit](#audit)",
    "Repair": "[run](#a-run) with `audit`",
    "OneRun": "[run-sync](#run-sync)",
    "Plan": "[plan](#plan)",
    "Failures": "[failures](#failures)",
    "JsonValue": "any",
}
"""What is not described where it is used, but there."""

_WIDTH = 96

_WORDS = {
    "boolean": "boolean",
    "date-time": "time",
    "integer": "whole number",
    "null": "null",
    "number": "number",
    "string": "text",
}

_Schema = Mapping[str, Any]


def page() -> str:
    """Return the page."""
    lines = [_HEAD.format(version=FORMAT_VERSION).rstrip(), *_exit_codes(), ""]
    for each in DOCUMENTS:
        lines += [f"## {each.name}", "", *_described(each)]
    lines += ["## Shared parts", ""]
    for title, part in _SHARED.items():
        lines += [f"### {title}", "", str(part.__doc__), "", *_table(part), ""]
    return "\n".join(lines)


def _exit_codes() -> Iterator[str]:
    statuses: dict[int, list[str]] = {}
    for status, code in EXIT_CODES.items():
        statuses.setdefault(code, []).append(f"`{status}`")
    said = {code: f"`status` is {_either(words)}" for code, words in statuses.items()}
    said[0] += "; where there is none, the command has done its work"
    said[1] += (
        "; `failed` of `check` is true, `in_step` of `audit` or `accepted` of a notification is"
        " false; an error has another `error_code` than those of 2 and 5"
    )
    said[2] = "`error_code` is `usage_error` or `config_error`"
    said[5] += "; an error has the `error_code` `busy`"
    said[10] = "with `plan --detailed-exitcode`: `planned` has a count that is not 0"
    said[143] = f"{said[130]}, by SIGTERM"
    yield from (_row(str(code), text) for code, text in sorted(said.items()))


def _described(printed: Printed) -> Iterator[str]:
    file = f"json/{printed.name}.schema.json"
    yield from (f"{printed.what} ([schema]({file})). {printed.text}".rstrip(), "")
    known: dict[type[BaseModel], str] = {
        part: f"a {_PLACES[part.__name__]}" for part in (Run, ConfigErrorDocument)
    }
    for form in printed.forms:
        base = next((part for part in form.__mro__[1:] if part in known), None)
        keys = f" The keys of {known[base]}, and:" if base else ""
        yield from (f"{form.__doc__}{keys}", "", *_table(form, base), "")
        known[form] = "the table above"
    if printed.example.is_file():
        shown = json.loads(printed.example.read_text(encoding="utf-8"))
        yield from ("```json", _laid_out(shown), "```", "")


def _table(part: type[Part], base: type[BaseModel] | None = None) -> Iterator[str]:
    """Yield a row for each key that the base does not have, or has in another way."""
    schema = part.model_json_schema(schema_generator=_Schemas)
    known = base.model_json_schema(schema_generator=_Schemas)["properties"] if base else {}
    yield from (_row("key", "type", "meaning"), "|---|---|---|")
    for key, value in schema["properties"].items():
        if key != "format_version" and value != known.get(key):
            yield from _rows(key, value, schema.get("$defs", {}))


def _rows(key: str, value: _Schema, parts: Mapping[str, _Schema]) -> Iterator[str]:
    """Yield the row of a key, and those of the keys within it."""
    yield _row(f"`{key}`", _type(value), value["description"])
    for path, name in _within(key, value):
        if name not in _PLACES:
            for below, described in parts[name]["properties"].items():
                yield from _rows(f"{path}.{below}", described, parts)


def _within(path: str, value: _Schema) -> Iterator[tuple[str, str]]:
    """Yield the parts that a value may hold, each with its path."""
    if "$ref" in value:
        yield path, value["$ref"].rpartition("/")[2]
    for each in value.get("anyOf", ()):
        yield from _within(path, each)
    if "items" in value:
        yield from _within(f"{path}[]", value["items"])
    if "additionalProperties" in value:
        yield from _within(f"{path}.*", value["additionalProperties"])


def _type(value: _Schema) -> str:
    """Return the type of a value in words."""
    if "$ref" in value:
        ((_, name),) = _within("", value)
        return _PLACES.get(name, "object")
    if "anyOf" in value:
        return _either([_type(each) for each in value["anyOf"]])
    if "const" in value or "enum" in value:
        allowed = value.get("enum") or [value["const"]]
        return _either(
            [f"`{each if isinstance(each, str) else json.dumps(each)}`" for each in allowed]
        )
    if "items" in value:
        return f"list of {_type(value['items'])}"
    if "additionalProperties" in value:
        keys = f" from {_type(value['propertyNames'])}" if "propertyNames" in value else ""
        return f"map{keys} to {_type(value['additionalProperties'])}"
    return _WORDS[value.get("format", value["type"])]


def _either(words: Sequence[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _laid_out(value: object, indent: str = "") -> str:
    """Return JSON in which what fits on a line stands on one."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent + line) <= _WIDTH or not isinstance(value, dict | list):
        return line
    inner = f"{indent}  "
    if isinstance(value, dict):
        shown = [f"{json.dumps(key)}: {_laid_out(each, inner)}" for key, each in value.items()]
        return "{\n" + ",\n".join(f"{inner}{each}" for each in shown) + f"\n{indent}}}"
    shown = [_laid_out(each, inner) for each in value]
    return "[\n" + ",\n".join(f"{inner}{each}" for each in shown) + f"\n{indent}]"


def main() -> None:
    """Write the page and the schemas."""
    for path, text in schemas().items():
        path.write_text(text, encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()

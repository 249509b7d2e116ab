"""``explain``: the life of one row, or of one person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverse_etl.cli.failures_command import is_tried_again
from reverse_etl.cli.looking import next_tick_of
from reverse_etl.cli.output import moment, short, visible
from reverse_etl.cli.session import ConfigOption, JsonOption, Session, SyncArgument, session_of
from reverse_etl.cli.usable import chosen_syncs, refuse_unusable

if TYPE_CHECKING:
    from reverse_etl.config import SyncConfig
    from reverse_etl.life import FailedRecord, Life, LogLine, Person, SourceRow
    from reverse_etl.preview import Sample

# Of the log, as text: somebody who is refused every five minutes has thousands.
MOST_LINES = 100

EXAMPLE = """\b
Examples:
  reverse-etl explain vip_customers --identity ada@example.com
  reverse-etl explain vip_customers --key 1234"""


def explain(  # noqa: PLR0913 - the options of the command
    ctx: typer.Context,
    sync: SyncArgument,
    *,
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            metavar="KEY",
            help="The row with this primary key; a JSON array where it has several columns.",
            show_default=False,
        ),
    ] = None,
    identity: Annotated[
        str | None,
        typer.Option(
            "--identity", metavar="ID", help="The person: e-mail or user id.", show_default=False
        ),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """The life of one person: why did they get that mail?

    The source row now, what the destination is believed to hold and since which run, every line
    of the log, the open failure, and what the next run will do. The query is evaluated once, as
    `plan` does it; nothing is sent and nothing is kept.
    """
    session = session_of(ctx, config, as_json=as_json)
    if (key is None) == (identity is None):
        raise typer.BadParameter("say whom: give --key KEY or --identity ID, one of the two")
    loaded = session.load()
    chosen_syncs(loaded, [sync], every=False)
    refuse_unusable(loaded, [sync])
    from reverse_etl.life import explain as tell  # noqa: PLC0415 - loads the engine

    life = tell(loaded, sync, primary_key=key, identity=identity)
    asked = {"key": key, "identity": identity}
    session.output.document(_document(life, asked, loaded.sync(sync)))
    _Shown(session, loaded.sync(sync), life, key or identity or "").show()
    return 0


# --- as JSON -------------------------------------------------------------------------------


def _document(life: Life, asked: Mapping[str, str | None], sync: SyncConfig) -> dict[str, Any]:
    return {
        "sync": life.sync,
        **asked,
        "source": {
            "rows": [_row_document(row) for row in life.rows],
            "error": life.source_error,
        },
        "people": [_person_document(person, life, sync) for person in life.people],
        "held_reason": life.held_reason,
        "unfinished_run_id": life.unfinished_run_id,
        "is_cut": life.is_cut,
    }


def _row_document(row: SourceRow) -> dict[str, Any]:
    return {
        "identity": row.identity,
        "primary_key": row.primary_key,
        "values": dict(row.values),
        "error_code": row.error_code,
        "error_reason": row.refused,
    }


def _person_document(person: Person, life: Life, sync: SyncConfig) -> dict[str, Any]:
    joined, last = person.joined, person.last_success
    return {
        "identity": person.identity,
        "destination": {
            "state": person.state,
            "since_run_id": joined.run_id if joined else None,
            "since": moment(joined.finished_at) if joined else None,
            "last_confirmed_run_id": last.run_id if last else None,
            "values": None if person.values is None else dict(person.values),
            "values_of_run_id": None if person.values is None else person.base_run_id,
        },
        "log": [_line_document(line) for line in person.log],
        "failed_record": _failure_document(person.failed, sync) if person.failed else None,
        "next": _next_document(person.planned, life),
    }


def _line_document(line: LogLine) -> dict[str, Any]:
    return {
        "sync_run_id": line.run_id,
        "primary_key": line.primary_key,
        "operation": line.operation,
        "status": line.status,
        "error_code": line.error_code,
        "error_reason": line.error_reason,
        "attempts": line.attempts,
        "sync_finished_at": moment(line.finished_at),
    }


def _failure_document(failed: FailedRecord, sync: SyncConfig) -> dict[str, Any]:
    return {
        "operation": failed.operation,
        "error_code": failed.error_code,
        "error_reason": failed.error_reason,
        "retryable": failed.retryable,
        "attempts": failed.attempts,
        "first_failed_run_id": failed.first_failed_run_id,
        "last_failed_run_id": failed.last_failed_run_id,
        "retry_requested_at": moment(failed.retry_requested_at),
        "tried_again": _is_due(failed, sync),
    }


def _next_document(planned: Sample | None, life: Life) -> dict[str, Any] | None:
    if life.source_error is not None:
        return None
    if planned is None:
        return {"operation": None, "retry": False, "values": {}, "before": None}
    found = planned.document()
    operation = {"operation": planned.operation.value}
    return {**operation, **{name: found[name] for name in ("retry", "values", "before")}}


def _is_due(failed: FailedRecord, sync: SyncConfig) -> bool:
    again = is_tried_again(sync, failed.error_code, retryable=failed.retryable)
    return again or failed.retry_requested_at is not None


# --- as text -------------------------------------------------------------------------------


class _Shown:
    """A life, told on a terminal."""

    def __init__(self, session: Session, sync: SyncConfig, life: Life, asked: str) -> None:
        self._session, self._sync, self._life, self._asked = session, sync, life, asked
        self._say = session.output.say

    def show(self) -> None:
        """Tell the source, then each person."""
        self._say(f"{self._life.sync}: {self._asked}", "bold")
        for line in self._source():
            self._fact("source now", line)
        if self._life.unfinished_run_id is not None:
            self._fact(
                "warning",
                f"run {self._life.unfinished_run_id} has not ended: it is under way, or it was "
                "killed and the next run settles it first. What is next may change by that",
            )
        if self._life.is_cut:
            self._fact("warning", "the key repeats; only some of its rows and people are told")
        if not self._life.people:
            self._fact("destination", "nothing is known of it: no run of this sync has had it")
            return
        for person in self._life.people:
            self._say()
            self._show_person(person)

    def _fact(self, name: str, text: str) -> None:
        # A line break of a value must not begin a line of ours.
        self._say(f"  {name:<13} {visible(text).replace(chr(10), ' ')}")

    def _source(self) -> Iterator[str]:
        life = self._life
        if life.source_error is not None:
            yield f"not known: {life.source_error}"
        elif not life.rows:
            yield "no row of the query"
        for row in life.rows:
            if row.refused is not None:
                yield f"row {short(row.primary_key)} is not used: {row.refused} ({row.error_code})"
            else:
                yield f"row {short(row.primary_key)} is {row.identity}: {_fields(row.values)}"

    def _show_person(self, person: Person) -> None:
        self._say(f"  {person.identity}", "bold")
        self._fact("destination", self._believed(person))
        if person.failed is not None:
            for line in self._failure(person.failed):
                self._fact("open failure", line)
        self._fact("next run", self._next(person))
        if not person.log:
            kept = self._sync.observability
            days = f"kept for {kept.sync_log_retention_days} days"
            why = days if kept.retain_sync_logs else "retain_sync_logs is off"
            self._fact("log", f"no lines ({why})")
            return
        self._say("  log")
        heads = ["run", "primary key", "operation", "status", "finished (UTC)", "code: reason"]
        lines = person.log[-MOST_LINES:]
        if len(person.log) > len(lines):
            self._say(f"    ({len(person.log) - len(lines)} older lines: --json has all)")
        self._session.output.table(heads, [_cells(line) for line in lines], "    ")

    def _believed(self, person: Person) -> str:
        from reverse_etl.life import STATES  # noqa: PLC0415 - loads the engine

        text, joined, last = STATES[person.state], person.joined, person.last_success
        if person.open is not None:
            text += f" ({person.open.operation} of run {person.base_run_id})"
        if person.is_residue and person.values is None:
            text += "; left the query, and stays while it must"
        if joined is not None and person.state in {"there", "outdated", "unsure"}:
            text += f", since run {joined.run_id} ({moment(joined.finished_at)})"
        if last is not None and last is not joined:
            text += f"; last confirmed {last.operation}: run {last.run_id}"
        if person.state == "there" and person.values:
            text += f": {_fields(person.values)}"
        return text

    def _failure(self, failed: FailedRecord) -> Iterator[str]:
        runs = f"{failed.attempts} run{'' if failed.attempts == 1 else 's'}"
        since = f"since run {failed.first_failed_run_id}, tried in {runs}"
        yield f"{failed.operation} {failed.error_code}, {since}: {failed.error_reason}"
        yield f"see: reverse-etl explain-error {failed.error_code}"

    def _next(self, person: Person) -> str:
        if self._life.source_error is not None:
            return "not known, as the query cannot be asked; a run would fail"
        planned = person.planned
        if planned is None:
            return self._nothing(person)
        text = f"{planned.operation.value}: {_change(planned)}"
        text += " (left open by an earlier run)" if planned.retry else ""
        if self._life.held_reason is not None:
            text += f". But the brake would hold that run: {self._life.held_reason}"
        return f"{text}. {self._when()}"

    def _when(self) -> str:
        from reverse_etl.clock import SystemClock  # noqa: PLC0415 - loads nothing else

        tick = next_tick_of(self._sync, SystemClock().now())
        command = self._session.command("run-sync", self._sync.name)
        return f"Due {moment(tick)}, or now: {command}" if tick else f"Start it: {command}"

    def _nothing(self, person: Person) -> str:
        failed = person.failed
        if failed is None:
            return "nothing to send"
        if failed.unidentified:
            return "nothing, until the row's values change"
        retry = self._session.command("retry", self._sync.name, "--identity", person.identity)
        return f"nothing: it waits until the row's values change, or for {retry}"


def _cells(line: LogLine) -> list[object]:
    why = f"{line.error_code}: {line.error_reason}" if line.error_code else None
    when = moment(line.finished_at)
    return [line.run_id, line.primary_key, line.operation, line.status, when, why]


def _change(planned: Sample) -> str:
    """Return what is sent, in words: of an update what differs, where that is known."""
    if planned.clears:
        return f"clears {', '.join(planned.values)}"
    if planned.operation.value == "delete":
        return "is taken off"
    return changes_in_words(planned) or _fields(planned.values)


def changes_in_words(sample: Sample) -> str:
    """Return what an update changes as ``plan: silver → gold``; empty where that is not known."""
    if sample.before is None or sample.operation.value != "update":
        return ""
    before = sample.before
    words = []
    if sample.renamed is not None:
        name, old, new = sample.renamed
        words.append(f"{name}: {short(old)} → {short(new)}")
    for name in sample.changed:
        new_value = sample.values[name]
        new_text = short(new_value) if new_value is not None else "cleared"
        if new_value is None and name in sample.skips:
            new_text = "NULL (left as it is)"
        old_text = f"{short(before[name])} → " if name in before else ""
        words.append(f"{name}: {old_text}{new_text}")
    return ", ".join(words)


def _fields(values: Mapping[str, Any]) -> str:
    pairs = (f"{name} = {short(value)}" for name, value in values.items())
    return ", ".join(pairs) or "no fields"

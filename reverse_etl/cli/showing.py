"""``status`` and ``runs``: what the tables know of the runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverse_etl.cli.looking import document_of, next_tick_of, reading
from reverse_etl.cli.output import moment
from reverse_etl.cli.session import ConfigOption, JsonOption, Session, SyncArgument, session_of
from reverse_etl.cli.usable import chosen_syncs
from reverse_etl.errors import ReverseEtlError

if TYPE_CHECKING:
    from reverse_etl.clock import Clock
    from reverse_etl.config import Config, SyncConfig
    from reverse_etl.warehouse.base import Transaction

MOST_RUNS = 20

STATUS_EXAMPLE = """\b
Examples:
  reverse-etl status
  reverse-etl status --json"""
RUNS_EXAMPLE = """\b
Examples:
  reverse-etl runs vip_customers
  reverse-etl runs vip_customers --limit 3"""

_OPERATIONS = ("insert", "update", "delete")


# --- status --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _SyncStatus:
    """Where one sync stands.

    Attributes:
        sync: Its name.
        next_tick: When its schedule asks for a run; None without a schedule.
        due_since: The tick that no scheduler has served yet, though its time has come; else None.
        running_until: Expiry of the lease of a run that is under way, else None.
        last_run: Its newest row of ``sync_runs``, or None when it never ran.
        failed_records_open: How many.
        error: Why the warehouse could not be asked, else None.
    """

    sync: str
    next_tick: datetime | None
    due_since: datetime | None = None
    running_until: datetime | None = None
    last_run: Mapping[str, Any] | None = None
    failed_records_open: int = 0
    error: str | None = None

    def document(self) -> dict[str, Any]:
        return {
            "sync": self.sync,
            "running": None if self.error else self.running_until is not None,
            "lease_until": moment(self.running_until),
            "last_run": self.last_run,
            "failed_records_open": None if self.error else self.failed_records_open,
            "next_tick": moment(self.next_tick),
            "due_since": moment(self.due_since),
            "error": self.error,
        }

    def row(self) -> list[object]:
        run, tick = self.last_run, moment(self.next_tick) or "manual"
        if self.due_since:
            tick = f"due since {moment(self.due_since)}"
        if self.error:
            return [self.sync, "unknown", None, None, None, tick]
        state = "running" if self.running_until else _ended(run) if run else "never ran"
        if run is None:
            return [self.sync, state, None, None, self.failed_records_open, tick]
        number, since = run["sync_run_id"], run["started_at"]
        return [self.sync, state, number, since, self.failed_records_open, tick]


def status(ctx: typer.Context, *, config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """Show the last and the next run of each sync."""
    from reverse_etl.clock import SystemClock  # noqa: PLC0415 - as what reads the warehouse
    from reverse_etl.report import worst  # noqa: PLC0415 - loads pydantic

    session = session_of(ctx, config, as_json=as_json)
    loaded = session.load()
    found: dict[str, _SyncStatus] = {}
    codes = [0]
    for warehouse_name in dict.fromkeys(s.source.warehouse for s in loaded.syncs.values()):
        syncs = [s for s in loaded.syncs.values() if s.source.warehouse == warehouse_name]
        try:
            states = _read_states(loaded, warehouse_name, syncs, SystemClock())
        except ReverseEtlError as error:
            session.output.note(str(error))
            codes.append(error.exit_code)
            now = SystemClock().now()
            states = [_SyncStatus(s.name, next_tick_of(s, now), error=str(error)) for s in syncs]
        found |= {state.sync: state for state in states}
    _show_states(session, [found[name] for name in loaded.syncs])
    return worst(codes)


def _read_states(
    config: Config, warehouse_name: str, syncs: Sequence[SyncConfig], clock: Clock
) -> list[_SyncStatus]:
    with reading(config, warehouse_name, clock) as tx:
        known = tx.warehouse.is_prepared(tx)
        return [
            _read_state(tx, sync, clock)
            if known
            else _SyncStatus(sync.name, next_tick_of(sync, clock.now()))
            for sync in syncs
        ]


def _read_state(tx: Transaction, sync: SyncConfig, clock: Clock) -> _SyncStatus:
    from reverse_etl.warehouse.statements import control  # noqa: PLC0415 - loads SQLAlchemy

    tables = tx.warehouse.tables
    runs = _run_documents(tx, sync.name, 1)
    state = tx.control.rows(control.read_state(tables.state, sync.name))
    return _SyncStatus(
        sync.name,
        next_tick_of(sync, clock.now()),
        due_since=_due_since(sync, state[0].due_after if state else None, clock.now()),
        running_until=_running_until(tx, state[0].lease_expires_at if state else None),
        last_run=runs[0] if runs else None,
        failed_records_open=int(tx.control.scalar(control.count_open(tables.failed, sync.name))),
    )


def _running_until(tx: Transaction, lease_expires_at: datetime | None) -> datetime | None:
    """Return when the lease of a run under way expires; None where nobody is running."""
    # Where a lock proves the lease, nobody can be running: the file could be opened.
    if lease_expires_at is None or tx.control.warehouse.capabilities.lock_proves_lease:
        return None
    return lease_expires_at if lease_expires_at > tx.now() else None


def _show_states(session: Session, states: Sequence[_SyncStatus]) -> None:
    session.output.document({"syncs": [state.document() for state in states]})
    heads = ["sync", "last run", "id", "started (UTC)", "open failures", "next run (UTC)"]
    session.output.table(heads, [state.row() for state in states], "")
    for state in states:
        reason = (state.last_run or {}).get("error_reason")
        if reason:
            session.output.say(f"{state.sync}: {reason}", "yellow")
        if state.last_run is not None and not state.running_until and _was_killed(state.last_run):
            session.output.say(_after_kill(session, state.sync, state.last_run), "yellow")


def _was_killed(run: Mapping[str, Any]) -> bool:
    """Whether a run that nobody is running any more has not ended."""
    return run["status"] in {"planning", "delivering"}


def _ended(run: Mapping[str, Any]) -> str:
    """Return the status of a run that nobody is running any more."""
    return f"killed while {run['status']}" if _was_killed(run) else str(run["status"])


def _after_kill(session: Session, sync: str, run: Mapping[str, Any]) -> str:
    again = session.command("run-sync", sync)
    return f"{sync}: run {run['sync_run_id']} was killed; the next one settles it first: {again}"


def _due_since(sync: SyncConfig, after: datetime | None, now: datetime) -> datetime | None:
    """Return the tick that is due and not served; None where no scheduler has seen the sync."""
    from reverse_etl.schedule import due_tick  # noqa: PLC0415 - loads croniter

    return None if after is None else due_tick(sync.schedule, after.replace(tzinfo=UTC), now)


# --- runs ----------------------------------------------------------------------------------


def runs(
    ctx: typer.Context,
    sync: SyncArgument,
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Newest runs.")] = MOST_RUNS,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show the newest runs of a sync."""
    from reverse_etl.clock import SystemClock  # noqa: PLC0415 - as what reads the warehouse

    session = session_of(ctx, config, as_json=as_json)
    loaded = session.load()
    chosen_syncs(loaded, [sync], every=False)
    configured, clock = loaded.sync(sync), SystemClock()
    with reading(loaded, configured.source.warehouse, clock) as tx:
        known = tx.warehouse.is_prepared(tx)
        found = _run_documents(tx, sync, limit) if known else []
        is_running = known and _read_state(tx, configured, clock).running_until is not None
    session.output.document({"sync": sync, "runs": found})
    if not found:
        session.output.say(f"{sync} never ran; run it with: {session.command('run-sync', sync)}")
        return 0
    _show_runs(session, sync, found, is_running=is_running)
    return 0


def _show_runs(
    session: Session, sync: str, found: Sequence[Mapping[str, Any]], *, is_running: bool
) -> None:
    counts = ["inserts", "updates", "deletes", "failed", "requests"]
    heads = ["run", "status", "started (UTC)", *counts, "error"]
    session.output.table(heads, [_run_row(run, is_running=is_running) for run in found], "")
    newest = found[0]
    if newest["error_reason"]:
        session.output.say(f"run {newest['sync_run_id']}: {newest['error_reason']}")
    if _was_killed(newest) and not is_running:
        session.output.say(_after_kill(session, sync, newest), "yellow")


def _run_documents(tx: Transaction, sync_name: str, limit: int) -> list[dict[str, Any]]:
    """Return the newest runs by the names of the table's columns, without the sync's name."""
    from reverse_etl.warehouse.statements import control  # noqa: PLC0415 - loads SQLAlchemy

    rows = tx.control.rows(control.last_runs(tx.warehouse.tables.runs, sync_name, limit))
    return [document_of(row) for row in rows]


def _run_row(run: Mapping[str, Any], *, is_running: bool) -> list[object]:
    succeeded = [run[f"{operation}s_succeeded"] for operation in _OPERATIONS]
    failed = sum(run[f"{operation}s_failed"] for operation in _OPERATIONS)
    status = run["status"] if is_running else _ended(run)
    head = [run["sync_run_id"], status, run["started_at"]]
    return [*head, *succeeded, failed, run["requests_sent"], run["error_code"]]

"""The engine's tables after each run, against the rules.

What the wire answered and how far a run came is taken from the engine's tables (position,
outcomes, how it ended); everything else the rules work out by themselves, and both must be equal:
the plan, the residue, the failed records, the log, the counters.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reverse_etl.testing.histories import MAPPINGS, History, Round
from reverse_etl.testing.place import SYNC, WINDOW
from reverse_etl.testing.promises import Books, PlayedRun, demand
from reverse_etl.testing.rules import planning, settling
from reverse_etl.testing.rules.planning import Held, Planned, Refused
from reverse_etl.testing.rules.tables import (
    NO_FIELDS,
    OPERATIONS,
    Base,
    Change,
    Counts,
    Options,
    Outcome,
    Run,
    Settings,
    State,
)
from reverse_etl.warehouse.tables import RunTables

if TYPE_CHECKING:
    from collections.abc import Iterable

_COMPARED_AS = {"integer": "number", "double precision": "number", "text": "text"}
_OPEN = ("planning", "delivering")
_FINISHED = ("succeeded", "completed_with_failures")


class Agreement:
    """Follows the engine through one history.

    :meth:`look` is called when a process has ended, and before another takes the lease from one
    that is paused; so at most one run is new to it each time.

    Attributes:
        state: What the tables of the sync must hold, according to the rules.
        coverage: How often each thing was compared.
    """

    def __init__(self, history: History, coverage: Counter[str]) -> None:
        """Begin with no tables."""
        self.state = State()
        self.coverage = coverage
        self._history = history

    def look(self, books: Books, last: PlayedRun, runs: Mapping[int, PlayedRun]) -> None:
        """Follow what happened since the last look, and compare.

        Args:
            books: Our tables.
            last: What ran last, whether it got a number or not.
            runs: The played runs, by their number.

        Raises:
            BrokenPromiseError: The two disagree; it names both versions.
        """
        if not books.ready():
            return
        seen = _Seen(books)
        self._follow_open_runs(seen, last, runs)
        for run_id in sorted(seen.runs.keys() - self.state.runs.keys()):
            self.state, _ = settling.begin(self.state, run_id)
            if seen.runs[run_id].status != "planning":
                self._follow_run(seen, run_id, runs[run_id].round)
        self._compare(seen)

    def ask_again(self) -> None:
        """Somebody asks for every failed record."""
        self.state = planning.ask_again(self.state)

    # --- following -------------------------------------------------------------------------

    def _follow_open_runs(
        self, seen: _Seen, last: PlayedRun, runs: Mapping[int, PlayedRun]
    ) -> None:
        """What was under way at the last look went on since, or was recovered."""
        for run_id, run in list(self.state.runs.items()):
            if run.status not in _OPEN:
                continue
            now = seen.runs[run_id]
            if run.status == "delivering" and seen.committed == run_id:
                self.state = seen.told(self.state)
            if now.error_code == "killed":
                self.coverage["agreed: recovered"] += 1
                logs = last.round.retain_logs
                self.state = settling.recover_run(self.state, run_id, logs=logs)
            elif run.status == "planning" and now.status != "planning":
                self._follow_run(seen, run_id, runs[run_id].round)
            elif run.status == "delivering" and now.status != "delivering":
                played = runs[run_id].round
                self._settle(now.status, settings_of(self._history, played), played)

    def _follow_run(self, seen: _Seen, run_id: int, played: Round) -> None:
        """A new run: what must it have planned, and what became of it?"""
        status = seen.runs[run_id].status
        settings = settings_of(self._history, played)
        options = Options(played.full, played.allow_deletes)
        planned = planning.plan(self.state, played.rows, settings, options)
        if seen.committed == run_id:
            demand(isinstance(planned, Planned), "agreement: the rules commit no such run", planned)
            assert isinstance(planned, Planned)
            self._commit(seen, run_id, planned)
            if status != "delivering":
                self._settle(status, settings, played)
        else:
            self._end(seen.runs[run_id], run_id, planned)

    def _commit(self, seen: _Seen, run_id: int, planned: Planned) -> None:
        self.coverage["agreed: plans"] += 1
        self.coverage["agreed: changes"] += len(planned.changes)
        settings = planned.settings
        sent = frozenset(settings.fields) if settings.clears else NO_FIELDS
        plan = in_order(planned.changes, seen.plan(run_id, sent))
        snapshot = {p.identity: (p.alias, p.primary_key) for p in planned.snapshot.people.values()}
        _same("snapshot", seen.snapshot(run_id), snapshot)
        planned = planned._replace(changes=plan)
        state = settling.commit(self.state, run_id, planned, WINDOW)
        self.state = seen.told(state)

    def _settle(self, status: str, settings: Settings, played: Round) -> None:
        base = settling.committed(self.state)
        self.state = settling.settle(
            self.state,
            limit=base.position,
            status=None if status in _FINISHED else status,
            deletes=settings.deletes,
            logs=played.retain_logs,
        )

    def _end(self, row: Any, run_id: int, planned: Planned | Held | Refused) -> None:  # noqa: ANN401
        """A run that committed nothing; a failed statement says nothing about its plan."""
        self.coverage[f"agreed: {row.status} unplanned"] += 1
        counts = counts_of(row)
        if row.status == "held" or isinstance(planned, Held):
            demand(isinstance(planned, Held), "agreement: the rules do not hold it", planned)
            stopped = row.status in {"failed", "interrupted"}
            demand(row.status == "held" or stopped, "agreement: the rules hold it", planned)
        if row.status == "held" and isinstance(planned, Held):
            counts = planned.counts
        if isinstance(planned, Refused):
            demand(row.status == "failed", "agreement: the rules refuse it", row.status)
        self.state = settling.end_unplanned(self.state, run_id, row.status, counts)

    # --- comparing -------------------------------------------------------------------------

    def _compare(self, seen: _Seen) -> None:
        state, base = self.state, self.state.base
        self.coverage["agreed: looks"] += 1
        demand(seen.committed == (base.run_id if base else None), "agreement: the pointer")
        _same("runs", {i: run_of(row) for i, row in seen.runs.items()}, dict(state.runs))
        _same("failed records", *_bare(seen.failed(), failures_of(state)))
        _same("log", seen.log(), log_of(state))
        if base is not None:
            residue = {
                i: (left.alias, left.primary_key, left.fields) for i, left in base.residue.items()
            }
            _same("residue", *_bare(seen.residue(base.run_id), residue))
            _same("former e-mails", seen.former(base.run_id), set(base.former))


Claims = dict[str, tuple[Any, ...]]


def _bare(engine: Claims, rules: Claims) -> tuple[Claims, Claims]:
    """Return both without their last column, the fields that somebody may hold from us.

    The engine may claim more of them than were sent (what was refused before sending counts once
    a second try is refused, too), but never fewer: nobody could clear the others.
    """
    for identity in engine.keys() & rules.keys():
        claimed, known = engine[identity][-1], rules[identity][-1]
        demand(claimed >= known, "agreement: fields", identity, claimed, known)
    engine, rules = ({i: row[:-1] for i, row in each.items()} for each in (engine, rules))
    return engine, rules


def _same(what: str, engine: object, rules: object) -> None:
    if engine == rules:
        return
    if isinstance(engine, dict) and isinstance(rules, dict):
        names = {n for n in engine.keys() | rules.keys() if engine.get(n) != rules.get(n)}
        engine = {name: engine.get(name) for name in sorted(names, key=str)}
        rules = {name: rules.get(name) for name in sorted(names, key=str)}
    demand(False, f"agreement: {what}", f"engine {engine}", f"rules {rules}")  # noqa: FBT003


def settings_of(history: History, played: Round) -> Settings:
    """Return what the rules have to know of a round's config."""
    clears = history.object == "user"
    hybrid = history.project_type == "hybrid"
    mapping = MAPPINGS[played.mapping]
    types = {"plan": _COMPARED_AS[played.plan_type], "tier": "text"}
    to_list = history.object == "list" and not history.by_name
    return Settings(
        kind=history.project_type,
        clears=clears,
        sends_alias=hybrid and history.hybrid_send == "both",
        mirror=played.mode == "mirror",
        keeps=clears and played.on_delete == "keep",
        fields={name: (column, types[column]) for name, column in mapping.items()},
        retry=played.retry,
        max_delete_percent=played.max_delete_percent,
        account=f"list {played.list_id}" if to_list else "",
    )


def in_order(rules: tuple[Change, ...], engine: list[Change]) -> tuple[Change, ...]:
    """Return the plan of the rules in the engine's order, which the contract leaves open in part.

    Raises:
        BrokenPromiseError: The engine plans something else, or in an order that may not be.
    """
    told, ruled = ({c.identity: _told(c) for c in plan} for plan in (engine, rules))
    _same("plan", *_bare(told, ruled))
    numbers = [change.seq for change in engine]
    demand(numbers == list(range(1, len(engine) + 1)), "agreement: the numbers of a plan", numbers)
    order = [(change.phase, change.operation) for change in engine]
    demand(order == sorted(order), "agreement: the order of a plan", order)
    known = {change.identity: change for change in rules}
    return tuple(known[change.identity]._replace(seq=change.seq) for change in engine)


def _told(change: Change) -> tuple[Any, ...]:
    """Return a change as it is compared: what only a delete has is left out of the others."""
    carried = change.carried and change.operation == "delete"
    return (*change[1:7], carried, change.before | change.sends)


def failures_of(state: State) -> Claims:
    """Return the failed records as they are compared."""
    return {
        i: (
            *f[1:4],
            f.retryable,
            f.attempts,
            f.first_run,
            f.last_run,
            f.alias,
            f.unidentified,
            f.asked,
            f.fields,
        )
        for i, f in state.failed.items()
    }


def log_of(state: State) -> Counter[tuple[object, ...]]:
    """Return the lines of the log, each with its run."""
    return Counter((run_id, *line) for run_id, lines in state.log.items() for line in lines)


# --- the engine's tables -------------------------------------------------------------------


def run_of(row: Any) -> Run:  # noqa: ANN401 - a row
    """Return a row of ``sync_runs`` as the rules write it."""
    succeeded, failed = (
        tuple(getattr(row, f"{operation}s_{what}") for operation in OPERATIONS)
        for what in ("succeeded", "failed")
    )
    return Run(row.status, counts_of(row), succeeded, failed, row.failed_records_open)


def counts_of(row: Any) -> Counts:  # noqa: ANN401 - a row
    """Return what a run read and planned."""
    return Counts(
        row.rows_read,
        row.rows_invalid,
        row.rows_duplicate,
        row.inserts_planned,
        row.updates_planned,
        row.deletes_planned,
        row.retries_planned,
    )


def fields_of(text: str | None) -> frozenset[str]:
    """Return the fields of a field set: a JSON array in each line."""
    return frozenset(name for line in (text or "").splitlines() for name in json.loads(line))


class _Seen:
    """What the engine's tables hold now."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._tx = books._tx  # noqa: SLF001 - the tables that only the rules look at
        self.runs = {row.sync_run_id: row for row in books.runs()}
        self._row = books.state()
        self.committed: int | None = self._row.committed_run_id if self._row else None

    def told(self, state: State) -> State:
        """Tell the rules what became durable: the position, the send limit, the outcomes."""
        base = settling.committed(state)
        outcomes = {
            seq: Outcome(status == "succeeded", code, retryable, outcome != "invalid", attempts)
            for seq, status, outcome, code, _, retryable, attempts in self._of_run(base, "outcomes")
        }
        told: Base = base._replace(
            position=self._row.position, limit=self._row.send_limit, outcomes=outcomes
        )
        return state._replace(base=told)

    def _of_run(self, run: Base | int, kind: str) -> Iterable[Any]:
        run_id = run if isinstance(run, int) else run.run_id
        tables = RunTables(SYNC, run_id, self._tx.warehouse.schema, (), ())
        return list(self._tx.rows(getattr(tables, kind).select()))

    def snapshot(self, run_id: int) -> dict[str, tuple[str | None, str | None]]:
        """Return identities with e-mail and primary key."""
        return {row[0]: (row[1], row[2]) for row in self._of_run(run_id, "snapshot")}

    def plan(self, run_id: int, sent: frozenset[str]) -> list[Change]:
        """Return the changes in the order of their numbers; no fields are those that are sent."""
        found = []
        for row in self._of_run(run_id, "changes"):
            usual = row[8] is None and row[2] != "delete"
            fields = sent if usual else fields_of(row[8])
            found.append(Change._make((*row[:8], fields, NO_FIELDS)))
        return sorted(found, key=lambda change: change.seq)

    def failed(self) -> Claims:
        """Return the failed records by identity."""
        return {
            row.identity: (
                row.primary_key,
                row.operation,
                row.error_code,
                row.retryable,
                row.attempts,
                row.first_failed_run_id,
                row.last_failed_run_id,
                row.alias,
                row.unidentified,
                row.retry_requested_at is not None,
                fields_of(row.fields),
            )
            for row in self._books.failed().values()
        }

    def log(self) -> Counter[tuple[object, ...]]:
        """Return the lines of the log, each with its run."""
        return Counter(
            (
                row.sync_run_id,
                row.identity,
                row.primary_key,
                row.operation,
                row.status == "succeeded",
                row.error_code,
                row.attempts,
            )
            for row in self._books.log()
        )

    def residue(self, run_id: int) -> Claims:
        """Return who stays as residue of a run."""
        return {
            row.identity: (row.alias, row.primary_key, fields_of(row.fields))
            for row in self._books.residue(run_id)
        }

    def former(self, run_id: int) -> set[tuple[str, str]]:
        """Return the e-mails that people may still have."""
        return {(row.identity, row.alias) for row in self._books.former(run_id)}

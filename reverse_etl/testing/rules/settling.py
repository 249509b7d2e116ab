"""What becomes durable, and when (design §6.3.2 to §6.3.6); what an answer means (§6.5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from reverse_etl.testing.rules.planning import Held, Planned
from reverse_etl.testing.rules.tables import (
    NO_FIELDS,
    OPERATIONS,
    Base,
    Change,
    Counts,
    Failure,
    Line,
    Operation,
    Outcome,
    Run,
    State,
    Unusable,
)

IN_DOUBT = Outcome(succeeded=False, code="unknown", retryable=True)
SUCCEEDED = Outcome(succeeded=True)

_GONE_ANYWAY = frozenset({"invalid", "notFound", "forgotten"})
_NOT_SENT = frozenset({"invalid_identifier", "invalid_value"})


def outcome_of(answer: str, operation: Operation, *, hybrid: bool) -> Outcome:
    """Return what an answer about one change makes of it: the table of §6.5.

    Args:
        answer: ``confirmed``; ``invalid_identifier`` or ``invalid_value``, refused before
            sending; a list of failures of the API (``notFound``, ``forgotten``, ``invalid``,
            ``invalidData``, ``conflict``); ``unknown`` or ``unavailable``.
        operation: Of the change.
        hybrid: Whether the project is hybrid.
    """
    if answer == "confirmed":
        return SUCCEEDED
    if answer in _NOT_SENT:
        done = operation == "delete"
        return Outcome(done, None if done else answer, sent=False, attempts=0)
    if operation == "delete" and answer in _GONE_ANYWAY:
        return SUCCEEDED
    code, retryable = {
        "notFound": ("not_found", True),
        "forgotten": ("forgotten", False),
        "invalid": ("invalid_identifier", False),
        "invalidData": ("rejected", False),
        "conflict": ("conflict", hybrid),
        "unknown": ("unknown", True),
        "unavailable": ("unavailable", True),
    }[answer]
    return Outcome(succeeded=False, code=code, retryable=retryable)


# --- committing ----------------------------------------------------------------------------


def begin(state: State, run_id: int | None = None) -> tuple[State, int]:
    """Number a run (gaps are allowed); it is planning now."""
    run_id = run_id or max(state.runs, default=0) + 1
    return _with_run(state, run_id, Run("planning")), run_id


def commit(state: State, run_id: int, planned: Planned, window: int) -> State:
    """Make a plan the last committed one; another account starts without failed records."""
    settings = planned.settings
    base = Base(
        run_id,
        planned.snapshot,
        dict(settings.fields),
        planned.changes,
        planned.residue,
        planned.former,
        position=0,
        limit=window,
        outcomes={},
    )
    failed = {} if planned.fresh else state.failed
    state = state._replace(account=settings.account, base=base, failed=failed)
    return _with_run(state, run_id, Run("delivering", planned.counts))


def end_unplanned(state: State, run_id: int, status: str, counts: Counts) -> State:
    """End a run that commits nothing: its row is all that it leaves."""
    return _with_run(state, run_id, Run(status, counts, failed_records_open=len(state.failed)))


def hold(state: State, run_id: int, held: Held) -> State:
    """End a run that the brake holds."""
    return end_unplanned(state, run_id, "held", held.counts)


def _with_run(state: State, run_id: int, run: Run) -> State:
    return state._replace(runs={**state.runs, run_id: run})


# --- checkpoints ---------------------------------------------------------------------------


def record(state: State, outcomes: Mapping[int, Outcome]) -> State:
    """Write down what were no plain successes: the first half of a checkpoint."""
    base = committed(state)
    return state._replace(base=base._replace(outcomes={**base.outcomes, **outcomes}))


def advance(state: State, position: int, window: int) -> State:
    """Confirm a position, and allow sending up to a window beyond it: the second half."""
    base = committed(state)
    return state._replace(base=base._replace(position=position, limit=position + window))


def committed(state: State) -> Base:
    """Return the last committed run of a state that has one."""
    assert state.base is not None
    return state.base


# --- settling ------------------------------------------------------------------------------


class Tried(NamedTuple):
    """A change that was tried, and what became of it."""

    change: Change
    outcome: Outcome


def tried(base: Base, limit: int) -> Iterator[Tried]:
    """Return what was tried: settled, or perhaps under way when the run was killed."""
    last = max(base.position, limit)
    for change in base.plan:
        outcome = base.outcomes.get(change.seq)
        if outcome is not None:
            yield Tried(change, outcome)
        elif change.seq <= base.position:
            yield Tried(change, SUCCEEDED)
        elif change.seq <= last:
            yield Tried(change, IN_DOUBT)


def settle(
    state: State,
    *,
    limit: int,
    status: str | None,
    deletes: bool,
    logs: bool = True,
) -> State:
    """Write log, failed records and counts of the last committed run.

    Args:
        state: With its outcomes and its position.
        limit: Nothing above it was sent; in an orderly end the position itself.
        status: How the run ended, or None when it was carried out.
        deletes: Whether people who left can be removed: where not, their records are dropped.
        logs: Whether the log is kept.
    """
    base = committed(state)
    done = list(tried(base, limit))
    succeeded = _by_operation(t.change.operation for t in done if t.outcome.succeeded)
    failed = _by_operation(t.change.operation for t in done if not t.outcome.succeeded)
    records = renew(state, base, done, deletes=deletes)
    if status is None:
        well = not any(failed) and not base.snapshot.rows_newly_invalid
        status = "succeeded" if well else "completed_with_failures"
    counts = state.runs[base.run_id].counts
    run = Run(status, counts, succeeded, failed, len(records))
    log = {**state.log, base.run_id: tuple(lines(base, done))} if logs else state.log
    return _with_run(state._replace(failed=records, log=log), base.run_id, run)


def _by_operation(operations: Iterator[Operation]) -> tuple[int, int, int]:
    found = list(operations)
    inserts, updates, deletes = (found.count(operation) for operation in OPERATIONS)
    return inserts, updates, deletes


def lines(base: Base, done: list[Tried]) -> Iterator[Line]:
    """Return a line for each change that was tried, and for each row newly refused."""
    for change, outcome in done:
        yield Line(
            change.identity,
            change.primary_key,
            change.operation,
            outcome.succeeded,
            outcome.code,
            outcome.attempts,
        )
    for row in base.snapshot.unusable.values():
        if row.new:
            yield Line(
                row.identity, row.primary_key, "insert", succeeded=False, code=row.code, attempts=0
            )
    for loser in base.snapshot.duplicates:
        if loser.new and loser.differs:
            yield Line(
                loser.identity,
                loser.primary_key,
                "insert",
                succeeded=False,
                code="duplicate_identity",
                attempts=0,
            )


def renew(state: State, base: Base, done: list[Tried], *, deletes: bool) -> dict[str, Failure]:
    """Return the failed records after a run.

    Who was tried is judged anew; who stays as residue is not failed; rows without identifier are
    those of today. Where nobody can be removed, who left is forgotten.
    """
    settled = {t.change.identity for t in done}
    kept = {
        identity: record
        for identity, record in state.failed.items()
        if not record.unidentified
        and identity not in settled
        and identity not in base.residue
        and (deletes or identity in base.snapshot.people)
    }
    for change, outcome in done:
        if not outcome.succeeded:
            old = state.failed.get(change.identity)
            kept[change.identity] = failure(base.run_id, change, outcome, old)
    for row in base.snapshot.unusable.values():
        kept[row.identity] = unidentified(base.run_id, row, state.failed.get(row.identity))
    return kept


def failure(run_id: int, change: Change, outcome: Outcome, old: Failure | None) -> Failure:
    """Return the record of a change that failed; what we refused ourselves was not sent."""
    return Failure(
        change.identity,
        change.primary_key,
        change.operation,
        outcome.code,
        "",
        outcome.retryable,
        attempts=old.attempts + 1 if old else 1,
        first_run=old.first_run if old else run_id,
        last_run=run_id,
        alias=change.alias,
        fields=change.before | (change.sends if outcome.sent else NO_FIELDS),
    )


def unidentified(run_id: int, row: Unusable, old: Failure | None) -> Failure:
    """Return the record of a row without identifier; refused as before, nothing happened to it."""
    same = old is not None and (old.code, old.why) == (row.code, row.why)
    attempts, first_run, last_run = 1, run_id, run_id
    if old is not None:
        attempts, first_run = old.attempts + (not same), old.first_run
        last_run = old.last_run if same else run_id
    return Failure(
        row.identity,
        row.primary_key,
        "insert",
        row.code,
        row.why,
        retryable=False,
        attempts=attempts,
        first_run=first_run,
        last_run=last_run,
        unidentified=True,
    )


# --- recovering ----------------------------------------------------------------------------


def recover(state: State) -> State:
    """Settle what killed runs left, oldest first."""
    for run_id, run in state.runs.items():
        if run.status in {"planning", "delivering"}:
            state = recover_run(state, run_id)
    return state


def recover_run(state: State, run_id: int, *, logs: bool = True) -> State:
    """Settle a killed run up to what is known of it; one that did not commit planned nothing.

    Args:
        state: With the run unfinished.
        run_id: Its number.
        logs: Whether the log is kept.
    """
    if state.base is None or state.base.run_id != run_id:
        return _with_run(state, run_id, state.runs[run_id]._replace(status="interrupted"))
    # A refused delete is dropped only by a planning, which keeps the person as residue.
    limit = state.base.limit
    return settle(state, limit=limit, status="interrupted", deletes=True, logs=logs)

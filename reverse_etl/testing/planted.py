"""Bugs planted on purpose: the simulator must find each, or its silence proves nothing.

A planted bug puts something wrong in the place of one function or method of the engine, for as
long as a ``with`` block lasts. Each breaks one sentence of the contract, in the way in which one
might have read or written it. Ask after how many seeds each is caught::

    python -m reverse_etl.testing.planted --find
    python -m reverse_etl.testing.planted --find --bug "an unknown delete is dropped" --trace
"""

# ruff: noqa: SLF001 - a planted bug reaches inside

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, cast

from sqlalchemy import (
    Boolean,
    String,
    and_,
    case,
    delete,
    false,
    literal,
    null,
    or_,
    select,
    union_all,
)
from sqlalchemy import cast as sql_cast

from reverse_etl.connector import SUCCEEDED, Outcome, Response
from reverse_etl.errors import RunError
from reverse_etl.settle import record_outcomes
from reverse_etl.testing.histories import History, generate
from reverse_etl.testing.place import Place, duckdb_place
from reverse_etl.testing.simulation import complaint, shrink, violation
from reverse_etl.warehouse.statements import control

MOST_SEEDS = 1_000
"""A bug that so many seeds do not find is one that the simulator is blind to."""

Wrong = Callable[..., Any]


@dataclass(frozen=True)
class Replaced:
    """Something wrong in the place of something right.

    Attributes:
        place: Of the function or method (``module:name.name``), or of a constant.
        wrong: What is called instead: with the right one first, then with the arguments.
            Of a constant: what is there instead.
    """

    place: str
    wrong: Wrong | int

    @contextmanager
    def done(self) -> Iterator[None]:
        """Have it replaced."""
        module, _, path = self.place.partition(":")
        *owners, name = path.split(".")
        owner = resolve_name(":".join([module, *owners]))
        right = vars(owner)[name]
        setattr(owner, name, self._instead_of(right))
        try:
            yield
        finally:
            setattr(owner, name, right)

    def _instead_of(self, right: Any) -> Any:  # noqa: ANN401 - whatever is there
        wrong = self.wrong
        if not callable(wrong):
            return wrong

        def instead(*args: Any, **named: Any) -> Any:  # noqa: ANN401
            return wrong(right, *args, **named)

        return instead


def _any(_: History) -> bool:
    return True


@dataclass(frozen=True)
class Bug:
    """A planted bug.

    Attributes:
        name: What the engine then does.
        broken: The sentence of the contract that it breaks.
        replaced: How it is planted.
        concerns: Which histories can meet it at all; the others need not be played.
    """

    name: str
    broken: str
    replaced: tuple[Replaced, ...]
    concerns: Callable[[History], bool] = _any

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Have it in the engine."""
        with ExitStack() as stack:
            for each in self.replaced:
                stack.enter_context(each.done())
            yield

    def caught(self, history: History, place: Place) -> Exception | None:
        """Play a history with the bug; return what the promises say, or None."""
        with self.planted():
            error = violation(history, place)
        if isinstance(error, AttributeError | TypeError | NameError):
            raise error  # it was not planted well
        return error

    def first_seed(self, place: Place, seeds: Sequence[int]) -> int | None:
        """Return the first seed that catches it, or None."""
        return next((s for s in seeds if self._is_caught_by(generate(s), place)), None)

    def _is_caught_by(self, history: History, place: Place) -> bool:
        return self.concerns(history) and self.caught(history, place) is not None


# --- which histories can meet a bug --------------------------------------------------------


def _is_hybrid(history: History) -> bool:
    return history.project_type == "hybrid"


def _sends_both(history: History) -> bool:
    return _is_hybrid(history) and history.hybrid_send == "both"


def _sends_both_and_fails(history: History) -> bool:
    return _sends_both(history) and _fails(history)


def _is_hybrid_and_fails(history: History) -> bool:
    return _is_hybrid(history) and _fails(history)


def _is_killed_and_fails(history: History) -> bool:
    return _is_killed(history) and _fails(history)


def _is_killed(history: History) -> bool:
    return any(r.killed_at or r.failed_at for r in history.rounds)


def _is_full(history: History) -> bool:
    return any(r.full for r in history.rounds)


def _changes_fields(history: History) -> bool:
    return history.object == "user" and len({r.mapping for r in history.rounds}) > 1


def _fails(history: History) -> bool:
    return any(r.faults or r.poison for r in history.rounds)


def _brakes(history: History) -> bool:
    return any(r.mode == "mirror" and r.max_delete_percent < 100 for r in history.rounds)


def _repeats(history: History) -> bool:
    return any(r.retry_seconds and r.faults for r in history.rounds)


def _upserts(history: History) -> bool:
    return any(r.mode == "upsert" for r in history.rounds)


# --- people --------------------------------------------------------------------------------


def _leave_contested(right: Wrong, steps: Any) -> Any:  # noqa: ANN401
    """Every row is somebody; who shares an identity is there twice."""
    contested, statements = steps.contested, steps.taking
    nobody = right.__globals__["SnapshotStatements"].contest(statements).where(false())
    steps.tx.create(contested, nobody)
    steps.tx.create_empty(steps.tables.refused)
    steps.tx.drop(contested)
    steps.tx.finish(steps.tables.snapshot)
    return right.__globals__["_Refused"]()


def _split(right: Wrong, statements: Any) -> Any:  # noqa: ANN401
    """A row with an e-mail alone is another person than the one with a user id beside it."""
    apart = replace(statements, shape=replace(statements.shape, prefixed=False))
    return right(apart)


def _leave_at_once(right: Wrong, statements: Any, base: Any, joined: Any) -> Any:  # noqa: ANN401
    """Who is not in the source leaves, even if a row holds their e-mail."""
    may_leave, joined = right(statements, base, joined)
    return (may_leave if not statements.shape.deletes else literal(1) == 1), joined


def _everybody_claims(right: Wrong, statements: Any) -> Any:  # noqa: ANN401
    """An e-mail goes with each of the people who have it."""
    return right(replace(statements, shape=replace(statements.shape, alias_name=None)))


def _nobody_formerly(right: Wrong, statements: Any, base: Any) -> Any:  # noqa: ANN401
    chosen = right(statements, base)
    return chosen.select().where(false()).subquery("formerly")


def _no_takeover(_: Wrong, __: Any, joined: Any) -> Any:  # noqa: ANN401
    return [], joined


# --- the plan ------------------------------------------------------------------------------


def _none(right: Wrong, statements: Any, *args: Any) -> Any:  # noqa: ANN401
    """What the statement chooses is not chosen."""
    return right(statements, *args).where(false())


def _old_values(right: Wrong, statements: Any, base: Any, name: str) -> Any:  # noqa: ANN401
    """A change that was left open goes with the values that it had then."""
    value = right(statements, base, name)
    known = statements.base.columns.get(name) if statements.base else None
    if statements.pending is None or known != statements.shape.columns[name]:
        return value
    left_open = statements.pending.c["_identity"].is_not(None) & base.c["_identity"].is_not(None)
    return case((left_open, base.c[name]), else_=value).label(value.name)


def _no_open_fields(right: Wrong, statements: Any, base: Any) -> Any:  # noqa: ANN401
    """Only the fields of the last mapping are known to be somebody's."""
    return right(replace(statements, pending=None), base)


def _nobody_in_upsert(right: Wrong, statements: Any, *args: Any) -> Any:  # noqa: ANN401
    """Who left the source while nobody is removed is nobody's concern."""
    chosen = right(statements, *args)
    return chosen.where(false()) if statements.shape.upsert else chosen


def _full_starts_anew(right: Wrong, *args: Any, **named: Any) -> Any:  # noqa: ANN401
    """A full run leaves out of account what earlier runs left open."""
    return right(*args, **{**named, "fresh": named["fresh"] or named["full"]})


def _no_pending(right: Wrong, statements: Any) -> Any:  # noqa: ANN401
    """What earlier runs left open is not looked at."""
    return right(replace(statements, pending=None))


def _all_carried(_: Wrong, __: Any) -> Any:  # noqa: ANN401
    """The brake takes every delete for one that passed it before."""
    return literal(1) == 1


# --- commit --------------------------------------------------------------------------------


class _NothingToDoError(RunError):
    """A plan is empty."""


def _drop_empty(right: Wrong, run: Any, tx: Any, plan: Any, *args: Any, **named: Any) -> None:  # noqa: ANN401
    if plan.size == 0:
        raise _NothingToDoError("nothing to do")
    right(run, tx, plan, *args, **named)


def _end_well(right: Wrong, run: Any, status: str, error: Exception) -> None:  # noqa: ANN401
    right(run, "succeeded" if isinstance(error, _NothingToDoError) else status, error)


def _commit_later(right: Wrong, run: Any, *args: Any, **named: Any) -> None:  # noqa: ANN401
    """The plan is stored; that it is the last one, only after it was sent."""
    point = control.commit_run

    def later(*row: Any, **values: Any) -> Any:  # noqa: ANN401
        run.pointing = point(*row, **values)
        return control.still_mine(*row)

    with Replaced("reverse_etl.warehouse.statements.control:commit_run", _only(later)).done():
        right(run, *args, **named)


def _only(function: Wrong) -> Wrong:
    return lambda _, *args, **named: function(*args, **named)


def _point_now(right: Wrong, run: Any, plan: Any, delivery: Any) -> None:  # noqa: ANN401
    with run.warehouse.transaction() as tx:
        tx.run(run.pointing)
    right(run, plan, delivery)


def _no_checkpoint(_: Wrong, __: Any, ___: Any) -> Any:  # noqa: ANN401
    return lambda _progress: None


def _clear_failed_early(right: Wrong, steps: Any, audited: Any, *, retry: bool) -> bool:  # noqa: ANN401
    """What is planned again is no failure any more, whether the run will commit or not."""
    found: bool = right(steps, audited, retry=retry)
    warehouse = steps.tx.warehouse
    rows = warehouse.tables.failed.c
    due = or_(rows.error_code == "unknown", rows.retryable) if retry else rows.error_code == ""
    with warehouse.transaction() as tx:
        tx.run(delete(warehouse.tables.failed).where(due, ~rows.unidentified))
    return found


def _deaf_to_requests(right: Wrong, statements: Any) -> Any:  # noqa: ANN401
    """What somebody asks for is as due as if nobody did."""
    chosen, rows = right(statements), statements.failed.c
    due = or_(rows.error_code == "unknown", and_(rows.retryable, literal(statements.retry)))
    columns = (
        sql_cast(due, Boolean).label("_due") if column.name == "_due" else column
        for column in chosen.selected_columns
    )
    return chosen if statements.full else chosen.with_only_columns(*columns)


# --- delivery ------------------------------------------------------------------------------


def _acknowledge_early(right: Wrong, run: Any, phase: int, stretch: Any) -> None:  # noqa: ANN401
    """A change is settled when its request goes out."""
    right(run, phase, stretch)
    span = run._spans[-1] if run._spans else None
    if span is not None and not span.done:
        run._finish(span)


def _finish_any(right: Wrong, run: Any, span: Any) -> None:  # noqa: ANN401
    """The position is the last change that is settled, whatever is open below it."""
    right(run, span)
    run._position = max(run._position, span.last_seq)


def _send_freely(_: Wrong, __: Any, ___: Any) -> bool:  # noqa: ANN401
    return False


def _believe_200(right: Wrong, talk: Any, offset: int, outcome: Outcome) -> Outcome:  # noqa: ANN401
    """HTTP 200 is success, whatever the body says."""
    answer = talk.answer
    if outcome.status == "unknown" and isinstance(answer, Response) and answer.status == 200:
        return SUCCEEDED
    return cast("Outcome", right(talk, offset, outcome))


def _no_doubt(_: Wrong, __: Any, ___: int) -> bool:  # noqa: ANN401
    return False


def _unchecked(_: Wrong, __: Any, ___: float) -> None:  # noqa: ANN401
    """A request goes out under a lease that may be lost."""


# --- checkpoints and settling --------------------------------------------------------------


def _position_first(_: Wrong, run: Any, plan: Any) -> Any:  # noqa: ANN401
    def checkpoint(progress: Any) -> None:  # noqa: ANN401
        with run.warehouse.transaction() as tx:
            run._advance(tx, progress.position, progress.requests_sent, run.window)
        with run.warehouse.transaction() as tx:
            record_outcomes(tx, plan.tables, progress.settled)

    return checkpoint


def _drop_unknown_deletes(right: Wrong, statements: Any, finished: Any) -> Any:  # noqa: ANN401
    chosen = right(statements, finished)
    operation, code = chosen.selected_columns["operation"], chosen.selected_columns["error_code"]
    return chosen.where(or_(operation != "delete", code != "unknown"))


def _no_window(right: Wrong, tx: Any, *args: Any, ending: Any, **named: Any) -> Any:  # noqa: ANN401
    """What a killed run may have sent above its position was not tried."""
    return right(tx, *args, ending=replace(ending, window=ending.position), **named)


def _no_settling(right: Wrong, run: Any, state: Any, _started_at: Any) -> None:  # noqa: ANN401
    """A killed run is called interrupted, and that is all."""
    del right
    values = {"status": "interrupted", "error_code": "killed"}
    runs = run.warehouse.tables.runs
    with run.warehouse.transaction() as tx:
        tx.run(control.change_run(runs, run.sync.name, state.base.run_id, values))


def _forget_first_failure(right: Wrong, statements: Any, *, deletes: bool) -> Any:  # noqa: ANN401
    """A record that was not tried again is cleared with the others."""
    rows, found = statements.failed.c, right(statements, deletes=deletes)
    mine = rows.sync_name == statements.sync_name
    waiting = select(rows.identity, rows.unidentified).where(mine, ~rows.unidentified)
    return select(*union_all(found, waiting).subquery("cleared").c)


def _drop_the_plan(right: Wrong, tx: Any, sync_name: str, committed: int, keep: int) -> Any:  # noqa: ANN401
    """Of the last committed run only the snapshot is kept."""
    old = right(tx, sync_name, committed, keep)
    return [*old, ("changes", committed), ("outcomes", committed)]


def _nothing_sent(_: Wrong, __: Any, **_named: Any) -> Any:  # noqa: ANN401
    """Which fields a failed change carried is not written down."""
    return sql_cast(null(), String)


CHANGES = "reverse_etl.warehouse.statements.changes"
SNAPSHOT = "reverse_etl.warehouse.statements.snapshot"
SETTLE = "reverse_etl.warehouse.statements.settle"
SENDER = "reverse_etl.delivery.sender"
RUN = "reverse_etl.run:Run"


def _bug(
    name: str,
    broken: str,
    *replaced: tuple[str, Wrong | int],
    concerns: Callable[[History], bool] = _any,
) -> Bug:
    return Bug(name, broken, tuple(Replaced(*each) for each in replaced), concerns)


BUGS = (
    _bug(
        "who was asked for waits",
        "Permanent failures wait until the row's values change, or `retry`, or `--full` (6.5)",
        (f"{CHANGES}:PendingStatements._failed", _deaf_to_requests),
    ),
    _bug(
        "rows are compared instead of people",
        "Changes are computed between sets of identities, not between primary keys (6.2)",
        ("reverse_etl.planning:_Steps.resolve_contested", _leave_contested),
    ),
    _bug(
        "an e-mail alone is another person",
        "An e-mail-only row whose e-mail is on a row with a userId is that same person (6.2 a)",
        (f"{SNAPSHOT}:SnapshotStatements.resolve", _split),
        concerns=_is_hybrid,
    ),
    _bug(
        "an e-mail goes with everybody who claims it",
        "An e-mail claimed by several userIds goes with the smallest primary key only (6.2 b)",
        (f"{SNAPSHOT}:SnapshotStatements.return_winners", _everybody_claims),
        concerns=_sends_both,
    ),
    _bug(
        "a person leaves while a row holds their e-mail",
        "A person leaves only when none of their identifiers is held by any current row (6.2 d)",
        (f"{CHANGES}:ChangesStatements._may_be_deleted", _leave_at_once),
        concerns=_is_hybrid_and_fails,
    ),
    _bug(
        "residue is forgotten",
        "Until then they are kept as residue and leave in the first run in which none is held",
        (f"{CHANGES}:PendingStatements._residue", _none),
        concerns=lambda history: _is_hybrid(history) or _upserts(history),
    ),
    _bug(
        "former e-mails are forgotten",
        "An e-mail whose loss is unconfirmed still holds its person (6.2 d)",
        (f"{CHANGES}:ChangesStatements._formerly_held", _nobody_formerly),
        concerns=_sends_both_and_fails,
    ),
    _bug(
        "who left in upsert mode is forgotten",
        "In upsert the identity stays as residue, so that a later switch to mirror removes it",
        (f"{CHANGES}:ChangesStatements._gone_from_base", _nobody_in_upsert),
        (f"{CHANGES}:ChangesStatements._still_open", _nobody_in_upsert),
        concerns=_upserts,
    ),
    _bug(
        "an interrupted plan is forgotten",
        "Plan = difference from the base, failed records that are due, rows of the last committed"
        " plan above its position (6.3.3)",
        (f"{CHANGES}:PendingStatements._unconfirmed", _none),
    ),
    _bug(
        "what failed is sent with its old values",
        "Re-planned from the current source: there, an upsert with today's values (6.3.3)",
        (f"{CHANGES}:ChangesStatements._value", _old_values),
    ),
    _bug(
        "fields left open are forgotten",
        "clear_fields clears the fields that were sent, the union of base, plan and failed record",
        (f"{CHANGES}:ChangesStatements._fields", _no_open_fields),
        (f"{CHANGES}:ChangesStatements._fields_in_base", _no_pending),
        concerns=_changes_fields,
    ),
    _bug(
        "the fields of a failed change are not kept",
        "clear_fields clears the fields that were sent, the union of base, plan and failed record",
        (f"{SETTLE}:SettleStatements._fields", _nothing_sent),
        concerns=_changes_fields,
    ),
    _bug(
        "a full run forgets what was left open",
        "Due: everything (refused deletes too) on --full (6.3.3)",
        ("reverse_etl.run:make_plan", _full_starts_anew),
        concerns=_is_full,
    ),
    _bug(
        "deletes do not go first",
        "Deletes first, settled before the first upsert (6.3.4)",
        (f"{CHANGES}:DELETE_PHASE", 3),
    ),
    _bug(
        "an e-mail is taken over before it is free",
        "Among upserts, those that take an e-mail over from somebody else go last (6.2 e)",
        (f"{CHANGES}:ChangesStatements._takeover", _no_takeover),
        concerns=_sends_both,
    ),
    _bug(
        "the brake counts carried deletes",
        "Deletes carried over from an earlier run passed the brake then and do not count (6.4)",
        (f"{CHANGES}:ChangesStatements._carried", _no_pending),
        concerns=_brakes,
    ),
    _bug(
        "the brake counts no deletes",
        "A run that would newly remove more than max_delete_percent is held (6.4)",
        (f"{CHANGES}:ChangesStatements._carried", _all_carried),
        concerns=_brakes,
    ),
    _bug(
        "an empty plan is dropped",
        "A finished planning commits also with an empty plan, if anything changed (6.3.3)",
        (f"{RUN}._commit", _drop_empty),
        (f"{RUN}.end_unplanned", _end_well),
    ),
    _bug(
        "sent before it is committed",
        "The plan is stored before the first request; delivering is the commit point (6.3.3)",
        (f"{RUN}._commit", _commit_later),
        (f"{RUN}._checkpoint", _no_checkpoint),
        (f"{RUN}.settle", _point_now),
    ),
    _bug(
        "failed records are cleared before the commit point",
        "Failed records change only at or after the commit point (6.3.3)",
        ("reverse_etl.planning:_Steps.collect_pending", _clear_failed_early),
    ),
    _bug(
        "acknowledged before it is answered",
        "Everything at or below the confirmed position is settled (6.3.5)",
        (f"{SENDER}:_Run._open", _acknowledge_early),
    ),
    _bug(
        "the position has gaps",
        "The confirmed position is contiguous (6.3.5)",
        (f"{SENDER}:_Run._finish", _finish_any),
    ),
    _bug(
        "sending goes beyond the limit",
        "Nothing beyond the limit is sent before the next checkpoint (6.3.5)",
        (f"{SENDER}:_Run._beyond_limit", _send_freely),
    ),
    _bug(
        "HTTP 200 is success",
        "HTTP 200 is not success; failures that do not add up are unknown (6.5)",
        (f"{SENDER}:_Conversation._outcome", _believe_200),
    ),
    _bug(
        "a later answer clears doubt",
        "No answer is unknown, which is always planned again (6.5, 6.3.3)",
        (f"{SENDER}:_Tally.doubtful", _no_doubt),
        concerns=_repeats,
    ),
    _bug(
        "the lease is not checked before a request",
        "No request is started whose lease check is older than the lease allows (6.3.1)",
        ("reverse_etl.warehouse.lease:Lease.check", _unchecked),
    ),
    _bug(
        "the position is confirmed before the failures",
        "Checkpoint, in this order: the failures since the last one, then the position (6.3.5)",
        (f"{RUN}._checkpoint", _position_first),
        concerns=_is_killed_and_fails,
    ),
    _bug(
        "an unknown delete is dropped",
        "After every run each identity is in step, or in failed_records, or planned (6.1)",
        (f"{SETTLE}:SettleStatements._failures", _drop_unknown_deletes),
        concerns=_fails,
    ),
    _bug(
        "a killed run is not settled",
        "A run left in delivering is first settled up to its confirmed position (6.3.2)",
        (f"{RUN}._settle_killed", _no_settling),
        concerns=_is_killed,
    ),
    _bug(
        "what was in flight at a kill is not logged",
        "Its window above the position is logged as failed, unknown (6.3.2)",
        ("reverse_etl.run:settle", _no_window),
        concerns=_is_killed,
    ),
    _bug(
        "failed records that wait are cleared",
        "A failed record disappears when its identity succeeds later or is no longer wanted (5)",
        (f"{SETTLE}:SettleStatements.collect_settled", _forget_first_failure),
    ),
    _bug(
        "retention drops the last plan",
        "Snapshots and plans are kept, never fewer than correctness needs (5)",
        ("reverse_etl.settle:_old_runs", _drop_the_plan),
    ),
)


# --- the command ---------------------------------------------------------------------------


def main(argv: list[str] | None = None) -> int:
    """Say after how many seeds each bug is caught; return 1 when one is not."""
    parser = argparse.ArgumentParser(prog="python -m reverse_etl.testing.planted")
    parser.add_argument("--find", action="store_true", required=True)
    parser.add_argument("--bug", action="append", help="only this one; may be repeated")
    parser.add_argument("--first", type=int, default=1, help="seed to begin with")
    parser.add_argument("--most", type=int, default=MOST_SEEDS, help="seeds to try")
    parser.add_argument("--write", type=Path, help="JSON file to keep the seeds in")
    parser.add_argument("--shrink", action="store_true", help="and the smallest history found")
    parser.add_argument("--url", help="a PostgreSQL database to play in; its schema ours is lost")
    chosen = parser.parse_args(argv)
    bugs = [bug for bug in BUGS if not chosen.bug or bug.name in chosen.bug]
    missed = 0
    with Place(chosen.url) if chosen.url else duckdb_place() as place:
        for bug in bugs:
            seed = _look_for(bug, place, chosen)
            missed += seed is None
            if chosen.write:
                _keep(chosen.write, bug, seed)
    return 1 if missed else 0


def _look_for(bug: Bug, place: Place, chosen: argparse.Namespace) -> int | None:
    started = time.process_time()
    seed = bug.first_seed(place, range(chosen.first, chosen.first + chosen.most))
    took = time.process_time() - started
    _say(f"{'never' if seed is None else seed:>6}  {took:6.0f} s  {bug.name}")
    if seed is not None:
        with bug.planted():
            history = shrink(generate(seed), place) if chosen.shrink else generate(seed)
            error = violation(history, place)
        what = complaint(history, cast("Exception", error)) if chosen.shrink else repr(error)[:150]
        _say("        " + what)
    return seed


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _keep(path: Path, bug: Bug, seed: int | None) -> None:
    seeds = json.loads(path.read_text()) if path.exists() else {}
    seeds[bug.name] = seed
    known = {b.name: seeds[b.name] for b in BUGS if seeds.get(b.name) is not None}
    path.write_text(json.dumps(known, indent=2) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())

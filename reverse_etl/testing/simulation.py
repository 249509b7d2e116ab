"""The real engine on a real warehouse, against a destination in memory, with everything failing.

A *history* (:mod:`reverse_etl.testing.histories`) is played round by round: each round is one
run, in a world where requests get lost or refused, the warehouse fails statements and the process
dies between any two steps. Then the faults stop, and the promises of the contract are checked.
The same seed gives the same trace, whatever the machine.

Run seeds by hand, and look closely at one::

    python -m reverse_etl.testing.simulation --seeds 1-500
    python -m reverse_etl.testing.simulation --seed 42 --shrink --trace
"""

from __future__ import annotations

import argparse
import hashlib
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Self

from pydantic import SecretStr

import reverse_etl.run as engine
from reverse_etl.config import Config, load_config
from reverse_etl.connector import AccountSettings
from reverse_etl.delivery.limiter import Pacers
from reverse_etl.errors import ReverseEtlError
from reverse_etl.ports import Ports
from reverse_etl.report import RunReport
from reverse_etl.testing.destination import (
    BULK_UPDATE,
    FOREIGN,
    LIST_ID,
    LIST_NAME,
    THEIRS,
    Profile,
    Project,
    Sent,
    Service,
    VirtualClock,
    Wire,
    fault_of,
    is_clearing,
)
from reverse_etl.testing.expected import Expected, expected
from reverse_etl.testing.histories import (
    MAPPINGS,
    History,
    HybridSend,
    Object,
    ProjectType,
    Round,
    Row,
    generate,
    smaller,
)
from reverse_etl.warehouse import warehouse_at
from reverse_etl.warehouse.base import Transaction, Warehouse
from reverse_etl.warehouse.duckdb import DuckDBWarehouse
from reverse_etl.warehouse.lease import Lease
from reverse_etl.warehouse.tables import RunTables

SYNC = "simulated"
RECORDS_PER_REQUEST = 2
MAX_IN_FLIGHT = 2
WINDOW = 3
PAGE_ROWS = 4
LEASE_SECONDS = 30

_MOST_COMPILED = 2_000  # statements kept; some 100 KB each

_FINISHED = ("succeeded", "completed_with_failures")
_SETTLED = (*_FINISHED, "failed", "interrupted")


class Crash(BaseException):
    """The process is dead. No handler of the engine may live on."""


class BrokenPromiseError(AssertionError):
    """A promise of the contract that was not kept."""


def _demand(kept: object, promise: str, *facts: object) -> None:
    if not kept:
        raise BrokenPromiseError(": ".join([promise, *map(str, facts)]))


# --- dying and failing ---------------------------------------------------------------------


class Steps:
    """Counts what a process does, and kills it (or fails a statement) when its time has come."""

    def __init__(
        self,
        played: Round,
        trace: Callable[[str], None],
        coverage: Counter[str],
    ) -> None:
        """Count for one round."""
        self.dead = False
        self._kill_at, self._fail_at = played.killed_at, played.failed_at
        self._trace = trace
        self._coverage = coverage
        self._steps = self._statements = 0

    def step(self, name: str) -> None:
        """Pass a point at which the process may die.

        Raises:
            Crash: It does, or it is dead already.
        """
        if self.dead:
            raise Crash(name)
        self._steps += 1
        if self._steps == self._kill_at:
            self._trace(f"killed at step {self._steps} ({name})")
            self._coverage[f"killed {name}"] += 1
            self.dead = True
            raise Crash(name)

    def fails(self, name: str) -> bool:
        """Pass a point at which the warehouse may fail; return whether it does."""
        self._statements += 1
        if self._statements != self._fail_at:
            return False
        self._trace(f"warehouse fails at {self._statements} ({name})")
        self._coverage[f"failed {name}"] += 1
        return True


def _hook_dialect(dialect: Any, now: Callable[[], Steps]) -> None:  # noqa: ANN401 - SQLAlchemy's
    """Let statements and commits fail, and the process die around a commit."""
    commit, rollback = dialect.do_commit, dialect.do_rollback

    def perhaps_fail(name: str) -> None:
        if now().fails(name):
            raise dialect.dbapi.OperationalError("the simulated warehouse is unwell")

    def do_commit(connection: Any) -> None:  # noqa: ANN401
        now().step("before commit")
        perhaps_fail("before commit")
        commit(connection)
        now().step("after commit")
        perhaps_fail("after commit")

    def do_rollback(connection: Any) -> None:  # noqa: ANN401
        if not now().dead:
            rollback(connection)

    def failing(execute: Callable[..., None]) -> Callable[..., None]:
        def do_execute(*args: Any, **kwargs: Any) -> None:  # noqa: ANN401
            perhaps_fail("statement")
            execute(*args, **kwargs)

        return do_execute

    dialect.do_commit, dialect.do_rollback = do_commit, do_rollback
    for name in ("do_execute", "do_execute_no_params"):
        setattr(dialect, name, failing(getattr(dialect, name)))


class SimulatedRun(engine.Run):
    """A run of the real engine, as a process of its own, with a small window."""

    def __init__(self, config: Config, ports: Ports, options: engine.Options, place: Place) -> None:
        """Bind the run; every run is another process, so it has another owner."""
        super().__init__(config, SYNC, options, ports)
        self._place = place
        clock = ports.clock
        assert isinstance(clock, VirtualClock)
        self.lease = Lease(
            self.warehouse,
            SYNC,
            seconds=config.engine.lease_seconds,
            clock=clock,
            owner=f"process at {clock.monotonic()}",
        )
        self.window = WINDOW
        place.inhabit(self.warehouse)

    def give_lease_back(self) -> None:
        """A dead process gives nothing back."""
        if not self._place.steps.dead:
            super().give_lease_back()


# --- playing -------------------------------------------------------------------------------


@dataclass
class Played:
    """What playing a history came to.

    Attributes:
        trace: Everything that happened, in order.
        coverage: How often each interesting thing happened.
    """

    trace: list[str] = field(default_factory=list)
    coverage: Counter[str] = field(default_factory=Counter)

    def digest(self) -> str:
        """Return a hash of the trace."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()


class Place:
    """A warehouse that histories are played in, one after the other.

    One SQLAlchemy engine serves all of them, because it keeps the statements that it has
    compiled. What a dead process had not committed is lost all the same: its connections are
    closed. The database stays open in between, since opening a file takes longer than a run.

    Attributes:
        url: SQLAlchemy URL of the warehouse.
        clock: Also its clock.
        steps: Of the process that is running now.
    """

    schema = "ours"

    def __init__(self, url: str) -> None:
        """Name the warehouse."""
        self.url = url
        self.clock = VirtualClock()
        self.steps = Steps(Round(()), lambda _: None, Counter())
        self.warehouse = warehouse_at(url, self.schema, self.clock)
        self._compiled: dict[Any, Any] = {}
        self._engine: Any = None

    def __enter__(self) -> Self:
        """Open the warehouse."""
        self.warehouse.open()
        self._engine = self.warehouse.engine.execution_options(compiled_cache=self._compiled)
        _hook_dialect(self._engine.dialect, lambda: self.steps)
        if self.warehouse.lock_proves_lease:
            self._say("SET threads = 1")
        return self

    def __exit__(self, *_: object) -> None:
        """Close the warehouse."""
        self.warehouse.close()

    def empty(self) -> None:
        """Forget the history before."""
        self.steps = Steps(Round(()), lambda _: None, Counter())
        if len(self._compiled) > _MOST_COMPILED:
            self._compiled.clear()
        self._say(f"DROP SCHEMA IF EXISTS {self.schema} CASCADE")

    def _say(self, statement: str) -> None:
        with self.warehouse.transaction() as tx:
            tx.connection.exec_driver_sql(statement)

    def inhabit(self, warehouse: Warehouse) -> None:
        """Let the warehouse of a run live here: in virtual time, and as mortal as its process."""
        transaction = warehouse.transaction

        @contextmanager
        def mortal() -> Iterator[Transaction]:
            if self.steps.dead:
                raise Crash("transaction")
            with transaction() as tx:
                yield tx

        warehouse.make_engine = lambda: self._engine  # type: ignore[method-assign]
        warehouse.transaction = mortal  # type: ignore[method-assign]
        if not warehouse.lock_proves_lease:
            # A server has a clock of its own; here all clocks are the one that never waits.
            embedded: Any = DuckDBWarehouse
            warehouse.now_expression = partial(embedded.now_expression, warehouse)  # type: ignore[method-assign]
            warehouse.after_now = partial(embedded.after_now, warehouse)  # type: ignore[method-assign]


def play(history: History, place: Place, played: Played | None = None) -> Played:
    """Play a history, check the promises after every round, then let the faults stop.

    Raises:
        BrokenPromiseError: A promise was not kept.
    """
    player = Player(history, place, played or Played())
    place.empty()
    for number, each in enumerate(history.rounds, 1):
        player.play(number, each)
        player.check_round(number)
    calm = history.rounds[-1].calm()
    first = player.play(len(history.rounds) + 1, calm)
    player.check_round(len(history.rounds) + 1)
    player.check_converged(calm, first)
    second = player.play(len(history.rounds) + 2, calm)
    player.check_quiet(second)
    return player.played


@dataclass
class _Run:
    """One played round: what was sent in it, and what it reported."""

    number: int
    round: Round
    expected: Expected
    run_id: int | None = None
    report: RunReport | None = None
    sent: list[Sent] = field(default_factory=list)
    refused_key: set[int] = field(default_factory=set)


class Player:
    """Plays the rounds of one history against one destination."""

    def __init__(self, history: History, place: Place, played: Played) -> None:
        """Make an empty destination with one foreign member."""
        self.history = history
        self.place = place
        self.played = played
        self.clock = place.clock = place.warehouse.clock = VirtualClock()
        lists = {} if history.by_name else {LIST_ID: LIST_NAME}
        self.project = Project(history.project_type, lists)
        user_id = "foreign" if history.project_type != "email" else None
        self.foreign = Profile(FOREIGN, user_id, {**THEIRS, "plan": 9, "tier": "x", "level": 9})
        self.untouched = dict(self.foreign.fields)
        self.project.profiles.append(self.foreign)
        self.project.members.append(self.foreign)
        self.runs: dict[int, _Run] = {}
        self.ever_wanted: set[str] = set()
        self.written: dict[str, set[str]] = {}
        self.open: set[str] = set()
        self.committed = 0

    def trace(self, line: str) -> None:
        """Write down what happens."""
        self.played.trace.append(line)

    def play(self, number: int, played: Round) -> _Run:
        """Play one round: one run of one process."""
        self.clock.sleep(3_600)
        self.trace(f"round {number}")
        run = _Run(number, played, expected(self.history, played))
        self.ever_wanted |= set(run.expected.people)
        steps = self.place.steps = Steps(played, self.trace, self.played.coverage)
        wires: list[Wire] = []

        def transport(_account: AccountSettings) -> Wire:
            seed = f"{self.history.seed}/{number}"
            service = Service(
                self.project, played.faults, played.poison, seed, self.played.coverage
            )
            wires.append(Wire(service, self.clock, steps.step, self.trace))
            return wires[-1]

        def stop() -> bool:
            limit = played.stop_after
            return limit is not None and sum(len(w.sent) for w in wires) >= limit

        ports = Ports(
            clock=self.clock,
            rng=random.Random(f"{self.history.seed}/{number}"),
            pacers=Pacers(self.clock),
            transport=transport,
            stop=stop,
        )
        options = engine.Options(full=played.full, allow_deletes=played.allow_deletes)
        made = SimulatedRun(self._config(played), ports, options, self.place)
        try:
            with _small_pages():
                run.report = made.execute()
        except Crash:
            self.trace("crashed")
        except ReverseEtlError as error:
            _demand(played.failed_at, "a run raises only when the warehouse fails", error)
            self.trace(f"raised {error.code}: {error}")
        self.place.steps = Steps(Round(()), self.trace, self.played.coverage)
        run.run_id = made.run_id or None
        run.sent = [sent for wire in wires for sent in wire.sent]
        if run.run_id is not None:
            self.runs[run.run_id] = run
        self._note(run, wires)
        return run

    def _note(self, run: _Run, wires: list[Wire]) -> None:
        coverage = self.played.coverage
        if run.report is not None:
            self.trace(f"report {run.report.document()}")
            coverage[f"status {run.report.status}"] += 1
            for operation, count in run.report.planned.items():
                coverage[f"planned {operation.value}"] += count
            coverage["plans not empty"] += any(run.report.planned.values())
            if not any(run.report.planned.values()):
                _demand(not run.sent, "a run with nothing planned makes no request", run.number)
            if run.report.error_code in {"warehouse_error", "source_error"}:
                blamed = run.round.failed_at
                _demand(blamed, "the warehouse fails only when told", run.report.error)
            if run.report.status == "held":
                _demand(not run.sent, "a held run sends nothing", run.number)
        coverage["requests"] += len(run.sent)
        self._note_cleared(run)
        for wire in wires:
            _demand(wire.most_in_flight <= MAX_IN_FLIGHT, "no more requests in flight than allowed")
        _check_requests(run)

    def _note_cleared(self, run: _Run) -> None:
        coverage = self.played.coverage
        people = [p for sent in run.sent if sent.path == BULK_UPDATE for p in sent.people]
        coverage["profiles written"] += len(people)
        for person in filter(is_clearing, people):
            coverage["profiles cleared"] += 1
            older = person["dataFields"].keys() - MAPPINGS[run.round.mapping].keys()
            coverage["older fields cleared"] += bool(older)

    def _config(self, played: Round) -> Config:
        return _config(self.history, played, self.place)

    # --- looking ---------------------------------------------------------------------------

    @contextmanager
    def looking(self) -> Iterator[_Books]:
        """Open our tables to look at them."""
        with self.place.warehouse.transaction() as tx:
            yield _Books(tx)

    def check_round(self, number: int) -> None:
        """Check what must hold after every run, also after one that was killed."""
        with self.looking() as books:
            if not books.ready():
                return
            self.note_written(books)
            check_nothing_lost(self, books)
            check_log(self, books)
        _demand(self.foreign in self.project.members, "foreign members are untouched", number)
        _demand(self.foreign.fields == self.untouched, "foreign profiles are untouched", number)
        for profile in self.project.profiles:
            theirs = {name: profile.fields.get(name) for name in THEIRS}
            _demand(theirs == THEIRS, "foreign fields are untouched", number, profile)

    def note_written(self, books: _Books) -> None:
        """Work out which fields of a profile the engine has to know, once a run committed.

        Those of the mapping; and while the changes of a person stay open from run to run, also
        those of the mappings before. Who left while profiles are kept is no longer ours.
        """
        state = books.state()
        if state is None or state.committed_run_id in {None, self.committed}:
            return
        self.committed = state.committed_run_id
        run = self.runs[state.committed_run_id]
        residue = {row.identity for row in books.residue(state.committed_run_id)}
        now_open = books.open_changes(state) | set(books.failed()) | residue
        sent = set(MAPPINGS[run.round.mapping])
        for identity in run.expected.people:
            stayed_open = identity in self.open & now_open
            before = self.written.get(identity, set()) if stayed_open else set()
            self.written[identity] = before | sent
        self.open = now_open
        if (run.round.mode, run.round.on_delete) == ("mirror", "keep"):
            self.written = {
                i: names for i, names in self.written.items() if i in run.expected.people
            }

    def check_converged(self, calm: Round, run: _Run) -> None:
        """Check that one clean run made the destination equal to the query."""
        report = run.report
        _demand(report is not None, "a clean run ends in order")
        assert report is not None
        _demand(report.status in _FINISHED, "a clean run finishes", report.status, report.error)
        with self.looking() as books:
            failed = books.failed()
            kept = _kept(books, run)
            check_equal(self, calm, run, set(failed), kept)
            _check_failed_records(calm, run, failed)

    def check_quiet(self, run: _Run) -> None:
        """Check that the run after a clean one sends nothing."""
        with self.looking() as books:
            again = [f for f in books.failed().values() if f.retryable and run.round.retry]
        if not again:
            _demand(not run.sent, "the second clean run sends nothing", run.sent)
            report = run.report
            _demand(report and not any(report.planned.values()), "it plans nothing", report)


def _config(history: History, played: Round, place: Place) -> Config:
    """Return the config of a round: read from a file once, then changed in what rounds differ."""
    name = history.by_name
    loaded = _loaded(
        history.object, history.project_type, history.hybrid_send, played.mapping, by_name=name
    )
    sync, account = loaded.syncs[SYNC], loaded.destinations["d"]
    source = sync.source.model_copy(update={"query": _query(played.rows), "table": None})
    destination = sync.destination
    if history.object == "user":
        destination = destination.model_copy(update={"on_delete": played.on_delete})
    changed = {
        "source": source,
        "destination": destination,
        "mode": played.mode,
        "retry_failed_records": played.retry,
        "max_delete_percent": played.max_delete_percent,
    }
    warehouse = loaded.warehouses["w"].model_copy(
        update={"url": SecretStr(place.url), "schema_name": place.schema},
    )
    return replace(
        loaded,
        warehouses={"w": warehouse},
        destinations={"d": account.model_copy(update={"retry_seconds": played.retry_seconds})},
        syncs={SYNC: sync.model_copy(update=changed)},
    )


@cache
def _loaded(
    synced: Object, kind: ProjectType, hybrid_send: HybridSend, mapping: str, *, by_name: bool
) -> Config:
    hybrid = f"\n    hybrid_send: {hybrid_send}" if kind == "hybrid" else ""
    chosen = f"{{name: {LIST_NAME}}}" if by_name else f"{{id: {LIST_ID}}}"
    target = f", list: {chosen}" if synced == "list" else ""
    identifiers = {
        "email": "{email: email}",
        "user_id": "{userId: user_id}",
        "hybrid": "{userId: user_id, email: email}",
    }[kind]
    mapped = ", ".join(f"{name}: {column}" for name, column in MAPPINGS[mapping].items())
    text = f"""
warehouses: {{w: {{url: "duckdb:///unused.duckdb"}}}}
destinations:
  d:
    type: iterable
    api_key: simulated
    project_type: {kind}{hybrid}
    requests_per_second: 0
    max_in_flight: {MAX_IN_FLIGHT}
    records_per_request: {RECORDS_PER_REQUEST}
engine: {{lease_seconds: {LEASE_SECONDS}, checkpoint_seconds: 1}}
syncs:
  {SYNC}:
    source: {{warehouse: w, table: replaced, primary_key: id}}
    destination: {{name: d, object: {synced}{target}}}
    identifiers: {identifiers}
    fields: {{{mapped}}}
"""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config.yaml")
        path.write_text(text)
        return load_config(path, {})


_TYPES = {"id": "integer", "email": "text", "user_id": "text", "plan": "integer", "tier": "text"}


def _query(rows: tuple[Row, ...]) -> str:
    """Return a query that says just these rows."""
    chosen = [
        "select " + ", ".join(_cell(row, name, kind) for name, kind in _TYPES.items())
        for row in rows or (Row(None, None, None, None, None),)
    ]
    return " union all ".join(chosen) + ("" if rows else " where false")


def _cell(row: Row, name: str, kind: str) -> str:
    value = getattr(row, name)
    shown = "null" if value is None else str(value) if kind == "integer" else f"'{value}'"
    return f"cast({shown} as {kind}) as {name}"


@contextmanager
def _small_pages() -> Iterator[None]:
    before, engine.PAGE_ROWS = engine.PAGE_ROWS, PAGE_ROWS
    try:
        yield
    finally:
        engine.PAGE_ROWS = before


# --- our tables ----------------------------------------------------------------------------


class _Books:
    """Our tables, read."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._tables = tx.warehouse.tables

    def ready(self) -> bool:
        """Return whether there is anything to look at."""
        return self._tx.warehouse.is_prepared(self._tx.connection)

    def failed(self) -> Mapping[str, Any]:
        """Return the failed records by identity."""
        rows = self._tx.rows(self._tables.failed.select())
        _demand(len({row.identity for row in rows}) == len(rows), "one failed record each", rows)
        return {row.identity: row for row in rows}

    def runs(self) -> list[Any]:
        """Return the rows of sync_runs."""
        return list(self._tx.rows(self._tables.runs.select()))

    def log(self) -> list[Any]:
        """Return the sync log."""
        return list(self._tx.rows(self._tables.log.select()))

    def residue(self, run_id: int) -> list[Any]:
        """Return who stays as residue of a run."""
        rows = self._tx.rows(self._tables.residue.select())
        return [row for row in rows if row.sync_run_id == run_id]

    def state(self) -> Any:  # noqa: ANN401 - a row
        """Return the row of the sync, or None."""
        rows = self._tx.rows(self._tables.state.select())
        return rows[0] if rows else None

    def open_changes(self, state: Any) -> set[str]:  # noqa: ANN401 - a row
        """Return the identities of the last plan whose change is not confirmed."""
        _, changes, outcomes = self.committed(state.committed_run_id)
        failed = {o.seq for o in outcomes if o.status == "failed"}
        return {c[3] for c in changes if c[0] > state.position or c[0] in failed}

    def committed(self, run_id: int) -> tuple[set[str], list[Any], list[Any]]:
        """Return identities of the snapshot, changes and outcomes of a committed run."""
        tables = RunTables(SYNC, run_id, self._tx.warehouse.schema, (), ())
        snapshot = {row[0] for row in self._tx.rows(tables.snapshot.select())}
        changes = list(self._tx.rows(tables.changes.select()))
        return snapshot, changes, list(self._tx.rows(tables.outcomes.select()))


# --- the promises --------------------------------------------------------------------------


def _check_requests(run: _Run) -> None:
    upserted = False
    for sent in run.sent:
        if sent.path == "/api/lists":
            continue
        _demand(0 < len(sent.people) <= RECORDS_PER_REQUEST, "requests within limits", sent)
        names = [(p.get("email"), p.get("userId")) for p in sent.people]
        _demand(len(set(names)) == len(names), "an identity once per request", sent)
        if sent.is_delete:
            clears = sent.path == BULK_UPDATE
            key, value = ("createNewFields" if clears else "channelUnsubscribe"), False
            _demand(sent.body.get(key) is value, f"{key} is false", sent)
            _demand(not upserted, "deletes go before upserts", run.number)
            _demand(run.round.mode == "mirror", "upsert removes nobody", run.number, sent)
            kept = clears and run.round.on_delete == "keep"
            _demand(not kept, "on_delete: keep clears nothing", run.number, sent)
            alone = all(len(person.keys() & {"email", "userId"}) == 1 for person in sent.people)
            _demand(alone, "a delete carries the identity alone", sent)
            _demand(not clears or all(map(is_clearing, sent.people)), "one kind per batch", sent)
        else:
            upserted = True


def _named(player: Player, person: Mapping[str, Any]) -> str:
    """Return the identity of a subscriber object as our tables write it."""
    if player.history.project_type != "hybrid":
        return str(person.get("userId") or person.get("email"))
    if person.get("userId"):
        return f"userId:{person['userId']}"
    return f"email:{person['email']}"


def _profile(player: Player, identity: str) -> Profile | None:
    kind = player.history.project_type
    if kind == "email":
        return player.project.find(email=identity)
    if kind == "user_id":
        return player.project.find(user_id=identity)
    name, _, value = identity.partition(":")
    if name == "userId":
        return player.project.find(user_id=value)
    return player.project.find(email=value)


def check_nothing_lost(player: Player, books: _Books) -> None:
    """Each identity is in step, or failed, or planned above the confirmed position."""
    state = books.state()
    if state is None or state.committed_run_id is None:
        return
    snapshot, changes, _ = books.committed(state.committed_run_id)
    run = player.runs[state.committed_run_id]
    wanted = set(run.expected.people)
    _demand(snapshot == wanted, "the snapshot holds the identities of the query", snapshot, wanted)
    _demand(len({c[3] for c in changes}) == len(changes), "one change per identity", changes)
    residue = {row.identity for row in books.residue(state.committed_run_id)}
    excused = books.open_changes(state) | set(books.failed()) | residue
    for identity in player.ever_wanted - excused:
        found = _profile(player, identity)
        there = _is_there(player, identity, found, wanted)
        if identity in wanted:
            _demand(there, "nobody is lost silently: not at the destination", identity)
            _check_values(player, identity, found, run)
        elif player.history.project_type != "hybrid":
            _demand(not there, "nobody is lost silently: still at the destination", identity)
        elif there and found is not None:
            _demand(_held_or_excused(found, run, excused), "still at the destination", identity)


def _is_there(
    player: Player, identity: str, profile: Profile | None, wanted: Collection[str]
) -> bool:
    """Whether somebody is on the list; or has a profile, with fields of ours if not wanted."""
    if player.history.object == "list":
        return profile in player.project.members
    if profile is None or identity in wanted:
        return profile is not None
    return bool(profile.fields.keys() & player.written.get(identity, ()))


def _check_values(player: Player, identity: str, profile: Profile | None, run: _Run) -> None:
    """The mapped fields have the values of the source, except the NULLs, which are skipped."""
    history = player.history
    if profile is None or (history.project_type, history.hybrid_send) == ("hybrid", "both"):
        return
    for name, value in run.expected.people[identity].values.items():
        same = profile.fields.get(name) == value
        _demand(same, "values", identity, name, value, profile.fields)


def _held_or_excused(profile: Profile, run: _Run, excused: set[str]) -> bool:
    names = {f"email:{profile.email}", f"userId:{profile.user_id}"}
    return bool(names & (run.expected.held | excused))


def check_log(player: Player, books: _Books) -> None:
    """Every tried change has its line; counters equal the log."""
    lines: dict[int, list[Any]] = {}
    for line in books.log():
        lines.setdefault(line.sync_run_id, []).append(line)
    for row in books.runs():
        of_run = [
            line
            for line in lines.get(row.sync_run_id, [])
            if not line.identity.startswith("row:") and line.error_code != "duplicate_identity"
        ]
        names = [line.identity for line in of_run]
        _demand(len(set(names)) == len(names), "one line per change", row.sync_run_id, names)
        if row.status in _SETTLED:
            _check_counters(row, of_run)
            _check_tried(player, row.sync_run_id, of_run)


def _check_counters(row: Any, lines: list[Any]) -> None:  # noqa: ANN401 - a row
    for operation in ("insert", "update", "delete"):
        for status in ("succeeded", "failed"):
            said = getattr(row, f"{operation}s_{status}")
            logged = sum(x.operation == operation and x.status == status for x in lines)
            what = f"{operation}s_{status} of run {row.sync_run_id}"
            _demand(said == logged, "counters equal the log", what, said, logged)
        if row.status in _FINISHED:
            planned = getattr(row, f"{operation}s_planned")
            done = getattr(row, f"{operation}s_succeeded") + getattr(row, f"{operation}s_failed")
            _demand(planned == done, "planned = succeeded + failed", row.sync_run_id, operation)


def _check_tried(player: Player, run_id: int, lines: list[Any]) -> None:
    run = player.runs.get(run_id)
    if run is None:
        return
    logged = {(line.identity, line.operation == "delete") for line in lines}
    untried = _untried(player, run)
    for sent in run.sent:
        for person in sent.people:
            key = (_named(player, person), sent.is_delete)
            if key not in untried:
                _demand(key in logged, "every tried change has a line", run_id, key, logged)


def _untried(player: Player, run: _Run) -> set[tuple[str, bool]]:
    """Return the changes of the batches that the API ended with a refused key."""
    refused = [s for s in run.sent if fault_of(run.round.faults, s.number) == "unauthorized"]
    found: set[tuple[str, bool]] = set()
    for sent in refused:
        deleted = sent.is_delete
        found |= {(_named(player, person), deleted) for person in sent.people}
    for sent in run.sent:  # a batch that was narrowed before
        keys = {(_named(player, p), sent.is_delete) for p in sent.people}
        found |= keys if keys & found else set()
    return found


def _kept(books: _Books, run: _Run) -> set[str]:
    """Return the residue that a current row gives reason for (§6.2 d)."""
    return {
        row.identity
        for row in books.residue(run.run_id or 0)
        if {row.identity, f"email:{row.alias}"} & run.expected.held
    }


def check_equal(player: Player, calm: Round, run: _Run, failed: set[str], kept: set[str]) -> None:
    """The destination is equal to the valid identities of the query."""
    wanted = run.expected.people
    for identity in wanted:
        if identity in failed:
            continue
        found = _profile(player, identity)
        _demand(_is_there(player, identity, found, wanted), "converged: missing", identity)
        _check_values(player, identity, found, run)
    if calm.mode == "upsert":
        return
    ours = [profile for profile in _of_ours(player, wanted) if profile is not player.foreign]
    for profile in ours:
        _demand(_justified(player, profile, run, failed | kept), "converged: extra", profile)


def _of_ours(player: Player, wanted: Collection[str]) -> list[Profile]:
    """Return who is on the list, or has fields of ours without being wanted."""
    if player.history.object == "list":
        return player.project.members
    found = [(identity, _profile(player, identity)) for identity in player.written]
    return [p for i, p in found if p and i not in wanted and _is_there(player, i, p, wanted)]


def _justified(player: Player, profile: Profile, run: _Run, excused: set[str]) -> bool:
    kind = player.history.project_type
    if kind != "hybrid":
        name = profile.email if kind == "email" else profile.user_id
        return name in run.expected.people or name in excused
    names = {f"email:{profile.email}", f"userId:{profile.user_id}"}
    return bool(names & (run.expected.held | excused))


def _check_failed_records(calm: Round, run: _Run, failed: Mapping[str, Any]) -> None:
    """What a clean run leaves in failed_records is permanent, or fresh, or waits for a setting."""
    unidentified = {i for i, f in failed.items() if f.unidentified}
    _demand(unidentified == run.expected.invalid, "the rows without identifier", unidentified)
    for record in failed.values():
        fresh = record.last_failed_run_id == run.run_id
        waits = record.error_code != "unknown" and not (record.retryable and calm.retry)
        _demand(fresh or waits, "a failure that was due was tried", record)


# --- seeds ---------------------------------------------------------------------------------


@contextmanager
def duckdb_place() -> Iterator[Place]:
    """Yield a place in a new DuckDB file, in memory where the machine has such a folder."""
    memory = Path("/dev/shm")  # noqa: S108 - only a faster place for a private folder
    folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    try:
        with Place(f"duckdb:///{folder / 'w.duckdb'}") as place:
            yield place
    finally:
        shutil.rmtree(folder)


def complaint(history: History, error: Exception) -> str:
    """Return what went wrong, with all that is needed to see it again."""
    command = f"python -m reverse_etl.testing.simulation --seed {history.seed} --shrink --trace"
    return f"{type(error).__name__}: {error}\n{history.text()}\nrerun: {command}"


def violation(history: History, place: Place, played: Played | None = None) -> Exception | None:
    """Play a history; return what went wrong, or None."""
    try:
        play(history, place, played)
    except Exception as error:  # noqa: BLE001 - whatever the engine raises is a finding
        return error
    return None


def shrink(history: History, place: Place) -> History:
    """Return the smallest history found that still goes wrong in the same way."""
    kind = _kind(violation(history, place))
    while True:
        for candidate in smaller(history):
            if candidate.rounds and _kind(violation(candidate, place)) == kind:
                history = candidate
                break
        else:
            return history


def _kind(error: Exception | None) -> str:
    return "" if error is None else f"{type(error).__name__} {str(error).partition(':')[0]}"


def main(argv: list[str] | None = None) -> int:
    """Play seeds from the command line; return 1 when one goes wrong."""
    parser = argparse.ArgumentParser(prog="python -m reverse_etl.testing.simulation")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds", default="1-100", help="first-last")
    parser.add_argument("--url", help="a PostgreSQL database to play in; its schema ours is lost")
    parser.add_argument("--shrink", action="store_true")
    parser.add_argument("--trace", action="store_true")
    chosen = parser.parse_args(argv)
    first, _, last = chosen.seeds.partition("-")
    seeds = [chosen.seed] if chosen.seed is not None else range(int(first), int(last) + 1)
    coverage: Counter[str] = Counter()
    with Place(chosen.url) if chosen.url else duckdb_place() as place:
        wrong = sum(_look_at(seed, place, chosen, coverage) for seed in seeds)
    sys.stdout.write(f"{len(seeds)} seeds, {wrong} wrong\n")
    for name, count in sorted(coverage.items()):
        sys.stdout.write(f"{count:8} {name}\n")
    return 1 if wrong else 0


def _look_at(seed: int, place: Place, chosen: argparse.Namespace, coverage: Counter[str]) -> bool:
    """Play a seed and say what went wrong; return whether anything did."""
    history, played = generate(seed), Played()
    error = violation(history, place, played)
    coverage.update(played.coverage)
    if error is None:
        return False
    again = Played()
    if chosen.shrink:
        history = shrink(history, place)
        error = violation(history, place, again) or error
    sys.stdout.write(f"{complaint(history, error)}\n\n")
    if chosen.trace:
        sys.stdout.write("\n".join((again if chosen.shrink else played).trace) + "\n")
    sys.stdout.flush()
    return True


if __name__ == "__main__":
    raise SystemExit(main())

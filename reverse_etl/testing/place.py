"""Where histories are played: a warehouse that fails, and processes that die in it.

Everything runs in virtual time. A :class:`Place` holds one warehouse for many histories; a
:class:`SimulatedRun` is a run of the real engine there, as a process of its own.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import duckdb
import sqlalchemy as sa
from sqlalchemy.pool import QueuePool

import reverse_etl.run as engine
from reverse_etl.config import Config
from reverse_etl.errors import Busy, LeaseLost, WarehouseError
from reverse_etl.ports import Ports
from reverse_etl.testing.destination import VirtualClock
from reverse_etl.testing.histories import Round, When
from reverse_etl.testing.loose import make_known
from reverse_etl.warehouse import warehouse_at
from reverse_etl.warehouse.base import Transaction, Warehouse
from reverse_etl.warehouse.duckdb import DuckDBWarehouse
from reverse_etl.warehouse.duckdb_dialect import DuckDBConnection
from reverse_etl.warehouse.lease import Lease

SYNC = "simulated"
RECORDS_PER_REQUEST = 2
MAX_IN_FLIGHT = 2
WINDOW = 5
PAGE_ROWS = 4
LEASE_SECONDS = 30

_MOST_COMPILED = 2_000  # statements kept; some 100 KB each
_MOST_PARSED = 5_000

# How long a statement of one process waits for the locks of another, which stands still.
_LOCK_WAIT_MS = 50


class Crash(BaseException):
    """The process is dead. No handler of the engine may live on."""


# --- dying and failing ---------------------------------------------------------------------


class Steps:
    """Counts what a process does, and kills it (or fails a statement) when its time has come.

    Attributes:
        dead: Whether the process is.
        in_turn: Whether its other threads have to wait.
        phase: Which part of a run it is in.
    """

    def __init__(
        self,
        played: Round,
        trace: Callable[[str], None],
        coverage: Counter[str],
        beside: Callable[[int], None] | None = None,
    ) -> None:
        """Count for one round.

        Args:
            played: The round.
            trace: Told what happens.
            coverage: Counts it.
            beside: Plays what the round says happens beside it, given by its place there.
        """
        self.dead = self.in_turn = False
        self.phase = "lease"
        self._kill_at, self._fail_at, self._outages = (
            played.killed_at,
            played.failed_at,
            played.outages,
        )
        self._waiting = {n: each.at for n, each in enumerate(played.meanwhile) if beside}
        self._beside = beside
        self._trace = trace
        self._coverage = coverage
        self._steps = self._statements = 0
        self._passed: Counter[str] = Counter()

    def step(self, name: str) -> None:
        """Pass a point at which the process may die; ``before`` or ``after``, and what.

        Raises:
            Crash: It does, or it is dead already.
        """
        if self.dead:
            raise Crash(name)
        self._steps += 1
        moment, _, what = name.partition(" ")
        named = f"{moment} {self.phase}: {what}" if what else f"{self.phase}: {name}"
        self._passed[named] += 1
        if self._is_at(self._kill_at, self._steps, named):
            self._trace(f"killed at step {self._steps} ({named})")
            self._coverage[f"killed {named}"] += 1
            self.dead = True
            raise Crash(named)
        # Between the check of the lease and the start of a request nothing can be proven; and a
        # rival would wait for its turn, where the threads of a process take turns.
        if self._waiting and name != "before request" and not self.in_turn:
            self._play_what_is_due(named)

    def _play_what_is_due(self, named: str) -> None:
        for n, at in list(self._waiting.items()):
            due = self._steps >= at if isinstance(at, int) else self._is_at(at, 0, named)
            if due and self._beside is not None:
                del self._waiting[n]
                self._trace(f"meanwhile at step {self._steps} ({named})")
                self._beside(n)

    def _is_at(self, at: When | None, number: int, named: str) -> bool:
        if isinstance(at, str):
            name, _, nth = at.partition("#")
            return named == name and self._passed[named] == int(nth or 1)
        return at == number

    def fails(self, name: str) -> bool:
        """Pass a point at which the warehouse may fail; return whether it does."""
        self._statements += 1
        number, named = self._statements, f"{self.phase}: {name}"
        self._passed[named] += 1
        out = any(0 <= number - each.first < each.count for each in self._outages)
        if not out and not self._is_at(self._fail_at, number, named):
            return False
        self._trace(f"warehouse fails at {number} ({named})")
        self._coverage[f"failed {named}"] += 1
        return True


_NAMED = re.compile(
    r"\b(?:table|into|update|from|view|analyze|index on)\s+(?:if (?:not )?exists\s+)?"
    r'(?:"?ours"?\.)?"?([a-z_]+?)(?:_simulated(?:_\d+)?)?"?(?=[\s(;]|$)',
    re.IGNORECASE,
)


@lru_cache(maxsize=_MOST_PARSED)
def kind_of(statement: str) -> str:
    """Return the verb of a statement and the kind of table that it is about."""
    verb = statement.split(None, 1)[0].lower()
    found = _NAMED.search(statement)
    return f"{verb} {found[1].lower()}" if found else verb


def _hook_dialect(dialect: Any, now: Callable[[], Steps]) -> None:  # noqa: ANN401 - SQLAlchemy's
    """Let statements and commits fail, and the process die around each."""
    commit = dialect.do_commit

    def perhaps_fail(name: str) -> None:
        if now().fails(name):
            raise dialect.dbapi.OperationalError("the simulated warehouse is unwell")

    def do_commit(connection: Any) -> None:  # noqa: ANN401
        now().step("before commit")
        perhaps_fail("commit")
        commit(connection)
        now().step("after commit")
        perhaps_fail("commit unheard")

    def failing(execute: Callable[..., None]) -> Callable[..., None]:
        def do_execute(cursor: Any, statement: str, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
            kind = kind_of(statement)
            now().step(f"before {kind}")
            perhaps_fail(kind)
            execute(cursor, statement, *args, **kwargs)
            now().step(f"after {kind}")

        return do_execute

    dialect.do_commit = do_commit
    for name in ("do_execute", "do_execute_no_params"):
        setattr(dialect, name, failing(getattr(dialect, name)))


# --- a run ---------------------------------------------------------------------------------


class SimulatedRun(engine.Run):
    """A run of the real engine, as a process of its own, with a small window.

    Attributes:
        process: Names the process.
    """

    def __init__(
        self,
        config: Config,
        ports: Ports,
        options: engine.Options,
        place: Place,
        process: str | None = None,
    ) -> None:
        """Bind the run; every run is another process, unless one is named."""
        super().__init__(config, SYNC, options, ports)
        self._place = place
        clock = ports.clock
        assert isinstance(clock, VirtualClock)
        self.process = process or place.new_process()
        self._heartbeat, self._beats = config.engine.heartbeat, False
        self._beaten_at = 0.0
        self.lease = Lease(
            self.control,
            SYNC,
            seconds=config.engine.lease_seconds,
            clock=clock,
            owner=self.process,
        )
        self.window, self.page_rows = WINDOW, PAGE_ROWS
        for name in _PHASES:
            setattr(self, name, self._phased(name.strip("_"), getattr(self, name)))
        place.inhabit(self.warehouse, self.process)

    def _phased(self, name: str, part: Callable[..., Any]) -> Callable[..., Any]:
        """Return a part of the run that says so to the steps."""

        def phased(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the part
            steps = self._place.steps
            before, steps.phase = steps.phase, name
            try:
                return part(*args, **kwargs)
            finally:
                steps.phase = before

        return phased

    def give_lease_back(self) -> None:
        """A dead process gives nothing back."""
        if not self._place.steps.dead:
            super().give_lease_back()

    @contextmanager
    def heartbeat(self) -> Iterator[None]:
        """Beat while the wire is waited for: no other time passes, see :meth:`beat`."""
        self._beats = not self.control.capabilities.lock_proves_lease
        self._beaten_at = self.ports.clock.monotonic()
        try:
            yield
        finally:
            self._beats = False

    def beat(self) -> None:
        """Renew the lease when it is time, as the heartbeat's own thread would."""
        now = self.ports.clock.monotonic()
        if not self._beats or now - self._beaten_at < self._heartbeat:
            return
        self._beaten_at = now
        try:
            self.lease.renew()
        except LeaseLost:
            self._beats = False
        except WarehouseError:
            return


_PHASES = (
    *("examine", "recover", "begin", "plan", "_commit", "end_unplanned"),
    *("deliver", "settle", "retain", "give_lease_back", "beat"),
)


# --- the warehouse -------------------------------------------------------------------------


class _Parsed:
    """A DuckDB connection that parses a statement once: its parser takes half of a small one."""

    def __init__(self, native: duckdb.DuckDBPyConnection, known: dict[str, Any]) -> None:
        """Wrap a connection; several share what is known."""
        self._native = native
        self._known = known

    def execute(self, statement: str, *parameters: Any) -> Any:  # noqa: ANN401 - the driver's
        """Run a statement."""
        parsed = self._known.get(statement)
        if parsed is None:
            (parsed,) = duckdb.extract_statements(statement)
            if len(self._known) > _MOST_PARSED:
                self._known.clear()
            self._known[statement] = parsed
        return self._native.execute(parsed, *parameters)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as the connection
        """Be the connection in all else."""
        return getattr(self._native, name)


class Place:
    """A warehouse that histories are played in, one after the other.

    What a dead process had not committed is lost: its connections are closed. The databases stay
    open in between, since opening a file takes longer than a run.

    Attributes:
        url: SQLAlchemy URL of the warehouse.
        control_url: Of its control database, if it has one.
        clock: Also its clock.
        steps: Of the process that is running now.
        warehouse: To look at what is there.
    """

    schema = "ours"

    def __init__(self, url: str, control_url: str | None = None) -> None:
        """Name the warehouse."""
        self.url, self.control_url = url, control_url
        self.clock = VirtualClock()
        self.steps = Steps(Round(()), lambda _: None, Counter())
        self._processes = 0
        home = _Database(self, url)
        self.warehouse = home.warehouse
        self._databases = [home]
        if control_url is not None:
            control = _Database(self, control_url)
            self.warehouse.keep_control_in(control.warehouse)
            self._databases.append(control)

    def __enter__(self) -> Self:
        """Open the databases."""
        for each in self._databases:
            each.open()
        return self

    def __exit__(self, *_: object) -> None:
        """Close them."""
        for each in self._databases:
            each.warehouse.close()

    def new_process(self) -> str:
        """Return the name of a process that there never was."""
        self._processes += 1
        return f"process {self._processes}"

    def empty(self) -> None:
        """Forget the history before."""
        self.steps = Steps(Round(()), lambda _: None, Counter())
        for each in self._databases:
            each.empty()

    def start(self) -> VirtualClock:
        """Return a new clock, by which everything here goes from now on."""
        self.clock = VirtualClock()
        for each in self._databases:
            each.warehouse.clock = self.clock
        return self.clock

    def inhabit(self, warehouse: Warehouse, process: str) -> None:
        """Let the warehouse of a run live here: in virtual time, and as mortal as its process."""
        self._databases[0].inhabit(warehouse, process)
        if not warehouse.keeps_control:
            self._databases[1].inhabit(warehouse.control, process)


class _Database:
    """One database of a place.

    One SQLAlchemy engine serves all histories, because it keeps the statements that it has
    compiled.
    """

    def __init__(self, place: Place, url: str) -> None:
        self.place = place
        self.warehouse = warehouse_at(url, place.schema, place.clock)
        self._open_in: list[str] = []
        self._compiled: dict[Any, Any] = {}
        self._parsed: dict[str, Any] = {}
        self._engine: Any = None

    def open(self) -> None:
        """Open it for all that is played here."""
        self.warehouse.open()
        is_server = self.warehouse.url.get_backend_name() == "postgresql"
        made = self._postgresql() if is_server else self._duckdb()
        self._engine = made.execution_options(compiled_cache=self._compiled)
        self.warehouse._engine = self._engine  # noqa: SLF001 - to look at what is there
        _hook_dialect(self._engine.dialect, lambda: self.place.steps)

    def _duckdb(self) -> sa.Engine:
        warehouse: Any = self.warehouse
        warehouse._anchor.execute("SET threads = 1")  # noqa: SLF001 - nobody else opens the file

        def connect() -> DuckDBConnection:
            native: Any = _Parsed(warehouse._anchor.cursor(), self._parsed)  # noqa: SLF001 - the same
            made: DuckDBConnection = warehouse.connection_class(native)
            return made

        return sa.create_engine(
            "duckdb://", creator=connect, poolclass=sa.NullPool, hide_parameters=True
        )

    def _postgresql(self) -> sa.Engine:
        """Keep connections, but nothing of a session: logging in takes longer than a statement."""
        wait = f"-c lock_timeout={_LOCK_WAIT_MS} -c synchronous_commit=off"
        made = sa.create_engine(
            self.warehouse.url,
            poolclass=QueuePool,
            hide_parameters=True,
            connect_args={"options": wait},
        )

        def forget(connection: Any, _record: object, _reset: object) -> None:  # noqa: ANN401
            connection.rollback()
            connection.autocommit = True
            connection.execute("DISCARD TEMP")
            connection.autocommit = False

        sa.event.listen(made, "reset", forget)
        return made

    def empty(self) -> None:
        """Forget the history before."""
        self._open_in.clear()
        if len(self._compiled) > _MOST_COMPILED:
            self._compiled.clear()
        with self._engine.begin() as connection:
            connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {self.place.schema} CASCADE")
        self.warehouse._prepared = False  # noqa: SLF001 - what it knew is gone

    def inhabit(self, warehouse: Warehouse, process: str) -> None:
        """Let the warehouse of a run live here."""
        self._share(warehouse, process)
        transaction, place = warehouse.transaction, self.place

        @contextmanager
        def mortal() -> Iterator[Transaction]:
            if place.steps.dead:
                raise Crash("transaction")
            with transaction() as tx:
                yield tx

        changed: Any = warehouse
        changed.make_engine = lambda: self._engine
        changed.transaction = mortal
        if warehouse.capabilities.lock_proves_lease:
            changed.in_turn = self._in_turn
        for name, kind in (("read_arrow", "read"), ("describe", "describe"), ("upload", "upload")):
            setattr(changed, name, self._stepping(kind, getattr(warehouse, name)))
        if not warehouse.capabilities.lock_proves_lease:
            # A server has a clock of its own; in virtual time it has to be asked of us.
            server = DuckDBWarehouse("duckdb://", place.schema, _ServerClock(place.clock))
            changed.now_expression, changed.after_now = server.now_expression, server.after_now

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        """Stand for a lock that only threads can wait for; here one runs inside another."""
        steps = self.place.steps
        steps.in_turn = True
        try:
            yield
        finally:
            steps.in_turn = False

    def _stepping(self, kind: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return work past SQLAlchemy that may fail, with the process dying around it."""

        def stepping(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the work
            steps = self.place.steps
            steps.step(f"before {kind}")
            if steps.fails(kind):
                raise self._unwell(kind)
            done = work(*args, **kwargs)
            steps.step(f"after {kind}")
            return done

        return stepping

    def _unwell(self, kind: str) -> Exception:
        """Return what the driver raises, or the dialect in its place."""
        text = "the simulated warehouse is unwell"
        if kind == "read":
            return WarehouseError(text)
        error: Exception = self._engine.dialect.loaded_dbapi.OperationalError(text)
        if kind == "describe":
            return sa.exc.DBAPIError(kind, None, error, hide_parameters=True)
        return error

    def _share(self, warehouse: Warehouse, process: str) -> None:
        """Let one process at a time open what only one can have open."""
        opening, closing, changed = warehouse.open, warehouse.close, warehouse

        def open_alone(*, read_only: bool = False) -> None:
            if warehouse.capabilities.lock_proves_lease and set(self._open_in) - {process}:
                raise Busy("the simulated file is held by another process")
            opening(read_only=read_only)
            self._open_in.append(process)

        def close() -> None:
            if process in self._open_in:
                self._open_in.remove(process)
            warehouse._engine = None  # noqa: SLF001 - the engine is shared, and stays
            closing()

        changed.open = open_alone  # type: ignore[method-assign]
        changed.close = close  # type: ignore[method-assign]


class _ServerClock(VirtualClock):
    """The clock of the server beside the one of the machine."""

    def __init__(self, machine: VirtualClock) -> None:
        """Tell the server's time."""
        self.now = machine.server_now  # type: ignore[method-assign]


@contextmanager
def duckdb_place(*, loose: bool = False) -> Iterator[Place]:
    """Yield a place in a new DuckDB file, in memory where the machine has such a folder.

    Args:
        loose: Whether the file keeps nothing together, beside another one for control.
    """
    memory = Path("/dev/shm")  # noqa: S108 - only a faster place for a private folder
    folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    url, control = f"loose:///{folder / 'w.duckdb'}", f"duckdb:///{folder / 'control.duckdb'}"
    make_known()
    try:
        with Place(url, control) if loose else Place(f"duckdb:///{folder / 'w.duckdb'}") as place:
            yield place
    finally:
        shutil.rmtree(folder)

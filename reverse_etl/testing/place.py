"""Where histories are played: a warehouse that fails, and processes that die in it.

Everything runs in virtual time. A :class:`Place` holds one warehouse for many histories; a
:class:`SimulatedRun` is a run of the real engine there, as a process of its own.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Self

from pydantic import SecretStr

import reverse_etl.run as engine
from reverse_etl.config import Config, load_config
from reverse_etl.ports import Ports
from reverse_etl.testing.destination import LIST_ID, LIST_NAME, VirtualClock
from reverse_etl.testing.histories import (
    MAPPINGS,
    History,
    HybridSend,
    Object,
    ProjectType,
    Round,
    Row,
)
from reverse_etl.warehouse import warehouse_at
from reverse_etl.warehouse.base import Transaction, Warehouse
from reverse_etl.warehouse.duckdb import DuckDBWarehouse
from reverse_etl.warehouse.lease import Lease

SYNC = "simulated"
RECORDS_PER_REQUEST = 2
MAX_IN_FLIGHT = 2
WINDOW = 3
PAGE_ROWS = 4
LEASE_SECONDS = 30

_MOST_COMPILED = 2_000  # statements kept; some 100 KB each


class Crash(BaseException):
    """The process is dead. No handler of the engine may live on."""


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
        self.window, self.page_rows = WINDOW, PAGE_ROWS
        place.inhabit(self.warehouse)

    def give_lease_back(self) -> None:
        """A dead process gives nothing back."""
        if not self._place.steps.dead:
            super().give_lease_back()


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


# --- the config of a round -----------------------------------------------------------------


def config_of(history: History, played: Round, place: Place) -> Config:
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

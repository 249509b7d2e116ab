"""Runs without delivery: a query is planned and committed as a run does it, and nothing is sent.

What a test of a warehouse needs: a clock that stands still, a destination that takes everything,
and a planner that does the warehouse's part of run after run.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from reverse_etl.config import FieldConfig, SourceConfig, SyncConfig
from reverse_etl.connector import (
    SUCCEEDED,
    Answer,
    Batch,
    Delivered,
    DestinationObject,
    DestinationSettings,
    Identifier,
    Limits,
    Operation,
    Prepared,
    Request,
    Target,
)
from reverse_etl.delivery.sender import Settled
from reverse_etl.planning import Plan, make_plan, shape_of
from reverse_etl.settle import Ending, record_outcomes, settle
from reverse_etl.warehouse.lease import Lease
from reverse_etl.warehouse.statements import control
from reverse_etl.warehouse.statements.snapshot import SnapshotStatements
from reverse_etl.warehouse.tables import clause

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from reverse_etl.warehouse.base import Transaction, Warehouse

EMAIL = Identifier(
    name="email",
    pattern=r"^[^@\s\x01-\x1f\x7f]+@[^@\s\x01-\x1f\x7f]+[.][^@\s\x01-\x1f\x7f]+$",
    max_length=254,
    expected="an e-mail address",
    trim=True,
    lower=True,
    plain=r"^[!-?A-~]+@[!-?A-~]+[.][!-?A-~]+$",
)
USER_ID = Identifier(
    name="userId",
    pattern=r"^[!-~]([ -~]*[!-~])?$",
    max_length=52,
    expected="1 to 52 printable ASCII characters without white space at the edges",
)


class StandingClock:
    """Time that passes only when somebody waits; the waits are kept."""

    def __init__(self, now: datetime = datetime(2030, 1, 1, tzinfo=UTC)) -> None:
        """Start at a fixed moment."""
        self._started = now
        self.waits: list[float] = []

    def now(self) -> datetime:
        """Return the wall clock."""
        return self._started + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """Return the seconds that were waited."""
        return sum(self.waits)

    def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        self.waits.append(seconds)


@dataclass(frozen=True)
class TakesEverything(DestinationObject):
    """A destination that confirms every change."""

    identifiers: tuple[Identifier, ...] = (EMAIL,)
    prefixed: bool = False
    sends_alias: bool = False
    deletes: bool = True
    clears_fields: bool = False
    whole_seconds: bool = False
    limits: Limits = field(default_factory=lambda: Limits(1000, 1_000_000, {"any": 0}))
    host: str = "127.0.0.1"
    kind: str = "email"
    target: Target = field(default_factory=lambda: Target("1"))

    def find_target(self) -> Generator[Request, Answer, Target]:
        """Know the target without asking."""
        yield from ()
        return self.target

    def prepare(self, operation: Operation, changes: pa.RecordBatch) -> Prepared:
        """Let every change through, encoded as its identity."""
        del operation
        identities = changes.column("_identity").to_pylist()
        bodies = [identity.encode() for identity in identities]
        return Prepared(bodies, identities, changes.column("_alias").to_pylist(), {})

    def deliver(self, batch: Batch) -> Generator[Request, Answer, Delivered]:
        """Confirm every change without a request."""
        yield from ()
        return Delivered([SUCCEEDED] * len(batch))


HYBRID = TakesEverything((USER_ID, EMAIL), prefixed=True, sends_alias=True, kind="hybrid")


@dataclass(frozen=True)
class Planned:
    """A plan that was committed.

    Attributes:
        plan: As the run sees it.
        page: The whole plan as a connector gets it, or None when nothing is planned.
    """

    plan: Plan
    page: pa.RecordBatch | None

    @property
    def counts(self) -> tuple[int, int, int]:
        """Return the numbers of inserts, updates and deletes."""
        planned = self.plan.planned
        return planned[Operation.INSERT], planned[Operation.UPDATE], planned[Operation.DELETE]

    @property
    def identities(self) -> set[str]:
        """Return who is planned."""
        return set(self.page.column("_identity").to_pylist()) if self.page else set()

    def column(self, name: str) -> dict[str, Any]:
        """Return the values of a column by identity."""
        if self.page is None:
            return {}
        identities = self.page.column("_identity").to_pylist()
        return dict(zip(identities, self.page.column(name).to_pylist(), strict=True))


class Planner:
    """Plans and commits runs of one sync, as if every change were delivered at once."""

    no_parameters: ClassVar[Mapping[str, Any]] = {"no_parameters": True}

    def __init__(
        self,
        warehouse: Warehouse,
        sync_name: str = "people",
        destination: DestinationObject | None = None,
    ) -> None:
        """Bind to an open warehouse; make our tables there."""
        self.warehouse = warehouse
        self.sync_name = sync_name
        self.destination = destination or TakesEverything()
        warehouse.prepare_schema()

    @staticmethod
    def spell(statement: str) -> str:
        """Say a statement of a suite in the engine's SQL; tests set this where that is another."""
        return statement

    def sync(  # noqa: PLR0913 - a sync has as many parts
        self,
        query: str | None,
        *,
        table: str | None = None,
        fields: Sequence[str] | Mapping[str, str | Mapping[str, Any]] = (),
        primary_key: Sequence[str] = ("id",),
        identifiers: Mapping[str, str] | None = None,
        mode: Literal["mirror", "upsert"] = "mirror",
    ) -> SyncConfig:
        """Return the config of a sync; fields without a mapping have the names of columns."""
        mapping = fields if isinstance(fields, Mapping) else {name: name for name in fields}
        source = SourceConfig(
            warehouse="here",
            query=query and self.spell(query),
            table=table,
            primary_key=tuple(primary_key),
        )
        return SyncConfig(
            name=self.sync_name,
            source=source,
            destination=DestinationSettings(name="there", object="list"),
            identifiers=dict(identifiers or {"email": "email"}),
            fields={n: FieldConfig.model_validate(given) for n, given in mapping.items()},
            mode=mode,
        )

    def run(
        self,
        query: str | None,
        *,
        full: bool = False,
        confirmed: bool = True,
        refused: Collection[str] | None = None,
        **sync: Any,  # noqa: ANN401
    ) -> Planned:
        """Plan, commit, read the plan, and confirm it.

        Args:
            query: The source; None with ``table=``.
            full: Send every current row again.
            confirmed: Whether the changes count as delivered afterwards.
            refused: Identities whose changes the destination refuses for good; then the run is
                settled as well.
            sync: See :meth:`sync`.
        """
        config = self.sync(query, **sync)
        with self.leased() as lease:
            with self.warehouse.transaction() as tx:
                plan = self._commit(tx, config, lease, full=full)
            page = None
            if plan.size:
                page = self.warehouse.read_page(plan.shape, plan.tables.changes, 1, plan.size)
            if confirmed:
                self._confirm(lease, plan.size)
            if refused is not None:
                self._settle(lease, plan, refused)
        return Planned(plan, page)

    def attempt(self, query: str, **sync: Any) -> None:  # noqa: ANN401 - see sync()
        """Plan a first run and give it up, to see whether it can be planned."""
        with self.warehouse.transaction() as tx:
            make_plan(tx, self.sync(query, **sync), self.destination, None, run_id=1, full=False)
            tx.abandon()

    @contextmanager
    def leased(self) -> Iterator[Lease]:
        """Hold the sync's lease."""
        control = self.warehouse.control
        lease = Lease(control, self.sync_name, seconds=30, clock=self.warehouse.clock)
        lease.take()
        try:
            yield lease
        finally:
            lease.give_back()

    def _commit(self, tx: Transaction, config: SyncConfig, lease: Lease, *, full: bool) -> Plan:
        state = self.warehouse.tables.state
        lease.guard(tx.control.run(control.number_run(state, self.sync_name, lease.token)))
        run_id = tx.control.rows(control.read_state(state, self.sync_name))[0].last_run_id
        base = tx.state(self.sync_name).base
        plan = make_plan(tx, config, self.destination, base, run_id=run_id, full=full)
        columns = base.columns if base else None
        tx.point_view(f"snapshot_{self.sync_name}", plan.tables.snapshot, columns, plan.shape)
        committed = control.commit_run(
            state,
            self.sync_name,
            lease.token,
            run_id=run_id,
            send_limit=plan.size,
            mapping=plan.shape.mapping(),
            account={},
        )
        lease.guard(tx.control.run(committed))
        return plan

    def _confirm(self, lease: Lease, position: int) -> None:
        advanced = control.advance(
            self.warehouse.tables.state,
            self.sync_name,
            lease.token,
            position=position,
            send_limit=position,
            requests_sent=0,
        )
        with self.warehouse.control.transaction() as tx:
            lease.guard(tx.run(advanced))

    def _settle(self, lease: Lease, plan: Plan, refused: Collection[str]) -> None:
        changes = clause(plan.tables.changes.name, ("_seq", "_identity"), self.warehouse.schema)
        with self.warehouse.transaction() as tx:
            settled = [
                Settled(seq, "failed", "rejected", "rejected", "no", retryable=False, attempts=1)
                for seq, identity in tx.rows(changes.select())
                if identity in refused
            ]
            record_outcomes(tx, plan.tables, settled)
            settle(
                tx,
                lease,
                plan.tables,
                started_at=tx.now(),
                ending=Ending(plan.size, plan.size, 1),
                retain_logs=True,
                deletes=plan.shape.deletes,
                field_set=plan.shape.field_set,
            )

    # --- beside the runs -------------------------------------------------------------------

    def execute(self, *statements: str) -> None:
        """Run statements as they are written, in one transaction."""
        with self.warehouse.transaction() as tx:
            for statement in statements:
                said = self.spell(statement)
                tx.connection.exec_driver_sql(said, execution_options={**self.no_parameters})

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Read the rows of a statement as it is written."""
        with self.warehouse.transaction() as tx:
            found = tx.connection.exec_driver_sql(
                self.spell(statement), execution_options={**self.no_parameters}
            )
            return [tuple(row) for row in found.all()]

    def control_execute(self, *statements: str) -> None:
        """Run statements where leases, runs and failed records are."""
        self._of_control.execute(*statements)

    def control_rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Read the rows of a statement where leases, runs and failed records are."""
        return self._of_control.rows(statement)

    @property
    def _of_control(self) -> Planner:
        if self.warehouse.keeps_control:
            return self
        return _Plain(self.warehouse.control, self.sync_name, self.destination)

    def scalar(self, statement: str) -> Any:  # noqa: ANN401 - as the statement says
        """Read one value."""
        return self.rows(statement)[0][0]

    def identities(self, query: str, **sync: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401
        """Return identity, second identifier and primary key of each row, as SQL makes them."""
        nowhere = clause("nowhere", (), None)
        with self.warehouse.transaction() as tx:
            shape = shape_of(tx, self.sync(query, **sync), self.destination)
            take = SnapshotStatements(shape, self.warehouse.sql, nowhere, nowhere, nowhere).take()
            names = list(take.selected_columns)[:3]
            chosen = take.with_only_columns(*names, maintain_column_froms=True)
            return [tuple(row) for row in tx.rows(chosen)]


class _Plain(Planner):
    """Of a control database, which takes the statements of a suite as they are."""

    @staticmethod
    def spell(statement: str) -> str:
        return statement

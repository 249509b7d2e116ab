"""The tables of a sync, moved to another warehouse, workspace or control database.

    read      what the place it works in has of it; only a sync whose last run is finished may move
    copy      snapshot, failed records, log and runs to the other place, which says: not yet mine
    point     the old place to the new one; from here on the new one counts
    release   the new place

Killed before the third step, the sync is where it was; after it, both places refuse to run until
the same command is given once more. Nothing is asked of the destination, and nothing is sent.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from reverse_etl.errors import ConfigError, WarehouseError
from reverse_etl.planning import base_tables, placed, shape_of
from reverse_etl.ports import Ports
from reverse_etl.warehouse import warehouse_of
from reverse_etl.warehouse.damage import refuse_damage
from reverse_etl.warehouse.landing import asked, pieces
from reverse_etl.warehouse.lease import Lease
from reverse_etl.warehouse.statements import control
from reverse_etl.warehouse.statements import moving as statements
from reverse_etl.warehouse.statements.changes import ChangesStatements
from reverse_etl.warehouse.statements.snapshot import SnapshotStatements
from reverse_etl.warehouse.tables import RunTables, clause, run_table_name

if TYPE_CHECKING:
    from sqlalchemy import Table, TableClause

    from reverse_etl.config import Config
    from reverse_etl.warehouse.base import Transaction, Warehouse
    from reverse_etl.warehouse.shape import Base, Shape
    from reverse_etl.warehouse.sql import Chosen

# What of the row in ``sync_state`` belongs to the place, or begins anew with an empty plan.
_NOT_COPIED = {"sync_name", "lease_owner", "lease_token", "lease_expires_at", "moved_to"}
_EMPTY_PLAN = {"position": 0, "send_limit": 0, "requests_sent": 0, "changes_rows": 0}


@dataclass
class Moved:
    """What a move came to.

    Attributes:
        sync_name: The sync.
        place: Where its tables are now.
        rows: Lines copied, by table.
    """

    sync_name: str
    place: str
    rows: dict[str, int] = field(default_factory=dict)


def move(config: Config, sync_name: str, to: str, *, ports: Ports | None = None) -> Moved:
    """Move the tables of a sync; afterwards ``source.warehouse`` has to name the new place.

    Args:
        config: A loaded config.
        sync_name: The sync; its config still names the place that it is in.
        to: The name of a warehouse of the config, with its workspace or control database.
        ports: Time, for tests.

    Raises:
        ConfigError: There is no such sync or warehouse, or the two places are one.
        Busy: One of the places is in use.
        RunError: A place cannot be used, or the last run of the sync is not finished.
    """
    ports = ports or Ports()
    sync = config.sync(sync_name)
    if to not in config.warehouses:
        known = ", ".join(config.warehouses)
        raise ConfigError([f"{config.path}: no warehouse {to}: the config has {known}"])
    old = warehouse_of(config, sync.source.warehouse, ports.clock)
    new = warehouse_of(config, to, ports.clock)
    for one, other in ((old, new), (old.control, new.control)):
        if one.place == other.place:
            text = (
                f"{config.path}: warehouses.{to} keeps its tables where those of sync {sync_name} "
                f"are already: {one.place}"
            )
            raise ConfigError([text])
    with old.looking() as tx:
        _refuse_unknown(tx, sync_name)
    with ExitStack() as opened:
        for place in (old, new):
            opened.enter_context(place)
        new.prepare_schema()
        seconds = config.engine.lease_seconds
        places = []
        for place in (old, new):
            lease = Lease(place.control, sync_name, seconds=seconds, clock=ports.clock)
            lease.take()
            opened.callback(lease.give_back)
            places.append(_Place(place, lease))
        return _Move(config, sync_name, *places).make()


def _refuse_unknown(tx: Transaction, sync_name: str) -> None:
    """Find out before anything is opened for writing, and perhaps made."""
    refuse_damage(tx, sync_name)
    if not tx.warehouse.is_prepared(tx) or not _row(tx.control, sync_name):
        raise WarehouseError(
            f"sync {sync_name} has no tables in {tx.warehouse.place}: there is nothing to move. "
            "Let source.warehouse name the warehouse that it has worked in so far",
        )


def _row(tx: Transaction, sync_name: str) -> Any:  # noqa: ANN401 - a row of sync_state
    rows = tx.rows(control.read_state(tx.warehouse.tables.state, sync_name))
    return rows[0] if rows else None


@dataclass(frozen=True)
class _Place:
    """A warehouse, and the lease of the sync in it."""

    warehouse: Warehouse
    lease: Lease

    def point(self, sync_name: str, to: str | None) -> None:
        """Say where the tables that count are; None for here."""
        state = self.warehouse.tables.state
        with self.warehouse.control.transaction() as tx:
            pointed = statements.point_away(state, sync_name, self.lease.token, to)
            self.lease.guard(tx.run(pointed))


class _Move:
    """One move, under the leases of both places."""

    def __init__(self, config: Config, sync_name: str, left: _Place, entered: _Place) -> None:
        self.sync = config.sync(sync_name)
        self.destination = config.bind(sync_name)
        self.left, self.entered = left, entered
        self.old, self.new = left.warehouse, entered.warehouse
        self.moved = Moved(sync_name, self.new.place)

    def make(self) -> Moved:
        with self.old.control.transaction() as tx:
            away = _row(tx, self.sync.name).moved_to
        if away is None:
            self._copy()
            self.left.point(self.sync.name, self.new.place)
        elif away != self.new.place:
            raise WarehouseError(
                f"sync {self.sync.name} has moved to {away} already; from there it can move on",
                code="moved",
            )
        self.entered.point(self.sync.name, None)
        return self.moved

    # --- copy ------------------------------------------------------------------------------

    def _copy(self) -> None:
        with self.old.transaction() as there, self.new.transaction() as here:
            state = there.state(self.sync.name)
            row = _row(there.control, self.sync.name)
            self._refuse_unfinished(there, row)
            self._clear(here)
            shape = self._copy_snapshot(there, here, state.base)
            tables, copies = self.old.tables, self.new.tables
            for ledger, copy in zip(tables.ledgers, copies.ledgers, strict=True):
                self._copy_lines(there, here, ledger, copy)
            self._copy_lines(there.control, here.control, tables.runs, copies.runs)
            self._copy_lines(there.control, here.control, tables.failed, copies.failed)
            values = {name: getattr(row, name) for name in row._fields if name not in _NOT_COPIED}
            values |= _EMPTY_PLAN
            if shape is not None:
                values |= {"mapping": shape.mapping()}
            taken_over = statements.take_over(
                copies.state, self.sync.name, self.entered.lease.token, values, self.old.place
            )
            self.entered.lease.guard(here.control.run(taken_over))
        if shape is not None:
            snapshot = self._tables(shape, row.committed_run_id).snapshot
            with self.new.transaction() as tx:
                tx.point_view(f"snapshot_{self.sync.name}", snapshot, None, shape)

    def _refuse_unfinished(self, tx: Transaction, row: Any) -> None:  # noqa: ANN401 - of sync_state
        runs = tx.warehouse.tables.runs
        unfinished = tx.control.rows(control.unfinished_runs(runs, self.sync.name))
        is_open = row.committed_run_id is not None and (
            row.changes_rows is None or row.position < row.changes_rows
        )
        if unfinished or is_open:
            raise WarehouseError(
                f"the last run of sync {self.sync.name} has not confirmed its whole plan. Run it "
                f"once more where it is (reverse-etl run-sync {self.sync.name}), then move it. "
                "Nothing was copied",
                code="unfinished",
            )

    def _clear(self, tx: Transaction) -> None:
        """Forget what an earlier move left; refuse to forget runs that count."""
        row, name = _row(tx.control, self.sync.name), self.sync.name
        if row.moved_to is None and row.last_run_id:
            raise WarehouseError(
                f"sync {name} has run in {self.new.place} by itself ({row.last_run_id} runs, the "
                "last one committed there counts). Nothing was copied: two histories cannot become "
                "one. Use another schema there, or drop its tables",
                code="has_runs",
            )
        tables = self.new.tables
        for table in (tables.runs, tables.failed):
            tx.control.run(statements.forget_sync(table, name))
        for ledger in tables.ledgers:
            newest = tx.scalar(statements.newest_line(ledger, name))
            if newest is not None:
                self.new.forget_earlier(tx, ledger, name, int(newest) + 1)
        tx.drop_view(f"snapshot_{name}")
        for kind, runs in tx.runs_with_tables(name).items():
            for run in runs:
                tx.drop(clause(run_table_name(kind, name, run), (), self.new.schema))

    def _copy_snapshot(
        self, there: Transaction, here: Transaction, base: Base | None
    ) -> Shape | None:
        """Copy the tables of the last committed run, the plan without its changes."""
        if base is None:
            return None
        before = base_tables(self.sync.name, base, self.old.schema)
        with placed(self.sync), asked(here, self._empty) as shape:
            self._refuse_other_mapping(shape, base)
            tables = self._tables(shape, base.run_id)
            here.create_from_query(tables.snapshot, self._nothing_taken(shape, tables))
        for table in (tables.refused, tables.outcomes):
            here.create_empty(table)
        here.create(tables.changes, self._nothing_planned(shape, tables))
        people = statements.whole_snapshot(before.snapshot, base.columns, self.old.sql)
        self._copy_arrow(people, here, tables.snapshot)
        self._copy_rows(there, here, statements.whole_table(before.refused), tables.refused)
        here.finish(tables.snapshot)
        here.finish(tables.changes, by="_seq")
        return shape

    def _empty(self, source: Transaction) -> Shape:
        """Return the sync as SQL sees it there, with a query that finds nobody: only the types."""
        shape = shape_of(source, self.sync, self.destination)
        return replace(shape, query=f"SELECT * FROM (\n{shape.query}\n) q WHERE 1 = 0")  # noqa: S608 - checked

    def _refuse_other_mapping(self, shape: Shape, base: Base) -> None:
        if shape.fields == base.fields and shape.columns.keys() == base.columns.keys():
            return
        name = self.sync.name
        raise WarehouseError(
            f"the mapping of sync {name} is not the one that its last run had. Run it once where "
            f"it is (reverse-etl run-sync {name}), then move it. Nothing was copied",
            code="unfinished",
        )

    def _tables(self, shape: Shape, run_id: int) -> RunTables:
        columns = (shape.columns, shape.plan_columns)
        return RunTables(self.sync.name, run_id, self.new.schema, *columns)

    def _nothing_taken(self, shape: Shape, tables: RunTables) -> Chosen:
        return SnapshotStatements(
            shape, self.new.sql, tables.snapshot, tables.snapshot, tables.snapshot
        ).take()

    def _nothing_planned(self, shape: Shape, tables: RunTables) -> Chosen:
        """A first load of nobody: the snapshot is still empty."""
        known = self.new.tables
        return ChangesStatements(
            shape,
            self.new.sql,
            tables.snapshot,
            tables.refused,
            None,
            None,
            known.former,
            None,
            full=False,
        ).plan()

    # --- rows ------------------------------------------------------------------------------

    def _copy_lines(self, there: Transaction, here: Transaction, table: Table, copy: Table) -> None:
        self._copy_rows(there, here, statements.of_sync(table, self.sync.name), copy)

    def _copy_rows(
        self, there: Transaction, here: Transaction, chosen: Chosen, copy: Table | TableClause
    ) -> None:
        self._count(copy, here.copy_from(there, chosen, copy))

    def _copy_arrow(self, chosen: Chosen, here: Transaction, copy: TableClause) -> None:
        """Copy columns of any type: as Arrow, like those of a source that is only read."""
        rows = 0
        with self.old.stream(chosen) as reader:
            for batch in pieces(reader):
                here.upload(copy, batch)
                rows += batch.num_rows
        self._count(copy, rows)

    def _count(self, copy: Table | TableClause, rows: int) -> None:
        self.moved.rows[copy.name] = rows

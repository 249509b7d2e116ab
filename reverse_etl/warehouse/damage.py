"""Our tables after somebody changed them by hand: found out, refused, and mended by a full run.

What is wrong is found before anything is planned, because a plan made from it would send
everything again, forget who has to leave, or remove whom nobody meant. A full run is the way out:
it sends every current row again, and takes from ``sync_log`` who was sent before and may have to
leave. Only what is *gone* is made anew; what is there in another form is for its owner to decide.

A mended base stays distrusted until a full run has committed, so a crash in between is no way in.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Boolean, DateTime, Integer, select

from reverse_etl.errors import WarehouseError
from reverse_etl.warehouse.shape import NUMBERS, Kind, read_mapping
from reverse_etl.warehouse.statements import control
from reverse_etl.warehouse.statements import damage as statements
from reverse_etl.warehouse.statements.audit import last_full_run
from reverse_etl.warehouse.statements.damage import DISTRUSTED
from reverse_etl.warehouse.tables import (
    CHANGE_COLUMNS,
    IDENTITY_COLUMNS,
    OUTCOME_COLUMNS,
    REFUSED_COLUMNS,
    RUN_TABLES,
    SCHEMA_VERSION,
    Columns,
    RunTables,
    run_table_name,
    runs_of_tables,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from reverse_etl.warehouse.base import Transaction
    from reverse_etl.warehouse.lease import Lease
    from reverse_etl.warehouse.sql import Sql

_OWN_COLUMNS: dict[str, Columns] = {
    "snapshot": IDENTITY_COLUMNS,
    "refused": REFUSED_COLUMNS,
    "changes": CHANGE_COLUMNS,
    "outcomes": OUTCOME_COLUMNS,
}

# Kinds that every engine names alike wherever it is asked; a text among integers is a change.
_PLAIN = frozenset({Kind.TEXT, Kind.BOOLEAN, Kind.DATE, *NUMBERS})

_KINDS = {Boolean: Kind.BOOLEAN, Integer: Kind.INTEGER, BigInteger: Kind.INTEGER}

# What cannot be known any more without a table.
_LOSSES = {
    "sync_state": "at which run each sync was, and in which account",
    "sync_runs": "whether a killed run has still to be settled",
    "sync_log": "who was ever sent",
    "failed_records": "who was refused or has no trustworthy answer",
    "residue": "who has left and may still be at the destination",
    "former_aliases": "which e-mails may still be somebody else's there",
    "schema_version": "which version the tables have",
}

# Without these nothing is left open that a run has to know.
_HISTORY = {"sync_log", "schema_version"}


# --- the tables that exist once per schema -------------------------------------------------


def find_lost(tx: Transaction) -> list[str]:
    """Return which control tables are gone.

    Raises:
        RightsError: One is there, but not for this role.
        WarehouseError: One has lost a column, or a column its type.
    """
    tables = tx.warehouse.own_tables
    layout = tx.layout([table.name for table in tables])
    problems = [
        problem
        for table in tables
        if table.name in layout
        for problem in _deviations(
            tx.warehouse.sql,
            table.name,
            layout[table.name],
            ((column.name, _kind_of(column.type)) for column in table.columns),
        )
    ]
    if problems:
        raise _damaged(
            f"the tables in schema {tx.warehouse.schema} are damaged: {'; '.join(problems)}. "
            "Nothing was sent and nothing was changed. Give the table its columns back as "
            "docs/tables.md names them, or rename it: a run with --full makes a new one."
        )
    absent = [table for table in tables if table.name not in layout]
    lost = [table.name for table in absent if not tx.has_table(table)]
    for table in absent:
        if table.name not in lost:
            tx.rows(select(table).limit(0))  # to hear which right is missing
    if "schema_version" in {table.name for table in tables} - {*lost} and _has_no_version(tx):
        lost.append("schema_version")
    return lost


def refuse_lost(schema: str, lost: Collection[str]) -> None:
    """Raise a WarehouseError that names the lost tables, what is lost with them, the way out."""
    names = " and ".join(sorted(lost))
    losses = "; ".join(_LOSSES[name] for name in sorted(lost))
    raise _damaged(
        f"the tables in schema {schema} are damaged: of {names} nothing is left, while other "
        f"tables of ours are there. Not known any more: {losses}. Nothing was sent and nothing "
        "was changed. Put back a backup, or start over, sync by sync, with: reverse-etl run-sync "
        "SYNC --full. That makes what is missing anew and sends every current row again; every "
        "sync of this schema will ask for it."
    )


def mend_tables(tx: Transaction, made: Collection[str]) -> None:
    """Make a schema with some new control tables consistent: no base is trusted any more."""
    tables = tx.warehouse.tables
    if "schema_version" in made:
        tx.run(tables.version.delete())
        tx.run(tables.version.insert().values(version=SCHEMA_VERSION))
    if set(made) - _HISTORY:
        tx.control.run(statements.distrust(tables.state))


def _has_no_version(tx: Transaction) -> bool:
    return tx.scalar(control.read_version(tx.warehouse.tables.version)) is None


def _kind_of(column_type: Any) -> Kind:  # noqa: ANN401 - a type of SQLAlchemy
    if isinstance(column_type, DateTime):
        return Kind.TIMESTAMP
    return _KINDS.get(type(column_type), Kind.TEXT)


def _deviations(
    sql: Sql, table_name: str, found: Mapping[str, str], wanted: Iterable[tuple[str, Kind]]
) -> Iterator[str]:
    """Say what columns a table lacks, and which have another type."""
    for name, kind in wanted:
        if name not in found:
            yield f"{table_name} has no column {name}"
            continue
        now = sql.kind(found[name])
        alike = now is kind or {now, kind} <= NUMBERS or not {now, kind} <= _PLAIN
        if not alike:
            yield f"column {name} of {table_name} is {found[name]}, it was made as {kind.value}"


def _damaged(text: str) -> WarehouseError:
    return WarehouseError(text, code="damaged_tables")


# --- the tables of one sync ----------------------------------------------------------------


@dataclass(frozen=True)
class Damage:
    """What is wrong with the tables of one sync.

    Attributes:
        sync_name: The sync.
        problems: What a full run mends.
        obstacles: What it cannot mend: somebody has to put it out of the way.
        run_id: The run to start over from: the newest that has left anything.
        is_pointed_to: Whether it is the run that ``sync_state`` names, at a position that can be.
        last_run_id: The highest number that a run has had.
        gone: The kinds of its tables that are not there.
    """

    sync_name: str
    problems: tuple[str, ...]
    obstacles: tuple[str, ...]
    run_id: int
    is_pointed_to: bool
    last_run_id: int
    gone: tuple[str, ...]

    def refuse(self) -> None:
        """Raise a WarehouseError that says what is wrong and what to do."""
        what = "; ".join((*self.obstacles, *self.problems))
        first = " Put that out of the way first. Then" if self.obstacles else " To mend it,"
        way = f"{first} put back a backup" if self.problems else first.removesuffix(" Then")
        full = (
            f", or start over with: reverse-etl run-sync {self.sync_name} --full. It sends every "
            "current row again; who has left is removed as far as sync_log knows them, others stay "
            "where they are (reverse-etl audit shows them)"
        )
        raise _damaged(
            f"the tables of sync {self.sync_name} are damaged: {what}. Nothing was sent and "
            f"nothing was changed.{way}{full if self.problems else ''}".rstrip(".")
            + "."
        )


def refuse_damage(tx: Transaction, sync_name: str) -> None:
    """Raise a WarehouseError when the tables of a sync were changed by hand."""
    if tx.warehouse.is_prepared(tx):
        damage = find_damage(tx, sync_name)
        if damage is not None:
            damage.refuse()


def find_damage(tx: Transaction, sync_name: str) -> Damage | None:
    """Look whether the tables of a sync fit together; None when they do."""
    return _Examination(tx, sync_name).examine()


class _Examination:
    """One look at the row of a sync and at the tables that it points to."""

    def __init__(self, tx: Transaction, sync_name: str) -> None:
        self.tx, self.sync_name = tx, sync_name
        tables = tx.warehouse.tables
        rows = tx.control.rows(control.read_state(tables.state, sync_name))
        self.row = rows[0] if rows else None
        self.pointer: int | None = self.row.committed_run_id if self.row else None
        runs = tx.control.rows(statements.known_runs(tables.runs, sync_name))[0]
        self.newest_run, self.newest_committed = (number or 0 for number in runs)
        self.names = tx.table_names()
        self.there = runs_of_tables(sync_name, self.names)
        self.problems: list[str] = []
        self.obstacles: list[str] = []

    def examine(self) -> Damage | None:
        with_plan = max(self._planned(), default=0)
        committed = max(with_plan, self.newest_committed)
        self._look_at_pointer(committed)
        last = self._look_at_numbers(committed)
        is_pointed_to = not self.problems and self._look_at_position()
        gone: tuple[str, ...] = ()
        run_id = with_plan or self.pointer or committed
        if self.pointer is not None:
            gone = self._look_at_tables(self.pointer)
            is_pointed_to = self._look_at_rows(self.pointer, gone) and is_pointed_to
        self._look_at_view()
        if not (self.problems or self.obstacles):
            return None
        is_pointed_to = is_pointed_to and run_id == self.pointer
        gone = tuple(kind for kind in RUN_TABLES if run_id not in self.there[kind])
        problems, obstacles = tuple(self.problems), tuple(self.obstacles)
        name = self.sync_name
        return Damage(name, problems, obstacles, run_id, is_pointed_to, last, gone)

    def _planned(self) -> list[int]:
        """Return the runs whose plan is here, and so was committed."""
        found = self.there["outcomes"]
        if self.tx.warehouse.capabilities.transactional_ddl or not found:
            return found
        # Tables are there before the commit point, so the row of a run knows better.
        runs = self.tx.warehouse.tables.runs
        rows = self.tx.control.rows(statements.which_are_known(runs, self.sync_name, found))
        return sorted(set(found) - {row[0] for row in rows})

    def _look_at_pointer(self, committed: int) -> None:
        if self.pointer is None and committed:
            self.problems.append(
                f"sync_state names no committed run of it, but run {committed} was committed"
            )
        elif self.pointer is not None and self.pointer < committed:
            self.problems.append(
                f"sync_state points to run {self.pointer}, but run {committed} was committed later"
            )

    def _look_at_numbers(self, committed: int) -> int:
        highest = max(self.newest_run, committed, self.pointer or 0)
        known = self.row.last_run_id if self.row else None
        if self.row is not None and (known is None or known < highest):
            self.problems.append(f"sync_state counts {known} runs, but there is a run {highest}")
        return max(highest, known or 0)

    def _look_at_position(self) -> bool:
        if self.row is None or self.pointer is None:
            return False
        for name in ("position", "send_limit"):
            value = getattr(self.row, name)
            if value is None or value < 0:
                self.problems.append(f"{name} in sync_state is {value}")
                return False
        return True

    def _look_at_tables(self, run_id: int) -> tuple[str, ...]:
        """Look at the tables of the committed run; return the kinds that are gone."""
        gone = tuple(kind for kind in RUN_TABLES if run_id not in self.there[kind])
        names = {kind: run_table_name(kind, self.sync_name, run_id) for kind in RUN_TABLES}
        self.problems += [f"{names[kind]} is gone" for kind in gone]
        layout = self.tx.layout(list(names.values()))
        for kind, name in names.items():
            if name in layout:
                wanted = [*_own_columns(kind), *(self._mapped() if kind == "snapshot" else ())]
                sql = self.tx.warehouse.sql
                self.obstacles += _deviations(sql, name, layout[name], wanted)
        return gone

    def _mapped(self) -> Iterator[tuple[str, Kind]]:
        """The source columns that the snapshot was made with."""
        text = (self.row.mapping if self.row else None) or ""
        try:
            _, columns = read_mapping(text)
        except (TypeError, ValueError, KeyError, AttributeError):
            self.problems.append("mapping in sync_state cannot be read")
            return
        for column in columns.values():
            yield column.name, self.tx.warehouse.sql.kind_in_tables(column)

    def _look_at_rows(self, run_id: int, gone: Collection[str]) -> bool:
        """Compare what the tables hold with what the run left; return if the position can be."""
        if self.row is None or {"snapshot", "changes"} & set(gone):
            return False
        tables = RunTables(self.sync_name, run_id, self.tx.warehouse.schema, (), ())
        counted = statements.count_rows_of(tables.snapshot, tables.changes)
        people, changes = self.tx.rows(counted)[0]
        if self.row.snapshot_rows == DISTRUSTED:
            self.problems.append(
                "a table of ours was lost and made anew, and no full run has been committed since"
            )
        else:
            self._compare(tables.snapshot.name, people, self.row.snapshot_rows)
            self._compare(tables.changes.name, changes, self.row.changes_rows)
        position = self.row.position or 0
        if position > changes:
            plan = tables.changes.name
            self.problems.append(
                f"position in sync_state is {position}, but {plan} has {changes} rows"
            )
        return bool(position <= changes)

    def _compare(self, name: str, found: int, committed: int | None) -> None:
        if committed is not None and found != committed:
            self.problems.append(f"{name} has {found} rows, the run left {committed}")

    def _look_at_view(self) -> None:
        view = f"snapshot_{self.sync_name}"
        if view in self.names:
            self.obstacles.append(f"{view} is a table and not the view that we made: rename it")


def _own_columns(kind: str) -> Iterator[tuple[str, Kind]]:
    for given in _OWN_COLUMNS[kind]:
        yield (given, Kind.TEXT) if isinstance(given, str) else (given[0], _kind_of(given[1]()))


# --- mending -------------------------------------------------------------------------------


def mend(tx: Transaction, lease: Lease, damage: Damage, *, from_log: bool) -> None:
    """Make the tables of a sync fit together, for a full run to start over from.

    Args:
        tx: The transaction.
        lease: Under which it is done.
        damage: What is wrong.
        from_log: Whether those whom the log names as sent may be removed when they have left.
            Not where a person has a second identifier: the log does not know it.

    Raises:
        LeaseLost: Another run has taken over; nothing was changed.
        WarehouseError: Something is in the way.
    """
    if damage.obstacles:
        damage.refuse()
    known = tx.warehouse.tables
    tables = RunTables(damage.sync_name, damage.run_id, tx.warehouse.schema, (), ())
    for kind in damage.gone:
        tx.create_empty(getattr(tables, kind))
    row = tx.control.rows(control.read_state(known.state, damage.sync_name))[0]
    values = {
        "committed_run_id": damage.run_id,
        "last_run_id": damage.last_run_id,
        "mapping": _fields_alone(row.mapping),
        "requests_sent": row.requests_sent or 0,
    }
    if not damage.is_pointed_to:
        values |= _position(tx, damage, tables)
    mended = statements.mend_state(known.state, damage.sync_name, lease.token, values)
    lease.guard(tx.control.run(mended))
    since = tx.control.scalar(last_full_run(known.runs, damage.sync_name)) or 0
    # Without any run in sync_runs nobody knows which list the log speaks of.
    if from_log and tx.control.rows(statements.known_runs(known.runs, damage.sync_name))[0][0]:
        kept = statements.keep_logged(
            known.residue,
            known.log,
            tx.reach(known.failed, damage.sync_name),
            sync_name=damage.sync_name,
            run_id=damage.run_id,
            since=since,
        )
        tx.run(kept)


def _position(tx: Transaction, damage: Damage, tables: RunTables) -> dict[str, int]:
    """Return where the run was, as far as its row says: at its end, or nobody knows."""
    changes = int(tx.scalar(statements.count_rows_of(tables.changes)))
    runs = tx.warehouse.tables.runs
    finished = tx.control.scalar(statements.has_finished(runs, damage.sync_name, damage.run_id))
    return {"position": changes if finished else 0, "send_limit": changes}


def _fields_alone(mapping: str | None) -> str:
    """Return a mapping without its columns: nothing is compared with a base that was mended."""
    try:
        fields = json.loads(mapping or "{}").get("fields", [])
        text = json.dumps({"columns": {}, "fields": fields})
        read_mapping(text)
    except (TypeError, ValueError, AttributeError):
        return json.dumps({"columns": {}, "fields": []})
    return text

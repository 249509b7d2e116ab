"""The plan of a run: what the query says now against what was last committed.

Nothing here talks to the destination, and nothing is proportional to the table: every step is a
statement in the warehouse. Planning happens inside one transaction of the caller, who commits
it together with the pointer to the run (the commit point), or rolls it back.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

from reverse_etl.connector import Operation
from reverse_etl.errors import SourceError
from reverse_etl.report import by_operation
from reverse_etl.warehouse.landing import asked
from reverse_etl.warehouse.shape import Base, Shape, SourceColumn
from reverse_etl.warehouse.statements.changes import (
    ChangesStatements,
    PendingStatements,
    count_plan,
    count_residue,
    count_rows,
    digest,
)
from reverse_etl.warehouse.statements.snapshot import SnapshotStatements, count_refused
from reverse_etl.warehouse.tables import (
    CHANGE_COLUMNS,
    IDENTITY_COLUMNS,
    PENDING_COLUMNS,
    RunTables,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import TableClause

    from reverse_etl.config import SyncConfig
    from reverse_etl.connector import DestinationObject
    from reverse_etl.warehouse.base import Transaction

# Fewer deletes than this never hold a run, unless nobody would be left (design §6.4).
FEW_DELETES = 5


@dataclass(frozen=True)
class Part:
    """The changes of one phase and one operation: consecutive places of the plan.

    Attributes:
        phase: All changes of a phase are settled before the next one begins.
        operation: What they do.
        first: Sequence number of the first one.
        last: Sequence number of the last one.
    """

    phase: int
    operation: Operation
    first: int
    last: int

    @property
    def size(self) -> int:
        """Return the number of changes."""
        return self.last - self.first + 1


@dataclass(frozen=True)
class Plan:
    """What a run will send, counted; the changes themselves are in ``tables.changes``.

    Attributes:
        shape: The sync as SQL sees it.
        tables: The run's tables.
        base: The run it was compared with, or None.
        rows_read: Rows of the query.
        rows_invalid: Rows without any usable identifier.
        rows_newly_invalid: Those of them that no earlier run had refused for the same reason.
        rows_duplicate: Rows that lost their identity to another row.
        identities: People in the new snapshot.
        parts: What is sent, in this order.
        retries: Changes that come from a failed record or an unconfirmed plan.
        new_deletes: Deletes that no earlier run had planned.
        base_identities: People the destination is believed to hold.
    """

    shape: Shape
    tables: RunTables
    base: Base | None
    rows_read: int
    rows_invalid: int
    rows_newly_invalid: int
    rows_duplicate: int
    identities: int
    parts: Sequence[Part] = ()
    retries: int = 0
    new_deletes: int = 0
    base_identities: int = 0

    @property
    def planned(self) -> dict[Operation, int]:
        """Return the number of changes by operation."""
        planned = by_operation()
        for part in self.parts:
            planned[part.operation] += part.size
        return planned

    @property
    def size(self) -> int:
        """Return the number of changes."""
        return sum(part.size for part in self.parts)

    def held_reason(self, max_delete_percent: float) -> str | None:
        """Return why the brake holds the run, or None: too many people would newly leave."""
        if self.base_identities == 0 or self.new_deletes == 0:
            return None
        if self.new_deletes < FEW_DELETES and self.identities > 0:
            return None
        if self.new_deletes * 100 <= max_delete_percent * self.base_identities:
            return None
        percent = 100 * self.new_deletes / self.base_identities
        fate = "lose the fields that were sent" if self.shape.clears_fields else "be removed"
        return (
            f"{self.new_deletes} of {self.base_identities} people would {fate} "
            f"({percent:.1f} %, max_delete_percent is {max_delete_percent:g})"
        )


def make_plan(  # noqa: PLR0913 - the parts of a run, each by name
    tx: Transaction,
    sync: SyncConfig,
    destination: DestinationObject,
    base: Base | None,
    *,
    run_id: int,
    full: bool,
    fresh: bool = False,
    temporary: bool = False,
    audited: TableClause | None = None,
    when_read: Callable[[int], None] | None = None,
) -> Plan:
    """Evaluate the query once and plan the difference.

    Args:
        tx: The transaction that all tables are made in.
        sync: The sync.
        destination: Its object at the destination.
        base: The last committed run, or None to start from nothing.
        run_id: Number of this run.
        full: Send every current row again.
        fresh: Leave failed records out of account (another account starts from nothing).
        temporary: Make only temporary tables, for a preview.
        audited: Temporary table of what an audit found wrong, to be planned as well.
        when_read: Told the number of rows once the query is evaluated.

    Raises:
        SourceError: The query fails, or lacks a column of the mapping.
    """
    with placed(sync), asked(tx, lambda source: shape_of(source, sync, destination)) as shape:
        steps = _Steps(tx, shape, base, run_id=run_id, full=full, temporary=temporary)
        rows_read = steps.take_snapshot()
        if when_read is not None:
            when_read(rows_read)
    refused = steps.resolve_contested()
    pending = not fresh and steps.collect_pending(audited, retry=sync.retry_failed_records)
    steps.plan_changes(pending=pending)
    parts, retries, new_deletes = steps.count_changes()
    steps.clean_up(pending=not fresh)
    return Plan(
        shape=shape,
        tables=steps.tables,
        base=base,
        rows_read=rows_read,
        rows_invalid=refused.invalid,
        rows_newly_invalid=refused.newly_invalid,
        rows_duplicate=refused.duplicate,
        identities=steps.identities,
        parts=parts,
        retries=retries,
        new_deletes=new_deletes,
        base_identities=steps.count_base() if new_deletes else 0,
    )


# --- the sync, as SQL sees it --------------------------------------------------------------


def shape_of(tx: Transaction, sync: SyncConfig, destination: DestinationObject) -> Shape:
    """Match the mapping with the columns of the query.

    Raises:
        SourceError: The query fails, or lacks a column of the mapping.
    """
    source = sync.source
    query = tx.warehouse.source_query(source.query, source.table, source.relation)
    columns = _Columns(tx.columns_of(query), sync)
    primary_key = tuple(columns.find(name, "source.primary_key") for name in source.primary_key)
    identifiers = tuple(
        (known, columns.find(sync.identifiers[known.name], f"identifiers.{known.name}"))
        for known in destination.identifiers
        if known.name in sync.identifiers
    )
    fields = tuple(
        replace(mapped, column=columns.find(mapped.column, f"fields.{mapped.name}"))
        if mapped.column
        else mapped
        for mapped in sync.mapping.fields
    )
    columns.refuse_missing()
    second = destination.identifiers[1].name if len(destination.identifiers) > 1 else None
    alias_name = second if second in sync.identifiers else None
    return Shape(
        sync_name=sync.name,
        query=query,
        primary_key=primary_key,
        identifiers=identifiers,
        alias_name=alias_name,
        prefixed=destination.prefixed,
        sends_alias=destination.sends_alias and alias_name is not None,
        deletes=destination.deletes and sync.mode == "mirror",
        upsert=sync.mode == "upsert",
        fields=fields,
        columns=columns.used,
        clears_fields=destination.clears_fields,
        whole_seconds=destination.whole_seconds,
    )


@contextmanager
def placed(sync: SyncConfig) -> Iterator[None]:
    """Let what is wrong with the query say where in the config it stands."""
    try:
        yield
    except SourceError as error:
        place = sync.place("source.query", "source.table", "source.dbt_model")
        if place is None:
            raise
        raise SourceError(f"{place}: {error}", code=error.code, brief=error.brief) from None


class _Columns:
    """The columns of the query, found by name; what is missing is told all at once."""

    def __init__(self, found: Sequence[SourceColumn], sync: SyncConfig) -> None:
        self._sync = sync
        self._found = {column.name: column for column in found}
        self._missing: list[str] = []
        self.used: dict[str, SourceColumn] = {}

    def find(self, name: str, key: str) -> str:
        """Return the engine's spelling of a column named in the config under ``key``."""
        column = self._found.get(name) or self._without_case(name)
        if column is None:
            close = get_close_matches(name, self._found, 1)
            hint = f" (closest: {close[0]})" if close else ""
            self._missing.append(f"{self._key(key)} names the column {name}{hint}")
            return name
        if column.name.lower() in _OUR_COLUMNS:
            text = f"{self._key(key)} names {column.name}, a word of our own: give it an alias"
            self._missing.append(text)
        self.used[column.name] = column
        return column.name

    def _key(self, key: str) -> str:
        place = self._sync.place(f"{key}.column", key)
        return f"{key} ({place})" if place else key

    def _without_case(self, name: str) -> SourceColumn | None:
        alike = [c for known, c in self._found.items() if known.lower() == name.lower()]
        return alike[0] if len(alike) == 1 else None

    def refuse_missing(self) -> None:
        """Raise a SourceError that names every column that was not found."""
        if self._missing:
            there = (
                f"Its columns are {', '.join(self._found)}" if self._found else "It has no column"
            )
            raise SourceError(
                f"the query lacks columns of the mapping: {'; '.join(self._missing)}. {there}.",
            )


_OUR_COLUMNS = {
    name if isinstance(name, str) else name[0]
    for name in (*IDENTITY_COLUMNS, *CHANGE_COLUMNS, "_rank", "_person", "_place", "_claim")
}


# --- the steps -----------------------------------------------------------------------------


@dataclass
class _Refused:
    invalid: int = 0
    newly_invalid: int = 0
    duplicate: int = 0


class _Steps:
    """The statements of one planning, in order, and what they counted."""

    def __init__(  # noqa: PLR0913 - the parts of a planning
        self,
        tx: Transaction,
        shape: Shape,
        base: Base | None,
        *,
        run_id: int,
        full: bool,
        temporary: bool,
    ) -> None:
        self.tx, self.shape, self.base = tx, shape, base
        self.full, self.temporary = full, temporary
        self.identities = 0
        schema = tx.warehouse.schema
        self.tables = RunTables(
            shape.sync_name,
            run_id,
            schema,
            shape.columns,
            shape.plan_columns,
            scratch=tx.scratch if temporary else None,
        )
        self.before = base_tables(shape.sync_name, base, schema) if base else None
        columns = (*IDENTITY_COLUMNS, *shape.columns)
        ranked = (*columns, "_rank", "_person", "_place", "_claim")
        self.contested = tx.scratch(f"contested_{shape.sync_name}", (*columns, "_rank"))
        self.resolved = tx.scratch(f"resolved_{shape.sync_name}", ranked)
        self.pending = tx.scratch(f"pending_{shape.sync_name}", PENDING_COLUMNS)
        self.rewrites = not tx.warehouse.capabilities.row_deletes
        self.rows = (
            tx.scratch(f"rows_{shape.sync_name}", columns, kept=True)
            if self.rewrites
            else self.tables.snapshot
        )
        self.taking = SnapshotStatements(
            shape,
            tx.warehouse.sql,
            self.rows,
            self.contested,
            self.resolved,
        )

    def take_snapshot(self) -> int:
        """Evaluate the query; return its number of rows."""
        self.tx.create_from_query(self.rows, self.taking.take())
        # Now, and not when it is done: PostgreSQL needs to know its size to find shared identities.
        self.tx.finish(self.rows)
        if not self.temporary:
            self.tx.commit_new_table()
        self.identities = self._count(self.rows)
        return self.identities

    def resolve_contested(self) -> _Refused:
        """Leave one row per person in the snapshot; set the others aside."""
        self.tx.create(self.contested, self.taking.contest())
        contested = self._count(self.contested)
        self.tx.create_empty(self.tables.refused)
        refused = _Refused()
        if contested:
            self.tx.create(self.resolved, self.taking.resolve())
            self._replace_contested()
            self.identities = self._count(self.tables.snapshot)
            before = self.before.refused if self.before else None
            for chosen in self.taking.refuse(before):
                self.tx.run(self.taking.set_aside(self.tables.refused, chosen))
            refused = self._count_refused()
            self.tx.drop(self.resolved)
        elif self.rewrites:
            self.tx.rename(self.rows, self.tables.snapshot)
        self.tx.drop(self.contested)
        return refused

    def _replace_contested(self) -> None:
        """Let the winners take the place of the contested rows."""
        if self.rewrites:
            self.tx.create(self.tables.snapshot, self.taking.without_contested())
            self.tx.drop(self.rows)
            return
        for statement in self.taking.remove_contested():
            self.tx.run(statement)
        self.tx.run(self.taking.return_winners())

    def collect_pending(self, audited: TableClause | None, *, retry: bool) -> bool:
        """Gather what earlier runs left open and what an audit found; return if there is any."""
        tables = self.tx.warehouse.tables
        statements = PendingStatements(
            self.shape.sync_name,
            self.tx.reach(tables.failed, self.shape.sync_name),
            tables.residue,
            self.base,
            self.before.changes if self.before else None,
            self.before.outcomes if self.before else None,
            retry=retry,
            full=self.full,
            clears_fields=self.shape.clears_fields,
            audited=audited,
        )
        self.tx.create(self.pending, statements.collect())
        return self._count(self.pending) > 0

    def plan_changes(self, *, pending: bool) -> None:
        """Write the plan, numbered in the order of sending, and who stays as residue."""
        statements = ChangesStatements(
            self.shape,
            self.tx.warehouse.sql,
            self.tables.snapshot,
            self.tables.refused,
            self.before.snapshot if self.before else None,
            self.base,
            self.tx.warehouse.tables.former,
            self.pending if pending else None,
            full=self.full,
        )
        if pending and self.base is not None and self.shape.sends_alias:
            self.tx.run(statements.write_again(self.pending, self.base))
        self.tx.create(self.tables.changes, statements.plan())
        if not self.temporary:
            self.tx.finish(self.tables.changes, by="_seq")
            self.tx.create_empty(self.tables.outcomes)
            # Else PostgreSQL takes it for large, and hashes the whole plan to join it.
            self.tx.finish(self.tables.outcomes)
            # Who left while no delete is possible stays there, except in upsert mode.
            if self.shape.upsert or (self.shape.deletes and self.shape.alias_name):
                residue, run_id = self.tx.warehouse.tables.residue, self.tables.run_id
                self.tx.run(statements.keep_residue(residue, self.tables.changes, run_id))
            if self.shape.sends_alias:
                self.tx.run(statements.keep_former(self.tables.changes, self.tables.run_id))

    def count_changes(self) -> tuple[list[Part], int, int]:
        """Count the plan: its parts in order, retries, and deletes that are new."""
        parts: dict[tuple[int, str], Part] = {}
        retries = new_deletes = 0
        counted = self.tx.rows(count_plan(self.tables.changes))
        for phase, operation, retry, carried, count, first, last in counted:
            part = parts.get((phase, operation), Part(phase, Operation(operation), first, last))
            parts[phase, operation] = replace(
                part, first=min(part.first, first), last=max(part.last, last)
            )
            retries += count if retry else 0
            if operation == Operation.DELETE and not carried:
                new_deletes += count
        return sorted(parts.values(), key=lambda part: part.first), retries, new_deletes

    def count_base(self) -> int:
        """Count the people that the destination is believed to hold."""
        if self.before is None or self.base is None:
            return 0
        residue = self.tx.warehouse.tables.residue
        left = count_residue(residue, self.shape.sync_name, self.base.run_id)
        return self._count(self.before.snapshot) + int(self.tx.scalar(left))

    def clean_up(self, *, pending: bool) -> None:
        """Drop what only this planning needed."""
        if pending:
            self.tx.drop(self.pending)

    def _count(self, table: TableClause) -> int:
        return int(self.tx.scalar(count_rows(table)))

    def _count_refused(self) -> _Refused:
        counted = _Refused()
        for kind, new, rows in self.tx.rows(count_refused(self.tables.refused)):
            if kind == "duplicate":
                counted.duplicate += rows
            else:
                counted.invalid += rows
                counted.newly_invalid += rows if new else 0
        return counted


def base_tables(sync_name: str, base: Base, schema: str) -> RunTables:
    """Return the tables of a committed run."""
    return RunTables(sync_name, base.run_id, schema, base.columns, base.columns)


def plan_digest(tx: Transaction, plan: Plan) -> str:
    """Return a short text that is the same for the same changes with the same values."""
    columns = ["_operation", "_identity", "_alias", *plan.shape.plan_columns]
    if plan.shape.clears_fields:
        columns.append("_fields")
    changes = plan.tables.changes
    total = tx.scalar(digest(tx.warehouse.sql, changes, columns))
    mapping = f"{plan.shape.mapping()}\n{plan.base.run_id if plan.base else 0}\n{total}"
    return hashlib.sha256(mapping.encode()).hexdigest()[:32]

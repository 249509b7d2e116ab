"""What is read and written when the tables of a sync move to another warehouse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select, update

from reverse_etl.warehouse.tables import exact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Delete, Table, TableClause, Update

    from reverse_etl.warehouse.shape import SourceColumn
    from reverse_etl.warehouse.sql import Chosen, Sql


def of_sync(table: Table, sync_name: str) -> Chosen:
    """Every line about a sync."""
    return select(table).where(table.c.sync_name == sync_name)


def forget_sync(table: Table, sync_name: str) -> Delete:
    """Drop every line about a sync."""
    return delete(table).where(table.c.sync_name == sync_name)


def newest_line(ledger: Table, sync_name: str) -> Chosen:
    """The newest run that a ledger has lines of; NULL for none."""
    return select(func.max(ledger.c.sync_run_id)).where(ledger.c.sync_name == sync_name)


def whole_table(table: TableClause) -> Chosen:
    """Every row of a table of ours."""
    return select(*table.c)


def whole_snapshot(snapshot: TableClause, columns: Mapping[str, SourceColumn], sql: Sql) -> Chosen:
    """A snapshot as its columns are read from a plan."""
    ours = [column for column in snapshot.c if column.name not in columns]
    theirs = [
        sql.read(snapshot.c[name], column).label(exact(name)) for name, column in columns.items()
    ]
    return select(*ours, *theirs)


def take_over(
    state: Table, sync_name: str, token: int, values: Mapping[str, Any], place: str
) -> Update:
    """Let the row say what that of another warehouse said, and that the other one counts."""
    row = state.c
    mine = update(state).where(row.sync_name == sync_name, row.lease_token == token)
    return mine.values(**values, moved_to=place)


def point_away(state: Table, sync_name: str, token: int, place: str | None) -> Update:
    """Say where the tables that count are; None for here."""
    row = state.c
    mine = update(state).where(row.sync_name == sync_name, row.lease_token == token)
    return mine.values(moved_to=place)

"""What is in a warehouse, for somebody who sees it for the first time: its tables, and one table.

Nothing is written; of the rows only counts come back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from reverse_etl.warehouse.shape import Kind
from reverse_etl.warehouse.statements.sample import count_sample

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.engine import Inspector

    from reverse_etl.warehouse.base import Transaction
    from reverse_etl.warehouse.shape import SourceColumn

# Rows that are looked at. All rows of a large table would take as long as a run.
SAMPLE_ROWS = 5_000

# Columns counted by one statement. DuckDB sets memory aside to count different values, some 3 MB
# for each column, however few rows there are (measured with 2.0).
_COLUMNS_AT_ONCE = 25

# Types whose values may name somebody or something.
NAMING = frozenset({Kind.TEXT, Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT, Kind.OTHER})

# What the engines themselves keep in schemas.
_SYSTEM_SCHEMAS = frozenset(
    ("information_schema", "mysql", "performance_schema", "sys", "system"),
)


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """A column, and what is in the rows that were looked at.

    Attributes:
        name: Exactly as the engine spells it.
        kind: What its values are.
        filled: Rows in which it is neither NULL nor blank; this and the next ones are 0 for types
            that name nobody (:data:`NAMING`).
        distinct: Different values.
        addresses: Rows in which it looks like an e-mail address.
    """

    name: str
    kind: Kind
    filled: int = 0
    distinct: int = 0
    addresses: int = 0


@dataclass(frozen=True, slots=True)
class TableFacts:
    """A table, as a first look shows it.

    Attributes:
        name: As the config names it.
        columns: In their order.
        rows: How many rows were looked at.
        is_whole: Whether these are all rows.
        key: The columns of its declared primary key, if it has one.
    """

    name: str
    columns: tuple[ColumnFacts, ...]
    rows: int
    is_whole: bool
    key: tuple[str, ...] = ()


def visible_tables(tx: Transaction) -> list[str]:
    """Return the names of tables and views as a config can say them, our own left out.

    Those of the connection's own schema come first, without it.
    """
    inspector = sa.inspect(tx.connection)
    own = inspector.default_schema_name
    names = _names(inspector, own)
    for schema in _schemas(inspector):
        is_system = schema.lower() in _SYSTEM_SCHEMAS or schema.lower().startswith("pg_")
        if not is_system and schema not in {own, tx.warehouse.schema}:
            names += [f"{schema}.{name}" for name in _names(inspector, schema)]
    return names


def look_at_table(tx: Transaction, table: str) -> TableFacts:
    """Return the columns of a table, and counts of its first rows.

    Args:
        tx: A transaction of its warehouse.
        table: As a config names it: ``name`` or ``schema.name``.

    Raises:
        SourceError: The engine has no such table, or does not let this role read it.
    """
    query = tx.warehouse.source_query(None, table, None)
    columns = tx.columns_of(query)
    rows, counts = _counts(tx, query, columns)
    return TableFacts(
        name=table,
        columns=tuple(ColumnFacts(c.name, c.kind, *counts.get(c.name, ())) for c in columns),
        rows=rows,
        is_whole=rows < SAMPLE_ROWS,
        key=_declared_key(tx, table),
    )


def _counts(
    tx: Transaction, query: str, columns: Sequence[SourceColumn]
) -> tuple[int, dict[str, list[int]]]:
    """Return how many rows were looked at, and the counts of each column that may name anything."""
    names, sql = [column.name for column in columns], tx.warehouse.sql
    naming = [column for column in columns if column.kind in NAMING]
    rows, counts = 0, dict[str, list[int]]()
    for first in range(0, max(len(naming), 1), _COLUMNS_AT_ONCE):
        part = naming[first : first + _COLUMNS_AT_ONCE]
        (counted,) = tx.rows(count_sample(query, names, part, sql, SAMPLE_ROWS))
        rows, *threes = map(int, counted)
        counts |= {column.name: threes[3 * n : 3 * n + 3] for n, column in enumerate(part)}
    return rows, counts


def _declared_key(tx: Transaction, table: str) -> tuple[str, ...]:
    """Return the columns of the primary key; none where the engine does not tell."""
    schema, _, name = table.rpartition(".")
    try:
        found = sa.inspect(tx.connection).get_pk_constraint(name, schema or None)
    except (NotImplementedError, sa.exc.NoSuchTableError):
        return ()
    return tuple(found["constrained_columns"])


def _schemas(inspector: Inspector) -> list[str]:
    try:
        return inspector.get_schema_names()
    except NotImplementedError:
        return []


def _names(inspector: Inspector, schema: str | None) -> list[str]:
    kinds: tuple[Callable[..., list[str]], ...] = (
        inspector.get_table_names,
        inspector.get_view_names,
        inspector.get_materialized_view_names,
    )
    found: set[str] = set()
    for names in kinds:
        try:
            found.update(names(schema))
        except NotImplementedError:
            continue
    return sorted(found)

"""A source that is only read: what its query finds is streamed into the warehouse that works.

The source is asked twice: which columns the query has, and then for its rows, once. They arrive
as Arrow, a piece at a time, in the form in which a connector reads them; the *kind* of a column is
what the source says, also where the warehouse that keeps it has only text for it.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

import pyarrow as pa
import sqlalchemy as sa

from reverse_etl.errors import ReverseEtlError
from reverse_etl.warehouse.shape import Kind, SourceColumn
from reverse_etl.warehouse.sql import Expression, Sql
from reverse_etl.warehouse.statements.snapshot import all_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlalchemy.types import TypeEngine

    from reverse_etl.warehouse.base import Transaction, Warehouse
    from reverse_etl.warehouse.shape import Shape


@contextmanager
def asked(tx: Transaction, ask: Callable[[Transaction], Shape]) -> Iterator[Shape]:
    """Yield a sync as SQL sees it, with a query that can be evaluated here, once.

    Args:
        tx: Where the rows are wanted.
        ask: Matches the mapping with the columns of the query, where the query belongs.

    Raises:
        SourceError: The query fails, or lacks a column of the mapping; also while its rows are
            read inside the block.
    """
    source = tx.warehouse.source
    if source is tx.warehouse:
        yield ask(tx)
        return
    with source.looking() as there:
        shape = ask(there)
        rows = _Rows(source)
        try:
            with (
                source.stream(all_rows(shape, source.sql)) as reader,
                tx.warehouse.landing(tx, shape.sync_name, rows.watched(reader)) as query,
            ):
                yield replace(shape, query=query)
        except ReverseEtlError as error:
            # Whoever reads the rows only knows that there were no more.
            raise rows.error or error from None
        except Exception as error:
            if rows.error is None and not isinstance(error, source.driver_errors()):
                raise
            raise rows.error or source.explained_reading(error) from None


class _Rows:
    """Rows on their way, and what stopped them."""

    def __init__(self, source: Warehouse) -> None:
        self._source = source
        self.error: ReverseEtlError | None = None

    def watched(self, reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
        """Return the rows, decimals as text whatever the source hands over: all of one kind."""
        schema = pa.schema(
            [pa.field(field.name, _travels_as(field.type)) for field in reader.schema]
        )
        return pa.RecordBatchReader.from_batches(schema, self._batches(reader, schema))

    def _batches(self, reader: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        try:
            for batch in reader:
                yield batch.cast(schema)
        except Exception as error:
            self.error = self._source.explained_reading(error)
            raise


def _travels_as(arrow: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_decimal(arrow) else arrow


# Rows that may become Python values at a time: not every driver takes Arrow.
_ROWS_UPLOADED = 50_000


# --- into a table ---------------------------------------------------------------------------


@contextmanager
def land(tx: Transaction, name: str, rows: pa.RecordBatchReader) -> Iterator[str]:
    """Write rows into a scratch table, a piece at a time; yield a query that finds them."""
    columns = tuple((field.name, _type_for(field.type)) for field in rows.schema)
    table = tx.scratch(f"source_{name}", columns)
    tx.create_empty(table)
    for batch in pieces(rows):
        tx.upload(table, batch)
    yield str(sa.select(*table.c).compile(tx.connection))
    tx.drop(table)


def pieces(rows: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """Yield some rows at a time, as they are uploaded: nested values as JSON."""
    for batch in rows:
        for start in range(0, batch.num_rows, _ROWS_UPLOADED):
            part = batch.slice(start, _ROWS_UPLOADED)
            yield pa.RecordBatch.from_arrays(list(map(_flat, part.columns)), part.schema.names)


def _type_for(arrow: pa.DataType) -> type[TypeEngine[Any]]:
    """Return the type of a column for Arrow values."""
    for is_it, found in _ARROW_TYPES:
        if is_it(arrow):
            return found
    return sa.String


class _Instant(sa.TIMESTAMP):
    """A time with a zone, also when it is named without parameters."""

    def __init__(self) -> None:
        super().__init__(timezone=True)


_ARROW_TYPES: tuple[tuple[Callable[[pa.DataType], bool], type[TypeEngine[Any]]], ...] = (
    (pa.types.is_boolean, sa.Boolean),
    (pa.types.is_integer, sa.BigInteger),
    (pa.types.is_floating, sa.Double),
    (pa.types.is_decimal, sa.Numeric),
    (pa.types.is_date, sa.Date),
    (lambda arrow: pa.types.is_timestamp(arrow) and arrow.tz is None, sa.DateTime),
    (pa.types.is_timestamp, _Instant),
    (pa.types.is_binary, sa.LargeBinary),
)


def _flat(values: pa.Array) -> pa.Array:
    """Return nested values as JSON, others as they are."""
    if not pa.types.is_nested(values.type):
        return values
    found = values.to_pylist()
    texts = [value if value is None else json.dumps(value, default=str) for value in found]
    return pa.array(texts, pa.string())


# --- expressions over what has landed ------------------------------------------------------


def landed(home: Sql, source: Sql) -> Sql:
    """Return how one engine spells expressions over columns that came from another.

    Args:
        home: The engine that keeps them.
        source: The engine that they came from.
    """
    # What has no nested type keeps JSON in its place.
    nested = {Kind.NESTED: "json"} if Kind.NESTED in home.read_as else {}
    made = type("Landed", (_Landed, type(home)), {"read_as": {**source.read_as, **nested}})
    return cast("Sql", made())


class _Landed(Sql):
    """Over the spelling of an engine: columns whose kind may be another than their type."""

    read_as: ClassVar[Mapping[Kind, str]] = {}

    def kind_in_tables(self, column: SourceColumn) -> Kind:
        """Return text for what arrived as text."""
        is_text = column.kind in self.read_as or column.kind is Kind.OTHER
        return Kind.TEXT if is_text else column.kind

    def _is_decimal_text(self, column: SourceColumn) -> bool:
        return column.kind is Kind.DECIMAL and self.kind_in_tables(column) is Kind.TEXT

    def _here(self, column: SourceColumn) -> SourceColumn:
        return replace(column, kind=self.kind_in_tables(column))

    def stored(self, expression: Expression, column: SourceColumn) -> Expression:
        """Keep it as this engine keeps such a type."""
        return super().stored(expression, self._here(column))

    def read(self, expression: Expression, column: SourceColumn) -> Expression:
        """Read it as this engine reads such a type."""
        return super().read(expression, self._here(column))

    def sent(
        self, expression: Expression, column: SourceColumn, *, as_text: bool, whole_seconds: bool
    ) -> Expression:
        """Compare decimals without the zeros at their end, unless these are sent."""
        if self._is_decimal_text(column) and not as_text:
            shorter = sa.func.rtrim(sa.func.rtrim(expression, "0"), ".")
            return sa.case((expression.contains("."), shorter), else_=expression)
        return super().sent(expression, column, as_text=as_text, whole_seconds=whole_seconds)

    def sort_keys(self, expression: Expression, column: SourceColumn) -> Expression:
        """Sort decimals by value, although they are text here."""
        if self._is_decimal_text(column):
            expression = sa.cast(expression, sa.Double)
        return super().sort_keys(expression, column)

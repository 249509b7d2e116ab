"""What the engines share whose SQL was compared as text, and never executed by their service.

Each of them was written from the engine's documentation; ``tests/golden`` has every statement as
the engine's own SQLAlchemy dialect writes it. That is no proof that a service accepts it, so their
errors say so. Text is compared as the column's collation does it: where one ignores case, a change
of nothing else is no change.

Their leases, runs and failed records need a control database (``Capabilities.transactions``),
but for Redshift's.
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import contextmanager
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError

from reverse_etl.errors import ReverseEtlError, WarehouseError
from reverse_etl.warehouse.base import Warehouse
from reverse_etl.warehouse.rows import arrow_of
from reverse_etl.warehouse.shape import Kind
from reverse_etl.warehouse.spelling import Spelling
from reverse_etl.warehouse.sql import WHITE_SPACE, Expression, Sql

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine, TableClause

    from reverse_etl.warehouse.shape import SourceColumn

# Rows written by one INSERT. Services limit the length of a statement: 1 MB at BigQuery and Trino.
ROWS_INSERTED = 200

# Rows fetched at a time where the driver gives rows.
ROWS_FETCHED = 10_000


class UntriedSql(Sql):
    """What most of them spell alike, by the pages on ``date_trunc`` and ``btrim`` of each.

    Attributes:
        decimals_as_text: Whether a driver that gives rows would round them.
    """

    decimals_as_text: ClassVar[bool] = False

    def read(self, expression: Expression, column: SourceColumn) -> Expression:
        """Read decimals with all their digits."""
        as_text = self.decimals_as_text and column.kind is Kind.DECIMAL
        return sa.cast(expression, sa.String) if as_text else expression

    def whole_second(self, expression: Expression, column: SourceColumn) -> Expression:
        """Cut it: a zone changes nothing about its seconds."""
        del column
        return sa.func.date_trunc("second", expression)

    def trimmed(self, expression: Expression) -> Expression:
        """Remove white space from both ends."""
        return sa.func.btrim(expression, WHITE_SPACE)


class UntriedWarehouse(Warehouse):
    """An engine of which only the text was checked.

    Attributes:
        service: Its name.
        extra: The extra of this package that brings its drivers.
        spelling: What it writes differently.
        inserts_literals: Whether it takes too few parameters for many rows at once.
    """

    service: ClassVar[str]
    extra: ClassVar[str]
    spelling: ClassVar[type[Spelling]] = Spelling
    inserts_literals: ClassVar[bool] = False

    _reader: Any = None

    def make_engine(self) -> Engine:
        """Return the engine.

        Raises:
            WarehouseError: The drivers are not installed, or refuse the URL.
        """
        try:
            engine = super().make_engine()
        except (ImportError, NoSuchModuleError):
            raise WarehouseError(
                f"{self.service} needs drivers of its own: install them with  "
                f"pip install 'reverse-etl[{self.extra}]'",
            ) from None
        except sa.exc.ArgumentError as error:
            raise WarehouseError(f"{self.service} cannot use this url: {error}") from None
        self.adapt(engine.dialect)
        return engine

    def adapt(self, dialect: sa.Dialect) -> None:
        """Teach a SQLAlchemy dialect the spelling."""
        mixed = type("Compiler", (self.spelling, dialect.statement_compiler), {})
        dialect.statement_compiler = mixed

    def close(self) -> None:
        """Close the connection for reading too."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        super().close()

    # --- reading ---------------------------------------------------------------------------

    def describe(self, connection: Connection, query: str) -> list[tuple[str, str]]:
        """Return the columns of a query, without evaluating it."""
        native: Any = connection.connection.driver_connection
        try:
            return self.columns_of(native, query)
        except self.driver_errors() as error:
            raise DBAPIError(query, None, error, hide_parameters=True) from None

    @abstractmethod
    def columns_of(self, native: Any, query: str) -> list[tuple[str, str]]:  # noqa: ANN401
        """Ask a connection of the driver for the columns of a query, names with types."""

    def read_arrow(self, statement: str) -> pa.Table:
        """Read on a connection of its own."""
        try:
            with self.stream_arrow(statement) as reader:
                return reader.read_all()
        except self.driver_errors() as error:
            raise WarehouseError(f"the warehouse failed: {self.plain_reason(error)}") from None

    @contextmanager
    def stream_arrow(self, statement: str) -> Iterator[pa.RecordBatchReader]:
        """Read on a connection of its own, a piece at a time."""
        if self._reader is None:
            self._reader = self.engine.raw_connection()
        pieces = self.pieces(self._reader.driver_connection, statement)
        first = next(pieces)
        batches = chain.from_iterable(piece.to_batches() for piece in chain([first], pieces))
        yield pa.RecordBatchReader.from_batches(first.schema, batches)
        # The next page is to see what was committed since.
        self._reader.rollback()

    def pieces(self, native: Any, statement: str) -> Iterator[pa.Table]:  # noqa: ANN401
        """Execute a statement on a connection of the driver; yield one or more tables."""
        cursor = native.cursor()
        try:
            cursor.execute(statement)
            names = [column[0] for column in cursor.description]
            kinds = [self.kind_of(column[1]) for column in cursor.description]
            rows = cursor.fetchmany(ROWS_FETCHED)
            yield arrow_of(rows, names, kinds)
            while rows := cursor.fetchmany(ROWS_FETCHED):
                yield arrow_of(rows, names, kinds)
        finally:
            cursor.close()

    def kind_of(self, type_code: Any) -> Kind:  # noqa: ANN401 - as the driver has it
        """Return the kind of a column of a result."""
        return self.sql.kind(str(type_code))

    def driver_errors(self) -> tuple[type[Exception], ...]:
        """Return what the driver raises."""
        return (self.engine.dialect.loaded_dbapi.Error,)

    # --- writing ---------------------------------------------------------------------------

    def upload(self, connection: Connection, table: TableClause, rows: pa.RecordBatch) -> None:
        """Append the rows, some with each statement."""
        values = iter(rows.to_pylist())
        try:
            while part := list(islice(values, ROWS_INSERTED)):
                statement = sa.insert(table).values(part)
                if self.inserts_literals:
                    connection.exec_driver_sql(_with_literals(statement, connection.dialect))
                else:
                    connection.execute(statement)
        except DBAPIError as error:
            # The caller tells what happened, without the values.
            raise error.orig or error from None

    # --- errors ----------------------------------------------------------------------------

    def explained(self, error: SQLAlchemyError, source: str | None = None) -> ReverseEtlError:
        """Add that the fault may be this program's."""
        found = super().explained(error, source)
        if type(found) is not WarehouseError:
            return found
        return WarehouseError(
            f"{found}. The SQL for {self.service} was never executed by the service itself, only "
            "compared as text: this may be a fault of this program, which is worth reporting",
        )


def _with_literals(statement: sa.Insert, dialect: sa.Dialect) -> str:
    return str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


def run_text(native: Any, statement: str) -> list[Any]:  # noqa: ANN401 - the driver's connection
    """Execute a statement on a connection of a driver; return its rows."""
    cursor = native.cursor()
    try:
        cursor.execute(statement)
        rows: list[Any] = cursor.fetchall()
    finally:
        cursor.close()
    return rows

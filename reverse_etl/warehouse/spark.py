"""Apache Spark, over its Thrift server (PyHive); our tables are Parquet files.

What it does otherwise than the rest:

* A statement takes effect by itself, and no row can be changed or deleted. So leases, runs and
  failed records need a control database, and the tables that are added to for years have a
  partition per run, which is dropped as a whole.
* Nothing is temporary. What lasts for one step is a table with a name of its own.
* Values of many rows go to the server as one JSON text, which it takes apart: a statement with a
  literal for each of them takes the parser seconds.
* Nested values and variants are kept as JSON; a void column counts as text.

The session runs in UTC, and puts no variables into statements; the rest is the server's, because
queries are written for it.
"""

from __future__ import annotations

import base64
import json
import math
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import date, datetime
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import registry
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from reverse_etl.errors import ReverseEtlError, WarehouseError
from reverse_etl.warehouse.base import LONGEST_LABEL, Warehouse
from reverse_etl.warehouse.capabilities import Capabilities
from reverse_etl.warehouse.shape import Kind
from reverse_etl.warehouse.spark_arrow import batches, of_type, schema_of
from reverse_etl.warehouse.spark_sql import (
    SparkSql,
    plain_text,
    quoted,
    text_literal,
    utc_after_now,
    utc_now,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from sqlalchemy import Connection, Engine, Table, TableClause
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.types import TypeEngine

    from reverse_etl.warehouse.base import Transaction
    from reverse_etl.warehouse.sql import Expression

registry.register("hive.reverse_etl", "reverse_etl.warehouse.spark_dialect", "SparkDialect")

# Rows that one statement adds.
ROWS_INSERTED = 10_000

_INSTANT = pa.timestamp("us", tz="UTC")

# What Java and Hadoop say where files may not be written or read; SQLSTATE 42501 is for the rest.
_NO_RIGHT = ("Permission denied", "AccessControlException", "SQLSTATE: 42501")


class SparkWarehouse(Warehouse):
    """A schema in the catalog of a Spark Thrift server: ``hive://user@host:10000/default``."""

    sql = SparkSql()
    capabilities = Capabilities(
        transactions=False,
        transactional_ddl=False,
        row_deletes=False,
        temporary_tables=False,
        # Hive's metastore has room for so many characters of a schema's name.
        longest_name=128,
    )

    _reader: Any = None

    # --- connections -----------------------------------------------------------------------

    def make_engine(self) -> Engine:
        """Return the engine.

        Raises:
            WarehouseError: The driver is missing.
        """
        try:
            return sa.create_engine(
                self.url.set(drivername="hive+reverse_etl"),
                poolclass=NullPool,
                hide_parameters=True,
                max_identifier_length=LONGEST_LABEL,
            )
        except ModuleNotFoundError as error:
            raise WarehouseError(
                f"Spark needs the module {error.name}: "
                "install it with  pip install 'reverse-etl[spark]'",
            ) from None

    def close(self) -> None:
        """Close the connection for reading too."""
        self._close_reader()
        super().close()

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    @contextmanager
    def _own_transaction(self) -> Iterator[Transaction]:
        try:
            with super()._own_transaction() as tx:
                yield tx
        except _lost_line() as error:
            # What breaks below the driver is no error of the driver's, so nobody has wrapped it.
            found = DBAPIError("a statement", None, error, hide_parameters=True)
            raise self.explained(found) from None

    # --- reading ---------------------------------------------------------------------------

    def describe(self, connection: Connection, query: str) -> list[tuple[str, str]]:
        """Let the engine analyse the query ("DESCRIBE QUERY")."""
        rows = connection.exec_driver_sql(f"DESCRIBE QUERY {query}").all()
        return [(row[0], row[1]) for row in rows]

    def read_arrow(self, statement: str) -> pa.Table:
        """Read on a connection of its own; times without their zones (:meth:`with_kinds`)."""
        try:
            with self._executed(statement, zones=False) as reader:
                return reader.read_all()
        except self.driver_errors() as error:
            found = DBAPIError("a page", None, error, hide_parameters=True)
            raise self.explained(found) from None

    def driver_errors(self) -> tuple[type[Exception], ...]:
        """Return PyHive's, and those of what it speaks through."""
        dialect = self.engine.dialect
        found: type[Exception] = dialect.loaded_dbapi.Error
        return (found, *_lost_line())

    def stream_arrow(self, statement: str) -> AbstractContextManager[pa.RecordBatchReader]:
        """Read on a connection of its own, a piece at a time."""
        return self._executed(statement, zones=True)

    @contextmanager
    def _executed(self, statement: str, *, zones: bool) -> Iterator[pa.RecordBatchReader]:
        if self._reader is None:
            self._reader = self.engine.raw_connection()
        try:
            with closing(self._reader.driver_connection.cursor()) as cursor:
                cursor.execute(statement)
                schema = schema_of(cursor.description)
                if zones and any(pa.types.is_timestamp(field.type) for field in schema):
                    schema = self._with_zones(schema, statement)
                yield pa.RecordBatchReader.from_batches(schema, batches(cursor, schema))
        except self.driver_errors():
            self._close_reader()
            raise

    def _with_zones(self, schema: pa.Schema, statement: str) -> pa.Schema:
        """Return the schema with the zones that a result does not name."""
        with closing(self._reader.driver_connection.cursor()) as cursor:
            cursor.execute(f"DESCRIBE QUERY {statement}")
            kinds = [self.sql.kind(row[1]) for row in cursor.fetchall()]
        return pa.schema(
            [
                field.with_type(_INSTANT) if kind is Kind.INSTANT else field
                for field, kind in zip(schema, kinds, strict=True)
            ]
        )

    def with_kinds(self, table: pa.Table, kinds: Iterable[Kind | None]) -> pa.Table:
        """Give the times the zones of their kinds, which a result does not name."""
        known = list(kinds)
        columns = [
            of_type(column, _INSTANT) if kind is Kind.INSTANT else column
            for column, kind in zip(table.columns, known, strict=True)
        ]
        return super().with_kinds(pa.Table.from_arrays(columns, names=table.column_names), known)

    # --- writing ---------------------------------------------------------------------------

    def upload(self, connection: Connection, table: TableClause, rows: pa.RecordBatch) -> None:
        """Append the rows, many with each statement."""
        columns = rows.to_pydict()
        place, names = quoted(table.schema, table.name), ", ".join(map(quoted, columns))
        types = [_type_for(table, name, values) for name, values in columns.items()]
        compiled = [each.compile(connection.dialect) for each in types]
        values = ", ".join(
            f"unbase64(line[{n}])" if type_ == "BINARY" else f"CAST(line[{n}] AS {type_})"
            for n, type_ in enumerate(compiled)
        )
        told = zip(*(map(_told, given) for given in columns.values()), strict=True)
        while part := list(islice(told, ROWS_INSERTED)):
            lines = text_literal(json.dumps(part))
            try:
                connection.exec_driver_sql(
                    f"INSERT INTO {place} ({names}) SELECT {values} FROM (SELECT explode("  # noqa: S608
                    f"from_json({lines}, 'array<array<string>>', map('mode', 'FAILFAST'))) AS line)"
                )
            except DBAPIError as error:
                # The statement holds the rows, and so may what is said of it.
                name = plain_text(str(error.orig), type(error.orig).__name__).split()[0].strip("[]")
                raise self.driver_errors()[0](name) from None

    def now_expression(self) -> Expression:
        """Return the server's clock."""
        return utc_now()

    def after_now(self, seconds: float) -> Expression:
        """Return the server's clock plus some seconds."""
        return utc_after_now(seconds)

    # --- tables ----------------------------------------------------------------------------

    def layout(self, connection: Connection, names: Collection[str]) -> dict[str, dict[str, str]]:
        """Return the columns of some of our tables, name to type: a question for each table."""
        there = sa.inspect(connection).get_table_names(schema=self.schema)
        found: dict[str, dict[str, str]] = {}
        for name in {each.lower(): each for each in names if each.lower() in there}.values():
            place = quoted(self.schema, name)
            rows = connection.exec_driver_sql(f"DESCRIBE TABLE {place}").all()
            # The partitions are told again below.
            told = [row for row in rows if row[0] and not row[0].startswith("#")]
            found[name] = {row[0]: row[1] for row in told}
        return found

    def forget_run(self, tx: Transaction, ledger: Table, sync_name: str, run_id: int) -> None:
        """Drop the partition of one run."""
        _drop_partitions(tx.connection, ledger, sync_name, [run_id])

    def forget_earlier(
        self,
        tx: Transaction,
        ledger: Table,
        sync_name: str,
        run_id: int,
        finished_before: datetime | None = None,
    ) -> None:
        """Drop the partitions of the runs before one."""
        del finished_before  # a partition needs no index
        known = _runs_with_partitions(tx.connection, ledger, sync_name)
        _drop_partitions(tx.connection, ledger, sync_name, [run for run in known if run < run_id])

    def source_query(self, query: str | None, table: str | None, relation: str | None) -> str:
        """Return the one SELECT of a source; a table's name is quoted as it is here."""
        if query is None and table is not None:
            return super().source_query(None, None, quoted(*table.split(".")))
        return super().source_query(query, None, relation)

    # --- errors ----------------------------------------------------------------------------

    def explained(self, error: SQLAlchemyError, source: str | None = None) -> ReverseEtlError:
        """Explain an error; a connection that breaks under a query is no fault of the query."""
        if isinstance(error, DBAPIError) and isinstance(error.orig, _lost_line()):
            place = f" at {self.url.host}:{self.url.port or 10000}" if self.url.host else ""
            return WarehouseError(
                f"no connection to the warehouse{place}: {self.plain_reason(error.orig)}. "
                "Nothing is lost: check the url of the warehouse, or try again when there is one.",
            )
        return super().explained(error, source)

    def missing_rights(self, error: DBAPIError) -> str | None:
        """Say what who runs the server has to allow: Spark itself has no GRANT."""
        if not any(words in str(error.orig) for words in _NO_RIGHT):
            return None
        schema = quoted(self.schema)
        return (
            f"  CREATE SCHEMA IF NOT EXISTS {schema};\n"
            f"the right of the server's own user to write to the folder of {schema}, and to read "
            "the files of the query's tables;\nand where an authorization plugin rules, CREATE, "
            f"SELECT, INSERT, ALTER and DROP in {schema}, and SELECT on the query's tables"
        )

    def plain_reason(self, error: BaseException | None) -> str:
        """Return the server's message when it speaks of the statement, else only its name."""
        if isinstance(error, _lost_line()):
            return " ".join(str(error).split())
        status = (
            getattr(error.args[0], "status", None) if error is not None and error.args else None
        )
        text = getattr(status, "errorMessage", None) or str(error)
        return plain_text(text, type(error).__name__)


# --- the line to the server ----------------------------------------------------------------


def _lost_line() -> tuple[type[Exception], ...]:
    """Return what says that there is no connection, or none any more."""
    lost: type[Exception] = import_module("thrift.transport.TTransport").TTransportException
    return (lost, ConnectionError, TimeoutError)


# --- rows ----------------------------------------------------------------------------------

_TYPES_OF_VALUES: tuple[tuple[type, type[TypeEngine[Any]]], ...] = (
    (bool, sa.Boolean),
    (int, sa.BigInteger),
    (float, sa.Double),
    (bytes, sa.LargeBinary),
    (datetime, sa.DateTime),
    (date, sa.Date),
)


def _type_for(table: TableClause, name: str, values: Iterable[Any]) -> TypeEngine[Any]:
    """Return the type of a column, or of its first value where nobody said what it is."""
    declared = table.c[name].type if name in table.c else sa.String()
    if not isinstance(declared, sa.String):
        return declared
    first = next((value for value in values if value is not None), None)
    return next((made() for kind, made in _TYPES_OF_VALUES if isinstance(first, kind)), declared)


def _told(value: Any) -> str | None:  # noqa: ANN401 - of any type that a column may have
    """Return a value as a text that the server casts."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return str(value)


# --- partitions ----------------------------------------------------------------------------


def _runs_with_partitions(connection: Connection, ledger: Table, sync_name: str) -> list[int]:
    place = quoted(ledger.schema, ledger.name)
    named = f"PARTITION (sync_name = {text_literal(sync_name)})"
    rows = connection.exec_driver_sql(f"SHOW PARTITIONS {place} {named}").scalars()
    return [int(row.rpartition("=")[2]) for row in rows]


def _drop_partitions(
    connection: Connection, ledger: Table, sync_name: str, runs: Sequence[int]
) -> None:
    if not runs:
        return
    place, sync = quoted(ledger.schema, ledger.name), text_literal(sync_name)
    gone = ", ".join(f"PARTITION (sync_name = {sync}, sync_run_id = {run})" for run in runs)
    connection.exec_driver_sql(f"ALTER TABLE {place} DROP IF EXISTS {gone}")

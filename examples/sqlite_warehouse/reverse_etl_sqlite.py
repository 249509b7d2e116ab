"""SQLite as a warehouse: Python's own driver, reached through SQLAlchemy.

What it does otherwise than the rest:

* There are no schemas. Ours is a file of its own beside the user's (``shop.db.reverse_etl``), which
  each connection attaches under the schema's name.
* There is one writer of a file at a time. Every transaction is one of ours, and waits its turn.
* A column does not decide what its values are. Here it does: a query in which one has another type
  is refused. What has no type, as most expressions, is text; ``CAST`` gives it one.
* There are no regular expressions and no hashes, so Python lends them.

Source of facts: SQLite's documentation ("Datatypes In SQLite", "ATTACH DATABASE", "Transaction").
"""

from __future__ import annotations

import copy
import hashlib
import re
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import Connection, Engine, Executable, TableClause
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateView

from reverse_etl.errors import WarehouseError
from reverse_etl.warehouse.base import LONGEST_LABEL, Warehouse, quoted
from reverse_etl.warehouse.capabilities import Capabilities
from reverse_etl.warehouse.shape import Kind, SourceColumn
from reverse_etl.warehouse.sql import Expression, Sql

if TYPE_CHECKING:
    from sqlalchemy.sql.compiler import DDLCompiler

_WAIT_SECONDS = 60.0  # of a writer for another one, unless the URL says it (?timeout=5)
_ROWS_STREAMED = 20_000  # in one piece
_MOST_ARGUMENTS = 100  # of a function; SQLite takes 127
_EXACT_DOUBLE = 2**53  # doubles hold every integer up to here
_CLOCK = "strftime('%Y-%m-%d %H:%M:%f000', 'now'{})"


# --- expressions -----------------------------------------------------------------------------


class SQLiteSql(Sql):
    """SQLite's spelling."""

    tokenizer = "sqlite"
    # All others are kept as text: dates are that by custom, bytes become digits.
    types: ClassVar = {
        **dict.fromkeys(("varchar", "nvarchar", "char", "nchar", "text", "clob"), Kind.TEXT),
        **dict.fromkeys(("int", "integer", "tinyint", "smallint", "bigint"), Kind.INTEGER),
        **dict.fromkeys(("real", "float", "double", "double precision"), Kind.FLOAT),
        **dict.fromkeys(("numeric", "decimal"), Kind.FLOAT),
        **dict.fromkeys(("boolean", "bool"), Kind.BOOLEAN),
    }
    # There is one since 3.39; older versions have none.
    full_join = False

    def text_of(self, expression: Expression, column: SourceColumn) -> Expression:
        """Return the text of an identifier: 42.0 is ``42``, bytes are hexadecimal digits."""
        del column
        whole = sa.cast(expression, sa.BigInteger)
        is_whole = sa.and_(sa.func.abs(expression) < _EXACT_DOUBLE, expression == whole)
        number = sa.case((is_whole, sa.cast(whole, sa.Text)), else_=_digits(expression))
        kind, hexed = sa.func.typeof(expression), sa.func.lower(sa.func.hex(expression))
        text = sa.cast(expression, sa.Text)
        return sa.case((kind == "real", number), (kind == "blob", hexed), else_=text)

    def stored(self, expression: Expression, column: SourceColumn) -> Expression:
        """Keep a value that has the type of its column; refuse the query for any other."""
        if column.kind is Kind.OTHER:
            return self.text_of(expression, column)
        kind = sa.func.typeof(expression)
        fits = kind.in_(["null", *_VALUES[column.kind]])
        return sa.case((fits, expression), else_=sa.func.reverse_etl_refuse(column.name, kind))

    def sent(
        self, expression: Expression, column: SourceColumn, *, as_text: bool, whole_seconds: bool
    ) -> Expression:
        """Compare the values themselves: as text, a double would have 15 digits."""
        del column, as_text, whole_seconds
        return expression

    def read(self, expression: Expression, column: SourceColumn) -> Expression:
        """Name the type in the statement: the Arrow column is made of it."""
        return sa.cast(expression, _READ[column.kind]) if column.kind in _READ else expression

    def json_text(self, expression: Expression, column: SourceColumn) -> Expression:
        """Return a value as JSON text; NULL as ``null``."""
        text = self.text_of(expression, column)
        is_text = sa.func.typeof(expression).in_(["text", "blob"])
        return sa.case((is_text, sa.func.json_quote(text)), else_=sa.func.coalesce(text, "null"))

    def matches(self, expression: Expression, pattern: str) -> Expression:
        """Let Python match."""
        return sa.func.reverse_etl_matches(expression, pattern, type_=sa.Boolean)

    def ascii_lower(self, expression: Expression) -> Expression:
        """Fold A-Z and nothing else, as LOWER does here."""
        return sa.func.lower(expression)

    def sum_of_hashes(self, values: Sequence[Expression]) -> Expression:
        """Let Python add up."""
        parts = [
            sa.func.reverse_etl_digest(*values[start : start + _MOST_ARGUMENTS])
            for start in range(0, len(values), _MOST_ARGUMENTS)
        ]
        return sa.func.reverse_etl_sum(*parts, type_=sa.Text)


# Types of the values of a column, and what ``read`` casts it to.
_NUMBERS = ["integer", "real"]
_VALUES = {Kind.TEXT: ["text"], Kind.INTEGER: _NUMBERS[:1], Kind.FLOAT: _NUMBERS}
_VALUES[Kind.BOOLEAN] = _VALUES[Kind.INTEGER]
_READ: Any = {Kind.INTEGER: sa.BigInteger, Kind.FLOAT: sa.Double, Kind.BOOLEAN: sa.Boolean}


def _digits(value: Expression) -> Expression:
    """Return a double as text that is read as this double: 15 digits are not always enough."""
    short, long = sa.cast(value, sa.Text), sa.func.printf("%!.17g", value)
    return sa.case((sa.cast(short, sa.Double) == value, short), else_=long)


# --- the warehouse ---------------------------------------------------------------------------


class SQLiteWarehouse(Warehouse):
    """An SQLite file, and beside it one with our tables."""

    sql = SQLiteSql()
    # SQLite 3.40 took a name of 5,000 bytes; the schema's is part of a file's.
    capabilities = Capabilities(longest_name=200)
    _misfit = ""

    def open(self, *, read_only: bool = False) -> None:
        """Refuse a file that is not there, with a WarehouseError: SQLite would make one."""
        path = self.url.database or ""
        if not self.is_ours_alone and not Path(path).is_file():
            raise WarehouseError(f"there is no SQLite file {path}: correct the warehouse's url")
        super().open(read_only=read_only)

    def make_engine(self) -> Engine:
        """Return an engine that begins transactions itself: the driver would, but too late."""
        engine = sa.create_engine(
            self.url,
            connect_args={"timeout": _WAIT_SECONDS} if "timeout" not in self.url.query else {},
            poolclass=NullPool,
            hide_parameters=True,
            max_identifier_length=LONGEST_LABEL,
        )
        sa.event.listen(engine, "connect", self._prepare_session)
        sa.event.listen(engine, "begin", self._begin)
        return engine

    def _begin(self, connection: Connection) -> None:
        """Begin as the one writer of our file, not of the user's, as BEGIN IMMEDIATE would."""
        connection.exec_driver_sql("BEGIN")
        connection.exec_driver_sql(f"PRAGMA {quoted(self.schema)}.user_version = 1")

    def _prepare_session(self, native: sqlite3.Connection, _record: object) -> None:
        """Lend what SQLite lacks to a new connection, and let it see our schema."""
        native.isolation_level = None
        native.text_factory = lambda text: text.decode("utf-8", "replace")
        native.create_function("reverse_etl_refuse", 2, self._refuse)
        native.create_function("reverse_etl_matches", 2, _matches, deterministic=True)
        native.create_function("reverse_etl_digest", -1, _digest, deterministic=True)
        native.create_function("md5", 1, _md5)
        native.create_function("strpos", 2, lambda text, part: text and text.find(part) + 1)
        native.create_aggregate("reverse_etl_sum", -1, _Sum)  # type: ignore[arg-type]
        beside = f"{self.url.database}.{quote(self.schema, safe='')}"
        native.execute(f"ATTACH DATABASE ? AS {quoted(self.schema)}", (beside,))

    def source_query(self, query: str | None, table: str | None, relation: str | None) -> str:
        """Keep the query from being flattened, and evaluated wherever a column is named."""
        whole = super().source_query(query, table, relation)
        return f"SELECT * FROM (\n{whole}\n) LIMIT -1 OFFSET 0"  # noqa: S608 - the user's own

    def _refuse(self, column: str, type_name: str) -> None:
        self._misfit = f"column {column} holds a value of type {type_name}, which is not its own"
        raise ValueError(self._misfit)

    def describe(self, connection: Connection, query: str) -> list[tuple[str, str]]:
        """Ask a view of it; of a CAST only a table tells the type, here one without rows."""
        execute, self._misfit = connection.exec_driver_sql, ""
        try:
            declared = _columns(execute, "VIEW", query)
        except DBAPIError as error:
            error.orig = sqlite3.ProgrammingError(str(error.orig))  # it cannot speak of a row
            raise
        found = _columns(execute, "TABLE", f"{query} LIMIT 0")
        names = [_as_written(name, dict(declared)) for name, _ in declared]
        types = [said or cast for (_, said), (_, cast) in zip(declared, found, strict=True)]
        return list(zip(names, types, strict=True))

    def read_arrow(self, statement: str) -> pa.Table:
        """Read all of :meth:`stream_arrow`; raises a WarehouseError when SQLite refuses."""
        try:
            with self.stream_arrow(statement) as reader:
                return reader.read_all()
        except (SQLAlchemyError, sqlite3.Error) as error:
            reason = self.plain_reason(getattr(error, "orig", error))
            raise WarehouseError(f"the warehouse failed: {reason}") from None

    @contextmanager
    def stream_arrow(self, statement: str) -> Iterator[pa.RecordBatchReader]:
        """Read on a connection of its own, which begins no transaction and so waits for nobody."""
        with self.engine.connect() as connection:
            native: Any = connection.connection.driver_connection
            none = f"SELECT * FROM ({statement}) LIMIT 0"  # noqa: S608
            columns = _columns(native.execute, "TABLE", none)
            schema = pa.schema([(name, _ARROW.get(type_, pa.string())) for name, type_ in columns])
            batches = _batches(native.execute(statement), schema)
            yield pa.RecordBatchReader.from_batches(schema, batches)

    def upload(self, connection: Connection, table: TableClause, rows: pa.RecordBatch) -> None:
        """Insert the rows with one prepared statement."""
        if rows.num_rows:
            connection.execute(sa.insert(table), rows.to_pylist())

    def now_expression(self) -> Expression:
        """Return the clock of this machine, which all who share a file have in common."""
        return sa.literal_column(_CLOCK.format(""), sa.DateTime)

    def after_now(self, seconds: float) -> Expression:
        """Return that clock plus some seconds."""
        return sa.literal_column(_CLOCK.format(f", '{seconds:+.3f} seconds'"), sa.DateTime)

    def finish_table(self, connection: Connection, table: TableClause, *, by: str | None) -> None:
        """Index the reading order."""
        if by is not None:
            index, on = quoted(table.schema, f"{table.name}_{by}"), quoted(table.name)
            connection.exec_driver_sql(f"CREATE INDEX {index} ON {on} ({quoted(by)})")

    def layout(self, connection: Connection, names: Collection[str]) -> dict[str, dict[str, str]]:
        """Return the columns of some of our tables, name to type."""
        tables = f"{quoted(self.schema)}.sqlite_master t, pragma_table_info(t.name, ?) c"
        asked = f"SELECT t.name, c.name, c.type FROM {tables} WHERE t.type <> 'index'"  # noqa: S608
        found: dict[str, dict[str, str]] = {name: {} for name in names}
        for table, column, type_name in connection.exec_driver_sql(asked, (self.schema,)):
            found.get(table, {})[column] = type_name
        return {name: columns for name, columns in found.items() if columns}

    def replace_view(self, connection: Connection, statement: Executable) -> bool:
        """Leave it to be dropped and made anew: both take part in the transaction."""
        del connection, statement
        return False

    def driver_errors(self) -> tuple[type[Exception], ...]:
        """Return the driver's."""
        return (sqlite3.Error,)

    def plain_reason(self, error: BaseException | None) -> str:
        """Return SQLite's message, or its kind: some messages about JSON quote it."""
        text = " ".join(str(error).split())
        if text == "user-defined function raised exception" and self._misfit:
            return f"{self._misfit}: CAST it in the query"
        code = getattr(error, "sqlite_errorname", type(error).__name__)
        if code.startswith(_WITHOUT_VALUES) or text.startswith("no such table: "):
            return text
        return f"{code} (the rest is hidden, as it may quote a row)"


# Of files, memory and locks, and what ``describe`` says.
_WITHOUT_VALUES = (
    *("ProgrammingError", "SQLITE_BUSY", "SQLITE_CANTOPEN", "SQLITE_CONSTRAINT_DATATYPE"),
    *("SQLITE_CORRUPT", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_LOCKED", "SQLITE_NOMEM"),
    *("SQLITE_NOTADB", "SQLITE_PERM", "SQLITE_READONLY", "SQLITE_TOOBIG"),
)


@compiles(CreateView, "sqlite")
def _view_within_its_file(view: CreateView, compiler: DDLCompiler, **options: Any) -> str:  # noqa: ANN401
    """Name tables without their schema in a view, or the file could not be opened by itself."""
    statements = compiler.sql_compiler
    statements.preparer = copy.copy(statements.preparer)
    statements.preparer.schema_for_object = lambda _table: None  # type: ignore[assignment]
    return compiler.visit_create_view(view, **options)


# --- columns and rows ------------------------------------------------------------------------

# By the affinity of what ``read`` has cast; all else is text.
_ARROW = {"INT": pa.int64(), "REAL": pa.float64(), "NUM": pa.bool_()}


def _columns(execute: Callable[[str], Any], what: str, query: str) -> list[tuple[str, str]]:
    """Return names and types of the columns of a temporary view or table, made only for that."""
    execute(f"CREATE TEMPORARY {what} reverse_etl_described AS {query}")
    found = execute("PRAGMA temp.table_info(reverse_etl_described)").fetchall()
    execute(f"DROP {what} temp.reverse_etl_described")
    return [(name, type_name) for _, name, type_name, *_ in found]


def _as_written(name: str, names: Collection[str]) -> str:
    """Return the name of a column of a query: SQLite calls the second ``id`` ``id:1``."""
    bare, _, number = name.rpartition(":")
    return bare if number.isdecimal() and bare in names else name


def _batches(cursor: sqlite3.Cursor, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    while rows := cursor.fetchmany(_ROWS_STREAMED):
        columns = map(pa.array, zip(*rows, strict=True))
        arrays = [each.cast(field.type) for each, field in zip(columns, schema, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


# --- what Python lends -----------------------------------------------------------------------


def _matches(value: str | None, pattern: str) -> bool | None:
    # Python's $ would let a closing line feed through.
    very_end = pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern
    return None if value is None else re.search(very_end, value, re.ASCII) is not None


def _md5(value: str) -> str:
    return hashlib.md5(value.encode(), usedforsecurity=False).hexdigest()


def _digest(*values: object) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()


class _Sum:
    """Adds up the hashes of all rows, in whatever order they come."""

    def __init__(self) -> None:
        self.total = 0

    def step(self, *digests: Any) -> None:  # noqa: ANN401 - texts
        """Take a row in."""
        self.total += int(_digest(*digests)[:15], 16)

    def finalize(self) -> str:
        """Return the sum as text."""
        return str(self.total)

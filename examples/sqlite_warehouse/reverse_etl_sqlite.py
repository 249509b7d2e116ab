"""SQLite as a warehouse: Python's own driver, reached through SQLAlchemy.

What it does otherwise than the rest:

* There are no schemas. Ours is a file of its own beside the user's (``shop.db.reverse_etl``), which
  each connection attaches under the schema's name.
* There is one writer at a time. Every transaction begins as a writer, and waits until it is one.
* A column does not decide what its values are. Here it does: a query in which one has another type
  is refused. What has no type, as most expressions, is text; ``CAST`` gives it one.
* There are no regular expressions and no hashes, so Python lends them.

Source of facts: SQLite's documentation ("Datatypes In SQLite", "ATTACH DATABASE", "Built-In Scalar
SQL Functions", "File Locking And Concurrency").
"""

from __future__ import annotations

import copy
import hashlib
import re
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
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
    from sqlalchemy.types import TypeEngine

# Seconds that a writer waits for another one, unless the URL says otherwise (?timeout=5).
_WAIT_SECONDS = 60.0

# Rows of a stream in one piece.
_ROWS_STREAMED = 20_000

# A function takes 127 arguments.
_MOST_ARGUMENTS = 100

# Doubles hold every integer up to here.
_EXACT_DOUBLE = 2**53

_CLOCK = "strftime('%Y-%m-%d %H:%M:%f000', 'now'{})"


# --- expressions -----------------------------------------------------------------------------


class SQLiteSql(Sql):
    """SQLite's spelling."""

    tokenizer = "sqlite"
    # All others are kept as text: dates are that by custom, bytes become digits.
    types: ClassVar = {
        **dict.fromkeys(("varchar", "nvarchar", "char", "nchar", "text", "clob"), Kind.TEXT),
        **dict.fromkeys(("int", "integer", "tinyint", "smallint", "bigint"), Kind.INTEGER),
        **dict.fromkeys(("real", "float", "double", "numeric", "decimal"), Kind.FLOAT),
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
        fits = kind.in_(["null", *_TYPES_OF_VALUES[column.kind]])
        kept = sa.cast(expression, sa.Double) if column.kind is Kind.FLOAT else expression
        return sa.case((fits, kept), else_=sa.func.reverse_etl_refuse(column.name, kind))

    def sent(
        self, expression: Expression, column: SourceColumn, *, as_text: bool, whole_seconds: bool
    ) -> Expression:
        """Compare the values themselves: as text, a double would have 15 digits."""
        del column, as_text, whole_seconds
        return expression

    def read(self, expression: Expression, column: SourceColumn) -> Expression:
        """Name the type in the statement: the Arrow column is made of it."""
        wanted = _READ.get(column.kind)
        return sa.cast(expression, wanted) if wanted else expression

    def json_text(self, expression: Expression, column: SourceColumn) -> Expression:
        """Return a value as JSON text; NULL as ``null``."""
        kind = sa.func.typeof(expression)
        text = sa.func.json_quote(self.text_of(expression, column), type_=sa.Text)
        plain = sa.cast(expression, sa.Text)
        return sa.case(
            (kind == "integer", plain), (kind == "real", _digits(expression)), else_=text
        )

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


_TYPES_OF_VALUES = {
    Kind.TEXT: ["text"],
    Kind.INTEGER: ["integer"],
    Kind.BOOLEAN: ["integer"],
    Kind.FLOAT: ["real", "integer"],
}
_READ: dict[Kind, type[TypeEngine[Any]]] = {
    Kind.INTEGER: sa.BigInteger,
    Kind.FLOAT: sa.Double,
    Kind.BOOLEAN: sa.Boolean,
}


def _digits(value: Expression) -> Expression:
    """Return a double as text that is read as this double: 15 digits are not always enough."""
    short = sa.cast(value, sa.Text)
    long = sa.func.printf("%!.17g", value)
    return sa.case((sa.cast(short, sa.Double) == value, short), else_=long)


# --- the warehouse ---------------------------------------------------------------------------


class SQLiteWarehouse(Warehouse):
    """An SQLite file, and beside it one with our tables."""

    sql = SQLiteSql()
    # SQLite 3.40 took a name of 5,000 bytes; the schema's is part of a file's.
    capabilities = Capabilities(longest_name=200)
    _misfit = ""

    def open(self, *, read_only: bool = False) -> None:
        """Make it ready.

        Raises:
            WarehouseError: It is not a file, or there is none: SQLite would make an empty one.
        """
        path = self.url.database
        if path in {None, "", ":memory:"}:
            raise WarehouseError("an SQLite warehouse is a file: write sqlite:///shop.db")
        if not self.is_ours_alone and not Path(str(path)).exists():
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
        sa.event.listen(engine, "begin", _begin)
        return engine

    def _prepare_session(self, native: sqlite3.Connection, _record: object) -> None:
        """Lend what SQLite lacks to a new connection, and let it see our schema."""
        native.isolation_level = None
        # Bytes that are no text would be quoted by the driver's error.
        native.text_factory = _decoded
        native.create_function("reverse_etl_refuse", 2, self._refuse)
        native.create_function("reverse_etl_matches", 2, _matches, deterministic=True)
        native.create_function("reverse_etl_digest", -1, _digest, deterministic=True)
        native.create_function("strpos", 2, _strpos, deterministic=True)
        native.create_function("md5", 1, _md5, deterministic=True)
        native.create_aggregate("reverse_etl_sum", -1, _Sum)  # type: ignore[arg-type]
        beside = f"{self.url.database}.{quote(self.schema, safe='')}"
        native.execute(f"ATTACH DATABASE ? AS {quoted(self.schema)}", (beside,))

    def source_query(self, query: str | None, table: str | None, relation: str | None) -> str:
        """Keep SQLite from evaluating a column once for each place where we name it.

        Source: "The SQLite Query Optimizer Overview", subquery flattening.
        """
        whole = super().source_query(query, table, relation)
        return f"SELECT * FROM (\n{whole}\n) LIMIT -1 OFFSET 0"  # noqa: S608 - the user's own

    def _refuse(self, column: str, type_name: str) -> None:
        self._misfit = f"column {column} holds a value of type {type_name}, which is not its own"
        raise ValueError(self._misfit)

    def describe(self, connection: Connection, query: str) -> list[tuple[str, str]]:
        """Make a view of the query, which SQLite only parses, and ask for its columns.

        Of a CAST the view does not tell the type; a table made from no rows of it does.
        """
        native: Any = connection.connection.driver_connection
        try:
            declared = _columns(native, "VIEW", query)
            found = _columns(native, "TABLE", f"{query} LIMIT 0")
        except sqlite3.Error as error:
            raise DBAPIError(query, None, error, hide_parameters=True) from None
        names = {name for name, _ in declared}
        return [
            (_as_written(name, names), type_name or affinity)
            for (name, type_name), (_, affinity) in zip(declared, found, strict=True)
        ]

    def read_arrow(self, statement: str) -> pa.Table:
        """Read on a connection of its own; see :meth:`stream_arrow`.

        Raises:
            WarehouseError: SQLite refuses.
        """
        try:
            with self.stream_arrow(statement) as reader:
                return reader.read_all()
        except SQLAlchemyError as error:
            raise self.explained(error) from None
        except sqlite3.Error as error:
            raise WarehouseError(f"the warehouse failed: {self.plain_reason(error)}") from None

    @contextmanager
    def stream_arrow(self, statement: str) -> Iterator[pa.RecordBatchReader]:
        """Read on a connection of its own, which begins no transaction and so waits for nobody."""
        with self.engine.connect() as connection:
            native: Any = connection.connection.driver_connection
            columns = _columns(native, "TABLE", f"SELECT * FROM ({statement}) LIMIT 0")  # noqa: S608
            schema = pa.schema([(name, _ARROW.get(type_, pa.string())) for name, type_ in columns])
            batches = _batches(native.execute(statement), schema)
            yield pa.RecordBatchReader.from_batches(schema, batches)

    def upload(
        self, connection: Connection, table: TableClause, columns: Mapping[str, Sequence[Any]]
    ) -> None:
        """Insert the rows with one prepared statement."""
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        if rows:
            connection.execute(sa.insert(table), rows)

    def now_expression(self) -> Expression:
        """Return the clock of this machine, which all who share a file have in common."""
        return sa.literal_column(_CLOCK.format(""), sa.DateTime)

    def after_now(self, seconds: float) -> Expression:
        """Return that clock plus some seconds."""
        return sa.literal_column(_CLOCK.format(f", '{seconds:+.3f} seconds'"), sa.DateTime)

    def finish_table(self, connection: Connection, table: TableClause, *, by: str | None) -> None:
        """Index the reading order."""
        if by is not None:
            index = quoted(table.schema, f"{table.name}_{by}")
            place = quoted(table.name)
            connection.exec_driver_sql(f"CREATE INDEX {index} ON {place} ({quoted(by)})")

    def layout(self, connection: Connection, names: Collection[str]) -> dict[str, dict[str, str]]:
        """Return the columns of some of our tables, name to type."""
        schema = quoted(self.schema)
        asked = ((name, f"PRAGMA {schema}.table_info({quoted(name)})") for name in names)
        found = {name: connection.exec_driver_sql(pragma).all() for name, pragma in asked}
        return {name: {row.name: row.type for row in rows} for name, rows in found.items() if rows}

    def replace_view(self, connection: Connection, statement: Executable) -> bool:
        """Leave it to be dropped and made anew: both take part in the transaction."""
        del connection, statement
        return False

    def driver_errors(self) -> tuple[type[Exception], ...]:
        """Return those of the driver."""
        return (sqlite3.Error,)

    def plain_reason(self, error: BaseException | None) -> str:
        """Return SQLite's message, or its kind: some messages about JSON quote it."""
        text = " ".join(str(error).split())
        if text == "user-defined function raised exception" and self._misfit:
            return f"{self._misfit}: CAST it in the query"
        code = getattr(error, "sqlite_errorname", "")
        if code in _ABOUT_FILES or _ABOUT_STATEMENTS.match(text):
            return text
        kind = code or type(error).__name__
        return f"{kind} (the rest is hidden, as it may quote a row)"


_ABOUT_FILES = frozenset(
    f"SQLITE_{word}"
    for word in (
        *("BUSY", "CANTOPEN", "CONSTRAINT_DATATYPE", "CORRUPT", "FULL", "IOERR", "LOCKED"),
        *("NOMEM", "NOTADB", "PERM", "READONLY", "TOOBIG"),
    )
)
# Of the statement's own words; a code of its own they have not.
_ABOUT_STATEMENTS = re.compile(
    r"(no such (table|column|function|collation sequence): |ambiguous column name: "
    r'|near ".*": syntax error$|incomplete input$|unrecognized token: |wrong number of arguments'
    r"|parameters are not allowed|integer overflow$|malformed JSON$|misuse of "
    r"|SELECTs to the left and right|You can only execute one statement|table .* already exists$)"
)


def _begin(connection: Connection) -> None:
    """Begin as the one writer: who reads first and writes then may find the file changed."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


@compiles(CreateView, "sqlite")
def _view_within_its_file(view: CreateView, compiler: DDLCompiler, **options: Any) -> str:  # noqa: ANN401
    """Name tables without their schema in a view, or the file could not be opened by itself."""
    statements = compiler.sql_compiler
    statements.preparer = copy.copy(statements.preparer)
    statements.preparer.schema_for_object = _nowhere
    return compiler.visit_create_view(view, **options)


def _nowhere(_table: object) -> None:
    return None


# --- columns and rows ------------------------------------------------------------------------

# By the affinity of what ``read`` has cast; all else is text.
_ARROW = {"INT": pa.int64(), "REAL": pa.float64(), "NUM": pa.bool_()}


def _columns(native: sqlite3.Connection, what: str, query: str) -> list[tuple[str, str]]:
    """Return names and types of the columns of a temporary view or table, made only for that."""
    native.execute(f"CREATE TEMPORARY {what} reverse_etl_described AS {query}")
    found = native.execute("PRAGMA temp.table_info(reverse_etl_described)").fetchall()
    native.execute(f"DROP {what} temp.reverse_etl_described")
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


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    # Python's $ would let a closing line feed through.
    very_end = pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern
    return re.compile(very_end, re.ASCII)


def _matches(value: str | None, pattern: str) -> bool | None:
    return None if value is None else _compiled(pattern).search(value) is not None


def _strpos(text: str | None, part: str | None) -> int | None:
    return None if text is None or part is None else text.find(part) + 1


def _md5(value: str | None) -> str | None:
    return value and hashlib.md5(value.encode(), usedforsecurity=False).hexdigest()


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


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "replace")

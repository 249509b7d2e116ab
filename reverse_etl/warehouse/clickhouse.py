"""ClickHouse, on a server (``clickhousedb://``) or in this process (``chdb://``).

One driver speaks to both, so both get the same statements. What ClickHouse does otherwise:

* A statement takes effect by itself, and rows are not changed one by one. So leases, runs and
  failed records need a control database.
* A join fills what it does not find with zeros and empty texts, unless ``join_use_nulls`` is set;
  a comparison would then find nothing. It is set on every connection and proven when one is made.
* A table made in one statement may be renamed in another; nothing is temporary.
* A text is bytes. What is no UTF-8 in it becomes U+FFFD. It is compared by its bytes.
* Every time is an instant; a zone is only how it is shown.

Source: ClickHouse documentation (clickhouse.com/docs); the pages are named where they are used.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from reverse_etl.errors import ReverseEtlError, SourceError, WarehouseError
from reverse_etl.warehouse.base import LONGEST_LABEL, Warehouse
from reverse_etl.warehouse.capabilities import Capabilities
from reverse_etl.warehouse.clickhouse_dialect import adapt, quoted
from reverse_etl.warehouse.shape import TIMES, Kind, SourceColumn
from reverse_etl.warehouse.sql import WHITE_SPACE, Expression, Sql

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Engine, TableClause

# "Restrictions on query complexity": what an account may be limited in.
_LIMITED = ("read", "group_by", "sort", "result", "timeout", "set", "join", "transfer", "distinct")

# "Session settings", unless another page is named.
_SETTINGS: Mapping[str, str | int] = {
    "join_use_nulls": 1,
    "union_default_mode": "DISTINCT",
    # A text of a time without zone means UTC, whatever the server's zone is.
    "session_timezone": "UTC",
    # What was written must be there for the next statement, and be there twice if written twice.
    "async_insert": 0,
    "insert_deduplicate": 0,
    "mutations_sync": 2,
    "lightweight_deletes_sync": 2,
    # Off in some versions that have them.
    "enable_analyzer": 1,
    "allow_experimental_correlated_subqueries": 1,
    "join_default_strictness": "ALL",
    # A result that was cut short without a word would look like people who have left.
    **{f"{limited}_overflow_mode": "throw" for limited in _LIMITED},
    "skip_unavailable_shards": 0,
    "limit": 0,
    "offset": 0,
    "use_query_cache": 0,
    # "Format settings": numbers and texts as they are.
    "output_format_decimal_trailing_zeros": 1,
    "output_format_json_quote_64bit_integers": 0,
    "output_format_json_escape_forward_slashes": 0,
    "output_format_arrow_string_as_string": 1,
    "output_format_arrow_low_cardinality_as_dictionary": 0,
}

# Seconds that one statement may take, unless the URL says otherwise.
_PATIENCE = 6 * 3600

# What a run needs of joins and of EXISTS, as one statement.
_PROOF = (
    "SELECT count() FROM (SELECT 1 AS a) AS l LEFT OUTER JOIN (SELECT 2 AS a, 1 AS b) AS r"
    " ON l.a = r.a WHERE r.b IS NULL"
    " AND NOT EXISTS (SELECT 1 FROM (SELECT 2 AS c) AS e WHERE e.c = l.a)"
)

# White space as RE2 names it.
_SPACES = "".join(f"\\x{{{ord(space):x}}}" for space in WHITE_SPACE)

# Stands for NaN in comparisons, because NaN is not even equal to itself here.
_NOT_A_NUMBER = -1.7976931348623155e308

# Names of errors that speak of the statement, the account or the server, never of a row.
# Source: ClickHouse's list of error codes, system.errors.
_ABOUT_STATEMENTS = frozenset(
    {
        *("ACCESS_DENIED", "ALIAS_REQUIRED", "AMBIGUOUS_COLUMN_NAME", "AMBIGUOUS_IDENTIFIER"),
        *("AUTHENTICATION_FAILED", "DATABASE_ACCESS_DENIED", "FUNCTION_NOT_ALLOWED"),
        *("ILLEGAL_AGGREGATION", "ILLEGAL_TYPE_OF_ARGUMENT", "INVALID_JOIN_ON_EXPRESSION"),
        *("MEMORY_LIMIT_EXCEEDED", "NETWORK_ERROR"),
        *("NOT_AN_AGGREGATE", "NOT_ENOUGH_SPACE", "NOT_FOUND_COLUMN_IN_BLOCK", "NOT_IMPLEMENTED"),
        *("NO_COMMON_TYPE", "NO_SUCH_COLUMN_IN_TABLE", "NUMBER_OF_ARGUMENTS_DOESNT_MATCH"),
        *("QUERY_WAS_CANCELLED", "QUOTA_EXCEEDED", "READONLY", "SET_SIZE_LIMIT_EXCEEDED"),
        *("SETTING_CONSTRAINT_VIOLATION", "SOCKET_TIMEOUT", "SUPPORT_IS_DISABLED", "SYNTAX_ERROR"),
        *("TABLE_ALREADY_EXISTS", "TABLE_IS_READ_ONLY", "TABLE_SIZE_EXCEEDS_MAX_DROP_SIZE_LIMIT"),
        *("TIMEOUT_EXCEEDED", "TOO_FEW_ARGUMENTS_FOR_FUNCTION", "TOO_MANY_PARTS"),
        *("TOO_MANY_BYTES", "TOO_MANY_ROWS", "TOO_MANY_ROWS_OR_BYTES", "TOO_SLOW"),
        *("TOO_MANY_SIMULTANEOUS_QUERIES", "UNKNOWN_AGGREGATE_FUNCTION"),
        *("UNKNOWN_DATABASE", "UNKNOWN_FUNCTION", "UNKNOWN_IDENTIFIER", "UNKNOWN_SETTING"),
        *("UNKNOWN_TABLE", "UNKNOWN_USER", "WRONG_PASSWORD"),
    }
)
_NO_RIGHT = frozenset({"ACCESS_DENIED", "DATABASE_ACCESS_DENIED"})
# Where a message goes on with the statement and what was read by it, and what else says nothing.
_WHERE_IT_WAS = re.compile(
    r":? ?\b(while executing|while processing|in scope|in query)\b.*", re.IGNORECASE | re.DOTALL
)
_ASIDE = re.compile(r"\(for url .*|\bExpected one of\b.*", re.DOTALL)
_BEFORE = re.compile(r"^.*?Code: \d+\. (DB::Exception: )?", re.DOTALL)
_NAME = re.compile(r"\(([A-Z][A-Z0-9_]+)\)")

_WRAPPED = re.compile(r"^(Nullable|LowCardinality)\((.*)\)$", re.DOTALL)
_SCALE = re.compile(r"^Decimal\(\d+, (\d+)\)$")
_SIMPLE_AGGREGATE = re.compile(r"^SimpleAggregateFunction\(\w+(?:\([^)]*\))?, (.*)\)$", re.DOTALL)

_ALL_WE_NEED = (
    "SELECT, INSERT, ALTER DELETE, ALTER ADD COLUMN, CREATE TABLE, CREATE VIEW, DROP TABLE,"
    " DROP VIEW, SHOW"
)


class ClickHouseSql(Sql):
    """ClickHouse's spelling."""

    tokenizer = "clickhouse"
    types: ClassVar = {
        **dict.fromkeys(("string", "fixedstring", "enum8", "enum16"), Kind.TEXT),
        **dict.fromkeys((f"int{bits}" for bits in (8, 16, 32, 64)), Kind.INTEGER),
        **dict.fromkeys((f"uint{bits}" for bits in (8, 16, 32, 64)), Kind.INTEGER),
        # Integers that Arrow does not have.
        **dict.fromkeys(("int128", "int256", "uint128", "uint256"), Kind.DECIMAL),
        "decimal": Kind.DECIMAL,
        **dict.fromkeys(("float32", "float64", "bfloat16"), Kind.FLOAT),
        "bool": Kind.BOOLEAN,
        **dict.fromkeys(("datetime", "datetime64"), Kind.INSTANT),
        **dict.fromkeys(("date", "date32"), Kind.DATE),
        **dict.fromkeys(("json", "object"), Kind.JSON),
        **dict.fromkeys(("array", "tuple", "map", "nested"), Kind.NESTED),
        **dict.fromkeys(("point", "ring", "linestring", "multilinestring"), Kind.NESTED),
        **dict.fromkeys(("polygon", "multipolygon"), Kind.NESTED),
    }
    # Nested values are stored as JSON, see stored().
    read_as: ClassVar = {**Sql.read_as, Kind.NESTED: "json"}

    def kind(self, type_name: str) -> Kind:
        """Return the kind, also of a type that may be NULL or is kept as numbers of its values."""
        return super().kind(_bare(type_name))

    def comparable(self, now: SourceColumn, before: SourceColumn) -> bool:
        """Compare whatever is kept alike: that a value may be NULL makes it no other one."""
        return super().comparable(_as_bare(now), _as_bare(before))

    def text_of(self, expression: Expression, column: SourceColumn) -> Expression:
        """Return the text of an identifier."""
        if column.kind is Kind.TEXT:
            return self.stored(expression, column)
        if column.kind is Kind.DECIMAL:
            return _digits(expression, column)
        return super().text_of(_widened(expression, column), column)

    def stored(self, expression: Expression, column: SourceColumn) -> Expression:
        """Keep text as UTF-8 and nested values as JSON.

        Source: "Functions for working with strings" (toValidUTF8), "JSON functions".
        """
        if column.kind is Kind.TEXT:
            return sa.func.toValidUTF8(sa.cast(expression, sa.String), type_=sa.String)
        if column.kind in {Kind.JSON, Kind.NESTED}:
            # Two maps are the same in whatever order their keys were written.
            is_map = _bare(column.type_name).startswith("Map(")
            value = sa.func.mapSort(expression) if is_map else expression
            return sa.func.toJSONString(value, type_=sa.String)
        return super().stored(_widened(expression, column), column)

    def sent(
        self, expression: Expression, column: SourceColumn, *, as_text: bool, whole_seconds: bool
    ) -> Expression:
        """Return what of a stored value is sent; NaN is a value like any other."""
        if column.kind is Kind.FLOAT and not as_text:
            found: Expression = sa.literal(_NOT_A_NUMBER, sa.Double)
            return sa.case((sa.func.isNaN(expression), found), else_=expression)
        if column.kind is Kind.DECIMAL and as_text:
            return _digits(expression, column)
        return super().sent(expression, column, as_text=as_text, whole_seconds=whole_seconds)

    def whole_second(self, expression: Expression, column: SourceColumn) -> Expression:
        """Cut the part of a second, whatever precision the type has."""
        del column
        return sa.func.toStartOfSecond(_precise(expression))

    def read(self, expression: Expression, column: SourceColumn) -> Expression:
        """Read what Arrow would get as a bare number, or cannot hold.

        Source: "Arrow format", data types.
        """
        if column.kind is Kind.DECIMAL:
            return _digits(expression, column)
        if column.kind in TIMES:
            return _precise(expression)
        if column.kind is Kind.DATE:
            return sa.cast(expression, sa.Date)
        return expression

    def trimmed(self, expression: Expression) -> Expression:
        r"""Remove white space from both ends; RE2's ``\s`` knows only that of ASCII."""
        edges = f"^[{_SPACES}]+|[{_SPACES}]+$"
        return sa.func.replaceRegexpAll(expression, edges, "", type_=sa.String)

    def matches(self, expression: Expression, pattern: str) -> Expression:
        r"""Match with RE2, whose ``$`` is the very end.

        Its ``\s`` has no vertical tab, which no identifier may hold anyway.
        """
        return sa.func.match(expression, pattern, type_=sa.Boolean)

    def ascii_lower(self, expression: Expression) -> Expression:
        """Fold A-Z and nothing else, as ``lower`` does here."""
        return sa.func.lower(expression)

    def json_text(self, expression: Expression, column: SourceColumn) -> Expression:
        """Return a value as JSON text; NULL as ``null``."""
        value = self.stored(expression, column) if column.kind is Kind.TEXT else expression
        return sa.func.coalesce(sa.func.toJSONString(value, type_=sa.String), "null")

    def sum_of_hashes(self, values: Sequence[Expression]) -> Expression:
        """Add up 64-bit hashes; inside a tuple a NULL is a value ("Hash functions")."""
        hashed = sa.func.sipHash64(sa.func.tuple(*values))
        return sa.cast(sa.func.sum(sa.func.toUInt128(hashed)), sa.String)


def _bare(type_name: str) -> str:
    """Return a type without what only says how it is kept."""
    while found := _WRAPPED.match(type_name) or _SIMPLE_AGGREGATE.match(type_name):
        type_name = found[found.re.groups]
    return type_name


def _as_bare(column: SourceColumn) -> SourceColumn:
    return replace(column, type_name=_bare(column.type_name))


def _widened(expression: Expression, column: SourceColumn) -> Expression:
    """Return a number that functions know: few take one of 16 bits."""
    is_short = _bare(column.type_name) == "BFloat16"
    return sa.cast(expression, sa.Double) if is_short else expression


def _digits(expression: Expression, column: SourceColumn) -> Expression:
    """Return a decimal with as many digits as its type has, also zeros ("toDecimalString")."""
    scale = _SCALE.match(_bare(column.type_name))
    if scale is None:
        return sa.cast(expression, sa.String)
    return sa.func.toDecimalString(expression, int(scale[1]), type_=sa.String)


def _precise(expression: Expression) -> Expression:
    """Return any time as microseconds in UTC."""
    return sa.cast(expression, sa.DateTime)


class ClickHouseWarehouse(Warehouse):
    """A database of a ClickHouse server, or of an engine in this process."""

    sql = ClickHouseSql()
    capabilities = Capabilities(
        transactions=False,
        transactional_ddl=False,
        row_deletes=False,
        temporary_tables=False,
        longest_name=127,
    )

    _reader: Any = None

    # --- connections -----------------------------------------------------------------------

    def make_engine(self) -> Engine:
        """Return the engine.

        Raises:
            WarehouseError: The driver is not installed, or refuses the URL.
        """
        try:
            engine = sa.create_engine(
                self._server_url(),
                connect_args=self._connect_arguments(),
                # Percent signs then mean themselves; no parameter is ever sent apart.
                paramstyle="named",
                # A connection has no state of its own, and making one asks the server three times.
                poolclass=QueuePool,
                max_overflow=-1,
                pool_reset_on_return=None,
                hide_parameters=True,
                max_identifier_length=LONGEST_LABEL,
            )
        except (ImportError, NoSuchModuleError):
            raise WarehouseError(
                "ClickHouse needs drivers of its own: install them with  "
                "pip install 'reverse-etl[clickhouse]'",
            ) from None
        adapt(engine.dialect)
        sa.event.listen(engine, "before_cursor_execute", _as_it_is, retval=True)
        return engine

    @property
    def _is_embedded(self) -> bool:
        return self.url.get_backend_name() == "chdb"

    def _server_url(self) -> sa.URL:
        if self._is_embedded:
            return sa.URL.create("clickhousedb", query=self.url.query)
        return self.url.set(drivername="clickhousedb+connect")

    def _connect_arguments(self) -> dict[str, Any]:
        """Return the driver's arguments; those that begin with ``ch_`` are settings."""
        settings = {**_SETTINGS, **({"readonly": 2} if self.is_only_read else {})}
        given: dict[str, Any] = {f"ch_{name}": value for name, value in settings.items()}
        if self._is_embedded:
            return given | {"interface": "chdb", "path": self.url.database or ":memory:"}
        if "send_receive_timeout" not in self.url.query:
            given["send_receive_timeout"] = _PATIENCE
        # Statements of one transaction need nothing of each other.
        return given | {"autogenerate_session_id": False}

    def open(self, *, read_only: bool = False) -> None:
        """Make the warehouse ready, and prove that it means NULL where it says NULL.

        Raises:
            WarehouseError: It does not, or cannot be reached.
        """
        super().open(read_only=read_only)
        try:
            self._prove()
        except ReverseEtlError:
            self.close()
            raise

    def _prove(self) -> None:
        try:
            with self.engine.connect() as connection:
                proven = connection.exec_driver_sql(_PROOF).scalar() == 1
        except ImportError as error:
            raise WarehouseError(
                f"the module {error.name or 'chdb'} is missing: install the engine with  "
                "pip install chdb",
            ) from None
        except DBAPIError as error:
            if "readonly" not in str(error.orig).lower():
                raise self._why_closed(error) from None
            proven = False
        if not proven:
            raise WarehouseError(
                "this ClickHouse account may not change its settings. With join_use_nulls = 0 a "
                "join would show zeros and empty texts where there is nothing, and no change would "
                "be found. Nothing was done. Let it change its settings: readonly = 0, or 2 for a "
                "warehouse that is only read, and no constraints on those that "
                "docs/warehouses/clickhouse.md names",
            )

    def _why_closed(self, error: DBAPIError) -> ReverseEtlError:
        """Explain why there is no connection; no row has been read, so no message quotes one."""
        if _is_of_the_network(error.orig) or _name_of(error.orig) in _ABOUT_STATEMENTS:
            return self.explained(error)
        alone = " (a folder has one process at a time)" if self._is_embedded else ""
        return WarehouseError(f"the warehouse cannot be opened{alone}: {_told(error.orig)}")

    def close(self) -> None:
        """Close the connection for reading too."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        super().close()

    # --- reading ---------------------------------------------------------------------------

    def describe(self, connection: Connection, query: str) -> list[tuple[str, str]]:
        """Let the engine analyse the query ("DESCRIBE TABLE").

        Its own parser looks at it first: an engine in this process would execute every statement
        of a text.
        """
        try:
            connection.execute(sa.select(sa.func.formatQuery(query)))
        except DBAPIError as error:
            if _name_of(error.orig) != "SYNTAX_ERROR":
                raise
            raise SourceError(f"the query fails: {_told(error.orig)}") from None
        rows = connection.exec_driver_sql(f"DESCRIBE TABLE (\n{query}\n)").all()
        return [(row[0], row[1]) for row in rows]

    def read_arrow(self, statement: str) -> pa.Table:
        """Read on a connection of its own, whole: the server then says what failed."""
        try:
            return self._own_client().query_arrow(statement)
        except SQLAlchemyError as error:
            raise self.explained(error) from None
        except self.driver_errors() as error:
            found = DBAPIError("a page", None, error, hide_parameters=True)
            raise self.explained(found) from None

    @contextmanager
    def stream_arrow(self, statement: str) -> Iterator[pa.RecordBatchReader]:
        """Read on a connection of its own, a piece at a time."""
        with (
            self._own_client().raw_stream(statement, fmt="ArrowStream") as source,
            pa.ipc.open_stream(source) as reader,
        ):
            yield reader

    def _own_client(self) -> Any:  # noqa: ANN401 - the driver's
        if self._reader is None:
            self._reader = self.engine.raw_connection()
        return _client_of(self._reader)

    def driver_errors(self) -> tuple[type[Exception], ...]:
        """Return the driver's."""
        found: type[Exception] = self.engine.dialect.loaded_dbapi.Error
        return (found,)

    def source_query(self, query: str | None, table: str | None, relation: str | None) -> str:
        """Return the SELECT of a source; in quotes a backslash is no letter here ("Syntax")."""
        if query is None and table is not None:
            return f"SELECT * FROM {quoted(*table.split('.'))}"  # noqa: S608 - quoted
        return super().source_query(query, table, relation)

    # --- writing ---------------------------------------------------------------------------

    def upload(self, connection: Connection, table: TableClause, rows: pa.RecordBatch) -> None:
        """Append the rows.

        They get the table's types here: there, what does not fit would become NULL, unsaid.
        """
        client = _client_of(connection.connection)
        place, names = quoted(table.schema, table.name), ", ".join(map(quoted, rows.schema.names))
        wanted = client.query_arrow(f"SELECT {names} FROM {place} LIMIT 0").schema  # noqa: S608 - quoted
        try:
            given = pa.Table.from_batches([rows]).cast(wanted)
        except (pa.ArrowException, ValueError):
            refused = connection.dialect.loaded_dbapi.DataError
            raise refused("a value does not fit its column") from None
        client.insert_arrow(place, given)

    def drop_table(self, connection: Connection, table: TableClause) -> None:
        """Drop a table when it is there, and its data at once ("DROP Statement", SYNC)."""
        name = quoted(table.schema, table.name)
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {name} SYNC")

    def rename(self, connection: Connection, table: TableClause, other: TableClause) -> None:
        """Give a table another name ("RENAME Statement")."""
        old, new = (quoted(self.schema, each.name) for each in (table, other))
        connection.exec_driver_sql(f"RENAME TABLE {old} TO {new}")

    def now_expression(self) -> Expression:
        """Return the server's clock."""
        return sa.func.now64(6, "UTC", type_=sa.DateTime)

    def after_now(self, seconds: float) -> Expression:
        """Return the server's clock plus some seconds."""
        later = sa.func.toIntervalMicrosecond(round(seconds * 1_000_000))
        return self.now_expression() + sa.type_coerce(later, sa.Interval)

    # --- our own tables --------------------------------------------------------------------

    def drop_schema(self, connection: Connection) -> None:
        """Drop our database ("DROP Statement", SYNC)."""
        name = quoted(self.schema)
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name} SYNC")

    # --- errors ----------------------------------------------------------------------------

    def missing_rights(self, error: DBAPIError) -> str | None:
        """Name the statements that let this account in ("GRANT Statement")."""
        if _name_of(error.orig) not in _NO_RIGHT:
            return None
        account = quoted(self.url.username or "default")
        ours = quoted(self.schema)
        return "\n".join(
            [
                f"  CREATE DATABASE IF NOT EXISTS {ours};",
                f"  GRANT {_ALL_WE_NEED} ON {ours}.* TO {account};",
                "and for each database that the query reads:",
                f"  GRANT SELECT ON `…`.* TO {account};",
            ],
        )

    def explained(self, error: SQLAlchemyError, source: str | None = None) -> ReverseEtlError:
        """Explain an error; a connection that breaks under a query is no fault of the query."""
        if isinstance(error, DBAPIError) and _is_of_the_network(error.orig):
            place = f"{self.url.host or 'localhost'}:{self.url.port or 8123}"
            return WarehouseError(
                f"no connection to the warehouse at {place}: {type(error.orig).__name__}. "
                "Nothing is lost: check the url of the warehouse, or try again when there is one.",
            )
        return super().explained(error, source)

    def plain_reason(self, error: BaseException | None) -> str:
        """Return the engine's message when it speaks of the statement, else only its name."""
        name = _name_of(error)
        if name in _ABOUT_STATEMENTS and not _was_read(name, str(error)):
            return _told(error)
        return f"{name or type(error).__name__} (the rest is hidden, as it may quote a row)"


def _as_it_is(  # noqa: PLR0913, PLR0917 - SQLAlchemy's event
    connection: Connection,
    cursor: object,
    statement: str,
    parameters: Any,  # noqa: ANN401 - as above
    context: Any,  # noqa: ANN401 - as above
    executemany: bool,  # noqa: FBT001 - as above
) -> tuple[str, Any]:
    """Double the percent signs of what was not compiled, because the driver halves them."""
    del connection, cursor, executemany
    plain = context is None or context.compiled is None
    return (statement.replace("%", "%%") if plain else statement), parameters


def _client_of(connection: Any) -> Any:  # noqa: ANN401 - SQLAlchemy's and the driver's
    return connection.driver_connection.client


def _told(error: BaseException | None) -> str:
    """Return what an error says of a statement, on one line, without the statement."""
    text = _ASIDE.sub("", _WHERE_IT_WAS.sub("", _BEFORE.sub("", str(error))))
    return " ".join(text.split()).rstrip(" .:")


def _name_of(error: BaseException | None) -> str | None:
    """Return the engine's name for an error."""
    named: str | None = getattr(error, "name", None)
    if named is None and (found := _NAME.findall(str(error))):
        named = found[-1]
    return named


def _is_of_the_network(error: BaseException | None) -> bool:
    return type(error).__name__ == "OperationalError" and getattr(error, "code", None) is None


def _was_read(name: str, text: str) -> bool:
    """Return whether a row's text was read as a statement: some functions do that."""
    return name == "SYNTAX_ERROR" and _WHERE_IT_WAS.search(text) is not None

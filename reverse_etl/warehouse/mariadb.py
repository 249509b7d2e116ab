"""MariaDB: PyMySQL for everything; the plan is read row by row and becomes Arrow here.

What it does otherwise than the rest:

* Making or dropping a table commits, so nothing of a run counts before its commit point; temporary
  tables do not. Our schema is made under a named lock, and a program that is killed while it makes
  it leaves something that the next one completes.
* Text compares as its column says, mostly without regard to case and closing spaces. All text that
  is kept is converted to a collation that compares bytes (``utf8mb4_nopad_bin``).
* There is no FULL JOIN, and joins want an index, so tables of ours are made with theirs.
* JSON is a text with a check; a query's column does not tell. It counts as text.
* A date of zeros is no date, and is read as NULL.

The session runs at READ COMMITTED, in UTC, in strict mode; the rest of ``sql_mode`` is the
server's, because queries are written for it.
"""

from __future__ import annotations

import hashlib
import re
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import registry
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from reverse_etl.errors import ReverseEtlError, WarehouseError
from reverse_etl.warehouse.base import LONGEST_LABEL, Transaction, Warehouse
from reverse_etl.warehouse.capabilities import Capabilities
from reverse_etl.warehouse.mariadb_dialect import (
    COLLATION,
    INDEXED_CHARACTERS,
    LONGEST_IDENTITY,
    FilledTable,
)
from reverse_etl.warehouse.migrations import read_version
from reverse_etl.warehouse.shape import TIMES, Kind, SourceColumn
from reverse_etl.warehouse.sql import WHITE_SPACE, Expression, Sql
from reverse_etl.warehouse.statements.changes import count_rows
from reverse_etl.warehouse.tables import (
    AUDITED_COLUMNS,
    CHANGE_COLUMNS,
    IDENTITY_COLUMNS,
    PENDING_COLUMNS,
    REFUSED_COLUMNS,
    is_run_table,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from sqlalchemy import ColumnClause, Connection, Engine, Executable, TableClause
    from sqlalchemy.sql.selectable import SelectBase

registry.register("mariadb.reverse_etl", "reverse_etl.warehouse.mariadb_dialect", "MariaDBDialect")

# Seconds until a connection is given up that cannot be made, unless the URL says otherwise.
_CONNECT_SECONDS = "15"

# A network that vanishes says nothing. Seconds of silence, seconds between questions, questions,
# and milliseconds that what we sent may stay unconfirmed.
_PATIENCE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 60_000}

# A process that is stopped inside a transaction keeps its locks, on the lease too, so that nobody
# could ever take over. Between two statements of ours there is no work that takes so long.
_IDLE_SECONDS = 60
# Whoever looks at a table in a transaction of their own keeps it from being dropped: a day, without
# this.
_LOCK_SECONDS = 300
# Of the rows that are joined at a time.
_JOIN_BYTES = 32 * 1024 * 1024
# How long a process waits for another one that is making our tables.
_MAKING_SECONDS = 60

_SESSION = (
    "SET SESSION time_zone = '+00:00', lc_messages = 'en_US',"
    " sql_mode = CONCAT(@@sql_mode, ',STRICT_TRANS_TABLES'),"
    f" idle_transaction_timeout = IF(@@idle_transaction_timeout, @@idle_transaction_timeout,"
    f" {_IDLE_SECONDS}), lock_wait_timeout = LEAST(@@lock_wait_timeout, {_LOCK_SECONDS}),"
    # Joins by a hash, which are off by default: a subquery has no index on a text as long as an
    # identity, and each row would be compared with each.
    f" join_cache_level = GREATEST(@@join_cache_level, 4),"
    f" join_buffer_size = GREATEST(@@join_buffer_size, {_JOIN_BYTES}),"
    f" join_buffer_space_limit = GREATEST(@@join_buffer_space_limit, {4 * _JOIN_BYTES})"
)

# Error codes whose messages speak of the statement, the account or the server, never of a row.
# Source: MariaDB Knowledge Base, "MariaDB Error Codes".
_ABOUT_STATEMENTS = frozenset(
    {
        *(1004, 1005, 1006, 1007, 1008, 1021, 1028, 1037, 1038, 1040, 1041, 1044, 1045, 1046),
        *(1049, 1050, 1051, 1052, 1053, 1054, 1055, 1056, 1059, 1060, 1061, 1064, 1065, 1066),
        *(1068, 1069, 1070, 1071, 1072, 1089, 1091, 1102, 1103, 1104, 1109, 1111, 1113, 1114),
        *(1115, 1116, 1117, 1118, 1128, 1129, 1130, 1135, 1136, 1137, 1140, 1141, 1142, 1143),
        *(1146, 1149, 1166, 1193, 1203, 1205, 1213, 1221, 1222, 1226, 1227, 1235, 1239, 1241),
        *(1242, 1247, 1248, 1250, 1267, 1270, 1271, 1273, 1290, 1305, 1312, 1317, 1318, 1327),
        *(1347, 1349, 1351, 1356, 1370, 1415, 1419, 1422, 1463, 1544, 1568, 1582, 1583, 1584),
        *(1630, 1637, 1792, 1927, 1969, 4078, 4079, 4161),
    }
)
_OF_THE_DRIVER = range(2000, 3000)
_SIGNALLED = frozenset({1642, 1643, 1644, 1645})
_NO_RIGHT = frozenset({1044, 1142, 1143, 1227, 1370, 1419})
_NO_CONNECTION = frozenset({0, 1040, 1053, 1152, 1159, 1161, 1203, 1927, *_OF_THE_DRIVER})
_ACCOUNT = re.compile(r"user '([^']*)'@'([^']*)'")

_OF_TEXT = f"CHARACTER SET utf8mb4 COLLATE {COLLATION}"
_ALL_WE_NEED = "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, CREATE VIEW, SHOW VIEW"

# Names of the columns of ours that are text, in tables that may have columns of the user's too.
_OUR_TEXT = {
    column
    for columns in (
        IDENTITY_COLUMNS,
        CHANGE_COLUMNS,
        PENDING_COLUMNS,
        REFUSED_COLUMNS,
        AUDITED_COLUMNS,
    )
    for column in columns
    if isinstance(column, str)
}
_IDENTITY = sa.String(LONGEST_IDENTITY)
# By these tables are joined.
_JOINED_BY = ("_identity", "_alias", "_handle", "_other", "identity")


class MariaDBSql(Sql):
    """MariaDB's spelling."""

    tokenizer = "mysql"
    types: ClassVar = {
        **dict.fromkeys(
            ("char", "varchar", "tinytext", "text", "mediumtext", "longtext"), Kind.TEXT
        ),
        **dict.fromkeys(("enum", "set"), Kind.TEXT),
        **dict.fromkeys(("tinyint", "smallint", "mediumint", "int", "bigint"), Kind.INTEGER),
        **dict.fromkeys(("year", "bit"), Kind.INTEGER),
        "decimal": Kind.DECIMAL,
        "float": Kind.FLOAT,
        "double": Kind.FLOAT,
        "date": Kind.DATE,
        "datetime": Kind.TIMESTAMP,
        "timestamp": Kind.INSTANT,
        **dict.fromkeys(("binary", "varbinary"), Kind.BINARY),
        **dict.fromkeys(("tinyblob", "blob", "mediumblob", "longblob"), Kind.BINARY),
    }
    read_as: ClassVar = {Kind.DECIMAL: "number"}
    full_join = False

    def kind(self, type_name: str) -> Kind:
        """Return the kind; what is one bit wide is a boolean, by MariaDB's own custom."""
        if type_name in {"tinyint(1)", "bit(1)"}:
            return Kind.BOOLEAN
        return super().kind(_first_word(type_name))

    def text_of(self, expression: Expression, column: SourceColumn) -> Expression:
        """Return the text of an identifier, which is another one when its bytes are others."""
        if column.kind is Kind.BINARY:
            digits = sa.func.lower(sa.func.hex(expression))
            return sa.func.concat(sa.literal("\\x"), digits)
        text = super().text_of(self._plain(expression, column), column)
        return sa.collate(text, COLLATION)

    def stored(self, expression: Expression, column: SourceColumn) -> Expression:
        """Keep text and what is compared as text by its bytes, dates only if they are any."""
        plain = self._plain(expression, column)
        if column.kind in {Kind.TEXT, Kind.OTHER}:
            return sa.collate(sa.cast(plain, sa.String), COLLATION)
        if column.kind in TIMES or column.kind is Kind.DATE:
            parts = (sa.func.year, sa.func.month, sa.func.dayofmonth)
            is_date = sa.and_(*(part(expression) > 0 for part in parts))
            return sa.case((is_date, expression))
        return expression if _is_bits(column) else plain

    def _plain(self, expression: Expression, column: SourceColumn) -> Expression:
        """Return a value that casts to text as it is."""
        if _is_bits(column):
            return expression.op("+")(sa.literal_column("0"))
        if column.type_name == "float":
            # As text it has six digits, and a double says what it is.
            return sa.cast(expression, sa.Double)
        if column.type_name == "geometry":
            return sa.func.st_astext(expression)
        return expression

    def sent(
        self, expression: Expression, column: SourceColumn, *, as_text: bool, whole_seconds: bool
    ) -> Expression:
        """Return what of a stored value is sent."""
        if _is_bits(column):
            return self._plain(expression, column)
        return super().sent(expression, column, as_text=as_text, whole_seconds=whole_seconds)

    def whole_second(self, expression: Expression, column: SourceColumn) -> Expression:
        """Take the fraction away."""
        del column
        fraction: Expression = sa.literal_column("MICROSECOND")
        return sa.func.timestampadd(fraction, -sa.func.microsecond(expression), expression)

    def read(self, expression: Expression, column: SourceColumn) -> Expression:
        """Read bits as a number."""
        return self._plain(expression, column) if _is_bits(column) else expression

    def trimmed(self, expression: Expression) -> Expression:
        """Remove white space from both ends."""
        edges = f"^[{WHITE_SPACE}]+|[{WHITE_SPACE}]+\\z"
        return sa.func.regexp_replace(expression, edges, "", type_=sa.String)

    def matches(self, expression: Expression, pattern: str) -> Expression:
        r"""Match bytes, to which ``\s`` is white space of ASCII; ``$`` is the very end."""
        exact = f"{pattern[:-1]}\\z" if pattern.endswith("$") else pattern
        as_bytes = sa.cast(expression, sa.LargeBinary)
        return as_bytes.op("REGEXP", is_comparison=True)(sa.literal(exact, sa.String))

    def ascii_lower(self, expression: Expression) -> Expression:
        """Fold A-Z and nothing else."""
        for letter in map(chr, range(ord("A"), ord("Z") + 1)):
            expression = sa.func.replace(expression, letter, letter.lower(), type_=sa.String)
        return expression

    def json_text(self, expression: Expression, column: SourceColumn) -> Expression:
        """Return a value as JSON text; NULL as ``null``."""
        if column.kind is Kind.BOOLEAN:
            is_true = self._plain(expression, column) != sa.literal_column("0")
            text: Expression = sa.case((is_true, "true"), (~is_true, "false"))
        elif column.kind in {Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT}:
            text = sa.cast(self._plain(expression, column), sa.String)
        else:
            text = sa.func.json_quote(self.text_of(expression, column))
        return sa.func.coalesce(text, "null", type_=sa.String)

    def sum_of_hashes(self, values: Sequence[Expression]) -> Expression:
        """Add up 60 bits of each row's MD5."""
        parts = [_unambiguous(sa.cast(value, sa.LargeBinary)) for value in values]
        digits = sa.func.left(sa.func.md5(sa.func.concat(*parts)), 15)
        number = sa.cast(sa.func.conv(digits, 16, 10), sa.Numeric(38, 0))
        return sa.cast(sa.func.sum(number), sa.String)


def _first_word(type_name: str) -> str:
    return re.split(r"[ (]", type_name.lower(), maxsplit=1)[0]


def _is_bits(column: SourceColumn) -> bool:
    return _first_word(column.type_name) == "bit"


def _unambiguous(value: Expression) -> Expression:
    """Return a value with its length before it; a NULL has none."""
    told = sa.func.concat(sa.func.octet_length(value), sa.literal(":"), value)
    return sa.func.coalesce(told, sa.literal("-"))


class MariaDBWarehouse(Warehouse):
    """A MariaDB database."""

    sql = MariaDBSql()
    capabilities = Capabilities(transactional_ddl=False, longest_name=64)

    # --- connections -----------------------------------------------------------------------

    def make_engine(self) -> Engine:
        """Return the engine.

        Raises:
            WarehouseError: The driver is missing or another one is named, or no database is.
        """
        _, _, driver = self.url.drivername.partition("+")
        if driver not in {"", "pymysql"}:
            raise WarehouseError(
                f"MariaDB is spoken to over PyMySQL, not {driver}: write mariadb+pymysql://…"
            )
        if not self.url.database:
            raise WarehouseError(
                "the warehouse's url names no database: temporary tables need one, as in "
                "mariadb://user:password@host/database"
            )
        url = self.url.set(drivername="mariadb+reverse_etl")
        try:
            engine = sa.create_engine(
                url.update_query_dict({"connect_timeout": _CONNECT_SECONDS} | dict(url.query)),
                connect_args={"charset": "utf8mb4", "collation": COLLATION},
                isolation_level="READ COMMITTED",
                poolclass=NullPool,
                hide_parameters=True,
                max_identifier_length=LONGEST_LABEL,
            )
        except ModuleNotFoundError as error:
            raise WarehouseError(
                f"MariaDB needs the module {error.name}: "
                "install it with  pip install 'reverse-etl[mariadb]'",
            ) from None
        sa.event.listen(engine, "connect", _prepare_session)
        if self.is_only_read:
            sa.event.listen(engine, "connect", _only_read)
        return engine

    def describe(self, connection: Connection, query: str) -> list[tuple[str, str]]:
        """Ask for no rows and read the types of the columns."""
        native: Any = connection.connection.driver_connection
        asked = f"{query} LIMIT 0"
        try:
            with native.cursor() as cursor:
                # Without parameters the driver leaves percent signs alone, and the server takes
                # one statement at a time.
                cursor.execute(asked)
                return [(column.name, type_name(column)) for column in cursor._result.fields]
        except connection.dialect.loaded_dbapi.Error as error:
            raise DBAPIError(asked, None, error, hide_parameters=True) from None

    def read_arrow(self, statement: str) -> pa.Table:
        """Read on a connection of its own; see :meth:`stream_arrow`."""
        try:
            with self.stream_arrow(statement) as reader:
                return reader.read_all()
        except SQLAlchemyError as error:
            raise self.explained(error) from None
        except self.driver_errors() as error:
            found = DBAPIError("a page", None, error, hide_parameters=True)
            raise self.explained(found) from None

    def driver_errors(self) -> tuple[type[Exception], ...]:
        """Return PyMySQL's."""
        found: type[Exception] = self.engine.dialect.loaded_dbapi.Error
        return (found,)

    def explained_reading(self, error: Exception) -> ReverseEtlError:
        """Explain an error; a connection that breaks under a query is no fault of the query."""
        if isinstance(error, self.driver_errors()):
            found = DBAPIError("the query", None, error, hide_parameters=True)
            return self.explained(found, source="query")
        return super().explained_reading(error)

    @contextmanager
    def stream_arrow(self, statement: str) -> Iterator[pa.RecordBatchReader]:
        """Let the server send the rows one after the other, on a connection of its own.

        They come as text, which Arrow reads a column at a time.
        """
        with self.engine.connect() as connection:
            native: Any = connection.connection.driver_connection
            native.decoders = {}
            with native.cursor(_unbuffered(connection)) as cursor:
                cursor.execute(statement)
                schema = pa.schema([(c.name, arrow_type(c)) for c in cursor._result.fields])
                yield pa.RecordBatchReader.from_batches(schema, _batches(cursor, schema))

    def with_kinds(self, table: pa.Table, kinds: Iterable[Kind | None]) -> pa.Table:
        """Give the columns the types of their kinds: an expression has lost some of them."""
        known = list(kinds)
        columns = [
            _of_kind(column, kind) for column, kind in zip(table.columns, known, strict=True)
        ]
        return super().with_kinds(pa.Table.from_arrays(columns, names=table.column_names), known)

    def upload(self, connection: Connection, table: TableClause, rows: pa.RecordBatch) -> None:
        """Insert many rows with each statement."""
        columns = rows.to_pydict()
        native: Any = connection.connection.driver_connection
        # The driver formats the statement, so percent signs in names are doubled.
        place = quoted(table.schema, table.name).replace("%", "%%")
        names = ", ".join(quoted(name).replace("%", "%%") for name in columns)
        marks = ", ".join(["%s"] * len(columns))
        with native.cursor() as cursor:
            cursor.executemany(
                f"INSERT INTO {place} ({names}) VALUES ({marks})",  # noqa: S608 - quoted names
                list(zip(*columns.values(), strict=True)),
            )

    def now_expression(self) -> Expression:
        """Return the server's clock, which goes on inside a transaction."""
        return sa.literal_column("UTC_TIMESTAMP(6)", sa.DateTime)

    def after_now(self, seconds: float) -> Expression:
        """Return the server's clock plus some seconds."""
        later = f"UTC_TIMESTAMP(6) + INTERVAL {round(seconds * 1_000_000)} MICROSECOND"
        return sa.literal_column(later, sa.DateTime)

    # --- tables ----------------------------------------------------------------------------

    def filled_table(self, table: TableClause, chosen: SelectBase) -> Executable:
        """Return the statement that makes a table from a SELECT, with our types and indexes."""
        columns = list(table.c)
        # Where there is no person, there is no column of the user's either.
        ours = _OUR_TEXT if "_identity" in table.c else set(table.c.keys())
        declared: list[ColumnClause[Any]] = [
            sa.column(column.name, _IDENTITY) if column.name in IDENTITY_COLUMNS[:2] else column
            for column in columns
            if not isinstance(column.type, sa.String) or column.name in ours
        ]
        indexed = [name for name in _JOINED_BY if name in {each.name for each in declared}]
        return FilledTable(
            chosen, table.name, schema=table.schema, declared=declared, indexed=indexed
        )

    def drop_table(self, connection: Connection, table: TableClause) -> None:
        """Drop a table when it is there; a temporary one without committing what is under way."""
        name = _for_sqlalchemy(quoted(table.schema, table.name))
        what = "TABLE" if table.schema else "TEMPORARY TABLE"
        connection.exec_driver_sql(f"DROP {what} IF EXISTS {name}")

    def create_schema(self, connection: Connection) -> None:
        """Make our schema, unless it is there."""
        if not sa.inspect(connection).has_schema(self.schema):
            name = _for_sqlalchemy(quoted(self.schema))
            connection.exec_driver_sql(f"CREATE DATABASE IF NOT EXISTS {name} {_OF_TEXT}")

    def finish_table(self, connection: Connection, table: TableClause, *, by: str | None) -> None:
        """Index the reading order, and gather statistics: none are there yet."""
        name = _for_sqlalchemy(quoted(table.schema, table.name))
        if by is not None:
            index = _for_sqlalchemy(quoted(by))
            connection.exec_driver_sql(f"ALTER TABLE {name} ADD INDEX ({index})")
        connection.exec_driver_sql(f"ANALYZE TABLE {name}").close()

    def index_control_tables(self, connection: Connection, names: Collection[str]) -> None:
        """Index what grows for years, and what is locked row by row."""
        for table, name, columns in _INDEXES:
            if table in names:
                place = _for_sqlalchemy(quoted(self.schema, table))
                kind, _, name = name.rpartition(" ")  # noqa: PLW2901 - UNIQUE stands before it
                connection.exec_driver_sql(
                    f"CREATE {kind} INDEX IF NOT EXISTS {name} ON {place} ({columns})"
                )

    def layout(self, connection: Connection, names: Collection[str]) -> dict[str, dict[str, str]]:
        """Return the columns of some of our tables, name to type with its width."""
        listed = sa.table(
            "columns",
            *map(sa.column, ("table_schema", "table_name", "column_name", "column_type")),
            schema="information_schema",
        )
        chosen = sa.select(listed.c.table_name, listed.c.column_name, listed.c.column_type).where(
            *self.is_here(listed), listed.c.table_name.in_(list(names))
        )
        found: dict[str, dict[str, str]] = {}
        for table_name, column_name, type_name in connection.execute(chosen):
            found.setdefault(table_name, {})[column_name] = type_name
        return found

    def source_query(self, query: str | None, table: str | None, relation: str | None) -> str:
        """Return the one SELECT of a source; a table's name is quoted as it is here."""
        if table is not None:
            return super().source_query(query, None, quoted(*table.split(".")))
        return super().source_query(query, None, relation)

    # --- our schema ------------------------------------------------------------------------

    def _again_when_beaten(self, create: Callable[[], None]) -> None:
        """Make what is missing while no other process does: a transaction would not keep it off."""
        # Of 64 characters at most, whatever the schema is called.
        name = f"reverse_etl {hashlib.sha256(self.schema.encode()).hexdigest()[:32]}"
        asked = sa.select(sa.func.get_lock(name, _MAKING_SECONDS))
        try:
            # Closing the connection lets go of it.
            with self.engine.connect() as connection:
                if connection.scalar(asked) != 1:
                    raise WarehouseError(
                        f"another process has been making the tables in schema {self.schema} for "
                        f"{_MAKING_SECONDS} s; nothing was changed. Try again."
                    )
                # The lock is the session's: no transaction needs to stay open for it.
                connection.commit()
                super()._again_when_beaten(create)
        except SQLAlchemyError as error:
            raise self.explained(error) from None

    def _is_new(self, tx: Transaction) -> bool:
        """Whether nothing of ours is here yet, or no more than a killed program has left."""
        if super()._is_new(tx):
            return True
        if not self.keeps_control or read_version(tx) is not None:
            return False
        # The version comes last, and without it nothing was ever written.
        used = any(map(is_run_table, tx.table_names()))
        state = self.tables.state
        return not used and (not tx.has_table(state) or tx.scalar(count_rows(state)) == 0)

    # --- errors ----------------------------------------------------------------------------

    def missing_rights(self, error: DBAPIError) -> str | None:
        """Name the statements an administrator runs to let this account in."""
        if _code(error.orig) not in _NO_RIGHT:
            return None
        named = _ACCOUNT.search(_message(error.orig))
        user, host = named.groups() if named else (self.url.username or "…", "%")
        account = f"{_literal(user)}@{_literal(host)}"
        ours, database = _granted(self.schema), _granted(self.url.database or "…")
        return "\n".join(
            [
                f"  CREATE DATABASE IF NOT EXISTS {quoted(self.schema)} {_OF_TEXT};",
                f"  GRANT {_ALL_WE_NEED} ON {ours}.* TO {account};",
                f"  GRANT CREATE TEMPORARY TABLES ON {database}.* TO {account};",
                "and for each database that the query reads:",
                f"  GRANT SELECT ON `…`.* TO {account};",
            ],
        )

    def explained(self, error: SQLAlchemyError, source: str | None = None) -> ReverseEtlError:
        """Explain an error; a connection that breaks under a query is no fault of the query."""
        if isinstance(error, DBAPIError) and _code(error.orig) in _NO_CONNECTION:
            place = f" at {self.url.host}:{self.url.port or 3306}" if self.url.host else ""
            return WarehouseError(
                f"no connection to the warehouse{place}: {self.plain_reason(error.orig)}. "
                "Nothing is lost: check the url of the warehouse, or try again when there is one.",
            )
        return super().explained(error, source)

    def plain_reason(self, error: BaseException | None) -> str:
        """Return the server's message, without what it quotes of a row."""
        code, text = _code(error), " ".join(_message(error).split())
        if code is None:
            return type(error).__name__
        if code in _ABOUT_STATEMENTS or code in _OF_THE_DRIVER or not text:
            return text or "the connection is closed"
        if code in _SIGNALLED:
            return f"a routine raised an exception (error {code})"
        shown = re.sub(r"\d+", "…", text.partition("'")[0].partition('"')[0].rstrip(" :"))
        return f"{shown} (error {code}; the rest is hidden, as it may quote a row)"


# Table, name, columns; text is indexed by its beginning.
_BY_SYNC = f"sync_name({INDEXED_CHARACTERS})"
_INDEXES = (
    ("sync_state", "UNIQUE sync_state_name", _BY_SYNC),
    ("sync_runs", "UNIQUE sync_runs_run", f"{_BY_SYNC}, sync_run_id"),
    ("sync_log", "sync_log_run", f"{_BY_SYNC}, sync_run_id"),
    ("sync_log", "sync_log_finished", "sync_finished_at"),
    ("failed_records", "failed_records_identity", f"{_BY_SYNC}, identity({INDEXED_CHARACTERS})"),
    ("residue", "residue_run", f"{_BY_SYNC}, sync_run_id"),
    ("former_aliases", "former_aliases_run", f"{_BY_SYNC}, sync_run_id"),
)


def _prepare_session(native: Any, _record: object) -> None:  # noqa: ANN401 - PyMySQL's
    """Give a new connection our settings, and let it notice when the server has vanished."""
    with native.cursor() as cursor:
        cursor.execute(_SESSION)
    line = native._sock
    if line is None or line.family == getattr(socket, "AF_UNIX", None):
        return
    for name, value in _PATIENCE.items():
        option = getattr(socket, name, None)  # not every system has all of them
        if option is not None:
            line.setsockopt(socket.IPPROTO_TCP, option, value)


def _only_read(native: Any, _record: object) -> None:  # noqa: ANN401 - the same
    """For a source: whatever a query calls, nothing is written."""
    with native.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION READ ONLY")


# --- names and messages --------------------------------------------------------------------


def quoted(*names: str | None) -> str:
    """Return a dotted name for text that goes to the driver as it is; None parts are left out."""
    return ".".join("`" + name.replace("`", "``") + "`" for name in names if name is not None)


def _for_sqlalchemy(text: str) -> str:
    return text.replace("%", "%%")


def _granted(name: str) -> str:
    """Return a database's name for GRANT, to which ``_`` and ``%`` would be any letters."""
    return quoted(re.sub(r"([\\_%])", r"\\\1", name))


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _code(error: BaseException | None) -> int | None:
    arguments = getattr(error, "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], int) else None


def _message(error: BaseException | None) -> str:
    return str(error.args[1]) if error is not None and len(error.args) > 1 else ""


# --- Arrow ---------------------------------------------------------------------------------

# Rows of a stream in one piece.
_ROWS_STREAMED = 20_000


def _unbuffered(connection: Connection) -> Any:  # noqa: ANN401 - a class of PyMySQL
    return connection.dialect.loaded_dbapi.cursors.SSCursor


def _batches(cursor: Any, schema: pa.Schema) -> Iterator[pa.RecordBatch]:  # noqa: ANN401 - PyMySQL's
    while rows := cursor.fetchmany(_ROWS_STREAMED):
        columns = zip(*rows, strict=True)
        arrays = [_array(values, field.type) for values, field in zip(columns, schema, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _array(values: Sequence[Any], wanted: pa.DataType) -> pa.Array:
    """Return texts of the server as an Arrow column."""
    if wanted == pa.binary():
        return pa.array(values, pa.binary())
    return _cast(pa.array(values, pa.string()), wanted)


def _cast(column: Any, wanted: pa.DataType) -> Any:  # noqa: ANN401 - an array, or chunks of one
    if column.type == wanted:
        return column
    if pa.types.is_timestamp(wanted) and wanted.tz is not None and column.type == pa.string():
        return column.cast(pa.timestamp("us")).cast(wanted)
    try:
        return column.cast(wanted)
    except pa.ArrowInvalid:
        if wanted != pa.int64():
            raise
        return column.cast(pa.uint64())


_ARROW = {
    Kind.TEXT: pa.string(),
    Kind.INTEGER: pa.int64(),
    Kind.DECIMAL: pa.string(),
    Kind.FLOAT: pa.float64(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.TIMESTAMP: pa.timestamp("us"),
    Kind.INSTANT: pa.timestamp("us", "UTC"),
    Kind.DATE: pa.date32(),
    Kind.BINARY: pa.binary(),
    Kind.OTHER: pa.string(),
}


def _of_kind(column: pa.ChunkedArray, kind: Kind | None) -> pa.ChunkedArray:
    wanted = _ARROW.get(kind) if kind else None
    if wanted is None or column.type == wanted or column.type == pa.uint64():
        return column
    return _cast(column, wanted)


# --- types on the wire ---------------------------------------------------------------------

# Source: MariaDB Knowledge Base, "Result Set Packets": field types, flags and character sets.
_UNSIGNED = 32
_NO_CHARACTERS = 63
_NAMES = {
    0: "decimal",
    1: "tinyint",
    2: "smallint",
    3: "int",
    4: "float",
    5: "double",
    6: "null",
    7: "timestamp",
    8: "bigint",
    9: "mediumint",
    10: "date",
    11: "time",
    12: "datetime",
    13: "year",
    16: "bit",
    246: "decimal",
    255: "geometry",
}
_WITH_WIDTH = frozenset({1, 16})
_ARROW_BY_NAME = {
    **dict.fromkeys(("smallint", "int", "bigint", "mediumint", "year"), pa.int64()),
    "bigint unsigned": pa.uint64(),
    "float": pa.float64(),
    "double": pa.float64(),
    "timestamp": pa.timestamp("us", "UTC"),
    "date": pa.date32(),
    "datetime": pa.timestamp("us"),
    "blob": pa.binary(),
    "geometry": pa.binary(),
}


def type_name(column: Any) -> str:  # noqa: ANN401 - a field packet of PyMySQL
    """Return the type of a column of a result, as MariaDB would name it in a table.

    What is sent as text is ``text``, what is sent as bytes is ``blob``, however long.
    """
    name = _NAMES.get(column.type_code)
    if name is None:
        return "blob" if column.charsetnr == _NO_CHARACTERS else "text"
    width = f"({column.length})" if column.type_code in _WITH_WIDTH else ""
    unsigned = " unsigned" if name.endswith("int") and column.flags & _UNSIGNED else ""
    return f"{name}{width}{unsigned}"


def arrow_type(column: Any) -> pa.DataType:  # noqa: ANN401 - the same
    """Return the Arrow type for a column of a result."""
    name = type_name(column)
    if name.startswith("bit"):
        return pa.binary()
    plain = name if name == "bigint unsigned" else _first_word(name)
    return pa.int64() if plain == "tinyint" else _ARROW_BY_NAME.get(plain, pa.string())

"""PostgreSQL: psycopg for statements, ADBC for reading the plan as Arrow.

A network or a server that vanishes says nothing: a connection then waits for ever, and on the
other side the server keeps the locks of a client that is no more, for two hours by default. So
both sides are told to look after each other (``PATIENCE``), which finds it out within about a
minute. A server that is there but slow is waited for: a query may take hours;
``statement_timeout`` is for whoever knows better, as in ``?options=-c statement_timeout=600s``.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from reverse_etl.errors import ReverseEtlError, SourceError, WarehouseError
from reverse_etl.warehouse.base import NO_PARAMETERS, Warehouse, quoted
from reverse_etl.warehouse.copy_text import copy_text
from reverse_etl.warehouse.shape import Kind, SourceColumn
from reverse_etl.warehouse.sql import WHITE_SPACE, Chosen, Expression, Sql
from reverse_etl.warehouse.tables import ControlTables

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    import pyarrow as pa
    from sqlalchemy import Connection, Engine, Executable, FromClause, TableClause

PATIENCE = {
    "connect_timeout": "15",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
"""Seconds (the last one: milliseconds) of silence, unless the URL says otherwise.

Source: PostgreSQL manual, "Database Connection Control Functions", "Parameter Key Words".
"""

# The server looks after this session by the same figures. Asked for in SQL and not as a parameter
# of the connection: poolers refuse those that they do not know.
_SERVER_SIDE = {
    "tcp_keepalives_idle": "keepalives_idle",
    "tcp_keepalives_interval": "keepalives_interval",
    "tcp_keepalives_count": "keepalives_count",
    "tcp_user_timeout": "tcp_user_timeout",
}

# A process that is stopped inside a transaction keeps its locks, on the lease too, so that nobody
# could ever take over. Between two statements of ours there is no work that takes so long.
_IDLE_IN_TRANSACTION = "idle_in_transaction_session_timeout"
_IDLE_SECONDS = 60

_NO_RIGHT = "42501"
_OTHER_COLUMNS = "42P16"
# Beginnings of SQLSTATE: the connection failed; the server goes, or ends all sessions.
_NO_CONNECTION = ("08", "57P")
_PROTOCOL = "08P01"
_DEPENDENTS = "2BP01"

# Classes of SQLSTATE whose messages speak of the statement or the server, never of a row.
# Source: PostgreSQL manual, appendix "Error Codes".
_ABOUT_STATEMENTS = frozenset(
    {"08", "0A", "25", "28", "3D", "3F", "40", "42", "53", "54", "55", "57", "58"},
)
_RAISED = "P0"

# Of any language the server's messages may be in.
_QUOTATION_MARK = re.compile(r"[\"'\u201c-\u201e\u00ab\u00bb\u2039\u203a\u300c\u300e]")
# Digits that a numeric may have after its point; before it there may be more. Source: PostgreSQL
# manual, "Numeric Types".
_LONGEST_NUMBER = 16_383
# An escape, or what may be an exponent.
_UNSAFE_JSON = r"\\u|[eE][-+0-9]"

_WRITES = re.compile(r"cannot execute [A-Z ]+ in a read-only transaction")

# For a source: whatever a query calls, nothing is written.
_ONLY_READ = "SET default_transaction_read_only = on"

_UTC_NOW = "clock_timestamp() AT TIME ZONE 'UTC'"


class PostgreSQLSql(Sql):
    """PostgreSQL's spelling."""

    tokenizer = "postgres"
    types: ClassVar = {
        **dict.fromkeys(("text", "character varying", "character"), Kind.TEXT),
        **dict.fromkeys(("smallint", "integer", "bigint"), Kind.INTEGER),
        "numeric": Kind.DECIMAL,
        "real": Kind.FLOAT,
        "double precision": Kind.FLOAT,
        "boolean": Kind.BOOLEAN,
        "date": Kind.DATE,
        "json": Kind.JSON,
        "jsonb": Kind.JSON,
        "bytea": Kind.BINARY,
    }
    # Arrays are stored as JSON, see stored().
    read_as: ClassVar = {**Sql.read_as, Kind.NESTED: "json"}

    def evaluated_once(self, chosen: Chosen, name: str) -> FromClause:
        """Materialise it: else each parallel worker aggregates all of it for itself."""
        return chosen.cte(name).prefix_with("MATERIALIZED")

    def kind(self, type_name: str) -> Kind:
        """Return the kind; an array is nested, a timestamp carries its precision inside."""
        if type_name.endswith("[]"):
            return Kind.NESTED
        if type_name.startswith("timestamp"):
            return Kind.INSTANT if type_name.endswith("with time zone") else Kind.TIMESTAMP
        return super().kind(type_name)

    def text_of(self, expression: Expression, column: SourceColumn) -> Expression:
        """Return the text of an identifier, which is another one when its bytes are others."""
        return sa.collate(super().text_of(expression, column), "C")

    def stored(self, expression: Expression, column: SourceColumn) -> Expression:
        """Keep JSON as text (json has no equality), arrays as JSON, text to be compared by bytes.

        Otherwise a collation that ignores case would hide changes, and one that changes between
        two runs could not be compared with itself.
        """
        if column.kind is Kind.TEXT:
            return sa.collate(expression, "C")
        if column.kind is Kind.JSON:
            return sa.cast(expression, sa.Text)
        if column.kind is Kind.NESTED:
            return sa.cast(sa.func.to_jsonb(expression), sa.Text)
        if column.kind is Kind.OTHER:
            return sa.cast(expression, sa.Text)
        return expression

    def comparable(self, now: SourceColumn, before: SourceColumn) -> bool:
        """Compare char(n) with its own type only: to others the spaces at its end are nothing."""
        padded = any(each.type_name.startswith("character(") for each in (now, before))
        same = super().comparable(now, before)
        return same and (not padded or now.type_name == before.type_name)

    def plain_json(self, expression: Expression) -> Expression:
        """Compare as jsonb, which knows no white space and no order of keys.

        What jsonb might refuse (a NUL or half a surrogate pair, a number of any size) is
        compared as text: one such row must not fail the run.
        """
        safe = sa.and_(
            sa.func.length(expression) < _LONGEST_NUMBER,
            ~expression.regexp_match(_UNSAFE_JSON),
        )
        read, text = sa.cast(expression, JSONB), sa.func.to_jsonb(sa.cast(expression, sa.Text))
        return sa.case((safe, read), else_=text)

    def read(self, expression: Expression, column: SourceColumn) -> Expression:
        """Read decimals as text: Arrow wants a scale that numeric does not have."""
        if column.kind is Kind.DECIMAL:
            return sa.cast(expression, sa.Text)
        return expression

    def trimmed(self, expression: Expression) -> Expression:
        """Remove white space from both ends."""
        return sa.func.btrim(expression, WHITE_SPACE)

    def matches(self, expression: Expression, pattern: str) -> Expression:
        """Match by code points, whatever the database's language."""
        return sa.collate(expression, "C").regexp_match(pattern)

    def plain_lower(self, expression: Expression) -> Expression:
        """Fold A-Z: that is all the C locale knows. Thirty times faster than translate()."""
        return sa.func.lower(sa.collate(expression, "C"))

    def ascii_lower(self, expression: Expression) -> Expression:
        """Fold A-Z and nothing else."""
        return self.plain_lower(expression)

    def sort_keys(self, expression: Expression, column: SourceColumn) -> Expression:
        """Sort text by its bytes, as every engine can, whatever the database's language."""
        if column.kind in {Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT, Kind.BOOLEAN, Kind.DATE}:
            return expression.asc().nulls_last()
        if column.kind in {Kind.TIMESTAMP, Kind.INSTANT, Kind.BINARY}:
            return expression.asc().nulls_last()
        return sa.collate(sa.cast(expression, sa.Text), "C").asc().nulls_last()

    def sum_of_hashes(self, values: Sequence[Expression]) -> Expression:
        """Add up PostgreSQL's own text hashes."""
        row = sa.cast(sa.func.row(*values), sa.Text)
        return sa.cast(sa.func.sum(sa.cast(sa.func.hashtextextended(row, 0), sa.Numeric)), sa.Text)


# To nobody by name (grantee 0) is to everybody; the owner needs no grant.
_GRANTS = sa.text("""
    SELECT role.rolname AS grantee, given.privilege_type, given.is_grantable
    FROM pg_class known
    JOIN pg_namespace place ON place.oid = known.relnamespace
    CROSS JOIN LATERAL aclexplode(known.relacl) given
    LEFT JOIN pg_roles role ON role.oid = given.grantee
    WHERE place.nspname = :schema AND known.relname = :name
      AND given.grantee <> known.relowner
    ORDER BY 1, 2
""")


class PostgreSQLWarehouse(Warehouse):
    """A PostgreSQL database."""

    sql = PostgreSQLSql()

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as the base
        """Read the URL; a bare ``postgresql://`` means psycopg, and ``PATIENCE`` is added."""
        super().__init__(*args, **kwargs)
        if self.url.drivername in {"postgresql", "postgres"}:
            self.url = self.url.set(drivername="postgresql+psycopg")
        self.url = self.url.update_query_dict(PATIENCE | dict(self.url.query))
        self._reader: Any = None

    def make_engine(self) -> Engine:
        """Return the engine.

        Raises:
            WarehouseError: The driver is missing, or another one is named.
        """
        _, _, driver = self.url.drivername.partition("+")
        if driver != "psycopg":
            raise WarehouseError(
                f"PostgreSQL is spoken to over psycopg, not {driver}: write postgresql://… in the "
                "url of the warehouse",
            )
        try:
            engine = super().make_engine()
        except ModuleNotFoundError as error:
            raise WarehouseError(
                f"PostgreSQL needs the module {error.name}: "
                "install it with  pip install 'reverse-etl[postgres]'",
            ) from None
        sa.event.listen(engine, "connect", self._ask_to_be_looked_after)
        return engine

    def _ask_to_be_looked_after(self, native: Any, _record: object) -> None:  # noqa: ANN401 - psycopg's
        """Let the server notice when we vanish, so that what we had locked is free again."""
        wanted = [(name, self.url.query[ours]) for name, ours in _SERVER_SIDE.items()]
        settings = ", ".join(["set_config(%s, %s, false)"] * len(wanted))
        native.autocommit = True  # a rollback would take the settings back
        native.execute(f"SELECT {settings}", [word for pair in wanted for word in pair])
        native.execute(
            "SELECT set_config(%s, %s, false) WHERE current_setting(%s) = '0'",
            [_IDLE_IN_TRANSACTION, f"{_IDLE_SECONDS}s", _IDLE_IN_TRANSACTION],
        )
        if self.is_only_read:
            native.execute(_ONLY_READ)
        native.autocommit = False

    def close(self) -> None:
        """Close the Arrow connection too."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        super().close()

    def describe(self, connection: Connection, query: str) -> list[tuple[str, str]]:
        """Ask for no rows and read the types of the columns."""
        native: Any = connection.connection.driver_connection
        wrapped = f"SELECT * FROM (\n{query}\n) described LIMIT 0"  # noqa: S608 - the user's own
        try:
            with native.cursor() as cursor:
                # Without parameters psycopg leaves percent signs alone; asked for binary it speaks
                # the protocol in which the server takes one statement only.
                cursor.execute(wrapped, binary=True)
                found = [
                    (column.name, column.type_code, cursor.pgresult.fmod(n))
                    for n, column in enumerate(cursor.description or ())
                ]
        except connection.dialect.loaded_dbapi.Error as error:
            raise DBAPIError(wrapped, None, error, hide_parameters=True) from None
        types = sa.text("SELECT format_type(:oid, :modifier)")
        return [
            (name, str(connection.execute(types, {"oid": oid, "modifier": modifier}).scalar()))
            for name, oid, modifier in found
        ]

    def read_arrow(self, statement: str) -> pa.Table:
        """Read over ADBC, on a connection of its own."""
        from adbc_driver_manager import Error  # noqa: PLC0415 - an optional driver

        try:
            if self._reader is None:
                self._reader = self._connect_reader()
            with self._reader.cursor() as cursor:
                cursor.execute(statement)
                table: pa.Table = cursor.fetch_arrow_table()
        except Error as error:
            if _is_lost(error):
                raise self._lost(error) from None
            raise WarehouseError(f"the warehouse failed: {self.plain_reason(error)}") from None
        return table

    def driver_errors(self) -> tuple[type[Exception], ...]:
        """Return those of ADBC."""
        from adbc_driver_manager import Error  # noqa: PLC0415 - an optional driver

        return (Error,)

    def explained_reading(self, error: Exception) -> ReverseEtlError:
        """Explain an error; a connection that breaks under a query is no fault of the query."""
        if isinstance(error, self.driver_errors()) and _is_lost(error):
            return self._lost(error)
        found = _WRITES.search(str(error))
        if found:
            return SourceError(
                f"the query fails: {found[0]}. Its warehouse is only read: take out of the query "
                "what writes"
            )
        return super().explained_reading(error)

    @contextmanager
    def stream_arrow(self, statement: str) -> Iterator[pa.RecordBatchReader]:
        """Stream over ADBC, which reads a COPY as it comes."""
        with self._connect_reader() as reader, reader.cursor() as cursor:
            cursor.execute(statement)
            yield cursor.fetch_record_batch()

    def _connect_reader(self) -> Any:  # noqa: ANN401 - the driver's connection
        from adbc_driver_postgresql import dbapi  # noqa: PLC0415 - an optional driver
        from psycopg.conninfo import make_conninfo  # noqa: PLC0415 - the same

        # Not the URL: SQLAlchemy and libpq do not quote all characters of a password alike.
        _, arguments = self.engine.dialect.create_connect_args(self.url)
        arguments.pop("context", None)  # psycopg's own
        reader = dbapi.connect(make_conninfo(**arguments), autocommit=True)
        if self.is_only_read:
            with reader.cursor() as cursor:
                cursor.execute(_ONLY_READ)
        return reader

    def upload(self, connection: Connection, table: TableClause, rows: pa.RecordBatch) -> None:
        """COPY the rows in, inside the transaction."""
        native: Any = connection.connection.driver_connection
        names = ", ".join(map(quoted, rows.schema.names))
        place = quoted(table.schema, table.name)
        # The text is UTF-8, whatever the connection's own encoding is.
        statement = f"COPY {place} ({names}) FROM STDIN (ENCODING 'UTF8')"
        with native.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(copy_text(rows))

    def now_expression(self) -> Expression:
        """Return the server's clock, which goes on inside a transaction."""
        return sa.literal_column(_UTC_NOW, sa.DateTime)

    def after_now(self, seconds: float) -> Expression:
        """Return the server's clock plus some seconds."""
        later = f"{_UTC_NOW} + {float(seconds)} * interval '1 second'"
        return sa.literal_column(later, sa.DateTime)

    def finish_table(self, connection: Connection, table: TableClause, *, by: str | None) -> None:
        """Index the reading order, else gather statistics: no daemon has seen the table yet."""
        quote = connection.dialect.identifier_preparer.quote_identifier
        name = f"{quote(table.schema)}.{quote(table.name)}" if table.schema else quote(table.name)
        if by is not None:
            # The table was written in this order, so a block-range index is enough, and tiny.
            connection.exec_driver_sql(f"CREATE INDEX ON {name} USING brin ({quote(by)})")
        connection.exec_driver_sql(f"ANALYZE {name}")

    def index_control_tables(self, connection: Connection, names: Collection[str]) -> None:
        """Index what grows for years: the log by time, the rest by sync."""
        # An index stays with its table object, and would be made with it another time.
        tables = ControlTables(self.schema, self.schema)
        log, failed, state, runs = tables.log, tables.failed, tables.state, tables.runs
        indexes = (
            sa.Index("sync_log_finished", log.c.sync_finished_at, postgresql_using="brin"),
            sa.Index("failed_records_identity", failed.c.sync_name, failed.c.identity),
            sa.Index("sync_state_name", state.c.sync_name, unique=True),
            sa.Index("sync_runs_run", runs.c.sync_name, runs.c.sync_run_id, unique=True),
        )
        # A table that was renamed has kept the names of its indexes.
        named = sa.text("SELECT indexname FROM pg_indexes WHERE schemaname = :schema")
        taken = set(connection.scalars(named, {"schema": self.schema}))
        for index in indexes:
            if index.table is not None and index.table.name in names:
                while index.name in taken:
                    index.name = sa.quoted_name(f"{index.name}_anew", quote=None)
                index.create(connection)

    def replace_view(self, connection: Connection, statement: Executable) -> bool:
        """Replace a view in place, unless a column changed its collation.

        A column of constants has the database's own collation, whatever the statement says, so
        it changes when the first real value comes.
        """
        return _done_unless(_OTHER_COLUMNS, connection, lambda: connection.execute(statement))

    def drop_view(self, connection: Connection, name: str) -> bool:
        """Drop a view, unless something of the user's stands on it."""
        drop = f"DROP VIEW IF EXISTS {name}"
        return _done_unless(_DEPENDENTS, connection, lambda: connection.exec_driver_sql(drop))

    def grants_on(self, connection: Connection, name: str) -> list[str]:
        """Return what gives others the rights on a view that they have now: a drop takes them."""
        place = {"schema": self.schema, "name": name}
        view = quoted(self.schema, name)
        return [
            f"GRANT {row.privilege_type} ON {view} TO "
            f"{'PUBLIC' if row.grantee is None else quoted(row.grantee)}"
            f"{' WITH GRANT OPTION' if row.is_grantable else ''}"
            for row in connection.execute(_GRANTS, place)
        ]

    def missing_rights(self, error: DBAPIError) -> str | None:
        """Name the statements an owner runs to let this role in."""
        if getattr(error.orig, "sqlstate", None) != _NO_RIGHT:
            return None
        role, database = quoted(self.url.username or "…"), quoted(self.url.database or "…")
        schema = quoted(self.schema)
        return "\n".join(
            [
                f"  CREATE SCHEMA IF NOT EXISTS {schema};",
                f"  GRANT USAGE, CREATE ON SCHEMA {schema} TO {role};",
                f"  GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {role};",
                f"  GRANT TEMPORARY ON DATABASE {database} TO {role};",
                "and for each schema that the query reads:",
                f'  GRANT USAGE ON SCHEMA "…" TO {role};',
                f'  GRANT SELECT ON ALL TABLES IN SCHEMA "…" TO {role};',
                f"and where another role has made what is in {schema}, membership in that role:",
                f'  GRANT "…" TO {role};',
            ],
        )

    def explained(self, error: SQLAlchemyError, source: str | None = None) -> ReverseEtlError:
        """Explain an error; a connection that breaks under a query is no fault of the query."""
        if isinstance(error, DBAPIError) and _is_lost(error.orig):
            return self._lost(error.orig)
        return super().explained(error, source)

    def _lost(self, error: BaseException | None) -> WarehouseError:
        place = f" at {self.url.host}:{self.url.port or 5432}" if self.url.host else ""
        return WarehouseError(
            f"no connection to the warehouse{place}: {self.plain_reason(error)}. "
            "Nothing is lost: check the url of the warehouse, or try again when there is one.",
        )

    def plain_reason(self, error: BaseException | None) -> str:
        """Return the server's message without its DETAIL, and without what it quotes of a row."""
        primary = getattr(getattr(error, "diag", None), "message_primary", None)
        text = str(primary or error or type(error).__name__).strip()
        state = getattr(error, "sqlstate", None)
        if _is_parameter(error):
            return NO_PARAMETERS
        if not state or state[:2] in _ABOUT_STATEMENTS:
            return text.splitlines()[0]
        if state.startswith(_RAISED):
            return f"a function raised an exception (SQLSTATE {state})"
        shown = re.sub(r"\d+", "…", _QUOTATION_MARK.split(text)[0].rstrip())
        return f"{shown} (SQLSTATE {state}; the rest is hidden, as it may quote a row)"


def _is_lost(error: BaseException | None) -> bool:
    """Whether an error of a driver says that there is no connection, or none any more."""
    state = getattr(error, "sqlstate", None)
    if _is_parameter(error):
        return False
    if not state:  # then it is the driver that speaks, not the server
        return any(each.__name__ == "OperationalError" for each in type(error).__mro__)
    return str(state).startswith(_NO_CONNECTION)


def _is_parameter(error: BaseException | None) -> bool:
    """Whether a query has a ``$1``; the server calls that a violation of the protocol."""
    return getattr(error, "sqlstate", None) == _PROTOCOL and "bind message" in str(error)


def _done_unless(state: str, connection: Connection, action: Callable[[], object]) -> bool:
    """Do something; return False, with nothing done, when the server refuses it with a state."""
    try:
        with connection.begin_nested():
            action()
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != state:
            raise
        return False
    return True

"""Spark for SQLAlchemy, over PyHive: every value is written into the statement's text.

PyHive's own dialect writes for Hive: without the columns of an INSERT, with texts in the place of
times. Its parameters are texts too, put in by the driver; so a statement goes out as it was
compiled, with literals (:class:`SparkSpelling`).
"""

from __future__ import annotations

import importlib
import logging
import socket
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import DDLCompiler, GenericTypeCompiler, IdentifierPreparer

from reverse_etl.warehouse.spark_arrow import read_faster
from reverse_etl.warehouse.spark_sql import SparkSpelling, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from types import ModuleType

    from sqlalchemy import URL, Connection

# Spark's settings of a session ("Configuration"); what a query's meaning depends on is left as the
# server has it.
SESSION = {
    "spark.sql.session.timeZone": "UTC",
    # Or else ${env:HOME} in a value would be put in by the server.
    "spark.sql.variable.substitute": "false",
    # As our literals are written.
    "spark.sql.parser.escapedStringLiterals": "false",
    # Dates before 1582 are kept as they are ("Parquet Files").
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    "spark.sql.parquet.int96RebaseModeInWrite": "CORRECTED",
}

PARTITIONED = frozenset({"sync_log", "residue", "former_aliases"})
"""Our tables whose lines go with their run: no row of a table can be deleted, a partition can."""

_PARTITIONS = "PARTITIONED BY (`sync_name`, `sync_run_id`)"
_FORMAT = "USING PARQUET"

# A network that vanishes says nothing. Seconds of silence, seconds between questions, questions.
_PATIENCE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}


class SparkNames(IdentifierPreparer):
    """Names in backticks, always."""

    def __init__(self, dialect: sa.Dialect) -> None:
        """Quote with backticks."""
        super().__init__(dialect, initial_quote="`", escape_quote="`")

    def _requires_quotes(self, value: str) -> bool:
        del value
        return True


class SparkStatements(SparkSpelling):
    """Statements without parameters."""

    def visit_bindparam(self, *args: Any, **kw: Any) -> Any:  # noqa: ANN401 - SQLAlchemy's
        """Write the value in when the statement is executed."""
        return super().visit_bindparam(*args, **{**kw, "literal_execute": True})  # type: ignore[no-untyped-call]


class SparkTypes(GenericTypeCompiler):
    """Spark's names of types ("Data Types")."""

    def visit_VARCHAR(self, type_: Any, **kw: Any) -> str:  # noqa: ANN401, N802 - SQLAlchemy's
        """A text has any length."""
        del type_, kw
        return "STRING"

    def visit_TEXT(self, type_: Any, **kw: Any) -> str:  # noqa: ANN401, N802 - the same
        """A text has any length."""
        del type_, kw
        return "STRING"

    def visit_DATETIME(self, type_: Any, **kw: Any) -> str:  # noqa: ANN401, N802 - the same
        """A time without zone."""
        del type_, kw
        return "TIMESTAMP_NTZ"

    def visit_TIMESTAMP(self, type_: Any, **kw: Any) -> str:  # noqa: ANN401, N802 - the same
        """A time has a zone, unless it says that it has none."""
        del kw
        return "TIMESTAMP" if type_.timezone else "TIMESTAMP_NTZ"

    def visit_NUMERIC(self, type_: Any, **kw: Any) -> str:  # noqa: ANN401, N802 - the same
        """A number without a precision has as many digits as there are."""
        if type_.precision is None:
            return "DECIMAL(38, 18)"
        return super().visit_NUMERIC(type_, **kw).replace("NUMERIC", "DECIMAL")

    def visit_BLOB(self, type_: Any, **kw: Any) -> str:  # noqa: ANN401, N802 - the same
        """Bytes."""
        del type_, kw
        return "BINARY"


class SparkTables(DDLCompiler):
    """Tables are Parquet files."""

    def post_create_table(self, table: Any) -> str:  # noqa: ANN401 - SQLAlchemy's
        """Name the format, and the partitions of what goes with its run."""
        return f" {_FORMAT} {_PARTITIONS}" if table.name in PARTITIONED else f" {_FORMAT}"

    def create_table_select_suffixes(self, element: Any, type_: str, **kw: Any) -> str:  # noqa: ANN401
        """Name the format where a table is made from a SELECT."""
        if type_ == "create_table_as":
            return _FORMAT
        return super().create_table_select_suffixes(element, type_, **kw)


class _Time(sa.DateTime):
    """A time that a result may hold as text."""

    def result_processor(
        self, dialect: sa.Dialect, coltype: object
    ) -> Callable[[Any], datetime | None]:
        """Read the text."""
        del dialect, coltype

        def process(value: Any) -> datetime | None:  # noqa: ANN401 - as the driver has it
            return datetime.fromisoformat(value) if isinstance(value, str) else value

        return process


class SparkDialect(DefaultDialect):
    """Spark's Thrift server, which speaks the protocol of HiveServer2."""

    name = "spark"
    driver = "pyhive"
    supports_statement_cache = True
    supports_native_boolean = True
    supports_native_decimal = True
    supports_multivalues_insert = True
    supports_default_values = False
    supports_sane_rowcount = False
    supports_sane_multi_rowcount = False
    postfetch_lastrowid = False
    preparer: type[IdentifierPreparer] = SparkNames
    statement_compiler = SparkStatements
    ddl_compiler = SparkTables
    type_compiler_cls = SparkTypes
    colspecs = {sa.DateTime: _Time}  # noqa: RUF012 - as SQLAlchemy has it

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - SQLAlchemy's
        """Write statements for no driver's parameters: percent signs mean themselves."""
        super().__init__(**{**kwargs, "paramstyle": "named"})

    @classmethod
    def import_dbapi(cls) -> ModuleType:
        """Return PyHive, which would write every statement, with its values, into a log."""
        logging.getLogger("pyhive.hive").setLevel(logging.WARNING)
        return importlib.import_module("pyhive.hive")

    def create_connect_args(self, url: URL) -> tuple[list[Any], dict[str, Any]]:
        """Return PyHive's arguments; those in the URL's query are its, too."""
        given = url.translate_connect_args(username="username")
        settings = {f"set:hiveconf:{name}": value for name, value in SESSION.items()}
        return [], {**given, **url.query, "configuration": settings}

    def on_connect(self) -> Callable[[Any], None]:
        """Let a new connection notice when the server has vanished, and read faster."""
        return prepare

    # --- executing -------------------------------------------------------------------------

    def do_execute(
        self,
        cursor: Any,  # noqa: ANN401 - PyHive's
        statement: str,
        parameters: Any,  # noqa: ANN401 - none
        context: Any = None,  # noqa: ANN401 - SQLAlchemy's
    ) -> None:
        """Execute a text as it is."""
        del parameters, context
        cursor.execute(statement)

    def do_execute_no_params(
        self,
        cursor: Any,  # noqa: ANN401 - the same
        statement: str,
        context: Any = None,  # noqa: ANN401 - the same
    ) -> None:
        """Execute a text as it is."""
        del context
        cursor.execute(statement)

    def do_rollback(self, dbapi_connection: Any) -> None:  # noqa: ANN401 - PyHive's
        """Do nothing: each statement has taken effect by itself."""

    def do_commit(self, dbapi_connection: Any) -> None:  # noqa: ANN401 - the same
        """Do nothing."""

    # --- looking ---------------------------------------------------------------------------

    def _get_server_version_info(self, connection: Connection) -> None:
        """Ask for nothing when the first connection is made."""

    def _get_default_schema_name(self, connection: Connection) -> str:
        """Ask for nothing: every table is named with its schema."""
        del connection
        return "default"

    def has_schema(self, connection: Connection, schema_name: str, **kw: Any) -> bool:  # noqa: ANN401
        """Return whether there is a schema; names have no case."""
        del kw
        found = connection.exec_driver_sql("SHOW SCHEMAS").scalars()
        return schema_name.lower() in {name.lower() for name in found}

    def has_table(
        self,
        connection: Connection,
        table_name: str,
        schema: str | None = None,
        **kw: Any,  # noqa: ANN401
    ) -> bool:
        """Return whether there is a table or a view."""
        del kw
        return table_name.lower() in self._shown(connection, "TABLES", schema)

    def get_table_names(
        self,
        connection: Connection,
        schema: str | None = None,
        **kw: Any,  # noqa: ANN401
    ) -> list[str]:
        """Return the tables of a schema, without views; none when there is no such schema."""
        del kw
        views = self._shown(connection, "VIEWS", schema)
        return sorted(set(self._shown(connection, "TABLES", schema)) - set(views))

    def _shown(self, connection: Connection, what: str, schema: str | None) -> Collection[str]:
        place = f" IN {quoted(schema)}" if schema else ""
        try:
            rows = connection.exec_driver_sql(f"SHOW {what}{place}").all()
        except DBAPIError as error:
            if "[SCHEMA_NOT_FOUND]" not in str(error.orig):
                raise
            return []
        return {row[1].lower() for row in rows if not row[2]}


def prepare(native: Any) -> None:  # noqa: ANN401 - PyHive's connection
    """Let a connection notice when the server has vanished, and read by compiled code."""
    read_faster(native)
    # Below SASL, or else the buffer, is the socket.
    inner = native._transport
    for name in ("_trans", "_TBufferedTransport__trans", "_TSaslClientTransport__trans"):
        inner = getattr(inner, name, inner)
    line = getattr(inner, "handle", None)
    if line is None:
        return
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _PATIENCE.items():
        option = getattr(socket, name, None)  # not every system has all of them
        if option is not None:
            line.setsockopt(socket.IPPROTO_TCP, option, value)

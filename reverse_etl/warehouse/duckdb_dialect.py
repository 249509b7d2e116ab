"""A small SQLAlchemy dialect for DuckDB 2.

DuckDB speaks PostgreSQL's SQL closely enough that the PostgreSQL compilers serve; what differs
is the driver: a cursor of DuckDB is a *new connection*, a half-read result owns its connection,
and a DML statement answers with a row of its own. The wrapper below gives SQLAlchemy what the
Python database API promises: cursors that share one transaction, and results that are read
when the statement ran. Nothing here streams; bulk data travels as Arrow (``warehouse.duckdb``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import duckdb
from sqlalchemy import types
from sqlalchemy.dialects.postgresql.base import PGCompiler, PGDialect
from sqlalchemy.engine import reflection

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from sqlalchemy import Connection, Dialect
    from sqlalchemy.sql.elements import BinaryExpression

# Of this database, not of an attached one; names are equal whatever their case.
_HERE = "table_catalog = current_database() AND lower(table_schema) = lower(?)"

_COUNTED = ("insert", "update", "delete", "create", "copy")


class DuckDBCursor:
    """One statement and its rows, all read at once."""

    arraysize = 1

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Share the connection: a cursor of DuckDB's own would be another transaction."""
        self._connection = connection
        self.description: Any = None
        self.rowcount = -1
        self._rows: list[Any] = []

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        """Run one statement and read its whole result."""
        # With an empty parameter list DuckDB prepares the statement, and a prepared statement
        # cannot be every kind of statement; without one it takes them all.
        result = (
            self._connection.execute(statement, list(parameters))
            if parameters
            else self._connection.execute(statement)
        )
        self.description, self.rowcount, self._rows = None, -1, []
        if result.description is None:
            return
        rows = result.fetchall()
        columns = [column[0] for column in result.description]
        if columns == ["Count"] and statement.lstrip()[:6].lower().startswith(_COUNTED):
            # DML answers with one row that counts; that is a row count, not a result set.
            self.rowcount = rows[0][0] if rows else 0
            return
        self.description, self.rowcount, self._rows = result.description, len(rows), rows

    def executemany(self, statement: str, parameters: Sequence[Sequence[Any]]) -> None:
        """Run a statement for each parameter list (never used for bulk data)."""
        self._connection.executemany(statement, [list(row) for row in parameters])
        self.description, self._rows = None, []

    def fetchone(self) -> Any:  # noqa: ANN401 - the database API's own typing
        """Return the next row or None."""
        return self._rows.pop(0) if self._rows else None

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return up to ``size`` rows."""
        taken, self._rows = self._rows[: size or 1], self._rows[size or 1 :]
        return taken

    def fetchall(self) -> list[Any]:
        """Return the remaining rows."""
        taken, self._rows = self._rows, []
        return taken

    def setinputsizes(self, *_: object) -> None:
        """Do nothing; the driver finds types itself."""

    def close(self) -> None:
        """Forget the rows."""
        self._rows = []


class DuckDBConnection:
    """A DuckDB connection with the transactions of the Python database API."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Wrap a connection; DuckDB starts in autocommit."""
        self.native = connection
        self._in_transaction = False

    def cursor(self) -> DuckDBCursor:
        """Return a cursor inside the transaction."""
        return DuckDBCursor(self.opened())

    def opened(self) -> duckdb.DuckDBPyConnection:
        """Open the transaction on first use; return the driver's connection inside it."""
        if not self._in_transaction:
            self.native.execute("BEGIN TRANSACTION")
            self._in_transaction = True
        return self.native

    def commit(self) -> None:
        """Commit what was begun."""
        if self._in_transaction:
            self._in_transaction = False
            self.native.execute("COMMIT")

    def rollback(self) -> None:
        """Roll back what was begun."""
        if self._in_transaction:
            self._in_transaction = False
            self.native.execute("ROLLBACK")

    def close(self) -> None:
        """Close the connection; an open transaction is rolled back."""
        self.native.close()


class DuckDBBytes(types.LargeBinary):
    """Bytes are bound as they are: the driver has no ``Binary`` to wrap them in."""

    def bind_processor(self, dialect: Dialect) -> None:
        """Return none."""
        del dialect


class DuckDBCompiler(PGCompiler):
    """PostgreSQL's SQL, except where DuckDB means something else by the same signs."""

    def visit_regexp_match_op_binary(
        self,
        binary: BinaryExpression[Any],
        operator: Any,  # noqa: ANN401, ARG002 - the signature is SQLAlchemy's
        **kw: Any,  # noqa: ANN401
    ) -> str:
        """Search as PostgreSQL's ``~`` does: DuckDB's ``~`` wants the whole text to match."""
        left, right = self.process(binary.left, **kw), self.process(binary.right, **kw)
        return f"regexp_matches({left}, {right})"

    def visit_not_regexp_match_op_binary(
        self,
        binary: BinaryExpression[Any],
        operator: Any,  # noqa: ANN401
        **kw: Any,  # noqa: ANN401
    ) -> str:
        """Negate the search."""
        return f"NOT {self.visit_regexp_match_op_binary(binary, operator, **kw)}"


class DuckDBDialect(PGDialect):
    """``duckdb:///path`` for SQLAlchemy 2.1, over the driver of DuckDB 2."""

    name = "duckdb"
    driver = "duckdb"
    default_paramstyle = "qmark"
    statement_compiler = DuckDBCompiler
    colspecs = {**PGDialect.colspecs, types.LargeBinary: DuckDBBytes}  # noqa: RUF012 - as there
    supports_statement_cache = True
    supports_native_uuid = False
    supports_sane_rowcount = True
    supports_sane_multi_rowcount = False
    use_native_hstore = False
    postfetch_lastrowid = False
    implicit_returning = False
    ischema: ClassVar[dict[str, type[types.TypeEngine[Any]]]] = {
        "BIGINT": types.BigInteger,
        "BLOB": types.LargeBinary,
        "BOOLEAN": types.Boolean,
        "DATE": types.Date,
        "DOUBLE": types.Double,
        "FLOAT": types.Float,
        "HUGEINT": types.Numeric,
        "INTEGER": types.Integer,
        "SMALLINT": types.SmallInteger,
        "TIME": types.Time,
        "TIMESTAMP": types.DateTime,
        "TIMESTAMP WITH TIME ZONE": types.DateTime,
        "VARCHAR": types.String,
    }

    @classmethod
    def import_dbapi(cls) -> ModuleType:
        """Return the driver module."""
        return duckdb

    def connect(self, *args: Any, **kwargs: Any) -> DuckDBConnection:  # type: ignore[override]  # noqa: ANN401
        """Open a database file (or ``:memory:``)."""
        return DuckDBConnection(duckdb.connect(*args, **kwargs))

    def create_connect_args(self, url: Any) -> tuple[list[str], dict[str, Any]]:  # noqa: ANN401
        """Read ``duckdb:///path`` as the path of a file."""
        return [url.database or ":memory:"], {}

    def initialize(self, connection: Connection) -> None:
        """Set what PostgreSQL's dialect would ask the server for."""
        self.server_version_info = (16, 0)
        self.default_schema_name = "main"
        self.max_identifier_length = 5000
        del connection

    def _is_disconnect_or_false(self) -> bool:
        return False

    def is_disconnect(self, e: Exception, connection: Any, cursor: Any) -> bool:  # noqa: ANN401, ARG002
        """Say that an in-process database is never disconnected."""
        return self._is_disconnect_or_false()

    def get_isolation_level(self, dbapi_connection: Any) -> str:  # type: ignore[override]  # noqa: ANN401, ARG002
        """Return DuckDB's one level."""
        return "SERIALIZABLE"

    def do_begin(self, dbapi_connection: Any) -> None:  # noqa: ANN401
        """Leave the beginning to the first cursor."""

    def on_connect(self) -> None:
        """Need no set-up per connection."""

    def set_isolation_level(self, dbapi_connection: Any, level: Any) -> None:  # noqa: ANN401
        """Ignore the wish: there is one level."""

    def get_default_isolation_level(self, dbapi_conn: Any) -> str:  # type: ignore[override]  # noqa: ANN401, ARG002
        """Return DuckDB's one level."""
        return "SERIALIZABLE"

    # --- reflection: DuckDB's information_schema instead of PostgreSQL's catalog -----------

    @reflection.cache
    def has_table(
        self,
        connection: Connection,
        table_name: str,
        schema: str | None = None,
        **kw: Any,  # noqa: ANN401, ARG002
    ) -> bool:
        """Return whether a table or view exists."""
        statement = (
            f"SELECT count(*) FROM information_schema.tables WHERE {_HERE} "  # noqa: S608
            "AND lower(table_name) = lower(?)"
        )
        values = (schema or "main", table_name)
        return bool(connection.exec_driver_sql(statement, values).scalar())

    def has_schema(self, connection: Connection, schema_name: str, **kw: Any) -> bool:  # type: ignore[override]  # noqa: ANN401, ARG002
        """Return whether a schema exists."""
        statement = (
            "SELECT count(*) FROM information_schema.schemata "
            "WHERE catalog_name = current_database() AND lower(schema_name) = lower(?)"
        )
        return bool(connection.exec_driver_sql(statement, (schema_name,)).scalar())

    @reflection.cache
    def get_schema_names(self, connection: Connection, **kw: Any) -> list[str]:  # noqa: ANN401, ARG002
        """List the schemas of the current database."""
        statement = (
            "SELECT schema_name FROM information_schema.schemata "
            "WHERE catalog_name = current_database() ORDER BY 1"
        )
        return [row[0] for row in connection.exec_driver_sql(statement)]

    def _names(self, connection: Connection, schema: str | None, kind: str) -> list[str]:
        statement = (
            f"SELECT table_name FROM information_schema.tables WHERE {_HERE} "  # noqa: S608
            "AND table_type = ? ORDER BY 1"
        )
        return [row[0] for row in connection.exec_driver_sql(statement, (schema or "main", kind))]

    @reflection.cache
    def get_table_names(
        self,
        connection: Connection,
        schema: str | None = None,
        **kw: Any,  # noqa: ANN401, ARG002
    ) -> list[str]:
        """List the tables of a schema."""
        return self._names(connection, schema, "BASE TABLE")

    @reflection.cache
    def get_view_names(
        self,
        connection: Connection,
        schema: str | None = None,
        **kw: Any,  # noqa: ANN401, ARG002
    ) -> list[str]:
        """List the views of a schema."""
        return self._names(connection, schema, "VIEW")

    @reflection.cache
    def get_columns(
        self,
        connection: Connection,
        table_name: str,
        schema: str | None = None,
        **kw: Any,  # noqa: ANN401, ARG002
    ) -> list[Any]:
        """Describe the columns of a table."""
        statement = (
            "SELECT column_name, data_type, is_nullable, column_default "  # noqa: S608
            f"FROM information_schema.columns WHERE {_HERE} "
            "AND lower(table_name) = lower(?) ORDER BY ordinal_position"
        )
        rows = connection.exec_driver_sql(statement, (schema or "main", table_name)).all()
        return [
            {
                "name": name,
                "type": self._type(data_type),
                "nullable": nullable == "YES",
                "default": default,
            }
            for name, data_type, nullable, default in rows
        ]

    def _type(self, data_type: str) -> types.TypeEngine[Any]:
        if data_type.startswith("DECIMAL("):
            precision, scale = data_type[8:-1].split(",")
            return types.Numeric(int(precision), int(scale))
        return self.ischema.get(data_type, types.NullType)()

    def get_materialized_view_names(self, *_: Any, **__: Any) -> list[str]:  # noqa: ANN401
        """Report none: there is no such thing."""
        return []

    @reflection.cache
    def get_pk_constraint(
        self,
        connection: Connection,
        table_name: str,
        schema: str | None = None,
        **kw: Any,  # noqa: ANN401, ARG002
    ) -> Any:  # noqa: ANN401 - SQLAlchemy's own typing
        """Describe the primary key of a table."""
        statement = (
            "SELECT constraint_column_names, constraint_name FROM duckdb_constraints() "
            "WHERE constraint_type = 'PRIMARY KEY' AND database_name = current_database() "
            "AND lower(schema_name) = lower(?) AND lower(table_name) = lower(?)"
        )
        values = (schema or "main", table_name)
        row = connection.exec_driver_sql(statement, values).one_or_none()
        columns, name = row or ([], None)
        return {"constrained_columns": list(columns), "name": name}

    def get_foreign_keys(self, *_: Any, **__: Any) -> Any:  # noqa: ANN401
        """Report none."""
        return []

    def get_indexes(self, *_: Any, **__: Any) -> Any:  # noqa: ANN401
        """Report none."""
        return []

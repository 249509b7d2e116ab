"""DuckDB: a file that one process holds, and only while a run needs it."""

from __future__ import annotations

import os
import re
import threading
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import duckdb
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import registry
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from reverse_etl.errors import Busy, SourceError, WarehouseError
from reverse_etl.warehouse.base import NO_PARAMETERS, Warehouse, quoted
from reverse_etl.warehouse.capabilities import Capabilities
from reverse_etl.warehouse.duckdb_dialect import DuckDBConnection
from reverse_etl.warehouse.shape import Kind, SourceColumn
from reverse_etl.warehouse.sql import Comparison, Expression, Sql

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection, Engine, FromClause, TableClause

    from reverse_etl.warehouse.base import Transaction

registry.register("duckdb", "reverse_etl.warehouse.duckdb_dialect", "DuckDBDialect")

# How long a run waits for a file that another process holds (design: 5 s), and how often it asks.
FILE_WAIT_SECONDS = 5.0
FILE_POLL_SECONDS = 0.1

# One thread at a time opens or closes a file. The system's lock on a file belongs to the process:
# a thread that closes it while another one opens it lets go of the new lock as well, and then
# another process writes into the file beside us. Seen with DuckDB 2.0: two threads here and one
# process there lost a twentieth of all commits, on both sides, without an error.
_TURNS: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

# What DuckDB may hold in memory before it spills to disk, unless the URL names another value
# (duckdb:///shop.duckdb?memory_limit=8GB). Its own default is most of the machine.
MEMORY_LIMIT = "1GB"

# The first format of files in which texts may be compressed with ZSTD.
_KNOWS_ZSTD = (1, 2)

# Names of the types whose hash() is too weak.
_HASHED_AS_TEXT = r"^(U?HUGEINT|BIGNUM|DECIMAL[(](19|[23][0-9]),.*|(STRUCT|MAP|UNION)[(].*|.*\])$"

# Every decimal of up to 15 digits survives the way into a double and back.
_LONG_NUMBER = "[0-9.]{16}"

# What DuckDB adds to the name of a column that a subquery has already.
_RENAMED = re.compile(r"_[0-9]+$")

# Rows of a stream in one piece.
_ROWS_STREAMED = 50_000

# Integers that Arrow does not have.
_BEYOND_ARROW = ("hugeint", "uhugeint", "bignum")


def _turn_at(path: str) -> threading.Lock:
    """Return what opens and closes of a file take turns by; a dict makes one entry at a time."""
    return _TURNS[os.path.realpath(path)]


class DuckDBSql(Sql):
    """DuckDB's spelling."""

    tokenizer = "duckdb"
    types: ClassVar = {
        **dict.fromkeys(("varchar", "enum", "uuid", "time", "interval"), Kind.OTHER),
        "varchar": Kind.TEXT,
        **dict.fromkeys(
            ("tinyint", "smallint", "integer", "bigint", "utinyint", "usmallint", "uinteger"),
            Kind.INTEGER,
        ),
        "ubigint": Kind.INTEGER,
        **dict.fromkeys(_BEYOND_ARROW, Kind.DECIMAL),
        "decimal": Kind.DECIMAL,
        "float": Kind.FLOAT,
        "double": Kind.FLOAT,
        "boolean": Kind.BOOLEAN,
        **dict.fromkeys(
            ("timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns"),
            Kind.TIMESTAMP,
        ),
        "timestamp with time zone": Kind.INSTANT,
        "date": Kind.DATE,
        "json": Kind.JSON,
        "struct": Kind.NESTED,
        "map": Kind.NESTED,
        "blob": Kind.BINARY,
    }

    def kind(self, type_name: str) -> Kind:
        """Return the kind; a type that ends in brackets is a list of it."""
        return Kind.NESTED if type_name.endswith("]") else super().kind(type_name)

    def comparable(self, now: SourceColumn, before: SourceColumn) -> bool:
        """Compare nested values, which are stored as they are, only with their own type."""
        same = super().comparable(now, before)
        return same and (now.kind is not Kind.NESTED or now.type_name == before.type_name)

    def read(self, expression: Expression, column: SourceColumn) -> Expression:
        """Read as text what Arrow has no number for."""
        beyond = column.type_name.lower() in _BEYOND_ARROW
        return sa.cast(expression, sa.String) if beyond else expression

    def plain_json(self, expression: Expression) -> Expression:
        """Drop white space; the order of the keys stays.

        DuckDB reads decimals as doubles here, so what holds a long number is left as it is.
        """
        plain = sa.func.coalesce(sa.func.TRY(sa.func.json(expression)), expression)
        return sa.case((sa.func.regexp_matches(expression, _LONG_NUMBER), expression), else_=plain)

    def pairs(
        self,
        now: FromClause,
        base: FromClause,
        comparison: Comparison,
        pending: FromClause | None,
    ) -> tuple[FromClause, Expression]:
        """Compare by a hash made on the fly, then fetch only the rows that differ.

        Measured at 10 million rows: 1.5 times faster than comparing the columns, with half the
        memory. A hash depends on the type, so both sides must have the same types.
        """
        hashed = comparison.values and comparison.same_types and not comparison.every_row
        if not (hashed and self.full_join):
            return super().pairs(now, base, comparison, pending)
        keys = _differing(now, base, comparison)
        if pending is not None:
            due = sa.select(pending.c["_identity"]).where(pending.c["_due"])
            keys = sa.union(sa.select(keys.c["_identity"]), due).subquery("keys")
        joined: FromClause = keys
        for side in (now, base, *([pending] if pending is not None else [])):
            joined = joined.outerjoin(side, side.c["_identity"] == keys.c["_identity"])
        return joined, sa.true()

    def sum_of_hashes(self, values: Sequence[Expression]) -> Expression:
        """Add up DuckDB's hashes, which fit a 128-bit integer for any table."""
        hashed = sa.func.hash(*map(_hashable, values))
        return sa.cast(sa.func.sum(sa.cast(hashed, sa.Numeric(38, 0))), sa.String)


def _differing(now: FromClause, base: FromClause, comparison: Comparison) -> sa.Subquery:
    here = _hashed(now, [left for left, _ in comparison.values], "here")
    there = _hashed(base, [right for _, right in comparison.values], "there")
    identity = sa.func.coalesce(here.c["_identity"], there.c["_identity"])
    joined = here.join(there, here.c["_identity"] == there.c["_identity"], full=True)
    chosen = sa.select(identity.label("_identity")).select_from(joined)
    # A missing side has no hash, and a hash is never NULL.
    differs = here.c["_hash"].is_distinct_from(there.c["_hash"])
    return chosen.where(differs).subquery("differing")


def _hashed(rows: FromClause, values: list[Expression], name: str) -> sa.Subquery:
    hashed = sa.func.hash(*map(_hashable, values)).label("_hash")
    return sa.select(rows.c["_identity"], hashed).subquery(name)


def _hashable(value: Expression) -> Expression:
    """Return what to hash of a value: its text, where DuckDB gives different values one hash.

    Its hash() is the same for 0 and -1 of 128 bits (wide decimals too), for NULL and an empty
    list, for ``[[1], [2]]`` and ``[[1, 2]]``. The type is known when the statement is planned, so
    other columns pay nothing.
    """
    text = sa.cast(value, sa.String)
    risky = sa.func.regexp_matches(sa.func.typeof(value), _HASHED_AS_TEXT)
    return sa.case((risky, sa.func.hash(text)), else_=sa.func.hash(value))


class DuckDBWarehouse(Warehouse):
    """A DuckDB file.

    Attributes:
        connection_class: What SQLAlchemy gets as a connection of the driver.
    """

    connection_class: ClassVar[type[DuckDBConnection]] = DuckDBConnection
    sql = DuckDBSql()
    capabilities = Capabilities(
        lock_proves_lease=True,
        # Measured with 4 million rows: committing the delete of a few cost 10 s of processor time,
        # as much as writing the whole table; after a commit in between it costs nothing.
        deletes_rewrite_new_tables=True,
        # DuckDB 2.0 took a name of 5,001 bytes.
        longest_name=5_000,
    )

    def open(self, *, read_only: bool = False) -> None:
        """Open the file; wait up to 5 s for whoever keeps us out to let go of it.

        Raises:
            Busy: Another process kept it open, named by its process id, or a look of this one did.
            WarehouseError: There is no such file, it is not a DuckDB file, or it has the name of
                our schema.
        """
        path = self.url.database or ""
        self._refuse_one_name(path)
        if read_only and self.is_ours_alone and not Path(path).exists():
            # Nothing is known yet, and nothing is asked of it but room.
            path, read_only = ":memory:", False
        waited = 0.0
        while holder := self._kept_out_by(path, read_only=read_only):
            if waited >= FILE_WAIT_SECONDS:
                raise Busy(
                    f"{path} is held by {holder}: a DuckDB file has one writer at a time. "
                    "Try again when it is done.",
                )
            self.clock.sleep(FILE_POLL_SECONDS)
            waited += FILE_POLL_SECONDS
        super().open()

    def _kept_out_by(self, path: str, *, read_only: bool) -> str | None:
        """Open the file; return who holds it where that cannot be, None once it is open."""
        try:
            self._connect(path, read_only=read_only)
        except duckdb.IOException as error:
            if "Could not set lock" not in str(error):
                raise WarehouseError(_cannot_open(path, error, read_only=read_only)) from None
            holder = re.search(r"PID (\d+)", str(error))
            return f"process {holder[1]}" if holder else "another process"
        except duckdb.Error as error:
            if "different configuration" not in str(error):
                raise WarehouseError(_cannot_open(path, error, read_only=read_only)) from None
            if read_only:
                # This process has it open for writing already. Nothing is written through a look
                # anyway.
                return self._kept_out_by(path, read_only=False)
            # The scheduler looks at one sync, or at what is old, while it runs another.
            return "this process, which looks at it or opened it by a url with other settings"
        return None

    def _connect(self, path: str, *, read_only: bool) -> None:
        settings: dict[str, Any] = dict(self.url.query)
        with _turn_at(path), ExitStack() as opened:
            anchor = opened.enter_context(
                duckdb.connect(path, read_only=read_only, config=settings)
            )
            if "memory_limit" not in settings:
                # Set, not configured: a process may open a file only with one configuration.
                anchor.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
            if not (read_only or "force_compression" in settings):
                _compress_fast(anchor)
            self._anchor, self._reader = anchor, anchor.cursor()
            opened.pop_all()

    def _refuse_one_name(self, path: str) -> None:
        """Refuse a file called like our schema: DuckDB cannot tell the two apart in a statement.

        It calls a file what stands before the first full stop of its name (seen with 2.0).
        """
        called = Path(path).name.lstrip(".").partition(".")[0]
        if called.lower() == self.schema.lower() and not self.is_only_read:
            raise WarehouseError(
                f"the file {path} and our schema {self.schema} have one name, and DuckDB cannot "
                "tell them apart: give the file another name, or set warehouses.NAME.schema",
            )

    def close(self) -> None:
        """Close the file, so that others can open it."""
        super().close()
        with _turn_at(self.url.database or ""):
            for name in ("_reader", "_anchor"):
                held = self.__dict__.pop(name, None)
                if held is not None:
                    held.close()

    def make_engine(self) -> Engine:
        """Return an engine whose connections all share the one open file."""
        anchor, wrapped = self._anchor, self.connection_class
        return sa.create_engine(
            "duckdb://",
            creator=lambda: wrapped(anchor.cursor()),
            poolclass=NullPool,
            hide_parameters=True,
        )

    def describe(self, connection: Connection, query: str) -> list[tuple[str, str]]:
        """Bind the query and return its columns."""
        # Asked of the engine's own parser: the driver executes all statements of a text.
        try:
            statements = duckdb.extract_statements(query)
        except duckdb.Error as error:
            raise DBAPIError(query, None, error, hide_parameters=True) from None
        if len(statements) != 1:
            raise SourceError("the query holds a second statement: nothing was executed.")
        rows = connection.exec_driver_sql(f"DESCRIBE {query}").all()
        return [(row[0], row[1]) for row in rows]

    def names_in(self, connection: Connection, query: str, names: Sequence[str]) -> Sequence[str]:
        """Find out whether ``email_1`` is what became of a second ``email`` (case is no matter)."""
        known = {name.lower() for name in names}
        renamed = {name for name in known if _RENAMED.search(name)}
        if not any(_RENAMED.sub("", name) in known for name in renamed):
            return names
        rows = connection.exec_driver_sql(f"DESCRIBE (\n{query}\n)").all()
        return [row[0].lower() for row in rows]

    def read_arrow(self, statement: str) -> pa.Table:
        """Read through DuckDB's own Arrow export, on a connection of its own."""
        try:
            return self._reader.sql(statement).to_arrow_table()
        except duckdb.Error as error:
            raise WarehouseError(f"the warehouse failed: {self.plain_reason(error)}") from None

    def driver_errors(self) -> tuple[type[Exception], ...]:
        """Return DuckDB's."""
        return (duckdb.Error,)

    @contextmanager
    def stream_arrow(self, statement: str) -> Iterator[pa.RecordBatchReader]:
        """Stream through DuckDB's own Arrow export, on a connection of its own."""
        with self._anchor.cursor() as cursor:
            yield cursor.sql(statement).to_arrow_reader(_ROWS_STREAMED)

    @contextmanager
    def landing(self, tx: Transaction, name: str, rows: pa.RecordBatchReader) -> Iterator[str]:
        """Let DuckDB read the rows as they come: they are written only once."""
        native, name = _native(tx.connection), f"source_{name}"
        native.register(name, rows)
        yield f"SELECT * FROM {quoted(name)}"  # noqa: S608 - quoted
        native.unregister(name)  # after an error the connection is given up with it

    def upload(self, connection: Connection, table: TableClause, rows: pa.RecordBatch) -> None:
        """Register the rows and insert them with one statement."""
        native = _native(connection)
        native.register("uploaded", pa.Table.from_batches([rows]))
        try:
            names = ", ".join(map(quoted, rows.schema.names))
            place = quoted(table.schema, table.name)
            native.execute(f"INSERT INTO {place} ({names}) SELECT {names} FROM uploaded")  # noqa: S608
        finally:
            native.unregister("uploaded")

    def is_here(self, listed: FromClause) -> list[Expression]:
        """Look in this file only, whatever else is attached; names have no case here."""
        schema = sa.func.lower(listed.c.table_schema) == self.schema.lower()
        return [listed.c.table_catalog == sa.func.current_database(), schema]

    def now_expression(self) -> Expression:
        """Return this process's clock: an embedded database has no other."""
        return sa.literal(self.clock.now().replace(tzinfo=None), sa.DateTime)

    def after_now(self, seconds: float) -> Expression:
        """Return this process's clock plus some seconds."""
        later = self.clock.now() + timedelta(seconds=seconds)
        return sa.literal(later.replace(tzinfo=None), sa.DateTime)

    def plain_reason(self, error: BaseException | None) -> str:
        """Return DuckDB's message without its picture of the statement, or its kind."""
        text = " ".join(str(error).partition("\n\nLINE ")[0].split())
        if isinstance(error, _ABOUT_STATEMENTS):
            return text
        if isinstance(error, duckdb.InvalidInputException) and _PARAMETER in text:
            return NO_PARAMETERS
        kind, colon, _ = text.partition(":")
        kind = kind if colon and isinstance(error, duckdb.Error) else type(error).__name__
        # The end of a conversion error names the type and the column, never the value.
        known = isinstance(error, duckdb.ConversionException) and _CONVERTED.search(text)
        where = "".join(part or "" for part in known.groups()) if known else ""
        return f"{kind}{where} (the rest is hidden, as it may quote a row)"


# Messages of these speak of the statement, the file or the machine; the others may quote rows.
_ABOUT_STATEMENTS = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.ConnectionException,
    duckdb.DependencyException,
    duckdb.InterruptException,
    duckdb.IOException,
    duckdb.OutOfMemoryException,
    duckdb.ParserException,
    duckdb.PermissionException,
    duckdb.SyntaxException,
    duckdb.TransactionException,
)
_PARAMETER = "Values were not provided for the following"
_CONVERTED = re.compile(r"( to [A-Z][A-Z0-9]*)?( when casting from source column \w+)?$")


def _compress_fast(database: duckdb.DuckDBPyConnection) -> None:
    """Let texts be compressed with ZSTD, where the format of the file knows it.

    A million e-mail addresses, measured with 2.0: as small as with what DuckDB chooses by itself,
    written in half the time, and read no slower. Numbers are compressed as ever.
    """
    row = database.execute(
        "SELECT tags['storage_version'] FROM duckdb_databases()"
        " WHERE database_name = current_database()"
    ).fetchone()
    version = re.match(r"v(\d+)\.(\d+)", (row and row[0]) or "")
    if version and (int(version[1]), int(version[2])) >= _KNOWS_ZSTD:
        database.execute("SET force_compression = 'zstd'")


def _native(connection: Connection) -> duckdb.DuckDBPyConnection:
    wrapper: Any = connection.connection.driver_connection
    native: duckdb.DuckDBPyConnection = wrapper.opened()
    return native


def _cannot_open(path: str, error: Exception, *, read_only: bool) -> str:
    # For writing it would have been made; and "md:" is no file at all.
    if read_only and not Path(path).exists() and Path(path).parent.is_dir() and ":" not in path:
        return (
            f"there is no DuckDB file {path}. Put the url of the warehouse right; a file of that "
            "name is made by the first run"
        )
    return f"cannot open the DuckDB file {path}: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__

"""A warehouse: connections, transactions, and the statements of this tool run on them.

``Warehouse`` holds what all engines share; a dialect file holds one engine's differences. The
rest of the engine sees a warehouse as something that is opened, gives transactions, and reads
and writes columns as Arrow.
"""

from __future__ import annotations

import secrets
import threading
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from reverse_etl.errors import ReverseEtlError, RightsError, SourceError, WarehouseError
from reverse_etl.warehouse.capabilities import Capabilities
from reverse_etl.warehouse.damage import find_lost, mend_tables, refuse_lost
from reverse_etl.warehouse.landing import land, landed
from reverse_etl.warehouse.migrations import migrate, read_version, refuse_newer, refuse_older
from reverse_etl.warehouse.shape import Base, Kind, SourceColumn, State, read_mapping
from reverse_etl.warehouse.statements import control, retention
from reverse_etl.warehouse.statements.audit import read_people
from reverse_etl.warehouse.statements.changes import count_rows, plan_range
from reverse_etl.warehouse.statements.snapshot import all_rows, first_row, no_rows
from reverse_etl.warehouse.tables import (
    SCHEMA_VERSION,
    clause,
    control_tables,
    exact,
    is_run_table,
    is_scratch,
    runs_of_tables,
    scratch_name,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from types import TracebackType

    from sqlalchemy import Connection, Engine, Executable, FromClause, Table, TableClause
    from sqlalchemy.schema import ExecutableDDLElement
    from sqlalchemy.sql.selectable import SelectBase
    from sqlalchemy.types import TypeEngine

    from reverse_etl.clock import Clock
    from reverse_etl.warehouse.shape import Shape
    from reverse_etl.warehouse.sql import Chosen, Expression, Sql
    from reverse_etl.warehouse.tables import Columns


_TURN = threading.Lock()

# SQLAlchemy shortens the labels of a SELECT that are near the longest name that an engine takes,
# and then a table made from it has columns of other names. Ours need no shortening: they are short,
# or columns of the user's, which the engine takes already.
LONGEST_LABEL = 10_000

# Rows copied between two databases at a time.
_ROWS_COPIED = 10_000

NO_PARAMETERS = (
    "it has a parameter, such as $1 or ?, and nothing gives it a value: write the value into it"
)
"""What is wrong with a query that an engine takes for a prepared statement."""


class Warehouse(ABC):
    """One warehouse, closed until it is opened.

    Attributes:
        sql: How this engine spells expressions.
        capabilities: What it can do.
        control: Where the control tables are that change row by row: here, or in a control
            database (:meth:`keep_control_in`).
        source: Where the queries are asked: here, or in a warehouse that is only read
            (:meth:`read_from`).
        is_only_read: Whether it is such a source.
        is_ours_alone: Whether it holds nothing of the user's: it is a control database, or works
            for a source. One that is not there yet is then no mistake.
        tables: Our control tables.
    """

    sql: Sql
    capabilities = Capabilities()
    is_only_read = False
    is_ours_alone = False

    def __init__(self, url: str, schema: str, clock: Clock) -> None:
        """Remember where it is; nothing is contacted yet."""
        self.url = sa.make_url(url)
        self.schema = schema
        self.clock = clock
        self.control: Warehouse = self
        self.source: Warehouse = self
        self.tables = control_tables(schema, schema)
        self.mark = f"{clock.now():%Y%m%d}_{secrets.token_hex(4)}"
        self._engine: Engine | None = None
        self._prepared = False

    def keep_control_in(self, control: Warehouse) -> None:
        """Keep leases, runs and failed records in another database."""
        self.control = control
        control.is_ours_alone = True
        self.tables = control_tables(self.schema, control.schema)

    def read_from(self, source: Warehouse) -> None:
        """Let the queries be asked of another warehouse, which is only read."""
        self.source = source
        source.is_only_read = self.is_ours_alone = True
        self.sql = landed(self.sql, source.sql)

    @property
    def keeps_control(self) -> bool:
        """Whether the control tables are here, with everything else."""
        return self.control is self

    def __enter__(self) -> Self:
        """Open for writing."""
        with ExitStack() as opened:
            if not self.keeps_control:
                opened.enter_context(self.control)
            self.open()
            opened.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        del kind, error, trace
        self._let_go()

    @property
    def place(self) -> str:
        """Where its tables are, in words, without who may open it."""
        url = sa.URL.create(
            self.url.get_backend_name(),
            host=self.url.host,
            port=self.url.port,
            database=self.url.database,
        )
        return f"{url} schema {self.schema}"

    @contextmanager
    def opened_to_look(self) -> Iterator[None]:
        """Open to change nothing.

        Where nothing is temporary, a look needs scratch tables, and a schema for them.
        """
        try:
            if not self.keeps_control:
                self.control.open(read_only=True)
            self.open(read_only=self.capabilities.temporary_tables)
            yield
        finally:
            self._let_go()

    @contextmanager
    def looking(self) -> Iterator[Transaction]:
        """Open for one transaction that changes nothing."""
        with self.opened_to_look(), self.transaction() as tx:
            yield tx
            tx.abandon()

    def _let_go(self) -> None:
        try:
            self.close()
        finally:
            if not self.keeps_control:
                self.control.close()

    # --- what a dialect file may replace ---------------------------------------------------

    def open(self, *, read_only: bool = False) -> None:
        """Make the warehouse ready; ``read_only`` where the engine can promise it."""
        del read_only
        self.refuse_long_names()
        self._engine = self.make_engine()

    def close(self) -> None:
        """Let go of every connection (and of a file's lock)."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def refuse_long_names(self) -> None:
        """Refuse a schema whose name the engine would cut off, or not take.

        Raises:
            WarehouseError: It would.
        """
        most = self.capabilities.longest_name
        if len(self.schema.encode()) > most:
            raise WarehouseError(
                f"the schema {self.schema} has a name of more than {most} bytes, which "
                f"{self.url.get_backend_name()} has no room for: give it a shorter one "
                "(warehouses.NAME.schema)",
            )

    def make_engine(self) -> Engine:
        """Return a SQLAlchemy engine; one connection per use, none kept."""
        return sa.create_engine(
            self.url,
            poolclass=NullPool,
            hide_parameters=True,
            max_identifier_length=LONGEST_LABEL,
        )

    @abstractmethod
    def describe(self, connection: Connection, query: str) -> list[tuple[str, str]]:
        """Return the columns of a query as (name, type name), without evaluating it."""

    def names_in(self, connection: Connection, query: str, names: Sequence[str]) -> Sequence[str]:
        """Return how a checked query names its columns, where the engine gave them other names.

        Args:
            connection: Where it was described.
            query: As the user wrote it.
            names: What :meth:`describe` calls them.
        """
        del connection, query
        return names

    @abstractmethod
    def read_arrow(self, statement: str) -> pa.Table:
        """Read a page of something committed, as Arrow."""

    @abstractmethod
    def stream_arrow(self, statement: str) -> AbstractContextManager[pa.RecordBatchReader]:
        """Read something committed as Arrow, a piece at a time; raises what the driver raises."""

    @contextmanager
    def landing(self, tx: Transaction, name: str, rows: pa.RecordBatchReader) -> Iterator[str]:
        """Make rows from elsewhere readable here; yield a query that finds them, once.

        Args:
            tx: Where they will be read.
            name: A word for them.
            rows: Arrow, with the names of the columns.
        """
        with land(tx, name, rows) as query:
            yield query

    @abstractmethod
    def upload(self, connection: Connection, table: TableClause, rows: pa.RecordBatch) -> None:
        """Append rows to a table in bulk; they may lack some of its columns."""

    @abstractmethod
    def now_expression(self) -> Expression:
        """Return the warehouse's clock, in UTC, without time zone."""

    @abstractmethod
    def after_now(self, seconds: float) -> Expression:
        """Return the warehouse's clock plus some seconds."""

    def empty_table(self, table: TableClause) -> ExecutableDDLElement:
        """Return the statement that makes a table from its columns; without schema, temporary."""
        return sa.schema.CreateTable(
            sa.Table(
                table.name,
                sa.MetaData(),
                *(sa.Column(column.name, column.type) for column in table.c),
                schema=table.schema,
                prefixes=[] if table.schema else ["TEMPORARY"],
            )
        )

    def filled_table(self, table: TableClause, chosen: SelectBase) -> Executable:
        """Return the statement that makes a table from a SELECT; without schema, temporary."""
        return sa.schema.CreateTableAs(
            chosen, table.name, schema=table.schema, temporary=table.schema is None
        )

    def drop_table(self, connection: Connection, table: TableClause) -> None:
        """Drop a table when it is there; one without schema is temporary."""
        name = _quoted(connection, table.schema, table.name)
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {name}")

    def create_schema(self, connection: Connection) -> None:
        """Make our schema, unless it is there."""
        # Never "IF NOT EXISTS" on what exists: it wants the right to create anyway.
        if not sa.inspect(connection).has_schema(self.schema):
            connection.execute(sa.schema.CreateSchema(self.schema, if_not_exists=True))

    def drop_schema(self, connection: Connection) -> None:
        """Drop our schema, which is empty."""
        connection.execute(sa.schema.DropSchema(self.schema, if_exists=True))

    def finish_table(  # noqa: B027 - most engines need nothing
        self, connection: Connection, table: TableClause, *, by: str | None
    ) -> None:
        """Make a new table ready to be read: statistics, or an index on ``by``."""

    def index_control_tables(  # noqa: B027 - as above
        self, connection: Connection, names: Collection[str]
    ) -> None:
        """Index those of our own tables that were just made, where the engine wants it."""

    def rename(self, connection: Connection, table: TableClause, other: TableClause) -> None:
        """Give a table another name in its schema."""
        quote = connection.dialect.identifier_preparer.quote_identifier
        old = _quoted(connection, table.schema, table.name)
        connection.exec_driver_sql(f"ALTER TABLE {old} RENAME TO {quote(other.name)}")

    def forget_run(self, tx: Transaction, ledger: Table, sync_name: str, run_id: int) -> None:
        """Drop the lines of one run from a ledger."""
        tx.run(retention.forget_run(ledger, sync_name, run_id))

    def forget_earlier(
        self,
        tx: Transaction,
        ledger: Table,
        sync_name: str,
        run_id: int,
        finished_before: datetime | None = None,
    ) -> None:
        """Drop the lines of the runs before one; see :func:`retention.forget_earlier`."""
        tx.run(retention.forget_earlier(ledger, sync_name, run_id, finished_before))

    def layout(self, connection: Connection, names: Collection[str]) -> dict[str, dict[str, str]]:
        """Return the columns of some of our tables, name to type, as far as one may see them."""
        listed = sa.table(
            "columns",
            *map(sa.column, ("table_catalog", "table_schema", "table_name", "column_name")),
            sa.column("data_type"),
            schema="information_schema",
        )
        chosen = sa.select(listed.c.table_name, listed.c.column_name, listed.c.data_type).where(
            *self.is_here(listed), listed.c.table_name.in_(list(names))
        )
        found: dict[str, dict[str, str]] = {}
        for table_name, column_name, type_name in connection.execute(chosen):
            found.setdefault(table_name, {})[column_name] = type_name
        return found

    def is_here(self, listed: FromClause) -> list[Expression]:
        """Return what a row of an information_schema view must fulfil to be of our schema."""
        return [listed.c.table_schema == self.schema]

    def replace_view(self, connection: Connection, statement: Executable) -> bool:
        """Replace a view in place; return False when its columns have become too different."""
        connection.execute(statement)
        return True

    def drop_view(self, connection: Connection, name: str) -> bool:
        """Drop a view, if it is there; return False when something of the user's stands on it."""
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")
        return True

    def grants_on(self, connection: Connection, name: str) -> Sequence[str]:
        """Return the statements that give a view, made anew, the readers that it has now."""
        del connection, name
        return ()

    def missing_rights(self, error: DBAPIError) -> str | None:
        """Return the GRANT statements that would help, or None when rights are not the fault."""
        del error
        return None

    @abstractmethod
    def plain_reason(self, error: BaseException | None) -> str:
        """Return the driver's message on one line, never with a value of a row in it.

        Many messages about data quote them, so a dialect repeats only what it knows to speak of
        the statement, and of the others their kind.
        """

    def source_query(self, query: str | None, table: str | None, relation: str | None) -> str:
        """Return the one SELECT of a source given as a query, a table or a dbt relation.

        Raises:
            SourceError: The query is empty or holds a second statement.
        """
        if query is not None:
            # Loads sqlglot, which a table does not need.
            from reverse_etl.warehouse.query import single_statement  # noqa: PLC0415

            return single_statement(query, self.sql.tokenizer)
        if table is not None:
            relation = quoted(*table.split("."))
        return f"SELECT * FROM {relation}"  # noqa: S608 - quoted, or dbt's own

    # --- transactions ----------------------------------------------------------------------

    @property
    def engine(self) -> Engine:
        """Return the engine of an open warehouse."""
        if self._engine is None:
            message = "the warehouse is not open"
            raise RuntimeError(message)
        return self._engine

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Run statements together: all take effect or, after an error, none.

        Where the control tables are in another database, that one commits last: what it says is
        true, and tables of a run that it does not know are dropped by the next one.

        Raises:
            WarehouseError: The engine refused a statement; the text has no values in it.
        """
        if self.keeps_control:
            with self._own_transaction() as tx:
                yield tx
            return
        with self.control.transaction() as control, self._own_transaction() as tx:
            tx.control = control
            yield tx
            control.abandoned = tx.abandoned

    @contextmanager
    def _own_transaction(self) -> Iterator[Transaction]:
        try:
            # Closing a connection rolls back what was not committed.
            with self.engine.connect() as connection:
                # Begun here and not by the first statement: an upload goes past SQLAlchemy, and
                # what was never begun would not be committed.
                connection.begin()
                tx = Transaction(self, connection)
                try:
                    yield tx
                except Exception:
                    # What is left is dropped by a later run; the error in hand matters more.
                    with suppress(SQLAlchemyError):
                        tx.sweep()
                    raise
                tx.sweep()
                if not tx.abandoned:
                    connection.commit()
        except SQLAlchemyError as error:
            raise self.explained(error) from None

    def explained(self, error: SQLAlchemyError, source: str | None = None) -> ReverseEtlError:
        """Turn an error of SQLAlchemy into one for the user, without row values."""
        if not isinstance(error, DBAPIError):
            return WarehouseError(f"the warehouse failed: {type(error).__name__}")
        reason = self.plain_reason(error.orig)
        grants = self.missing_rights(error)
        if grants is not None:
            return RightsError(f"the warehouse refused: {reason}. Ask its owner for:\n{grants}")
        if source is not None:
            return SourceError(f"the query fails: {reason}")
        return WarehouseError(f"the warehouse failed: {reason}")

    @abstractmethod
    def driver_errors(self) -> tuple[type[Exception], ...]:
        """Return what the drivers raise that are used past SQLAlchemy."""

    def explained_reading(self, error: Exception) -> ReverseEtlError:
        """Turn what was raised while the rows of a query were read into an error for the user."""
        if isinstance(error, self.driver_errors()):
            return SourceError(f"the query fails: {self.plain_reason(error)}")
        # The driver's words in another coat, which nobody has looked through.
        kind = type(error).__name__
        return SourceError(f"the query fails: {kind} (the rest is hidden, as it may quote a row)")

    def read(self, chosen: Chosen) -> pa.Table:
        """Read a page of something committed; the values in the SELECT must be literals.

        Raises:
            WarehouseError: It cannot be read.
        """
        return self.read_arrow(self._as_text(chosen))

    def stream(self, chosen: Chosen) -> AbstractContextManager[pa.RecordBatchReader]:
        """Read something committed of any size, a piece at a time, inside the block."""
        return self.stream_arrow(self._as_text(chosen))

    def _as_text(self, chosen: Chosen) -> str:
        compiled = chosen.compile(self.engine, compile_kwargs={"literal_binds": True})
        statement = str(compiled)
        # Compiled for the driver's parameter style, which doubles percent signs; this goes
        # another way, where they mean themselves.
        if self.engine.dialect.identifier_preparer._double_percents:
            statement = statement.replace("%%", "%")
        return statement

    def read_page(
        self, shape: Shape, changes: TableClause, first: int, last: int
    ) -> pa.RecordBatch:
        """Read a page of a stored plan, as a connector wants it.

        Args:
            shape: The sync.
            changes: The plan.
            first: First place in the order of sending.
            last: Last place.

        Returns:
            ``_identity``, ``_alias`` and the mapped columns (an identifier's only where there are
            two), ``_fields`` between them where a delete clears fields; the field metadata of a
            column that is to be read as JSON or as a number says so under ``kind``.
        """
        mapped = [
            self.sql.read(changes.c[name], shape.columns[name]).label(exact(name))
            for name in shape.page_columns
        ]
        ours = ["_identity", "_alias", *(["_fields"] if shape.clears_fields else [])]
        columns = [*(changes.c[name] for name in ours), *mapped]
        table = self.read(plan_range(changes, first, last, columns))
        kinds = [*(None for _ in ours), *(shape.columns[name].kind for name in shape.page_columns)]
        batches = self.with_kinds(table, kinds).combine_chunks().to_batches()
        page: pa.RecordBatch = batches[0]
        return page

    def read_people(
        self, snapshot: TableClause, identities: Sequence[str], columns: Sequence[SourceColumn]
    ) -> pa.RecordBatch:
        """Read some people of a committed snapshot, one or more, as a page of a plan has them.

        Args:
            snapshot: The snapshot.
            identities: Who.
            columns: Which of its columns beside ``_identity`` and ``_alias``.
        """
        mapped = [
            self.sql.read(snapshot.c[column.name], column).label(exact(column.name))
            for column in columns
        ]
        table = self.read(read_people(snapshot, identities, mapped))
        kinds = [None, None, *(column.kind for column in columns)]
        page: pa.RecordBatch = self.with_kinds(table, kinds).combine_chunks().to_batches()[0]
        return page

    def read_columns(self, shape: Shape) -> pa.Schema:
        """Return the mapped columns of a query as a page of its plan would have them.

        Raises:
            WarehouseError: The engine has a type that Arrow does not know.
        """
        kinds = [shape.columns[name].kind for name in shape.plan_columns]
        return self.with_kinds(self.read(no_rows(shape, self.sql)), kinds).schema

    def with_kinds(self, table: pa.Table, kinds: Iterable[Kind | None]) -> pa.Table:
        """Return the table with what its columns are to be read as in their metadata."""
        words = (self.sql.read_as.get(kind) if kind else None for kind in kinds)
        fields = [
            field.with_metadata({"kind": word} if word else {})
            for field, word in zip(table.schema, words, strict=True)
        ]
        # Not a cast: Arrow has none for a list of nothing but NULLs.
        return pa.Table.from_arrays(table.columns, schema=pa.schema(fields))

    # --- our own tables --------------------------------------------------------------------

    def is_prepared(self, tx: Transaction) -> bool:
        """Return whether our tables are there, to be looked at.

        Raises:
            WarehouseError: They are, but older, newer or damaged; a look changes nothing.
        """
        if not self._prepared:
            if not self.keeps_control and not self.control.is_prepared(tx.control):
                return False
            self._prepared = self._are_readable(tx)
        return self._prepared

    def prepare_schema(self, *, mend: bool = False) -> None:
        """Create our schema and tables where they are missing; bring older ones to this version.

        Args:
            mend: Make a lost table anew; every sync must then start over with a full run.

        Raises:
            Busy: The tables are older, and a run of an older program is under way.
            RightsError: Something is missing and may not be created; names the GRANTs.
            WarehouseError: The tables are of a newer program, or damaged.
        """
        if not self.keeps_control:
            self.control.prepare_schema(mend=mend)
        self._again_when_beaten(lambda: self._create_and_commit(mend=mend))
        self._prepared = True

    def prove_rights(self) -> None:
        """Prove that our tables can be made, written and dropped; nothing of it stays.

        Raises:
            Busy: The tables are older, and a run of an older program is under way.
            RightsError: A right is missing; names the GRANTs.
            WarehouseError: The tables are of a newer program, or damaged.
        """
        if not self.keeps_control:
            self.control.prove_rights()
        in_one = self.capabilities.transactional_ddl
        self._again_when_beaten(self._try_rights if in_one else self._try_and_take_back)

    def in_turn(self) -> AbstractContextManager[object]:
        """Keep this process's other threads away where they would collide instead of waiting.

        Two writers of one row, or of one new table, fail in an embedded database. No other process
        can have it open; on a server they wait for each other.
        """
        return _TURN if self.capabilities.lock_proves_lease else nullcontext()

    def _again_when_beaten(self, create: Callable[[], None]) -> None:
        """Create what is missing, once more when another process made it in the same moment."""
        with self.in_turn():
            try:
                create()
            except WarehouseError as error:
                # What we say ourselves of the tables stays true; only a statement can be beaten.
                if error.code != WarehouseError.code:
                    raise
                create()

    def _create_and_commit(self, *, mend: bool) -> None:
        with self.transaction() as tx:
            self._make_ready(tx, mend=mend)

    def _try_rights(self) -> None:
        with self.transaction() as tx:
            self._make_ready(tx, mend=False)
            for table in self.own_tables:
                insert, *changes = control.touch(table)
                for statement in [insert, *(changes if self.capabilities.transactions else ())]:
                    tx.run(statement)
            tried = clause("reverse_etl_check", ["word"], self.schema)
            tx.create_empty(tried)
            tx.drop(tried)
            tx.create_empty(tx.scratch(tried.name, ("word",)))
            tx.sweep()
            tx.abandon()

    def _try_and_take_back(self) -> None:
        """Drop what only the proof has made, where no transaction does it."""
        with self.transaction() as tx:
            had_schema = sa.inspect(tx.connection).has_schema(self.schema)
            there = set(tx.table_names()) if had_schema else set()
        try:
            self._try_rights()
        finally:
            with suppress(WarehouseError), self.transaction() as tx:
                self._take_back(tx, set(self._names()) - there, with_schema=not had_schema)

    def _take_back(self, tx: Transaction, made: Collection[str], *, with_schema: bool) -> None:
        """Drop these tables of ours, unless somebody's first run has begun to use them."""
        tables = [table for table in self.own_tables if table.name in made]
        if any(self._is_used(tx, table) for table in tables):
            return
        for table in tables:
            tx.drop(clause(table.name, (), self.schema))
        if with_schema and not tx.table_names():
            self.drop_schema(tx.connection)

    def _is_used(self, tx: Transaction, table: Table) -> bool:
        if table is self.tables.version or not tx.has_table(table):
            return False
        return int(tx.scalar(count_rows(table))) > 0

    def _make_ready(self, tx: Transaction, *, mend: bool) -> None:
        if self._is_new(tx):
            self.create_schema(tx.connection)
            self._create(tx, self._names())
            if self.keeps_control:
                tx.run(self.tables.version.insert().values(version=SCHEMA_VERSION))
            return
        if self.keeps_control and tx.has_table(self.tables.version):
            migrate(tx)
        lost = find_lost(tx)
        if lost and not mend:
            refuse_lost(self.schema, lost)
        if lost:
            self._create(tx, lost)
            mend_tables(tx, lost)

    def _is_new(self, tx: Transaction) -> bool:
        """Whether nothing of ours is here yet."""
        if self.keeps_control and tx.has_table(self.tables.version):
            return False
        if not self.keeps_control:
            # Made one by one, perhaps; without run tables they say nothing yet.
            return not any(map(is_run_table, tx.table_names()))
        return not tx.layout(self._names())

    def _are_readable(self, tx: Transaction) -> bool:
        if self._is_new(tx):
            return False
        if self.keeps_control and tx.has_table(self.tables.version):
            refuse_newer(self.schema, version := read_version(tx))
            refuse_older(self.schema, version)
        lost = find_lost(tx)
        if lost:
            refuse_lost(self.schema, lost)
        return True

    @property
    def own_tables(self) -> list[Table]:
        """The control tables that are here."""
        if self.keeps_control:
            return self.tables.metadata.sorted_tables
        return list(self.tables.ledgers)

    def _names(self) -> list[str]:
        return [table.name for table in self.own_tables]

    def _create(self, tx: Transaction, names: Collection[str]) -> None:
        tables = [table for table in self.own_tables if table.name in names]
        self.tables.metadata.create_all(tx.connection, tables)
        self.index_control_tables(tx.connection, names)


class Transaction:
    """Statements that take effect together.

    Attributes:
        warehouse: Where they run.
        control: The transaction for the control tables that change row by row; this one itself,
            unless they are in another database.
    """

    def __init__(self, warehouse: Warehouse, connection: Connection) -> None:
        """Run on one connection of the warehouse."""
        self.warehouse = warehouse
        self.connection = connection
        self.control = self
        self.abandoned = False
        self._scratch: list[TableClause] = []

    def run(self, statement: Executable) -> int:
        """Run a statement; return how many rows it changed."""
        # SQLAlchemy remembers the count of an UPDATE or DELETE; that of an INSERT only if asked to.
        counting = {"preserve_rowcount": True}
        result: Any = self.connection.execute(statement, execution_options=counting)
        return int(result.rowcount)

    def rows(self, statement: Chosen) -> Sequence[Any]:
        """Read a small result, as named tuples."""
        return self.connection.execute(statement).all()

    def stream_rows(self, statement: Chosen) -> Iterator[Any]:
        """Read a result of any size, as named tuples, some at a time."""
        found = self.connection.execute(statement, execution_options={"yield_per": _ROWS_COPIED})
        for part in found.partitions():
            yield from part

    def scalar(self, statement: Chosen) -> Any:  # noqa: ANN401 - as the statement says
        """Read one value."""
        return self.connection.execute(statement).scalar()

    def scratch(self, name: str, columns: Columns, *, kept: bool = False) -> TableClause:
        """Return a table for the time of this transaction, still to be made.

        Args:
            name: Of the table, unless the engine has nothing that others do not see.
            columns: Its columns.
            kept: Whether it may be renamed, and then stays: nothing temporary will do.
        """
        if self.warehouse.capabilities.temporary_tables and not kept:
            return clause(name, columns, None)
        return clause(scratch_name(name, self.warehouse.mark), columns, self.warehouse.schema)

    def create_empty(self, table: TableClause) -> None:
        """Create a table without rows; one of :meth:`scratch` is temporary."""
        self._note_scratch(table)
        self.connection.execute(self.warehouse.empty_table(table))

    def create(self, table: TableClause, chosen: SelectBase) -> None:
        """Create a table from a SELECT; one of :meth:`scratch` is temporary."""
        self._note_scratch(table)
        self.connection.execute(self.warehouse.filled_table(table, chosen))

    def _note_scratch(self, table: TableClause) -> None:
        """Remember to drop a table that looks like any other to the engine."""
        if not is_scratch(table.name):
            return
        if not self._scratch and not self.warehouse.is_prepared(self):
            self.warehouse.create_schema(self.connection)
        self._scratch.append(table)

    def sweep(self) -> None:
        """Drop the scratch tables that the engine does not drop by itself."""
        while self._scratch:
            self.drop(self._scratch.pop())

    def create_from_query(self, table: TableClause, chosen: SelectBase) -> None:
        """Create a table from the user's query, and blame the query when that fails."""
        try:
            self.create(table, chosen)
        except SQLAlchemyError as error:
            raise self.warehouse.explained(error, source="query") from None

    def point_view(
        self,
        name: str,
        table: TableClause,
        before: Mapping[str, SourceColumn] | None,
        shape: Shape,
    ) -> bool:
        """Point a view at a new snapshot; return False where a view of the user's forbids it.

        Args:
            name: The view.
            table: The snapshot.
            before: The columns it had so far, or None when there was none.
            shape: What the snapshot holds.
        """
        schema = self.warehouse.schema
        # Replaced in place while it can be, so that views of the user's on top of it live on.
        same = before is not None and list(before.items()) == list(shape.columns.items())
        chosen = sa.select(*table.c)
        replacing = sa.schema.CreateView(chosen, name, schema=schema, or_replace=True)
        if same and self.warehouse.replace_view(self.connection, replacing):
            return True
        view = _quoted(self.connection, schema, name)
        grants = self.warehouse.grants_on(self.connection, name)
        if not self.warehouse.drop_view(self.connection, view):
            return False
        self.connection.execute(sa.schema.CreateView(chosen, name, schema=schema))
        for grant in grants:
            self.connection.exec_driver_sql(grant)
        return True

    def commit_new_table(self) -> None:
        """Commit so far, where a delete from the table just made would else be dear.

        What is committed early belongs to no committed run yet: whoever ends the run without
        committing it drops the run's tables.
        """
        if self.warehouse.capabilities.deletes_rewrite_new_tables:
            self.connection.commit()
            self.connection.begin()

    def abandon(self) -> None:
        """Let nothing of this transaction take effect, without an error."""
        self.abandoned = True

    def drop_view(self, name: str) -> None:
        """Drop a view of ours when it is there, unless something of the user's stands on it."""
        self.warehouse.drop_view(
            self.connection, _quoted(self.connection, self.warehouse.schema, name)
        )

    def drop(self, table: TableClause) -> None:
        """Drop a table when it is there."""
        self.warehouse.drop_table(self.connection, table)
        self._scratch = [kept for kept in self._scratch if kept.name != table.name]

    def rename(self, scratch: TableClause, table: TableClause) -> None:
        """Let a scratch table stay, under another name."""
        self.warehouse.rename(self.connection, scratch, table)
        self._scratch.remove(scratch)
        if is_scratch(table.name):
            self._scratch.append(table)

    def finish(self, table: TableClause, *, by: str | None = None) -> None:
        """Make a new table ready to be read."""
        self.warehouse.finish_table(self.connection, table, by=by)

    # --- small tables that both databases need ----------------------------------------------

    def reach(self, table: Table, sync_name: str) -> FromClause:
        """Return a sync's rows of a control table as something that statements here can read.

        Args:
            table: A small control table; it has a column ``sync_name``.
            sync_name: The sync.
        """
        if self.control is self:
            return table
        chosen = sa.select(table).where(table.c.sync_name == sync_name)
        return _copied(self.control, self, chosen, f"{table.name}_{sync_name}")

    def hand_over(self, table: TableClause) -> TableClause:
        """Return a small temporary table as something that the control database can read."""
        if self.control is self:
            return table
        return _copied(self, self.control, sa.select(*table.c), table.name)

    def copy_from(self, source: Transaction, chosen: Chosen, table: Table | TableClause) -> int:
        """Append what a SELECT of columns finds elsewhere; return how many rows."""
        names = [column.name for column in chosen.selected_columns]
        found = source.connection.execute(chosen, execution_options={"yield_per": _ROWS_COPIED})
        rows = 0
        for part in found.partitions():
            columns = map(pa.array, zip(*part, strict=True))
            self.upload(table, pa.RecordBatch.from_arrays(list(columns), names))
            rows += len(part)
        return rows

    def upload(self, table: Table | TableClause, rows: pa.RecordBatch) -> None:
        """Append rows to a table in bulk; they may lack some of its columns."""
        try:
            self.warehouse.upload(self.connection, table, rows)
        except self.connection.dialect.loaded_dbapi.Error as error:
            raise DBAPIError(f"upload to {table.name}", None, error, hide_parameters=True) from None

    def has_table(self, table: Table | TableClause) -> bool:
        """Return whether a table is there, also when this role may not read it."""
        schema = self.warehouse.schema
        return sa.inspect(self.connection).has_table(table.name, schema=schema)

    def table_names(self) -> list[str]:
        """Return the tables in our schema, without views."""
        return sa.inspect(self.connection).get_table_names(schema=self.warehouse.schema)

    def layout(self, names: Collection[str]) -> dict[str, dict[str, str]]:
        """Return the columns of some of our tables, name to type, where this role may see them."""
        return self.warehouse.layout(self.connection, names)

    def add_column(self, table: Table | TableClause, name: str, kind: TypeEngine[Any]) -> None:
        """Add a column to one of our tables; it is NULL in every row."""
        place = _quoted(self.connection, self.warehouse.schema, table.name)
        column = _quoted(self.connection, None, name)
        type_name = kind.compile(self.connection.dialect)
        self.connection.exec_driver_sql(f"ALTER TABLE {place} ADD COLUMN {column} {type_name}")

    def now(self) -> datetime:
        """Read the clock of the control database, in UTC, without time zone."""
        value: datetime = self.control.scalar(sa.select(self.control.warehouse.now_expression()))
        return value

    def columns_of(self, query: str) -> list[SourceColumn]:
        """Return the columns of a checked query, without evaluating it.

        Raises:
            SourceError: The engine refuses it, or two of its columns have one name.
        """
        try:
            found = self.warehouse.describe(self.connection, f"SELECT * FROM (\n{query}\n) q")  # noqa: S608
            names = self.warehouse.names_in(self.connection, query, [name for name, _ in found])
        except SQLAlchemyError as error:
            raise self.warehouse.explained(error, source="query") from None
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SourceError(
                f"the query has two columns named {', '.join(twice)}. Give each its own alias.",
            )
        kind = self.warehouse.sql.kind
        return [SourceColumn(name, type_name, kind(type_name)) for name, type_name in found]

    def has_rows(self, shape: Shape) -> bool:
        """Evaluate a query as far as its first row needs; return whether there is one.

        Raises:
            SourceError: The query fails.
        """
        if self.warehouse.is_only_read:
            rows = all_rows(shape, self.warehouse.sql).limit(1)
            return len(self.warehouse.read(rows)) > 0
        # Into a table as a run does it: not every driver can hand over every type.
        row = self.scratch(f"first_row_{shape.sync_name}", ())
        self.create_from_query(row, first_row(shape, self.warehouse.sql))
        found = int(self.scalar(count_rows(row)))
        self.drop(row)
        return found > 0

    def state(self, sync_name: str) -> State:
        """Read what is known of a sync; all None when it never ran."""
        if not self.warehouse.is_prepared(self):
            return State(None, None, None, None, None, None, None)
        rows = self.control.rows(control.read_state(self.warehouse.tables.state, sync_name))
        if not rows:
            return State(None, None, None, None, None, None, None)
        row = rows[0]
        if row.moved_to is not None:
            refuse_moved(sync_name, row.moved_to)
        base = None
        if row.committed_run_id is not None:
            fields, columns = read_mapping(row.mapping)
            base = Base(
                run_id=row.committed_run_id,
                position=row.position,
                send_limit=row.send_limit,
                requests_sent=row.requests_sent or 0,
                fields=fields,
                columns=columns,
            )
        return State(
            base,
            row.account_host,
            row.account_kind,
            row.account_object,
            row.target_id,
            row.target_name,
            row.target_created_at,
        )

    def runs_with_tables(self, sync_name: str) -> dict[str, list[int]]:
        """Return, by kind of run table, the runs of a sync that have one, the newest first."""
        return runs_of_tables(sync_name, self.table_names())


def refuse_moved(sync_name: str, place: str) -> None:
    """Raise a WarehouseError: what is known of a sync is not here any more."""
    raise WarehouseError(
        f"sync {sync_name} has moved: its tables are in {place}. Nothing was sent from here. Let "
        "source.warehouse name a warehouse whose tables are there; a move that broke off is "
        f"finished by the same command once more: reverse-etl move {sync_name} --to WAREHOUSE",
        code="moved",
    )


def _copied(source: Transaction, target: Transaction, chosen: Chosen, name: str) -> TableClause:
    """Copy what a SELECT of columns finds into a temporary table elsewhere."""
    columns = tuple((column.name, type(column.type)) for column in chosen.selected_columns)
    copy = target.scratch(name, columns)
    target.drop(copy)  # of an earlier step of the same transaction
    target.create_empty(copy)
    target.copy_from(source, chosen, copy)
    return copy


def quoted(*names: str | None) -> str:
    """Return a dotted name for text that goes to the driver as it is; None parts are left out."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names if name is not None)


def _quoted(connection: Connection, schema: str | None, name: str) -> str:
    """Return a dotted name for text that SQLAlchemy hands to the driver, percent signs doubled."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    return f"{quote(schema)}.{quote(name)}" if schema else quote(name)

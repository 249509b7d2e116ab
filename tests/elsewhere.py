"""The acceptance tests' way into an engine that plain `make test` does not start.

``python -m pytest tests/acceptance --warehouse mariadb`` plays them there. Their SQL is
PostgreSQL's and is translated; a test that needs more than that is not played elsewhere.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
import sqlglot

from reverse_etl.clock import SystemClock
from reverse_etl.testing import clickhouse, mariadb, spark
from reverse_etl.warehouse import OFFERED, warehouse_at
from tests.world import CREATE_PEOPLE, Database, is_of_control

if TYPE_CHECKING:
    from reverse_etl.testing.mariadb import MariaDBServer
    from reverse_etl.warehouse.base import Warehouse


class Elsewhere(Database):
    """An engine reached through its dialect file, beside a control database where it needs one."""

    def __init__(self, url: str, spelling: str, control: str | None = None) -> None:
        super().__init__(url)
        self.spelling = spelling
        self.control = Database(control) if control else None

    def warehouses(self) -> dict[str, dict[str, str]]:
        """Return the blocks of both."""
        (local,) = super().warehouses().values()
        if self.control is None:
            return {"local": local}
        return {"local": local | {"control": "control"}, "control": {"url": self.control.url}}

    def release(self) -> None:
        """Let go of both."""
        super().release()
        if self.control is not None:
            self.control.release()

    def _connect(self) -> Warehouse:
        warehouse = warehouse_at(self.url, "reverse_etl", SystemClock())
        warehouse.open()
        return warehouse

    def said(self, query: str) -> str:
        """Return a query of a test in the engine's words."""
        (said,) = sqlglot.transpile(query, read="postgres", write=self.spelling)
        return said

    def sql(self, query: str) -> list[dict[str, Any]]:
        """Run one statement where it belongs."""
        if self.control is not None and is_of_control(query):
            return self.control.sql(query)
        said = self.said(query)
        with self._connection.engine.begin() as connection:
            found = connection.exec_driver_sql(said, execution_options={"no_parameters": True})
            return [dict(row._mapping) for row in found] if found.returns_rows else []

    def tables(self) -> set[str]:
        """Return the tables and views of our schema, in both."""
        with self._connection.transaction() as tx:
            inspector = sa.inspect(tx.connection)
            found = set(tx.table_names()) | set(inspector.get_view_names("reverse_etl"))
        return found if self.control is None else found | self.control.tables()

    def replace(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Let the table hold these rows and no others, made anew: not every engine deletes."""
        assert table == "people"
        self.sql("DROP TABLE people")
        self.sql(CREATE_PEOPLE)
        if rows:
            clause = sa.table(table, *map(sa.column, columns))
            given = [dict(zip(columns, row, strict=True)) for row in rows]
            with self._connection.engine.begin() as connection:
                connection.execute(sa.insert(clause).values(given))


@dataclass(frozen=True)
class Engine:
    """An engine that can be started for tests.

    Attributes:
        missing: What it needs and is not installed, or None.
        running: Starts it until the block ends; yields what makes an empty warehouse, given the URL
            of a DuckDB file that may be its control database.
        unsayable: Parts of the names of tests whose SQL has no words there.
    """

    missing: Callable[[], str | None]
    running: Callable[[], Any]
    unsayable: tuple[str, ...] = ()


@contextmanager
def _mariadb() -> Iterator[Callable[[str], Database]]:
    with mariadb.running_server() as server:
        yield lambda _control: Elsewhere(_shop(server), "mysql")


def _shop(server: MariaDBServer) -> str:
    for name in ("reverse_etl", "shop"):
        server.execute(f"DROP DATABASE IF EXISTS {name}")
    server.execute("CREATE DATABASE shop CHARACTER SET utf8mb4")
    return server.url("shop")


@contextmanager
def _clickhouse() -> Iterator[Callable[[str], Database]]:
    with clickhouse.running_server() as server:

        def make(control: str) -> Database:
            for name in ("reverse_etl", "shop"):
                server.execute(f"DROP DATABASE IF EXISTS {name} SYNC")
            server.execute("CREATE DATABASE shop")
            return Elsewhere(server.url("shop"), "clickhouse", control)

        yield make


@contextmanager
def _spark() -> Iterator[Callable[[str], Database]]:
    with spark.running_cluster() as cluster:

        def make(control: str) -> Database:
            cluster.execute(
                "DROP SCHEMA IF EXISTS reverse_etl CASCADE", "DROP TABLE IF EXISTS default.people"
            )
            return Elsewhere(cluster.url(), "spark", control)

        yield make


class SQLite(Elsewhere):
    """The example of an engine in a package; ``information_schema`` is lent to the tests."""

    def _connect(self) -> Warehouse:
        warehouse = super()._connect()
        sa.event.listen(warehouse.engine, "connect", _lend_information_schema)
        return warehouse


def _lend_information_schema(native: sqlite3.Connection, _record: object) -> None:
    native.execute("ATTACH DATABASE ':memory:' AS information_schema")
    making = "CREATE TABLE information_schema."
    schemata = "schemata AS SELECT name AS schema_name FROM pragma_database_list"
    native.execute(making + schemata)
    listed = " UNION ALL ".join(
        f"SELECT '{schema}' AS table_schema, name AS table_name FROM {schema}.sqlite_master"  # noqa: S608
        " WHERE type <> 'index'"
        for schema in ("main", "reverse_etl")
    )
    native.execute(f"{making}tables AS {listed}")
    native.execute(
        f"{making}columns AS SELECT t.*, c.name AS column_name, c.cid AS ordinal_position"  # noqa: S608
        " FROM information_schema.tables t, pragma_table_info(table_name, table_schema) c"
    )


@contextmanager
def _sqlite() -> Iterator[Callable[[str], Database]]:
    def make(control: str) -> Database:
        path = control.removeprefix("duckdb:///").replace(".duckdb", ".db")
        sqlite3.connect(path).close()
        return SQLite(f"sqlite:///{path}", "sqlite")

    yield make


def _is_sqlite_missing() -> str | None:
    offered = entry_points(group=OFFERED, name="sqlite")
    return None if offered else "not installed: pip install -e examples/sqlite_warehouse"


# They read one catalog for both databases, change a row of the log, list views, or die at the
# first statement about a table, which beside a control database is another one.
BESIDE_CONTROL = (
    *("test_killed_while_planning", "test_killed_while_settling"),
    *("test_columns_and_their_order", "test_old_lines_go"),
    "test_snapshots_are_kept_for_some_runs",
)

ENGINES = {
    "spark": Engine(spark.what_is_missing, _spark, unsayable=BESIDE_CONTROL),
    "clickhouse": Engine(
        clickhouse.what_is_missing,
        _clickhouse,
        unsayable=BESIDE_CONTROL,
    ),
    "mariadb": Engine(
        mariadb.what_is_missing,
        _mariadb,
        # No table of VALUES with names for its columns, and no cast to JSON.
        unsayable=("test_a_list_of_values", " as json)"),
    ),
    "sqlite": Engine(
        _is_sqlite_missing,
        _sqlite,
        # No names for the columns of VALUES, no intervals, no NaN, no casts that fail, no view from
        # one file into another; times are text, decimals are doubles, and what has no type is text.
        unsayable=(
            *("test_a_list_of_values", "test_old_lines_go", "test_profiles_whose_state_is_open"),
            *("test_a_users_view", "test_a_row_of_sync_runs", "test_a_scheduled_run"),
            *("1.50 as numeric", "double precision", "test_types_that_a_driver_cannot"),
            "test_a_query_that_fails",
        ),
    ),
}

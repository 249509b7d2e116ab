"""The two engines as the yardsticks use them: by their own drivers, with nothing in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from benchmarks.people import Engine

# Each driver is loaded only where it is used: that takes time, too.
if TYPE_CHECKING:
    import duckdb
    import psycopg


class Database(Protocol):
    """An open database.

    Attributes:
        engine: Which one it is.
    """

    engine: Engine

    def run(self, statement: str) -> None:
        """Run a statement."""

    def rows(self, query: str, size: int) -> Iterator[Sequence[tuple[Any, ...]]]:
        """Yield the rows of a query, some at a time; memory holds no more."""

    def loading(self, table: str, count: int, texts: Sequence[str]) -> Callable[[], None]:
        """Make rows ready (a number, these texts, false, and 1); return what loads them."""


class _DuckDB:
    engine: Engine = "duckdb"

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def run(self, statement: str) -> None:
        self._connection.execute(statement)

    def rows(self, query: str, size: int) -> Iterator[Sequence[tuple[Any, ...]]]:
        cursor = self._connection.cursor().execute(query)
        while rows := cursor.fetchmany(size):
            yield rows

    def loading(self, table: str, count: int, texts: Sequence[str]) -> Callable[[], None]:
        columns = [pa.array(range(count)), *(pa.repeat(text, count) for text in texts)]
        columns += [pa.repeat(False, count), pa.repeat(1, count)]  # noqa: FBT003 - a value
        ready = pa.table(columns, names=[f"c{n}" for n in range(len(columns))])
        self._connection.register("ready", ready)
        return lambda: self.run(f"INSERT INTO {table} SELECT * FROM ready")  # noqa: S608 - fixed


class _PostgreSQL:
    engine: Engine = "postgresql"

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def run(self, statement: str) -> None:
        self._connection.execute(statement.encode())

    def rows(self, query: str, size: int) -> Iterator[Sequence[tuple[Any, ...]]]:
        with self._connection.cursor(name="streamed") as cursor:
            cursor.itersize = size
            cursor.execute(query.encode())
            while rows := cursor.fetchmany(size):
                yield rows

    def loading(self, table: str, count: int, texts: Sequence[str]) -> Callable[[], None]:
        rest = "\t".join([*texts, "f", "1"])
        ready = "".join(f"{n}\t{rest}\n" for n in range(count)).encode()
        statement = f"COPY {table} FROM STDIN".encode()

        def load() -> None:
            with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
                copy.write(ready)

        return load


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """Open ``duckdb:///FILE`` or ``postgresql://…``; what was done is kept when the block ends.

    DuckDB gets the memory that a run of ours gets without a setting.
    """
    if url.startswith("duckdb:///"):
        import duckdb  # noqa: PLC0415 - see above

        path, _, settings = url.removeprefix("duckdb:///").partition("?")
        limit = settings.removeprefix("memory_limit=") or "1GB"
        with duckdb.connect(path, config={"memory_limit": limit}) as connection:
            yield _DuckDB(connection)
        return
    import psycopg  # noqa: PLC0415 - see above

    with psycopg.connect(url) as server:
        yield _PostgreSQL(server)

"""Single pieces of work as bare as they can be, each the floor of one piece of a run.

    python -m benchmarks.bare scan --url URL

Prints one JSON document: seconds by the clock and processor seconds of this process.

* ``query``: the query into a table, and one scan of that table and of the one before it.
* ``scan``: one scan of both tables.
* ``join``: a full join of both tables by one hash each of key and values: the least that a plan is.
* ``log``: as many lines into a table like ``sync_log``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

from benchmarks.database import Database, opened
from benchmarks.people import FIELDS

LOG_COLUMNS = """(
    sync_name VARCHAR, sync_run_id BIGINT, primary_key VARCHAR, identity VARCHAR,
    operation VARCHAR, status VARCHAR, error_code VARCHAR, error_reason VARCHAR, attempts BIGINT,
    sync_started_at TIMESTAMP, sync_finished_at TIMESTAMP)
"""
"""Those of our ``sync_log``."""

_MOMENT = "CAST('2026-11-22 12:00:00' AS TIMESTAMP)"


def log_line(primary_key: str, identity: str, operation: str) -> str:
    """Return the values of one line of a log, of somebody for whom all went well.

    Args:
        primary_key: An expression.
        identity: Another.
        operation: Another.
    """
    return (
        f"CAST('people' AS VARCHAR), 1, {primary_key}, {identity}, {operation},"
        " CAST('succeeded' AS VARCHAR), CAST(NULL AS VARCHAR), CAST(NULL AS VARCHAR), 1,"
        f" {_MOMENT}, {_MOMENT}"
    )


def query(database: Database) -> None:
    """Put the query into a table, and scan that and the one before it."""
    columns = ", ".join(("id", "email", *FIELDS))
    database.run(f"CREATE TABLE bare.next AS SELECT {columns} FROM people")  # noqa: S608 - fixed
    for table in ("bare.next", "bare.base"):
        _scan(database, table)


def scan(database: Database) -> None:
    """Scan two tables."""
    for table in ("people", "bare.base"):
        _scan(database, table)


def join(database: Database) -> None:
    """Compare two tables by hashes alone; DuckDB's function."""
    hashes = f"hash(email) AS k, hash({', '.join(FIELDS)}) AS v"
    one, other = (f"(SELECT {hashes} FROM {table})" for table in ("people", "bare.base"))  # noqa: S608
    differ = "a.k IS NULL OR b.k IS NULL OR a.v <> b.v"
    query = f"SELECT count(*) FROM {one} a FULL JOIN {other} b ON a.k = b.k WHERE {differ}"  # noqa: S608
    list(database.rows(query, 1))


def log(database: Database) -> None:
    """Write one line for each person."""
    line = log_line("CAST(id AS VARCHAR)", "email", "CAST('insert' AS VARCHAR)")
    database.run(f"INSERT INTO bare.sync_log SELECT {line} FROM people")  # noqa: S608 - fixed


def _scan(database: Database, table: str) -> None:
    # Every value is looked at, and no row is given back.
    values = ", ".join(f"max({name})" for name in ("email", *FIELDS))
    list(database.rows(f"SELECT {values} FROM {table}", 1))  # noqa: S608 - fixed


WORK: dict[str, Callable[[Database], None]] = {
    "query": query,
    "scan": scan,
    "join": join,
    "log": log,
}


def main() -> None:
    """Do one piece of work; print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", choices=sorted(WORK))
    parser.add_argument("--url", required=True)
    options = parser.parse_args()
    with opened(options.url) as database:
        database.run("CREATE SCHEMA IF NOT EXISTS bare")
        database.run("CREATE TABLE IF NOT EXISTS bare.base AS SELECT * FROM people")
        database.run(f"CREATE TABLE bare.sync_log {LOG_COLUMNS}")
    with opened(options.url) as database:
        wall, processor = time.perf_counter(), time.process_time()
        WORK[options.work](database)
        spent = (time.perf_counter() - wall, time.process_time() - processor)
    print(json.dumps(spent))  # noqa: T201 - a program


if __name__ == "__main__":
    main()

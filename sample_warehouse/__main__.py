"""Command line of the sample warehouse: build it, or let its life go on by one step."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from reverse_etl.errors import ReverseEtlError
from sample_warehouse.build import (
    DEFAULT_PEOPLE,
    Summary,
    build_duckdb,
    build_postgresql,
    connect_duckdb,
    connect_postgresql,
    evolve,
    require_built,
    summary,
)

_DUCKDB = "duckdb:///"
_POSTGRESQL = ("postgresql://", "postgresql+psycopg://")


def _parser() -> argparse.ArgumentParser:
    """Return the parser of the options."""
    parser = argparse.ArgumentParser(prog="python -m sample_warehouse", description=__doc__)
    parser.add_argument("--url", required=True, help="duckdb:///FILE or postgresql://…")
    parser.add_argument("--people", type=int, default=DEFAULT_PEOPLE, help="customers")
    parser.add_argument("--schema", help="default: main (DuckDB) or public (PostgreSQL)")
    parser.add_argument("--replace", action="store_true", help="drop such tables first")
    parser.add_argument("--step", type=int, help="change an existing one instead: step 1, 2, …")
    parser.add_argument("--percent", type=float, default=1.0, help="how much a step changes")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0 done, 1 failed (one line on stderr says why), 2 a wrong option (from argparse).
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if not options.url.startswith((_DUCKDB, *_POSTGRESQL)):
        parser.error("--url must start with duckdb:/// or postgresql://")
    if options.url in {_DUCKDB, f"{_DUCKDB}:memory:"}:
        parser.error("--url must name a DuckDB file: what is in memory ends with this command")
    try:
        counts = _work(options)
    except ReverseEtlError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    for name, count in asdict(counts).items():
        sys.stdout.write(f"{name.replace('_', ' '):<24}{count:>12,}\n")
    return 0


def _work(options: argparse.Namespace) -> Summary:
    """Build or evolve, then count."""
    if options.url.startswith(_DUCKDB):
        return _work_on_duckdb(options, options.url.removeprefix(_DUCKDB))
    return _work_on_postgresql(options)


def _work_on_duckdb(options: argparse.Namespace, path: str) -> Summary:
    """Build or evolve a DuckDB file."""
    if options.step is None:
        build_duckdb(path, options.people, options.schema, replace=options.replace)
    with connect_duckdb(path) as connection:
        if options.step is not None:
            connection.execute("BEGIN")
            require_built(connection.execute, "duckdb", options.schema)
            evolve(connection.execute, "duckdb", options.step, options.percent, options.schema)
            connection.execute("COMMIT")
        return summary(connection.execute, options.schema)


def _work_on_postgresql(options: argparse.Namespace) -> Summary:
    """Build or evolve in a PostgreSQL database."""
    if options.step is None:
        build_postgresql(options.url, options.people, options.schema, replace=options.replace)
    with connect_postgresql(options.url) as connection:
        if options.step is not None:
            require_built(connection.execute, "postgresql", options.schema)
            evolve(connection.execute, "postgresql", options.step, options.percent, options.schema)
        return summary(connection.execute, options.schema)


if __name__ == "__main__":
    sys.exit(main())

"""The failures of a checkpoint on their way into the warehouse, and the same by bulk load alone.

    python -m benchmarks.uploads --config FILE --url URL

prints one JSON document: seconds of ours, and of the driver's own bulk load of data that is ready.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

from benchmarks.database import opened
from reverse_etl.config import load_config
from reverse_etl.delivery.sender import Settled
from reverse_etl.ports import Ports
from reverse_etl.settle import record_outcomes
from reverse_etl.warehouse import warehouse_of
from reverse_etl.warehouse.tables import RunTables

FAILURES = 100_000
_COLUMNS = """(seq BIGINT, status VARCHAR, outcome VARCHAR, error_code VARCHAR,
    error_reason VARCHAR, retryable BOOLEAN, attempts BIGINT)"""
_REASON = "Iterable calls it malformed"


def ours(config_path: Path) -> float:
    """Record the failures as a checkpoint does; return the seconds."""
    settled = [
        Settled(n, "failed", "rejected", "invalid_identifier", _REASON, retryable=False, attempts=1)
        for n in range(FAILURES)
    ]
    config = load_config(config_path, dict(os.environ))
    with warehouse_of(config, "shop", Ports().clock) as warehouse:
        warehouse.prepare_schema()
        tables = RunTables("people", 1, warehouse.schema, (), ())
        with warehouse.transaction() as tx:
            tx.create_empty(tables.outcomes)
            started = time.perf_counter()
            record_outcomes(tx, tables, settled)
            spent = time.perf_counter() - started
    return spent


def bare(url: str) -> float:
    """Load as many rows that are ready; return the seconds."""
    with opened(url) as database:
        database.run(f"CREATE TEMPORARY TABLE failures {_COLUMNS}")
        texts = ("failed", "rejected", "invalid_identifier", _REASON)
        load = database.loading("failures", FAILURES, texts)
        started = time.perf_counter()
        load()
        return time.perf_counter() - started


def main() -> None:
    """Do both; print what they took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--url", required=True)
    options = parser.parse_args()
    # Ours first: a DuckDB file has one process at a time, and one connection keeps it open.
    spent = {"ours": ours(options.config), "bare": bare(options.url)}
    print(json.dumps(spent))  # noqa: T201 - a program


if __name__ == "__main__":
    main()

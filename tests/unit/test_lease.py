"""The lease where a file lock stands in for a heartbeat.

The rest is in the conformance suite and, between real processes, in ``tests/reliability``.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from reverse_etl.clock import SystemClock
from reverse_etl.errors import Busy
from reverse_etl.warehouse import warehouse_at
from reverse_etl.warehouse.base import Warehouse
from reverse_etl.warehouse.lease import Lease


def lease_in(warehouse: Warehouse) -> Lease:
    return Lease(warehouse, "vip", seconds=30, clock=SystemClock())


def test_a_lease_that_could_not_be_given_back_is_free_again(duckdb_url: str) -> None:
    warehouse = warehouse_at(duckdb_url, "reverse_etl", SystemClock())
    with warehouse:
        warehouse.prepare_schema()
        lost = lease_in(warehouse)
        lost.take()
    with pytest.raises(RuntimeError, match="not open"):
        lost.give_back()

    with warehouse:
        lease_in(warehouse).take()


def test_a_lease_in_use_is_busy_however_old_it_is(duckdb_url: str) -> None:
    with warehouse_at(duckdb_url, "reverse_etl", SystemClock()) as warehouse:
        warehouse.prepare_schema()
        held = Lease(warehouse, "vip", seconds=-1, clock=SystemClock())
        held.take()
        with pytest.raises(Busy, match="sync vip is busy"):
            lease_in(warehouse).take()
        held.give_back()
        lease_in(warehouse).take()


def test_of_many_threads_on_one_file_one_wins(duckdb_url: str) -> None:
    """Also when two of them ask in the same moment: the others are told that it is busy."""
    threads, rounds = 4, 25
    start = threading.Barrier(threads, timeout=60)

    def attempt(_: int) -> list[bool]:
        return [take_together(start, lease_in(warehouse)) for _ in range(rounds)]

    with warehouse_at(duckdb_url, "reverse_etl", SystemClock()) as warehouse:
        warehouse.prepare_schema()
        with ThreadPoolExecutor(threads) as pool:
            taken = list(pool.map(attempt, range(threads)))
    assert [sum(each) for each in zip(*taken, strict=True)] == [1] * rounds


def take_together(start: threading.Barrier, lease: Lease) -> bool:
    """Take a lease at the same moment as others; give it back when all have tried."""
    start.wait()
    try:
        lease.take()
    except Busy:
        start.wait()
        return False
    start.wait()
    lease.give_back()
    return True

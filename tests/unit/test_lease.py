"""The lease where a file lock stands in for a heartbeat; the rest is in the conformance suite."""

from __future__ import annotations

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

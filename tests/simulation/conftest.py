"""Where histories are played: one DuckDB for a module, a new PostgreSQL database each time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reverse_etl.testing.place import Place, duckdb_place


@pytest.fixture(scope="module")
def duckdb() -> Iterator[Place]:
    with duckdb_place() as place:
        yield place


@pytest.fixture(scope="module")
def loose() -> Iterator[Place]:
    with duckdb_place(loose=True) as place:
        yield place


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Place]:
    with Place(postgres_url) as place:
        yield place

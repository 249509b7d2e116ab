"""What once went wrong is played on both warehouses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reverse_etl.testing.place import Place, duckdb_place


@pytest.fixture(params=["duckdb", "postgresql"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "duckdb":
        with duckdb_place() as made:
            yield made
    else:
        with Place(request.getfixturevalue("postgres_url")) as made:
            yield made

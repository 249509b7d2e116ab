"""Sites for tests that kill, pause and race real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reverse_etl.testing.site import Destination, Site, destination


@pytest.fixture(scope="session")
def running_sandbox() -> Iterator[Destination]:
    """Start one sandbox for all tests of this folder that want one."""
    with destination() as made:
        yield made


@pytest.fixture
def sandbox(running_sandbox: Destination) -> Destination:
    """Return the sandbox, empty."""
    running_sandbox.ask("reset", {})
    running_sandbox.recorder.clear()
    return running_sandbox


@pytest.fixture
def on_postgresql(postgres_url: str, tmp_path: Path, sandbox: Destination) -> Site:
    """Return a site whose warehouse is an empty PostgreSQL database."""
    return Site(tmp_path, postgres_url, sandbox)


@pytest.fixture
def on_duckdb(duckdb_url: str, tmp_path: Path, sandbox: Destination) -> Site:
    """Return a site whose warehouse is a new DuckDB file."""
    return Site(tmp_path, duckdb_url, sandbox)


@pytest.fixture(params=["duckdb", "postgresql"])
def site(request: pytest.FixtureRequest) -> Site:
    """Return a site on each warehouse in turn."""
    made: Site = request.getfixturevalue(f"on_{request.param}")
    return made

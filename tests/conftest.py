"""What every kind of test may ask for: real databases, and repeatable random examples."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from reverse_etl.testing.postgres import PostgresServer, running_server

__all__ = ["PostgresServer"]

# A deadline measures the machine, not the code; a blob replays a failure anywhere.
settings.register_profile("local", deadline=None, print_blob=True)
settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the acceptance tests be played in another engine."""
    text = "play the acceptance tests in this engine instead of DuckDB and PostgreSQL"
    parser.addoption("--warehouse", help=text)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Start one PostgreSQL for all tests; a test fails, and is not skipped, without it."""
    with running_server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Make a fresh database and return its SQLAlchemy URL, ``postgresql+psycopg://...``."""
    database = f"test_{secrets.token_hex(6)}"
    postgres_server.execute(f"create database {database}")
    try:
        yield postgres_server.url(database, scheme="postgresql+psycopg")
    finally:
        postgres_server.execute(f"drop database {database} with (force)")


@pytest.fixture
def duckdb_url(tmp_path: Path) -> str:
    """Return the SQLAlchemy URL of a DuckDB file that does not exist yet."""
    return f"duckdb:///{tmp_path / 'warehouse.duckdb'}"

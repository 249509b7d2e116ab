"""Worlds to test promises in, one in each engine; with ``--warehouse NAME`` in that one alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connectors.iterable.sandbox import Sandbox
from connectors.iterable.sandbox.people import ProjectType
from reverse_etl.testing import loose
from tests.world import (
    CREATE_PEOPLE,
    Apart,
    Beside,
    Database,
    World,
    first_profile_sync,
    first_sync,
)

loose.make_known()

# Also played with a source that is only read.
READ_ONLY_TOO = ("people", "profiles")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Play in each engine in turn."""
    marks = metafunc.definition.iter_markers("parametrize")
    chosen = any(mark.args[0] == "database" for mark in marks)
    if "database" in metafunc.fixturenames and not chosen:
        played = [name for name in READ_ONLY_TOO if metafunc.module.__name__.endswith(name)]
        engines = ["duckdb", "postgresql", *(["read only"] if played else [])]
        metafunc.parametrize("database", engines, indirect=True)


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Database:
    """Return an empty warehouse."""
    duckdb_url: str = request.getfixturevalue("duckdb_url")
    if request.param == "duckdb":
        return Database(duckdb_url)
    if request.param == "beside control":
        return Beside(duckdb_url, duckdb_url.replace(".duckdb", "_control.duckdb"))
    url: str = request.getfixturevalue("postgres_url")
    if request.param == "read only, to postgresql":
        return Apart(duckdb_url, url)
    return Database(url) if request.param == "postgresql" else Apart(url, duckdb_url)


@pytest.fixture
def new_world(database: Database, tmp_path: Path) -> Iterator[Callable[[ProjectType], World]]:
    """Return what makes the world of a test, for one project type."""
    made: list[World] = []

    def make(project_type: ProjectType) -> World:
        database.sql(CREATE_PEOPLE)
        sandbox = Sandbox(project_type)
        sandbox.start()
        made.append(World(database, sandbox, tmp_path, first_sync()))
        return made[-1]

    yield make
    for world in made:
        world.sandbox.stop()
        world.database.release()


@pytest.fixture
def world(new_world: Callable[[ProjectType], World]) -> World:
    """Return a world whose project finds people by e-mail address."""
    return new_world("email")


@pytest.fixture
def profiles(new_world: Callable[[ProjectType], World]) -> World:
    """Return a world of profiles, in a project that finds people by e-mail address."""
    made = new_world("email")
    made.sync = first_profile_sync()
    return made


@pytest.fixture
def hybrid_profiles(new_world: Callable[[ProjectType], World]) -> World:
    """Return a world of profiles, found by user id or e-mail address."""
    made = new_world("hybrid")
    made.sync = first_profile_sync() | {"identifiers": {"userId": "user_id", "email": "email"}}
    return made


@pytest.fixture
def hybrid(new_world: Callable[[ProjectType], World]) -> World:
    """Return a world whose project finds people by user id or e-mail address."""
    made = new_world("hybrid")
    made.sync["identifiers"] = {"userId": "user_id", "email": "email"}
    return made

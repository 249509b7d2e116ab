"""Worlds to test promises in, one in each engine; with ``--warehouse NAME`` in that one alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connectors.iterable.sandbox import Sandbox
from connectors.iterable.sandbox.people import ProjectType
from reverse_etl.testing import loose
from tests.elsewhere import ENGINES
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
    elsewhere = metafunc.config.getoption("--warehouse")
    if "database" in metafunc.fixturenames and elsewhere:
        if not chosen:
            metafunc.parametrize("database", [elsewhere], indirect=True)
    elif "database" in metafunc.fixturenames and not chosen:
        played = [name for name in READ_ONLY_TOO if metafunc.module.__name__.endswith(name)]
        engines = ["duckdb", "postgresql", *(["read only"] if played else [])]
        metafunc.parametrize("database", engines, indirect=True)


@pytest.fixture(scope="session")
def elsewhere(pytestconfig: pytest.Config) -> Iterator[Callable[[str], Database]]:
    """Return what makes an empty warehouse in the engine of ``--warehouse``."""
    engine = ENGINES[pytestconfig.getoption("--warehouse")]
    missing = engine.missing()
    if missing is not None:
        pytest.skip(missing)
    with engine.running() as make:
        yield make


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Database:
    """Return an empty warehouse."""
    duckdb_url: str = request.getfixturevalue("duckdb_url")
    if request.param in ENGINES:
        if any(part in request.node.name for part in ENGINES[request.param].unsayable):
            pytest.skip("the SQL of this test has no words in this engine")
        made: Database = request.getfixturevalue("elsewhere")(duckdb_url)
        return made
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

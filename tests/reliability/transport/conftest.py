"""A world whose every byte passes a proxy: the command line, a warehouse, the API's stand-in.

The command runs in this process, with real sockets and real time. A test lets a run meet a fault,
then calls :meth:`World.repair`: one clean run must put everything right.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb
import psycopg
import pytest
import sqlalchemy as sa
import yaml

from connectors.iterable.sandbox import Sandbox
from reverse_etl.cli.app import run
from reverse_etl.testing.proxy import HOST, Proxy, passing, proxying
from tests import documents

KEY = "canary-1c5e08d2"
FOREIGN = "foreign@elsewhere.example"
SYNC, LIST = "people", "People"
PATIENCE_SECONDS = 30.0
# Far more than any of these runs may take, far less than TCP takes by itself.
BOUND_SECONDS = 60.0
OPERATIONS = ("insert", "update", "delete")


@dataclass(frozen=True)
class Done:
    """How a command ended.

    Attributes:
        code: Exit code.
        document: What it wrote as JSON.
        err: What it said beside.
    """

    code: int
    document: dict[str, Any]
    err: str

    @property
    def ended(self) -> tuple[int, str, str | None]:
        """Exit code, status, error code."""
        return self.code, self.document["status"], self.document["error_code"]

    @property
    def error(self) -> str:
        """The error in words."""
        return str(self.document["error"])


@dataclass
class World:
    """One sync from a table of people to a list.

    Attributes:
        folder: Where the config is.
        url: The warehouse, past the proxy.
        sandbox: The destination.
        api: Between us and the destination.
        database: Between us and PostgreSQL; None for a DuckDB file.
        execute: Runs one statement in the warehouse, past the proxy.
        account: More keys of the destination in the config.
        engine: More keys of ``engine:``.
        connecting: More of the warehouse's URL, as its query.
    """

    folder: Path
    url: str
    sandbox: Sandbox
    api: Proxy
    database: Proxy | None
    execute: Callable[[str], list[tuple[Any, ...]]]
    account: dict[str, Any] = field(default_factory=dict)
    engine: dict[str, Any] = field(default_factory=dict)
    connecting: dict[str, str] = field(default_factory=dict)
    _rows: dict[int, str] = field(default_factory=dict)
    _moved: set[str] = field(default_factory=set)

    # --- arranging ---------------------------------------------------------------------------

    def put(self, *numbers: int, plan: str = "free") -> None:
        """Let the source hold these people and no others."""
        self._rows = dict.fromkeys(numbers, plan)
        self.execute("delete from people")
        rows = ", ".join(f"({n}, '{address(n)}', '{plan}')" for n in numbers)
        if rows:
            self.execute(f"insert into people values {rows}")  # noqa: S608 - of the test

    def _write(self) -> Path:
        url = sa.make_url(self.url)
        if self.database is not None:
            url = url.set(port=self.database.port).update_query_dict(self.connecting)
        document = {
            "warehouses": {"local": {"url": url.render_as_string(hide_password=False)}},
            "destinations": {
                "iterable": {
                    "type": "iterable",
                    "api_key": "${TRANSPORT_KEY}",
                    "base_url": f"http://{HOST}:{self.api.port}",
                    "requests_per_second": 0,
                    "retry_seconds": 0,
                    **self.account,
                }
            },
            "engine": self.engine,
            "syncs": {
                SYNC: {
                    "source": {"warehouse": "local", "table": "people", "primary_key": "id"},
                    "destination": {"name": "iterable", "object": "list", "list": {"name": LIST}},
                    "identifiers": {"email": "email"},
                    "fields": {"plan": "plan"},
                    "max_delete_percent": 100,
                }
            },
        }
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        return path

    # --- running -----------------------------------------------------------------------------

    def run(self) -> Done:
        """Run the sync, which ends in time; whatever is said holds no secret and no row."""
        before = self.members()
        out, err = io.StringIO(), io.StringIO()
        started = time.monotonic()
        command = ["run-sync", SYNC, "--json", "--config", str(self._write())]
        with chdir(self.folder), redirect_stdout(out), redirect_stderr(err), self._watched():
            code = run(command)
        assert time.monotonic() - started < BOUND_SECONDS
        self._moved |= before ^ self.members()
        said = out.getvalue() + err.getvalue()
        for secret in (KEY, sa.make_url(self.url).password or KEY, "@rows.example"):
            assert secret not in said
        return Done(code, documents.read(command, out.getvalue()), err.getvalue())

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Drop every connection when the bound is reached, so that even what hangs ends."""
        watch = threading.Timer(BOUND_SECONDS, self._drop)
        watch.start()
        try:
            yield
        finally:
            watch.cancel()
            watch.join()

    def _drop(self) -> None:
        for proxy in (self.api, self.database):
            if proxy is not None:
                proxy.drop()

    def repair(self) -> Done:
        """Let the faults stop: one clean run puts everything right, the next one sends nothing."""
        for proxy in (self.api, self.database):
            if proxy is not None:
                proxy.plan = passing
        self._drop()
        self.account, self.engine, self.connecting = {}, {}, {}
        done = self.run_when_free()
        assert done.ended == (0, "succeeded", None), done
        assert self.members() == {address(n) for n in self._rows}
        for number, plan in self._rows.items():
            profile = self.sandbox.state.profile(address(number))
            assert profile is not None
            assert profile.fields["plan"] == plan
        assert self.execute("select count(*) from reverse_etl.failed_records") == [(0,)]
        self._check_log()
        quiet = self.run()
        assert (quiet.code, quiet.document["planned"]) == (0, dict.fromkeys(OPERATIONS, 0))
        assert quiet.document["requests"] == 0
        return done

    def run_when_free(self) -> Done:
        """Run, as soon as the lease of a run that was broken off has expired."""
        limit = time.monotonic() + PATIENCE_SECONDS
        while (done := self.run()).code == 5 and time.monotonic() < limit:
            time.sleep(0.05)
        return done

    # --- looking -----------------------------------------------------------------------------

    def members(self) -> set[str]:
        """Return who is on the list because of us."""
        state = self.sandbox.state
        with state.lock:
            ids = [each.id for each in state.lists.values() if each.name == LIST]
        assert len(ids) < 2
        members = {str(member) for one in ids for member in state.members(one)}
        assert not ids or FOREIGN in members
        return members - {FOREIGN}

    def _check_log(self) -> None:
        """Who has joined or left has a line, and the counts of every run are those of its log."""
        logged = {row[0] for row in self.execute("select identity from reverse_etl.sync_log")}
        assert self._moved <= logged
        counts = ", ".join(f"{each}s_succeeded, {each}s_failed" for each in OPERATIONS)
        for run_id, status, *counted in self.execute(
            f"select sync_run_id, status, {counts} from reverse_etl.sync_runs"  # noqa: S608
        ):
            assert status in {"succeeded", "completed_with_failures", "failed", "interrupted"}
            lines = self.execute(
                "select operation, status, count(*) from reverse_etl.sync_log"  # noqa: S608
                f" where sync_run_id = {run_id} group by operation, status"
            )
            found = {(operation, status): count for operation, status, count in lines}
            expected = [
                found.get((each, how), 0) for each in OPERATIONS for how in ("succeeded", "failed")
            ]
            assert counted == expected, run_id


def address(number: int) -> str:
    """Return the address of a person."""
    return f"p{number}@rows.example"


@contextmanager
def _world(
    folder: Path, url: str, database: Proxy | None, execute: Callable[[str], list[tuple[Any, ...]]]
) -> Iterator[World]:
    execute("create table people (id integer, email varchar, plan varchar)")
    with Sandbox(api_key=KEY) as sandbox:
        sandbox.seed_list(LIST, [FOREIGN])
        with proxying(HOST, urlsplit(sandbox.url).port or 0) as api:
            yield World(folder, url, sandbox, api, database, execute)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the config find the key."""
    monkeypatch.setenv("TRANSPORT_KEY", KEY)
    monkeypatch.delenv("REVERSE_ETL_CONFIG", raising=False)


@pytest.fixture
def on_duckdb(tmp_path: Path, duckdb_url: str) -> Iterator[World]:
    """Return a world on a DuckDB file: only the API is behind a proxy."""
    path = duckdb_url.removeprefix("duckdb:///")

    def execute(statement: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(path) as connection:
            return connection.execute(statement).fetchall()

    with _world(tmp_path, duckdb_url, None, execute) as world:
        yield world


@pytest.fixture
def on_postgresql(tmp_path: Path, postgres_url: str) -> Iterator[World]:
    """Return a world on PostgreSQL, which is behind a proxy too."""
    plain = postgres_url.replace("+psycopg", "")
    with psycopg.connect(plain, autocommit=True) as connection:

        def execute(statement: str) -> list[tuple[Any, ...]]:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

        with (
            proxying(HOST, sa.make_url(postgres_url).port or 0) as database,
            _world(tmp_path, postgres_url, database, execute) as world,
        ):
            yield world

"""Where the benchmarks play: an engine with its table, the stand-in for the API, and the rivals.

A *state* of a database (just made; in step; changed since) is made once and copied for every
measured command, so that each starts from the same bytes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg

from benchmarks.database import Database, opened
from benchmarks.measure import Cost, cost_of, parent_of, processor_seconds
from benchmarks.people import FIELDS, Engine
from reverse_etl.testing.postgres import PostgresServer, running_server

# A server for a machine of this size, as somebody would set it up; the same for every rival.
POSTGRES_OPTIONS = {
    "shared_buffers": "2GB",
    "work_mem": "64MB",
    "maintenance_work_mem": "512MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "autovacuum": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
RIVALS = ("floor", "script")
KEY_VARIABLE = "BENCHMARK_KEY"


class Api:
    """The stand-in, in a process of its own."""

    def __init__(self, url: str) -> None:
        """Remember where it is."""
        self.url = url

    def behave(self, **settings: Any) -> None:  # noqa: ANN401 - JSON
        """Change how it behaves, and forget what it has counted."""
        httpx.post(f"{self.url}/_settings", json=settings).raise_for_status()

    def counts(self) -> dict[str, Any]:
        """Return what it has seen since."""
        answer: dict[str, Any] = httpx.get(f"{self.url}/_counts").json()
        return answer


@contextmanager
def running_api() -> Iterator[Api]:
    """Run the stand-in until the block ends."""
    command = [sys.executable, "-m", "benchmarks.stand_in"]
    with subprocess.Popen(  # noqa: S603 - our own
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin  # noqa: S101 - as asked for
        assert process.stdout  # noqa: S101 - the same
        try:
            yield Api(process.stdout.readline().strip())
        finally:
            process.stdin.close()


class Stage:
    """One engine, with any number of states of its database.

    Attributes:
        engine: Its name.
        folder: For configs, and DuckDB's files.
        api: What is sent to.
    """

    engine: Engine

    def __init__(self, folder: Path, api: Api) -> None:
        """Start without a state."""
        self.folder, self.api = folder, api

    def url(self, state: str) -> str:
        """Return the URL of a state, for its own driver."""
        raise NotImplementedError

    def copy(self, state: str, name: str) -> None:
        """Make another state that begins as this one; one of that name goes."""
        raise NotImplementedError

    def server_cpu(self) -> float:
        """Return the processor seconds that the server has used so far."""
        return 0.0

    @contextmanager
    def changing(self, state: str) -> Iterator[Database]:
        """Open a state to change it."""
        with opened(self.url(state)) as database:
            yield database

    # --- who is measured -------------------------------------------------------------------

    def ours(self, state: str, kind: str, **settings: Any) -> list[str]:  # noqa: ANN401 - config
        """Return the command of a run of ours.

        Args:
            state: Of the database.
            kind: ``list`` or ``user``.
            settings: Of the destination, beside the usual ones.
        """
        path = self.folder / f"{state}.yaml"
        path.write_text(json.dumps(self._config(state, kind, settings)))
        return [sys.executable, "-m", "reverse_etl", "run-sync", "people", "--config", str(path)]

    def retain(self, state: str) -> list[str]:
        """Return the command that drops what is old; the config is that of the last run."""
        path = self.folder / f"{state}.yaml"
        path.write_text(json.dumps(self._config(state, "list", {})))
        return [sys.executable, "-m", "reverse_etl", "retain", "--config", str(path)]

    def rival(self, rival: str, state: str, kind: str) -> list[str]:
        """Return the command of a yardstick."""
        options = ["--url", self.url(state), "--api", self.api.url, "--object", kind]
        return [sys.executable, "-m", f"benchmarks.{rival}", *options]

    def cost_of(self, command: Sequence[str], exit_codes: Sequence[int] = (0,)) -> Cost:
        """Run a command, and say what it and the server cost."""
        return cost_of(command, self.server_cpu, exit_codes=exit_codes)

    def _config(self, state: str, kind: str, settings: dict[str, Any]) -> dict[str, Any]:
        url = self.url(state).replace("postgresql://", "postgresql+psycopg://")
        sync: dict[str, Any] = {
            "source": {"warehouse": "shop", "table": "people", "primary_key": "id"},
            "destination": {"name": "iterable", "object": kind},
            "identifiers": {"email": "email"},
            "max_delete_percent": 100,
        }
        if kind == "list":
            sync["destination"]["list"] = {"name": "bench"}
        else:
            sync["fields"] = {name: name for name in FIELDS}
        return {
            "warehouses": {"shop": {"url": url}},
            "destinations": {
                "iterable": {
                    "type": "iterable",
                    "api_key": f"${{{KEY_VARIABLE}}}",
                    "base_url": self.api.url,
                    "requests_per_second": 0,
                    **settings,
                }
            },
            "syncs": {"people": sync},
        }


class DuckDBStage(Stage):
    """Each state is a file."""

    engine: Engine = "duckdb"

    def url(self, state: str) -> str:
        """Return the URL of the file."""
        return f"duckdb:///{self.folder}/{state}.duckdb"

    def copy(self, state: str, name: str) -> None:
        """Copy the file."""
        (self.folder / f"{name}.duckdb.wal").unlink(missing_ok=True)
        shutil.copyfile(self.folder / f"{state}.duckdb", self.folder / f"{name}.duckdb")
        _let_the_disk_rest()


class PostgresStage(Stage):
    """Each state is a database of one server."""

    engine: Engine = "postgresql"

    def __init__(self, folder: Path, api: Api, server: PostgresServer) -> None:
        """Find the process of the server."""
        super().__init__(folder, api)
        self._server = server
        with psycopg.connect(server.url("postgres")) as connection:
            self._process = parent_of(connection.info.backend_pid)
        server.execute("CREATE DATABASE start")

    def url(self, state: str) -> str:
        """Return the URL of the database."""
        return self._server.url(state)

    def copy(self, state: str, name: str) -> None:
        """Copy the database."""
        self._server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self._server.execute(f"CREATE DATABASE {name} TEMPLATE {state} STRATEGY FILE_COPY")
        self._server.execute("CHECKPOINT")
        _let_the_disk_rest()

    def server_cpu(self) -> float:
        """Add up what the server's processes have used."""
        return processor_seconds(self._process)

    @contextmanager
    def changing(self, state: str) -> Iterator[Database]:
        """Open a state; afterwards the planner knows what is in it."""
        with super().changing(state) as database:
            yield database
        with psycopg.connect(self.url(state), autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")


def _let_the_disk_rest() -> None:
    """Wait until all is written, so that nobody's figures have what others wrote."""
    os.sync()


@dataclass(frozen=True)
class Play:
    """What all cases share.

    Attributes:
        rows: In the table ``people``.
        repeats: Measurements of which the median counts.
        say: Takes a line about the progress.
    """

    rows: int
    repeats: int
    say: Callable[[str], None]


@contextmanager
def stages(folder: Path, api: Api, engines: Sequence[str]) -> Iterator[list[Stage]]:
    """Open the engines until the block ends."""
    os.environ[KEY_VARIABLE] = "benchmark-key-0123456789"
    # An installed package has its byte code; without it each start would compile everything.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    opened_stages: list[Stage] = []
    if "duckdb" in engines:
        opened_stages.append(DuckDBStage(folder, api))
    if "postgresql" not in engines:
        yield opened_stages
        return
    with running_server(POSTGRES_OPTIONS) as server:
        yield [*opened_stages, PostgresStage(folder, api, server)]

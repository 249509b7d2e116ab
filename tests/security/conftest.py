"""A place where canaries live: a key, a password and a person that must not turn up elsewhere.

The commands are real processes, the destination is the sandbox or a small HTTP server that says
what a test wants, and both databases are real.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import psycopg
import pytest

from connectors.iterable.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.conftest import PostgresServer

PATIENCE_SECONDS = 60.0

# Not one of them looks like a key: nothing that only hides long hexadecimal numbers helps.
KEY = "canary-key-7f3e"
PASSWORD = "canary-pw-9c2b"
EMAIL = "canary-mail-41@example.com"
VALUE = "canary-plan-77"

# A piece is a leak too: a message may have been cut or escaped.
SECRETS: Mapping[str, str] = {"the API key": "canary-key", "the password": "canary-pw"}
PEOPLE: Mapping[str, str] = {"an e-mail address": "canary-mail", "a field value": "canary-plan"}

PEOPLE_COLUMNS: Mapping[str, frozenset[str] | None] = {
    "sync_log": frozenset({"primary_key", "identity", "error_reason"}),
    "failed_records": frozenset({"primary_key", "identity", "alias", "error_reason"}),
    "residue": frozenset({"primary_key", "identity", "alias"}),
    "former_aliases": frozenset({"identity", "alias"}),
    "outcomes": frozenset({"error_reason"}),
    "snapshot": None,
    "changes": None,
    "refused": None,
    "sync_runs": frozenset(),
    "sync_state": frozenset(),
    "schema_version": frozenset(),
}
"""Table, or kind of table, to the columns that may name people; None for all of them."""

CONFIG = """\
warehouses:
  local:
    url: {url}
    {warehouse}
destinations:
  iterable:
    type: iterable
    {key}
    base_url: {base_url}
    requests_per_second: 0
    retry_seconds: 0
    {account}
engine: {{shutdown_seconds: 0.2, {engine}}}
syncs:
  people:
    source:
      warehouse: local
      {source}
      primary_key: id
    destination: {{name: iterable, object: list, list: {{name: People}}}}
    identifiers: {{email: email}}
    fields: {{plan: plan}}
    {sync}
{more}
"""

USUAL: Mapping[str, str] = {
    "warehouse": "",
    "engine": "",
    "key": "api_key: ${API_KEY}",
    "account": "",
    "source": "table: people",
    "sync": "",
    "more": "",
}

FORKS = """
import gc, json, os, sys
import adbc_driver_postgresql.dbapi, duckdb, psycopg, pyarrow, typer
import reverse_etl.audit, reverse_etl.check, reverse_etl.preview, reverse_etl.run
from connectors.iterable import IterableConnector, list_object
from reverse_etl.cli import app, main

gc.freeze()  # else each fork would touch, and so copy, all that is loaded
for line in sys.stdin:
    job = json.loads(line)
    child = os.fork()
    if child == 0:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    os._exit(0)

os.chdir(job["folder"])
os.environ.clear()
os.environ.update(job["environment"])
streams = os.open(os.devnull, os.O_RDONLY), *(os.open(job[n], os.O_RDWR) for n in ("out", "err"))
for number, stream in enumerate(streams):
    os.dup2(stream, number)
sys.argv = ["reverse-etl", *job["words"]]
exec(job["program"])
sys.exit(main())
"""
"""A process that has loaded everything and runs each command in a fork of its own.

A hundred commands would else spend most of their time loading the same modules.
"""


class Forks:
    """Runs commands as processes of their own that are quick to start."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            # With the interpreter's own warnings on.
            [sys.executable, "-X", "dev", "-c", FORKS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self, folder: Path, words: Sequence[str], program: str, environment: Mapping[str, str]
    ) -> Done:
        """Run a command to its end; ``program`` is Python that runs before it, in its process."""
        files = {name: str(self._folder / name) for name in ("out", "err")}
        for file in files.values():
            Path(file).write_bytes(b"")
        job = {"folder": str(folder), "words": words, "program": program, **files}
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({**job, "environment": environment}) + "\n")
        process.stdin.flush()
        code = int(process.stdout.readline())
        out, err = (Path(file).read_text() for file in files.values())
        # What DuckDB's binding says at the end about objects that gc.freeze() keeps.
        return Done(code, out, err.partition("nanobind: leaked")[0])

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        with self._process:
            pass


Answer = tuple[int, Mapping[str, str], bytes]
"""Status, headers and body."""


@dataclass
class Heard:
    """One request that a server got."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Peer:
    """An HTTP server on loopback that answers as it is told, and remembers what it was asked."""

    def __init__(self, answer: Callable[[Heard], Answer]) -> None:
        self.heard: list[Heard] = []
        heard = self.heard

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _do(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                request = Heard(self.command, self.path, dict(self.headers.items()), body)
                heard.append(request)
                status, headers, content = answer(request)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_CONNECT = _do  # noqa: N815 - names of the library

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def speak_tls(self, context: ssl.SSLContext) -> None:
        """Speak TLS from now on."""
        listener = self._server.socket
        self._server.socket = context.wrap_socket(listener, server_side=True)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@dataclass(frozen=True)
class Done:
    """A process that ended."""

    code: int
    out: str
    err: str


@dataclass
class Place:
    """A folder with a config, people in a warehouse, and a destination.

    Attributes:
        folder: Where the commands run; nothing of a person may be left in it, but the warehouse.
        engine: ``duckdb`` or ``postgresql``.
        url: Of the warehouse, with the canary as its password where there is one.
        sql: Runs a statement as the warehouse's owner and returns rows with their columns.
        sandbox: The destination.
        forks: Starts the commands.
    """

    engine: str
    folder: Path
    url: str
    sql: Callable[[str], list[dict[str, Any]]]
    sandbox: Sandbox
    forks: Forks
    peers: list[Peer] = field(default_factory=list)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def write(self, **parts: str) -> None:
        """Write the config; a part that is not named is the usual one."""
        places = {"url": f'"{self.url}"', "base_url": self.sandbox.url}
        text = CONFIG.format(**{**USUAL, **places, **parts})
        (self.folder / "config.yaml").write_text(text, encoding="utf-8")

    def peer(self, answer: Callable[[Heard], Answer]) -> Peer:
        """Start an HTTP server; it is stopped after the test."""
        self.peers.append(Peer(answer))
        return self.peers[-1]

    def run(self, *words: str, program: str = "", **more: str) -> Done:
        """Run a command to its end.

        Args:
            *words: The command line.
            program: Python to run before the command, in its process.
            **more: Environment variables.
        """
        return self.forks.run(self.folder, words, program, self.environment(**more))

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a command."""
        process = subprocess.Popen(
            [sys.executable, "-m", "reverse_etl", *words],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.processes.append(process)
        return process

    def end(self, process: subprocess.Popen[bytes]) -> Done:
        """Wait for a command."""
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
        return Done(process.returncode, out.decode(), err.decode())

    def interrupt(self, process: subprocess.Popen[bytes], when: Callable[[], bool]) -> Done:
        """Send SIGINT when something has happened, and wait for the end."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not when():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        return self.end(process)

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of the commands: little of ours, and a TMPDIR of their own."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        return {**kept, "TMPDIR": str(temporary), "API_KEY": KEY, **more}

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return all rows of all our tables, by name; none while another process has the file."""
        names = self.sql(
            "select table_name from information_schema.tables where table_schema = 'reverse_etl'"
        )
        return {
            row["table_name"]: self.sql(f'select * from reverse_etl."{row["table_name"]}"')  # noqa: S608
            for row in names
        }

    def leaks_of_tables(self, of_runs: frozenset[str] = frozenset()) -> Iterator[str]:
        """Yield what our tables hold that they must not: kind of canary, table and column.

        Args:
            of_runs: Columns of ``sync_runs`` that may name people this time.
        """
        for table, rows in self.tables().items():
            kind = next(kind for kind in PEOPLE_COLUMNS if re.fullmatch(f"{kind}(_.+)?", table))
            allowed = of_runs if kind == "sync_runs" else PEOPLE_COLUMNS[kind]
            for column, text in ((c, str(v)) for row in rows for c, v in row.items()):
                for what, trace in SECRETS.items():
                    if trace in text:
                        yield f"{what} in {table}.{column}"
                if allowed is None or column in allowed:
                    continue
                for what, trace in PEOPLE.items():
                    if trace in text:
                        yield f"{what} in {table}.{column}"

    def leaks_of_files(self, inputs: Sequence[str] = ()) -> Iterator[str]:
        """Yield what was written to files: secrets nowhere, people in the warehouse only.

        Args:
            inputs: Files that the test wrote itself.
        """
        for path in sorted(self.folder.rglob("*")):
            name = str(path.relative_to(self.folder))
            if path.is_dir() or name in {"config.yaml", ".env", *inputs}:
                continue
            content = path.read_bytes().decode("latin-1")
            is_warehouse = name.startswith("warehouse.duckdb")
            for what, trace in {**SECRETS, **({} if is_warehouse else PEOPLE)}.items():
                if trace in content:
                    yield f"{what} in the file {name}"
            if name.startswith("tmp/"):
                yield f"a temporary file was left behind: {name}"

    def leave_nothing_behind(self) -> None:
        """End what a failed test left running."""
        for process in self.processes:
            process.kill()
            with process:
                pass
        for peer in self.peers:
            peer.close()


def leaks_of_text(where: str, text: str, *, people: bool) -> Iterator[str]:
    """Yield what a text holds that it must not.

    Args:
        where: What the text is.
        text: The text.
        people: Whether people may be named in it.
    """
    for what, trace in {**SECRETS, **({} if people else PEOPLE)}.items():
        if trace in text:
            yield f"{what} in {where}"


_PEOPLE = (
    "create table people (id integer, email varchar(200), plan varchar(200))",
    f"insert into people values (1, '{EMAIL}', '{VALUE}'), (2, 'b@example.com', 'gold')",  # noqa: S608
    f"insert into people values (3, 'not-an-address {EMAIL}', '{VALUE}')",  # noqa: S608
)


Peers = Callable[[Callable[[Heard], Answer]], Peer]


@pytest.fixture
def peers() -> Iterator[Peers]:
    """Return what starts servers; they end with the test."""
    started: list[Peer] = []

    def start(answer: Callable[[Heard], Answer]) -> Peer:
        started.append(Peer(answer))
        return started[-1]

    yield start
    for peer in started:
        peer.close()


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    started = Forks(tmp_path_factory.mktemp("forks"))
    yield started
    started.close()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(api_key=KEY) as running:
        yield running


@pytest.fixture
def on_duckdb(tmp_path: Path, sandbox: Sandbox, forks: Forks) -> Iterator[Place]:
    path = tmp_path / "warehouse.duckdb"

    def sql(statement: str) -> list[dict[str, Any]]:
        with duckdb.connect(str(path)) as connection:
            found = connection.execute(statement)
            names = [column[0] for column in found.description or ()]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    yield from _prepared(Place("duckdb", tmp_path, f"duckdb:///{path}", sql, sandbox, forks))


@pytest.fixture
def on_postgresql(
    tmp_path: Path, postgres_server: PostgresServer, sandbox: Sandbox, forks: Forks
) -> Iterator[Place]:
    name = f"canary_{secrets.token_hex(6)}"
    postgres_server.execute(f"create role {name} login password '{PASSWORD}'")
    postgres_server.execute(f"create database {name} owner {name}")
    url = f"postgresql://{name}:{PASSWORD}@127.0.0.1:{postgres_server.port}/{name}"

    def sql(statement: str) -> list[dict[str, Any]]:
        with psycopg.connect(url, row_factory=psycopg.rows.dict_row) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    try:
        yield from _prepared(Place("postgresql", tmp_path, url, sql, sandbox, forks))
    finally:
        postgres_server.execute(f"drop database {name} with (force)")
        postgres_server.execute(f"drop role {name}")


def _prepared(place: Place) -> Iterator[Place]:
    for statement in _PEOPLE:
        place.sql(statement)
    place.write()
    yield place
    place.leave_nothing_behind()


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Place:
    """Return the place on the engine that the test is parametrized with (``indirect``)."""
    found: Place = request.getfixturevalue(f"on_{request.param}")
    return found

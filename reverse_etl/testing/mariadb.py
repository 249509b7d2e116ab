"""A MariaDB of one's own, from the machine's programs: no right on the machine is needed.

The programs ``mariadbd`` and ``mariadb-install-db`` must be there (Debian: ``mariadb-server-core``
and ``mariadb-server``), and the driver PyMySQL. The server keeps to a folder of its own, listens on
127.0.0.1 only, wants a password, and ends with the process that started it.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from reverse_etl.testing.server_process import folder_for, free_port, running, who_runs

START_SECONDS = 60.0

# Nothing of a test survives it, so a crash of the machine may lose everything.
SERVER_OPTIONS = {
    "bind-address": "127.0.0.1",
    "skip-name-resolve": "1",
    "innodb-flush-log-at-trx-commit": "0",
    "innodb-doublewrite": "0",
    "innodb-flush-method": "nosync",
    "sync-frm": "0",
    "innodb-buffer-pool-size": "64M",
    "innodb-log-file-size": "32M",
    "innodb-use-native-aio": "0",
    "performance-schema": "0",
}

# Debian keeps servers where only the administrator's path looks.
_SEARCHED = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


@dataclass(frozen=True)
class MariaDBServer:
    """A running server.

    Attributes:
        port: TCP port on 127.0.0.1.
        user: Has every right.
        password: Holds the characters that must be quoted in a URL, as real ones do.
    """

    port: int
    user: str = "tester"
    password: str = field(default_factory=lambda: f"p@s/s:%{secrets.token_hex(8)}", repr=False)

    def url(self, database: str, user: str | None = None, password: str | None = None) -> str:
        """Return the SQLAlchemy URL of one database, of this user or another."""
        login = f"{user or self.user}:{quote(password or self.password, safe='')}"
        return f"mariadb+pymysql://{login}@127.0.0.1:{self.port}/{database}"

    def execute(self, *statements: str) -> None:
        """Run statements as an administrator, each by itself."""
        with closing(self._connect()) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Read the rows of a statement as an administrator."""
        with closing(self._connect()) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return [tuple(row) for row in cursor.fetchall()]

    def _connect(self) -> Any:  # noqa: ANN401 - the driver's connection
        return _driver().connect(
            host="127.0.0.1",
            port=self.port,
            user=self.user,
            password=self.password,
            charset="utf8mb4",
            autocommit=True,
        )


def _driver() -> Any:  # noqa: ANN401 - a module
    return importlib.import_module("pymysql")


def what_is_missing() -> str | None:
    """Return what a server of one's own would need and is not installed, or None."""
    if importlib.util.find_spec("pymysql") is None:
        return "the driver PyMySQL is not installed"
    for program in ("mariadbd", "mariadb-install-db"):
        if shutil.which(program, path=_SEARCHED) is None:
            return f"the program {program} is not installed"
    return None


@contextmanager
def running_server() -> Iterator[MariaDBServer]:
    """Initialise and run a server in a folder of its own, until the block ends.

    The folder is open to who runs the server: when the user is root that is somebody else,
    because MariaDB refuses to run as root.

    Raises:
        RuntimeError: A program is missing, or the server does not answer.
    """
    missing = what_is_missing()
    if missing is not None:
        raise RuntimeError(missing)
    with folder_for("mariadb") as folder, _server_in(folder) as server:
        yield server


@contextmanager
def _server_in(folder: Path) -> Iterator[MariaDBServer]:
    runner = who_runs(folder)
    server = MariaDBServer(port=free_port())
    _initialise(folder, server, runner)
    files = {"datadir": "data", "socket": "socket", "pid-file": "pid", "init-file": "accounts.sql"}
    options = {name: str(folder / file) for name, file in files.items()}
    options |= SERVER_OPTIONS | {"port": str(server.port)}
    program = shutil.which("mariadbd", path=_SEARCHED)
    command = [str(program), "--no-defaults", *(f"--{name}={v}" for name, v in options.items())]
    with running(command, folder, runner, "KILL") as log:
        _await_server(server, log)
        (folder / "accounts.sql").unlink()
        yield server


def _initialise(folder: Path, server: MariaDBServer, runner: dict[str, Any]) -> None:
    """Make the system tables, and the account that the server knows before it listens."""
    accounts = folder / "accounts.sql"
    accounts.touch(mode=0o600)
    os.chown(accounts, runner.get("user", -1), runner.get("group", -1))
    who = f"'{server.user}'@'127.0.0.1'"
    statements = (
        "DELETE FROM mysql.global_priv WHERE User <> 'mariadb.sys'",
        "FLUSH PRIVILEGES",
        f"CREATE USER {who} IDENTIFIED BY '{server.password}'",
        f"GRANT ALL ON *.* TO {who} WITH GRANT OPTION",
    )
    accounts.write_text(";\n".join(statements) + ";\n")
    program = shutil.which("mariadb-install-db", path=_SEARCHED)
    done = subprocess.run(  # noqa: S603 - the same
        [
            *(str(program), "--no-defaults", f"--datadir={folder}/data", "--skip-test-db"),
            *("--auth-root-authentication-method=normal", "--skip-name-resolve"),
        ],
        check=False,
        capture_output=True,
        **runner,
    )
    if done.returncode:
        message = (
            f"mariadb-install-db failed: {(done.stdout + done.stderr).decode('utf-8', 'replace')}"
        )
        raise RuntimeError(message)


def _await_server(server: MariaDBServer, log: Path) -> None:
    """Wait until the server answers.

    Raises:
        RuntimeError: It does not answer within ``START_SECONDS``; with the server's log.
    """
    refused = _driver().err.OperationalError
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            server.execute("select 1")
        except refused as error:
            if time.monotonic() > deadline:
                message = f"MariaDB does not answer: {error}\n{log.read_text(errors='replace')}"
                raise RuntimeError(message) from error
            time.sleep(0.02)
        else:
            return

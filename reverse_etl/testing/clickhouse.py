"""A ClickHouse of one's own: the real engine behind an HTTP interface of ours.

The package ``chdb`` must be there, which is the engine as a library, and the driver. It is no
ClickHouse server: see ``clickhouse_http``. The process keeps to a folder of its own, listens on
127.0.0.1 only, wants a password, and ends with the process that started it.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

from reverse_etl.testing import clickhouse_http
from reverse_etl.testing.server_process import folder_for, free_port, running

START_SECONDS = 60.0


@dataclass(frozen=True)
class ClickHouseServer:
    """A running server.

    Attributes:
        port: TCP port on 127.0.0.1.
        user: May do everything.
        restricted: May do the same, but change no setting.
        password: Of both; holds the characters that must be quoted in a URL.
    """

    port: int
    user: str = "tester"
    restricted: str = "restricted"
    password: str = field(default_factory=lambda: f"p@s/s:%{secrets.token_hex(8)}", repr=False)

    def url(self, database: str, user: str | None = None, password: str | None = None) -> str:
        """Return the SQLAlchemy URL of one database, of this user or another."""
        login = f"{user or self.user}:{quote(password or self.password, safe='')}"
        return f"clickhousedb://{login}@127.0.0.1:{self.port}/{database}"

    def execute(self, *statements: str) -> None:
        """Run statements, each by itself."""
        with closing(self._connect()) as client:
            for statement in statements:
                client.command(statement)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Read the rows of a statement."""
        with closing(self._connect()) as client:
            return [tuple(row) for row in client.query(statement).result_rows]

    def named_rows(self, statement: str) -> list[dict[str, Any]]:
        """Read the rows of a statement by the names of the columns."""
        with closing(self._connect()) as client:
            return list(client.query(statement).named_results())

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Add rows to a table."""
        with closing(self._connect()) as client:
            client.insert(table, rows, column_names=columns)

    def _connect(self) -> Any:  # noqa: ANN401 - the driver's client
        return importlib.import_module("clickhouse_connect").get_client(
            host="127.0.0.1",
            port=self.port,
            username=self.user,
            password=self.password,
            compress=False,
        )


def what_is_missing() -> str | None:
    """Return what a server of one's own would need and is not installed, or None."""
    for package in ("clickhouse_connect", "chdb"):
        if importlib.util.find_spec(package) is None:
            return f"the package {package} is not installed"
    return None


@contextmanager
def running_server() -> Iterator[ClickHouseServer]:
    """Run a server in a folder of its own, until the block ends.

    Raises:
        RuntimeError: A package is missing, or the server does not answer.
    """
    missing = what_is_missing()
    if missing is not None:
        raise RuntimeError(missing)
    with folder_for("clickhouse") as folder:
        server = ClickHouseServer(port=free_port())
        accounts = {
            name: {"password": server.password, "settings": settings}
            for name, settings in ((server.user, {}), (server.restricted, {"readonly": "1"}))
        }
        surroundings = {**os.environ, "CLICKHOUSE_ACCOUNTS": json.dumps(accounts)}
        runner = {"cwd": folder, "env": surroundings}
        command = [sys.executable, clickhouse_http.__file__, str(folder / "data")]
        with running([*command, str(server.port)], folder, runner, "KILL") as log:
            _await_server(server, log.read_text)
            yield server


def _await_server(server: ClickHouseServer, read_log: Any) -> None:  # noqa: ANN401 - a method
    """Wait until the server answers.

    Raises:
        RuntimeError: It does not answer within ``START_SECONDS``; with its log.
    """
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with urlopen(f"http://127.0.0.1:{server.port}/ping"):
                return
        except URLError as error:
            if time.monotonic() > deadline:
                message = f"ClickHouse does not answer: {error}\n{read_log()}"
                raise RuntimeError(message) from error
            time.sleep(0.05)

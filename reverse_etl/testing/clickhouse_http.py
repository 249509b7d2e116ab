"""ClickHouse's engine over HTTP: what a server's HTTP interface does, as far as a driver needs it.

It is no ClickHouse server. The engine is the real one (chDB, the same code in a library); the
interface around it is this file: statements, settings, formats, errors and accounts travel as
ClickHouse documents it ("HTTP Interface"). There are no rights, no compression and no replicas.

Run as a program: the arguments are the folder of the data and a TCP port of 127.0.0.1. The
environment's ``CLICKHOUSE_ACCOUNTS`` is JSON, each account's name to its password and settings.
"""

from __future__ import annotations

import base64
import importlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

# Parameters of a request that are none of the statement's settings.
_OF_THE_TRANSPORT = frozenset(
    {
        *("query", "database", "session_id", "session_timeout", "session_check", "query_id"),
        *("wait_end_of_query", "buffer_size", "compress", "decompress", "default_format"),
        *("client_protocol_version", "role", "enable_http_compression"),
        *("send_progress_in_http_headers", "http_headers_progress_interval_ms"),
    }
)
_CODE = re.compile(r"Code: (\d+)\.")
_AUTHENTICATION_FAILED = (
    "Code: 516. DB::Exception: Authentication failed: password is incorrect, or there is no user "
    "with such name. (AUTHENTICATION_FAILED)"
)


class Refused(Exception):  # noqa: N818 - what the server says is the error
    """What the engine, or who guards it, says against a request."""


class Engine:
    """The engine of this process."""

    def __init__(self, folder: str) -> None:
        """Open the folder, which nobody else may have open."""
        self._chdb: Any = importlib.import_module("chdb")
        self._folder = folder
        self._anchor = self._chdb.connect(folder)

    def answer(
        self, statement: str, data: bytes, database: str | None, settings: Mapping[str, str]
    ) -> bytes:
        """Execute one statement; what it sets is forgotten afterwards.

        Args:
            statement: With the format of its result or of its data.
            data: Rows of an INSERT, or nothing.
            database: The one that is meant where none is named, or None.
            settings: For this statement.

        Raises:
            Refused: The engine does not want it, or there is a second statement.
        """
        with closing(self._chdb.connect(self._folder)) as handle:
            try:
                self._refuse_two(handle, statement)
                for name, value in settings.items():
                    self._say(handle, f"SET {_name(name)} = {_literal(value)}")
                if database is not None:
                    self._say(handle, f"USE {_name(database)}")
                return (
                    self._insert(handle, statement, data) if data else self._say(handle, statement)
                )
            except Exception as error:  # noqa: BLE001 - what the engine raises is no class of its own
                raise Refused(str(error)) from None

    def _refuse_two(self, handle: Any, statement: str) -> None:  # noqa: ANN401 - chDB's
        """A server takes one statement at a time, a library all that there are."""
        try:
            self._say(handle, f"SELECT formatQuery({_literal(statement)})")
        except Exception as error:  # noqa: BLE001 - the same
            told = str(error).partition(": In scope SELECT formatQuery")[0]
            raise Refused(f"{told}. (SYNTAX_ERROR)") from None

    def _insert(self, handle: Any, statement: str, data: bytes) -> bytes:  # noqa: ANN401 - chDB's
        head, _, form = statement.rpartition("FORMAT ")
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            return self._say(handle, f"{head} FROM INFILE {_literal(file.name)} FORMAT {form}")

    @staticmethod
    def _say(handle: Any, statement: str) -> bytes:  # noqa: ANN401 - chDB's
        return bytes(handle.query(statement, "TabSeparated").bytes())


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _name(text: str) -> str:
    return "`" + text.replace("\\", "\\\\").replace("`", "\\`") + "`"


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    engine: ClassVar[Engine]
    accounts: ClassVar[Mapping[str, Any]]

    def do_GET(self) -> None:
        """Say that the server is there."""
        self._give(200, b"Ok.\n", {})

    def do_POST(self) -> None:
        """Execute a statement."""
        body = self._body()
        try:
            result = self._execute(dict(parse_qsl(urlsplit(self.path).query)), body)
        except Refused as error:
            code = _CODE.search(str(error))
            self._give(
                403 if str(error) == _AUTHENTICATION_FAILED else 500,
                f"{error}\n".encode(),
                {"X-ClickHouse-Exception-Code": code[1] if code else "1"},
            )
        else:
            self._give(200, result, {"X-ClickHouse-Summary": "{}"})

    def _execute(self, given: Mapping[str, str], body: bytes) -> bytes:
        account = self._account()
        asked = {name: value for name, value in given.items() if name not in _OF_THE_TRANSPORT}
        statement, data = (given["query"], body) if "query" in given else (body.decode(), b"")
        settings = {**account["settings"], **asked}
        return self.engine.answer(statement, data, given.get("database"), settings)

    def _account(self) -> Any:  # noqa: ANN401 - JSON
        kind, _, login = self.headers.get("Authorization", "").partition(" ")
        name, _, password = base64.b64decode(login).decode().partition(":")
        account = self.accounts.get(name)
        if kind != "Basic" or account is None or account["password"] != password:
            raise Refused(_AUTHENTICATION_FAILED)
        return account

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _give(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until the process is ended."""
    folder, port = sys.argv[1:]
    Handler.engine = Engine(folder)
    Handler.accounts = json.loads(os.environ["CLICKHOUSE_ACCOUNTS"])
    with ThreadingHTTPServer(("127.0.0.1", int(port)), Handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()

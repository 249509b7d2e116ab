# ruff: noqa: E501 - the expected sentences stand in one piece
"""Answers of the API that nobody would want: what is said of each, word for word.

A real HTTP server on loopback, the real command line, a real DuckDB. An answer that ends the run is
told as the run's error; one that leaves a person undelivered is told in ``failed_records``. What
becomes of any answer at all is tested in tests/unit/test_iterable_fuzz.py; memory and time, in
tests/security/test_bombs.py; that nothing of an answer is spread, in tests/security/test_canaries.py.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import duckdb
import pytest

from reverse_etl.cli.app import run

CONFIG = """\
warehouses:
  local: {{url: "duckdb:///shop.duckdb"}}
destinations:
  iterable:
    type: iterable
    api_key: ${{API_KEY}}
    base_url: {base_url}
    requests_per_second: 0
    retry_seconds: 0
syncs:
  people:
    source: {{warehouse: local, table: people, primary_key: id}}
    destination: {{name: iterable, object: list, list: {{name: People}}}}
    identifiers: {{email: email}}
"""
LISTS = {"lists": [{"id": 7, "name": "People", "createdAt": 1, "listType": "Standard"}]}
WITHOUT_LENGTH = 204


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: whoever asks may have heard enough."""


class Destination:
    """Knows one list; answers a subscription as it is told."""

    def __init__(self) -> None:
        self.answer: tuple[int, bytes] = (200, b"")
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _do(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                subscribes = self.path.startswith("/api/lists/subscribe")
                status, body = outer.answer if subscribes else (200, json.dumps(LISTS).encode())
                body = b"" if status == WITHOUT_LENGTH else body
                self.send_response(status)
                self.send_header("Location", "http://127.0.0.1:1/")
                self.send_header("Content-Type", "application/json")
                if status != WITHOUT_LENGTH:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = _do  # noqa: N815 - names of the library

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
                """Say nothing."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="module")
def destination() -> Iterator[Destination]:
    made = Destination()
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path, destination: Destination, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("API_KEY", "canary-4a7f")
    monkeypatch.delenv("REVERSE_ETL_CONFIG", raising=False)
    (tmp_path / "config.yaml").write_text(CONFIG.format(base_url=destination.url))
    with duckdb.connect(tmp_path / "shop.duckdb") as connection:
        connection.execute("create table people as select 1 as id, 'ada@example.com' as email")
    return tmp_path


def answered(folder: Path, destination: Destination, status: int, body: bytes) -> dict[str, Any]:
    """Run the sync; return its document, with its exit code and what failed of whom."""
    destination.answer = status, body
    out, err = io.StringIO(), io.StringIO()
    with chdir(folder), redirect_stdout(out), redirect_stderr(err):
        code = run(["run-sync", "people", "--json"])
    assert err.getvalue() == ""
    document: dict[str, Any] = json.loads(out.getvalue())
    with duckdb.connect(folder / "shop.duckdb") as connection:
        failed = connection.execute(
            "select identity, error_code, error_reason, retryable from reverse_etl.failed_records"
        ).fetchall()
    return {**document, "exit_code": code, "failed_records": failed}


# --- 200, and what is in it ----------------------------------------------------------------

GOOD = json.dumps({"successCount": 1, "failCount": 0, "failedUpdates": {}}).encode()


def counts(succeeded: Any, failed: Any, **more: Any) -> bytes:
    return json.dumps({"successCount": succeeded, "failCount": failed, **more}).encode()


NO_COUNTS = "Iterable's answer has no counts (HTTP {}), so nothing is known of its effect"
UNKNOWN = ("unknown", NO_COUNTS.format(200), True)

BODIES: dict[str, tuple[bytes, tuple[str, str, bool] | None]] = {
    "valid": (GOOD, None),
    "UTF-16": (GOOD.decode().encode("utf-16"), None),
    "null lists": (counts(1, 0, invalidEmails=None, failedUpdates=None), None),
    "unknown keys": (counts(1, 0, x={"y": []}), None),
    "empty": (b"", UNKNOWN),
    "HTML": (b"<html>all is well</html>", UNKNOWN),
    "cut off": (GOOD[:-1], UNKNOWN),
    "twice": (GOOD + GOOD, UNKNOWN),
    "another charset": ('{"successCount": 1, "failCount": 0, "x": "é"}'.encode("latin-1"), UNKNOWN),
    "deep": (b"[" * 100_000, UNKNOWN),
    "a list": (b"[]", UNKNOWN),
    "null": (b"null", UNKNOWN),
    "numbers as text": (counts("1", "0"), UNKNOWN),
    "no numbers": (counts(None, 1.5), UNKNOWN),
    "an error that is none": (
        b'{"code": "BadParams", "msg": "no"}',
        ("unknown", NO_COUNTS.format("200 BadParams: no"), True),
    ),
    "named twice": (
        counts(
            0,
            1,
            invalidEmails=["ada@example.com"] * 2,
            failedUpdates={"invalidEmails": ["ada@example.com"] * 2},
        ),
        ("invalid_identifier", "Iterable calls it malformed", False),
    ),
    "somebody who was not sent": (
        counts(1, 1, failedUpdates={"invalidEmails": ["bob@example.com"]}),
        (
            "unknown",
            "Iterable's counts do not add up: 1 sent, 1 succeeded, 1 failed, 0 of them named",
            True,
        ),
    ),
    "too many": (
        counts(5, 0),
        (
            "unknown",
            "Iterable's counts do not add up: 1 sent, 5 succeeded, 0 failed, 0 of them named",
            True,
        ),
    ),
    "eleven megabytes": (
        b" " * 11_000_000,
        ("unknown", "no answer: response larger than 10,000,000 bytes", True),
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_an_answer_that_says_200(folder: Path, destination: Destination, name: str) -> None:
    body, failure = BODIES[name]
    found = answered(folder, destination, 200, body)
    assert found["exit_code"] == (3 if failure else 0)
    assert found["failed_records"] == ([("ada@example.com", *failure)] if failure else [])
    assert found["error"] is None


# --- other statuses ------------------------------------------------------------------------

HTML = b"<html><body>Sorry</body></html>"
SAYS = b'{"code": "BadParams", "msg": "no", "params": null}'

LEFT: dict[int, tuple[str, str, bool]] = {
    201: ("unknown", NO_COUNTS, True),
    202: ("unknown", NO_COUNTS, True),
    204: ("unknown", NO_COUNTS, True),
    400: ("rejected", "HTTP {}", False),
    405: ("rejected", "HTTP {}", False),
    409: ("rejected", "HTTP {}", False),
    422: ("rejected", "HTTP {}", False),
    413: ("rejected", "too large (HTTP {})", False),
    408: ("unavailable", "took too long (HTTP {})", True),
    429: ("unavailable", "HTTP {}", True),
    500: ("unavailable", "HTTP {}", True),
    502: ("unavailable", "HTTP {}", True),
    503: ("unavailable", "HTTP {}", True),
    504: ("unavailable", "HTTP {}", True),
    599: ("unavailable", "HTTP {}", True),
}
KEY = "Iterable refused the API key (HTTP {}). At 127.0.0.1 the stand-in that `reverse-etl sandbox` runs takes one key only, which it names when it starts"
ENDS: dict[int, tuple[str, str]] = {
    301: ("redirected", "127.0.0.1 answered with a redirect (HTTP {}); Iterable's API never redirects. Check base_url, and any proxy in between"),
    307: ("redirected", "127.0.0.1 answered with a redirect (HTTP {}); Iterable's API never redirects. Check base_url, and any proxy in between"),
    401: ("unauthorized", KEY),
    403: ("unauthorized", KEY),
    404: ("not_found_page", "127.0.0.1 does not know this address (HTTP {}): check base_url, and that nothing rewrites the path in between"),
}  # fmt: skip


def said(status: int, body: bytes) -> str:
    """Return a status as a message names it."""
    return f"{status} BadParams: no" if body == SAYS and status != WITHOUT_LENGTH else f"{status}"


@pytest.mark.parametrize("body", [HTML, SAYS], ids=["HTML", "JSON"])
@pytest.mark.parametrize("status", LEFT)
def test_an_answer_that_leaves_somebody_out(
    folder: Path, destination: Destination, status: int, body: bytes
) -> None:
    code, reason, retryable = LEFT[status]
    found = answered(folder, destination, status, body)
    failed = [("ada@example.com", code, reason.format(said(status, body)), retryable)]
    assert (found["exit_code"], found["failed_records"]) == (3, failed)
    assert found["status"] == "completed_with_failures"


@pytest.mark.parametrize("body", [HTML, SAYS], ids=["HTML", "JSON"])
@pytest.mark.parametrize("status", ENDS)
def test_an_answer_that_ends_the_run(
    folder: Path, destination: Destination, status: int, body: bytes
) -> None:
    code, reason = ENDS[status]
    found = answered(folder, destination, status, body)
    assert (found["exit_code"], found["failed_records"]) == (1, [])
    assert (found["error_code"], found["error"]) == (code, reason.format(said(status, body)))

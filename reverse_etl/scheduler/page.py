"""``/healthz`` and ``/metrics``: what a scheduler answers over HTTP.

Nothing here can change anything or names a person, and it listens on loopback unless told
otherwise.
"""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CONTENT_TYPE_LATEST

from reverse_etl.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reverse_etl.scheduler import Scheduler
    from reverse_etl.scheduler.metrics import Metrics

# A loop that has not turned for so many seconds hangs; it turns twice a second.
ALIVE_SECONDS = 60.0

# Seconds for a client to say what it wants.
_CLIENT_SECONDS = 10

_Start = Callable[[str, list[tuple[str, str]]], Any]


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    """One thread for each request: one slow reader must not hide that the scheduler lives."""

    daemon_threads = True
    # Two schedulers on one port would each get a part of the questions.
    allow_reuse_port = False

    def server_bind(self) -> None:
        """Bind, without asking for the name of the address: a resolver may take long."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", self.socket.getsockname()[1]
        self.setup_environ()


class _Handler(WSGIRequestHandler):
    """Says nothing of each request in the log."""

    timeout = _CLIENT_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - as inherited
        """Keep quiet."""


@contextmanager
def page(
    host: str,
    port: int,
    scheduler: Scheduler,
    metrics: Metrics,
    monotonic: Callable[[], float],
) -> Iterator[int]:
    """Answer while the block runs; give the port.

    Args:
        host: Address to listen on.
        port: Port; 0 for any free one.
        scheduler: Whose health is asked for.
        metrics: What it counts.
        monotonic: The clock of the scheduler, in seconds.

    Raises:
        RunError: The address cannot be used, or is in use: perhaps only for now.
    """

    def answer(environ: dict[str, Any], start: _Start) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return _say(start, "405 Method Not Allowed", "text/plain", b"only GET\n")
        if environ["PATH_INFO"] == "/metrics":
            return _say(start, "200 OK", CONTENT_TYPE_LATEST, metrics.text())
        if environ["PATH_INFO"] == "/healthz":
            return _health(start, scheduler, monotonic() - scheduler.alive_at)
        return _say(start, "404 Not Found", "text/plain", b"here are /healthz and /metrics\n")

    try:
        server = make_server(host, port, answer, _Server, _Handler)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or "no such port"
        text = f"cannot listen on {host}:{port}: {reason}; end what uses it, or name another --port"
        raise RunError(text, code="cannot_listen") from None
    thread = threading.Thread(target=server.serve_forever, name="page", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _health(start: _Start, scheduler: Scheduler, age: float) -> Iterable[bytes]:
    entries = scheduler.agenda.entries
    next_look = scheduler.agenda.next_look()
    body = {
        "status": "ok" if age < ALIVE_SECONDS else "hangs",
        "syncs": len(entries),
        "running": sorted(name for name, entry in entries.items() if entry.is_running),
        "failing": sorted(name for name, entry in entries.items() if entry.failures),
        "next_look": f"{next_look:%Y-%m-%dT%H:%M:%SZ}" if next_look else None,
    }
    status = "200 OK" if age < ALIVE_SECONDS else "503 Service Unavailable"
    return _say(start, status, "application/json", json.dumps(body).encode() + b"\n")


def _say(start: _Start, status: str, kind: str, body: bytes) -> Iterable[bytes]:
    start(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]

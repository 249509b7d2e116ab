"""A server between us and a stand-in for an API: passes requests on, or spoils the answer.

The stand-in plays the API's rules, the relay plays the network and a server that has gone mad. So
a suite can try every answer and every transport fault with any stand-in, over real sockets on
loopback, and see what was really sent.
"""

from __future__ import annotations

import http.client
import os
import socket
import socketserver
import struct
import sys
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

HOST = "127.0.0.1"

_FORWARD_SECONDS = 30.0
_POLL_SECONDS = 0.02
_WITHOUT_BODY = frozenset({204, 304})
_LINGER_ZERO = struct.pack("ii", 1, 0)  # on, zero seconds: closing sends a reset
_HOP_BY_HOP = frozenset({"connection", "content-length", "transfer-encoding", "host"})


@dataclass(frozen=True)
class Exchange:
    """One request that reached the relay, and the way back to who sent it.

    Attributes:
        method: HTTP method.
        target: Path with query.
        headers: Name and value, as they came.
        body: Whole.
        connection: Raw socket to the client.
        upstream: Base URL of the stand-in.
        closing: Set when the relay is about to close.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    connection: socket.socket = field(repr=False)
    upstream: str = field(repr=False)
    closing: threading.Event = field(repr=False)

    def pass_on(self) -> bytes:
        """Let the stand-in apply the request; return its answer as raw HTTP."""
        parts = urlsplit(self.upstream)
        sent = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP}
        there = http.client.HTTPConnection(
            parts.hostname or HOST, parts.port, timeout=_FORWARD_SECONDS
        )
        try:
            there.request(self.method, self.target, self.body or None, sent)
            answer = there.getresponse()
            body = answer.read()
            kept = {k: v for k, v in answer.getheaders() if k.lower() not in _HOP_BY_HOP}
        finally:
            there.close()
        return rendered(answer.status, body, kept)

    def send(self, data: bytes) -> None:
        """Send raw bytes to the client."""
        self.connection.sendall(data)

    def wait(self, seconds: float) -> None:
        """Wait, but not beyond the end of the relay."""
        self.closing.wait(seconds)

    def end(self) -> None:
        """Close the connection in order, after what was sent."""
        self.connection.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """Break the connection, so that the client gets a TCP reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        os.close(self.connection.detach())


if TYPE_CHECKING:
    Script = Callable[[Exchange], None]
    """What to do with one request."""


def rendered(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """Return an answer as raw HTTP; statuses that allow no body get none."""
    kept = b"" if status in _WITHOUT_BODY else body
    phrase = http.client.responses.get(status, "Odd")
    lines = [f"HTTP/1.1 {status} {phrase}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    lines += [] if status in _WITHOUT_BODY else [f"Content-Length: {len(kept)}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + kept


# --- scripts -------------------------------------------------------------------------------


def passing(exchange: Exchange) -> None:
    """Pass the request on and the answer back."""
    exchange.send(exchange.pass_on())


def answering(
    status: int,
    body: bytes = b"",
    content_type: str = "application/json",
    *,
    applied: bool = False,
    **headers: str,
) -> Script:
    """Answer instead of the stand-in; with ``applied`` after it has done what was asked.

    Args:
        status: HTTP status.
        body: As it is.
        content_type: Header.
        applied: Whether the request is passed on first.
        headers: More of them; ``retry_after`` is written ``Retry-After``.
    """
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}
    data = rendered(status, body, {"Content-Type": content_type, **named})
    return saying(data, applied=applied)


def saying(*parts: bytes, applied: bool = False, close: bool = False) -> Script:
    """Send raw bytes instead of an answer."""

    def script(exchange: Exchange) -> None:
        if applied:
            exchange.pass_on()
        for part in parts:
            exchange.send(part)
        if close:
            exchange.end()

    return script


def resetting(*parts: bytes, applied: bool = False) -> Script:
    """Break the connection, after some bytes if there are any."""

    def script(exchange: Exchange) -> None:
        if applied:
            exchange.pass_on()
        for part in parts:
            exchange.send(part)
            exchange.wait(_POLL_SECONDS)  # a reset would overtake what is still on its way
        exchange.reset()

    return script


def hanging(seconds: float, *, applied: bool = False) -> Script:
    """Say nothing for a time, then close."""

    def script(exchange: Exchange) -> None:
        if applied:
            exchange.pass_on()
        exchange.wait(seconds)
        exchange.end()

    return script


def dripping(data: bytes, every_s: float, *, applied: bool = False) -> Script:
    """Send an answer byte by byte."""

    def script(exchange: Exchange) -> None:
        if applied:
            exchange.pass_on()
        for at in range(len(data)):
            exchange.send(data[at : at + 1])
            exchange.wait(every_s)

    return script


def first(count: int, script: Script, then: Script = passing) -> Script:
    """Do one thing with the first requests and another with the rest; counts over all threads."""
    lock = threading.Lock()
    seen = 0

    def scripted(exchange: Exchange) -> None:
        nonlocal seen
        with lock:
            seen += 1
            early = seen <= count
        (script if early else then)(exchange)

    return scripted


# --- the server ----------------------------------------------------------------------------


class Relay:
    """A loopback server in front of a stand-in.

    Attributes:
        script: What is done with each request; may be changed at any time.
        seen: The requests so far, in order of arrival.
    """

    def __init__(self, upstream: str) -> None:
        """Listen on a free port and pass on to ``upstream``."""
        self.upstream = upstream
        self.script: Script = passing
        self.seen: list[Exchange] = []
        self.closing = threading.Event()
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), name="relay", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash."""
        return f"http://{HOST}:{self._server.server_address[1]}"

    def close(self) -> None:
        """Wake what hangs, close every connection, and end all threads."""
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.close_connections()
        self._server.server_close()


@contextmanager
def relaying(upstream: str) -> Iterator[Relay]:
    """Run a relay for the length of a block."""
    relay = Relay(upstream)
    try:
        yield relay
    finally:
        relay.close()


class _Server(socketserver.ThreadingTCPServer):
    """One thread for each connection; ``server_close`` waits for them."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 64

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        super().__init__((HOST, 0), _Connection)

    def remember(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)

    def forget(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)

    def close_connections(self) -> None:
        with self._lock:
            still_open = list(self._open)
        for connection in still_open:
            with suppress(OSError):  # the client, or a script, may have ended it by now
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the base's
        """Say nothing about a client that went away; show every other error."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Connection(socketserver.StreamRequestHandler):
    """One client's connection."""

    disable_nagle_algorithm = True

    def handle(self) -> None:
        server = cast("_Server", self.server)
        relay = server.relay
        server.remember(self.connection)
        try:
            while (exchange := self._next(relay)) is not None:
                relay.seen.append(exchange)
                relay.script(exchange)
                if self.connection.fileno() < 0:
                    return
        finally:
            server.forget(self.connection)

    def _next(self, relay: Relay) -> Exchange | None:
        """Read one request, or return None at the end of the connection."""
        line = self.rfile.readline()
        if not line.strip():
            return None
        method, target, _ = line.decode("latin-1").split(" ", 2)
        headers = dict(http.client.parse_headers(self.rfile).items())
        lengths = [value for name, value in headers.items() if name.lower() == "content-length"]
        body = self.rfile.read(int(lengths[0])) if lengths else b""
        return Exchange(
            method, target, headers, body, self.connection, relay.upstream, relay.closing
        )

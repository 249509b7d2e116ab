"""Sockets: reads requests, writes answers, and breaks connections when a fault says so."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import socketserver
import struct
import sys
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import parse_qsl

from .control import CONTROL_PREFIX
from .wire import Call, Reply, envelope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .faults import Effects

HOST = "127.0.0.1"
STOP_SECONDS = 5.0
MAX_READ_BYTES = 100_000_000
CHUNK_BYTES = 65_536

_LINGER_ZERO = struct.pack("ii", 1, 0)  # on, zero seconds: closing sends a reset


class Service(Protocol):
    """What answers the requests."""

    def handle(self, call: Call) -> tuple[Reply | None, Effects]:
        """Answer a call of the API and say how the answer travels."""
        ...

    def control(self, call: Call) -> Reply:
        """Answer a call of the control interface."""
        ...

    def next_request_id(self) -> str:
        """Return a fresh id for an answer."""
        ...


class Listener(ThreadingHTTPServer):
    """One thread for each connection; knows its connections, so that it can close them."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, service: Service) -> None:
        """Bind to loopback.

        Raises:
            OSError: The port is taken.
        """
        self.service = service
        self._lock = threading.Lock()
        self._open: dict[threading.Thread, socket.socket] = {}
        super().__init__((HOST, port), Connection)

    def server_bind(self) -> None:
        """Bind without the look-up of the host's name, which can take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the base's
        """Serve a connection in a thread, known from its first moment until it ends."""
        thread = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), daemon=True
        )
        with self._lock:
            self._open[thread] = request
        thread.start()

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the base's
        """Serve one connection to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                del self._open[threading.current_thread()]

    def close_connections(self) -> None:
        """Close what is still open and wait for the threads."""
        with self._lock:
            still_open = dict(self._open)
        for thread, connection in still_open.items():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(STOP_SECONDS)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the base's
        """Say nothing about a client that went away; show every other error."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class Connection(BaseHTTPRequestHandler):
    """One client's connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def service(self) -> Service:
        """What answers."""
        return cast("Listener", self.server).service

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Write nothing: the state keeps the requests."""

    def do_GET(self) -> None:
        """Serve one request of any method."""
        started = time.perf_counter()
        body = self._read_body()
        if body is None:
            return
        path, _, query = self.path.partition("?")
        call = Call(
            method=self.command,
            path=path,
            query=dict(parse_qsl(query, keep_blank_values=True)) if query else {},
            headers=self.headers.items(),
            body=body,
        )
        if path.startswith(CONTROL_PREFIX):
            self._write(self._render(self.service.control(call), started))
        else:
            self._travel(*self.service.handle(call), started)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = do_GET  # noqa: N815 - the base's naming

    def _read_body(self) -> bytes | None:
        """Return the body, or None after refusing a request whose body cannot be read whole."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdecimal():
            self._refuse_body(envelope(411, "BadParams", "Content-Length is needed"))
            return None
        if int(length) > MAX_READ_BYTES:
            self._refuse_body(envelope(413, "BatchTooLarge", "Request body is too large"))
            return None
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
            return None
        return self._unpacked(body)

    def _unpacked(self, body: bytes) -> bytes | None:
        """Return a body without its gzip (that the API takes it is chosen)."""
        if self.headers.get("Content-Encoding", "").lower() != "gzip":
            return body
        unpacking = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        try:
            unpacked = unpacking.decompress(body, MAX_READ_BYTES)
        except zlib.error:
            self._refuse_body(envelope(400, "BadJsonBody", "The body is not gzip"))
            return None
        if unpacking.unconsumed_tail:
            self._refuse_body(envelope(413, "BatchTooLarge", "Request body is too large"))
            return None
        return unpacked

    def _refuse_body(self, reply: Reply) -> None:
        self.close_connection = True
        reply.headers = {"Connection": "close"}
        self._write(self._render(reply, time.perf_counter()))

    def _travel(self, reply: Reply | None, effects: Effects, started: float) -> None:
        """Bring an answer to the client, or let it get lost on the way."""
        if effects.wire == "reset":
            self._reset()
        elif effects.wire == "hang" or reply is None:
            self.close_connection = True
        elif effects.wire == "truncate":
            self.close_connection = True
            self._write(self._half(reply, started))
        else:
            self._write(self._render(reply, started))

    def _reset(self) -> None:
        """Close the connection so that the client gets a TCP reset, not an end of stream."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        # Detached, because the read buffer would keep the socket open beyond its close().
        os.close(self.connection.detach())

    def _write(self, data: bytes) -> None:
        self.wfile.write(data)

    def _render(self, reply: Reply, started: float) -> bytes:
        head = self._head(reply, started)
        if self.command == "HEAD":  # a body would be taken for the next answer
            return head
        return head + (
            b"".join(_chunks(reply.body)) + b"0\r\n\r\n" if reply.chunked else reply.body
        )

    def _half(self, reply: Reply, started: float) -> bytes:
        """Return an answer that stops halfway: shorter than its length, or without an end."""
        half = reply.body[: len(reply.body) // 2]
        return self._head(reply, started) + (b"".join(_chunks(half)) if reply.chunked else half)

    def _head(self, reply: Reply, started: float) -> bytes:
        """Return status line and headers; the names are those recorded from the real API."""
        phrase = http.client.responses.get(reply.status, "")
        length = len(reply.body)
        lines = [
            f"HTTP/1.1 {reply.status} {phrase}",
            f"Content-Type: {reply.content_type}",
            "Transfer-Encoding: chunked" if reply.chunked else f"Content-Length: {length}",
            f"Request-Time: {int(1000 * (time.perf_counter() - started))}",
            f"Iterable-Request-Id: {self.service.next_request_id()}",
            *(f"{name}: {value}" for name, value in reply.headers.items()),
        ]
        return "\r\n".join([*lines, "\r\n"]).encode("latin-1")


def _chunks(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), CHUNK_BYTES):
        chunk = body[start : start + CHUNK_BYTES]
        yield b"%x\r\n%b\r\n" % (len(chunk), chunk)

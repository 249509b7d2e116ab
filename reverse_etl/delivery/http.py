"""The real transport: one connection pool, a few threads, strict limits on every answer.

This is the only file that opens sockets to a destination. It never follows a redirect (the key
would travel along), never uses a proxy or any other setting of the environment, always verifies
TLS, and keeps every secret out of what it hands on, since servers echo what they are sent.
"""

from __future__ import annotations

import html
import ipaddress
import json
import logging
import re
import socket
import ssl
import tempfile
import threading
import time
import zlib
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import certifi
import httpcore

from reverse_etl.connector import NoAnswer, Response

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from reverse_etl.connector import Answer, Request

_REDACTED = "[redacted]"
_GRACE_S = 1.0
_JOIN_S = 2.0
_PIECE = 65_536
_KEEP_ALIVE_S = 5.0

# Iterable took more than 5 minutes to name the members of a list of 200,000 (an integrator's
# report), so a spooled answer has time, and may pause for some time-outs of a usual request.
SPOOL_SECONDS = 900.0
SPOOL_PAUSES = 6
SPOOLED_BYTES = 4_000_000_000
_SUCCESS = 200
# Some servers want to be told that there is none (RFC 9110, 8.6).
_WITH_BODY = ("POST", "PUT", "PATCH")
_PATH = re.compile(r"/[!-~]*", re.ASCII)
_OURS = {
    "accept": "application/json",
    "accept-encoding": "gzip",
    "content-type": "application/json",
}
# How Python begins the text of an error of the system; the rest of it is for a person.
_ERRNO = re.compile(r"\[Errno -?\d+\] ")
_HEADER_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?")

# What the names of httpcore's errors mean to a person.
_BREAKS = {
    "ReadError": "it was reset",
    "WriteError": "it was reset while the request was being sent",
    "RemoteProtocolError": "the server closed it, or what came is no HTTP",
}

# At DEBUG httpcore logs the headers of an answer, in which a server may repeat the key.
logging.getLogger("httpcore").setLevel(logging.INFO)


class _UnreadableError(Exception):
    """The answer came but cannot be used; the text says why and holds nothing from it."""


class _Job(NamedTuple):
    """A request on its way.

    Attributes:
        ticket: The caller's name for it.
        request: What to send.
        pause_s: Seconds after which silence of the server ends it.
        seconds: Seconds after which it ends whatever the server does.
        deadline: The monotonic time of that.
    """

    ticket: int
    request: Request
    pause_s: float
    seconds: float
    deadline: float


def _job(ticket: int, request: Request, timeout_s: float) -> _Job:
    seconds = pause_s = timeout_s
    if request.spool:
        pause_s = timeout_s * SPOOL_PAUSES
        seconds = max(SPOOL_SECONDS, pause_s)
    return _Job(ticket, request, pause_s, seconds, time.monotonic() + seconds)


class HttpTransport:
    """A :class:`reverse_etl.delivery.transport.Transport` over HTTP/1.1."""

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str],
        max_in_flight: int,
        secrets: Sequence[str],
        max_response_bytes: int = 10_000_000,
    ) -> None:
        """Get ready; nothing is contacted yet.

        Args:
            base_url: ``https://host``, or plain ``http`` for a loopback host; a path is kept.
            headers: Sent with every request, the key among them.
            max_in_flight: Requests at a time, and so threads and connections.
            secrets: Replaced by ``[redacted]`` wherever an answer repeats them.
            max_response_bytes: Largest body, before and after decompression; one that goes to a
                file may have 4 GB.

        Raises:
            ValueError: A URL that would give the key away, or a header HTTP cannot carry.
        """
        self._host = _checked_host(base_url)
        self._is_local = _is_loopback(urlsplit(base_url).hostname or "")
        self._requests = _Requests(base_url, _checked(headers))
        self._redact = _Redactor(secrets)
        self._max_bytes = max_response_bytes
        self._spool = _Spool(self._redact)
        self._max_threads = max_in_flight
        self._backend = _DeadlineBackend()
        self._pool = httpcore.ConnectionPool(
            ssl_context=_context(base_url),
            max_connections=max_in_flight,
            max_keepalive_connections=max_in_flight,
            keepalive_expiry=_KEEP_ALIVE_S,
            network_backend=self._backend,
        )
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._answers: SimpleQueue[tuple[int, Answer | Exception]] = SimpleQueue()
        self._open: dict[int, _Job] = {}
        self._threads: list[threading.Thread] = []
        self._closed = False

    def start(self, ticket: int, request: Request, timeout_s: float) -> None:
        """Hand a request to a thread; see :meth:`Transport.start`.

        Raises:
            ValueError: The path does not begin with a slash, so it could change the host, or it
                is not percent-encoded.
            RuntimeError: The transport is closed.
        """
        if self._closed:
            msg = "the transport is closed"
            raise RuntimeError(msg)
        if not _PATH.fullmatch(request.path):
            msg = (
                "the path of a request must begin with a slash and be percent-encoded: "
                f"{request.path!r}"
            )
            raise ValueError(msg)
        job = _job(ticket, request, timeout_s)
        self._open[ticket] = job
        if len(self._threads) < min(len(self._open), self._max_threads):
            self._add_thread()
        self._jobs.put(job)

    def wait(self, timeout_s: float) -> list[tuple[int, Answer]]:
        """Return what arrived; see :meth:`Transport.wait`."""
        arrived = self._get(timeout_s)
        answers = [a for ticket, answer in arrived if (a := self._accept(ticket, answer))]
        return answers + self._overdue()

    def close(self) -> None:
        """Break off what is on the wire, end the threads, close the connections."""
        if self._closed:
            return
        self._closed = True
        self._backend.abort()
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join(_JOIN_S)
        self._pool.close()
        self._spool.close()

    def _add_thread(self) -> None:
        # Daemons: a thread stuck in name resolution must not keep the process alive.
        thread = threading.Thread(target=self._work, name="reverse-etl-http", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _get(self, timeout_s: float) -> list[tuple[int, Answer | Exception]]:
        arrived = []
        with suppress(Empty):
            arrived.append(self._answers.get(timeout_s > 0, timeout_s))
            while True:
                arrived.append(self._answers.get_nowait())
        return arrived

    def _accept(self, ticket: int, answer: Answer | Exception) -> tuple[int, Answer] | None:
        if self._open.pop(ticket, None) is None:
            return None  # given up before
        if isinstance(answer, Exception):
            raise answer
        return ticket, answer

    def _overdue(self) -> list[tuple[int, Answer]]:
        """Give up requests whose thread hangs where no deadline reaches: name resolution.

        Such a thread sends nothing later on: every connection checks the deadline first.
        """
        latest = time.monotonic() - _GRACE_S
        late = [job for job in self._open.values() if job.deadline < latest]
        for job in late:
            del self._open[job.ticket]
        return [(job.ticket, _timed_out(job, sent=True)) for job in late]

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            answer: Answer | Exception
            try:
                answer = self._exchange(job)
            except Exception as error:  # noqa: BLE001 - raised again by wait()
                answer = error
            self._answers.put((job.ticket, answer))

    def _exchange(self, job: _Job) -> Answer:
        """Send one request; whatever the network does becomes an answer."""
        self._backend.set_deadline(job.deadline, job.pause_s)
        try:
            return self._send(job)
        except (httpcore.ConnectTimeout, httpcore.PoolTimeout):
            return _timed_out(job, sent=False)
        except httpcore.TimeoutException:
            return _timed_out(job, sent=True)
        except httpcore.ConnectError as error:
            return NoAnswer(self._not_connected(error), maybe_applied=False)
        except _UnreadableError as error:
            return NoAnswer(str(error))
        # Not the text of these: it may quote headers, ours or the server's.
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            how = _BREAKS.get(_kind(error), _kind(error))
            return NoAnswer(f"the connection broke before the answer was complete: {how}")

    def _not_connected(self, error: httpcore.ConnectError) -> str:
        """Return why there is no connection, and on this machine who may not have been started."""
        detail = _ERRNO.sub("", self._redact.text(" ".join(str(error).split())))
        refused = any(isinstance(cause, ConnectionRefusedError) for cause in error.args)
        hint = " (is `reverse-etl sandbox` running?)" if refused and self._is_local else ""
        return f"cannot connect to {self._host}: {detail}{hint}"

    def _send(self, job: _Job) -> Response:
        incoming = self._pool.handle_request(self._requests.made(job))
        try:
            headers = self._redacted(incoming.headers)
            spools = job.request.spool and _SUCCESS <= incoming.status < _SUCCESS + 100
            body = _body(incoming, headers, SPOOLED_BYTES if spools else self._max_bytes)
            if spools:
                path = self._spool.write(job.ticket, body)
                return Response(incoming.status, b"", headers, path)
            return Response(incoming.status, self._redact.octets(b"".join(body)), headers)
        finally:
            # The connection is used again only if the body was read to its end.
            incoming.close()

    def _redacted(self, raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
        headers: dict[str, str] = {}
        for raw_name, raw_value in raw:
            name = self._redact.octets(raw_name).decode("latin-1").lower()
            value = self._redact.octets(raw_value).decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return headers


def _timed_out(job: _Job, *, sent: bool) -> NoAnswer:
    what = "answer" if sent else "connection"
    within = f"within {job.seconds:g} s"
    if sent and job.pause_s < job.seconds:
        within += f", or a pause of {job.pause_s:g} s in it"
    return NoAnswer(f"no {what} {within}", maybe_applied=sent)


def _kind(error: Exception) -> str:
    return type(error).__name__


# --- before anything is sent ---------------------------------------------------------------


class _Requests:
    """Makes what goes out; an object of its own, so that nothing prints the key by chance."""

    def __init__(self, base_url: str, headers: Mapping[str, str]) -> None:
        self._base = httpcore.URL(base_url.rstrip("/"))
        ours = {**_OURS, "host": _host_header(base_url), "user-agent": f"reverse-etl/{_version()}"}
        # One of the caller's takes the place of ours.
        for name in headers:
            ours.pop(name.lower(), None)
        self._headers = [
            (name.encode("ascii"), value.encode("ascii"))
            for name, value in (*ours.items(), *headers.items())
        ]

    def made(self, job: _Job) -> httpcore.Request:
        """Return the request of a job."""
        request, base, headers = job.request, self._base, self._headers
        target = base.target.rstrip(b"/") + request.path.encode("ascii")
        if request.query:
            target += b"?" + urlencode(request.query).encode("ascii")
        if request.body is not None or request.method in _WITH_BODY:
            size = len(request.body or b"")
            headers = [*headers, (b"content-length", str(size).encode("ascii"))]
        return httpcore.Request(
            request.method,
            httpcore.URL(scheme=base.scheme, host=base.host, port=base.port, target=target),
            headers=headers,
            content=request.body,
            extensions={"timeout": {"pool": job.pause_s}},
        )


def _host_header(base_url: str) -> str:
    """Return the host as a request names it: a port only where it is not the usual one."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    named = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}[parts.scheme]
    return named if parts.port in (None, usual) else f"{named}:{parts.port}"


def _context(base_url: str) -> ssl.SSLContext | None:
    if urlsplit(base_url).scheme == "http":
        return None
    return ssl.create_default_context(cafile=certifi.where())


def _version() -> str:
    try:
        return metadata.version("reverse-etl")
    except metadata.PackageNotFoundError:  # run from a source tree that is not installed
        return "0"


def _checked_host(base_url: str) -> str:
    """Return host and port for messages; refuse a URL that would give the key away."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if parts.username is not None or parts.query or parts.fragment or not host:
        # Not repeated in the message: it may hold a password.
        msg = "base_url must be scheme://host[:port][/path] and nothing else"
        raise ValueError(msg)
    if parts.scheme == "http" and not _is_loopback(host):
        msg = f"base_url: plain http would show the key on the way to {host}; use https"
        raise ValueError(msg)
    if parts.scheme not in ("http", "https"):
        msg = f"base_url: {parts.scheme or 'no scheme'} is not supported; use https"
        raise ValueError(msg)
    if not base_url.isascii():
        msg = f"base_url must be ASCII: write the host {host} as xn--…, and a path percent-encoded"
        raise ValueError(msg)
    return f"{host}:{parts.port}" if parts.port else host


def _is_loopback(host: str) -> bool:
    """Whether the host is this machine: localhost, 127.0.0.0/8 or ::1."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Refuse values that HTTP cannot carry here: the client's own error would print them."""
    for name, value in headers.items():
        if not _HEADER_VALUE.fullmatch(value):
            msg = (
                f"the value of header {name!r} is empty or has a space at its ends, a line break "
                "or a character that HTTP does not allow; check the API key"
            )
            raise ValueError(msg)
    return headers


# --- the body of an answer -----------------------------------------------------------------


def _body(incoming: httpcore.Response, headers: Mapping[str, str], most: int) -> Iterator[bytes]:
    """Read and decompress a body, of so many bytes at most, before and after."""
    encoding = headers.get("content-encoding", "identity").strip().lower()
    pieces = _capped(incoming.iter_stream(), most)
    if encoding in ("", "identity"):
        return pieces
    if encoding in ("gzip", "x-gzip"):
        return _capped(_gunzipped(pieces), most)
    msg = "the answer is compressed in a way that was not asked for"
    raise _UnreadableError(msg)


def _capped(pieces: Iterable[bytes], most: int) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > most:
            msg = f"response larger than {most:,} bytes"
            raise _UnreadableError(msg)
        yield piece


def _gunzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        for packed in pieces:
            rest = packed
            while True:
                if inflate.eof and rest:
                    # A body may be several members, one after the other (RFC 1952, 2.2).
                    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
                # In portions: a small piece may hold a thousand times its size.
                out = inflate.decompress(rest, _PIECE)
                yield out
                rest = inflate.unconsumed_tail or inflate.unused_data
                if not rest and len(out) < _PIECE:
                    break
    except zlib.error as error:
        msg = "the answer is not valid gzip"
        raise _UnreadableError(msg) from error
    if not inflate.eof:
        msg = "the compressed answer broke off"
        raise _UnreadableError(msg)


class _Spool:
    """A folder of this process for the bodies of long answers; it goes with the transport."""

    def __init__(self, redact: _Redactor) -> None:
        self._redact = redact
        self._lock = threading.Lock()
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def write(self, ticket: int, body: Iterable[bytes]) -> Path:
        """Write a body, without secrets, to a file of its own."""
        try:
            path = self._path(ticket)
            file = path.open("wb")
        except OSError as error:
            raise _cannot_write(error) from error
        try:
            with file:
                for piece in self._redact.pieces(body):
                    _write(file, piece)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path

    def close(self) -> None:
        """Delete the files."""
        with self._lock:
            if self._folder is not None:
                self._folder.cleanup()

    def _path(self, ticket: int) -> Path:
        with self._lock:
            if self._folder is None:
                # A thread that was given up may still hold a file open.
                self._folder = tempfile.TemporaryDirectory(
                    prefix="reverse-etl-", ignore_cleanup_errors=True
                )
            return Path(self._folder.name) / f"answer-{ticket}"


def _write(file: BinaryIO, piece: bytes) -> None:
    try:
        file.write(piece)
    except OSError as error:
        raise _cannot_write(error) from error


def _cannot_write(error: OSError) -> _UnreadableError:
    why = error.strerror or _kind(error)
    return _UnreadableError(f"the answer could not be kept in {tempfile.gettempdir()}: {why}")


# --- after an answer came ------------------------------------------------------------------


class _Redactor:
    """Replaces secrets, in the forms in which a server may echo them."""

    def __init__(self, secrets: Sequence[str]) -> None:
        forms = {form for secret in secrets if secret for form in _forms(secret)}
        # The longest first: one secret may be the beginning of another.
        ordered = sorted(forms, key=lambda form: (-len(form), form))
        self._forms = [form.encode() for form in ordered]
        self._longest = max(map(len, self._forms), default=0)
        self._any = re.compile(b"|".join(map(re.escape, self._forms)))

    def octets(self, text: bytes) -> bytes:
        """Return ``text`` without secrets."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, _REDACTED.encode())
        return text

    def pieces(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the text that the pieces make up without secrets, also those cut in two."""
        if not self._forms:
            yield from pieces
            return
        held = b""
        for piece in pieces:
            held += piece
            # What begins from here on may end in the next piece, or there be a longer form.
            begin = max(len(held) - self._longest + 1, 0)
            if not any(form in held for form in self._forms):
                yield held[:begin]
                held = held[begin:]
                continue
            done = 0
            for found in self._any.finditer(held):
                if found.start() >= begin:
                    break
                yield held[done : found.start()] + _REDACTED.encode()
                done = found.end()
            yield held[done : max(done, begin)]
            held = held[max(done, begin) :]
        yield self.octets(held)

    def text(self, text: str) -> str:
        """Return ``text`` without secrets."""
        return self.octets(text.encode()).decode()


def _forms(secret: str) -> Iterator[str]:
    """Yield the secret as it is and as JSON, URLs and HTML would write it."""
    yield secret
    for ensure_ascii in (True, False):
        escaped = json.dumps(secret, ensure_ascii=ensure_ascii)[1:-1]
        yield escaped
        yield escaped.replace("/", "\\/")
    units = secret.encode("utf-16-be").hex()
    for digits in (units, units.upper()):
        yield "".join("\\u" + digits[i : i + 4] for i in range(0, len(digits), 4))
    yield quote(secret, safe="")
    yield quote(secret)
    yield html.escape(secret)


# --- deadlines -----------------------------------------------------------------------------


class _DeadlineBackend(httpcore.NetworkBackend):
    """Opens sockets; each thread's deadline bounds everything that thread does with them.

    The pool's own time-outs hold for single reads and writes, so a server that drips bytes could
    keep a request alive for ever.
    """

    def __init__(self) -> None:
        self._backend = httpcore.SyncBackend()
        self._local = threading.local()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._aborted = False

    def set_deadline(self, deadline: float, pause_s: float) -> None:
        """Bound what this thread does from now on by a monotonic time, and each wait in it."""
        self._local.deadline, self._local.pause_s = deadline, pause_s

    def left(self, late: type[httpcore.TimeoutException]) -> float:
        """Return the seconds that this thread has left, more than 0.

        Raises:
            TimeoutException: Of the type ``late``: none, or the transport was closed.
        """
        deadline: float = self._local.deadline
        pause_s: float = self._local.pause_s
        left = deadline - time.monotonic()
        if left <= 0 or self._aborted:
            raise late
        return min(left, pause_s)

    def abort(self) -> None:
        """Wake every thread that waits for a socket, and let none begin anew."""
        with self._lock:
            self._aborted = True
            sockets = list(self._sockets)
        for each in sockets:
            with suppress(OSError):
                # Not the method of SSLSocket: it changes state that the reading thread uses.
                socket.socket.shutdown(each, socket.SHUT_RDWR)

    def track(self, opened: socket.socket, replaced: socket.socket | None = None) -> None:
        """Remember a socket for :meth:`abort`, perhaps in place of another one."""
        with self._lock:
            self._sockets.add(opened)
            if replaced is not None:
                self._sockets.discard(replaced)

    def forget(self, closed: socket.socket) -> None:
        """Forget a socket that is closed."""
        with self._lock:
            self._sockets.discard(closed)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect within the deadline, name resolution included."""
        del timeout
        left = self.left(httpcore.ConnectTimeout)
        stream = self._backend.connect_tcp(host, port, left, local_address, socket_options)
        return _DeadlineStream(stream, self)


class _DeadlineStream(httpcore.NetworkStream):
    """A connection on which no read or write outlives the deadline of its thread."""

    def __init__(
        self,
        stream: httpcore.NetworkStream,
        backend: _DeadlineBackend,
        replaced: socket.socket | None = None,
    ) -> None:
        self._stream = stream
        self._backend = backend
        self._socket: socket.socket = stream.get_extra_info("socket")
        backend.track(self._socket, replaced)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return what is there, at most ``max_bytes``; empty at the end."""
        del timeout
        return self._stream.read(max_bytes, self._backend.left(httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of ``buffer``."""
        del timeout
        view = memoryview(buffer)
        try:
            while view:
                self._socket.settimeout(self._backend.left(httpcore.WriteTimeout))
                # One send, not sendall: the deadline is looked at after each piece.
                view = view[self._socket.send(view[:_PIECE]) :]
        except TimeoutError as error:
            raise httpcore.WriteTimeout from error
        except OSError as error:
            raise httpcore.WriteError from error

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """Shake hands within the deadline."""
        del timeout
        try:
            left = self._backend.left(httpcore.ConnectTimeout)
            stream = self._stream.start_tls(ssl_context, server_hostname, left)
        except BaseException:
            self.close()
            raise
        return _DeadlineStream(stream, self._backend, self._socket)

    def close(self) -> None:
        """Close the socket."""
        self._backend.forget(self._socket)
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's own signature
        """Return what httpcore wants to know about the socket."""
        return self._stream.get_extra_info(info)

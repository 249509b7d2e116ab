"""The HTTP transport against real sockets on loopback: what servers do, and what must not leak."""

from __future__ import annotations

import gzip
import json
import logging
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from reverse_etl.connector import Answer, NoAnswer, Request, Response
from reverse_etl.delivery import http
from reverse_etl.delivery.http import HttpTransport

KEY = "sk-canary/0123456789abcdef"
OTHER = 'quo"te\\d käse'
GET = Request("GET", "/api/lists", "lists")

Script = Callable[[socket.socket, bytes], None]


class Server:
    """Accepts connections, reads requests, and lets a script answer with raw bytes."""

    def __init__(self, script: Script, context: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.context = context
        self.connections = 0
        self.requests: list[bytes] = []
        self.closing = threading.Event()
        self.threads: list[threading.Thread] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(0.02)
        self.port: int = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._spawn(self._accept)

    def _spawn(self, target: Callable[..., None], *args: socket.socket) -> None:
        thread = threading.Thread(target=target, args=args)
        self.threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.closing.is_set():
            with suppress(TimeoutError):
                connection, _ = self.listener.accept()
                self.connections += 1
                self._spawn(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.settimeout(5)
            if self.context is None:
                self._talk(connection)
            else:
                with self.context.wrap_socket(connection, server_side=True) as secure:
                    self._talk(secure)

    def _talk(self, connection: socket.socket) -> None:
        while (request := read_request(connection)) is not None:
            self.requests.append(request)
            self.script(connection, request)

    def close(self) -> None:
        self.closing.set()
        for thread in self.threads:
            thread.join()
        self.listener.close()


def read_request(connection: socket.socket) -> bytes | None:
    data = b""
    while b"\r\n\r\n" not in data:
        if not (piece := connection.recv(65536)):
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    while len(body) < length:
        if not (piece := connection.recv(65536)):
            return None
        body += piece
    return head + b"\r\n\r\n" + body


def raw(status: str = "200 OK", body: bytes = b"{}", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def says(*parts: bytes, close: bool = False) -> Script:
    def script(connection: socket.socket, request: bytes) -> None:
        del request
        for part in parts:
            connection.sendall(part)
        if close:
            connection.shutdown(socket.SHUT_RDWR)

    return script


class Rig:
    """Makes servers and transports and closes all of them."""

    def __init__(self) -> None:
        self.open: list[Server | HttpTransport] = []

    def server(self, script: Script, context: ssl.SSLContext | None = None) -> Server:
        server = Server(script, context)
        self.open.append(server)
        return server

    def transport(
        self,
        url: str,
        in_flight: int = 4,
        secrets: tuple[str, ...] = (KEY, OTHER, ""),
        cap: int = 50_000,
    ) -> HttpTransport:
        transport = HttpTransport(url, {"Api-Key": KEY}, in_flight, secrets, cap)
        self.open.append(transport)
        return transport

    def ask(self, script: Script, request: Request = GET, timeout_s: float = 5) -> Answer:
        return ask(self.transport(self.server(script).url), request, timeout_s)

    def close(self) -> None:
        for each in reversed(self.open):
            each.close()


@pytest.fixture(name="rig")
def _rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.close()


def ask(transport: HttpTransport, request: Request = GET, timeout_s: float = 5) -> Answer:
    transport.start(1, request, timeout_s)
    return one(transport)


def one(transport: HttpTransport) -> Answer:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for _, answer in transport.wait(0.5):
            return answer
    raise AssertionError("no answer at all")


def no_answer(answer: Answer) -> NoAnswer:
    assert isinstance(answer, NoAnswer), answer
    assert KEY not in answer.reason
    return answer


# --- what goes out and comes in ------------------------------------------------------------


def test_a_request_carries_our_headers_and_the_exact_body(rig: Rig) -> None:
    server = rig.server(says(raw("200 OK", b'{"ok":1}', "X-Trace: 7")))
    request = Request("POST", "/api/a%20b", "x", b'{"a": 1}', {"q": "1 2"})

    answer = ask(rig.transport(server.url + "/"), request)

    assert answer == Response(200, b'{"ok":1}', {"content-length": "8", "x-trace": "7"})
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] in ("POST /api/a%20b?q=1+2 HTTP/1.1", "POST /api/a%20b?q=1%202 HTTP/1.1")
    sent = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines[1:]}
    assert sent["api-key"] == KEY
    assert sent["content-type"] == "application/json"
    assert sent["user-agent"].startswith("reverse-etl/")
    assert body == b'{"a": 1}'


def test_every_status_is_handed_on(rig: Rig) -> None:
    for status in (204, 304, 400, 401, 404, 413, 429, 500, 503):
        answer = rig.ask(says(raw(f"{status} X", b"")))
        assert isinstance(answer, Response)
        assert answer.status == status


def test_repeated_headers_are_joined(rig: Rig) -> None:
    answer = rig.ask(says(raw("200 OK", b"", "Warning: a", "Warning: b")))

    assert isinstance(answer, Response)
    assert answer.headers["warning"] == "a, b"


def test_gzip_is_unpacked(rig: Rig) -> None:
    packed = gzip.compress(b'{"n": 1}' * 1000)

    answer = rig.ask(says(raw("200 OK", packed, "Content-Encoding: gzip")))

    assert isinstance(answer, Response)
    assert answer.body == b'{"n": 1}' * 1000


def test_a_chunked_answer_is_put_together(rig: Rig) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    answer = rig.ask(says(head, b"3\r\nabc\r\n", b"2\r\nde\r\n0\r\n\r\n"))

    assert isinstance(answer, Response)
    assert answer.body == b"abcde"


def test_answers_belong_to_their_tickets(rig: Rig) -> None:
    def echo(connection: socket.socket, request: bytes) -> None:
        number = int(request.partition(b"/n/")[2].partition(b" ")[0])
        time.sleep(0.02 * (8 - number))
        connection.sendall(raw("200 OK", str(number).encode()))

    transport = rig.transport(rig.server(echo).url, in_flight=8)
    for number in range(8):
        transport.start(number, Request("GET", f"/n/{number}", "n"), 5)
    got: dict[int, Answer] = {}
    while len(got) < 8:
        got.update(transport.wait(2))

    assert {ticket: a.body for ticket, a in got.items() if isinstance(a, Response)} == {
        number: str(number).encode() for number in range(8)
    }
    assert list(got) != sorted(got)


def test_connections_are_kept_and_never_more_than_allowed(rig: Rig) -> None:
    server = rig.server(says(raw()))
    transport = rig.transport(server.url, in_flight=3)
    done = 0
    for ticket in range(60):
        transport.start(ticket, GET, 5)
        if ticket % 3 == 2:
            while done <= ticket:
                done += len(transport.wait(2))

    assert len(server.requests) == 60
    assert server.connections <= 3


def test_one_request_at_a_time_needs_one_connection(rig: Rig) -> None:
    server = rig.server(says(raw()))
    transport = rig.transport(server.url, in_flight=8)
    for _ in range(20):
        assert isinstance(ask(transport), Response)

    assert server.connections == 1


def test_a_connection_that_the_server_closed_is_replaced(rig: Rig) -> None:
    server = rig.server(says(raw(), close=True))
    transport = rig.transport(server.url)
    answers = []
    for _ in range(3):
        answers.append(ask(transport))
        time.sleep(0.05)

    assert all(isinstance(answer, Response) for answer in answers)
    assert server.connections == 3


def test_waiting_for_nothing_ends_in_time(rig: Rig) -> None:
    transport = rig.transport("http://127.0.0.1:9")
    before = time.monotonic()

    assert transport.wait(0) == []
    assert transport.wait(0.05) == []
    assert 0.04 < time.monotonic() - before < 1


# --- answers that go to a file -------------------------------------------------------------

LONG = Request("GET", "/api/lists/getUsers", "lists/getUsers", spool=True)


def spooled(answer: Answer) -> bytes:
    assert isinstance(answer, Response), answer
    assert answer.spooled is not None
    assert answer.body == b""
    return answer.spooled.read_bytes()


def chunk(piece: bytes) -> bytes:
    return f"{len(piece):x}\r\n".encode() + piece + b"\r\n"


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_a_spooled_answer_goes_to_a_file_of_any_size(rig: Rig) -> None:
    lines = b"".join(b"person%d@x.com\n" % n for n in range(100_000))
    transport = rig.transport(rig.server(says(raw("200 OK", lines))).url, cap=1_000)

    assert spooled(ask(transport, LONG)) == lines


def test_the_files_are_private_and_go_with_the_transport(rig: Rig) -> None:
    transport = rig.transport(rig.server(says(raw("200 OK", b"ada@x.com\n"))).url)
    answers = [ask(transport, LONG), ask(transport, LONG)]
    paths = [answer.spooled for answer in answers if isinstance(answer, Response)]

    assert all(path and path.parent.stat().st_mode & 0o077 == 0 for path in paths)
    transport.close()
    assert not any(path and path.parent.exists() for path in paths)


def test_a_compressed_answer_is_unpacked_into_the_file(rig: Rig) -> None:
    lines = b"ada@x.com\n" * 300_000
    packed = gzip.compress(lines)
    transport = rig.transport(
        rig.server(says(raw("200 OK", packed, "Content-Encoding: gzip"))).url, cap=1_000
    )

    assert spooled(ask(transport, LONG)) == lines


def test_only_a_success_is_spooled(rig: Rig) -> None:
    answer = rig.ask(says(raw("503 Busy", b"Request timeout. Try again later.")), LONG)

    assert answer == Response(
        503, b"Request timeout. Try again later.", {"content-length": "33"}, None
    )


@pytest.mark.parametrize("cut", range(1, len(KEY), 3))
def test_a_secret_across_two_pieces_of_a_file_is_redacted(rig: Rig, cut: int) -> None:
    key = KEY.encode()
    pieces = [b"ada@x.com\n" + key[:cut], key[cut:] + b"\nbob@x.com\n" + key]

    answer = rig.ask(says(CHUNKED, *map(chunk, pieces), chunk(b"")), LONG)

    assert spooled(answer) == b"ada@x.com\n[redacted]\nbob@x.com\n[redacted]"


def test_a_longer_secret_that_begins_like_another_is_redacted_across_pieces(rig: Rig) -> None:
    server = rig.server(says(CHUNKED, chunk(b"x abc"), chunk(b"def abc x abcde"), chunk(b"")))
    transport = rig.transport(server.url, secrets=("abc", "abcdef"))

    assert spooled(ask(transport, LONG)) == b"x [redacted] [redacted] x [redacted]de"


@pytest.mark.parametrize(
    "parts",
    [
        [b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", b"ada@x.com\n"],
        [CHUNKED, chunk(b"ada@x.com\n")],
        [raw("200 OK", gzip.compress(b"ada@x.com\n")[:-4], "Content-Encoding: gzip")],
    ],
)
def test_a_spooled_answer_that_breaks_off_is_none(rig: Rig, parts: list[bytes]) -> None:
    transport = rig.transport(rig.server(says(*parts, close=True)).url)

    assert "broke" in no_answer(ask(transport, LONG)).reason
    assert files_of(transport) == []


def files_of(transport: HttpTransport) -> list[Path]:
    folder = transport._spool._folder
    assert folder is not None
    return list(Path(folder.name).iterdir())


@pytest.mark.parametrize("packed", [False, True])
def test_a_spooled_answer_has_a_largest_size_too(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, *, packed: bool
) -> None:
    monkeypatch.setattr(http, "SPOOLED_BYTES", 50_000)
    body = b"x" * 50_001
    answer = raw("200 OK", gzip.compress(body), "Content-Encoding: gzip")
    transport = rig.transport(rig.server(says(answer if packed else raw("200 OK", body))).url)

    assert "larger than 50,000 bytes" in no_answer(ask(transport, LONG)).reason
    assert files_of(transport) == []


def test_a_spooled_answer_may_take_longer_than_a_usual_one(rig: Rig) -> None:
    def drip(connection: socket.socket, request: bytes) -> None:
        del request
        connection.sendall(CHUNKED)
        for _ in range(6):
            time.sleep(0.1)
            connection.sendall(chunk(b"ada@x.com\n"))
        connection.sendall(chunk(b""))

    server = rig.server(drip)

    assert spooled(ask(rig.transport(server.url), LONG, 0.2)) == b"ada@x.com\n" * 6
    assert "within 0.2 s" in no_answer(ask(rig.transport(server.url), GET, 0.2)).reason


def test_a_spooled_answer_may_not_pause_for_ever(rig: Rig) -> None:
    def pause(connection: socket.socket, request: bytes) -> None:
        del request
        connection.sendall(CHUNKED + chunk(b"ada@x.com\n"))
        time.sleep(1)

    before = time.monotonic()
    answer = no_answer(rig.ask(pause, LONG, 0.05))

    assert answer.reason == "no answer within 900 s, or a pause of 0.3 s in it"
    assert 0.25 < time.monotonic() - before < 0.9


def test_a_spooled_answer_may_not_drip_for_ever(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "SPOOL_SECONDS", 0.5)

    def drip(connection: socket.socket, request: bytes) -> None:
        del request
        connection.sendall(CHUNKED)
        for _ in range(12):
            time.sleep(0.1)
            connection.sendall(chunk(b"ada@x.com\n"))

    before = time.monotonic()
    answer = no_answer(rig.ask(drip, LONG, 0.05))

    assert answer.reason.startswith("no answer within 0.5 s")
    assert time.monotonic() - before < 1


# --- secrets -------------------------------------------------------------------------------


def test_a_redirect_is_handed_on_and_the_key_goes_nowhere(rig: Rig) -> None:
    thief = rig.server(says(raw()))

    answer = rig.ask(says(raw("302 Found", b"", f"Location: {thief.url}/steal")))

    assert isinstance(answer, Response)
    assert (answer.status, answer.headers["location"]) == (302, f"{thief.url}/steal")
    assert thief.connections == 0


@pytest.mark.parametrize(
    "echo",
    [
        KEY,
        json.dumps({"key": KEY, "other": OTHER}),
        json.dumps({"other": OTHER}, ensure_ascii=False),
        json.dumps(KEY).replace("/", "\\/"),
        "".join(f"\\u{ord(letter):04x}" for letter in KEY),
        "".join(f"\\u{ord(letter):04X}" for letter in KEY),
        "https://x/?key=sk-canary%2F0123456789abcdef",
    ],
)
def test_a_secret_in_the_body_is_redacted(rig: Rig, echo: str) -> None:
    answer = rig.ask(says(raw("400 Bad", f"you sent {echo}!".encode())))

    assert isinstance(answer, Response)
    assert b"[redacted]" in answer.body
    for leak in (b"0123456789abcdef", b"d k", b"\\u006", b"\\u0030"):
        assert leak not in answer.body


def test_a_secret_in_a_compressed_body_is_redacted(rig: Rig) -> None:
    packed = gzip.compress(f"key {KEY}".encode())

    answer = rig.ask(says(raw("400 Bad", packed, "Content-Encoding: gzip")))

    assert isinstance(answer, Response)
    assert answer.body == b"key [redacted]"


def test_a_secret_in_a_header_is_redacted(rig: Rig) -> None:
    answer = rig.ask(says(raw("400 Bad", b"", f"X-Echo: <{KEY}>", f"X-{OTHER[-1]}: {KEY}")))

    assert isinstance(answer, Response)
    assert answer.headers["x-echo"] == "<[redacted]>"
    assert KEY not in repr(answer)


def test_a_secret_that_begins_like_another_leaves_no_rest(rig: Rig) -> None:
    server = rig.server(says(raw("200 OK", b"abcdef abc")))
    transport = rig.transport(server.url, secrets=("abc", "abcdef"))

    answer = ask(transport)

    assert isinstance(answer, Response)
    assert answer.body == b"[redacted] [redacted]"


@pytest.mark.parametrize("bad", [f"{KEY}\n", f" {KEY}", f"{KEY}\x00", f"{KEY}é", ""])
def test_a_key_that_http_cannot_carry_is_refused_without_showing_it(bad: str) -> None:
    with pytest.raises(ValueError, match="'Api-Key'") as caught:
        HttpTransport("https://api.example.com", {"Api-Key": bad}, 1, [])

    assert "canary" not in str(caught.value)


def test_neither_repr_nor_debug_log_shows_the_key(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        transport = rig.transport(rig.server(says(raw())).url)
        ask(transport)

    assert KEY not in caplog.text
    assert KEY not in repr(transport)
    assert KEY not in repr(vars(transport))


def test_a_broken_answer_that_echoes_the_key_gives_a_clean_reason(rig: Rig) -> None:
    answer = rig.ask(says(f"HTTP/1.1 {KEY}\r\n\r\n".encode(), close=True))

    assert "connection broke" in no_answer(answer).reason


# --- where the key may go at all -----------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://api.iterable.com",
        "http://10.0.0.1:8080",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "http://0.0.0.0",
        "http://[::2]",
        "ftp://127.0.0.1",
        "api.iterable.com",
        "https://",
        "https://user:secret@api.iterable.com",
        "https://api.iterable.com?x=1",
        "https://api.iterable.com#x",
        "https://\u0430pi.iterable.com",
        "https://api.iterable.com/\u0430",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="base_url") as caught:
        HttpTransport(url, {"Api-Key": KEY}, 1, [KEY])

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1",
        "http://127.9.9.9",
        "http://localhost:1",
        "http://[::1]:1",
        "https://x.y",
    ],
)
def test_https_and_loopback_are_accepted(rig: Rig, url: str) -> None:
    rig.transport(url)


def test_a_path_cannot_change_the_host(rig: Rig) -> None:
    with pytest.raises(ValueError, match="slash"):
        ask(rig.transport("http://127.0.0.1:1"), Request("GET", "@evil.example/", "x"))


def test_proxies_of_the_environment_are_ignored(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = rig.server(says(raw("200 OK", b"proxy")))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, proxy.url)

    answer = rig.ask(says(raw("200 OK", b"direct")))

    assert isinstance(answer, Response)
    assert answer.body == b"direct"
    assert proxy.connections == 0


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_a_certificate_that_nobody_signed_is_refused(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    command += " -addext subjectAltName=DNS:localhost"
    subprocess.run(
        [*command.split(), "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = rig.server(says(raw()), context)
    # Not even the environment can make it trusted.
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    answer = no_answer(ask(rig.transport(f"https://localhost:{server.port}")))

    assert "certificate verify failed" in answer.reason
    assert not answer.maybe_applied
    assert server.requests == []


# --- bad networks --------------------------------------------------------------------------


def test_a_refused_connection_surely_applied_nothing(rig: Rig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    answer = no_answer(ask(rig.transport(f"http://127.0.0.1:{port}")))

    there = f"127.0.0.1:{port}"
    hint = "(is `reverse-etl sandbox` running?)"
    assert answer.reason == f"cannot connect to {there}: Connection refused {hint}"
    assert not answer.maybe_applied


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"\x00\xff garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 4\r\n\r\nnope",
    ],
)
def test_an_answer_that_cannot_be_read_is_no_answer(rig: Rig, answer: bytes) -> None:
    assert no_answer(rig.ask(says(answer, close=True))).maybe_applied


@pytest.mark.parametrize("cut", [0, 10, None], ids=["together", "in the second", "apart"])
def test_gzip_of_several_members_is_unpacked_whole(rig: Rig, cut: int | None) -> None:
    """Else a list of members would end early, and nobody would know."""
    first, second = gzip.compress(b"ada@x.com\n" * 1_000), gzip.compress(b"bob@x.com\n")
    end = len(first) + (cut or 0)
    pieces = [first + second] if cut == 0 else [(first + second)[:end], (first + second)[end:]]
    head = CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")

    answer = rig.ask(says(head, *map(chunk, pieces), chunk(b"")))

    assert isinstance(answer, Response)
    assert answer.body == b"ada@x.com\n" * 1_000 + b"bob@x.com\n"


def test_gzip_that_breaks_off_is_no_answer(rig: Rig) -> None:
    packed = gzip.compress(bytes(range(256)) * 20)[:-12]

    answer = rig.ask(says(raw("200 OK", packed, "Content-Encoding: gzip")))

    assert no_answer(answer).reason == "the compressed answer broke off"


def test_a_reset_may_have_been_applied(rig: Rig) -> None:
    def reset(connection: socket.socket, request: bytes) -> None:
        del request
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()

    assert no_answer(rig.ask(reset)).maybe_applied


def test_an_early_refusal_of_a_large_body_is_heard(rig: Rig) -> None:
    server = socket.create_server(("127.0.0.1", 0))

    def refuse() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(100)
            connection.sendall(raw("413 Too Large", b"big", "Connection: close"))
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1_000_000):
                pass

    thread = threading.Thread(target=refuse)
    thread.start()
    with server:
        body = Request("POST", "/x", "x", b"x" * 4_000_000)
        transport = rig.transport(f"http://127.0.0.1:{server.getsockname()[1]}")
        answer = ask(transport, body)
        transport.close()
        thread.join()

    assert isinstance(answer, Response)
    assert answer.status == 413


def drip(connection: socket.socket, text: bytes) -> None:
    with suppress(OSError):
        for byte in text:
            connection.sendall(bytes([byte]))
            time.sleep(0.02)


@pytest.mark.parametrize("where", ["head", "body"])
def test_a_slow_drip_does_not_outlive_the_deadline(rig: Rig, where: str) -> None:
    text = raw("200 OK", b"x" * 400)
    start = 0 if where == "head" else text.index(b"xxx")

    def script(connection: socket.socket, request: bytes) -> None:
        del request
        connection.sendall(text[:start])
        drip(connection, text[start:][:100])

    before = time.monotonic()
    answer = no_answer(rig.ask(script, timeout_s=0.3))

    assert 0.25 < time.monotonic() - before < 1
    assert answer == NoAnswer("no answer within 0.3 s", maybe_applied=True)


def test_a_server_that_does_not_read_cannot_stretch_the_deadline(rig: Rig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        transport = rig.transport(f"http://127.0.0.1:{listener.getsockname()[1]}")
        before = time.monotonic()

        answer = ask(transport, Request("POST", "/x", "x", b"x" * 30_000_000), timeout_s=0.3)

    assert no_answer(answer).maybe_applied
    assert time.monotonic() - before < 1


def test_name_resolution_that_hangs_is_given_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    server = rig.server(says(raw()))

    def hang(*args: object, **more: object) -> list[object]:
        del args, more
        release.wait(5)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))]

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    transport = rig.transport(f"http://localhost:{server.port}")
    before = time.monotonic()

    answer = ask(transport, timeout_s=0.1)
    elapsed = time.monotonic() - before
    release.set()

    assert no_answer(answer).reason == "no answer within 0.1 s"
    assert elapsed < 3
    assert transport.wait(0.3) == []  # the late end is not reported a second time
    assert server.requests == []  # and nothing was sent after the deadline


@pytest.mark.parametrize("kind", ["length", "chunked", "endless"])
def test_a_huge_answer_is_cut_off(rig: Rig, kind: str) -> None:
    heads = {"length": "Content-Length: 900000", "chunked": "Transfer-Encoding: chunked"}
    head = f"HTTP/1.1 200 OK\r\n{heads.get(kind, 'Connection: close')}\r\n\r\n".encode()
    piece = b"1000\r\n" + b"x" * 4096 + b"\r\n" if kind == "chunked" else b"x" * 4096

    answer = rig.ask(says(head, *[piece] * 200))

    assert no_answer(answer).reason == "response larger than 50,000 bytes"


def test_a_small_answer_that_unpacks_to_a_huge_one_is_cut_off(rig: Rig) -> None:
    bomb = gzip.compress(b"\0" * 40_000_000)
    assert len(bomb) < 50_000

    answer = rig.ask(says(raw("200 OK", bomb, "Content-Encoding: gzip")))

    assert no_answer(answer).reason == "response larger than 50,000 bytes"


@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_of_exactly_the_limit_is_read(rig: Rig, packed: bool) -> None:  # noqa: FBT001
    body = bytes(50_000)
    data = gzip.compress(body) if packed else body

    answer = rig.ask(
        says(raw("200 OK", data, f"Content-Encoding: {'gzip' if packed else 'identity'}"))
    )

    assert isinstance(answer, Response)
    assert answer.body == body


# --- the end -------------------------------------------------------------------------------


def test_close_ends_threads_and_what_is_on_the_wire(rig: Rig) -> None:
    release = threading.Event()

    def silent(connection: socket.socket, request: bytes) -> None:
        del connection, request
        release.wait(5)

    transport = rig.transport(rig.server(silent).url)
    for ticket in range(3):
        transport.start(ticket, GET, 60)
    time.sleep(0.1)
    before = time.monotonic()
    transport.close()
    transport.close()
    elapsed = time.monotonic() - before
    release.set()

    assert elapsed < 1
    assert not [t for t in threading.enumerate() if t.name == "reverse-etl-http"]
    with pytest.raises(RuntimeError, match="closed"):
        transport.start(9, GET, 1)


@pytest.mark.parametrize("ending", ["transport.close()", "pass", "transport.start(2, GET, 30)"])
def test_the_interpreter_ends_without_noise(rig: Rig, ending: str) -> None:
    calls = []

    def first_only(connection: socket.socket, request: bytes) -> None:
        calls.append(request)
        if len(calls) == 1:
            connection.sendall(raw())

    program = f"""
from reverse_etl.connector import Request
from reverse_etl.delivery.http import HttpTransport
GET = Request("GET", "/", "x")
transport = HttpTransport("{rig.server(first_only).url}", {{}}, 2, [])
transport.start(1, GET, 5)
assert transport.wait(5)[0][1].status == 200
{ending}
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        check=False,
        capture_output=True,
        timeout=20,
        text=True,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

"""The proxy: each fault strikes at its byte, and the seed says which."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from reverse_etl.testing.proxy import HOST, Fault, Proxy, always, passing, proxying, seeded

PATIENCE_SECONDS = 10.0
LETTERS = b"abcdefghijklmnopqrstuvwxyz"


class _Echo(socketserver.ThreadingTCPServer):
    """Answers each line with its capitals; remembers what reached it, and how it ended."""

    daemon_threads = True

    def __init__(self) -> None:
        self.heard = bytearray()
        self.ends: list[str] = []
        super().__init__((HOST, 0), _Line)


class _Line(socketserver.StreamRequestHandler):
    server: _Echo

    def handle(self) -> None:
        try:
            while data := self.request.recv(4096):
                self.server.heard += data
                self.request.sendall(data.upper())
        except OSError as error:
            self.server.ends.append(type(error).__name__)
        else:
            self.server.ends.append("in order")


@pytest.fixture
def echo() -> Iterator[_Echo]:
    server = _Echo()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def proxy(echo: _Echo) -> Iterator[Proxy]:
    with proxying(HOST, echo.server_address[1]) as made:
        yield made


@contextmanager
def calling(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection((HOST, proxy.port), PATIENCE_SECONDS) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield client


def heard(client: socket.socket, count: int = 26) -> bytes:
    """Return what arrives, at most so many bytes, up to the end or a break."""
    found = b""
    while len(found) < count:
        try:
            data = client.recv(count - len(found))
        except ConnectionResetError:
            return found + b" RESET"
        if not data:
            return found + b" END"
        found += data
    return found


def greeted(proxy: Proxy) -> bytes:
    """Return what a client hears that says nothing; a reset may overtake its connecting."""
    try:
        with calling(proxy) as client:
            return heard(client)
    except ConnectionResetError:
        return b" RESET"


def eventually(condition: object) -> None:
    """Wait until something holds, within reason."""
    assert callable(condition)
    limit = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.005)


def test_without_a_fault_everything_passes_both_ways(proxy: Proxy, echo: _Echo) -> None:
    with calling(proxy) as client:
        for _ in range(3):
            client.sendall(LETTERS)
            assert heard(client) == LETTERS.upper()
        client.shutdown(socket.SHUT_WR)
        assert heard(client) == b" END"
    assert bytes(echo.heard) == LETTERS * 3
    eventually(lambda: echo.ends == ["in order"])
    assert proxy.struck == []


@pytest.mark.parametrize("after", [0, 1, 13, 25])
def test_a_reset_upwards_lets_just_so_many_bytes_reach_the_server(
    proxy: Proxy, echo: _Echo, after: int
) -> None:
    proxy.plan = always(Fault("reset", "up", after))
    with calling(proxy) as client:
        client.sendall(LETTERS)
        assert heard(client).endswith(b" RESET")
    eventually(lambda: echo.ends)
    assert bytes(echo.heard) == LETTERS[:after]
    assert echo.ends == ["ConnectionResetError"]


@pytest.mark.parametrize("after", [0, 1, 13, 25])
def test_a_reset_downwards_strikes_after_the_server_has_acted(
    proxy: Proxy, echo: _Echo, after: int
) -> None:
    proxy.plan = always(Fault("reset", "down", after))
    with calling(proxy) as client:
        client.sendall(LETTERS)
        assert heard(client) == LETTERS.upper()[:after] + b" RESET"
    assert bytes(echo.heard) == LETTERS


def test_a_place_counts_from_the_first_byte_of_the_last_marker(proxy: Proxy, echo: _Echo) -> None:
    proxy.plan = always(Fault("reset", "up", 2, since=(b"one", b"ONE", b"three")))
    with calling(proxy) as client:
        client.sendall(b"three one two ")
        assert heard(client, 14) == b"THREE ONE TWO "
        client.sendall(b"th")  # a marker may come in pieces
        assert heard(client, 2) == b"TH"
        client.sendall(b"ree")
        assert heard(client) == b" RESET"
    assert bytes(echo.heard) == b"three one two th"


def test_a_marker_of_one_way_may_give_the_place_in_the_other(proxy: Proxy, echo: _Echo) -> None:
    proxy.plan = always(Fault("reset", "down", 3, since=(b"two",)))
    with calling(proxy) as client:
        client.sendall(b"one")
        assert heard(client, 3) == b"ONE"
        client.sendall(b"two two")
        assert heard(client) == b"TWO RESET"
    assert bytes(echo.heard) == b"onetwo two"


def test_a_close_is_an_orderly_end_for_both(proxy: Proxy, echo: _Echo) -> None:
    proxy.plan = always(Fault("close", "down", 4))
    with calling(proxy) as client:
        client.sendall(LETTERS)
        assert heard(client) == b"ABCD END"
    eventually(lambda: echo.ends == ["in order"])


@pytest.mark.parametrize(("action", "end"), [("close", b" END"), ("reset", b" RESET")])
def test_a_fault_without_a_place_strikes_before_anything_is_said(
    proxy: Proxy, action: str, end: bytes
) -> None:
    proxy.plan = always(Fault("close" if action == "close" else "reset", after=None))
    assert greeted(proxy) == end


def test_after_a_half_close_the_other_way_goes_on(proxy: Proxy, echo: _Echo) -> None:
    proxy.plan = always(Fault("half_close", "up", 5))
    with calling(proxy) as client:
        client.sendall(LETTERS)
        assert heard(client) == b"ABCDE END"
    assert bytes(echo.heard) == b"abcde"
    assert echo.ends == ["in order"]


def test_silence_swallows_the_rest_and_keeps_the_connection(proxy: Proxy, echo: _Echo) -> None:
    proxy.plan = always(Fault("silence", "down", 5))
    with calling(proxy) as client:
        client.sendall(LETTERS)
        assert heard(client, 5) == b"ABCDE"
        client.sendall(LETTERS)
        eventually(lambda: bytes(echo.heard) == LETTERS * 2)
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.recv(1)


def test_a_server_that_vanished_acknowledges_nothing(proxy: Proxy) -> None:
    """So the client's own TCP gives up, which silence alone would never make it do."""
    proxy.plan = always(Fault("vanish", "down", 5))
    with calling(proxy) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 300)
        client.sendall(LETTERS)
        assert heard(client, 5) == b"ABCDE"
        eventually(lambda: proxy.struck)
        time.sleep(0.2)
        client.sendall(LETTERS)
        with pytest.raises(TimeoutError, match="timed out"):
            client.recv(1)


@pytest.mark.parametrize("fault", [Fault("drip", piece=3), Fault("delay", "up", seconds=0.01)])
def test_what_comes_slowly_comes_whole(proxy: Proxy, echo: _Echo, fault: Fault) -> None:
    proxy.plan = always(fault)
    with calling(proxy) as client:
        client.sendall(LETTERS)
        assert heard(client) == LETTERS.upper()
    assert bytes(echo.heard) == LETTERS
    assert proxy.struck == [fault]


def test_a_fault_strikes_no_more_connections_than_it_says(proxy: Proxy) -> None:
    proxy.plan = always(Fault("reset", times=2))
    ends = []
    for _ in range(4):
        with calling(proxy) as client:
            client.sendall(LETTERS)
            ends.append(heard(client))
    assert ends == [b" RESET", b" RESET", LETTERS.upper(), LETTERS.upper()]


def test_nobody_listens_until_it_listens_again(proxy: Proxy) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError), calling(proxy):
        pass
    proxy.listen()
    with calling(proxy) as client:
        client.sendall(LETTERS)
        assert heard(client) == LETTERS.upper()


def test_what_is_held_back_is_lost_when_connections_are_dropped(proxy: Proxy, echo: _Echo) -> None:
    proxy.plan = always(Fault("delay", "up", 1, seconds=3600))
    with calling(proxy) as client:
        client.sendall(LETTERS)
        assert heard(client, 1) == b"A"
        proxy.drop()
        assert heard(client) == b" RESET"
    assert bytes(echo.heard) == b"a"


def test_a_server_that_is_away_ends_the_connection(proxy: Proxy) -> None:
    with socket.socket() as free:
        free.bind((HOST, 0))
        proxy.upstream = (HOST, free.getsockname()[1])
        assert greeted(proxy) == b" RESET"


def test_a_seed_names_the_faults_of_all_connections() -> None:
    one, same, other = seeded(7, 0.5), seeded(7, 0.5), seeded(8, 0.5)
    drawn = [one(n) for n in range(200)]
    assert drawn == [same(n) for n in reversed(range(200))][::-1]
    assert drawn != [other(n) for n in range(200)]
    assert 60 < sum(fault is None for fault in drawn) < 140
    actions = {fault.action for fault in drawn if fault}
    assert len(actions) == 7
    assert passing(0) is None

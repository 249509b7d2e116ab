"""A TCP proxy that spoils connections: what a network, a firewall or a dying server may do.

It knows nothing of what passes; a fault names its place by bytes. So one proxy stands before an
API and before a database alike. (The relay knows HTTP and is told what to answer instead.)

A fault strikes at a *place*: so many bytes in one way, counted from the beginning of the
connection or of the last of some markers seen, in any way, one after the other::

    Fault("reset", "up")                             before the first byte reaches the server
    Fault("reset", "down", since=(b"COMMIT",))       the server did it, nobody hears of it
    Fault("silence", "down", 5, (b"POST /x",))       five bytes of the answer, then nothing more

A plan gives each connection its fault, by its number; :func:`seeded` draws them, so that a seed
says all that went wrong, as far as connections come in the same order again.
"""

from __future__ import annotations

import asyncio
import ctypes
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Sequence

HOST = "127.0.0.1"

Action = Literal["reset", "close", "half_close", "silence", "vanish", "drip", "delay"]
Way = Literal["up", "down"]

AT_ACCEPT = 0.05
"""Share of the drawn faults that strike as soon as the connection is there."""

_AT_ONCE = frozenset({"reset", "close", "vanish"})
_PIECE = 65_536
# Longer than Linux waits to acknowledge what it has received.
_ACKNOWLEDGED_S = 0.05
_LINGER_ZERO = struct.pack("ii", 1, 0)  # on, zero seconds: closing sends a reset
# Linux's number of the option; Python's module has no name for it.
_SO_ATTACH_FILTER = 26
_RETURN_NOTHING = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
_DROP_ALL = struct.pack("HL", 1, ctypes.addressof(_RETURN_NOTHING))


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to a connection, and where.

    ``reset``, ``close``: both sides see a TCP reset, or an orderly end. ``half_close``: the way
    ends in order, the other one goes on. ``silence``: the rest of the way is swallowed, the
    connection stays open. ``vanish``: the other machine is gone: neither side gets an
    acknowledgement any more, so its own TCP must find out. ``drip``: the rest of the way comes in
    small pieces with pauses. ``delay``: every piece of the rest comes late.

    Attributes:
        action: What.
        way: ``up`` to the server or ``down`` to the client.
        after: Bytes that still pass in that way; None lets ``reset``, ``close`` and ``vanish``
            strike as soon as the connection is there.
        since: Markers to be seen first; bytes count from the first byte of the last one.
        seconds: Of ``delay``, and between the pieces of ``drip``.
        piece: Bytes in a piece of ``drip``.
        times: How many connections it strikes at most; None means all.
    """

    action: Action
    way: Way = "down"
    after: int | None = 0
    since: tuple[bytes, ...] = ()
    seconds: float = 0.0
    piece: int = 1
    times: int | None = 1


Plan = Callable[[int], Fault | None]
"""Gives the fault of a connection, by its number from 0; None lets it be."""


def passing(_connection: int) -> Fault | None:
    """Spoil nothing."""
    return None


def drawn(rng: random.Random, actions: Sequence[Action], reach: int, longest_s: float) -> Fault:
    """Draw a fault, anywhere in the first ``reach`` bytes of a way; see :func:`seeded`."""
    action = rng.choice(actions)
    return Fault(
        action,
        rng.choice(get_args(Way)),
        None if rng.random() < AT_ACCEPT else int(reach ** rng.random()) - 1,
        seconds=rng.uniform(0, longest_s) if action == "delay" else 0.0,
        piece=rng.randint(1, 100),
    )


def seeded(
    seed: int | str,
    share: float,
    actions: Sequence[Action] = get_args(Action),
    reach: int = 20_000,
    longest_s: float = 0.05,
) -> Plan:
    """Return a plan that spoils a share of the connections; the seed says which, and how.

    Args:
        seed: Which plan.
        share: Between 0 and 1.
        actions: Which ones.
        reach: Bytes of a way in which faults strike; early places are as likely as late ones.
        longest_s: Longest delay of a piece.
    """

    def plan(connection: int) -> Fault | None:
        rng = random.Random(f"{seed}:{connection}")
        spoilt = rng.random() < share
        return drawn(rng, actions, reach, longest_s) if spoilt else None

    return plan


# --- one connection ------------------------------------------------------------------------


class _Place:
    """Finds the place of a fault in the bytes of a connection."""

    def __init__(self, fault: Fault) -> None:
        self._way = fault.way
        self._left = fault.after or 0
        self._markers = list(fault.since)
        self._tails: dict[Way, bytes] = {"up": b"", "down": b""}

    def split(self, way: Way, data: bytes) -> tuple[bytes, bytes]:
        """Return what passes before the place, and what is beyond it."""
        begin = self._after_markers(way, data)
        if begin is None or way != self._way:
            return data, b""
        cut = max(begin + self._left, 0)
        self._left = max(cut - len(data), 0)
        return data[:cut], data[cut:]

    def _after_markers(self, way: Way, data: bytes) -> int | None:
        """Return where bytes begin to count, perhaps before the data; None: a marker is missing."""
        begin, end = 0, 0
        while self._markers:
            marker, tail = self._markers[0], self._tails[way]
            seen = tail + data[end:]
            at = seen.find(marker)
            if at < 0:
                self._tails[way] = seen[1 - len(marker) :] if len(marker) > 1 else b""
                return None
            begin = end + at - len(tail)
            end = begin + len(marker)
            self._markers.pop(0)
            self._tails = {"up": b"", "down": b""}
        return begin


class _Struck(Exception):  # noqa: N818 - an event, no error
    """The connection ends here."""


class _Connection:
    """One client's connection, and ours to the server."""

    def __init__(self, proxy: Proxy, fault: Fault | None) -> None:
        self._proxy = proxy
        self._fault = fault
        self._place = _Place(fault) if fault else None
        self._slow: Way | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes in both ways until the connection ends, or is ended."""
        self._writers = [writer]
        try:
            await self._carry(reader, writer)
        except* _Struck:
            pass
        except* (OSError, asyncio.CancelledError):
            self._reset()  # one side has gone, perhaps by a reset: the other one hears it
        finally:
            for each in self._writers:
                each.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, onward = await asyncio.open_connection(*self._proxy.upstream)
        self._writers.append(onward)
        fault = self._fault
        if fault and fault.after is None and fault.action in _AT_ONCE and self._strikes():
            await self._strike(fault, onward)
        async with asyncio.TaskGroup() as both:
            both.create_task(self._pump("up", reader, onward))
            both.create_task(self._pump("down", there, writer))

    def _strikes(self) -> bool:
        """Whether the fault, whose place is reached, may strike once more; that is for once."""
        self._place = None
        return self._fault is not None and self._proxy.count(self._fault)

    async def _pump(
        self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(_PIECE):
            before, rest = self._place.split(way, data) if self._place else (data, b"")
            await self._pass(way, before, writer)
            if rest and self._fault and self._strikes():
                await self._strike(self._fault, writer)
                if self._slow is None:
                    while await reader.read(_PIECE):
                        pass
                    return
            await self._pass(way, rest, writer)
        writer.write_eof()

    async def _pass(self, way: Way, data: bytes, writer: asyncio.StreamWriter) -> None:
        fault = self._fault
        piece = len(data)
        if fault and way == self._slow:
            piece = fault.piece if fault.action == "drip" else piece
        for at in range(0, len(data), max(piece, 1)):
            if fault and way == self._slow:
                await asyncio.sleep(fault.seconds)
            writer.write(data[at : at + piece])
            await writer.drain()

    async def _strike(self, fault: Fault, writer: asyncio.StreamWriter) -> None:
        match fault.action:
            case "reset":
                self._reset()
                raise _Struck
            case "close":
                raise _Struck
            case "vanish":
                await asyncio.sleep(_ACKNOWLEDGED_S)  # else our TCP would send again and again
                for each in self._writers:
                    _socket(each).setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, _DROP_ALL)
                await asyncio.Event().wait()  # until the proxy ends it
            case "half_close":
                writer.write_eof()
            case "drip" | "delay":
                self._slow = fault.way
            case "silence":
                pass

    def _reset(self) -> None:
        for each in self._writers:
            with suppress(OSError):
                _socket(each).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
            each.transport.abort()


def _socket(writer: asyncio.StreamWriter) -> Any:  # noqa: ANN401 - asyncio's own kind of socket
    return writer.get_extra_info("socket")


# --- the proxy -----------------------------------------------------------------------------


class Proxy:
    """A loopback server in front of another one.

    Attributes:
        upstream: Host and port of the server.
        plan: Decides about new connections; may be changed at any time.
        port: Where it listens, on 127.0.0.1.
        connections: How many there were so far.
        struck: The faults that struck, in order.
    """

    def __init__(self, host: str, port: int) -> None:
        """Listen on a free port, and pass on to ``host`` and ``port``."""
        self.upstream = (host, port)
        self.plan: Plan = passing
        self.port = 0
        self.connections = 0
        self.struck: list[Fault] = []
        self._times: Counter[Fault] = Counter()
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self.listen()

    def listen(self) -> None:
        """Take connections; after :meth:`refuse` again, on the same port."""
        self._do(self._listen())

    def refuse(self) -> None:
        """Let new connections be refused: nobody listens any more."""
        self._do(self._refuse())

    def drop(self) -> None:
        """End every connection at once; what is held back is lost."""
        self._do(self._drop())

    def close(self) -> None:
        """Stop listening, end every connection and the thread."""
        self.refuse()
        self.drop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def count(self, fault: Fault) -> bool:
        """Count a fault that is about to strike; return whether it may."""
        if fault.times is not None and self._times[fault] >= fault.times:
            return False
        self._times[fault] += 1
        self.struck.append(fault)
        return True

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _listen(self) -> None:
        if self._server is not None:
            return
        self._server = await asyncio.start_server(self._accept, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault = self.plan(self.connections)
        self.connections += 1
        task = self._loop.create_task(_Connection(self, fault).carry(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _drop(self) -> None:
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # what was closed is let go in the loop's next round


@contextmanager
def proxying(host: str, port: int) -> Iterator[Proxy]:
    """Run a proxy for the length of a block."""
    proxy = Proxy(host, port)
    try:
        yield proxy
    finally:
        proxy.close()


def always(fault: Fault) -> Plan:
    """Return the plan that offers every connection the same fault."""
    return partial(_offer, fault)


def _offer(fault: Fault, _connection: int) -> Fault:
    return fault

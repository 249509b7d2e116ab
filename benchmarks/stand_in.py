"""A stand-in for the API that is never the bottleneck: it counts, and answers as if all was well.

It understands just enough of HTTP/1.1 for our client and the yardsticks, looks at a body as bytes,
and keeps no people. (The sandbox is the one to test with: it checks everything, and keeps all.)
On its control address ``/_counts`` it says what it has seen, and ``POST /_settings`` changes how it
behaves, so one process serves all cases of a benchmark::

    python -m benchmarks.stand_in

It prints its URL and runs until its standard input closes.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field, replace
from typing import Any

_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_PERSON = b'"email"'
# What the benchmarks send: person1234@example.org. The digits decide who is refused.
_LIST_ID = 1


@dataclass(frozen=True)
class Settings:
    """How the API behaves.

    Attributes:
        latency_s: Seconds from the end of a request to its answer.
        allowed_per_s: Requests answered in any second (a sliding window); more get 429. 0: all.
        refuse_suffix: Addresses whose digits end so are named as invalid in the answer.
        reject_suffix: A request with such an address is refused as a whole, naming nobody.
        names_rejected: Whether such a refusal says where in the request the address is.
    """

    latency_s: float = 0.0
    allowed_per_s: float = 0.0
    refuse_suffix: str = ""
    reject_suffix: str = ""
    names_rejected: bool = False


@dataclass
class Counts:
    """What was seen since the settings were last given.

    Attributes:
        requests: Of all kinds, but for the control ones.
        people: In requests that were answered with success.
        too_many: Requests answered with 429.
        refused: Requests answered with 400.
        first_s: Monotonic time of the first delivery.
        last_s: Monotonic time of the last one.
    """

    requests: int = 0
    people: int = 0
    too_many: int = 0
    refused: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    recent: deque[float] = field(default_factory=deque, repr=False)


class Api:
    """What all connections share."""

    def __init__(self) -> None:
        """Behave well, and have seen nothing."""
        self.settings = Settings()
        self.counts = Counts()

    def answer(self, target: str, body: bytes) -> tuple[int, bytes]:
        """Return the status and the body of the answer to a request."""
        if target.startswith("/_"):
            return 200, self._control(target, body)
        self.counts.requests += 1
        if target.startswith("/api/lists") and not body:
            return 200, b'{"lists":[{"id":%d,"name":"bench","listType":"Standard"}]}' % _LIST_ID
        if target == "/api/lists":
            return 200, b'{"listId":%d}' % _LIST_ID
        now = time.monotonic()
        self.counts.first_s = self.counts.first_s or now
        self.counts.last_s = now
        if self._too_many(now):
            self.counts.too_many += 1
            return 429, b'{"msg":"Too many requests","code":"RateLimitExceeded","params":null}'
        return self._deliver(body)

    def _control(self, target: str, body: bytes) -> bytes:
        if target == "/_settings":
            self.settings, self.counts = replace(Settings(), **json.loads(body)), Counts()
        seen: dict[str, Any] = asdict(self.counts)
        del seen["recent"]
        return json.dumps(seen).encode()

    def _too_many(self, now: float) -> bool:
        allowed, recent = self.settings.allowed_per_s, self.counts.recent
        if not allowed:
            return False
        while recent and recent[0] <= now - 1:
            recent.popleft()
        if len(recent) >= allowed:
            return True
        recent.append(now)
        return False

    def _deliver(self, body: bytes) -> tuple[int, bytes]:
        settings = self.settings
        if settings.reject_suffix and (where := _named(body, settings.reject_suffix)):
            self.counts.refused += 1
            index = body.count(_PERSON, 0, where[0][0])
            text = f"subscribers[{index}]" if settings.names_rejected else "Invalid request"
            params = {f"obj.subscribers[{index}]": "invalid"} if settings.names_rejected else None
            return 400, json.dumps({"msg": text, "code": "BadParams", "params": params}).encode()
        people = body.count(_PERSON)
        invalid = [name for _, name in _named(body, settings.refuse_suffix)]
        self.counts.people += people
        done = {
            "successCount": people - len(invalid),
            "failCount": len(invalid),
            "invalidEmails": invalid,
            "failedUpdates": {"invalidEmails": invalid},
        }
        return 200, json.dumps(done).encode()


def _named(body: bytes, suffix: str) -> list[tuple[int, str]]:
    """Return where addresses begin whose digits end so, and the addresses."""
    if not suffix:
        return []
    pattern = rb'"email": ?"(person[0-9]*%b@[^"]*)"' % suffix.encode()
    return [(found.start(), found[1].decode()) for found in re.finditer(pattern, body)]


class Connection(asyncio.Protocol):
    """One connection of a client, with any number of requests one after the other."""

    def __init__(self, api: Api) -> None:
        """Wait for the first request."""
        self._api = api
        self._data = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what a TCP server gives
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self._data += data
        while (end := self._data.find(_HEAD_END)) >= 0:
            head = bytes(self._data[:end])
            found = _LENGTH.search(head)
            size = int(found[1]) if found else 0
            begin = end + len(_HEAD_END)
            if len(self._data) < begin + size:
                return
            body = bytes(self._data[begin : begin + size])
            del self._data[: begin + size]
            self._answer(head.split(b" ", 2)[1].decode(), body)

    def _answer(self, target: str, body: bytes) -> None:
        status, text = self._api.answer(target, body)
        reason = {200: b"OK", 400: b"Bad Request", 429: b"Too Many Requests"}[status]
        sent = (
            b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
        ) % (status, reason, len(text), text)
        latency = 0.0 if target.startswith("/_") else self._api.settings.latency_s
        if latency:
            asyncio.get_running_loop().call_later(latency, self._write, sent)
        else:
            self._write(sent)

    def _write(self, sent: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(sent)


async def _serve() -> None:
    api, loop = Api(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(api), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sys.stdout.write(f"http://127.0.0.1:{port}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(_serve())

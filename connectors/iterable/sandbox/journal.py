"""The requests that were made, and how many at a time."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

REQUESTS_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request as the sandbox saw it.

    Attributes:
        method: HTTP method.
        path: Path without the query.
        status: HTTP status that was answered, None when there was no answer.
        subscribers: People named in the body.
        received_at: Monotonic seconds at which the whole request was there.
        faults: Actions of the faults that struck it.
    """

    method: str
    path: str
    status: int | None
    subscribers: int
    received_at: float
    faults: tuple[str, ...] = ()


class Journal:
    """The requests that were made, and how many at a time. Has its own lock."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._requests: deque[RequestRecord] = deque(maxlen=REQUESTS_KEPT)
        self._in_flight = 0
        self.max_in_flight = 0

    def begin(self) -> None:
        """Note that a request is there."""
        with self._lock:
            self._in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self._in_flight)

    def end(self, record: RequestRecord) -> None:
        """Note that the request is done with.

        Comes before its answer leaves, so that a client with the answer finds the request here.
        """
        with self._lock:
            self._in_flight -= 1
            self._requests.append(record)

    def requests(self) -> list[RequestRecord]:
        """Return the last requests, oldest first."""
        with self._lock:
            return list(self._requests)

    def clear(self) -> None:
        """Forget the requests; those in flight still count."""
        with self._lock:
            self._requests.clear()
            self.max_in_flight = self._in_flight

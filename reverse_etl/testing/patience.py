"""Real time without the waiting: back-off and pacing pass at once, the network takes its time."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reverse_etl.connector import Answer, Request
    from reverse_etl.delivery.transport import Transport

# Real seconds given to an answer before the loop looks again; none of them is slept through.
_ANSWER_SECONDS = 5.0


class PatientClock:
    """The machine's clock, plus the time that nobody waited for.

    Attributes:
        skipped: Seconds that passed without being waited for.
    """

    def __init__(self) -> None:
        """Start with the present."""
        self.skipped = 0.0
        self._lock = Lock()

    def now(self) -> datetime:
        """Return the wall clock, aware, in UTC."""
        return datetime.now(UTC) + timedelta(seconds=self.skipped)

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic() + self.skipped

    def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        with self._lock:
            self.skipped += max(seconds, 0.0)


class PatientTransport:
    """A transport that waits for answers only; without any on the way, time is skipped.

    Attributes:
        sent: The requests that were put on the wire, in order.
    """

    def __init__(self, inner: Transport, clock: PatientClock) -> None:
        """Wrap the transport that does the work."""
        self.sent: list[Request] = []
        self._inner = inner
        self._clock = clock
        self._flying: set[int] = set()

    def start(self, ticket: int, request: Request, timeout_s: float) -> None:
        """Put a request on the wire; see :meth:`Transport.start`."""
        self.sent.append(request)
        self._flying.add(ticket)
        self._inner.start(ticket, request, timeout_s)

    def wait(self, timeout_s: float) -> list[tuple[int, Answer]]:
        """Return what arrived; see :meth:`Transport.wait`."""
        if not self._flying:
            self._clock.sleep(timeout_s)
            return []
        answers = self._inner.wait(min(timeout_s, _ANSWER_SECONDS))
        self._flying.difference_update(ticket for ticket, _ in answers)
        return answers

    def close(self) -> None:
        """Close the transport that does the work."""
        self._inner.close()

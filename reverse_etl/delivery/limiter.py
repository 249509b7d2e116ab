"""Even pacing of requests, shared by everybody who uses one account.

Evenly spaced starts (the generic cell rate algorithm with a burst of one) keep a server that
counts in fixed windows, in sliding windows or with a token bucket equally content; a burst
would not. A little less than the allowed rate absorbs the jitter of the network.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reverse_etl.clock import Clock

SHARE = 0.995
"""Part of the allowed rate that is used."""

_TOLERANCE_S = (1 - SHARE) / 2
"""Lateness from which on the slots after a late start move too: half of what a second leaves free,
the other half is the network's. A server that counts a sliding second would refuse the request that
comes a second after a later one."""


class Pacer:
    """Hands out start times at one endpoint of one account. Thread-safe."""

    def __init__(self, rate: float, clock: Clock) -> None:
        """Pace to ``rate`` requests per second; 0 means no limit, holds still count."""
        self._clock = clock
        self._lock = Lock()
        self._rate = rate
        self._interval = _interval(rate)
        self._next = clock.monotonic()
        self._held_until = self._next

    @property
    def rate(self) -> float:
        """The allowed requests per second; 0 when there is no limit."""
        return self._rate

    def reserve(self) -> float:
        """Take the next free slot; return the monotonic time at which its owner may start."""
        with self._lock:
            return self._take()

    def claim(self, slot: float) -> float:
        """Turn a reserved slot, once it is reached, into the right to start.

        Returns:
            ``slot`` when the owner may start now. A later time when a hold came in between:
            that is the owner's new slot.
        """
        with self._lock:
            now = self._clock.monotonic()
            if self._held_until > now:
                return self._take()
            # A start that comes late would otherwise be followed too closely by the next ones,
            # also when another sync has the next slot already.
            late = now - slot
            if late > _TOLERANCE_S:
                latest = max(self._next, now + 2 * self._interval)
                self._next = min(self._next + late, latest)
            return slot

    def hold(self, until: float) -> None:
        """Let nobody start before the monotonic time ``until`` (the server said: slower)."""
        with self._lock:
            self._held_until = max(self._held_until, until)
            self._next = max(self._next, until)

    def slow_down(self, rate: float) -> None:
        """Keep to ``rate`` if it is lower than the present one; 0 is higher than any."""
        with self._lock:
            if rate > 0 and (self._rate == 0 or rate < self._rate):
                self._rate = rate
                self._interval = _interval(rate)

    def _take(self) -> float:
        slot = max(self._clock.monotonic(), self._next)
        self._next = slot + self._interval
        return slot


class Pacers:
    """The pacers of this process: syncs with one account share one per endpoint."""

    def __init__(self, clock: Clock) -> None:
        """Start with none."""
        self._clock = clock
        self._lock = Lock()
        self._pacers: dict[tuple[str, str], Pacer] = {}

    def get(self, key: str, endpoint: str, rate: float) -> Pacer:
        """Return the pacer of an endpoint; the lowest rate ever asked for counts.

        Args:
            key: What makes it one account, e.g. a hash of host and API key.
            endpoint: Name of the rate-limit bucket.
            rate: Allowed requests per second; 0 means no limit.
        """
        with self._lock:
            pacer = self._pacers.get((key, endpoint))
            if pacer is None:
                pacer = self._pacers[key, endpoint] = Pacer(rate, self._clock)
        pacer.slow_down(rate)
        return pacer


def _interval(rate: float) -> float:
    return 1 / (rate * SHARE) if rate > 0 else 0.0

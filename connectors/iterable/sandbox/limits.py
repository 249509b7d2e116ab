"""Rate limits: how many requests an endpoint takes within a time."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Rate(NamedTuple):
    """So many requests within so many seconds."""

    requests: float
    seconds: float


# The limits of the API description, per project.
DOCUMENTED: Mapping[str, Rate] = {
    "GET /api/lists": Rate(100, 1),
    "GET /api/lists/getUsers": Rate(5, 60),
    "GET /api/lists/previewUsers": Rate(5, 60),
    "GET /api/lists/{listId}/size": Rate(5, 60),
}


class RateLimits:
    """A sliding window for each endpoint; a refused request does not count. Thread-safe."""

    def __init__(
        self,
        per_second: float,
        documented: Mapping[str, Rate],
        monotonic: Callable[[], float],
    ) -> None:
        """Set the limits.

        Args:
            per_second: For every endpoint without a documented limit; 0 means none.
            documented: Endpoint to its own limit.
            monotonic: Seconds that never go back.
        """
        # A rate below one a second is one request in a longer window.
        self._default = Rate(max(per_second, 1), max(1, 1 / per_second)) if per_second else None
        self._documented = documented
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._taken: defaultdict[str, deque[float]] = defaultdict(deque)

    def exceeded(self, endpoint: str) -> Rate | None:
        """Count a request; return the limit that it breaks, or None."""
        rate = self._documented.get(endpoint, self._default)
        if rate is None:
            return None
        now = self._monotonic()
        with self._lock:
            taken = self._taken[endpoint]
            while taken and taken[0] <= now - rate.seconds:
                taken.popleft()
            if len(taken) + 1 > rate.requests:
                return rate
            taken.append(now)
        return None

    def clear(self) -> None:
        """Forget what was taken."""
        with self._lock:
            self._taken.clear()

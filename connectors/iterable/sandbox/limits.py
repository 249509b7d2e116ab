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


_READ = (Rate(100, 1),)
_LONG_READ = (Rate(5, 60),)
_PRIVACY = (Rate(3, 1),)
_FORGET = (Rate(3, 1), Rate(1000, 86_400))

# The limits of the API description, per project.
DOCUMENTED: Mapping[str, tuple[Rate, ...]] = {
    "GET /api/lists": _READ,
    "GET /api/lists/getUsers": _LONG_READ,
    "GET /api/lists/previewUsers": _LONG_READ,
    "GET /api/lists/{listId}/size": _LONG_READ,
    "POST /api/users/bulkUpdate": (Rate(5, 1),),
    "POST /api/users/update": (Rate(500, 1),),
    "POST /api/users/merge": (Rate(50, 1),),
    "POST /api/users/forget": _FORGET,
    "POST /api/users/unforget": _FORGET,
    "GET /api/users/forgotten": _PRIVACY,
    "GET /api/users/forgottenUserIds": _PRIVACY,
    "GET /api/users/getFields": (Rate(3, 1),),
    "GET /api/users/getByEmail": _READ,
    "GET /api/users/{email}": _READ,
    "GET /api/users/byUserId": _READ,
    "GET /api/users/byUserId/{userId}": _READ,
    "DELETE /api/users/{email}": _READ,
    "DELETE /api/users/byUserId/{userId}": _READ,
}


class RateLimits:
    """A sliding window for each endpoint; a refused request does not count. Thread-safe."""

    def __init__(
        self,
        per_second: float,
        documented: Mapping[str, tuple[Rate, ...]],
        monotonic: Callable[[], float],
    ) -> None:
        """Set the limits.

        Args:
            per_second: For every endpoint without a documented limit; 0 means none.
            documented: Endpoint to its own limits.
            monotonic: Seconds that never go back.
        """
        # A rate below one a second is one request in a longer window.
        rate = Rate(max(per_second, 1), max(1, 1 / per_second)) if per_second else None
        self._default = (rate,) if rate else ()
        self._documented = documented
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._taken: defaultdict[tuple[str, Rate], deque[float]] = defaultdict(deque)

    def exceeded(self, endpoint: str) -> Rate | None:
        """Count a request; return the limit that it breaks, or None."""
        rates = self._documented.get(endpoint, self._default)
        if not rates:
            return None
        now = self._monotonic()
        with self._lock:
            for rate in rates:
                taken = self._taken[endpoint, rate]
                while taken and taken[0] <= now - rate.seconds:
                    taken.popleft()
                if len(taken) + 1 > rate.requests:
                    return rate
            for rate in rates:
                self._taken[endpoint, rate].append(now)
        return None

    def clear(self) -> None:
        """Forget what was taken."""
        with self._lock:
            self._taken.clear()

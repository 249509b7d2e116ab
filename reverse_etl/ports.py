"""What a run gets from outside: time, chance, the wire, and when to stop."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from reverse_etl.clock import Clock, SystemClock
from reverse_etl.connector import AccountSettings
from reverse_etl.delivery.ahead import one_ahead
from reverse_etl.delivery.http import HttpTransport
from reverse_etl.delivery.limiter import Pacers
from reverse_etl.delivery.transport import Transport

Progress = Callable[[str, int, int | None], None]


def http_transport(account: AccountSettings) -> Transport:
    """Return the real transport of an account."""
    return HttpTransport(
        account.url(),
        account.headers(),
        account.max_in_flight,
        [account.api_key.get_secret_value()] if account.api_key else [],
    )


@dataclass
class Ports:
    """The outside of a run; tests and the simulator bring their own.

    Attributes:
        clock: See :mod:`reverse_etl.clock`.
        rng: Jitter of the back-off.
        pacers: Shared by all syncs of the process that use the same key.
        transport: Makes the transport of an account.
        stop: Whether to stop; asked often.
        progress: Told which step of a run goes on (``prepare``, ``read``, ``plan``, ``deliver``,
            ``settle``), how many rows or changes it has done, and of how many, where that is known.
        ahead: Lets pages be made before they are asked for; ``iter`` for one thread and one order.
    """

    clock: Clock = field(default_factory=SystemClock)
    rng: random.Random = field(default_factory=random.Random)
    pacers: Pacers | None = None
    transport: Callable[[AccountSettings], Transport] = http_transport
    stop: Callable[[], bool] = lambda: False
    progress: Progress = lambda _step, _done, _of: None
    ahead: Callable[[Iterator[Any]], Iterator[Any]] = one_ahead

    @property
    def shared_pacers(self) -> Pacers:
        """Return the pacers, made on first use when none were given."""
        if self.pacers is None:
            self.pacers = Pacers(self.clock)
        return self.pacers

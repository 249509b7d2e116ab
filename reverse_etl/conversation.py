"""The way to a destination of the config, within a run and outside of one.

Outside of a run there is no lease and nothing to settle: whoever wants to know something opens
the way, holds conversations (:meth:`Wire.converse`), and closes it::

    with conversations(config, "iterable", connector.limits(account), ports) as wire:
        lists = wire.converse(connector.list_targets(account))
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from reverse_etl.account import pacing_key
from reverse_etl.delivery.retry import RetryPolicy
from reverse_etl.delivery.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reverse_etl.config import Config
    from reverse_etl.connector import AccountSettings, Limits
    from reverse_etl.delivery.transport import Transport
    from reverse_etl.ports import Ports

MOST_PATIENCE_SECONDS = 15.0
"""How long somebody who waits for an answer wants one request to be tried."""


def patience(account: AccountSettings) -> float:
    """Return for how many seconds a request is tried while somebody waits for its answer."""
    return min(account.retry_seconds, MOST_PATIENCE_SECONDS)


def wire_to(  # noqa: PLR0913 - what the way depends on, each by name
    config: Config,
    destination_name: str,
    limits: Limits,
    ports: Ports,
    transport: Transport,
    *,
    retry_seconds: float | None = None,
) -> Wire:
    """Return the way to a destination over a transport of the caller's.

    Args:
        config: A loaded config.
        destination_name: A destination of it.
        limits: How often each endpoint may be called; endpoints outside it are unknown.
        ports: Time, chance, and when to stop.
        transport: Carries the requests; the caller closes it.
        retry_seconds: How long one request is tried; None for what the account says.
    """
    account = config.account(destination_name)
    key = pacing_key(account)
    seconds = account.retry_seconds if retry_seconds is None else retry_seconds
    return Wire(
        transport,
        lambda name: ports.shared_pacers.get(key, name, limits.requests_per_second[name]),
        ports.clock,
        lambda: RetryPolicy(seconds, ports.rng),
        config.request_timeout_seconds(destination_name),
        ports.stop,
    )


@contextmanager
def conversations(
    config: Config,
    destination_name: str,
    limits: Limits,
    ports: Ports,
    *,
    retry_seconds: float | None = None,
) -> Iterator[Wire]:
    """Open the way to a destination, and close it in the end; see :func:`wire_to`.

    Raises:
        ConfigError: There is no such destination, or its key cannot be used.
    """
    transport = ports.transport(config.account(destination_name))
    try:
        yield wire_to(
            config, destination_name, limits, ports, transport, retry_seconds=retry_seconds
        )
    finally:
        transport.close()

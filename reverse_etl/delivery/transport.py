"""The seam between the sender and the network.

The sender is one deterministic loop; whatever happens at the same time happens behind a
``Transport``. The real one is :class:`reverse_etl.delivery.http.HttpTransport`; the simulator
brings its own, with virtual time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from reverse_etl.connector import Answer, Request


class Transport(Protocol):
    """Carries requests; never retries, never raises for what the network does."""

    def start(self, ticket: int, request: Request, timeout_s: float) -> None:
        """Put a request on the wire and return at once.

        Args:
            ticket: The caller's name for this sending; never used twice.
            request: What to send.
            timeout_s: Seconds from now after which the answer is a ``NoAnswer``, and after
                which no further byte of the request may leave. An answer that is spooled may
                take longer (see :mod:`reverse_etl.delivery.http`).
        """
        ...

    def wait(self, timeout_s: float) -> list[tuple[int, Answer]]:
        """Return the answers that arrived, each once, with their tickets.

        Args:
            timeout_s: Seconds to block at most when there is none yet; then ``[]`` is returned.
        """
        ...

    def close(self) -> None:
        """Give up what is on the wire and release threads and sockets. Idempotent."""
        ...

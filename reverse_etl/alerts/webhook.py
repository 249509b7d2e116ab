"""How a message gets to a webhook: a few tries, bounded in time, and never a word of its URL."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reverse_etl.connector import NoAnswer, Request, Response
from reverse_etl.delivery.http import HttpTransport

if TYPE_CHECKING:
    from reverse_etl.alerts.message import Message
    from reverse_etl.config import NotificationConfig
    from reverse_etl.connector import Answer
    from reverse_etl.delivery.transport import Transport
    from reverse_etl.ports import Ports

TIMEOUT_S = 10.0
"""How long a webhook may take for one answer."""

PAUSES_S = (0.5, 2.0)
"""How long to wait at most before a second and a third try; there is no fourth."""

# How often a transport is asked for the answer, and how many times: it is bound to give one after
# the time-out, so this only bounds one that does not.
_LOOK_S = 1.0
_LOOKS = 15

_TOO_MANY_REQUESTS = 429
_REDIRECTS = range(300, 400)
_SERVER_ERRORS = 500


def webhook_transport(base_url: str) -> Transport:
    """Return a transport to the host of a webhook."""
    return HttpTransport(base_url, {}, 1, [])


class Webhook:
    """One entry of ``notifications:``.

    Attributes:
        settings: The entry.
        number: Its place in the list, from 0.
        key: What stands for its URL, which is a secret, in our tables.
        place: Scheme and host, which are none.
    """

    def __init__(
        self,
        number: int,
        settings: NotificationConfig,
        ports: Ports,
        transport: Callable[[str], Transport],
    ) -> None:
        """Bind the parts; nothing is contacted yet."""
        self.number, self.settings = number, settings
        self._ports, self._transport = ports, transport
        url = settings.url.get_secret_value()
        parts = urlsplit(url)
        self.key = sha256(url.encode()).hexdigest()[:16]
        self.place = f"{parts.scheme}://{parts.hostname}"

    def __str__(self) -> str:
        """Return how messages of ours name it."""
        return f"notifications[{self.number}] ({self.place})"

    def send(self, message: Message) -> str | None:
        """Send a message, three times at most; bounded in time.

        Returns:
            What went wrong, without the URL; None when the message was accepted.
        """
        parts = urlsplit(self.settings.url.get_secret_value())
        # As it is written: many a URL has its secret in the query, signed letter by letter.
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        request = Request("POST", path, "webhook", message.body(self.settings.format))
        try:
            with closing(self._transport(f"{parts.scheme}://{parts.netloc}")) as wire:
                return self._try(wire, request)
        # No name that can be resolved, no certificates, no thread; what they say may quote the URL.
        except (OSError, RuntimeError, ValueError) as error:
            return f"nothing could be sent ({type(error).__name__})"

    def _try(self, wire: Transport, request: Request) -> str | None:
        ports = self._ports
        for ticket, pause in enumerate((*PAUSES_S, None)):
            problem, may_pass = _judged(_answer(wire, ticket, request))
            if problem is None or not may_pass or pause is None or ports.stop():
                break
            ports.clock.sleep(pause * ports.rng.uniform(0.5, 1))
        return problem


def _answer(wire: Transport, ticket: int, request: Request) -> Answer:
    wire.start(ticket, request, TIMEOUT_S)
    for _ in range(_LOOKS):
        for whose, answer in wire.wait(_LOOK_S):
            if whose == ticket:
                return answer
    return NoAnswer(f"no answer within {_LOOKS * _LOOK_S:g} s")


def _judged(answer: Answer) -> tuple[str | None, bool]:
    """Return what is wrong with an answer, or None, and whether that may pass.

    Its body is not read: what a server writes there may repeat the URL.
    """
    if not isinstance(answer, Response):
        return answer.reason, True
    status = answer.status
    if status // 100 == 2:  # noqa: PLR2004 - every status of success
        return None, False
    hint = "; redirects are not followed" if status in _REDIRECTS else ""
    may_pass = status == _TOO_MANY_REQUESTS or status >= _SERVER_ERRORS
    return f"it answered {status}{hint}", may_pass

"""The way to one account: pacing, back-off and tickets, the same for every conversation."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from reverse_etl.connector import TRANSIENT_STATUSES, Fatal, NoAnswer
from reverse_etl.delivery.retry import retry_after
from reverse_etl.errors import DestinationError, Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from reverse_etl.clock import Clock
    from reverse_etl.connector import Answer, Batch, Request, Response
    from reverse_etl.delivery.limiter import Pacer
    from reverse_etl.delivery.retry import RetryPolicy
    from reverse_etl.delivery.transport import Transport

_T = TypeVar("_T")

LOOK_FOR_STOP_S = 0.25
"""Longest time a loop sleeps before it asks again whether it should stop."""

SERVER_ERROR = 500
_TOO_MANY = 429


@dataclass(slots=True, eq=False)
class Call:
    """A request on its way: perhaps waiting, perhaps sent several times.

    Attributes:
        request: What is sent.
        policy: How long to wait before it is sent again.
        batch: The batch that it is part of, or None.
        not_before: Monotonic time before which it is not sent (again).
        sendings: How often it was sent so far.
        first_start: Monotonic time of the first sending.
        flying: Whether its answer is awaited.
    """

    request: Request
    policy: RetryPolicy
    batch: Batch | None = None
    not_before: float = 0.0
    sendings: int = 0
    first_start: float = 0.0
    flying: bool = False


def _by_status(_batch: Batch | None, response: Response) -> bool:
    """Whether an answer is transient, where no object of the connector knows better."""
    return response.status in TRANSIENT_STATUSES


def _nothing() -> None:
    """Do nothing: outside a run there is no lease to check."""


@dataclass(eq=False)
class Wire:
    """Sends requests to one account, again if need be; one thread uses it.

    Attributes:
        transport: Carries the requests; the caller closes it.
        pacers: Endpoint name to its pacer, which others who use the account may share.
        clock: Source of time.
        policy: Makes the retry policy of one conversation.
        timeout_s: Seconds after which a request counts as unanswered.
        stop: Whether to stop; asked often, must be cheap.
        before_request: Called right before each start; renews or checks the lease.
        is_transient: See :meth:`reverse_etl.connector.DestinationObject.is_transient`.
        requests_sent: Requests started so far, all of them.
        answers: How many were answered so far, by HTTP status; 0 for those without any answer.
    """

    transport: Transport
    pacers: Callable[[str], Pacer]
    clock: Clock
    policy: Callable[[], RetryPolicy]
    timeout_s: float
    stop: Callable[[], bool]
    before_request: Callable[[], None] = _nothing
    is_transient: Callable[[Batch | None, Response], bool] = _by_status
    requests_sent: int = field(default=0, init=False)
    answers: Counter[int] = field(default_factory=Counter, init=False)
    _flying: dict[int, Call] = field(default_factory=dict, init=False, repr=False)
    # One slot per endpoint is reserved ahead, whichever call will use it: so a hold or a stop
    # wastes one slot at most.
    _slots: dict[str, float] = field(default_factory=dict, init=False, repr=False)

    # --- a whole conversation --------------------------------------------------------------

    def converse(self, generator: Generator[Request, Answer, _T], *, unheard: bool = False) -> _T:
        """Hold one conversation from beginning to end; return its result.

        Args:
            generator: The conversation.
            unheard: Whether it is also told when the destination gives no usable answer;
                otherwise that ends it.

        Raises:
            DestinationError: The conversation was fatal (with its code), or the destination
                gave no usable answer (``destination_unavailable``).
            Interrupted: Told to stop.
            LeaseLost: From ``before_request``.
        """
        policy = self.policy()
        try:
            request = next(generator)
            while True:
                request = generator.send(self._ask(Call(request, policy), unheard=unheard))
        except StopIteration as end:
            result: _T = end.value
            return result
        except Fatal as fatal:
            raise DestinationError(str(fatal), code=fatal.code) from fatal

    def _ask(self, call: Call, *, unheard: bool) -> Answer:
        """Send one request, again if need be, and return its answer."""
        while True:
            answer = self._send_and_wait(call)
            if not self.transient(call, answer):
                return answer
            if not self.repeat(call, answer):
                if unheard:
                    return answer
                raise DestinationError(no_usable_answer(answer), code="destination_unavailable")

    def _send_and_wait(self, call: Call) -> Answer:
        while True:
            # A spooled answer is long and changes nothing, so a stop does not wait for it.
            if self.stop() and not (call.flying and not call.request.spool):
                msg = "stopped before the destination had answered; nothing was delivered"
                raise Interrupted(msg)
            if not call.flying:
                self.start_if_due(call)
            wake = self.clock.monotonic() + LOOK_FOR_STOP_S
            pause = (wake if call.flying else min(wake, self.wake(call))) - self.clock.monotonic()
            for answered, answer in self.collect(max(pause, 0.0)):
                if answered is call:
                    return answer

    # --- one request -----------------------------------------------------------------------

    def start_if_due(self, call: Call) -> bool:
        """Start the call if back-off and pacing allow it now."""
        if call.not_before > self.clock.monotonic():
            return False
        endpoint = call.request.endpoint
        pacer = self.pacers(endpoint)
        slot = self._slots.pop(endpoint, None)
        if slot is None:
            slot = pacer.reserve()
        if slot <= self.clock.monotonic():
            slot = pacer.claim(slot)
        if slot > self.clock.monotonic():
            self._slots[endpoint] = slot
            return False
        self._start(call)
        return True

    def wake(self, call: Call) -> float:
        """Return the monotonic time at which a waiting call may be due."""
        return max(call.not_before, self._slots.get(call.request.endpoint, 0.0))

    def collect(self, timeout_s: float) -> list[tuple[Call, Answer]]:
        """Wait for answers, at most ``timeout_s`` seconds."""
        answers = []
        for ticket, answer in self.transport.wait(timeout_s):
            call = self._flying.pop(ticket, None)
            if call is not None:  # else: the request of an earlier, broken-off delivery
                call.flying = False
                self.answers[0 if isinstance(answer, NoAnswer) else answer.status] += 1
                answers.append((call, answer))
        return answers

    def transient(self, call: Call, answer: Answer) -> bool:
        """Whether the same request may be sent again and succeed a little later."""
        if not call.request.repeatable and _may_be_applied(answer):
            return False
        if isinstance(answer, NoAnswer):
            return True
        return self.is_transient(call.batch, answer)

    def repeat(self, call: Call, answer: Answer) -> bool:
        """Schedule a transient call again; False when its time is used up."""
        now = self.clock.monotonic()
        wait = call.policy.next_wait(call.sendings, now - call.first_start, answer)
        if wait is not None:
            call.not_before = now + wait
        if not isinstance(answer, NoAnswer) and answer.status == _TOO_MANY:
            asked = retry_after(answer) if wait is None else wait
            self.pacers(call.request.endpoint).hold(now + asked)
        return wait is not None

    def _start(self, call: Call) -> None:
        self.before_request()
        call.sendings += 1
        if call.sendings == 1:
            call.first_start = self.clock.monotonic()
        self.requests_sent += 1
        self._flying[self.requests_sent] = call
        call.flying = True
        # The number of the request in this run is its ticket.
        self.transport.start(self.requests_sent, call.request, self.timeout_s)


def no_usable_answer(answer: Answer) -> str:
    """Say that the destination is down, for a message."""
    what = answer.reason if isinstance(answer, NoAnswer) else f"HTTP {answer.status}"
    return f"the destination gives no usable answer ({what}); run again when it is back"


def _may_be_applied(answer: Answer) -> bool:
    """Whether the destination may have done what it was asked, for all that we know."""
    if isinstance(answer, NoAnswer):
        return answer.maybe_applied
    return answer.status >= SERVER_ERROR

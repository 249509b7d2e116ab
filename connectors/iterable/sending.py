"""The conversation that sends a batch and narrows a refusal down to the rows at fault.

A refused request has changed nothing, so its rows are sent again in smaller parts: without the
row that the API names by its position, else in halves, largest parts first. Each part knows what
becomes of its rows if the batch runs out of requests.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from connectors.iterable import answers
from connectors.iterable.answers import ApiError, Roster
from reverse_etl.connector import (
    Answer,
    Batch,
    Delivered,
    Fatal,
    NoAnswer,
    Outcome,
    Request,
    Response,
)

REQUESTS_PER_BATCH_MAX = 60
"""Sendings of one batch, narrowing included: 12 s at 5 requests/s. Halving needs 21 requests to
find one bad row among 1,000, and about 85 for five."""


@dataclass(frozen=True, slots=True)
class Call:
    """How records become a request, and who answers it.

    Attributes:
        path: Path of the endpoint; without ``/api/`` it is the name of its rate limit.
        head: JSON before the first record.
        tail: JSON behind the last one.
        host: Host name, for messages.
        identifier: Kind of the identities, or None when they are written ``kind:value``.
    """

    path: str
    head: bytes
    tail: bytes
    host: str
    identifier: str | None

    def request(self, batch: Batch, offsets: Sequence[int]) -> Request:
        """Return the request that carries these changes of the batch."""
        whole = len(offsets) == len(batch)
        bodies = batch.bodies if whole else [batch.bodies[offset] for offset in offsets]
        return Request(
            "POST",
            self.path,
            self.path.removeprefix("/api/"),
            body=self.head + b",".join(bodies) + self.tail,
            changes=None if whole else tuple(offsets),
        )


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows still to be sent.

    Attributes:
        offsets: Within the batch.
        refusal: What becomes of them when no more requests are allowed.
    """

    offsets: Sequence[int]
    refusal: Outcome


def send(batch: Batch, call: Call) -> Generator[Request, Answer, Delivered]:
    """Send a batch; return one outcome per change.

    Raises:
        Fatal: The run must stop.
    """
    sending = _Sending(batch, call)
    while (part := sending.next_part()) is not None:
        answer = yield call.request(batch, part.offsets)
        sending.take(part.offsets, answer)
    return sending.delivered()


class _Sending:
    """The state of one conversation."""

    def __init__(self, batch: Batch, call: Call) -> None:
        self._batch = batch
        self._call = call
        self._roster = Roster(batch, call.identifier)
        self._requests = 0
        self._outcomes: dict[int, Outcome] = {}
        self._warnings: dict[str, None] = {}
        self._parts = deque([_Part(range(len(batch)), answers.rejected("not sent"))])

    def next_part(self) -> _Part | None:
        """Return the part to send now, or None when every change has its outcome."""
        if self._requests >= REQUESTS_PER_BATCH_MAX:
            self._give_up()
        if not self._parts:
            return None
        self._requests += 1
        return self._parts.popleft()

    def take(self, offsets: Sequence[int], answer: Answer) -> None:
        """Work an answer into outcomes and further parts.

        Raises:
            Fatal: The run must stop.
        """
        if isinstance(answer, NoAnswer):
            self._settle(offsets, answers.unknown(f"no answer: {answer.reason}"))
            self._postpone("Iterable stopped answering")
        elif answer.status in answers.OK:
            self._read(offsets, answer)
        else:
            self._refused(offsets, answers.read_error(answer))

    def delivered(self) -> Delivered:
        """Return the outcomes in batch order."""
        outcomes = [self._outcomes[offset] for offset in range(len(self._batch))]
        return Delivered(outcomes, tuple(self._warnings))

    def _settle(self, offsets: Sequence[int], outcome: Outcome) -> None:
        """Give the same outcome to several changes."""
        self._outcomes.update(dict.fromkeys(offsets, outcome))

    def _give_up(self) -> None:
        """Settle what may not be sent any more."""
        while self._parts:
            part = self._parts.popleft()
            self._settle(part.offsets, part.refusal)

    def _postpone(self, reason: str) -> None:
        """Leave what is waiting to the next run: the API has no answer for it now."""
        while self._parts:
            self._settle(self._parts.popleft().offsets, answers.unavailable(reason))

    def _read(self, offsets: Sequence[int], response: Response) -> None:
        """Take the outcomes from a bulk response."""
        reading = answers.read_bulk(
            response,
            offsets,
            self._roster,
            self._batch.operation,
            hybrid=self._call.identifier is None,
        )
        self._outcomes.update(reading.outcomes)
        self._warnings.update(dict.fromkeys(reading.warnings))

    def _refused(self, offsets: Sequence[int], error: ApiError) -> None:
        """Decide about an answer that is no success, by its status."""
        if error.status == answers.TOO_MANY or error.status in answers.SERVER_ERRORS:
            self._settle(offsets, answers.unavailable(str(error)))
            self._postpone(f"Iterable is not available ({error})")
            return
        self._stop_if_fatal(error)
        if error.status == answers.TOO_LARGE or error.code == "BatchTooLarge":
            self._halve(offsets, answers.rejected(f"too large ({error})"), retryable=True)
        elif error.status == answers.TIMED_OUT:
            self._halve(offsets, answers.unavailable(f"took too long ({error})"), retryable=True)
        else:
            self._narrow(offsets, error)

    def _stop_if_fatal(self, error: ApiError) -> None:
        """Raise Fatal for what no row is to blame for."""
        target = self._batch.target
        if target.just_created and error.is_unknown_list:
            reason = (
                f"list {target.id} was created a moment ago and Iterable does not take members for"
                f" it yet ({error}). Nothing is lost: the next run sends them. A longer"
                " retry_seconds (60 or more) waits for it within the run"
            )
            raise Fatal("destination_unavailable", reason)
        answers.raise_if_fatal(error, self._call.host, target.id)

    def _narrow(self, offsets: Sequence[int], error: ApiError) -> None:
        """Set aside the rows the error names, else halve."""
        if len(offsets) == 1:
            details = answers.named_offsets(error, 1)
            self._settle(offsets, answers.rejected(f"{error} {details.get(0, '')}".rstrip()))
            return
        named = answers.named_offsets(error, len(offsets))
        if not named:
            self._halve(offsets, answers.rejected(str(error)), retryable=False)
            return
        for position, detail in named.items():
            self._settle([offsets[position]], answers.rejected(f"{error} {detail}"))
        rest = [offset for position, offset in enumerate(offsets) if position not in named]
        if rest:
            self._parts.append(_Part(rest, self._leftover(error, len(rest), retryable=False)))

    def _halve(self, offsets: Sequence[int], single: Outcome, *, retryable: bool) -> None:
        """Queue both halves; a single row gets its outcome."""
        if len(offsets) == 1:
            self._settle(offsets, single)
            return
        middle = (len(offsets) + 1) // 2
        for half in (offsets[:middle], offsets[middle:]):
            leftover = self._leftover(single.reason, len(offsets), retryable=retryable)
            self._parts.append(_Part(half, leftover))

    @staticmethod
    def _leftover(reason: object, count: int, *, retryable: bool) -> Outcome:
        """Return the outcome of rows that were only ever refused together with others."""
        text = (
            f"refused in one request with {count - 1} others ({reason}), and not looked at singly:"
            f" a batch may use {REQUESTS_PER_BATCH_MAX} requests"
        )
        return answers.rejected(text, retryable=retryable)

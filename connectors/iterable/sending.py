"""The conversation that sends a batch and narrows a refusal down to the rows at fault.

A refused request has changed nothing, so its rows are sent again in smaller parts: without the
rows that the API names by position or by an offending value, else in halves, largest parts first.
Each part knows what becomes of its rows if the batch runs out of requests.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from connectors.iterable import answers
from connectors.iterable.answers import ApiError, Roster, Terms
from connectors.iterable.mismatch import Likeness, Mismatch, find_rows, read_mismatches
from reverse_etl.columns import joined, picked
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
        destination: Its name in the config, for messages.
        identifier: Kind of the identities, or None when they are written ``kind:value``.
        terms: How the answers are read.
    """

    path: str
    head: bytes
    tail: bytes
    host: str
    destination: str
    identifier: str | None
    terms: Terms

    def request(self, batch: Batch, offsets: Sequence[int]) -> Request:
        """Return the request that carries these changes of the batch."""
        whole = len(offsets) == len(batch)
        bodies = batch.bodies if whole else picked(batch.bodies, offsets)
        return Request(
            "POST",
            self.path,
            self.path.removeprefix("/api/"),
            body=b"".join((self.head, joined(bodies), self.tail)),
            changes=None if whole else tuple(offsets),
        )


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows still to be sent.

    Attributes:
        offsets: Within the batch.
        refusal: What becomes of them when no more requests are allowed.
        suspected: What all of them are sent apart for.
    """

    offsets: Sequence[int]
    refusal: Outcome
    suspected: frozenset[Likeness] = frozenset()


def send(batch: Batch, call: Call) -> Generator[Request, Answer, Delivered]:
    """Send a batch; return one outcome per change.

    Raises:
        Fatal: The run must stop.
    """
    sending = _Sending(batch, call)
    while (part := sending.next_part()) is not None:
        answer = yield call.request(batch, part.offsets)
        sending.take(part, answer)
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

    def take(self, part: _Part, answer: Answer) -> None:
        """Work an answer into outcomes and further parts.

        Raises:
            Fatal: The run must stop.
        """
        if isinstance(answer, NoAnswer):
            self._settle(part.offsets, answers.unknown(f"no answer: {answer.reason}"))
            self._postpone("Iterable stopped answering")
        elif answer.status in answers.OK:
            self._read(part.offsets, answer)
        else:
            self._refused(part, answers.read_error(answer))

    def delivered(self) -> Delivered:
        """Return the outcomes in batch order."""
        outcomes = list(map(self._outcomes.__getitem__, range(len(self._batch))))
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
        reading = answers.read_bulk(response, offsets, self._roster, self._call.terms)
        self._outcomes.update(reading.outcomes)
        self._warnings.update(dict.fromkeys(reading.warnings))

    def _refused(self, part: _Part, error: ApiError) -> None:
        """Decide about an answer that is no success, by its status."""
        offsets = part.offsets
        if error.status == answers.TOO_MANY or error.status in answers.SERVER_ERRORS:
            self._settle(offsets, answers.unavailable(str(error)))
            self._postpone(f"Iterable is not available ({error})")
            return
        self._stop_if_fatal(error)
        if error.status == answers.TOO_LARGE or error.code == "BatchTooLarge":
            self._halve(offsets, answers.rejected(f"too large ({error})"))
        elif error.status == answers.TIMED_OUT:
            self._halve(offsets, answers.unavailable(f"took too long ({error})"))
        else:
            self._narrow(part, error)

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
        answers.raise_if_fatal(error, self._call.host, target.id, self._call.destination)

    def _narrow(self, part: _Part, error: ApiError) -> None:
        """Set aside the rows the error names, by position or by value, else halve."""
        offsets = part.offsets
        named = answers.named_offsets(error, len(offsets))
        mismatches = read_mismatches(error)
        if len(offsets) == 1:
            detail = named.get(0) or "; ".join(map(str, mismatches))
            self._settle(offsets, self._call.terms.refused(error, detail))
        elif named:
            for position, detail in named.items():
                self._settle([offsets[position]], self._call.terms.refused(error, detail))
            rest = [offset for position, offset in enumerate(offsets) if position not in named]
            self._queue(rest, error, part.suspected)
        elif mismatches:
            self._isolate(part, error, mismatches)
        else:
            self._halve(offsets, answers.rejected(str(error)))

    def _isolate(self, part: _Part, error: ApiError, mismatches: Sequence[Mismatch]) -> None:
        """Set aside the rows that hold a refused value; send those that look alike apart."""
        offsets = part.offsets
        bodies = list(picked(self._batch.bodies, offsets))
        found = find_rows(mismatches, bodies, part.suspected)
        for position, fault in found.guilty.items():
            self._settle([offsets[position]], self._call.terms.refused(error, str(fault)))
        left = [position for position in range(len(offsets)) if position not in found.guilty]
        others = [offsets[position] for position in left if position not in found.alike]
        alike = [offsets[position] for position in left if position in found.alike]
        if not found.guilty and not (others and alike):  # nothing would get smaller
            self._halve(offsets, answers.rejected(str(error)))
            return
        self._queue(others, error, part.suspected)
        self._queue(alike, error, part.suspected | {fault.likeness for fault in mismatches})

    def _queue(
        self, offsets: Sequence[int], error: ApiError, suspected: frozenset[Likeness]
    ) -> None:
        """Queue rows that were refused together with others."""
        if offsets:
            leftover = self._leftover(error, len(offsets))
            self._parts.append(_Part(offsets, leftover, suspected))

    def _halve(self, offsets: Sequence[int], single: Outcome) -> None:
        """Queue both halves; a single row gets its outcome."""
        if len(offsets) == 1:
            self._settle(offsets, single)
            return
        middle = (len(offsets) + 1) // 2
        for half in (offsets[:middle], offsets[middle:]):
            leftover = self._leftover(single.reason, len(offsets))
            self._parts.append(_Part(half, leftover))

    @staticmethod
    def _leftover(reason: object, count: int) -> Outcome:
        """Return the outcome of rows that were only ever refused together with others.

        Most of them are innocent, so they may try again: each run narrows further.
        """
        text = (
            f"refused in one request with {count - 1} others ({reason}), and not looked at singly:"
            f" a batch may use {REQUESTS_PER_BATCH_MAX} requests"
        )
        return answers.rejected(text, retryable=True)

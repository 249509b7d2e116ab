"""The plan goes out in batches (design §6.3.4 and §6.3.5).

Deletes first, settled before the first upsert; one kind of operation in a batch; nothing beyond
the send limit; a checkpoint writes the failures before the position.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple, Protocol

from reverse_etl.testing.rules.settling import SUCCEEDED, advance, committed, record
from reverse_etl.testing.rules.tables import Change, Outcome, State

Batch = tuple[Change, ...]
Ended = Literal["done", "interrupted", "failed"]
Keep = Callable[[State], None]


class Answered(NamedTuple):
    """What was heard of a batch.

    Attributes:
        outcomes: One for each change that was tried; none of a batch that ended the run.
        fatal: Whether the run must stop.
        settled: Whether that was the last word: a run that is cut short waits for no other.
    """

    outcomes: Sequence[Outcome]
    fatal: bool = False
    settled: bool = True


class Wire(Protocol):
    """The way to the destination; any of its methods may raise, when the process dies."""

    def stops(self) -> bool:
        """Return whether the run is told to stop."""

    def start(self, batch: Batch) -> None:
        """Put a request under way."""

    def answered(self, flying: Sequence[Batch], *, halted: bool) -> tuple[int, Answered]:
        """Return which of the requests under way is answered next, and how."""

    def is_late(self) -> bool:
        """Return whether it is time for a checkpoint."""

    def between(self) -> None:
        """Pass the moment between the halves of a checkpoint."""


class Delivery(NamedTuple):
    """How a delivery ended: the state is not yet settled, its position is."""

    state: State
    ended: Ended


def deliver(  # noqa: PLR0913 - the limits of a delivery, each by name
    state: State, wire: Wire, keep: Keep, *, window: int, records: int, flights: int
) -> Delivery:
    """Send the plan of the last committed run.

    Args:
        state: Just committed.
        wire: The way to the destination.
        keep: Makes a state durable.
        window: How far sending may run ahead of the last checkpoint.
        records: Changes of one batch, at most.
        flights: Requests under way, at most.
    """
    return _Delivery(state, wire, keep, window, flights).run(
        batches(committed(state).plan, records)
    )


def batches(plan: Sequence[Change], records: int) -> list[Batch]:
    """Cut the plan: a batch holds one phase and one operation."""
    found: list[Batch] = []
    for change in plan:
        last = found[-1] if found else ()
        if last and len(last) < records and _alike(last[0], change):
            found[-1] = (*last, change)
        else:
            found.append((change,))
    return found


def _alike(one: Change, other: Change) -> bool:
    return (one.phase, one.operation) == (other.phase, other.operation)


def may_start(batch: Batch, flying: Sequence[Batch], limit: int) -> bool:
    """Whether a batch is within the send limit, and no earlier phase is under way."""
    return batch[-1].seq <= limit and (not flying or flying[0][0].phase == batch[0].phase)


def confirmed(position: int, settled: set[int]) -> int:
    """Return the new position: everything at or below it is settled."""
    while position + 1 in settled:
        position += 1
    return position


def checkpoint(
    state: State, news: dict[int, Outcome], position: int, window: int
) -> tuple[State, State]:
    """Return what to keep, in this order: the failures, then the position that covers them."""
    failures = record(state, news)
    return failures, advance(failures, position, window)


class _Delivery:
    """One delivery: what is under way, what is settled, what is not yet written down."""

    def __init__(self, state: State, wire: Wire, keep: Keep, window: int, flights: int) -> None:
        self._state = state
        self._wire = wire
        self._keep = keep
        self._window = window
        self._flights = flights
        self._flying: list[Batch] = []
        self._settled: set[int] = set()
        self._news: dict[int, Outcome] = {}
        self._position = 0
        self._ended: Ended = "done"

    def run(self, waiting: list[Batch]) -> Delivery:
        """Send until all is settled, or until the run is cut short and the wire is empty."""
        waiting.reverse()
        while waiting or self._flying:
            if self._ended == "done" and self._wire.stops():
                self._ended = "interrupted"
            self._start(waiting)
            if self._flying:
                self._hear()
            elif self._ended == "done":
                self._checkpoint()
            else:
                break
        self._finish()
        return Delivery(self._state, self._ended)

    def _start(self, waiting: list[Batch]) -> None:
        while waiting and self._ended == "done" and len(self._flying) < self._flights:
            if not may_start(waiting[-1], self._flying, committed(self._state).limit):
                return
            self._flying.append(waiting.pop())
            self._wire.start(self._flying[-1])

    def _hear(self) -> None:
        which, answered = self._wire.answered(self._flying, halted=self._ended != "done")
        batch = self._flying.pop(which)
        if answered.fatal:
            # It counts as not tried: no outcome, and the position stays below it.
            self._ended = "failed"
            return
        for change, outcome in zip(batch, answered.outcomes, strict=True):
            if answered.settled:
                self._settled.add(change.seq)
            if outcome != SUCCEEDED:
                self._news[change.seq] = outcome
        self._position = confirmed(self._position, self._settled)
        if self._wire.is_late():
            self._checkpoint()

    def _checkpoint(self) -> None:
        first, second = checkpoint(self._state, self._news, self._position, self._window)
        self._keep(first)
        self._wire.between()
        self._keep(second)
        self._state, self._news = second, {}

    def _finish(self) -> None:
        """Leave to the settling what the position does not say: successes above it."""
        if self._ended != "done":
            known = committed(self._state).outcomes.keys() | self._news.keys()
            self._news |= dict.fromkeys(_above(self._settled - known, self._position), SUCCEEDED)
        # With the log and the failed records in one transaction, so not kept by itself.
        self._state = advance(record(self._state, self._news), self._position, 0)


def _above(seqs: Iterable[int], position: int) -> list[int]:
    return [seq for seq in seqs if seq > position]

"""The loop that drives connector conversations: one thread, one clock, no surprises.

A *stretch* of the plan (see :mod:`reverse_etl.delivery.batching`) becomes one conversation with
one request on the wire at a time. The loop opens conversations while there is room, starts
requests when pacing and back-off allow, collects answers, and writes checkpoints. Everything
that happens at the same time happens behind the transport, or while a page is made ahead
(:mod:`reverse_etl.delivery.ahead`), so the same plan, answers and seed give the same trace.

Three lines hold everywhere:

* Nothing beyond the *send limit* (position at the last checkpoint plus the window) is started:
  after a crash at most one window is sent again, and recovery can name it.
* A phase is settled before the next one begins (deletes before upserts).
* Once halted (stopped, or fatal) no request is started; those on the wire are awaited.
"""

from __future__ import annotations

from collections import deque
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from reverse_etl.connector import SUCCEEDED, Delivered, Fatal, NoAnswer, Outcome
from reverse_etl.delivery.batching import Cutter
from reverse_etl.delivery.wire import LOOK_FOR_STOP_S, SERVER_ERROR, Call, no_usable_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    import pyarrow as pa

    from reverse_etl.connector import (
        Answer,
        DestinationObject,
        Operation,
        OutcomeStatus,
        Prepared,
        Request,
        Target,
    )
    from reverse_etl.delivery.batching import Stretch
    from reverse_etl.delivery.wire import Wire
    from reverse_etl.errors import RunError

Ended = Literal["done", "interrupted", "fatal"]

FAILED_BATCHES_IN_A_ROW = 3
"""So many batches in a row without a usable answer mean that the destination is down."""

MOST_WARNINGS = 100
"""Different warnings kept per delivery; a connector may have one for each batch."""

_STOPPED = "told to stop; what was on the wire is settled, the rest stays planned"


# --- what goes in and comes out ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Page:
    """Planned changes of one operation with consecutive sequence numbers.

    Attributes:
        phase: All changes of a phase are settled before the next one begins; never falls.
        operation: What the changes do.
        first_seq: Sequence number of the first row; greater than any of the pages before.
        rows: What :meth:`DestinationObject.prepare` takes.
    """

    phase: int
    operation: Operation
    first_seq: int
    rows: pa.RecordBatch


class Settled(NamedTuple):
    """What became of one change; written only where it was not a plain success at once.

    Attributes:
        seq: Sequence number in the plan.
        status: ``succeeded`` or ``failed``, as in the sync log.
        outcome: The finer word, see :class:`reverse_etl.connector.Outcome`.
        error_code: Stable snake_case name, or None.
        error_reason: One line for a person, or None.
        retryable: Whether the same change may succeed later.
        attempts: Requests of this run that carried the change.
    """

    seq: int
    status: Literal["succeeded", "failed"]
    outcome: OutcomeStatus
    error_code: str | None
    error_reason: str | None
    retryable: bool
    attempts: int


@dataclass(frozen=True, slots=True)
class Progress:
    """What a checkpoint makes durable.

    Attributes:
        position: Every change with a sequence number at or below it is settled.
        settled: New since the last checkpoint; may lie above the position.
        requests_sent: Requests started so far, all of them.
    """

    position: int
    settled: list[Settled]
    requests_sent: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a delivery ended.

    Attributes:
        ended: ``done``: all is settled. ``interrupted``: told to stop. ``fatal``: the
            destination ended the run. In the last two cases the rest stays planned.
        error_code: Stable name of the fatal error, else None.
        error_reason: One line for a person, else None.
        position: As in :class:`Progress`.
        settled: New since the last checkpoint. When cut short also one row for every change
            above the position that succeeded, and one (``failed``, ``unknown``) for each that
            was sent without being settled.
        requests_sent: As in :class:`Progress`.
        warnings: Remarks of the connector, each once.
    """

    ended: Ended
    error_code: str | None
    error_reason: str | None
    position: int
    settled: list[Settled]
    requests_sent: int
    warnings: list[str]

    @classmethod
    def none(cls, ended: Ended, error: RunError, requests_sent: int) -> Delivery:
        """Return the delivery of a run that ended before its first change was sent."""
        return cls(ended, error.code, str(error), 0, [], requests_sent, [])


@dataclass(frozen=True, eq=False)
class Sender:
    """Delivers to one target of one account.

    Attributes:
        object: What the connector offers.
        target: What to write to.
        wire: The way to the account.
        max_in_flight: Conversations, and so requests, open at a time.
        checkpoint_seconds: Seconds between two checkpoints.
        ahead: Through which pages come, read and encoded: as they are asked for, or earlier.
    """

    object: DestinationObject
    target: Target
    wire: Wire
    max_in_flight: int
    checkpoint_seconds: float
    ahead: Callable[[Iterator[Any]], Iterator[Any]] = iter

    def deliver(
        self,
        pages: Iterator[Page],
        start_position: int,
        window: int,
        checkpoint: Callable[[Progress], None],
    ) -> Delivery:
        """Send what the pages plan; return when all is settled or the run was cut short.

        Args:
            pages: In the order of their sequence numbers; read only as far as there is room.
            start_position: Sequence number up to which all is settled already.
            window: How far, in sequence numbers, sending may run ahead of the last checkpoint.
            checkpoint: Makes progress durable; what it raises ends the delivery.

        Raises:
            LeaseLost: From ``before_request``: nothing more was sent.
            ValueError: A page out of order, or a connector that breaks its contract.
        """
        run = _Run(self, start_position, max(window, 1), checkpoint)
        return run.deliver(pages)


# --- one batch -----------------------------------------------------------------------------


class _Tally:
    """How many requests carried each change, and which may have been applied unheard.

    Nearly always every request carries the whole batch, so that is counted once.
    """

    def __init__(self) -> None:
        self.whole = 0
        self._parts: dict[int, int] = {}
        self._doubt = False
        self._doubted: set[int] = set()

    def count(self, changes: Sequence[int] | None) -> None:
        if changes is None:
            self.whole += 1
            return
        for offset in changes:
            self._parts[offset] = self._parts.get(offset, 0) + 1

    def doubt(self, changes: Sequence[int] | None) -> None:
        if changes is None:
            self._doubt = True
        else:
            self._doubted.update(changes)

    def attempts(self, offset: int) -> int:
        return self.whole + self._parts.get(offset, 0)

    def doubtful(self, offset: int) -> bool:
        return self._doubt or offset in self._doubted

    def once(self) -> bool:
        """Whether exactly one request was sent, with all the changes."""
        return self.whole == 1 and not self._parts


class _Span:
    """Where a stretch stands, kept until the position has passed it."""

    __slots__ = ("done", "explicit", "first_seq", "last_seq")

    def __init__(self, stretch: Stretch) -> None:
        self.first_seq = stretch.first_seq
        self.last_seq = stretch.last_seq
        self.done = False
        self.explicit: set[int] = set()


class _Conversation:
    """A stretch whose batch is being delivered."""

    def __init__(
        self,
        phase: int,
        stretch: Stretch,
        span: _Span,
        generator: Generator[Request, Answer, Delivered],
    ) -> None:
        self.phase = phase
        self.stretch = stretch
        self.span = span
        self.generator = generator
        self.call: Call | None = None
        self.tally = _Tally()
        self.answer: Answer | None = None
        # Whether an answer other than "later" was heard: then some of the batch may be applied.
        self.heard = False

    def waits(self) -> Call | None:
        """Return the request that is not on the wire, if there is one."""
        return self.call if self.call is not None and not self.call.flying else None

    def settled(self, delivered: Delivered) -> Iterator[tuple[int, Outcome, int]]:
        """Yield sequence number, outcome and attempts of all but the plain successes."""
        outcomes, seqs, tally = delivered.outcomes, self.stretch.seqs, self.tally
        if len(outcomes) != len(seqs):
            outcomes = [_miscounted(len(outcomes), len(seqs))] * len(seqs)
        # The usual batch: one request, all well. It costs no step per change in Python.
        usual = tally.once() and not self.stretch.remarks
        if usual and outcomes.count(SUCCEEDED) == len(seqs):
            return
        for offset, seq in enumerate(seqs):
            outcome, attempts = self._outcome(offset, outcomes[offset]), tally.attempts(offset)
            if outcome != SUCCEEDED or attempts != 1:
                yield seq, outcome, attempts

    def _outcome(self, offset: int, outcome: Outcome) -> Outcome:
        if outcome == SUCCEEDED:
            return self.stretch.remarks.get(offset, outcome)
        if outcome.code == "unavailable" and self.tally.doubtful(offset):
            reason = f"{outcome.reason or 'unavailable'}; an earlier request got no answer"
            return Outcome("unknown", "unknown", reason, retryable=True)
        return outcome

    def unsettled(self) -> Iterator[Settled]:
        """Yield a row for each change that was sent, for a run that ends before its answer."""
        for offset, seq in enumerate(self.stretch.seqs):
            attempts = self.tally.attempts(offset)
            if attempts:
                doubtful = self.heard or self.tally.doubtful(offset)
                code = "unknown" if doubtful else "unavailable"
                outcome = Outcome("unknown", code, _CUT_SHORT, retryable=True)
                yield _row(seq, outcome, attempts)


_CUT_SHORT = "the run ended before the destination had accepted this; it stays planned"


def _miscounted(outcomes: int, changes: int) -> Outcome:
    reason = f"the connector returned {outcomes} outcomes for {changes} changes: a bug in it"
    return Outcome("unknown", "unknown", reason, retryable=True)


def _row(seq: int, outcome: Outcome, attempts: int) -> Settled:
    return Settled(
        seq=seq,
        status="succeeded" if outcome.status == "succeeded" else "failed",
        outcome=outcome.status,
        error_code=outcome.code,
        error_reason=outcome.reason,
        retryable=outcome.retryable,
        attempts=attempts,
    )


# --- the loop ------------------------------------------------------------------------------


class _Halt(NamedTuple):
    """Why no further request is started."""

    ended: Ended
    code: str | None = None
    reason: str | None = None


class _Run:
    """One call of :meth:`Sender.deliver`."""

    def __init__(
        self,
        sender: Sender,
        start_position: int,
        window: int,
        checkpoint: Callable[[Progress], None],
    ) -> None:
        self._sender = sender
        self._wire = sender.wire
        self._window = window
        self._checkpoint = checkpoint
        self._position = self._confirmed = start_position
        self._next_checkpoint = sender.wire.clock.monotonic() + sender.checkpoint_seconds
        self._settled: list[Settled] = []
        self._warnings: dict[str, None] = {}
        # Opened stretches above the position, and the conversations among them; both by seq.
        self._spans: deque[_Span] = deque()
        self._active: list[_Conversation] = []
        self._next: tuple[int, Stretch] | None = None
        self._read_all = False
        self._failed_in_a_row = 0
        self._halt: _Halt | None = None

    def deliver(self, pages: Iterator[Page]) -> Delivery:
        """Run the loop until all is settled, or until it is halted and the wire is empty."""
        with closing(self._cut(pages)) as stretches:
            while True:
                if self._halt is None and not self._all_settled() and self._wire.stop():
                    self._halt = _Halt("interrupted", "interrupted", _STOPPED)
                self._open_what_fits(stretches)
                self._start_what_is_due()
                if self._over():
                    return self._result()
                if self._checkpoint_if_due():
                    continue  # the send limit rose: open more before waiting
                for call, answer in self._wire.collect(self._pause()):
                    self._take(call, answer)

    # opening

    def _cut(self, pages: Iterator[Page]) -> Generator[tuple[int, Stretch], None, None]:
        """Yield phase and stretch."""
        sender = self._sender
        cutter = Cutter(sender.target, sender.object.limits, self._window)
        last, phase = self._position, None
        for page, prepared in sender.ahead(self._prepared(pages)):
            if page.first_seq <= last or (phase is not None and page.phase < phase):
                msg = f"page {page.first_seq} of phase {page.phase} after {last} of {phase}"
                raise ValueError(msg)
            last, phase = page.first_seq + page.rows.num_rows - 1, page.phase
            for stretch in cutter.cut(prepared, page.operation, page.first_seq):
                yield phase, stretch

    def _prepared(self, pages: Iterator[Page]) -> Iterator[tuple[Page, Prepared]]:
        for page in pages:
            prepared = self._sender.object.prepare(page.operation, page.rows)
            if len(prepared.bodies) != page.rows.num_rows:
                msg = "the connector did not prepare one body per change; this is a bug in it"
                raise ValueError(msg)
            yield page, prepared

    def _open_what_fits(self, stretches: Iterator[tuple[int, Stretch]]) -> None:
        while self._halt is None and len(self._active) < self._sender.max_in_flight:
            if self._next is None:
                self._next = next(stretches, None)
                self._read_all = self._next is None
            if self._next is None or not self._may_open(*self._next):
                return
            phase, stretch = self._next
            self._next = None
            self._open(phase, stretch)

    def _may_open(self, phase: int, stretch: Stretch) -> bool:
        if not self._spans:  # all before it is settled, also numbers that no page has
            self._position = stretch.first_seq - 1
        if self._active and self._active[0].phase != phase:
            return False
        return not self._beyond_limit(stretch)

    def _beyond_limit(self, stretch: Stretch) -> bool:
        return stretch.last_seq > self._confirmed + self._window

    def _open(self, phase: int, stretch: Stretch) -> None:
        span = _Span(stretch)
        self._spans.append(span)
        for seq, outcome in stretch.unsent:
            self._record(span, seq, outcome, 0)
        if stretch.batch is None:
            self._finish(span)
            return
        generator = self._sender.object.deliver(stretch.batch)
        conversation = _Conversation(phase, stretch, span, generator)
        self._active.append(conversation)
        self._proceed(conversation, None)

    # sending and hearing

    def _start_what_is_due(self) -> None:
        for conversation in self._active:
            call = conversation.waits()
            if call is None:
                continue
            # Asked before each start: the check of the lease may have taken its time.
            if self._halt is not None or self._wire.stop():
                return
            if self._wire.start_if_due(call):
                conversation.tally.count(call.request.changes)

    def _pause(self) -> float:
        """Return the seconds until something is to be done, unless an answer comes first."""
        now = self._wire.clock.monotonic()
        wake = now + LOOK_FOR_STOP_S
        if self._halt is None:
            for conversation in self._active:
                if (call := conversation.waits()) is not None:
                    wake = min(wake, self._wire.wake(call))
        if self._has_news():
            wake = min(wake, self._next_checkpoint)
        return max(wake - now, 0.0)

    def _take(self, call: Call, answer: Answer) -> None:
        conversation = next((c for c in self._active if c.call is call), None)
        if conversation is None:
            return
        conversation.answer = answer
        if isinstance(answer, NoAnswer) and answer.maybe_applied:
            conversation.tally.doubt(call.request.changes)
        if self._wire.transient(call, answer):
            if self._wire.repeat(call, answer):
                return
        else:
            conversation.heard = True
        self._proceed(conversation, answer)

    def _proceed(self, conversation: _Conversation, answer: Answer | None) -> None:
        """Hand the answer on; what comes back is a result or the next request."""
        generator = conversation.generator
        try:
            request = next(generator) if answer is None else generator.send(answer)
        except StopIteration as end:
            self._active.remove(conversation)
            self._settle(conversation, end.value)
        except Fatal as fatal:
            # Its changes count as not tried: no row, and the position stays below them.
            self._active.remove(conversation)
            if self._halt is None or self._halt.ended == "interrupted":  # worth more than a stop
                self._halt = _Halt("fatal", fatal.code, str(fatal))
        else:
            batch = conversation.stretch.batch
            conversation.call = Call(request, self._wire.policy(), batch)

    # settling

    def _settle(self, conversation: _Conversation, delivered: Delivered) -> None:
        for seq, outcome, attempts in conversation.settled(delivered):
            self._record(conversation.span, seq, outcome, attempts)
        for warning in delivered.warnings:
            if len(self._warnings) < MOST_WARNINGS:
                self._warnings.setdefault(warning)
        self._finish(conversation.span)
        self._judge(conversation.answer)

    def _record(self, span: _Span, seq: int, outcome: Outcome, attempts: int) -> None:
        span.explicit.add(seq)
        self._settled.append(_row(seq, outcome, attempts))

    def _finish(self, span: _Span) -> None:
        span.done = True
        while self._spans and self._spans[0].done:
            self._position = self._spans.popleft().last_seq

    def _judge(self, answer: Answer | None) -> None:
        """Count the batches that ended without a usable answer; too many end the run."""
        if answer is None:
            return
        down = isinstance(answer, NoAnswer) or answer.status >= SERVER_ERROR
        self._failed_in_a_row = self._failed_in_a_row + 1 if down else 0
        if self._failed_in_a_row >= FAILED_BATCHES_IN_A_ROW and self._halt is None:
            self._halt = _Halt("fatal", "destination_unavailable", no_usable_answer(answer))

    # checkpoints and the end

    def _has_news(self) -> bool:
        return self._position > self._confirmed or bool(self._settled)

    def _checkpoint_if_due(self) -> bool:
        moved = self._position - self._confirmed
        blocked = self._next is not None and self._beyond_limit(self._next[1])
        late = self._wire.clock.monotonic() >= self._next_checkpoint
        due = (moved and blocked) or moved * 2 >= self._window or (late and self._has_news())
        if due:
            self._checkpoint(Progress(self._position, self._settled, self._wire.requests_sent))
            self._confirmed = self._position
            self._settled = []
            now = self._wire.clock.monotonic()
            self._next_checkpoint = now + self._sender.checkpoint_seconds
        return bool(due)

    def _all_settled(self) -> bool:
        return self._read_all and not self._active

    def _over(self) -> bool:
        if self._halt is not None:
            return all(conversation.waits() for conversation in self._active)
        return self._all_settled()

    def _result(self) -> Delivery:
        if self._halt is not None:
            self._settled.extend(self._loose_ends())
        ended, code, reason = self._halt or _Halt("done")
        return Delivery(
            ended,
            code,
            reason,
            self._position,
            self._settled,
            self._wire.requests_sent,
            list(self._warnings),
        )

    def _loose_ends(self) -> Iterator[Settled]:
        """Yield what the position does not say: successes above it, and what is unsettled."""
        for span in self._spans:
            if span.done:
                for seq in range(span.first_seq, span.last_seq + 1):
                    if seq not in span.explicit:
                        yield _row(seq, SUCCEEDED, 1)
        for conversation in self._active:
            yield from conversation.unsettled()

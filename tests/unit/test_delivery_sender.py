"""The sender, over a transport with virtual time: fast, exact, and the same every time."""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Literal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reverse_etl.connector import (
    SUCCEEDED,
    Answer,
    Batch,
    Delivered,
    DestinationObject,
    Fatal,
    Limits,
    NoAnswer,
    Operation,
    Outcome,
    OutcomeStatus,
    Prepared,
    Request,
    Response,
    Target,
)
from reverse_etl.delivery.limiter import Pacer, Pacers
from reverse_etl.delivery.retry import RetryPolicy
from reverse_etl.delivery.sender import Delivery, Page, Progress, Sender, Settled
from reverse_etl.delivery.wire import Wire
from reverse_etl.errors import DestinationError, Interrupted, LeaseLost

INVALID = Outcome("invalid", "invalid_identifier", "no at sign")
REMARK = Outcome("succeeded", None, "was never there")
REJECTED = Outcome("rejected", "rejected", "the API refused it")
START = 1_000.0


# --- a world with virtual time -------------------------------------------------------------


class VirtualClock:
    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.time)

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += max(seconds, 0)


@dataclass(frozen=True)
class Sent:
    at: float
    path: str
    seqs: tuple[int, ...]


Reply = tuple[float, Answer]
Server = Callable[[int, Request], Reply]


class VirtualTransport:
    """Answers after the latency the server names; a wait moves the clock."""

    def __init__(self, clock: VirtualClock, server: Server) -> None:
        self.clock = clock
        self.server = server
        self.sent: list[Sent] = []
        self.on_wire: list[tuple[float, int, Answer]] = []
        self.most_on_wire = 0

    def start(self, ticket: int, request: Request, timeout_s: float) -> None:
        seqs = tuple(json.loads(request.body)) if request.body else ()
        self.sent.append(Sent(self.clock.time, request.path, seqs))
        latency, answer = self.server(len(self.sent), request)
        if latency > timeout_s:
            latency, answer = timeout_s, NoAnswer(f"no answer within {timeout_s:g} s")
        heapq.heappush(self.on_wire, (self.clock.time + latency, ticket, answer))
        self.most_on_wire = max(self.most_on_wire, len(self.on_wire))

    def wait(self, timeout_s: float) -> list[tuple[int, Answer]]:
        assert timeout_s >= 0
        end = self.clock.time + timeout_s
        if self.on_wire:
            end = min(end, max(self.on_wire[0][0], self.clock.time))
        self.clock.time = end
        arrived = []
        while self.on_wire and self.on_wire[0][0] <= end:
            _, ticket, answer = heapq.heappop(self.on_wire)
            arrived.append((ticket, answer))
        return arrived

    def close(self) -> None:
        self.on_wire.clear()


class Toy(DestinationObject):
    """Identities are numbers; a request is their JSON array; the server answers refused ones.

    Identities that begin with ``-`` are refused before sending, those with ``+`` carry a remark.
    """

    identifiers = ()
    prefixed = sends_alias = False
    deletes = True
    host = kind = "toy"
    target = Target("7")

    def __init__(self, records: int = 10, short: int = 0) -> None:
        self.limits = Limits(records, 100_000, {})
        self.short = short
        self.prepared_pages = 0
        self.not_tried: set[int] = set()

    def find_target(self) -> Generator[Request, Answer, Target]:
        answer = yield Request("GET", "/lists", "lists")
        assert isinstance(answer, Response)
        if answer.status == 401:
            raise Fatal("unauthorized", "the key is wrong")
        answer = yield Request("POST", "/lists", "lists", b"[]")
        assert isinstance(answer, Response)
        return Target(answer.text())

    def prepare(self, operation: Operation, changes: pa.RecordBatch) -> Prepared:
        del operation
        self.prepared_pages += 1
        names: list[str] = changes.column("_identity").to_pylist()
        outcomes = {i: INVALID for i, name in enumerate(names) if name.startswith("-")}
        outcomes |= {i: REMARK for i, name in enumerate(names) if name.startswith("+")}
        bodies = [b"" if name.startswith("-") else name.lstrip("+").encode() for name in names]
        return Prepared(bodies, names, [None] * len(names), outcomes)

    def deliver(self, batch: Batch) -> Generator[Request, Answer, Delivered]:
        outcomes: list[Outcome] = [SUCCEEDED] * len(batch)
        todo: list[list[int] | None] = [None]
        while todo:
            part = todo.pop()
            offsets = list(range(len(batch))) if part is None else part
            answer = yield self._request(batch, offsets, part)
            if isinstance(answer, Response) and answer.status == 400 and len(offsets) > 1:
                half = len(offsets) // 2
                todo += [offsets[half:], offsets[:half]]
                continue
            if isinstance(answer, Response) and answer.status == 401:
                self.not_tried.update(map(int, batch.bodies))
                raise Fatal("unauthorized", "the key is wrong")
            for offset in offsets:
                outcomes[offset] = self._outcome(answer, batch.bodies[offset])
        return Delivered(outcomes[self.short :], ["slow list"])

    def _request(self, batch: Batch, offsets: list[int], part: list[int] | None) -> Request:
        body = b"[" + b",".join(batch.bodies[offset] for offset in offsets) + b"]"
        return Request("POST", f"/{batch.operation}", "write", body, changes=part)

    def _outcome(self, answer: Answer, body: bytes) -> Outcome:
        if isinstance(answer, NoAnswer):
            return Outcome("unknown", "unknown", answer.reason, retryable=True)
        if answer.status == 429 or answer.status >= 500:
            return Outcome("unknown", "unavailable", f"HTTP {answer.status}", retryable=True)
        refused = answer.status == 400 or int(body) in (answer.json() or [])
        return REJECTED if refused else SUCCEEDED


OK = Response(200, b"[]")


def fine(number: int, request: Request) -> Reply:
    del number, request
    return 0.25, OK


def script(*replies: Reply) -> Server:
    """Answer the first requests from a list, the others well."""
    return lambda number, request: (
        replies[number - 1] if number <= len(replies) else fine(number, request)
    )


@dataclass
class World:
    """A sender with everything around it, and what it was seen to do."""

    server: Server = fine
    toy: Toy = field(default_factory=Toy)
    rate: float = 0
    retry_seconds: float = 60
    timeout_s: float = 30
    max_in_flight: int = 2
    checkpoint_seconds: float = 5
    seed: int = 1
    stop_at: float = float("inf")
    before_request: Callable[[], None] = lambda: None
    clock: VirtualClock = field(default_factory=VirtualClock)
    pacers: Pacers | None = None
    progress: list[Progress] = field(default_factory=list)
    checkpoint_times: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.transport = VirtualTransport(self.clock, self.server)
        self.rng = Random(self.seed)
        registry = self.pacers or Pacers(self.clock)
        wire = Wire(
            self.transport,
            lambda endpoint: registry.get("account", endpoint, self.rate),
            self.clock,
            lambda: RetryPolicy(self.retry_seconds, self.rng),
            self.timeout_s,
            lambda: self.clock.time >= self.stop_at,
            self.before_request,
            self.toy.is_transient,
        )
        self.sender = Sender(
            self.toy, Target("7"), wire, self.max_in_flight, self.checkpoint_seconds
        )

    def save(self, progress: Progress) -> None:
        self.progress.append(progress)
        self.checkpoint_times.append(self.clock.time - START)

    def deliver(self, *pages: Page, start: int = 0, window: int = 1000) -> Delivery:
        return self.sender.deliver(iter(pages), start, window, self.save)

    def settled(self, delivery: Delivery) -> dict[int, Settled]:
        """Return all rows by seq; none may be reported twice."""
        rows = [row for progress in self.progress for row in progress.settled]
        rows += delivery.settled
        assert max(Counter(row.seq for row in rows).values(), default=1) == 1
        return {row.seq: row for row in rows}

    def sent_seqs(self) -> list[tuple[int, ...]]:
        return [sent.seqs for sent in self.transport.sent]

    def starts(self) -> list[float]:
        return [round(sent.at - START, 6) for sent in self.transport.sent]


def page(first: int, count: int, phase: int = 1, marks: dict[int, str] | None = None) -> Page:
    """Plan changes whose identity is their number, marked where ``marks`` says so."""
    names = [(marks or {}).get(seq, "") + str(seq) for seq in range(first, first + count)]
    operation = Operation.DELETE if phase == 0 else Operation.INSERT
    return Page(
        phase, operation, first, pa.record_batch({"_identity": pa.array(names, pa.string())})
    )


def row(
    seq: int, outcome: OutcomeStatus, attempts: int, code: str | None = None, why: str | None = None
) -> Settled:
    """Return a row that is not retryable unless it is unknown."""
    status: Literal["succeeded", "failed"] = "succeeded" if outcome == "succeeded" else "failed"
    return Settled(seq, status, outcome, code, why, outcome == "unknown", attempts)


def seqs(first: int, last: int) -> tuple[int, ...]:
    return tuple(range(first, last + 1))


# --- the plain case ------------------------------------------------------------------------


def test_all_well_reports_only_the_position() -> None:
    world = World()

    delivery = world.deliver(page(1, 20), page(21, 5))

    assert delivery == Delivery("done", None, None, 25, [], 3, ["slow list"])
    assert world.sent_seqs() == [seqs(1, 10), seqs(11, 20), seqs(21, 25)]
    assert world.transport.most_on_wire == 2


def test_nothing_planned_makes_no_request_and_no_checkpoint() -> None:
    world = World()

    delivery = world.deliver(page(1, 0), start=0)

    assert (delivery.ended, delivery.position, delivery.requests_sent) == ("done", 0, 0)
    assert (world.transport.sent, world.progress) == ([], [])


def test_sequence_numbers_go_on_from_the_start_position_and_may_have_gaps() -> None:
    world = World()

    delivery = world.deliver(page(501, 10), page(90_001, 10), start=500, window=10)

    assert (delivery.ended, delivery.position) == ("done", 90_010)
    assert world.sent_seqs() == [seqs(501, 510), seqs(90_001, 90_010)]


@pytest.mark.parametrize(("second", "start"), [(page(5, 3), 0), (page(11, 3, phase=0), 0)])
def test_pages_out_of_order_are_refused(second: Page, start: int) -> None:
    with pytest.raises(ValueError, match="after 10 of 1"):
        World().deliver(page(1, 10), second, start=start)


def test_a_page_at_or_below_the_start_position_is_refused() -> None:
    with pytest.raises(ValueError, match="after 10"):
        World().deliver(page(10, 3), start=10)


def test_refused_before_sending_costs_no_attempt() -> None:
    world = World()

    delivery = world.deliver(page(1, 10, marks={3: "-", 9: "-"}))

    assert world.sent_seqs() == [(1, 2, 4, 5, 6, 7, 8, 10)]
    assert world.settled(delivery) == {
        seq: row(seq, "invalid", 0, "invalid_identifier", "no at sign") for seq in (3, 9)
    }
    assert delivery.position == 10


def test_a_page_of_refused_changes_is_settled_without_a_request() -> None:
    world = World()

    delivery = world.deliver(page(1, 30, marks=dict.fromkeys(range(1, 31), "-")))

    assert (delivery.ended, delivery.position, delivery.requests_sent) == ("done", 30, 0)
    assert len(world.settled(delivery)) == 30


def test_a_remark_is_logged_only_when_its_change_succeeds() -> None:
    world = World(script((0.1, Response(200, b"[4]"))))

    delivery = world.deliver(page(1, 5, marks={2: "+", 4: "+"}))

    assert world.settled(delivery) == {
        2: row(2, "succeeded", 1, None, "was never there"),
        4: row(4, "rejected", 1, "rejected", "the API refused it"),
    }


def test_refused_by_the_api_advances_the_position() -> None:
    world = World(script((0.1, Response(200, b"[1, 10]"))))

    delivery = world.deliver(page(1, 10))

    assert delivery.position == 10
    assert set(world.settled(delivery)) == {1, 10}


def test_pages_are_read_only_when_there_is_room() -> None:
    world = World(max_in_flight=2)
    read: list[tuple[int, int]] = []

    def pages() -> Iterator[Page]:
        for number in range(6):
            read.append((number, len(world.transport.sent)))
            yield page(number * 10 + 1, 10)

    world.sender.deliver(pages(), 0, 1000, world.save)

    # Never more pages read than requests sent plus the two that may be open.
    assert all(number <= sent + 1 for number, sent in read)
    assert world.toy.prepared_pages == 6


def test_warnings_are_kept_once() -> None:
    assert World().deliver(page(1, 50)).warnings == ["slow list"]


# --- order, window, checkpoints ------------------------------------------------------------


def test_a_phase_is_settled_before_the_next_begins() -> None:
    # The second delete takes long, with a repeat: no insert may start before it is answered.
    world = World(script((0.1, OK), (20, NoAnswer("reset"))), max_in_flight=4)

    world.deliver(page(1, 20, phase=0), page(21, 10, phase=1))

    deletes = [sent for sent in world.transport.sent if sent.path == "/delete"]
    inserts = [sent for sent in world.transport.sent if sent.path == "/insert"]
    assert len(deletes) == 3
    assert inserts[0].at == pytest.approx(deletes[-1].at + 0.25)


def test_the_position_waits_for_the_slowest_and_then_jumps() -> None:
    # The first answer takes 3.5 s, all others 1 s; until then six other batches are settled.
    world = World(
        lambda number, _: (3.5 if number == 1 else 1, OK), max_in_flight=3, checkpoint_seconds=1
    )

    world.deliver(page(1, 200))

    assert (world.checkpoint_times[0], world.progress[0].position) == (3.5, 70)


def test_nothing_beyond_the_window_starts_before_a_checkpoint() -> None:
    world = World(script((12, OK)), max_in_flight=3)
    limit: list[int] = [30]

    def save(progress: Progress) -> None:
        world.save(progress)
        limit[0] = progress.position + 30

    real_start = world.transport.start

    def start(ticket: int, request: Request, timeout_s: float) -> None:
        assert max(json.loads(request.body or b"[]")) <= limit[0]
        real_start(ticket, request, timeout_s)

    world.transport.start = start  # type: ignore[method-assign]
    delivery = world.sender.deliver(iter([page(1, 100)]), 0, 30, save)

    assert delivery.position == 100
    # Batches 2 and 3 are done at once; then everything waits for the first.
    assert world.starts()[:4] == [0, 0, 0, 12]
    assert world.progress[0].position == 30


def test_checkpoints_come_by_time_and_only_with_news() -> None:
    world = World(lambda *_: (2.0, OK), max_in_flight=1, checkpoint_seconds=5)

    world.deliver(page(1, 80), window=1000)

    assert [progress.position for progress in world.progress] == [20, 50, 70]
    assert world.checkpoint_times == [5, 10, 15]


def test_no_checkpoint_while_nothing_happens() -> None:
    world = World(script((29, OK)), max_in_flight=1, checkpoint_seconds=1)

    world.deliver(page(1, 10))

    assert world.clock.time == START + 29
    assert world.progress == []


def test_failures_above_the_position_are_checkpointed_too() -> None:
    world = World(script((20, OK), (0.1, Response(200, b"[12]"))), checkpoint_seconds=5)

    world.deliver(page(1, 20))

    assert world.progress[0].position == 0
    assert [row.seq for row in world.progress[0].settled] == [12]


def test_half_a_window_is_confirmed_before_sending_stalls() -> None:
    world = World(max_in_flight=1, checkpoint_seconds=1000)

    world.deliver(page(1, 200), window=80)

    assert [progress.position for progress in world.progress] == [40, 80, 120, 160]


def test_a_limit_that_blocks_is_moved_as_soon_as_it_can_be() -> None:
    world = World(script((0.25, OK), (12, OK)), max_in_flight=2, checkpoint_seconds=1000)

    world.deliver(page(1, 30), window=25)

    assert world.starts() == [0, 0, 0.25]
    assert [progress.position for progress in world.progress] == [10]


def test_a_window_smaller_than_a_batch_still_gets_through() -> None:
    world = World()

    delivery = world.deliver(page(1, 25), window=4)

    assert delivery.position == 25
    assert max(map(len, world.sent_seqs())) == 4


def test_requests_sent_is_a_running_total() -> None:
    world = World(max_in_flight=1, checkpoint_seconds=0.5)

    delivery = world.deliver(page(1, 50))

    assert [progress.requests_sent for progress in world.progress] == sorted(
        progress.requests_sent for progress in world.progress
    )
    assert delivery.requests_sent == 5


# --- repeats -------------------------------------------------------------------------------


def test_a_transient_answer_is_repeated_and_counted() -> None:
    world = World(script((0.1, Response(503)), (0.1, NoAnswer("reset"))), max_in_flight=1)

    delivery = world.deliver(page(1, 3))

    assert world.sent_seqs() == [seqs(1, 3)] * 3
    assert world.settled(delivery) == {seq: row(seq, "succeeded", 3) for seq in (1, 2, 3)}


def test_retry_after_is_kept_and_holds_everybody() -> None:
    slow_down = Response(429, headers={"retry-after": "9"})
    world = World(script((0.15, slow_down)), max_in_flight=2, rate=10)

    world.deliver(page(1, 60))

    # The second request was on the wire already; everything after the 429 comes 9 s later.
    first, second, *rest = world.starts()
    assert [first, second] == pytest.approx([0, 0.100503])
    assert rest[0] == pytest.approx(9.15)
    assert min(rest) == rest[0]


def test_a_hold_moves_a_slot_that_was_reserved_before_it() -> None:
    slow_down = Response(429, headers={"retry-after": "9"})
    world = World(script((0.05, slow_down)), max_in_flight=2, rate=10)

    world.deliver(page(1, 60))

    # The second batch had its slot at 0.1 s when the 429 came at 0.05 s.
    first, *rest = world.starts()
    assert first == 0
    assert min(rest) == pytest.approx(9.05)


def test_a_503_delays_only_its_own_batch() -> None:
    busy = Response(503, headers={"retry-after": "9"})
    world = World(script((0.1, busy)), max_in_flight=2)

    world.deliver(page(1, 60))

    repeated = [sent.at - START for sent in world.transport.sent if sent.seqs == seqs(1, 10)]
    assert repeated == [0, pytest.approx(9.1)]
    assert sum(start < 9 for start in world.starts()) == 6


def test_a_hold_reaches_the_other_sync_of_the_account() -> None:
    clock = VirtualClock()
    pacers = Pacers(clock)
    slow_down = Response(429, headers={"retry-after": "30"})
    refused = World(lambda *_: (0.1, slow_down), clock=clock, pacers=pacers, retry_seconds=0)
    other = World(clock=clock, pacers=pacers)

    refused.deliver(page(1, 10))
    other.deliver(page(1, 10))

    assert other.starts() == [pytest.approx(30.1)]


def test_even_pacing_of_all_requests() -> None:
    world = World(rate=5, max_in_flight=4)

    world.deliver(page(1, 100))

    gaps = [b - a for a, b in zip(world.starts(), world.starts()[1:], strict=False)]
    assert gaps == pytest.approx([0.2 / 0.995] * 9)


def test_after_the_budget_the_last_answer_counts() -> None:
    world = World(lambda *_: (0.1, Response(503)), retry_seconds=20, max_in_flight=1)

    delivery = world.deliver(page(1, 2))

    last = world.settled(delivery)[1]
    assert (last.status, last.outcome, last.error_code) == ("failed", "unknown", "unavailable")
    assert last.attempts == delivery.requests_sent > 2
    assert world.starts()[-1] == pytest.approx(20)
    assert (delivery.ended, delivery.position) == ("done", 2)


def test_no_budget_means_one_sending() -> None:
    world = World(lambda *_: (0.1, Response(503)), retry_seconds=0)

    assert world.deliver(page(1, 2)).requests_sent == 1


def test_unavailable_becomes_unknown_when_an_earlier_request_may_have_worked() -> None:
    world = World(script((0.1, NoAnswer("reset")), *[(0.1, Response(503))] * 99), retry_seconds=5)

    assert world.settled(world.deliver(page(1, 2)))[2] == row(
        2,
        "unknown",
        len(world.transport.sent),
        "unknown",
        "HTTP 503; an earlier request got no answer",
    )


def test_unavailable_stays_when_no_request_ever_left() -> None:
    refused = NoAnswer("cannot connect", maybe_applied=False)
    world = World(script((0.1, refused), *[(0.1, Response(503))] * 99), retry_seconds=5)

    assert world.settled(world.deliver(page(1, 2)))[2].error_code == "unavailable"


def test_the_connector_decides_what_is_transient() -> None:
    class Patient(Toy):
        def is_transient(self, batch: Batch | None, response: Response) -> bool:
            assert batch is not None
            return response.status == 404 or super().is_transient(batch, response)

    world = World(script((0.1, Response(404))), toy=Patient())

    assert world.settled(world.deliver(page(1, 1)))[1].attempts == 2


# --- narrowing -----------------------------------------------------------------------------


def refuses(bad: int) -> Server:
    def server(number: int, request: Request) -> Reply:
        del number
        return 0.1, Response(400 if bad in json.loads(request.body or b"[]") else 200, b"[]")

    return server


def test_a_bad_row_is_narrowed_down_and_attempts_are_counted_per_change() -> None:
    world = World(refuses(6))

    delivery = world.deliver(page(1, 8))

    assert world.sent_seqs() == [
        seqs(1, 8), seqs(1, 4), seqs(5, 8), (5, 6), (5,), (6,), (7, 8)
    ]  # fmt: skip
    attempts = {seq: row.attempts for seq, row in world.settled(delivery).items()}
    assert attempts == {1: 2, 2: 2, 3: 2, 4: 2, 5: 4, 6: 4, 7: 3, 8: 3}
    assert [s for s, r in world.settled(delivery).items() if r.status == "failed"] == [6]


def test_doubt_in_one_part_stays_in_that_part() -> None:
    def server(number: int, request: Request) -> Reply:
        if number == 1:
            return 0.1, Response(400)
        left = 1 in json.loads(request.body or b"[]")
        return (0.1, NoAnswer("reset")) if left and number == 2 else (0.1, Response(503))

    world = World(server, retry_seconds=3)

    rows = world.settled(world.deliver(page(1, 4)))

    assert [rows[seq].error_code for seq in (1, 2, 3, 4)] == [
        "unknown", "unknown", "unavailable", "unavailable"
    ]  # fmt: skip


def test_narrowing_takes_slots_of_the_pacer() -> None:
    world = World(refuses(1), rate=1)

    world.deliver(page(1, 2))

    assert world.starts() == pytest.approx([0, 1 / 0.995, 2 / 0.995], abs=1e-5)


# --- cut short -----------------------------------------------------------------------------


def test_fatal_settles_the_siblings_and_leaves_its_own_batch_untried() -> None:
    replies = script((5, OK), (0.1, Response(401)), (3, Response(200, b"[25]")))
    world = World(replies, max_in_flight=3)

    delivery = world.deliver(page(1, 60))

    assert (delivery.ended, delivery.error_code) == ("fatal", "unauthorized")
    assert delivery.error_reason == "the key is wrong"
    assert delivery.requests_sent == 3
    assert delivery.position == 10
    rows = world.settled(delivery)
    # Above the position also plain successes are explicit; 11 to 20 count as not tried.
    assert set(rows) == set(range(21, 31))
    assert [seq for seq, row in rows.items() if row.status == "failed"] == [25]


def test_fatal_leaves_siblings_that_wait_for_a_repeat_with_a_line_in_the_log() -> None:
    replies = script((0.1, Response(503, headers={"retry-after": "30"})), (0.2, Response(401)))
    world = World(replies)

    delivery = world.deliver(page(1, 30))

    rows = world.settled(delivery)
    assert (delivery.ended, delivery.position, delivery.requests_sent) == ("fatal", 0, 2)
    assert set(rows) == set(range(1, 11))
    assert rows[1]._replace(error_reason=None) == row(1, "unknown", 1, "unavailable")


def test_stop_awaits_the_wire_and_starts_nothing() -> None:
    world = World(script((10, OK), (2, OK)), stop_at=START + 1)

    delivery = world.deliver(page(1, 60))

    assert (delivery.ended, delivery.error_code) == ("interrupted", "interrupted")
    assert (delivery.position, delivery.requests_sent) == (20, 2)
    assert world.clock.time == START + 10
    assert world.settled(delivery) == {}


def test_stop_is_heard_between_two_starts() -> None:
    def check() -> None:
        world.stop_at = START

    world = World(max_in_flight=4, before_request=check)

    delivery = world.deliver(page(1, 60))

    assert (delivery.ended, delivery.position, delivery.requests_sent) == ("interrupted", 10, 1)


def test_stop_reports_what_was_sent_but_not_settled() -> None:
    busy = Response(503, headers={"retry-after": "30"})
    replies = script((0.1, NoAnswer("reset")), (0.1, OK), (0.1, busy))
    world = World(replies, stop_at=START + 5)

    delivery = world.deliver(page(1, 20))

    rows = world.settled(delivery)
    assert (delivery.ended, delivery.position, delivery.requests_sent) == ("interrupted", 0, 3)
    waiting = {rows[seq].error_code for seq in range(1, 11)}, rows[1].attempts
    assert waiting == ({"unknown"}, 2)
    assert {rows[seq].status for seq in range(11, 21)} == {"succeeded"}


def test_stop_leaves_a_narrowing_unfinished_and_says_so() -> None:
    world = World(refuses(6), stop_at=START + 0.15, max_in_flight=1)

    delivery = world.deliver(page(1, 8), page(9, 8))

    rows = world.settled(delivery)
    assert (delivery.ended, delivery.position, delivery.requests_sent) == ("interrupted", 0, 2)
    assert {seq: row.attempts for seq, row in rows.items()} == {
        1: 2, 2: 2, 3: 2, 4: 2, 5: 1, 6: 1, 7: 1, 8: 1
    }  # fmt: skip
    assert {row.error_code for row in rows.values()} == {"unknown"}


def test_stop_ends_a_long_wait_soon() -> None:
    slow = Response(503, headers={"retry-after": "300"})
    world = World(lambda *_: (0.1, slow), retry_seconds=3600, stop_at=START + 10)

    delivery = world.deliver(page(1, 10))

    assert delivery.ended == "interrupted"
    assert world.clock.time < START + 11
    assert {row.error_code for row in world.settled(delivery).values()} == {"unavailable"}


def test_stop_before_the_start_sends_nothing() -> None:
    world = World(stop_at=0)

    delivery = world.deliver(page(1, 10))

    assert (delivery.ended, delivery.error_code) == ("interrupted", "interrupted")
    assert (delivery.position, delivery.settled, delivery.requests_sent) == (0, [], 0)


def test_stop_when_all_is_done_is_no_interruption() -> None:
    world = World(stop_at=START + 0.2)

    assert world.deliver(page(1, 10)).ended == "done"


def test_three_batches_in_a_row_without_an_answer_end_the_run() -> None:
    world = World(lambda *_: (0.1, Response(502)), retry_seconds=0, max_in_flight=1)

    delivery = world.deliver(page(1, 100))

    assert (delivery.ended, delivery.error_code) == ("fatal", "destination_unavailable")
    assert "HTTP 502" in (delivery.error_reason or "")
    assert (delivery.position, delivery.requests_sent) == (30, 3)
    rows = world.settled(delivery)
    assert set(rows) == set(range(1, 31))
    assert {row.error_code for row in rows.values()} == {"unavailable"}


@pytest.mark.parametrize("between", [OK, Response(429), Response(400)])
def test_an_answer_in_between_starts_the_count_again(between: Response) -> None:
    down = (0.1, NoAnswer("reset"))
    replies = script(down, down, (0.1, between), down, down)
    world = World(replies, toy=Toy(records=1), retry_seconds=0, max_in_flight=1)

    assert world.deliver(page(1, 6)).ended == "done"


def test_batches_on_the_wire_are_still_settled_after_the_third() -> None:
    down = (0.1, Response(503))
    world = World(script(down, (4, OK), down, down), retry_seconds=0)

    delivery = world.deliver(page(1, 100))

    assert (delivery.ended, delivery.position) == ("fatal", 40)
    assert world.clock.time == START + 4


# --- what others do wrong ------------------------------------------------------------------


def test_a_wrong_number_of_outcomes_loses_nobody() -> None:
    world = World(toy=Toy(short=1))

    delivery = world.deliver(page(1, 4))

    rows = world.settled(delivery)
    assert set(rows) == {1, 2, 3, 4}
    assert {row.outcome for row in rows.values()} == {"unknown"}
    assert rows[1].error_reason == "the connector returned 3 outcomes for 4 changes: a bug in it"


def test_a_bug_of_the_connector_comes_through_and_nothing_else_is_sent() -> None:
    class Broken(Toy):
        def _outcome(self, answer: Answer, body: bytes) -> Outcome:
            raise ZeroDivisionError(answer, body)

    world = World(toy=Broken())

    with pytest.raises(ZeroDivisionError):
        world.deliver(page(1, 100))
    assert len(world.transport.sent) == 2


def test_a_connector_that_prepares_too_little_is_refused() -> None:
    class Forgetful(Toy):
        def prepare(self, operation: Operation, changes: pa.RecordBatch) -> Prepared:
            return super().prepare(operation, changes.slice(1))

    with pytest.raises(ValueError, match="one body per change"):
        World(toy=Forgetful()).deliver(page(1, 5))


def test_a_lost_lease_stops_everything_at_once() -> None:
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise LeaseLost("another run took over")

    world = World(before_request=check, max_in_flight=4)

    with pytest.raises(LeaseLost):
        world.deliver(page(1, 100))
    assert len(world.transport.sent) == 2
    assert world.progress == []


def test_the_lease_is_checked_right_before_each_request() -> None:
    checks: list[float] = []
    world = World(rate=2, before_request=lambda: checks.append(world.clock.time))

    world.deliver(page(1, 50))

    assert checks == [sent.at for sent in world.transport.sent]


def test_a_failing_checkpoint_ends_the_delivery() -> None:
    def fail(progress: Progress) -> None:
        raise LeaseLost(f"at {progress.position}")

    world = World(max_in_flight=1)

    with pytest.raises(LeaseLost, match="at 10"):
        world.sender.deliver(iter([page(1, 100)]), 0, 20, fail)


# --- single conversations ------------------------------------------------------------------


def test_a_conversation_returns_its_result() -> None:
    world = World(script((0.1, Response(503)), (0.1, OK), (0.1, Response(200, b"4711"))))

    assert world.sender.wire.converse(world.toy.find_target()) == Target("4711")
    assert [sent.path for sent in world.transport.sent] == ["/lists"] * 3
    assert world.deliver(page(1, 1)).requests_sent == 4


def test_a_fatal_conversation_is_a_destination_error_with_its_code() -> None:
    world = World(script((0.1, Response(401))))

    with pytest.raises(DestinationError, match="the key is wrong") as caught:
        world.sender.wire.converse(world.toy.find_target())
    assert caught.value.code == "unauthorized"


@pytest.mark.parametrize("answer", [NoAnswer("cannot connect"), Response(503)])
def test_a_conversation_without_an_answer_says_that_the_destination_is_down(
    answer: Answer,
) -> None:
    world = World(lambda *_: (0.1, answer), retry_seconds=10)

    with pytest.raises(DestinationError, match=r"cannot connect|HTTP 503") as caught:
        world.sender.wire.converse(world.toy.find_target())
    assert caught.value.code == "destination_unavailable"
    assert world.clock.time == pytest.approx(START + 10.1)


def create_once() -> Generator[Request, Answer, Answer]:
    return (yield Request("POST", "/lists", "lists", b"[]", repeatable=False))


@pytest.mark.parametrize("doubtful", [NoAnswer("reset"), Response(500)])
def test_a_request_that_must_not_be_repeated_is_not(doubtful: Answer) -> None:
    world = World(script((0.1, doubtful)))

    assert world.sender.wire.converse(create_once()) == doubtful
    assert len(world.transport.sent) == 1


@pytest.mark.parametrize("harmless", [NoAnswer("refused", maybe_applied=False), Response(429)])
def test_it_is_repeated_when_it_was_surely_not_done(harmless: Answer) -> None:
    world = World(script((0.1, harmless), (0.1, OK)))

    assert world.sender.wire.converse(create_once()) == OK
    assert len(world.transport.sent) == 2


def test_what_was_not_delivered_counts_its_requests() -> None:
    world = World(script((0.1, Response(401))))
    with pytest.raises(DestinationError) as caught:
        world.sender.wire.converse(world.toy.find_target())

    requests_sent = world.sender.wire.requests_sent
    delivery = Delivery.none("fatal", caught.value, requests_sent)

    assert (delivery.ended, delivery.error_code) == ("fatal", "unauthorized")
    assert (delivery.position, delivery.requests_sent) == (0, 1)


def test_a_conversation_can_be_stopped() -> None:
    world = World(lambda *_: (0.1, Response(503)), retry_seconds=9999, stop_at=START + 5)

    with pytest.raises(Interrupted):
        world.sender.wire.converse(world.toy.find_target())
    assert world.clock.time < START + 6


def test_a_conversation_keeps_to_pacing_and_lease() -> None:
    checks: list[float] = []
    world = World(rate=1, before_request=lambda: checks.append(world.clock.time))

    world.sender.wire.converse(world.toy.find_target())

    assert checks == pytest.approx([START, START + 1 / 0.995])


# --- any history ---------------------------------------------------------------------------


@dataclass
class Trial:
    """A random world, with a server that remembers what it applied."""

    seed: int
    applied: Counter[int] = field(default_factory=Counter)
    requests: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        rng = self.rng = Random(self.seed)
        self.harm = rng.choice([0.0, 0.1, 0.5, 0.9])
        self.fatal = rng.choice([0.0, 0.0, 0.05])
        self.window = rng.choice([1, 7, 20, 45, 500])
        self.world = World(
            self.serve,
            toy=Toy(records=rng.choice([1, 4, 10])),
            rate=rng.choice([0, 0, 3, 20]),
            retry_seconds=rng.choice([0, 5, 60]),
            timeout_s=rng.choice([2, 30]),
            max_in_flight=rng.choice([1, 2, 5]),
            checkpoint_seconds=rng.choice([0.3, 5, 1000]),
            stop_at=START + rng.choice([1.5, 20, float("inf"), float("inf")]),
            seed=self.seed,
        )
        self.limit = self.window
        self.pages = list(self.plan())
        self.last = self.pages[-1].first_seq + self.pages[-1].rows.num_rows - 1
        self.first_of_phase_1 = min((p.first_seq for p in self.pages if p.phase), default=10**9)

    def plan(self) -> Iterator[Page]:
        first = 1
        for phase in (0, 1):
            for _ in range(self.rng.randrange(1, 4)):
                count = self.rng.randrange(1, 40)
                numbers = range(first, first + count)
                marks = {n: m for n in numbers if (m := self.rng.choice(["", "", "", "-", "+"]))}
                yield page(first, count, phase, marks)
                first += count

    def serve(self, number: int, request: Request) -> Reply:
        del number
        carried: list[int] = json.loads(request.body or b"[]")
        self.requests.update(carried)
        assert max(carried) <= self.limit, "beyond the send limit"
        latency = self.rng.choice([0.0, 0.1, 0.25, 1.0, 5.0])
        if self.rng.random() < self.fatal:
            return latency, Response(401)
        if self.rng.random() < self.harm:
            return latency, self.fault(carried)
        if latency <= self.world.timeout_s or self.rng.random() < 0.5:
            self.applied.update(carried)
        return latency, OK

    def fault(self, carried: Sequence[int]) -> Answer:
        kind = self.rng.randrange(7)
        if kind == 0:
            self.applied.update(carried)
        if kind == 6:
            return self.refuse_one(carried)
        after = {"retry-after": self.rng.choice(["", "0", "3", "9999", "x"])}
        answers: list[Answer] = [
            NoAnswer("reset after it was applied"),
            NoAnswer("reset before"),
            NoAnswer("refused", maybe_applied=False),
            Response(429, headers=after),
            Response(503, headers=after),
            Response(400),
        ]
        return answers[kind]

    def refuse_one(self, carried: Sequence[int]) -> Response:
        bad = self.rng.choice(carried)
        self.applied.update(seq for seq in carried if seq != bad)
        return Response(200, json.dumps([bad]).encode())

    def save(self, progress: Progress) -> None:
        self.world.save(progress)
        assert progress.position + self.window >= self.limit
        self.limit = progress.position + self.window

    def run(self) -> Delivery:
        return self.world.sender.deliver(iter(self.pages), 0, self.window, self.save)

    def trace(self, delivery: Delivery) -> list[Any]:
        return [self.world.transport.sent, self.world.progress, delivery, self.world.clock.time]


def check(trial: Trial, delivery: Delivery) -> None:
    rows = trial.world.settled(delivery)
    tried = set(trial.requests)
    assert trial.world.transport.on_wire == []
    assert trial.world.transport.most_on_wire <= trial.world.max_in_flight
    assert delivery.requests_sent == len(trial.world.transport.sent)
    if delivery.ended == "done":
        assert delivery.position == trial.last
    for seq, row in rows.items():
        assert row.attempts == trial.requests[seq]
        if row.error_code == "unavailable":
            assert not trial.applied[seq], "said to be not applied, but is"
    for seq in range(1, trial.last + 1):
        row_or_none = rows.get(seq)
        if row_or_none is not None and row_or_none.status == "succeeded":
            assert trial.applied[seq]
        if row_or_none is None and seq <= delivery.position:
            assert trial.requests[seq] == 1
            assert trial.applied[seq], "counted as a plain success, but not applied"
    silent = {seq for seq in tried if seq > delivery.position and seq not in rows}
    assert silent <= trial.world.toy.not_tried
    assert delivery.ended != "interrupted" or not silent


def check_phases(trial: Trial) -> None:
    begun = False
    for sent in trial.world.transport.sent:
        begun = begun or max(sent.seqs) >= trial.first_of_phase_1
        assert not begun or min(sent.seqs) >= trial.first_of_phase_1


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32))
def test_any_history_keeps_the_promises(seed: int) -> None:
    trial = Trial(seed)

    delivery = trial.run()

    check(trial, delivery)
    check_phases(trial)


@pytest.mark.parametrize("seed", range(20))
def test_the_same_seed_gives_the_same_trace(seed: int) -> None:
    first, second = Trial(seed), Trial(seed)

    assert first.trace(first.run()) == second.trace(second.run())


def test_a_pacer_of_its_own_per_endpoint() -> None:
    asked: list[str] = []
    world = World()
    pacer = Pacer(0, world.clock)

    def pacers(endpoint: str) -> Pacer:
        asked.append(endpoint)
        return pacer

    world.sender.wire.pacers = pacers
    world.sender.wire.converse(world.toy.find_target())
    world.deliver(page(1, 1))

    assert set(asked) == {"lists", "write"}

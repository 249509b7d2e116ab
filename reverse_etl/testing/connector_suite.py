"""What any connector must do, as tests to subclass.

A test module of a connector holds a class with a fixture ``stand_in``::

    class TestMyConnector(ConnectorSuite):
        @pytest.fixture
        def stand_in(self) -> Iterator[StandIn]: ...

It returns a :class:`StandIn`: a local server that plays the API, and one object of the connector
bound to it. Between the two the suite puts a relay (:mod:`reverse_etl.testing.relay`), which
answers with whatever a server or a network can come up with. The requests travel over real
sockets, through the real transport and the real sender; only back-off takes no real time.
"""

from __future__ import annotations

import html
import json
import logging
import random
import re
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reverse_etl.connector import (
    Answer,
    Batch,
    Delivered,
    Fatal,
    Finding,
    NoAnswer,
    Operation,
    Outcome,
    OutcomeStatus,
    Request,
    Response,
)
from reverse_etl.delivery.http import HttpTransport
from reverse_etl.delivery.limiter import Pacers
from reverse_etl.delivery.retry import RetryPolicy
from reverse_etl.delivery.sender import Delivery, Page, Progress, Sender, Settled
from reverse_etl.delivery.wire import Wire
from reverse_etl.error_codes import ERROR_CODES, Place
from reverse_etl.errors import DestinationError
from reverse_etl.testing import relay as scripts
from reverse_etl.testing.patience import PatientClock, PatientTransport
from reverse_etl.testing.relay import Relay, relaying

if TYPE_CHECKING:
    import pyarrow as pa
    from hypothesis.strategies import SearchStrategy

    from reverse_etl.connector import (
        AccountSettings,
        Connector,
        DestinationObject,
        Prepared,
        Target,
        TargetInfo,
    )
    from reverse_etl.testing.relay import Exchange, Script

_T = TypeVar("_T")

SECRET = "sk-canary/0123456789abcdef"  # noqa: S105 - made up, and looked for in everything we say
_TRACES = ("canary", "0123456789abcdef")

_SNAKE_CASE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_VERBS = (
    "add|ask|check|choose|copy|create|look|make|map|name|raise|remove|rename|repeat|retry|run|say"
    "|set|try|use|wait|write|correct|right|longer"
)
_NEXT_STEP = re.compile(rf"\b({_VERBS})", re.IGNORECASE)
_LONGEST_TEXT = 1_500
"""Characters of a reason: it goes into a log line, whatever the answer held."""

_TIMEOUT_S = 5.0
_SHORT_S = 0.15
"""Real seconds until a request counts as unanswered, where the test wants it to."""


# --- what a connector's tests provide ------------------------------------------------------


class StandIn(ABC):
    """A server that plays the API, empty, and one object of a connector to talk to it with.

    The people of the suite are numbers from 0. Who a number is (identity, alias, values of the
    mapped columns) is the subclass's business and never changes.

    Attributes:
        connector: The connector under test.
        url: Base URL of the server; it accepts the key :data:`SECRET`.
    """

    connector: Connector
    url: str

    @abstractmethod
    def account(self, url: str, **keys: Any) -> AccountSettings:  # noqa: ANN401 - of the config
        """Return the account, with the key :data:`SECRET`, at a base URL.

        Args:
            url: Base URL.
            keys: Further keys of :class:`AccountSettings`, e.g. ``records_per_request``.
        """

    @abstractmethod
    def bind(self, account: AccountSettings) -> DestinationObject:
        """Return the object, with at least one field mapped where it has fields."""

    @abstractmethod
    def changes(self, operation: Operation, people: Sequence[int]) -> pa.RecordBatch:
        """Return what :meth:`DestinationObject.prepare` takes for changes of these people."""

    @abstractmethod
    def unsendable(self, operation: Operation) -> pa.RecordBatch:
        """Return changes that must all be refused before sending, for every reason there is."""

    @abstractmethod
    def named_in(self, body: bytes) -> list[int]:
        """Return the people that the body of a request carries, in order."""

    @abstractmethod
    def put(self, people: Sequence[int]) -> None:
        """Let people be at the destination whom somebody else put there."""

    @abstractmethod
    def present(self) -> set[int]:
        """Return the people that are at the destination: inserted, and not deleted since."""

    @abstractmethod
    def state(self) -> object:
        """Return all that the destination holds, comparable; without times."""


# --- talking -------------------------------------------------------------------------------


def hold(
    conversation: Generator[Request, Answer, _T],
    answer: Callable[[Request], Answer],
    most_requests: int,
) -> tuple[_T, list[Request]]:
    """Hold a conversation to its end, without any repeat of the engine's.

    Returns:
        Its result, and the requests it made.
    """
    requests: list[Request] = []
    try:
        request = next(conversation)
        while True:
            requests.append(request)
            assert len(requests) <= most_requests, "the conversation does not end"
            request = conversation.send(answer(request))
    except StopIteration as end:
        return end.value, requests


def in_turn(answers: Sequence[Answer]) -> Callable[[Request], Answer]:
    """Return a server that gives these answers, and the last one again and again."""
    left = iter(answers)
    return lambda _request: next(left, answers[-1])


@dataclass
class Rig:
    """A connector's object behind a relay, with all that sends for it.

    Attributes:
        stand_in: Behind the relay.
        relay: Between us and the stand-in.
        account: Points at the relay.
        object: Under test.
        transport: Real, but for the waiting.
        clock: Time.
        timeout_s: Real seconds until a request counts as unanswered.
        target: What the object writes to.
    """

    stand_in: StandIn
    relay: Relay
    account: AccountSettings
    object: DestinationObject
    transport: PatientTransport
    clock: PatientClock
    timeout_s: float = _TIMEOUT_S
    target: Target = field(init=False)

    def __post_init__(self) -> None:
        """Find the target, before the relay does what it likes."""
        self.target = self.find_target()

    @property
    def wire(self) -> Wire:
        """A way to the account with pacers of its own."""
        pacers = Pacers(self.clock)
        rates = dict(self.object.limits.requests_per_second)
        # Only conversations outside of a run need more than these.
        with suppress(NotImplementedError):
            whole = self.stand_in.connector.limits(self.account)
            rates = {**whole.requests_per_second, **rates}
        return Wire(
            self.transport,
            lambda endpoint: pacers.get("account", endpoint, rates[endpoint]),
            self.clock,
            lambda: RetryPolicy(self.account.retry_seconds, random.Random(7)),
            self.timeout_s,
            stop=lambda: False,
            is_transient=self.object.is_transient,
        )

    def find_target(self) -> Target:
        """Find the target, or make it."""
        return self.wire.converse(self.object.find_target())

    def targets(self) -> Generator[Request, Answer, Sequence[TargetInfo]] | None:
        """Ask for the targets of the account; None where the connector lists none."""
        try:
            return self.stand_in.connector.list_targets(self.account)
        except NotImplementedError:
            return None

    def prepare(self, operation: Operation, people: Sequence[int]) -> Prepared:
        """Prepare changes of people."""
        return self.object.prepare(operation, self.stand_in.changes(operation, people))

    def batch(self, operation: Operation, people: Sequence[int]) -> Batch:
        """Return one batch with changes of people, all of them sendable."""
        prepared = self.prepare(operation, people)
        assert all(prepared.bodies)
        return Batch(operation, self.target, prepared.bodies, prepared.identities, prepared.aliases)

    def deliver(
        self, operation: Operation, people: Sequence[int]
    ) -> tuple[Delivery, dict[int, Settled | None]]:
        """Deliver changes as a run does.

        Returns:
            How it ended, and what became of each person that is settled; None is a plain success.
        """
        rows = self.stand_in.changes(operation, people)
        written: list[Settled] = []
        sender = Sender(
            self.object, self.target, self.wire, self.account.max_in_flight, checkpoint_seconds=5
        )
        delivery = sender.deliver(
            iter([Page(0, operation, 1, rows)]),
            0,
            10_000,
            lambda progress: written.extend(_news(progress)),
        )
        written += delivery.settled
        assert len({each.seq for each in written}) == len(written), "settled twice"
        settled: dict[int, Settled | None] = {
            person: None for seq, person in enumerate(people, 1) if seq <= delivery.position
        }
        settled |= {people[each.seq - 1]: each for each in written}
        return delivery, settled

    def check_code(self, code: str | None) -> None:
        """Make sure that somebody who meets an error code can look it up."""
        if code is None or code in ERROR_CODES:
            return
        own = [each.code for each in self.stand_in.connector.error_codes]
        assert code in own, f"nobody explains {code}: add it to error_codes of the connector"


def _news(progress: Progress) -> list[Settled]:
    return progress.settled


# --- what holds for every answer -----------------------------------------------------------


def check_outcomes(delivered: Delivered, count: int) -> None:
    """Hold a result against the contract."""
    assert len(delivered.outcomes) == count, "one outcome per change"
    for outcome in delivered.outcomes:
        check_outcome(outcome)
    assert all(0 < len(warning) <= _LONGEST_TEXT for warning in delivered.warnings)
    check_secret(delivered)


def check_outcome(outcome: Outcome) -> None:
    """Hold one outcome against the contract."""
    assert outcome.status in get_args(OutcomeStatus)
    if outcome.status != "succeeded":
        assert outcome.code, outcome
        assert outcome.reason, outcome
    if outcome.code is not None:
        assert _SNAKE_CASE.fullmatch(outcome.code), outcome
    if outcome.reason is not None:
        assert outcome.reason.splitlines() == [outcome.reason], "one line"
        assert len(outcome.reason) <= _LONGEST_TEXT
    if outcome.status == "unknown":
        assert outcome.retryable, outcome


def check_fatal(fatal: Fatal | DestinationError) -> None:
    """Hold the end of a run against the contract."""
    assert _SNAKE_CASE.fullmatch(fatal.code), fatal.code
    assert _NEXT_STEP.search(str(fatal)), f"no next step: {fatal}"
    assert len(str(fatal)) <= 2 * _LONGEST_TEXT
    check_secret(*traceback.format_exception(fatal))


def check_findings(findings: Sequence[Finding]) -> None:
    """Hold what ``check`` found against the contract."""
    for finding in findings:
        assert finding.subject
        assert finding.verdict in ("ok", "warning", "failed", "unproven")
        assert finding.text.splitlines() == [finding.text], "one line"
        if finding.verdict == "failed":
            assert _NEXT_STEP.search(finding.text), f"no next step: {finding.text}"
    check_secret(*findings)


def check_secret(*things: object) -> None:
    """Look for the key in what somebody might print."""
    for thing in things:
        text = f"{thing!s}\n{thing!r}"
        for trace in _TRACES:
            assert trace not in text, f"the key shows in: {text[:500]}"


# --- answers that a server may give --------------------------------------------------------

STATUSES = (
    *(200, 201, 202, 203, 204, 206, 207, 226),
    *(300, 301, 302, 303, 304, 307, 308),
    *range(400, 419),
    *(421, 422, 423, 424, 425, 426, 428, 429, 431, 451, 499),
    *range(500, 512),
    *(520, 521, 522, 524, 529, 530, 598, 599),
)
_FEW_STATUSES = (200, 201, 204, 302, 400, 401, 404, 408, 409, 413, 422, 429, 500, 503, 599)

_DEEP = 100_000
BODIES: dict[str, bytes] = {
    "nothing": b"",
    "white space": b" \r\n\t",
    "HTML": b"<!doctype html><html><body><h1>502 Bad Gateway</h1></body></html>",
    "plain text": b"Rate limit exceeded. Please try again later.",
    "no UTF-8": b"\xff\xfe\x00{\x00}\x00",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "NUL": b"\x00" * 20,
    "null": b"null",
    "true": b"true",
    "a number": b"3",
    "a huge number": b"9" * 5_000,
    "a string": b'"Success"',
    "an empty array": b"[]",
    "an empty object": b"{}",
    "an array of objects": b"[{}, {}, {}]",
    "two documents": b"{}{}",
    "keys twice": b'{"code": "A", "code": "B", "successCount": 0, "successCount": 1}',
    "JSON cut short": b'{"successCount": 3, "failC',
    "deep arrays": b"[" * _DEEP,
    "deep objects": b'{"a":' * _DEEP,
    "closed deep arrays": b"[" * _DEEP + b"]" * _DEEP,
    "NaN": b'{"successCount": NaN, "failCount": -Infinity, "code": NaN, "msg": NaN}',
    "half a surrogate": b'{"code": "\\ud800", "msg": "\\udfff", "params": {"\\ud800": "\\ud800"}}',
    "lines": b'{"code": "A\\nB", "msg": "one\\ntwo\\r\\u2028three\\u0085", "params": null}',
    "a long message": b'{"code": "%b", "msg": "%b"}' % (b"x" * 9_999, b"y" * 20_000),
    "odd types": b'{"code": {"a": 1}, "msg": [1, null], "params": "x", "errors": 7}',
}

_PLAIN_BODIES = ("nothing", "HTML", "plain text", "an empty object", "null")
"""Tried with every status; the others with a few."""


_MAD_BODIES = (
    b"",
    b"<html>",
    b"null",
    b"[]",
    b"{}",
    b'{"lists": 1, "fields": 2, "user": 3}',
    b'{"lists": [1, {}, {"id": []}], "fields": [2], "user": {"dataFields": 4}}',
    b"[" * _DEEP,
    b'{"code": "A\nB", "msg": "one\ntwo", "params": {"a": 1}}',
    b"\xff\xfe\x00\n\n",
)


def documents() -> SearchStrategy[Any]:
    """Return any JSON value, small."""
    leaves = (
        st.none()
        | st.booleans()
        | st.integers(-(2**70), 2**70)
        | st.integers(-2, 9)
        | st.floats()
        | st.text(max_size=8)
    )
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
        ),
        max_leaves=6,
    )


def mutations(sample: bytes) -> SearchStrategy[bytes]:
    """Return bodies that differ from a valid one: in values, in keys, in bytes."""
    try:
        document = json.loads(sample)
    except ValueError:
        return _bytewise(sample)
    changed = st.lists(st.tuples(st.integers(0, 50), documents()), max_size=3).map(
        lambda edits: json.dumps(_edited(document, edits)).encode()
    )
    return changed | _bytewise(sample)


def _bytewise(sample: bytes) -> SearchStrategy[bytes]:
    """Return the sample cut short, or with some bytes put into it."""
    places = st.integers(0, len(sample))
    return st.builds(
        lambda start, stop, bits: sample[:start] + bits + sample[stop:],
        places,
        places,
        st.binary(max_size=6),
    )


def _edited(document: Any, edits: Sequence[tuple[int, Any]]) -> Any:  # noqa: ANN401 - any JSON
    """Return a copy in which some values are others."""
    copied = json.loads(json.dumps(document))
    for place, value in edits:
        holders = [*_holders(copied)]
        if not holders:
            return value
        holder, key = holders[place % len(holders)]
        holder[key] = value
    return copied


def _holders(document: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401 - any JSON
    """Yield every place in a document: what holds it, and its key or index."""
    inside = (
        document.items()
        if isinstance(document, dict)
        else enumerate(document)
        if isinstance(document, list)
        else ()
    )
    for key, value in [*inside]:
        yield document, key
        yield from _holders(value)


# --- faults of the wire --------------------------------------------------------------------

_OK = scripts.rendered(200, b'{"ok": true}')


def _wire_faults() -> dict[str, Script]:
    """Return what a network or a mad server can do instead of answering."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
    return {
        "reset": scripts.resetting(),
        "reset after it was applied": scripts.resetting(applied=True),
        "reset within the head": scripts.resetting(b"HTTP/1.1 200 O"),
        "reset within the body": scripts.resetting(head + b'{"ok"', applied=True),
        "closed": scripts.saying(close=True),
        "closed within the body": scripts.saying(head + b'{"ok"', applied=True, close=True),
        "silence": scripts.hanging(_SHORT_S * 4),
        "silence after it was applied": scripts.hanging(_SHORT_S * 4, applied=True),
        "a slow head": scripts.dripping(_OK, _SHORT_S / 4),
        "a slow body": scripts.dripping(_OK, _SHORT_S / 4, applied=True),
        "garbage": scripts.saying(b"\x00\x01\x02 not HTTP at all\r\n\r\n", close=True),
        "another protocol": scripts.saying(b"SSH-2.0-OpenSSH_9.6\r\n", close=True),
        "a wrong length": scripts.saying(
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}", close=True
        ),
        "broken chunks": scripts.saying(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n", close=True
        ),
        "broken compression": scripts.saying(
            scripts.rendered(200, b"\x1f\x8bnot gzip", {"Content-Encoding": "gzip"}), close=True
        ),
        "an unknown compression": scripts.saying(
            scripts.rendered(200, b"{}", {"Content-Encoding": "br"}), applied=True, close=True
        ),
    }


WIRE_FAULTS = tuple(_wire_faults())


# --- the suite -----------------------------------------------------------------------------


class ConnectorSuite:
    """Every promise of :mod:`reverse_etl.connector` that can be looked at from outside.

    A subclass has a fixture ``stand_in``.

    Attributes:
        most_requests: Requests that one batch may need, whatever the answers.
        transient: Statuses after which the same request is sent again.
        final: Statuses after which it is not, however long one could wait.
    """

    most_requests: ClassVar[int] = 200
    transient: ClassVar[Sequence[int]] = (429, 500, 502, 503, 504)
    final: ClassVar[Sequence[int]] = (400, 401, 403, 404, 409, 413, 422)

    @pytest.fixture
    def new_rig(self, stand_in: StandIn) -> Iterator[Callable[..., Rig]]:
        """Return what puts the object behind a relay; its keys are those of the account."""
        with relaying(stand_in.url) as relay:
            open_transports: list[PatientTransport] = []

            def make(url: str | None = None, **keys: Any) -> Rig:  # noqa: ANN401 - of the config
                account = stand_in.account(url or relay.url, **keys)
                clock = PatientClock()
                inner = HttpTransport(
                    account.url(), account.headers(), account.max_in_flight, [SECRET]
                )
                transport = PatientTransport(inner, clock)
                open_transports.append(transport)
                return Rig(stand_in, relay, account, stand_in.bind(account), transport, clock)

            yield make
            for transport in open_transports:
                transport.close()

    @pytest.fixture
    def rig(self, new_rig: Callable[..., Rig]) -> Rig:
        """Put the object behind a relay, with default settings."""
        return new_rig()

    @staticmethod
    def operations(rig: Rig) -> list[Operation]:
        """Return the operations that the object offers."""
        return [each for each in Operation if each is not Operation.DELETE or rig.object.deletes]

    # --- its error codes -------------------------------------------------------------------

    def test_its_error_codes_are_explained(self, stand_in: StandIn) -> None:
        """Each has its place, its meaning and a next step, and none is a word of the contract."""
        own = stand_in.connector.error_codes
        codes = [each.code for each in own]
        assert len(set(codes)) == len(codes)
        assert [code for code in codes if code in ERROR_CODES] == []
        for each in own:
            assert _SNAKE_CASE.fullmatch(each.code), each
            assert each.places, each
            assert set(each.places) <= set(get_args(Place)), each
            assert each.meaning, each
            assert each.by_itself, each
            assert _NEXT_STEP.search(each.action), f"no next step: {each}"

    # --- the target ------------------------------------------------------------------------

    def test_the_target_is_found_again(self, rig: Rig) -> None:
        """Looking twice makes nothing twice."""
        first = rig.find_target()
        state = rig.stand_in.state()
        again = rig.find_target()
        assert (again.id, again.name) == (first.id, first.name)
        assert rig.stand_in.state() == state

    def test_the_targets_of_the_account_are_listed(self, rig: Rig) -> None:
        """What a sync writes to is among them; looking changes nothing."""
        asked = rig.targets()
        if asked is None:
            pytest.skip("the connector lists no targets")
        state = rig.stand_in.state()
        targets = rig.wire.converse(asked)
        assert rig.stand_in.state() == state
        if rig.target.id:
            assert [each.writable for each in targets if each.id == rig.target.id] == [True]
        check_secret(*targets)

    def test_checking_changes_nothing(self, rig: Rig) -> None:
        """What ``check`` asks is answered without writing, and finds nothing wrong here."""
        schema = rig.stand_in.changes(Operation.INSERT, [0]).schema
        for known in (None, rig.target):
            state = rig.stand_in.state()
            findings = rig.wire.converse(rig.object.inspect(schema, known), unheard=True)
            assert rig.stand_in.state() == state
            assert [finding for finding in findings if finding.verdict == "failed"] == []
            check_findings(findings)

    def test_an_audit_finds_who_is_there(self, rig: Rig) -> None:
        """Everybody who was delivered is found as they are, and nobody else."""
        if rig.object.audits is None:
            pytest.skip("the object offers no audit")
        rig.deliver(Operation.INSERT, range(12))
        state = rig.stand_in.state()
        if rig.object.audits == "members":
            wanted = set(rig.prepare(Operation.INSERT, range(12)).identities)
            assert self._members(rig) >= wanted
            assert not self._members(rig) & set(rig.prepare(Operation.INSERT, [12, 13]).identities)
        else:
            prepared = rig.prepare(Operation.INSERT, range(14))
            drifts = rig.wire.converse(rig.object.compare_profiles(prepared))
            assert [each.kind if each else None for each in drifts] == [None] * 12 + ["missing"] * 2
        assert rig.stand_in.state() == state

    @staticmethod
    def _members(rig: Rig) -> set[str]:
        """Return the identities in the target, as an audit reads them."""
        found: set[str] = set()
        for path in rig.wire.converse(rig.object.read_members(rig.target)):
            with path.open("rb") as lines:
                for batch in rig.object.parse_members(lines):
                    for identifier in rig.object.identifiers:
                        kind = f"{identifier.name}:" if rig.object.prefixed else ""
                        values = batch.column(identifier.name).to_pylist()
                        found.update(f"{kind}{value}" for value in values if value is not None)
        return found

    def test_whatever_is_asked_of_a_server_that_is_mad(self, new_rig: Callable[..., Rig]) -> None:
        """It ends with an answer, or with one reason and a next step."""
        rig = new_rig(retry_seconds=0)
        rig.timeout_s = _SHORT_S
        asked = self._questions(rig)
        for status in (200, 204, 302, 400, 401, 403, 404, 429, 500, 503):
            for body in _MAD_BODIES:
                rig.relay.script = scripts.answering(status, body)
                with _about(f"{status} and {body!r}"):
                    self._ask_all(rig, asked)
        for fault in ("reset", "reset within the body", "garbage", "broken compression"):
            rig.relay.script = _wire_faults()[fault]
            with _about(fault):
                self._ask_all(rig, asked)

    @staticmethod
    def _questions(rig: Rig) -> list[tuple[Callable[[], Generator[Request, Answer, Any]], bool]]:
        """Return every conversation but deliveries, each with whether it hears of an outage."""
        schema = rig.stand_in.changes(Operation.INSERT, [0]).schema
        prepared = rig.prepare(Operation.INSERT, range(2))
        asked: list[tuple[Callable[[], Generator[Request, Answer, Any]], bool]] = [
            (rig.object.find_target, False),
            (lambda: rig.object.inspect(schema, None), True),
            (lambda: rig.object.inspect(schema, rig.target), True),
        ]
        if rig.targets() is not None:
            connector = rig.stand_in.connector
            asked.append((lambda: connector.list_targets(rig.account), False))
        if rig.object.audits == "members":
            asked.append((lambda: rig.object.read_members(rig.target), False))
        if rig.object.audits == "profiles":
            asked.append((lambda: rig.object.compare_profiles(prepared), False))
        return asked

    @staticmethod
    def _ask_all(
        rig: Rig, asked: Sequence[tuple[Callable[[], Generator[Request, Answer, Any]], bool]]
    ) -> None:
        for question, unheard in asked:
            try:
                said = rig.wire.converse(question(), unheard=unheard)
            except DestinationError as error:
                check_fatal(error)
                rig.check_code(error.code)
            else:
                check_secret(said)
                if unheard:
                    check_findings(said)
                for path in said if isinstance(said, list) else ():
                    if isinstance(path, Path):
                        check_secret(path.read_bytes())

    # --- preparing -------------------------------------------------------------------------

    def test_an_empty_page(self, rig: Rig) -> None:
        """Nothing prepared, nothing sent."""
        before = len(rig.transport.sent)
        for operation in self.operations(rig):
            prepared = rig.prepare(operation, [])
            assert not any([*prepared.bodies, *prepared.identities, *prepared.aliases])
            assert not prepared.outcomes
            delivery, settled = rig.deliver(operation, [])
            assert (delivery.ended, settled) == ("done", {})
        assert len(rig.transport.sent) == before

    def test_preparing_is_pure(self, rig: Rig, new_rig: Callable[..., Rig]) -> None:
        """The same changes give the same bodies, in any order and from any object."""
        other = new_rig()
        for operation in self.operations(rig):
            prepared = rig.prepare(operation, range(5))
            assert all(prepared.bodies)
            assert rig.prepare(operation, range(5)) == prepared
            backwards = other.prepare(operation, range(4, -1, -1))
            assert list(backwards.bodies) == list(prepared.bodies)[::-1]
            assert list(backwards.identities) == list(prepared.identities)[::-1]

    def test_what_cannot_be_sent_has_an_outcome(self, rig: Rig) -> None:
        """Each such row is refused with its reason, and a delete of it needs no request."""
        for operation in self.operations(rig):
            rows = rig.stand_in.unsendable(operation)
            prepared = rig.object.prepare(operation, rows)
            assert sorted(prepared.outcomes) == list(range(rows.num_rows)) != []
            for outcome in prepared.outcomes.values():
                check_outcome(outcome)
                rig.check_code(outcome.code)
                assert outcome.reason
                wanted = "succeeded" if operation is Operation.DELETE else "invalid"
                assert outcome.status == wanted
            if operation is Operation.DELETE:
                assert not any(prepared.bodies)

    # --- sending ---------------------------------------------------------------------------

    @pytest.mark.parametrize("beyond", [None, 0, 1], ids=["1", "max", "max+1"])
    def test_batches_keep_to_the_records_of_a_request(self, rig: Rig, beyond: int | None) -> None:
        """One, as many as allowed, and one more; everybody arrives, once."""
        most = rig.object.limits.records_per_request
        count = 1 if beyond is None else most + beyond
        asked = len(rig.relay.seen)
        delivery, settled = rig.deliver(Operation.INSERT, range(count))
        assert (delivery.ended, settled) == ("done", dict.fromkeys(range(count)))
        named = [rig.stand_in.named_in(seen.body) for seen in rig.relay.seen[asked:]]
        assert sorted(person for people in named for person in people) == list(range(count))
        assert [len(people) for people in named if len(people) > most] == []
        assert len(named) == -(-count // most)
        assert rig.stand_in.present() == set(range(count))

    def test_the_limits_of_the_account_count(self, new_rig: Callable[..., Rig]) -> None:
        """Fewer records, fewer bytes, one at a time: as the config says."""
        rig = new_rig(records_per_request=3)
        assert rig.deliver(Operation.INSERT, range(10))[0].ended == "done"
        sizes = [len(rig.stand_in.named_in(seen.body)) for seen in rig.relay.seen if seen.body]
        assert max(sizes) == 3
        assert rig.stand_in.present() == set(range(10))

    def test_batches_keep_to_the_bytes_of_a_request(self, new_rig: Callable[..., Rig]) -> None:
        """A body never grows beyond the limit; more requests carry the rest."""
        rig = new_rig(bytes_per_request=2_000)
        for operation in self.operations(rig):
            asked = len(rig.relay.seen)
            delivery, settled = rig.deliver(operation, range(200))
            assert (delivery.ended, settled) == ("done", dict.fromkeys(range(200)))
            sizes = [len(seen.body) for seen in rig.relay.seen[asked:]]
            assert max(sizes) <= 2_000
            assert len(sizes) > 1

    def test_requests_are_well_formed(self, rig: Rig) -> None:
        """Each names its rate limit, says JSON, and carries the key in a header only."""
        rates = rig.object.limits.requests_per_second
        for operation in self.operations(rig):
            rig.deliver(operation, range(3))
        for request in rig.transport.sent:
            assert request.method.isupper()
            assert request.path.startswith("/")
            assert request.endpoint in rates
            assert request.body is None or json.loads(request.body) is not None
            check_secret(request)
        for seen in rig.relay.seen:  # alone, or behind a word such as Bearer
            assert any(value.split()[-1:] == [SECRET] for value in seen.headers.values())

    def test_inserts_updates_and_deletes_do_what_they_say(self, rig: Rig) -> None:
        """Who is inserted is there, who is deleted is not, and others stay as they are."""
        rig.stand_in.put([100, 101])
        assert not any(rig.deliver(Operation.INSERT, range(10))[1].values())
        assert rig.stand_in.present() == {*range(10), 100, 101}
        assert not any(rig.deliver(Operation.UPDATE, range(5))[1].values())
        assert rig.stand_in.present() == {*range(10), 100, 101}
        if rig.object.deletes:
            assert not any(rig.deliver(Operation.DELETE, [1, 3, 8])[1].values())
            assert rig.stand_in.present() == {*range(10), 100, 101} - {1, 3, 8}

    def test_sending_again_changes_nothing(self, rig: Rig) -> None:
        """A batch that was delivered may be delivered again."""
        for operation in self.operations(rig):
            rig.deliver(operation, range(7))
            state = rig.stand_in.state()
            delivery, settled = rig.deliver(operation, range(7))
            assert delivery.ended == "done"
            assert not any(settled.values())
            assert rig.stand_in.state() == state

    def test_a_delete_of_somebody_who_is_not_there_is_done(self, rig: Rig) -> None:
        """The aim is reached already."""
        if not rig.object.deletes:
            pytest.skip("the object has no deletes")
        _, settled = rig.deliver(Operation.DELETE, range(3))
        assert all(each is None or each.status == "succeeded" for each in settled.values())

    # --- any answer ------------------------------------------------------------------------

    def test_any_status_with_any_body(self, rig: Rig) -> None:
        """One outcome for each change, or the end of the run; and the conversation ends.

        Without a body that says so nobody has succeeded, and nobody has after a refusal.
        """
        for operation in self.operations(rig):
            batch = rig.batch(operation, range(3))
            for name, body in BODIES.items():
                for status in STATUSES if name in _PLAIN_BODIES else _FEW_STATUSES:
                    with _about(f"{operation} answered with {status} and {name}"):
                        delivered = self._any_answers(rig, batch, [Response(status, body)])
                        if delivered is not None and operation is not Operation.DELETE:
                            kinds = {each.status for each in delivered.outcomes}
                            assert "succeeded" not in kinds

    def _any_answers(self, rig: Rig, batch: Batch, answers: Sequence[Answer]) -> Delivered | None:
        """Hold a conversation that gets these answers; None when it was fatal."""
        try:
            delivered, requests = hold(
                rig.object.deliver(batch), in_turn(answers), self.most_requests
            )
        except Fatal as fatal:
            check_fatal(fatal)
            rig.check_code(fatal.code)
            return None
        check_outcomes(delivered, len(batch))
        for outcome in delivered.outcomes:
            rig.check_code(outcome.code)
        for request in requests:
            assert set(request.changes or ()) <= set(range(len(batch)))
        return delivered

    def test_a_large_batch_that_is_always_refused_comes_to_an_end(self, rig: Rig) -> None:
        """However a connector looks for the rows at fault, its requests are bounded."""
        batch = rig.batch(Operation.INSERT, range(rig.object.limits.records_per_request))
        for status in self.final:
            with _about(str(status)):
                self._any_answers(rig, batch, [Response(status, b'{"code": "X", "msg": "no"}')])

    def test_any_body_over_the_wire(self, new_rig: Callable[..., Rig]) -> None:
        """The same with real answers: nothing is lost, and the sender gets to its end."""
        rig = new_rig(retry_seconds=2)
        for name, body in BODIES.items():
            for status in (200, 400, 429, 500):
                rig.relay.script = scripts.answering(status, body, "text/html")
                with _about(f"{status} and {name}"):
                    self._any_delivery(rig)

    def test_any_status_over_the_wire(self, new_rig: Callable[..., Rig]) -> None:
        """The same for each status."""
        rig = new_rig(retry_seconds=2)
        for status in STATUSES:
            rig.relay.script = scripts.answering(status, b'{"code": "X", "msg": "no"}')
            with _about(str(status)):
                self._any_delivery(rig)

    def _any_delivery(self, rig: Rig, people: Sequence[int] = range(3)) -> Delivery:
        """Deliver to a relay that does as it likes; nobody may get lost."""
        delivery, settled = rig.deliver(Operation.INSERT, people)
        if delivery.ended == "done":
            assert set(settled) == set(people)
            assert (delivery.error_code, delivery.error_reason) == (None, None)
        else:
            assert delivery.ended == "fatal"
            assert delivery.error_code is not None
            assert delivery.error_reason is not None
            assert _SNAKE_CASE.fullmatch(delivery.error_code)
            assert _NEXT_STEP.search(delivery.error_reason), delivery.error_reason
            rig.check_code(delivery.error_code)
        for each in settled.values():
            if each is not None:
                check_outcome(_outcome(each))
                rig.check_code(each.error_code)
        check_secret(delivery, *settled.values())
        return delivery

    def test_mutated_answers(self, rig: Rig) -> None:
        """Answers that are nearly right are read, or not trusted; nothing else happens."""
        samples = self._samples(rig)
        assert samples
        batches = [rig.batch(operation, range(4)) for operation in self.operations(rig)]
        bodies = st.one_of(*map(mutations, samples), documents().map(_dumped), st.binary())
        answers = st.builds(Response, st.sampled_from(STATUSES) | st.just(200), bodies)
        gone = st.builds(NoAnswer, st.just("reset"), st.booleans())

        @settings(max_examples=100, deadline=None)  # which would measure the machine
        @given(st.sampled_from(batches), st.lists(answers | gone, min_size=1, max_size=8))
        def check(batch: Batch, answers: list[Answer]) -> None:
            self._any_answers(rig, batch, answers)

        check()

    def _samples(self, rig: Rig) -> list[bytes]:
        """Return what the stand-in says to each operation, in an answer without head."""
        said: list[bytes] = []

        def listening(exchange: Exchange) -> None:
            answer = exchange.pass_on()
            said.append(answer.partition(b"\r\n\r\n")[2])
            exchange.send(answer)

        rig.relay.script = listening
        for operation in self.operations(rig):
            rig.deliver(operation, range(4))
        return said

    # --- the wire --------------------------------------------------------------------------

    @pytest.mark.parametrize("fault", WIRE_FAULTS)
    def test_faults_of_the_wire(self, new_rig: Callable[..., Rig], fault: str) -> None:
        """Without an answer nobody knows: every change is retryable, and none is lost."""
        rig = new_rig(retry_seconds=0)
        rig.relay.script = _wire_faults()[fault]
        rig.timeout_s = _SHORT_S
        for operation in self.operations(rig):
            delivery, settled = rig.deliver(operation, range(3))
            assert (delivery.ended, set(settled)) == ("done", {0, 1, 2})
            kinds = {(each.outcome, each.retryable) for each in settled.values() if each}
            assert kinds == {("unknown", True)}, settled
            assert None not in settled.values()
            check_secret(delivery, *settled.values())

    def test_nobody_listens(self, new_rig: Callable[..., Rig]) -> None:
        """A refused connection has surely applied nothing; all may come again."""
        rig = new_rig(retry_seconds=0)
        rig.relay.close()
        delivery, settled = rig.deliver(Operation.INSERT, range(3))
        assert delivery.ended == "done"
        assert all(each is not None and each.retryable for each in settled.values())
        assert rig.stand_in.present() == set()

    @pytest.mark.parametrize(
        "fault", ["reset after it was applied", "silence after it was applied", "reset"]
    )
    def test_a_request_without_an_answer_is_repeated(
        self, new_rig: Callable[..., Rig], fault: str
    ) -> None:
        """The second time it works, and it is as if it had been sent once."""
        rig = new_rig()
        rig.timeout_s = _SHORT_S
        for operation in self.operations(rig):
            rig.relay.script = scripts.first(1, _wire_faults()[fault])
            delivery, settled = rig.deliver(operation, range(3))
            assert (delivery.ended, set(settled)) == ("done", {0, 1, 2})
            for each in settled.values():  # more than 2 attempts on a machine that is very busy
                assert each is not None
                assert (each.status, each.attempts >= 2) == ("succeeded", True)
            wanted = set() if operation is Operation.DELETE else {0, 1, 2}
            assert rig.stand_in.present() == wanted

    def test_what_passes_is_repeated(self, rig: Rig) -> None:
        """A transient status is tried again until it passes; back-off takes its time."""
        for status in self.transient:
            rig.relay.script = scripts.first(2, scripts.answering(status, b"<html>later</html>"))
            before = rig.clock.skipped
            delivery, settled = rig.deliver(Operation.INSERT, range(3))
            assert delivery.ended == "done"
            assert {(each.status, each.attempts) for each in settled.values() if each} == {
                ("succeeded", 3)
            }, status
            assert len(settled) == 3
            assert rig.clock.skipped > before

    def test_retry_after_is_kept(self, rig: Rig) -> None:
        """A server that says when to come again is not asked earlier."""
        rig.relay.script = scripts.first(1, scripts.answering(429, b"slower", retry_after="25"))
        before = rig.clock.monotonic()
        rig.deliver(Operation.INSERT, range(3))
        assert rig.clock.monotonic() - before > 25
        assert rig.stand_in.present() == {0, 1, 2}

    def test_what_will_not_pass_is_not_repeated(self, rig: Rig) -> None:
        """The same body is never sent twice after a status that stays."""
        for status in self.final:
            asked = len(rig.relay.seen)
            rig.relay.script = scripts.answering(status, b'{"code": "X", "msg": "no"}')
            self._any_delivery(rig)
            bodies = [seen.body for seen in rig.relay.seen[asked:] if seen.body]
            assert len(bodies) == len(set(bodies)), status

    def test_a_wrong_key_ends_the_run_at_once(self, new_rig: Callable[..., Rig]) -> None:
        """Nobody is marked failed, nothing is retried, and the message says what to do."""
        rig = new_rig(max_in_flight=1, records_per_request=1)
        asked = len(rig.transport.sent)
        rig.relay.script = scripts.answering(401, b'{"msg": "bad key"}')
        delivery = self._any_delivery(rig, range(5))
        assert delivery.ended == "fatal"
        assert delivery.position == 0
        assert delivery.settled == []
        assert len(rig.transport.sent) == asked + 1

    # --- secrets ---------------------------------------------------------------------------

    def test_a_server_that_repeats_what_it_hears(
        self, new_rig: Callable[..., Rig], caplog: pytest.LogCaptureFixture
    ) -> None:
        """The key is in no outcome, warning, error, log record or repr."""
        rig = new_rig(retry_seconds=2)
        asked = self._questions(rig)
        caplog.set_level(logging.DEBUG)
        for form in ("json", "nested", "html", "text", "header", "escaped"):
            for status in (200, 302, 400, 401, 404, 413, 429, 500):
                rig.relay.script = _echoing(status, form)
                with _about(f"{status}, repeated as {form}"):
                    before = len(rig.relay.seen)
                    self._any_delivery(rig)
                    assert SECRET in str(rig.relay.seen[before].headers), "it was never there"
                    self._ask_all(rig, asked)
        for each in (rig.account, rig.object, rig.transport, rig.target, rig.object.limits):
            check_secret(each)
        check_secret(*(record.getMessage() for record in caplog.records), *caplog.records)


@contextmanager
def _about(case: str) -> Iterator[None]:
    """Say which of many cases failed."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"case: {case}")
        raise


def _dumped(document: Any) -> bytes:  # noqa: ANN401 - any JSON
    return json.dumps(document).encode()


def _outcome(settled: Settled) -> Outcome:
    """Return the outcome that a row was made from."""
    return Outcome(settled.outcome, settled.error_code, settled.error_reason, settled.retryable)


def _echoing(status: int, form: str) -> Script:
    """Return a server that answers with the headers and the body that it was sent."""

    def script(exchange: Exchange) -> None:
        heard = f"body: {exchange.body.decode()}, hdrs: List({exchange.headers})"
        slashed = json.dumps({"code": "X", "msg": heard}).replace("/", "\\/")
        told = {"Content-Type": "application/json"}
        body = {
            "json": json.dumps({"code": heard, "msg": heard, "params": None}),
            "nested": json.dumps({"params": {heard: [{"msg": heard}]}, "createdFields": [heard]}),
            "html": f"<html>{html.escape(heard)}</html>",
            "text": heard,
            "header": "{}",
            "escaped": slashed,
        }[form]
        if form == "header":
            told |= {"Location": SECRET, "Retry-After": SECRET, "X-Key": SECRET}
        exchange.send(scripts.rendered(status, body.encode(), told))

    return script


__all__ = [
    "SECRET",
    "ConnectorSuite",
    "Rig",
    "StandIn",
    "check_fatal",
    "check_outcome",
    "check_outcomes",
    "check_secret",
    "documents",
    "hold",
    "in_turn",
    "mutations",
]

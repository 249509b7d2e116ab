"""Conversations outside a run: patience, pacing, and the way that is closed in the end."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
import yaml

from reverse_etl.config import Config, load_config
from reverse_etl.connector import Answer, Fatal, Limits, NoAnswer, Request, Response
from reverse_etl.conversation import conversations
from reverse_etl.errors import ConfigError, DestinationError, Interrupted
from reverse_etl.ports import Ports

NAME = "prod"
OK = Response(200, b"{}")
LIMITS = Limits(1, 1, {"lists": 2})

Respond = Callable[[int], Answer]


class Clock:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> datetime:
        return datetime(2030, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass
class Line:
    """A transport that answers by the number of the request."""

    clock: Clock
    respond: Respond
    starts: list[float] = field(default_factory=list)
    timeouts: list[float] = field(default_factory=list)
    flying: list[int] = field(default_factory=list)
    closed: bool = False

    def start(self, ticket: int, request: Request, timeout_s: float) -> None:
        assert not self.closed
        assert request.path == "/api/lists"
        self.starts.append(self.clock.seconds - 100)
        self.timeouts.append(timeout_s)
        self.flying.append(ticket)

    def wait(self, timeout_s: float) -> list[tuple[int, Answer]]:
        answers = [(ticket, self.respond(len(self.starts))) for ticket in self.flying]
        self.flying.clear()
        if not answers:
            self.clock.sleep(timeout_s)
        return answers

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "config.yaml"
    document = {
        "warehouses": {"local": {"url": "duckdb:///x.duckdb"}},
        "destinations": {
            NAME: {"type": "iterable", "api_key": "${KEY}", "request_timeout_seconds": 7}
        },
        "syncs": {},
    }
    path.write_text(yaml.safe_dump(document))
    return load_config(path, {"KEY": "secret-key"})


@dataclass
class World:
    """One account and what reaches it."""

    respond: Respond
    stop: Callable[[], bool] = lambda: False
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.line = Line(self.clock, self.respond)
        self.ports = Ports(
            self.clock, Random(1), transport=lambda _account: self.line, stop=self.stop
        )


def ask(times: int = 1) -> Generator[Request, Answer, list[Answer]]:
    heard: list[Answer] = []
    while len(heard) < times:
        heard.append((yield Request("GET", "/api/lists", "lists")))
    return heard


def give_up() -> Generator[Request, Answer, None]:
    yield Request("GET", "/api/lists", "lists")
    raise Fatal("unauthorized", "wrong key")


def test_a_conversation_returns_its_result_and_the_way_is_closed(config: Config) -> None:
    world = World(lambda _: OK)
    with conversations(config, NAME, LIMITS, world.ports) as wire:
        assert wire.converse(ask(2)) == [OK, OK]
        assert not world.line.closed
    assert world.line.closed
    assert world.line.timeouts == [7, 7]


def test_a_fatal_end_has_its_code_and_closes_the_way(config: Config) -> None:
    world = World(lambda _: OK)
    with (
        pytest.raises(DestinationError) as caught,
        conversations(config, NAME, LIMITS, world.ports) as wire,
    ):
        wire.converse(give_up())
    assert (caught.value.code, str(caught.value)) == ("unauthorized", "wrong key")
    assert world.line.closed


def test_all_conversations_of_an_account_share_its_pace(config: Config) -> None:
    world = World(lambda _: OK)
    with conversations(config, NAME, LIMITS, world.ports) as wire:
        wire.converse(ask(2))
    world.line.closed = False
    with conversations(config, NAME, LIMITS, world.ports) as wire:
        wire.converse(ask(2))
    starts = world.line.starts
    assert all(later - earlier >= 0.5 for earlier, later in pairwise(starts))
    assert starts[-1] < 1.6


@pytest.mark.parametrize("last", [Response(503), Response(429), NoAnswer("timed out")])
def test_the_patience_may_be_less_than_that_of_a_run(config: Config, last: Answer) -> None:
    world = World(lambda _: last)
    with (
        pytest.raises(DestinationError, match="no usable answer") as caught,
        conversations(config, NAME, LIMITS, world.ports, retry_seconds=5) as wire,
    ):
        wire.converse(ask())
    assert caught.value.code == "destination_unavailable"
    assert 5 <= world.line.starts[-1] < 6


@pytest.mark.parametrize("last", [Response(503), NoAnswer("timed out")])
def test_who_wants_to_hear_of_silence_is_told_the_last_answer(config: Config, last: Answer) -> None:
    world = World(lambda _: last)
    with conversations(config, NAME, LIMITS, world.ports, retry_seconds=5) as wire:
        assert wire.converse(ask(), unheard=True) == [last]
    assert len(world.line.starts) > 2


def test_a_passing_fault_is_repeated(config: Config) -> None:
    world = World(lambda n: OK if n == 3 else Response(503))
    with conversations(config, NAME, LIMITS, world.ports) as wire:
        assert wire.converse(ask()) == [OK]
    assert len(world.line.starts) == 3


def test_a_conversation_can_be_stopped(config: Config) -> None:
    world = World(lambda _: Response(503))
    world.ports.stop = lambda: len(world.line.starts) == 2
    with (
        pytest.raises(Interrupted),
        conversations(config, NAME, LIMITS, world.ports) as wire,
    ):
        wire.converse(ask())
    assert len(world.line.starts) == 2
    assert world.line.closed


def test_a_destination_that_is_not_there(config: Config) -> None:
    world = World(lambda _: OK)
    with (
        pytest.raises(ConfigError, match="prod"),
        conversations(config, "prd", LIMITS, world.ports),
    ):
        pytest.fail("there is nobody to talk to")

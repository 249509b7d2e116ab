"""What a sync of an Iterable list promises, sentence by sentence, with real runs over HTTP.

What an answer means does not depend on the warehouse, so these run on DuckDB alone; the exceptions
are the identifiers, which SQL normalises.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
import yaml

from connectors.iterable.sandbox import Fault, Sandbox
from reverse_etl.config import load_config
from reverse_etl.connector import Operation
from reverse_etl.delivery.limiter import Pacers
from reverse_etl.errors import ConfigError
from reverse_etl.ports import Ports, http_transport
from reverse_etl.run import Options, run_sync

if TYPE_CHECKING:
    from connectors.iterable.sandbox.people import ProjectType
    from reverse_etl.connector import AccountSettings, Answer, Request
    from reverse_etl.delivery.transport import Transport
    from reverse_etl.report import RunSummary
    from tests.world import World

    NewWorld = Callable[[ProjectType], World]

SUBSCRIBE = "/api/lists/subscribe"
LIST = "VIP customers"

duckdb_only = pytest.mark.parametrize("database", ["duckdb"], indirect=True)


def at(world: World, **options: Any) -> World:
    """Give the world a sandbox with other settings."""
    world.sandbox.stop()
    world.sandbox = Sandbox(world.sandbox.settings.project_type, **options)
    world.sandbox.start()
    return world


def of_user_ids(new_world: NewWorld) -> World:
    """Return a world whose project finds people by user id."""
    world = new_world("user_id")
    world.sync["identifiers"] = {"userId": "user_id"}
    return world


def lists_of(world: World) -> list[tuple[str, str | None]]:
    """Return name and description of every list at the destination."""
    return [(each.name, each.description) for each in world.sandbox.state.lists.values()]


# --- the list --------------------------------------------------------------------------------


@duckdb_only
def test_a_list_is_made_once_with_its_description_and_found_from_then_on(world: World) -> None:
    world.sync["destination"]["list"]["description"] = "d" * 140
    world.put_emails("ada")
    assert world.run().status == "succeeded"
    assert lists_of(world) == [(LIST, "d" * 140)]
    world.put_emails("ada", "bob")
    world.run()
    world.run(full=True)  # looks it up again
    assert lists_of(world) == [(LIST, "d" * 140)]
    assert world.members() == {"ada@x.com", "bob@x.com"}


@duckdb_only
def test_a_description_of_141_characters_is_a_config_error(world: World) -> None:
    world.sync["destination"]["list"]["description"] = "d" * 141
    with pytest.raises(ConfigError, match="140"):
        world.config()


@duckdb_only
def test_a_list_that_is_there_is_taken_with_those_who_are_on_it(world: World) -> None:
    world.sandbox.seed_list(LIST, ["theirs@x.com"])
    world.put_emails("ada")
    world.run()
    assert lists_of(world) == [(LIST, None)]
    assert world.members() == {"ada@x.com", "theirs@x.com"}


@duckdb_only
def test_a_list_by_its_id(world: World) -> None:
    world.sandbox.seed_list("another")
    wanted = world.sandbox.seed_list(LIST)
    world.sync["destination"]["list"] = {"id": wanted}
    world.put_emails("ada")
    assert world.run().status == "succeeded"
    assert world.sandbox.state.members(wanted) == {"ada@x.com"}
    assert len(lists_of(world)) == 2


@duckdb_only
def test_a_new_list_is_waited_for_while_iterable_does_not_know_it(world: World) -> None:
    at(world, new_list_lag_seconds=30, monotonic=world.clock.monotonic)
    world.put_emails("ada")
    report = world.run()
    assert (report.status, world.members()) == ("succeeded", {"ada@x.com"})
    assert world.clock.skipped >= 29


@duckdb_only
def test_a_run_without_that_patience_stops_and_the_next_one_delivers(world: World) -> None:
    at(world, new_list_lag_seconds=30, monotonic=world.clock.monotonic)
    world.destination["retry_seconds"] = 5
    world.put_emails("ada")
    report = world.run()
    assert (report.status, report.error_code) == ("failed", "destination_unavailable")
    assert "retry_seconds" in (report.error or "")
    assert world.failed() == {}
    world.clock.sleep(30)
    assert world.run().succeeded == world.changes(insert=1)
    assert len(lists_of(world)) == 1


@duckdb_only
@pytest.mark.parametrize("by", ["name", "id"])
def test_a_dynamic_list_is_refused_with_an_explanation(world: World, by: str) -> None:
    made = world.sandbox.seed_list(LIST, ["theirs@x.com"], "Dynamic")
    world.sync["destination"]["list"] = {"id": made} if by == "id" else {"name": LIST}
    world.checks_members = False
    world.put_emails("ada")
    report = world.run()
    assert (report.status, report.exit_code) == ("failed", 1)
    assert "is dynamic: its own segmentation decides who is on it" in (report.error or "")
    assert [sent.path for sent in world.sent] == ["/api/lists"]
    assert (world.failed(), len(lists_of(world))) == ({}, 1)
    assert world.sandbox.state.members(made) == {"theirs@x.com"}


@duckdb_only
def test_a_list_that_was_deleted_stops_the_run_and_nothing_is_made(world: World) -> None:
    world.sandbox.seed_list(LIST)
    world.put_emails("ada")
    world.run()
    world.sandbox.state.lists.clear()
    world.put_emails("ada", "bob", "cy")
    report = world.run()
    assert (report.status, report.error_code) == ("failed", "unknown_list")
    assert "was it deleted" in (report.error or "")
    assert "--full" in (report.error or "")
    assert (report.failed, world.failed(), lists_of(world)) == (world.changes(), {}, [])
    assert world.run(full=True).status == "succeeded"
    assert world.members() == {"ada@x.com", "bob@x.com", "cy@x.com"}


# --- people who exist ------------------------------------------------------------------------


@duckdb_only
def test_existing_users_only_is_a_config_error_in_an_email_project(world: World) -> None:
    world.sync["destination"]["update_existing_users_only"] = True
    with pytest.raises(ConfigError, match="in an email project it creates unknown people"):
        world.config()


@duckdb_only
@pytest.mark.parametrize("project_type", ["user_id", "hybrid"])
def test_existing_users_only_makes_no_profile(
    new_world: NewWorld, project_type: ProjectType
) -> None:
    world = new_world(project_type)
    world.sync["identifiers"] = {"userId": "user_id"}
    world.sync["destination"]["update_existing_users_only"] = True
    world.sandbox.state.add_profile(user_id="u1")
    world.put({"user_id": "u1"}, {"user_id": "u2"})
    report = world.run()
    assert report.succeeded == world.changes(insert=1)
    sent = [each.body for each in world.sent if each.path == SUBSCRIBE]
    assert [each["updateExistingUsersOnly"] for each in sent] == [True]
    assert world.members() == {"u1"}
    assert world.sandbox.state.profile("u2") is None
    assert [*world.failures().values()] == [("insert", "not_found", True)]
    world.sandbox.state.add_profile(user_id="u2")
    assert world.run().succeeded == world.changes(insert=1)
    assert world.members() == {"u1", "u2"}


# --- identifiers -----------------------------------------------------------------------------


def test_addresses_are_trimmed_lowered_and_checked(world: World) -> None:
    world.put(
        {"email": "  ADA@X.com\t"},
        {"email": "JöRG@Exämple.ORG"},
        {"email": "two..dots@x.com"},
        {"email": "no at sign"},
        {"email": ""},
        {"email": None},
    )
    report = world.run()
    assert report.invalid == 3
    assert {each["email"] for each in world.subscribed()} == {"ada@x.com", "jörg@exämple.org"}
    assert world.failures()["two..dots@x.com"] == ("insert", "invalid_identifier", False)


def test_user_ids_are_sent_as_they_are_and_numbers_as_text(new_world: NewWorld) -> None:
    world = of_user_ids(new_world)
    world.sync["source"]["query"] = (
        "select id, user_id, plan from people"
        " union all select 100, cast(id as varchar), plan from people where id = 42"
    )
    good = ["Ada", "x" * 52, "a b", "~!"]
    bad = ["x" * 53, " lead", "trail ", "é", "tab\t", ""]
    world.put({"id": 42, "user_id": None}, *({"user_id": each} for each in [*good, *bad]))
    report = world.run()
    assert {each["userId"] for each in world.subscribed()} == {"42", *good}
    assert world.members() == {"42", *good}
    assert report.invalid == len(bad) + 1


@duckdb_only
def test_an_integer_column_identifies_people(new_world: NewWorld) -> None:
    world = of_user_ids(new_world)
    world.sync["identifiers"] = {"userId": "id"}
    world.put({"id": 7}, {"id": 2147483647})
    world.run()
    assert [each["userId"] for each in world.subscribed()] == ["7", "2147483647"]


def test_a_valid_identifier_goes_without_the_invalid_one_and_the_log_says_so(
    hybrid: World,
) -> None:
    hybrid.put(
        {"user_id": "u1", "email": "two..dots@x.com"},
        {"user_id": " bad ", "email": "bob@x.com"},
        {"user_id": "u3", "email": "cy@x.com"},
        {"user_id": "u4", "email": "none"},
        {"user_id": "u5", "email": " "},
    )
    assert hybrid.run().status == "succeeded"
    sent = {(each.get("userId"), each.get("email")) for each in hybrid.subscribed()}
    assert sent == {
        ("u1", None),
        (None, "bob@x.com"),
        ("u3", "cy@x.com"),
        ("u4", None),
        ("u5", None),
    }
    remarks = [line for line in hybrid.log() if line["error_code"] == "alias_left_out"]
    assert {line["status"] for line in remarks} == {"succeeded"}
    texts = {line["identity"]: line["error_reason"] for line in remarks}
    assert texts.keys() == {"userId:u1", "email:bob@x.com", "userId:u4"}
    assert "email 'two..dots@x.com' was left out" in texts["userId:u1"]
    assert "userId ' bad ' was left out" in texts["email:bob@x.com"]
    assert "email 'none' was left out" in texts["userId:u4"]


# --- outcomes --------------------------------------------------------------------------------


@duckdb_only
def test_the_old_form_of_an_answer_is_understood(world: World) -> None:
    at(world, response_shape="old")
    world.sandbox.forget("gone@x.com")
    world.put_emails("ada", "gone")
    report = world.run()
    assert (report.succeeded, report.failed) == (world.changes(insert=1), world.changes(insert=1))
    assert set(world.failed()) == {"gone@x.com"}


@duckdb_only
def test_people_who_were_forgotten_are_a_permanent_failure_and_leave_in_peace(
    world: World,
) -> None:
    world.put_emails("ada", "bob")
    world.run()
    world.sandbox.forget("bob@x.com", "cy@x.com")
    world.put_emails("ada", "cy")
    report = world.run()
    assert report.succeeded == world.changes(delete=1)
    assert world.failures() == {"cy@x.com": ("insert", "forgotten", False)}
    world.quiet()


@duckdb_only
def test_people_who_are_not_found_when_they_leave_are_gone(new_world: NewWorld) -> None:
    world = of_user_ids(new_world)
    world.put({"user_id": "u1"}, {"user_id": "u2"})
    world.run()
    world.sandbox.state.delete(user_id="u2")
    world.put({"user_id": "u1"})
    assert world.run().succeeded == world.changes(delete=1)
    assert (world.members(), world.failed()) == ({"u1"}, {})


@duckdb_only
@pytest.mark.parametrize("bucket", ["noOpEmails", "lockedEmails"])
def test_keys_that_nobody_described_lose_nobody(world: World, bucket: str) -> None:
    world.put_emails("ada", "bob", "cy")
    world.faults = [Fault("refuse", match=SUBSCRIBE, identifiers=("bob@x.com",), bucket=bucket)]
    world.run()
    assert world.failures() == {"bob@x.com": ("insert", "unknown", True)}
    world.faults = []
    assert world.run().status == "succeeded"
    assert len(world.members()) == 3


@duckdb_only
def test_fields_that_were_dropped_are_a_warning_of_the_run(world: World) -> None:
    at(world, add_unrecognized_fields=False)
    world.put({"email": "ada@x.com", "plan": "gold"})
    report = world.run()
    (warning,) = report.warnings
    assert warning.startswith("Iterable dropped values of profile fields it does not have: plan")
    assert report.document()["warnings"] == [warning]
    assert f"  warning: {warning}" in report.lines()
    assert world.fields("ada@x.com").get("plan") is None


@duckdb_only
def test_fields_that_were_made_are_told_by_the_run(world: World) -> None:
    world.put({"email": "ada@x.com", "plan": "gold"}, {"email": "bob@x.com", "plan": "gold"})
    world.one_by_one()
    report = world.run()
    assert report.warnings == ["Iterable created profile fields: plan"]
    world.put({"email": "ada@x.com", "plan": "basic"}, {"email": "bob@x.com", "plan": "gold"})
    assert world.run().warnings == []


# --- errors ----------------------------------------------------------------------------------


@duckdb_only
@pytest.mark.parametrize("type_mismatch", ["batch", "user"])
def test_one_value_of_the_wrong_type_costs_its_own_row(world: World, type_mismatch: Any) -> None:
    at(world, type_mismatch=type_mismatch)
    world.sandbox.state.add_profile(email="first@x.com", fields={"plan": 5})
    world.sync["source"]["query"] = (
        "select id, email, case when id = 3 then to_json('gold') else to_json(id) end as plan"
        " from people"
    )
    world.put_emails("p1", "p2", "p3", "p4", "p5")
    report = world.run()
    assert (report.succeeded, report.failed) == (world.changes(insert=4), world.changes(insert=1))
    (failure,) = world.failed().values()
    assert (failure["identity"], failure["retryable"]) == ("p3@x.com", False)
    assert failure["error_code"] == "rejected"
    if type_mismatch == "batch":
        assert "plan" in failure["error_reason"]
    assert len(world.members()) == 4


@duckdb_only
def test_a_project_without_room_for_fields_stops_the_run(world: World) -> None:
    at(world, field_limit=0)
    world.put_emails("ada", "bob")
    world.put({"email": "ada@x.com", "plan": "gold"})
    report = world.run()
    assert (report.status, report.error_code) == ("failed", "field_limit")
    assert "plan" in (report.error or "")
    assert world.failed() == {}


@duckdb_only
@pytest.mark.parametrize("status", [401, 403])
def test_a_key_of_the_wrong_type_stops_at_once(world: World, status: int) -> None:
    world.one_by_one()
    world.put_emails("ada", "bob", "cy")
    text = "Disabled API key or insufficient privileges"
    world.faults = [Fault("status", match=SUBSCRIBE, status=status, code="BadApiKey", msg=text)]
    report = world.run()
    assert (report.error_code, len(world.subscribed())) == ("unauthorized", 1)
    assert text in (report.error or "")
    # On loopback it is the stand-in that refuses; what is said of a real host is tested in unit.
    assert "takes one key only" in (report.error or "")


@duckdb_only
def test_requests_that_are_too_large_are_split_until_they_pass(world: World) -> None:
    at(world, max_body_bytes=1_500)
    world.put_emails(*(f"p{n}" for n in range(100)))
    report = world.run()
    assert (report.status, len(world.members())) == ("succeeded", 100)
    statuses = [each.status for each in world.requests_since() if each.path == SUBSCRIBE]
    assert 413 in statuses
    assert max(each["attempts"] for each in world.log()) > 1


@duckdb_only
@pytest.mark.parametrize("status", [408, 413])
def test_a_request_that_takes_too_long_or_is_too_large_is_halved(world: World, status: int) -> None:
    world.put_emails("a", "b", "c", "d")
    world.faults = [Fault("status", match=SUBSCRIBE, status=status, form="html", times=1)]
    report = world.run()
    assert (report.status, len(world.members())) == ("succeeded", 4)
    sizes = [len(each.people) for each in world.sent if each.path == SUBSCRIBE]
    assert sizes == [4, 2, 2]


@duckdb_only
@pytest.mark.parametrize("retry_after", [None, 20])
def test_too_many_requests_in_plain_text_are_waited_for(
    world: World, retry_after: float | None
) -> None:
    world.put_emails("ada")
    world.faults = [
        Fault("rate_limit", match=SUBSCRIBE, times=2, form="text", retry_after=retry_after)
    ]
    before = world.clock.skipped
    assert world.run().status == "succeeded"
    assert world.clock.skipped - before > 2 * (retry_after or 0) - 1


@duckdb_only
@pytest.mark.parametrize("status", [500, 502])
def test_server_errors_with_a_page_of_html_are_repeated(world: World, status: int) -> None:
    world.put_emails("ada")
    world.faults = [Fault("status", match=SUBSCRIBE, status=status, form="html", times=2)]
    report = world.run()
    assert (report.status, world.members()) == ("succeeded", {"ada@x.com"})
    assert [line["attempts"] for line in world.log()] == [3]


# --- limits ----------------------------------------------------------------------------------


@duckdb_only
def test_a_request_carries_a_thousand_people_by_default_and_fewer_on_demand(world: World) -> None:
    world.put_emails(*(f"p{n}" for n in range(1_001)))
    world.run()
    assert [len(each.people) for each in world.sent if each.path == SUBSCRIBE] == [1_000, 1]
    world.destination["records_per_request"] = 400
    world.run(full=True)
    sizes = [len(each.people) for each in world.sent if each.path == SUBSCRIBE]
    assert sizes == [400, 400, 201]


@duckdb_only
def test_a_request_carries_so_many_bytes_and_no_more(world: World) -> None:
    world.destination["bytes_per_request"] = 20_000
    world.sync["source"]["query"] = "select id, email, repeat('x', 6000) as plan from people"
    world.put_emails("a", "b", "c", "d", "e")
    world.run()
    assert [len(each.people) for each in world.sent if each.path == SUBSCRIBE] == [3, 2]


# --- two syncs with one key ------------------------------------------------------------------


class MeetingClock:
    """Time that moves when everybody who lives in it waits, to the earliest moment waited for.

    Attributes:
        time: Seconds.
        people: How many threads live in it.
    """

    def __init__(self, people: int) -> None:
        self.time = 1_000.0
        self.people = people
        self._waits: dict[int, float] = {}
        self._changed = threading.Condition()

    def now(self) -> datetime:
        return datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=self.time)

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        with self._changed:
            until = self.time + max(seconds, 0.0)
            self._waits[threading.get_ident()] = until
            self._move()
            assert self._changed.wait_for(lambda: self.time >= until, timeout=30), "nobody came"

    def leave(self) -> None:
        """Live on without this thread."""
        with self._changed:
            self.people -= 1
            self._move()

    def _move(self) -> None:
        if self._waits and len(self._waits) >= self.people:
            self.time = max(self.time, min(self._waits.values()))
            self._waits = {k: until for k, until in self._waits.items() if until > self.time}
            self._changed.notify_all()


@dataclass
class TimedTransport:
    """The real transport; notes when what is sent, and lets time pass when nothing is under way."""

    inner: Transport
    clock: MeetingClock
    starts: list[tuple[float, str]]
    creators: threading.Barrier
    flying: set[int] = field(default_factory=set)

    def start(self, ticket: int, request: Request, timeout_s: float) -> None:
        if (request.method, request.path) == ("POST", "/api/lists"):
            # Of one list: both have looked by now, and neither has found it.
            self.creators.wait(30)
        self.starts.append((self.clock.time, request.path))
        self.flying.add(ticket)
        self.inner.start(ticket, request, timeout_s)

    def wait(self, timeout_s: float) -> list[tuple[int, Answer]]:
        if not self.flying:
            self.clock.sleep(timeout_s)
            return []
        answers = self.inner.wait(10)
        self.flying.difference_update(ticket for ticket, _ in answers)
        return answers

    def close(self) -> None:
        self.inner.close()


@dataclass
class Pair:
    """Two syncs in two threads, with warehouses of their own and one key.

    Attributes:
        sandbox: The project of both.
        folder: For their files.
        list_name: Of the list that both keep; None for one each.
        account: Keys of the destination in both configs.
        starts: When each of them sent what.
    """

    sandbox: Sandbox
    folder: Path
    list_name: str | None = None
    account: dict[str, Any] = field(default_factory=dict)
    starts: dict[str, list[tuple[float, str]]] = field(default_factory=dict)

    def run(self) -> dict[str, RunSummary]:
        """Run both at the same time."""
        names = ["first", "second"]
        clock = MeetingClock(len(names))
        pacers = Pacers(clock)
        # Whoever creates a list of its own meets nobody.
        creators = threading.Barrier(len(names) if self.list_name else 1)
        with ThreadPoolExecutor(len(names)) as pool:
            runs = {name: pool.submit(self._run, name, clock, pacers, creators) for name in names}
            return {name: each.result() for name, each in runs.items()}

    def _run(
        self, name: str, clock: MeetingClock, pacers: Pacers, creators: threading.Barrier
    ) -> RunSummary:
        starts = self.starts.setdefault(name, [])

        def transport(account: AccountSettings) -> Transport:
            return TimedTransport(http_transport(account), clock, starts, creators)

        ports = Ports(clock, random.Random(7), pacers, transport)
        try:
            return run_sync(load_config(self._config(name), {}), name, Options(), ports)
        finally:
            clock.leave()

    def _config(self, name: str) -> Path:
        file = self.folder / f"{name}.duckdb"
        with duckdb.connect(str(file)) as connection:
            connection.execute("create table people (id integer, email varchar)")
            people = [(n, f"{name}{n}@x.com") for n in range(8)]
            connection.executemany("insert into people values (?, ?)", people)
        document = {
            "warehouses": {"local": {"url": f"duckdb:///{file}"}},
            "destinations": {
                "iterable": {
                    "type": "iterable",
                    "api_key": self.sandbox.settings.api_key,
                    "base_url": self.sandbox.url,
                    "records_per_request": 1,
                    **self.account,
                }
            },
            "syncs": {
                name: {
                    "source": {
                        "warehouse": "local",
                        "query": "select * from people",
                        "primary_key": "id",
                    },
                    "destination": {
                        "name": "iterable",
                        "object": "list",
                        "list": {"name": self.list_name or name},
                    },
                    "identifiers": {"email": "email"},
                }
            },
        }
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        return path

    def subscribed_at(self) -> list[float]:
        """Return when either of them sent people, in order."""
        return sorted(at for each in self.starts.values() for at, path in each if path == SUBSCRIBE)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with Sandbox("email") as sandbox:
        yield Pair(sandbox, tmp_path)


def test_two_runs_that_both_find_no_list_end_up_with_one(pair: Pair) -> None:
    pair.list_name = LIST
    pair.account["requests_per_second"] = 0
    reports = pair.run()
    assert {each.status for each in reports.values()} == {"succeeded"}
    state = pair.sandbox.state
    made = [each for each in state.requests if (each.method, each.path) == ("POST", "/api/lists")]
    assert len(made) == 2
    (kept,) = state.lists.values()
    assert state.members(kept.id) == {
        f"{n}{i}@x.com" for n in ("first", "second") for i in range(8)
    }


def test_two_syncs_with_one_key_share_the_pace_of_an_endpoint(pair: Pair) -> None:
    pair.account["requests_per_second"] = 5
    reports = pair.run()
    assert {each.status for each in reports.values()} == {"succeeded"}
    assert all(each.succeeded[Operation.INSERT] == 8 for each in reports.values())
    moments = pair.subscribed_at()
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert len(gaps) == 15
    assert min(gaps) > 0.199


def test_a_429_of_one_sync_holds_the_other_one_back(pair: Pair) -> None:
    pair.account |= {"requests_per_second": 1, "max_in_flight": 1}
    pair.sandbox.faults = (Fault("rate_limit", match=SUBSCRIBE, times=1, after=4, retry_after=30),)
    reports = pair.run()
    assert {each.status for each in reports.values()} == {"succeeded"}
    moments = pair.subscribed_at()
    assert len(moments) == 17
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    # The fifth was refused; whoever comes next, of either sync, comes when the time is over.
    assert [n for n, gap in enumerate(gaps, 1) if gap > 5] == [5]
    assert gaps[4] == pytest.approx(30, abs=1.1)

"""Schedules: which ticks are served, by whom, and when."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from connectors.iterable.sandbox import Fault
from reverse_etl.due import find_tick, look
from reverse_etl.ports import Ports
from reverse_etl.run import Options, run_sync
from reverse_etl.schedule import last_tick, next_tick
from tests.world import SYNC

if TYPE_CHECKING:
    from reverse_etl.report import RunSummary
    from reverse_etl.schedule import Tick
    from tests.world import World

EVERY = timedelta(hours=1)
NEVER_SERVED = "UPDATE reverse_etl.sync_state SET due_after = TIMESTAMP '{}'"


@pytest.fixture
def hourly(world: World) -> World:
    """Return a world whose sync is due each hour, just after a tick, seen before by nobody."""
    world.sync |= {"schedule": {"type": "basic", "every": "1 hour"}}
    world.put_emails("ada", "bob", "cid", "dan", "eve")
    pass_until_tick(world)
    return world


def pass_until_tick(world: World, ticks: int = 1) -> datetime:
    """Let the time pass until some seconds after a later tick; return that tick."""
    now = world.clock.now()
    tick = next_tick(world.config().sync(SYNC).schedule, now)
    assert tick is not None
    tick += (ticks - 1) * EVERY
    world.clock.sleep((tick - now).total_seconds() + 7)
    return tick.replace(tzinfo=None)


def due(world: World, *, at_once: bool = False) -> Tick | None:
    """Look as a scheduler does."""
    world.database.release()
    config, ports = world.config(), Ports(world.clock)
    standing = look(config, "local", [SYNC], ports)[SYNC]
    return find_tick(config.sync(SYNC).schedule, standing, world.clock.now(), at_once=at_once)


def serve(world: World, *, at_once: bool = False) -> RunSummary | None:
    """Look, and run what is due."""
    tick = due(world, at_once=at_once)
    return None if tick is None else world.run(tick=tick)


def served(world: World) -> list[datetime | None]:
    """Return ``scheduled_for`` of all runs."""
    return [row["scheduled_for"] for row in world.runs()]


def test_a_sync_is_first_due_at_its_next_tick(hourly: World) -> None:
    assert due(hourly) is None
    assert due(hourly) is None, "seen is seen once"
    tick = pass_until_tick(hourly)
    report = serve(hourly)
    assert report is not None
    assert report.status == "succeeded"
    assert served(hourly) == [tick]


def test_a_tick_is_served_once(hourly: World) -> None:
    due(hourly)
    tick = pass_until_tick(hourly)
    assert serve(hourly) is not None
    assert serve(hourly) is None
    later = pass_until_tick(hourly)
    assert serve(hourly) is not None, "also when nothing has changed"
    assert served(hourly) == [tick, later]


def test_who_is_told_now_need_not_wait_for_the_first_tick(hourly: World) -> None:
    assert due(hourly) is None
    report = serve(hourly, at_once=True)
    assert report is not None
    assert serve(hourly, at_once=True) is None, "it has run"


def test_ticks_that_were_missed_are_one_run(hourly: World) -> None:
    due(hourly)
    pass_until_tick(hourly)
    serve(hourly)
    tick = pass_until_tick(hourly, 50)
    assert serve(hourly) is not None
    assert serve(hourly) is None
    assert served(hourly)[1:] == [tick]


def test_a_manual_run_serves_no_tick(hourly: World) -> None:
    due(hourly)
    tick = pass_until_tick(hourly)
    hourly.run()
    assert serve(hourly) is not None
    assert served(hourly) == [None, tick]
    assert [row["trigger"] for row in hourly.runs()] == ["manual", "schedule"]


@pytest.mark.parametrize("moment", ["snapshot_vip_1", "changes_vip_1"])
def test_a_run_killed_while_planning_leaves_its_tick_due(hourly: World, moment: str) -> None:
    due(hourly)
    tick = pass_until_tick(hourly)
    found = due(hourly)
    assert hourly.die_at(moment, tick=found)
    assert served(hourly) == [None]
    assert due(hourly) == found
    report = serve(hourly)
    assert report is not None
    assert served(hourly) == [None, tick]


def test_a_run_killed_while_delivering_has_served_its_tick(hourly: World) -> None:
    due(hourly)
    tick = pass_until_tick(hourly)
    hourly.one_by_one()
    hourly.die(after=2, tick=due(hourly))
    assert served(hourly) == [tick]
    rest = due(hourly)
    assert rest is not None
    assert rest.at is None, "what is left does not wait for the next tick, and serves none"
    assert hourly.run(tick=rest).status == "succeeded"
    assert [row["trigger"] for row in hourly.runs()] == ["schedule", "schedule"]
    assert served(hourly) == [tick, None]
    assert len(hourly.members()) == 5
    assert due(hourly) is None
    late = hourly.run_unchecked(lambda: False, {"tick": rest})
    assert (late.status, hourly.sent) == ("skipped", []), "somebody else has sent it meanwhile"
    later = pass_until_tick(hourly)
    serve(hourly)
    assert served(hourly) == [tick, None, later]


def test_what_an_outage_left_is_tried_at_longer_and_longer_intervals(hourly: World) -> None:
    """Each try evaluates the query; a call every minute must not do so for days."""
    hourly.sync["schedule"] = {"type": "basic", "every": "1 day"}
    due(hourly)
    hourly.clock.sleep(24 * 3600)
    hourly.faults = [Fault("status", match="/api/lists/subscribe", status=401)]
    ends = "UPDATE reverse_etl.sync_runs SET finished_at = TIMESTAMP '{}'"
    waits = []
    for _ in range(8):
        found = due(hourly)
        assert found is not None
        assert hourly.run(tick=found).status == "failed"
        # The moment is the warehouse's, whose clock does not run as the test's does.
        hourly.sql(ends.format(f"{hourly.clock.now():%Y-%m-%d %H:%M:%S}"))
        waited = 0
        while due(hourly) is None:
            hourly.clock.sleep(60)
            waited += 1
        waits.append(waited)
    assert waits == sorted(waits)
    assert waits[0] == 1
    assert set(waits[6:]) <= {59, 60}
    hourly.faults = []
    assert hourly.run(tick=due(hourly)).status == "succeeded"
    assert due(hourly) is None


def test_what_was_left_waits_for_who_decides_about_the_brake(hourly: World) -> None:
    hourly.sync |= {"max_delete_percent": 10}
    hourly.put_emails(*"abcdefghij")
    due(hourly)
    pass_until_tick(hourly)
    hourly.one_by_one()
    hourly.die(after=4, tick=due(hourly))
    hourly.put_emails(*"abc")
    report = serve(hourly)
    assert report is not None
    assert report.status == "held"
    assert served(hourly)[1:] == [None]
    assert due(hourly) is None, "not again and again"
    pass_until_tick(hourly)
    assert due(hourly) is not None


def test_a_held_run_has_served_its_tick(hourly: World) -> None:
    hourly.sync |= {"max_delete_percent": 10}
    hourly.put_emails(*"abcdefghij")
    due(hourly)
    first = pass_until_tick(hourly)
    serve(hourly)
    second = pass_until_tick(hourly)
    hourly.put_emails(*"abc")
    report = serve(hourly)
    assert report is not None
    assert report.status == "held"
    assert served(hourly) == [first, second]
    assert serve(hourly) is None
    pass_until_tick(hourly)
    report = serve(hourly)
    assert report is not None
    assert report.status == "held", "it is held at each tick until somebody decides"


def test_a_query_that_fails_leaves_its_tick_due(hourly: World) -> None:
    due(hourly)
    tick = pass_until_tick(hourly)
    good = hourly.sync["source"]
    hourly.sync["source"] = {**good, "query": "select nothing from nowhere"}
    report = hourly.run_unchecked(lambda: False, {"tick": due(hourly)})
    assert report.status == "failed"
    assert served(hourly) == [None]
    hourly.sync["source"] = good
    assert serve(hourly) is not None
    assert served(hourly) == [None, tick]


def test_a_run_told_to_stop_while_planning_leaves_its_tick_due(hourly: World) -> None:
    due(hourly)
    tick = pass_until_tick(hourly)
    report = hourly.run(stop=lambda: True, tick=due(hourly))
    assert report.status == "interrupted"
    assert serve(hourly) is not None
    assert served(hourly) == [None, tick]


def test_of_two_that_find_a_tick_due_one_serves_it(hourly: World) -> None:
    due(hourly)
    pass_until_tick(hourly)
    mine, yours = due(hourly), due(hourly)
    assert mine == yours is not None
    hourly.run(tick=mine)
    before = hourly.runs()
    late = hourly.run_unchecked(lambda: False, {"tick": yours})
    assert (late.status, late.exit_code, late.error_code) == ("skipped", 0, "served")
    assert hourly.runs() == before, "nothing is written"
    assert hourly.sent == []


def test_a_clock_that_was_wrong_stops_nothing_for_long(hourly: World) -> None:
    due(hourly)
    pass_until_tick(hourly)
    serve(hourly)
    hourly.sql(NEVER_SERVED.format("2099-01-01 00:00:00"))
    found = due(hourly)
    assert found is not None
    assert found.seen == datetime(2099, 1, 1)  # noqa: DTZ001 - our tables hold UTC without a zone
    assert hourly.run(tick=found).status == "succeeded"
    assert due(hourly) is None
    # A little ahead is not wrong: schedulers differ by seconds.
    ahead = hourly.clock.now().replace(tzinfo=None, microsecond=0) + timedelta(hours=3)
    hourly.sql(NEVER_SERVED.format(ahead))
    assert due(hourly) is None


def test_a_sync_without_schedule_is_never_due(world: World) -> None:
    world.put_emails("ada")
    assert due(world) is None
    world.clock.sleep(40 * 24 * 3600)
    assert due(world, at_once=True) is None


def test_any_history_serves_the_last_tick_of_each_look_and_none_twice(hourly: World) -> None:
    """Schedulers look at any moment, runs die or are held: the ledger is never wrong."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - what makes it happen again
    chance = random.Random(seed)
    seen = hourly.clock.now()
    config = hourly.config().sync(SYNC).schedule
    due(hourly)
    ledger: list[datetime] = []
    for _ in range(12):
        hourly.clock.sleep(chance.choice([60, 1800, 3600, 90_000]))
        hourly.put_emails(*chance.sample("abcdefgh", 4))
        found, now = due(hourly), hourly.clock.now()
        wanted = last_tick(config, now)
        assert wanted is not None
        last = ledger[-1].replace(tzinfo=UTC) if ledger else seen
        assert (found is not None and found.at is not None) == (wanted > last)
        if found is None:
            continue
        # Else what a death left is to be sent, which serves no tick.
        assert found.at in (None, wanted.replace(tzinfo=None))
        if chance.random() < 0.4 and hourly.die_at(chance.randrange(4, 60), tick=found):
            died = [row["scheduled_for"] for row in hourly.runs() if row["scheduled_for"]]
            ledger = sorted({*ledger, *died})
            continue
        hourly.run(tick=due(hourly))
        ledger = sorted({*ledger, *([found.at] if found.at else [])})
    times = [row["scheduled_for"] for row in hourly.runs() if row["scheduled_for"]]
    assert times == ledger
    assert len(times) == len(set(times))


def test_the_first_looks_of_two_schedulers_at_once(hourly: World) -> None:
    """Both write the row of the sync; who comes second finds it there."""
    due(hourly)
    hourly.sql("DELETE FROM reverse_etl.sync_state")
    due(hourly)
    first = hourly.sql("SELECT due_after FROM reverse_etl.sync_state")
    hourly.clock.sleep(5)
    due(hourly)
    assert hourly.sql("SELECT due_after FROM reverse_etl.sync_state") == first


def test_what_is_due_is_run_by_name(hourly: World) -> None:
    """The tick of the options is what the row says, whoever made it."""
    due(hourly)
    tick = pass_until_tick(hourly)
    found = due(hourly)
    report = run_sync(hourly.config(), SYNC, Options(tick=found), Ports(hourly.clock))
    assert report.status == "succeeded"
    assert served(hourly) == [tick]


@pytest.mark.parametrize("database", ["read only", "beside control"], indirect=True)
def test_the_ledger_is_where_leases_and_runs_are(hourly: World) -> None:
    """Also where that is not the warehouse that is asked."""
    due(hourly)
    tick = pass_until_tick(hourly)
    found = due(hourly)
    assert hourly.die_at("changes_vip_1", tick=found)
    assert due(hourly) == found
    assert serve(hourly) is not None
    assert serve(hourly) is None
    assert served(hourly) == [None, tick]
    late = hourly.run_unchecked(lambda: False, {"tick": found})
    assert (late.status, hourly.sent) == ("skipped", [])

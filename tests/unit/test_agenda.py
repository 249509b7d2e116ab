"""What a scheduler does next, without threads and without waiting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest

from reverse_etl.schedule import FIRST_WAIT, LONGEST_WAIT, Basic, Cron, Schedule
from reverse_etl.scheduler.agenda import BUSY_WAIT, Agenda

NOW = datetime(2026, 11, 23, 12, 7, tzinfo=UTC)
HOURLY = Basic(timedelta(hours=1))
DAILY = Basic(timedelta(days=1))
MIDDLE = 0.5  # a jitter that changes nothing


def agenda(**schedules: Schedule) -> Agenda:
    found = Agenda()
    found.plan(schedules, NOW)
    return found


def test_all_are_looked_at_in_the_beginning_as_many_as_may_run() -> None:
    found = agenda(a=HOURLY, b=HOURLY, c=HOURLY)
    assert found.ready(NOW, 2) == ["a", "b"]
    found.started("a")
    assert found.ready(NOW, 2) == ["b", "c"], "one that is at work is not begun again"
    assert found.ready(NOW, 0) == []


def test_who_waited_longest_is_first() -> None:
    found = agenda(a=HOURLY, b=HOURLY)
    found.entries["b"].look_at = NOW - timedelta(seconds=1)
    assert found.ready(NOW, 1) == ["b"]


def test_after_a_look_a_sync_waits_for_its_tick() -> None:
    found = agenda(a=HOURLY)
    found.started("a")
    assert found.next_look() is None
    found.waits_for_its_tick("a", NOW)
    assert found.next_look() == datetime(2026, 11, 23, 13, 0, tzinfo=UTC)
    assert found.ready(NOW, 9) == []
    assert found.ready(NOW + timedelta(hours=1), 9) == ["a"]


def test_a_tick_that_came_while_the_last_one_was_served_is_due_at_once() -> None:
    found = agenda(a=Cron("*/5 * * * *"))
    found.started("a")
    found.waits_for_its_tick("a", NOW, served=datetime(2026, 11, 23, 12, 0, tzinfo=UTC))
    assert found.ready(NOW, 9) == ["a"]
    found.started("a")
    found.waits_for_its_tick("a", NOW, served=datetime(2026, 11, 23, 12, 5, tzinfo=UTC))
    assert found.next_look() == datetime(2026, 11, 23, 12, 10, tzinfo=UTC)


def test_failures_wait_twice_as_long_each_time_up_to_an_hour() -> None:
    found = agenda(a=DAILY)
    waits = []
    for _ in range(9):
        found.failed("a", NOW, MIDDLE)
        waits.append(found.entries["a"].look_at - NOW)
    assert waits[:3] == [FIRST_WAIT, 2 * FIRST_WAIT, 4 * FIRST_WAIT]
    assert waits[6:] == [LONGEST_WAIT] * 3
    found.waits_for_its_tick("a", NOW)
    found.failed("a", NOW, MIDDLE)
    assert found.entries["a"].look_at == NOW + FIRST_WAIT, "it begins anew once all is well"


def test_a_failing_sync_is_tried_at_its_next_tick_at_the_latest() -> None:
    found = agenda(a=Cron("*/5 * * * *"))
    for _ in range(9):
        found.failed("a", NOW, MIDDLE)
    assert found.entries["a"].look_at == datetime(2026, 11, 23, 12, 10, tzinfo=UTC)


@pytest.mark.parametrize("jitter", [0.0, 1.0])
def test_waits_are_spread(jitter: float) -> None:
    found = agenda(a=DAILY)
    found.failed("a", NOW, jitter)
    assert found.entries["a"].look_at == NOW + FIRST_WAIT * (0.9 + 0.2 * jitter)
    found.was_busy("a", NOW, jitter)
    assert found.entries["a"].look_at == NOW + BUSY_WAIT * (0.5 + jitter)
    assert found.entries["a"].failures == 1, "busy is no failure"


def test_a_config_read_again_lets_running_syncs_go_on() -> None:
    found = agenda(a=HOURLY, b=HOURLY)
    found.started("a")
    found.started("b")
    found.plan({"a": DAILY, "c": HOURLY}, NOW)
    assert found.ready(NOW, 9) == ["c"]
    found.waits_for_its_tick("b", NOW)
    assert set(found.entries) == {"a", "c"}, "one that is gone stays gone"
    found.failed("b", NOW, MIDDLE)
    found.was_busy("b", NOW, MIDDLE)
    found.waits_for_its_tick("a", NOW)
    assert found.entries["a"].look_at == datetime(2026, 11, 24, tzinfo=UTC), "the new schedule"


def test_a_tick_between_a_look_and_the_word_of_it_is_not_missed() -> None:
    """The look found nothing due a moment before the tick, and was heard of a moment after it."""
    found = agenda(a=HOURLY)
    found.started("a")
    looked = datetime(2026, 11, 23, 12, 59, 59, tzinfo=UTC)
    found.waits_for_its_tick("a", looked)
    assert found.ready(looked + timedelta(seconds=2), 9) == ["a"]


def test_a_tick_that_somebody_else_served_is_looked_at_again() -> None:
    """It may have been an older one than the one that was due here."""
    found = agenda(a=HOURLY)
    found.failed("a", NOW, MIDDLE)
    found.started("a")
    found.is_looked_at_again("a", NOW)
    assert found.ready(NOW, 9) == ["a"]
    found.is_looked_at_again("gone", NOW)
    assert set(found.entries) == {"a"}


def test_what_a_wrong_clock_put_off_is_looked_at_again() -> None:
    found = agenda(a=DAILY)
    found.waits_for_its_tick("a", datetime(2099, 1, 1, tzinfo=UTC))
    assert found.ready(NOW, 9) == []
    found.look_at_all(NOW)
    assert found.ready(NOW, 9) == ["a"]


class Looking(Mapping[str, Schedule]):
    """Schedules that are given one by one, while somebody else reads the agenda."""

    def __init__(self, found: Agenda) -> None:
        self.found = found
        self.seen: list[set[str]] = []

    def __getitem__(self, name: str) -> Schedule:
        self.seen.append(set(self.found.entries))
        return HOURLY

    def __iter__(self) -> Iterator[str]:
        return iter(("a", "b", "c"))

    def __len__(self) -> int:
        return 3


def test_others_see_the_old_agenda_or_the_new_one_and_nothing_between() -> None:
    """The page reads it from threads of its own."""
    found = agenda(old=HOURLY)
    schedules = Looking(found)
    found.plan(schedules, NOW)
    assert schedules.seen == [{"old"}] * 3
    assert set(found.entries) == {"a", "b", "c"}


def test_a_part_of_a_plan_is_sent_in_its_time_and_the_sync_counts_as_failing_until_then() -> None:
    found = agenda(a=HOURLY)
    found.failed("a", NOW, MIDDLE)
    found.waits_for_its_rest("a", NOW, NOW + timedelta(minutes=4))
    assert found.next_look() == NOW + timedelta(minutes=4)
    assert found.entries["a"].failures == 1
    found.waits_for_its_rest("a", NOW, NOW + timedelta(hours=4))
    assert found.next_look() == datetime(2026, 11, 23, 13, 0, tzinfo=UTC), "its tick comes first"

"""Pacing: even slots, holds that everybody feels, one pacer per account and endpoint."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from reverse_etl.delivery.limiter import SHARE, Pacer, Pacers


class HandClock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time, UTC)

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += max(seconds, 0)


def test_slots_are_evenly_spaced_a_little_slower_than_allowed() -> None:
    pacer = Pacer(5, HandClock())

    slots = [pacer.reserve() for _ in range(6)]

    assert slots[0] == 100.0
    gaps = [after - before for before, after in pairwise(slots)]
    assert gaps == pytest.approx([1 / (5 * SHARE)] * 5)


def test_idle_time_is_not_saved_up() -> None:
    clock = HandClock()
    pacer = Pacer(5, clock)
    pacer.reserve()
    clock.sleep(60)

    assert pacer.reserve() == 160.0
    assert pacer.reserve() > 160.2


def test_no_limit_lets_everybody_start_at_once_but_not_through_a_hold() -> None:
    clock = HandClock()
    pacer = Pacer(0, clock)
    assert [pacer.reserve() for _ in range(3)] == [100.0] * 3

    pacer.hold(107.0)

    assert [pacer.reserve() for _ in range(3)] == [107.0] * 3
    clock.sleep(10)
    assert pacer.reserve() == 110.0


def test_a_hold_never_brings_anything_forward() -> None:
    pacer = Pacer(1, HandClock())
    pacer.hold(120.0)
    pacer.hold(110.0)

    assert pacer.reserve() == 120.0


def test_a_slot_reserved_before_a_hold_moves_behind_it() -> None:
    clock = HandClock()
    pacer = Pacer(10, clock)
    pacer.reserve()
    mine = pacer.reserve()
    pacer.hold(130.0)
    clock.time = mine

    assert pacer.claim(mine) == 130.0
    assert pacer.reserve() == pytest.approx(130.0 + 1 / (10 * SHARE))


def test_a_claimed_slot_stands_when_nothing_came_between() -> None:
    clock = HandClock()
    pacer = Pacer(10, clock)
    slot = pacer.reserve()

    assert pacer.claim(slot) == slot


def test_a_late_start_pushes_the_next_slot_away() -> None:
    clock = HandClock()
    pacer = Pacer(1, clock)
    slot = pacer.reserve()
    clock.sleep(0.9)

    pacer.claim(slot)

    assert pacer.reserve() == pytest.approx(100.9 + 1 / SHARE)


def test_a_slightly_late_start_costs_no_throughput() -> None:
    clock = HandClock()
    pacer = Pacer(1, clock)
    slot = pacer.reserve()
    clock.sleep(0.002)

    pacer.claim(slot)

    assert pacer.reserve() == pytest.approx(100 + 1 / SHARE)


@pytest.mark.parametrize("late", [0.001, 0.004, 0.02, 0.049, 0.3])
@pytest.mark.parametrize("rate", [1, 5, 100])
def test_no_sliding_second_has_more_than_is_allowed(rate: int, late: float) -> None:
    """Whoever starts late: the first of all, every tenth, or the last of a second."""
    clock = HandClock()
    pacer = Pacer(rate, clock)
    starts = []
    for n in range(6 * rate):
        slot = pacer.reserve()
        clock.sleep(slot - clock.monotonic())
        if n % 10 == 0 or n % rate == rate - 1:
            clock.sleep(late)
        pacer.claim(slot)
        starts.append(clock.monotonic())
    assert min(b - a for a, b in zip(starts, starts[rate:], strict=False)) >= 1


@pytest.mark.parametrize("late", [0.004, 0.01, 0.3, 20])
def test_also_two_syncs_that_share_a_pacer_keep_to_it(late: float) -> None:
    """Each has a slot reserved ahead when the one before starts late."""
    rate, clock = 100, HandClock()
    pacer = Pacer(rate, clock)
    starts, slots = [], [pacer.reserve(), pacer.reserve()]
    for n in range(4 * rate):
        slot = slots.pop(0)
        clock.sleep(slot - clock.monotonic())
        if n in (0, rate):
            clock.sleep(late)
        pacer.claim(slot)
        starts.append(clock.monotonic())
        slots.append(pacer.reserve())
    # The slot that was out already may come at once after the late one.
    assert min(b - a for a, b in zip(starts, starts[rate + 1 :], strict=False)) >= 1
    # And nobody waits for longer than there was to wait for.
    assert starts[-1] - starts[0] < 4 * rate / (rate * SHARE) + 2 * late + 0.1


def test_threads_never_get_the_same_slot() -> None:
    pacer = Pacer(1000, HandClock())
    slots: list[float] = []
    threads = [
        threading.Thread(target=lambda: slots.extend(pacer.reserve() for _ in range(200)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(slots)) == 800


def test_pacers_are_shared_by_account_and_endpoint_only() -> None:
    pacers = Pacers(HandClock())
    pacer = pacers.get("account", "subscribe", 5)

    assert pacers.get("account", "subscribe", 5) is pacer
    assert pacers.get("account", "unsubscribe", 5) is not pacer
    assert pacers.get("other", "subscribe", 5) is not pacer


@pytest.mark.parametrize(
    ("rates", "kept"), [((5, 3), 3), ((3, 5), 3), ((0, 5), 5), ((5, 0), 5), ((0, 0), 0)]
)
def test_the_lowest_rate_asked_for_counts(rates: tuple[float, float], kept: float) -> None:
    pacers = Pacers(HandClock())
    for rate in rates:
        pacer = pacers.get("account", "subscribe", rate)

    assert pacer.rate == kept
    first, second = pacer.reserve(), pacer.reserve()
    assert second - first == pytest.approx(1 / (kept * SHARE) if kept else 0)

"""Back-off: jitter, growth, budget, and what a server may ask for."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.connector import NoAnswer, Response
from reverse_etl.delivery.retry import RetryPolicy, retry_after

NONE = NoAnswer("reset")


def policy(retry_seconds: float = 3600, seed: int = 1) -> RetryPolicy:
    return RetryPolicy(retry_seconds, Random(seed))


def asks(value: str, **more: str) -> Response:
    return Response(429, headers={"retry-after": value, **more})


def test_waits_grow_from_one_second_to_one_minute() -> None:
    waits = policy()
    longest = [max(waits.next_wait(n, 0, NONE) or 0 for _ in range(300)) for n in range(1, 12)]

    ceilings = [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60]
    for seen, ceiling in zip(longest, ceilings, strict=True):
        assert ceiling * 0.9 < seen <= ceiling


def test_jitter_spreads_over_the_whole_range() -> None:
    waits = policy()
    seen = [waits.next_wait(3, 0, NONE) or 0 for _ in range(300)]

    assert min(seen) < 0.4
    assert max(seen) > 3.6


def test_a_seed_gives_the_same_waits() -> None:
    one, two = policy(seed=7), policy(seed=7)

    assert [one.next_wait(n, 0, NONE) for n in range(1, 9)] == [
        two.next_wait(n, 0, NONE) for n in range(1, 9)
    ]


def test_the_last_wait_ends_with_the_budget() -> None:
    waits = policy(60)

    assert waits.next_wait(20, 59.99, NONE) == pytest.approx(0.01, abs=0.01)
    assert waits.next_wait(20, 60, NONE) is None
    assert waits.next_wait(20, 61, NONE) is None


def test_no_budget_means_no_repeat() -> None:
    assert policy(0).next_wait(1, 0, NONE) is None


def test_retry_after_is_a_lower_bound() -> None:
    waits = policy()

    assert waits.next_wait(1, 0, asks("7")) == 7
    assert all((waits.next_wait(7, 0, asks("7")) or 0) >= 7 for _ in range(100))


def test_retry_after_is_capped_by_budget_and_by_five_minutes() -> None:
    assert policy(60).next_wait(1, 10, asks("7200")) == 50
    assert policy(3600).next_wait(1, 0, asks("7200")) == 300


def test_retry_after_as_a_date_is_measured_on_the_servers_clock() -> None:
    response = asks("Wed, 21 Oct 2015 07:28:00 GMT", date="Wed, 21 Oct 2015 07:27:30 GMT")

    assert retry_after(response) == 30


@pytest.mark.parametrize(
    "value",
    [
        "",
        "-5",
        "soon",
        "nan",
        "inf",
        "1e9",
        "0x10",
        "5 s",
        "Wed, 99 Oct 2015 07:28:00 GMT",
        "Wed, 21 Oct 2015 07:28:00 GMT",  # no Date to compare with
        "١٢",  # digits, but not those of HTTP
        "9" * 400,
    ],
)
def test_a_useless_retry_after_is_ignored(value: str) -> None:
    assert retry_after(asks(value)) == 0


def test_a_date_in_the_past_is_ignored() -> None:
    past, now = "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 08:28:00 GMT"

    assert retry_after(asks(past, date=now)) == 0


@given(st.text(max_size=40), st.text(max_size=40), st.integers(1, 10**6), st.floats(0, 100))
def test_any_header_gives_a_wait_within_the_budget(
    value: str, date: str, attempt: int, elapsed: float
) -> None:
    wait = policy(60).next_wait(attempt, elapsed, asks(value, date=date))

    assert wait is None if elapsed >= 60 else wait is not None and 0 <= wait <= 60 - elapsed

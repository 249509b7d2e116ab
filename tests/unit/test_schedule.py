"""Ticks of basic, cron and manual schedules, checked against the definition minute by minute."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, time, timedelta, timezone
from itertools import islice

import pytest
from cronsim import CronSim, CronSimError
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from reverse_etl.schedule import (
    ALIASES,
    EPOCH,
    Basic,
    Cron,
    Manual,
    Schedule,
    due_tick,
    last_tick,
    next_tick,
    parse_at,
    parse_cron,
    parse_every,
)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5 minutes", timedelta(minutes=5)),
        ("90 minutes", timedelta(minutes=90)),
        ("1 hour", timedelta(hours=1)),
        ("12 hours", timedelta(hours=12)),
        ("1 day", timedelta(days=1)),
        ("  2   Days ", timedelta(days=2)),
        ("365 days", timedelta(days=365)),
        ("1 week", timedelta(days=7)),
        ("52 weeks", timedelta(days=364)),
    ],
)
def test_every_is_a_number_and_a_unit(text: str, expected: timedelta) -> None:
    assert parse_every(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a number and minutes, hours, days or weeks"),
        ("1h", "must be a number and minutes, hours, days or weeks"),
        ("hour", "must be a number and minutes, hours, days or weeks"),
        ("-5 minutes", "must be a number and minutes, hours, days or weeks"),
        ("1.5 hours", "must be a number and minutes, hours, days or weeks"),
        ("1 month", "must be a number and minutes, hours, days or weeks"),
        ("\u0665 minutes", "must be a number and minutes, hours, days or weeks"),
        ("9999999999999 days", "must be a number and minutes, hours, days or weeks"),
        ("0 days", "must be at least 5 minutes"),
        ("4 minutes", "must be at least 5 minutes"),
        ("366 days", "must be at most 365 days"),
        ("53 weeks", "must be at most 365 days"),
        ("999999 weeks", "must be at most 365 days"),
        ("999999 days", "must be at most 365 days"),
    ],
)
def test_every_refuses(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_every(text)


def test_at_is_a_time_of_day() -> None:
    assert parse_at("00:30") == time(0, 30)
    assert parse_at("23:59") == time(23, 59)


@pytest.mark.parametrize(
    "text",
    ["", "24:00", "7:30", "07:60", "0730", "07:30:00", "07:30Z", "\u0660\u0667:\u0663\u0660"],
)
def test_at_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="HH:MM"):
        parse_at(text)


@pytest.mark.parametrize(
    ("every", "at", "now", "last", "following"),
    [
        ("1 hour", "00:30", "2026-03-01T10:29", "2026-03-01T09:30", "2026-03-01T10:30"),
        ("1 hour", "00:30", "2026-03-01T10:30", "2026-03-01T10:30", "2026-03-01T11:30"),
        # A time of day later than the interval only shifts the ticks.
        ("1 hour", "05:30", "2026-03-01T10:31", "2026-03-01T10:30", "2026-03-01T11:30"),
        ("1 day", "00:30", "2026-03-01T00:29:59", "2026-02-28T00:30", "2026-03-01T00:30"),
        # 7 hours do not divide a day: the ticks are counted from 1970, not from midnight.
        ("7 hours", "00:00", "1970-01-02T05:00", "1970-01-02T04:00", "1970-01-02T11:00"),
        # 1970 began on a Thursday, and so do weeks.
        ("1 week", "09:00", "2026-11-26T08:59", "2026-11-19T09:00", "2026-11-26T09:00"),
        ("2 days", "00:00", "1970-01-02T12:00", "1970-01-01T00:00", "1970-01-03T00:00"),
    ],
)
def test_basic_ticks(every: str, at: str, now: str, last: str, following: str) -> None:
    schedule = Basic(parse_every(every), parse_at(at))
    assert last_tick(schedule, utc(now)) == utc(last)
    assert next_tick(schedule, utc(now)) == utc(following)


@given(
    minutes=st.integers(5, 3 * 24 * 60),
    at=st.times().map(lambda moment: moment.replace(second=0, microsecond=0)),
    now=st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_basic_ticks_follow_the_definition(minutes: int, at: time, now: datetime) -> None:
    schedule = Basic(timedelta(minutes=minutes), at)
    last, following = last_tick(schedule, now), next_tick(schedule, now)
    assert last is not None
    assert following is not None
    start = EPOCH + timedelta(hours=at.hour, minutes=at.minute)
    assert (last - start) % schedule.every == timedelta(0)
    assert last <= now < following
    assert following - last == schedule.every


@pytest.mark.parametrize(
    ("expression", "now", "last", "following"),
    [
        ("*/15 * * * *", "2026-03-01T10:14:59", "2026-03-01T10:00", "2026-03-01T10:15"),
        ("*/15 * * * *", "2026-03-01T10:15", "2026-03-01T10:15", "2026-03-01T10:30"),
        ("*/15 * * * *", "2026-03-01T10:15:00.000001", "2026-03-01T10:15", "2026-03-01T10:30"),
        ("30 2 * * *", "2026-03-29T02:30", "2026-03-29T02:30", "2026-03-30T02:30"),
        ("0 6 * * MON-FRI", "2026-03-01T10:00", "2026-02-27T06:00", "2026-03-02T06:00"),
        ("0 6 * * 7", "2026-03-02T10:00", "2026-03-01T06:00", "2026-03-08T06:00"),
        ("0 0 29 2 *", "2026-03-01T10:00", "2024-02-29T00:00", "2028-02-29T00:00"),
        ("0 0 1 jan,jul *", "2026-03-01T10:00", "2026-01-01T00:00", "2026-07-01T00:00"),
        # Day of month and day of week: either is enough, as in every cron.
        ("0 0 13 * fri", "2026-03-07T00:00", "2026-03-06T00:00", "2026-03-13T00:00"),
        ("@hourly", "2026-03-07T00:30", "2026-03-07T00:00", "2026-03-07T01:00"),
        (" @Daily ", "2026-03-07T00:30", "2026-03-07T00:00", "2026-03-08T00:00"),
        ("@midnight", "2026-03-07T00:30", "2026-03-07T00:00", "2026-03-08T00:00"),
        ("@weekly", "2026-03-07T00:30", "2026-03-01T00:00", "2026-03-08T00:00"),
        ("@monthly", "2026-03-07T00:30", "2026-03-01T00:00", "2026-04-01T00:00"),
        ("@yearly", "2026-03-07T00:30", "2026-01-01T00:00", "2027-01-01T00:00"),
        ("@annually", "2026-03-07T00:30", "2026-01-01T00:00", "2027-01-01T00:00"),
    ],
)
def test_cron_ticks(expression: str, now: str, last: str, following: str) -> None:
    schedule = parse_cron(expression)
    assert last_tick(schedule, utc(now)) == utc(last)
    assert next_tick(schedule, utc(now)) == utc(following)


FIELD_MINUTE = st.sampled_from(["0", "*/5", "7,37", "10-50/20", "3/15", "59"])
FIELD_HOUR = st.sampled_from(["*", "0", "*/6", "1-5", "8,20", "23"])
FIELD_WEEKDAY = st.sampled_from(["*", "0", "7", "1-5", "mon,wed", "sat"])


def _brute(text: str, value: int, low: int, high: int) -> bool:
    """Say whether a field matches, written without a look at the code under test."""
    for name, number in {"mon": 1, "wed": 3, "sat": 6}.items():
        text = text.replace(name, str(number))
    for item in text.split(","):
        body, _, step = item.partition("/")
        first, _, last = body.partition("-")
        start = low if first == "*" else int(first)
        stop = high if first == "*" or (step and not last) else int(last or first)
        if value in range(start, stop + 1, int(step or 1)):
            return True
    return False


@settings(max_examples=60, deadline=None)
@given(minute=FIELD_MINUTE, hour=FIELD_HOUR, weekday=FIELD_WEEKDAY, offset=st.integers(0, 20160))
def test_cron_ticks_agree_with_a_search_by_minutes(
    minute: str, hour: str, weekday: str, offset: int
) -> None:
    schedule = parse_cron(f"{minute} {hour} * * {weekday}")

    def matches(moment: datetime) -> bool:
        day = (moment.weekday() + 1) % 7
        return (
            _brute(minute, moment.minute, 0, 59)
            and _brute(hour, moment.hour, 0, 23)
            and any(_brute(weekday, number, 0, 7) for number in ({0, 7} if day == 0 else {day}))
        )

    now = utc("2026-02-20T00:00") + timedelta(minutes=offset)
    step = timedelta(minutes=1)
    expected = now + step
    while not matches(expected):
        expected += step
    assert next_tick(schedule, now) == expected
    expected = now
    while not matches(expected):
        expected -= step
    assert last_tick(schedule, now) == expected


EXPRESSION = st.tuples(
    FIELD_MINUTE,
    FIELD_HOUR,
    st.sampled_from(["*", "1", "31", "*/2", "1-7", "10,20", "13", "28-31/3"]),
    st.sampled_from(["*", "2", "jan", "*/3", "4,6,9,11", "feb-mar"]),
    st.sampled_from(["*", "0", "7", "1-5", "mon,wed", "fri", "5-7", "*/2"]),
).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(
    expression=st.one_of(EXPRESSION, st.sampled_from(sorted(ALIASES))),
    now=st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_cron_ticks_agree_with_another_library(expression: str, now: datetime) -> None:
    try:
        schedule = parse_cron(expression)
        others = CronSim(ALIASES.get(expression, expression).upper(), now)
    except (ValueError, CronSimError):
        assume(False)  # noqa: FBT003 - no date fits all fields, or days that are disputed
    moment = now
    for expected in islice(others, 5):
        assert next_tick(schedule, moment) == expected
        assert last_tick(schedule, expected) == expected
        before = last_tick(schedule, expected - timedelta(microseconds=1))
        assert moment in (before, now)
        moment = expected


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "exactly five fields .*, not 0"),
        ("* * * *", "exactly five fields .*, not 4"),
        ("0 0 1 1 * *", "exactly five fields .*, not 6"),
        ("0 0 1 1 * 0 2030", "exactly five fields .*, not 7"),
        ("@reboot", "names that begin with @ are @yearly, .*, @hourly"),
        ("@daily 5", "names that begin with @ are"),
        ("@every 5m", "names that begin with @ are"),
        ("daily", "exactly five fields .*, not 1"),
        ("60 * * * *", "minute field has a number outside 0 to 59"),
        ("0 24 * * *", "hour field has a number outside 0 to 23"),
        ("0 0 0 * *", "day of month field has a number outside 1 to 31"),
        ("0 0 1 13 *", "month field has a number outside 1 to 12"),
        ("0 0 * * 8", "day of week field has a number outside 0 to 7"),
        ("99999999999999999999999 * * * *", "minute field has a number outside"),
        ("-5 * * * *", "minute field is not a number"),
        ("*/0 * * * *", "minute field has a step outside 1 to 59"),
        ("*/60 * * * *", "minute field has a step outside 1 to 59"),
        ("*/99999999999999999999 * * * *", "minute field has a step outside"),
        ("30-10 * * * *", "minute field has a range that runs backwards"),
        ("0,,5 * * * *", "minute field is not a number"),
        ("H * * * *", "minute field has a word"),
        ("0 0 L * *", "day of month field has a word"),
        ("0 0 ? * *", "day of month field is not a number"),
        ("0 0 * * mon#1", "day of week field is not a number"),
        ("0 0 * mon *", "month field has a word"),
        ("\u0663 * * * *", "minute field is not a number"),
        ("0 0 */2 * mon", "cron programs disagree"),
        ("0 0 13 * */2", "cron programs disagree"),
        ("0 0 */2 * */2", "cron programs disagree"),
        ("0 0 31 2 *", "never fires"),
        ("0 0 30-31 2 *", "never fires"),
        ("* * * * *", "more often than every 5 minutes"),
        ("*/4 * * * *", "more often than every 5 minutes"),
        ("0,2 0 1 1 *", "more often than every 5 minutes"),
        # 56, then 0: every 7 minutes is 4 minutes apart at the full hour.
        ("*/7 * * * *", "more often than every 5 minutes"),
        # 23:58 and 00:00 of the next day.
        ("0,58 0,23 * * *", "more often than every 5 minutes"),
        ("0,58 0,23 31,1 * *", "more often than every 5 minutes"),
        # 28 February and 1 March follow each other in three years of four.
        ("0,58 0,23 28,1 2,3 *", "more often than every 5 minutes"),
    ],
)
def test_cron_refuses(expression: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_cron(expression)


def test_cron_accepts_close_ticks_that_never_meet() -> None:
    """23:58 of the 1st and 00:00 of the 1st are on the same day, never two in a row."""
    assert parse_cron("0,58 0,23 1 * *") == Cron("0,58 0,23 1 * *")


def test_cron_is_kept_in_one_spelling() -> None:
    assert parse_cron("  0  6 *\t* MON ") == Cron("0 6 * * mon")


def test_manual_has_no_ticks() -> None:
    assert last_tick(Manual(), utc("2026-03-01")) is None
    assert next_tick(Manual(), utc("2026-03-01")) is None


@pytest.mark.parametrize("schedule", [Basic(timedelta(hours=1)), Cron("0 * * * *"), Manual()])
def test_a_naive_time_is_refused(schedule: Basic | Cron | Manual) -> None:
    naive = datetime(2026, 3, 1)  # noqa: DTZ001
    with pytest.raises(ValueError, match="aware"):
        last_tick(schedule, naive)
    with pytest.raises(ValueError, match="aware"):
        next_tick(schedule, naive)


@pytest.mark.parametrize("schedule", [Basic(timedelta(days=1)), Cron("0 0 * * *")])
def test_other_time_zones_are_read_as_utc(schedule: Basic | Cron) -> None:
    """Midnight in Kathmandu is 18:15 UTC of the day before."""
    kathmandu = timezone(timedelta(hours=5, minutes=45))
    moment = datetime(2026, 3, 2, 0, 0, tzinfo=kathmandu)
    assert last_tick(schedule, moment) == utc("2026-03-01T00:00")
    assert next_tick(schedule, moment) == utc("2026-03-02T00:00")


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused_with_a_value_error(text: str) -> None:
    for parse in (parse_every, parse_at, parse_cron):
        with contextlib.suppress(ValueError):
            parse(text)


# --- what is due ---------------------------------------------------------------------------


BASICS = st.builds(
    Basic,
    every=st.integers(5, 3 * 24 * 60).map(lambda minutes: timedelta(minutes=minutes)),
    at=st.builds(time, st.integers(0, 23), st.integers(0, 59)),
)
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
# Mostly near each other; then years apart, and ahead of now by less than a day and by more.
DISTANCES = st.one_of(
    st.timedeltas(timedelta(days=-3), timedelta(days=12)),
    st.timedeltas(timedelta(days=-400), timedelta(days=60)),
    st.sampled_from([timedelta(0), timedelta(days=-1), timedelta(days=-1, microseconds=-1)]),
)


def ticks_of_basic(schedule: Basic, after: datetime, now: datetime) -> list[datetime]:
    """Return the ticks in (after, now], counted up from the first of all."""
    minutes = int(schedule.every.total_seconds()) // 60
    first = schedule.at.hour * 60 + schedule.at.minute
    found = []
    # From a day before on, and no sooner: counted in whole minutes, not by the code under test.
    start = int((after - EPOCH).total_seconds()) // 60 - 1
    minute = start + (first - start) % minutes
    while EPOCH + timedelta(minutes=minute) <= now:
        tick = EPOCH + timedelta(minutes=minute)
        if tick > after:
            found.append(tick)
        minute += minutes
    return found


def ticks_of_cron(expression: str, after: datetime, now: datetime) -> list[datetime]:
    """Return the ticks in (after, now], as another library finds them."""
    found = []
    for tick in CronSim(expression.upper(), after.replace(microsecond=0)):
        if tick > now:
            break
        if tick > after:
            found.append(tick)
    return found


def check_due(schedule: Schedule, ticks: list[datetime], after: datetime, now: datetime) -> None:
    """Hold what is due against the ticks between ``after`` and ``now``."""
    due = due_tick(schedule, after, now)
    if after > now + timedelta(days=1):
        # No clock is that far ahead: it counts as long ago.
        assert due == last_tick(schedule, now)
    else:
        assert due == (ticks[-1] if ticks else None)


@settings(max_examples=300, deadline=None)
@given(schedule=BASICS, now=MOMENTS, distance=DISTANCES)
def test_a_basic_schedule_is_due_when_a_tick_has_passed(
    schedule: Basic, now: datetime, distance: timedelta
) -> None:
    after = now - distance
    check_due(schedule, ticks_of_basic(schedule, after, now), after, now)


@settings(max_examples=200, deadline=None)
@given(expression=EXPRESSION, now=MOMENTS, distance=DISTANCES)
def test_a_cron_schedule_is_due_when_a_tick_has_passed(
    expression: str, now: datetime, distance: timedelta
) -> None:
    after = now - distance
    try:
        schedule = parse_cron(expression)
        ticks = ticks_of_cron(expression, after, now)
    except (ValueError, CronSimError):
        assume(False)  # noqa: FBT003 - no date fits all fields, or days that are disputed
    check_due(schedule, ticks, after, now)


@settings(max_examples=100, deadline=None)
@given(schedule=st.one_of(BASICS, EXPRESSION), now=MOMENTS, steps=st.lists(DISTANCES, max_size=8))
def test_serving_what_is_due_leaves_nothing_due(
    schedule: Basic | str, now: datetime, steps: list[timedelta]
) -> None:
    """Whatever the clocks say: a tick that was served is not due again at the same moment."""
    wanted: Schedule
    try:
        wanted = parse_cron(schedule) if isinstance(schedule, str) else schedule
    except ValueError:
        assume(False)  # noqa: FBT003 - as above
    after = now
    for step in steps:
        now += step
        due = due_tick(wanted, after, now)
        if due is not None:
            assert due <= now
            after = due
            assert due_tick(wanted, after, now) is None


def test_a_schedule_by_hand_is_never_due() -> None:
    assert due_tick(Manual(), utc("2020-01-01T00:00"), utc("2026-01-01T00:00")) is None


@pytest.mark.parametrize(
    ("after", "due"),
    [
        ("2026-03-01T09:59:59.999999", True),
        ("2026-03-01T10:00", False),
        ("2026-03-01T10:20", False),
        ("2026-03-02T10:20", False),
        ("2026-03-02T10:20:00.000001", True),
    ],
)
def test_the_edges_of_what_is_due(after: str, *, due: bool) -> None:
    hourly, now = Basic(timedelta(hours=1)), utc("2026-03-01T10:20")
    assert (due_tick(hourly, utc(after), now) is not None) is due
    elsewhere = now.astimezone(timezone(timedelta(hours=5, minutes=45)))
    assert (due_tick(hourly, utc(after), elsewhere) is not None) is due

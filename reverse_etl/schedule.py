"""When a sync is due: pure functions from a schedule and a time to a tick, all in UTC.

A *tick* is a moment at which the schedule asks for a run. Nothing here reads a clock or keeps
state; which tick was served last is in the tables (``due.py``). The ``parse_*`` functions
raise :class:`ValueError` in plain words and never repeat their input, because the input may
come from an environment variable and the caller decides whether it may be shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from croniter import croniter

MIN_INTERVAL = timedelta(minutes=5)
MAX_INTERVAL = timedelta(days=365)

# A tick served later than now was noted by a clock that was wrong. Schedulers are a little apart;
# who is further ahead than this would otherwise keep a sync from running until then.
MOST_SKEW = timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# After a failure a sync rests for a while, which doubles with each further one.
FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(hours=1)

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
"""The names that all cron programs share. ``@reboot`` is none of them: it is no time."""

_UNITS = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}
_EVERY = re.compile(r"([0-9]{1,6})\s+(minute|hour|day|week)s?", re.ASCII)
_AT = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_CRON_ITEM = re.compile(r"(?:\*|([0-9]+|[a-z]+)(?:-([0-9]+|[a-z]+))?)(?:/([0-9]+))?", re.ASCII)
_MINUTES_PER_DAY = 24 * 60
_WEEKDAY_CYCLE_YEARS = 28  # after 28 years the calendar repeats, leap days and weekdays included


@dataclass(frozen=True, slots=True)
class Basic:
    """Ticks at ``at`` plus whole multiples of ``every``, counted from 1970-01-01, a Thursday.

    Attributes:
        every: Distance between two ticks, at least 5 minutes.
        at: Time of day (UTC) of one of the ticks.
    """

    every: timedelta
    at: time = time(0, 0)


@dataclass(frozen=True, slots=True)
class Cron:
    """Ticks of a cron expression with five fields, as checked by :func:`parse_cron`."""

    expression: str


@dataclass(frozen=True, slots=True)
class Manual:
    """No ticks: runs start by hand only."""


Schedule = Basic | Cron | Manual


@dataclass(frozen=True, slots=True)
class Tick:
    """A tick that a scheduler wants to be served; times are in UTC, without time zone.

    Attributes:
        at: The tick; None where no tick is due, but the last plan was not sent to its end.
        seen: The ``due_after`` of ``sync_state`` that it was found due by. If it is another one
            once the run has the lease, then somebody else has served a tick meanwhile.
    """

    at: datetime | None
    seen: datetime | None


@dataclass(frozen=True, slots=True)
class _CronField:
    """Name and range of one field of a cron expression."""

    name: str
    low: int
    high: int
    words: tuple[str, ...] = ()


_CRON_FIELDS = (
    _CronField("minute", 0, 59),
    _CronField("hour", 0, 23),
    _CronField("day of month", 1, 31),
    _CronField("month", 1, 12, _MONTHS),
    _CronField("day of week", 0, 7, _WEEKDAYS),
)


def last_tick(schedule: Schedule, now: datetime) -> datetime | None:
    """Return the latest tick at or before ``now`` (aware), or None for a manual schedule."""
    moment = _utc(now)
    match schedule:
        case Basic():
            return _basic_floor(schedule, moment)
        case Cron():
            # croniter looks strictly before its start; a minute later makes that "at or before".
            start = _minute(moment) + timedelta(minutes=1)
            return _cron(schedule.expression, start).get_prev(datetime)
        case Manual():
            return None


def next_tick(schedule: Schedule, after: datetime) -> datetime | None:
    """Return the first tick later than ``after`` (aware), or None for a manual schedule."""
    moment = _utc(after)
    match schedule:
        case Basic():
            return _basic_floor(schedule, moment) + schedule.every
        case Cron():
            return _cron(schedule.expression, _minute(moment)).get_next(datetime)
        case Manual():
            return None


def due_tick(schedule: Schedule, after: datetime, now: datetime) -> datetime | None:
    """Return the tick that is due, or None: however many have passed, they are one.

    Args:
        schedule: When runs are wanted.
        after: The tick that was served last, or the moment the sync was first seen (aware). One
            that lies more than a day ahead was noted by a wrong clock and counts as long ago.
        now: Aware.
    """
    tick = last_tick(schedule, now)
    if tick is None or (tick <= _utc(after) and _utc(after) <= _utc(now) + MOST_SKEW):
        return None
    return tick


def wait_after(failures: int) -> timedelta:
    """Return how long a sync rests after so many failures in a row, one or more."""
    # Doubled six times it is more than the longest wait already.
    doubled = min(max(failures - 1, 0), 6)
    return min(FIRST_WAIT * (1 << doubled), LONGEST_WAIT)


def following(schedule: Schedule, after: datetime, most: int) -> Iterator[datetime]:
    """Yield the first ticks later than ``after`` (aware), so many at most."""
    tick = next_tick(schedule, after)
    for _ in range(most):
        if tick is None:
            return
        yield tick
        tick = next_tick(schedule, tick)


def parse_every(text: str) -> timedelta:
    """Read an interval such as ``5 minutes``, ``1 hour``, ``1 day`` or ``2 weeks``.

    Raises:
        ValueError: It is no such text, or shorter than 5 minutes or longer than 365 days.
    """
    match = _EVERY.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(
            "must be a number and minutes, hours, days or weeks, such as 30 minutes or 1 day"
        )
    # 6 digits of weeks still fit into a timedelta, so the product cannot overflow.
    every = int(match[1]) * _UNITS[match[2]]
    if every < MIN_INTERVAL:
        raise ValueError("must be at least 5 minutes")
    if every > MAX_INTERVAL:
        raise ValueError("must be at most 365 days")
    return every


def parse_at(text: str) -> time:
    """Read a time of day (UTC) such as ``00:30``.

    Raises:
        ValueError: It is not HH:MM from 00:00 to 23:59.
    """
    match = _AT.fullmatch(text.strip())
    if match is None:
        raise ValueError("must be a UTC time of day as HH:MM, from 00:00 to 23:59")
    return time(int(match[1]), int(match[2]))


def parse_cron(expression: str) -> Cron:
    """Read a cron expression: five fields, at least 5 minutes apart, with at least one tick.

    Numbers, ``*``, lists, ranges, steps, the English three-letter names, and ``@hourly`` and its
    kind are accepted. The additions of some cron programs (seconds, years, ``L``, ``#``, ``?``,
    ``H``) are not, because programs disagree on what they mean.

    Raises:
        ValueError: Any of that does not hold.
    """
    text = expression.strip().lower()
    if text.startswith("@") and text not in ALIASES:
        raise ValueError(f"names that begin with @ are {', '.join(ALIASES)}")
    parts = ALIASES.get(text, text).split()
    if len(parts) != len(_CRON_FIELDS):
        raise ValueError(
            f"must have exactly five fields (minute, hour, day of month, month, day of week), "
            f"not {len(parts)}"
        )
    minutes, hours, *_ = (
        _cron_values(part, field) for part, field in zip(parts, _CRON_FIELDS, strict=True)
    )
    _refuse_disputed(*parts[2::2])
    normalised = " ".join(parts)
    _refuse_never(normalised)
    _refuse_frequent(sorted(hour * 60 + minute for hour in hours for minute in minutes), parts)
    return Cron(normalised)


def _utc(moment: datetime) -> datetime:
    """Return the moment in UTC; a naive one would silently mean local time."""
    if moment.tzinfo is None:
        raise ValueError("a schedule needs an aware datetime")
    return moment.astimezone(UTC)


def _minute(moment: datetime) -> datetime:
    """Return the start of the minute."""
    return moment.replace(second=0, microsecond=0)


def _basic_floor(schedule: Basic, moment: datetime) -> datetime:
    """Return the latest tick at or before the moment."""
    start = EPOCH + timedelta(hours=schedule.at.hour, minutes=schedule.at.minute)
    return start + (moment - start) // schedule.every * schedule.every


def _cron(expression: str, start: datetime) -> croniter:
    """Return the iterator over the ticks around ``start``."""
    from croniter import croniter  # noqa: PLC0415 - few schedules are cron's

    return croniter(expression, start)


def _cron_values(text: str, field: _CronField) -> frozenset[int]:
    """Return all values that one field names.

    croniter alone accepts ranges that run backwards and steps larger than the field, both of
    which are slips, so the syntax is checked here.
    """
    return frozenset(value for item in text.split(",") for value in _cron_item(item, field))


def _cron_item(item: str, field: _CronField) -> range:
    """Return the values of one item of a list: ``*``, ``5``, ``1-5``, each with ``/step``."""
    match = _CRON_ITEM.fullmatch(item)
    if match is None:
        raise ValueError(f"the {field.name} field is not a number, *, list, range or step")
    first, last, step_text = match.groups()
    step = 1 if step_text is None else _cron_step(step_text, field)
    if first is None:
        return range(field.low, field.high + 1, step)
    low = _cron_value(first, field)
    if last is not None:
        high = _cron_value(last, field)
    else:
        high = low if step_text is None else field.high
    if high < low:
        raise ValueError(f"the {field.name} field has a range that runs backwards")
    return range(low, high + 1, step)


def _cron_step(text: str, field: _CronField) -> int:
    """Return the step, from 1 to the largest value of the field."""
    step = _bounded(text)
    if not 1 <= step <= field.high:
        raise ValueError(f"the {field.name} field has a step outside 1 to {field.high}")
    return step


def _cron_value(text: str, field: _CronField) -> int:
    """Return the number that a number or a name stands for."""
    if text in field.words:
        return field.words.index(text) + field.low
    if not text.isdigit():
        raise ValueError(f"the {field.name} field has a word that is no name of it")
    value = _bounded(text)
    if not field.low <= value <= field.high:
        raise ValueError(f"the {field.name} field has a number outside {field.low} to {field.high}")
    return value


def _bounded(digits: str) -> int:
    """Return the number; one with absurdly many digits is any number out of range."""
    return int(digits[:9])


def _refuse_disputed(days: str, weekdays: str) -> None:
    """Raise when cron programs differ on which days are meant.

    Where both fields choose days, one match is enough; but the cron of most systems wants both as
    soon as one of the fields begins with ``*``, as in ``*/2``, and croniter does not.
    """
    if "*" not in (days, weekdays) and "*" in days + weekdays:
        raise ValueError(
            "has a step on * in one of the two fields that choose days, and a choice in the other: "
            "cron programs disagree on whether one match is enough; write the days as numbers"
        )


def _refuse_never(expression: str) -> None:
    """Raise when no date matches, such as 31 February."""
    from croniter import CroniterBadDateError  # noqa: PLC0415 - as above

    try:
        _cron(expression, EPOCH).get_next(datetime)
    except CroniterBadDateError:
        never = True
    else:
        never = False
    if never:
        raise ValueError("never fires: no date matches the day of month, month and day of week")


def _refuse_frequent(minutes_of_day: list[int], parts: list[str]) -> None:
    """Raise when two ticks can be closer than 5 minutes, also across midnight."""
    least = int(MIN_INTERVAL.total_seconds() // 60)
    within = min(
        (later - earlier for earlier, later in pairwise(minutes_of_day)),
        default=_MINUTES_PER_DAY,
    )
    across = minutes_of_day[0] + _MINUTES_PER_DAY - minutes_of_day[-1]
    if within < least or (across < least and _on_consecutive_days(parts)):
        raise ValueError("fires more often than every 5 minutes")


def _on_consecutive_days(parts: list[str]) -> bool:
    """Whether the day fields match two days in a row, looked for over a whole weekday cycle."""
    start = datetime(2000, 1, 1, tzinfo=UTC)
    days = _cron(" ".join(["0", "0", *parts[2:]]), start)
    end = start.replace(year=start.year + _WEEKDAY_CYCLE_YEARS)
    previous = days.get_next(datetime)
    while previous < end:
        day = days.get_next(datetime)
        if day - previous == timedelta(days=1):
            return True
        previous = day
    return False

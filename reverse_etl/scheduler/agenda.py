"""What a scheduler does next: when each sync is to be looked at again. No threads, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from reverse_etl.schedule import LONGEST_WAIT, due_tick, next_tick, wait_after

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reverse_etl.schedule import Schedule

# Somebody else is running it, and cannot tell when that ends.
BUSY_WAIT = timedelta(seconds=20)


@dataclass
class Entry:
    """One sync on the agenda.

    Attributes:
        schedule: When it wants to run.
        look_at: When to look at it (aware); whether it is due then, its warehouse knows.
        is_running: Whether it is being looked at, or run.
        failures: How often in a row it could not serve what was due.
    """

    schedule: Schedule
    look_at: datetime
    is_running: bool = False
    failures: int = 0


@dataclass
class Agenda:
    """All syncs that have a schedule.

    Attributes:
        entries: By name.
    """

    entries: dict[str, Entry] = field(default_factory=dict)

    def plan(self, schedules: Mapping[str, Schedule], now: datetime) -> None:
        """Take over the schedules of a config that was just read: everything is looked at.

        A sync that is running goes on, whether it is still in the config or not.
        """
        planned: dict[str, Entry] = {}
        for name, schedule in schedules.items():
            entry = self.entries.get(name) or Entry(schedule, now)
            entry.schedule, entry.look_at = schedule, now
            planned[name] = entry
        # All at once: other threads read the entries, and must not meet half of them.
        self.entries = planned

    def look_at_all(self, now: datetime) -> None:
        """Look at every sync: what was planned was planned by a clock that was wrong."""
        for entry in self.entries.values():
            entry.look_at = now

    def ready(self, now: datetime, places: int) -> list[str]:
        """Return the syncs to be looked at now, who waited longest first.

        Args:
            now: Aware.
            places: How many more may run at a time.
        """
        waiting = [
            (entry.look_at, name)
            for name, entry in self.entries.items()
            if entry.look_at <= now and not entry.is_running
        ]
        return [name for _, name in sorted(waiting)][: max(places, 0)]

    def next_look(self) -> datetime | None:
        """Return when the next sync is to be looked at; None when all are running, or none is."""
        times = [entry.look_at for entry in self.entries.values() if not entry.is_running]
        return min(times, default=None)

    def started(self, name: str) -> None:
        """Note that a sync is being looked at."""
        self.entries[name].is_running = True

    def waits_for_its_tick(self, name: str, now: datetime, served: datetime | None = None) -> None:
        """Note that a sync was looked at, and that there is nothing due, or no more.

        Args:
            name: The sync.
            now: When that was found out (aware); a tick that came since then is due at once.
            served: The tick that was served; one that came meanwhile is due at once.
        """
        entry = self._ended(name)
        if entry is None:
            return
        entry.failures = 0
        missed = served is not None and due_tick(entry.schedule, served, now) is not None
        entry.look_at = now if missed else next_tick(entry.schedule, now) or now + LONGEST_WAIT

    def waits_for_its_rest(self, name: str, now: datetime, rest_due_at: datetime) -> None:
        """Note that a sync was looked at, and that a part of its plan is to be sent later (aware).

        It counts as failing until then.
        """
        entry = self._ended(name)
        if entry is not None:
            self._wait(entry, now, rest_due_at - now)

    def is_looked_at_again(self, name: str, now: datetime) -> None:
        """Note that a sync served no tick, or somebody else did, perhaps an older one."""
        entry = self._ended(name)
        if entry is not None:
            entry.look_at = now

    def failed(self, name: str, now: datetime, jitter: float) -> None:
        """Note that a sync failed: its tick may still be due, or a part of its plan to be sent.

        It is looked at again after a while, at its next tick at the latest.

        Args:
            name: The sync.
            now: Aware.
            jitter: From 0 to 1; spreads those that failed for one reason.
        """
        entry = self._ended(name)
        if entry is None:
            return
        entry.failures += 1
        self._wait(entry, now, wait_after(entry.failures) * (0.9 + 0.2 * jitter))

    def was_busy(self, name: str, now: datetime, jitter: float) -> None:
        """Note that somebody else is running a sync."""
        entry = self._ended(name)
        if entry is not None:
            self._wait(entry, now, BUSY_WAIT * (0.5 + jitter))

    def _wait(self, entry: Entry, now: datetime, wait: timedelta) -> None:
        tick = next_tick(entry.schedule, now)
        entry.look_at = now + wait if tick is None else min(now + wait, tick)

    def _ended(self, name: str) -> Entry | None:
        """Return the entry of a sync that is not running any more; None when it was removed."""
        entry = self.entries.get(name)
        if entry is not None:
            entry.is_running = False
        return entry

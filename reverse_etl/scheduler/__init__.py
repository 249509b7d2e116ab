"""The scheduler: one process that runs each sync when its schedule says.

It holds nothing between runs, no connection and no file. What was served is in the warehouse, so a
scheduler that is killed, or two of them at a time, serve no tick twice and lose none (``due.py``).

    agenda     when each sync is looked at next
    metrics    what is counted, for Prometheus
    page       /healthz and /metrics
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Protocol

from reverse_etl.due import Standing, find_tick, look, naive, scheduled
from reverse_etl.errors import ConfigError, ReverseEtlError, describe_bug
from reverse_etl.report import RunSummary
from reverse_etl.retention import forget_old_logs
from reverse_etl.run import Options
from reverse_etl.runner import Runner
from reverse_etl.scheduler.agenda import Agenda

if TYPE_CHECKING:
    from reverse_etl.config import Config
    from reverse_etl.ports import Ports
    from reverse_etl.schedule import Tick

_logger = logging.getLogger("reverse_etl")

# More threads than syncs may run at a time: how many do is decided by the config of the moment.
_THREADS = 64

# Seconds: how long the loop sleeps at most, before it asks again whether to stop.
LOOK_FOR_STOP_S = 0.5

# How often the config is looked at, who has not succeeded for long, and what is old.
CONFIG_EVERY = timedelta(seconds=5)
STALE_EVERY = timedelta(minutes=5)
RETAIN_EVERY = timedelta(days=1)


class Watcher(Protocol):
    """Whoever wants to know what the scheduler does; called from several threads."""

    def loaded(self, config: Config, *, is_valid: bool) -> None:
        """Hear that a config was read; one that is not valid is not used."""

    def saw(self, name: str, standing: Standing) -> None:
        """Hear where a sync stands."""

    def ended(self, report: RunSummary, now: datetime) -> None:
        """Hear how a run ended."""

    def planned(self, agenda: Agenda) -> None:
        """Hear when each sync is looked at next."""


@dataclass(frozen=True)
class _Ended:
    """What became of one look at a sync.

    Attributes:
        name: The sync.
        report: How its run ended; None when nothing was due.
        tick: What it was to serve.
        looked_at: When nothing was due.
        rest_due_at: When a part of its plan is to be sent (aware), if one is.
    """

    name: str
    report: RunSummary | None = None
    tick: Tick | None = None
    looked_at: datetime | None = None
    rest_due_at: datetime | None = None


class Scheduler:
    """Runs the syncs of a config until it is told to stop.

    Attributes:
        config: The config of the moment.
        agenda: When each sync is looked at next.
        alive_at: When the loop last turned, by the monotonic clock, in seconds.
    """

    def __init__(
        self,
        config: Config,
        ports: Ports,
        *,
        reload: Callable[[], Config | None],
        watcher: Watcher,
        wait: Callable[[float], None] | None = None,
    ) -> None:
        """Bind the parts; nothing is contacted yet.

        Args:
            config: A loaded config.
            ports: Time, chance, the wire, and when to stop.
            reload: Reads the config again; None where it has not changed. Raises ConfigError when
                it has, but cannot be used: said once for each change.
            watcher: Hears what happens.
            wait: Lets so many seconds pass, or waits for a run to end (:meth:`wait_for_end`); for
                tests, whose time is their own.
        """
        self.config = config
        self.agenda = Agenda()
        self._ports, self._reload, self._watcher = ports, reload, watcher
        self._runner = Runner(config, ports)
        self._ended: SimpleQueue[_Ended] = SimpleQueue()
        self._wait = wait
        self._standings: dict[str, Standing] = {}
        self._running = 0
        self._last: dict[str, datetime] = {}
        self._turned_at: datetime | None = None
        self.alive_at = ports.clock.monotonic()

    @property
    def scheduled(self) -> list[str]:
        """The syncs that have a schedule."""
        return scheduled(self.config)

    # --- the loop --------------------------------------------------------------------------

    def run(self) -> None:
        """Run until told to stop; runs under way then end in order first."""
        self._take(self.config)
        with (
            ThreadPoolExecutor(_THREADS, thread_name_prefix="sync") as pool,
            ThreadPoolExecutor(1, thread_name_prefix="chore") as chores,
        ):
            while not self._ports.stop():
                self.turn(pool, chores)
                self._rest()
            if self._running:
                _logger.info("waiting for the runs under way: %d", self._running)
            chores.shutdown(wait=False, cancel_futures=True)
        self._collect()

    def turn(self, pool: ThreadPoolExecutor, chores: ThreadPoolExecutor) -> None:
        """Do what is to be done now."""
        now = self._ports.clock.now()
        self.alive_at = self._ports.clock.monotonic()
        self._collect()
        if self._turned_at is not None and now < self._turned_at:
            # The clock was set back: what was put off by the wrong one may be long due.
            self.agenda.look_at_all(now)
        self._turned_at = now
        if self._is_time("config", now, CONFIG_EVERY):
            self._look_for_config()
        for name in self.agenda.ready(now, self.config.engine.max_parallel_syncs - self._running):
            self.agenda.started(name)
            self._running += 1
            pool.submit(self._serve, self.config, self._runner, name)
        if self._is_time("stale", now, STALE_EVERY):
            chores.submit(self._at_leisure, self._tell_stale)
        if self._is_time("retain", now, RETAIN_EVERY):
            chores.submit(self._at_leisure, self._retain)
        self._watcher.planned(self.agenda)

    def _is_time(self, what: str, now: datetime, every: timedelta) -> bool:
        last = self._last.get(what)
        # A clock that was set back must not stop what it times.
        if last is not None and last <= now < last + every:
            return False
        self._last[what] = now
        return True

    def _rest(self) -> None:
        """Wait until there is something to do."""
        seconds = CONFIG_EVERY.total_seconds()
        next_look = self.agenda.next_look()
        if next_look is not None and self._running < self.config.engine.max_parallel_syncs:
            until = (next_look - self._ports.clock.now()).total_seconds()
            seconds = min(max(until, 0.0), seconds)
        if self._wait is None:
            self.wait_for_end(min(seconds, LOOK_FOR_STOP_S))
        else:
            self._wait(seconds)

    def wait_for_end(self, seconds: float) -> None:
        """Wait until a run has ended, for so many seconds at most."""
        try:
            self._note(self._ended.get(timeout=seconds) if seconds else self._ended.get_nowait())
        except Empty:
            return

    # --- the config ------------------------------------------------------------------------

    def _look_for_config(self) -> None:
        try:
            config = self._reload()
        except ConfigError as error:
            self._watcher.loaded(self.config, is_valid=False)
            for problem in (*error.problems, "the changed config is not used; its last one stays"):
                _logger.error("%s", problem)  # noqa: TRY400 - the problems are all there is to say
            return
        if config is None:
            return
        before = set(self.config.syncs)
        self._runner = self._runner.with_config(config)
        self._take(config)
        changes = [
            *(f"{name} is new" for name in config.syncs if name not in before),
            *(f"{name} is gone" for name in sorted(before - set(config.syncs))),
        ]
        _logger.info("the config was read again%s", f": {', '.join(changes)}" if changes else "")

    def _take(self, config: Config) -> None:
        self.config = config
        schedules = {name: config.sync(name).schedule for name in scheduled(config)}
        self.agenda.plan(schedules, self._ports.clock.now())
        # Of a copy, made in one piece: syncs that are being looked at note how they stand.
        standings = dict(self._standings)
        self._standings = {n: s for n, s in standings.items() if n in schedules}
        self._watcher.loaded(config, is_valid=True)
        if not schedules:
            _logger.warning("no sync of %s has a schedule: nothing will be run", config.path)

    # --- one sync, in a thread of its own --------------------------------------------------

    def _serve(self, config: Config, runner: Runner, name: str) -> None:
        ended = _Ended(name, RunSummary(name, status="failed", error_code="bug"))
        try:
            ended = self._look_and_run(config, runner, name)
        except Exception as error:  # noqa: BLE001 - a bug in one sync must not cost the others
            self._at_leisure(partial(runner.met_bug, name, error))
        finally:
            # Whatever happens: a sync that is not heard of would never be run again.
            self._ended.put(ended)

    def _look_and_run(self, config: Config, runner: Runner, name: str) -> _Ended:
        sync = config.sync(name)
        try:
            standing = look(config, sync.source.warehouse, [name], self._ports)[name]
        except ReverseEtlError as error:
            return _Ended(name, runner.could_not_begin(name, error))
        self._standings[name] = standing
        self._watcher.saw(name, standing)
        now = self._ports.clock.now()
        tick = find_tick(sync.schedule, standing, now)
        if tick is None:
            rest = standing.rest_due_at
            return _Ended(name, None, None, now, rest.replace(tzinfo=UTC) if rest else None)
        return _Ended(name, runner.run(name, Options(tick=tick)), tick)

    # --- what has ended --------------------------------------------------------------------

    def _collect(self) -> None:
        while True:
            try:
                self._note(self._ended.get_nowait())
            except Empty:
                return

    def _note(self, ended: _Ended) -> None:
        self._running -= 1
        now, name, report = self._ports.clock.now(), ended.name, ended.report
        if report is not None:
            self._watcher.ended(report, now)
        if report is None and ended.rest_due_at is not None:
            self.agenda.waits_for_its_rest(name, now, ended.rest_due_at)
        elif report is None:
            self.agenda.waits_for_its_tick(name, ended.looked_at or now)
        elif report.status == "skipped":
            self.agenda.is_looked_at_again(name, now)
        elif report.status == "busy":
            self.agenda.was_busy(name, now, self._ports.rng.random())
        elif report.status in {"failed", "interrupted"}:
            self.agenda.failed(name, now, self._ports.rng.random())
        else:
            self._remember(name, report, now)
            if ended.tick and ended.tick.at:
                self.agenda.waits_for_its_tick(name, now, ended.tick.at.replace(tzinfo=UTC))
            else:
                # It served no tick: one may have come meanwhile.
                self.agenda.is_looked_at_again(name, now)

    def _remember(self, name: str, report: RunSummary, now: datetime) -> None:
        standing = self._standings.get(name)
        if standing is not None and report.delivered:
            self._standings[name] = replace(standing, succeeded_at=naive(now))

    # --- chores ----------------------------------------------------------------------------

    def _at_leisure(self, chore: Callable[[], object]) -> None:
        try:
            chore()
        except ReverseEtlError as error:
            _logger.warning("%s", error)
        except Exception as error:  # noqa: BLE001 - as for a sync
            # Not its text, nor Python's own traceback: both may quote a row.
            _logger.error("%s", describe_bug(error))  # noqa: TRY400

    def _tell_stale(self) -> None:
        now, entries = naive(self._ports.clock.now()), self.agenda.entries
        for name, standing in dict(self._standings).items():
            # One that has no schedule any more may be at work still.
            if name not in entries:
                continue
            self._runner.alerts.check_stale(name, standing.in_step_since, now)

    def _retain(self) -> None:
        config = self.config
        for warehouse_name in sorted({s.source.warehouse for s in config.syncs.values()}):
            # Each by itself: one that is away costs the others nothing.
            self._at_leisure(partial(forget_old_logs, config, warehouse_name, self._ports))


__all__ = ["Scheduler", "Watcher"]

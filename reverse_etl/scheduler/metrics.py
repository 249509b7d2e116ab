"""What a scheduler counts, for Prometheus; docs/operation.md explains each.

Counters begin at zero with the process, as Prometheus expects. Times are moments, not ages, so that
they stay true between two scrapes: an age is ``time() - …`` in a query.
"""

from __future__ import annotations

import threading
from datetime import UTC
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from reverse_etl.due import scheduled

if TYPE_CHECKING:
    from datetime import datetime

    from reverse_etl.config import Config
    from reverse_etl.due import Standing
    from reverse_etl.report import RunSummary
    from reverse_etl.scheduler.agenda import Agenda

# Seconds; a run without a change takes less than one, a first run of ten million half an hour.
_SECONDS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400)

# Runs that have certainly counted the failed records; one that lost its warehouse has not.
_COUNTED = frozenset({"succeeded", "completed_with_failures", "held"})


class Metrics:
    """A :class:`reverse_etl.scheduler.Watcher` that counts."""

    def __init__(self) -> None:
        """Begin at zero."""
        # A second sample of each counter, which nobody asks for.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # its package has no types here
        self.registry = registry = CollectorRegistry()
        name = "reverse_etl_{}".format
        self._lock = threading.Lock()
        self._syncs: set[str] = set()
        self._runs = Counter(
            name("runs"), "Runs by how they ended.", ["sync", "status"], registry=registry
        )
        self._changes = Counter(
            name("changes"),
            "Changes that were tried, by operation and outcome.",
            ["sync", "operation", "outcome"],
            registry=registry,
        )
        self._requests = Counter(
            name("requests"),
            "Answers of the destination by HTTP status; 'none' where there was no answer.",
            ["sync", "status"],
            registry=registry,
        )
        self._phases = Histogram(
            name("phase_seconds"),
            "How long the phases of runs took: prepare, plan, deliver, settle.",
            ["sync", "phase"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._failed = Gauge(
            name("failed_records"),
            "People (or rows) that are not in step, by the last run that has ended.",
            ["sync"],
            registry=registry,
        )
        self._succeeded_at = Gauge(
            name("last_success_timestamp_seconds"),
            "When a run last delivered what it had planned; without one, when the first began.",
            ["sync"],
            registry=registry,
        )
        self._next_look = Gauge(
            name("next_look_timestamp_seconds"),
            "When the scheduler looks at the sync next: its tick, or another try.",
            ["sync"],
            registry=registry,
        )
        self._running = Gauge(name("running_syncs"), "Syncs at work now.", registry=registry)
        self._is_valid = Gauge(
            name("config_is_valid"),
            "1 when the config as it is now can be used.",
            registry=registry,
        )

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    # --- what the scheduler tells ----------------------------------------------------------

    def loaded(self, config: Config, *, is_valid: bool) -> None:
        """Hear that a config was read; what is said of a sync goes with its schedule."""
        self._is_valid.set(is_valid)
        with self._lock:
            before, self._syncs = self._syncs, set(scheduled(config))
            for name in before - self._syncs:
                self._forget(name)
            for name in self._syncs - before:
                # From zero on, so that the first of them is a rise.
                for status in ("succeeded", "completed_with_failures", "failed", "held"):
                    self._runs.labels(name, status)

    def saw(self, name: str, standing: Standing) -> None:
        """Hear where a sync stands."""
        with self._lock:
            if name not in self._syncs:
                return
            since = standing.in_step_since.replace(tzinfo=UTC)
            self._succeeded_at.labels(name).set(since.timestamp())
            if standing.failed_records is not None:
                self._failed.labels(name).set(standing.failed_records)

    def ended(self, report: RunSummary, now: datetime) -> None:
        """Hear how a run ended."""
        with self._lock:
            # One that ends after its sync has left the config must not bring it back.
            if report.sync in self._syncs:
                self._count(report, now)

    def _count(self, report: RunSummary, now: datetime) -> None:
        name = report.sync
        self._runs.labels(name, report.status).inc()
        for outcome, counts in (("succeeded", report.succeeded), ("failed", report.failed)):
            for operation, count in counts.items():
                self._changes.labels(name, operation.value, outcome).inc(count)
        for status, count in report.answers.items():
            self._requests.labels(name, str(status or "none")).inc(count)
        for phase, seconds in report.seconds.items():
            self._phases.labels(name, phase).observe(seconds)
        if report.status in _COUNTED:
            self._failed.labels(name).set(report.failed_records_open)
        if report.delivered:
            self._succeeded_at.labels(name).set(now.timestamp())

    def planned(self, agenda: Agenda) -> None:
        """Hear when each sync is looked at next."""
        for name, entry in agenda.entries.items():
            self._next_look.labels(name).set(entry.look_at.timestamp())
        self._running.set(sum(entry.is_running for entry in agenda.entries.values()))

    def _forget(self, name: str) -> None:
        metrics = [self._runs, self._changes, self._requests, self._phases]
        for metric in (*metrics, self._failed, self._succeeded_at, self._next_look):
            metric.remove_by_labels({"sync": name})

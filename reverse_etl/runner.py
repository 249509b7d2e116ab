"""Runs of syncs for whoever asks: a command, a scheduler, a program.

A run that cannot even begin (the sync is busy, its warehouse is away) is a summary like any other
here, so that one sync costs the others nothing.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from reverse_etl.alerts import Alerts
from reverse_etl.config import Config, load_config
from reverse_etl.delivery.limiter import Pacers
from reverse_etl.errors import Busy, ReverseEtlError, RunError, describe_bug
from reverse_etl.ports import Ports, Progress
from reverse_etl.report import RunSummary
from reverse_etl.run import Options
from reverse_etl.run import run_sync as run_once

if TYPE_CHECKING:
    from pathlib import Path

_logger = logging.getLogger("reverse_etl.run")
_bugs = logging.getLogger("reverse_etl")


def run_sync(
    config: Config | Path | str, name: str, *, full: bool = False, allow_deletes: bool = False
) -> RunSummary:
    """Run one sync now, from a program of yours.

    Args:
        config: A loaded config, or the path of one; the environment gives it its variables.
        name: A sync of it.
        full: Send every current row again.
        allow_deletes: Let the brake pass once.

    Returns:
        What the run did. A run that failed, was held or could not begin says so there; see
        :meth:`RunSummary.raise_for_status`.

    Raises:
        ConfigError: The config cannot be used, or has no such sync.
    """
    loaded = config if isinstance(config, Config) else load_config(config)
    loaded.bind(name)
    return Runner(loaded).run(name, Options(full=full, allow_deletes=allow_deletes))


class Runner:
    """Runs syncs of one config; several at once, from several threads, if need be.

    Attributes:
        config: The config.
        ports: Time, chance, the wire, and when to stop.
        alerts: Who is told how runs end.
    """

    def __init__(
        self, config: Config, ports: Ports | None = None, alerts: Alerts | None = None
    ) -> None:
        """Bind the parts; nothing is contacted yet.

        Args:
            config: A loaded config.
            ports: Time, chance, the wire, and when to stop.
            alerts: Who is told how runs end; None for what the config says.
        """
        self.config = config
        given = ports or Ports()
        # One for all: syncs that use one key share its rate limit.
        pacers = given.pacers or Pacers(given.clock)
        self.ports = replace(given, pacers=pacers)
        self.alerts = alerts or Alerts(config, self.ports)

    def with_config(self, config: Config) -> Runner:
        """Return a runner of another config, which goes on pacing and telling where this one is."""
        return Runner(config, self.ports, self.alerts.with_config(config))

    def run(
        self,
        name: str,
        options: Options | None = None,
        progress: Progress | None = None,
    ) -> RunSummary:
        """Run a sync, and tell the webhooks what became of it.

        Args:
            name: The sync.
            options: How this run differs from the usual.
            progress: Told how far the run is, see :class:`Ports`.

        Returns:
            What the run did, or why it did nothing.
        """
        return self.tell(self._run(name, options or Options(), progress))

    def could_not_begin(self, name: str, error: ReverseEtlError) -> RunSummary:
        """Return the summary of a run that did not get as far as that, and tell the webhooks."""
        return self.tell(unbegun(name, error))

    def met_bug(self, name: str, error: Exception) -> RunSummary:
        """Return the summary of a run that met an error nobody expected, and tell the webhooks.

        Others must not pay for it: whoever runs several syncs goes on with the rest.
        """
        _bugs.error("%s: %s", name, describe_bug(error), extra={"sync": name, "run_id": None})
        text = f"a bug in reverse-etl: {type(error).__name__}; the log has more"
        return self.tell(RunSummary(name, status="failed", error_code="bug", error=text))

    def tell(self, report: RunSummary) -> RunSummary:
        """Log how a run ended, and tell the webhooks; return the same."""
        log_summary(report)
        self.alerts.after_run(report)
        return report

    def _run(self, name: str, options: Options, progress: Progress | None) -> RunSummary:
        ports = self.ports if progress is None else replace(self.ports, progress=progress)
        if ports.stop():
            text = "told to stop before this sync had begun"
            return RunSummary(name, status="interrupted", error_code="interrupted", error=text)
        try:
            return run_once(self.config, name, options, ports)
        except ReverseEtlError as error:
            return unbegun(name, error)


def unbegun(name: str, error: ReverseEtlError) -> RunSummary:
    """Return the summary of a run that could not begin, or could not write how it ended."""
    status = "busy" if isinstance(error, Busy) else "failed"
    brief = error.brief if isinstance(error, RunError) else None
    return RunSummary(
        name, status=status, error_code=error.code, error=str(error), error_brief=brief
    )


_LEVELS = {
    "succeeded": logging.INFO,
    "skipped": logging.INFO,
    "interrupted": logging.WARNING,
    "completed_with_failures": logging.WARNING,
    "held": logging.WARNING,
    # As usual where two schedulers serve one sync; it is looked at again.
    "busy": logging.INFO,
    "failed": logging.ERROR,
}


def log_summary(report: RunSummary) -> None:
    """Log how a run ended, without the name of anybody."""
    facts = {
        "status": report.status,
        "planned": report.named(report.planned),
        "succeeded": report.named(report.succeeded),
        "failed": report.named(report.failed),
        "requests": report.requests,
        "failed_records_open": report.failed_records_open,
        "seconds": {phase: round(spent, 3) for phase, spent in report.seconds.items()},
        "error_code": report.error_code,
    }
    extra = {"sync": report.sync, "run_id": report.run_id, "facts": facts}
    level = _LEVELS[report.status]
    _logger.log(level, report.sentence(), extra=extra)
    for warning in report.warnings:
        _logger.warning(warning, extra={"sync": report.sync, "run_id": report.run_id})

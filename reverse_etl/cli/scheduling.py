"""``run-due``, ``serve`` and ``retain``: what runs by itself."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from reverse_etl.cli.logs import LogFormat, LogFormatOption, start_log
from reverse_etl.cli.output import moment
from reverse_etl.cli.progress import progress_bars
from reverse_etl.cli.running import Runs, finish, tell
from reverse_etl.cli.session import ConfigOption, JsonOption, Session, session_of
from reverse_etl.cli.signals import Stop
from reverse_etl.cli.usable import refuse_unusable
from reverse_etl.errors import ReverseEtlError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from reverse_etl.config import Config
    from reverse_etl.due import Standing
    from reverse_etl.ports import Ports
    from reverse_etl.report import RunSummary
    from reverse_etl.run import Options
    from reverse_etl.runner import Runner

DUE_EXAMPLE = """\b
Examples, the second one in a crontab:
  reverse-etl run-due
  */5 * * * *  reverse-etl run-due --config /etc/reverse-etl/config.yaml
Exit codes: the worst of the runs, as of run-sync; 0 when nothing is due."""

SERVE_EXAMPLE = """\b
Examples:
  reverse-etl serve
  reverse-etl serve --host 0.0.0.0 --port 8790 --log-format json
Exit codes: 130 and 143 after SIGINT and SIGTERM, which is how it ends, 1 it cannot listen there,
2 usage or config error. How a run ends changes nothing: see /metrics, status and alerts."""

RETAIN_EXAMPLE = """\b
Example:
  reverse-etl retain
Exit codes: 0 done, 1 a warehouse could not be reached, 2 usage or config error,
5 the DuckDB file stayed locked."""

DEFAULT_PORT = 8790

_logger = logging.getLogger("reverse_etl")


# --- run-due -------------------------------------------------------------------------------


@dataclass
class _Due:
    """What the schedules say.

    Attributes:
        options: How to run the syncs that are due.
        waiting: The next tick of the others.
        standings: Where each sync stands, as far as its warehouse could be asked.
        reports: Of the syncs whose warehouse could not.
    """

    options: dict[str, Options] = field(default_factory=dict)
    waiting: dict[str, datetime | None] = field(default_factory=dict)
    standings: dict[str, Standing] = field(default_factory=dict)
    reports: dict[str, RunSummary] = field(default_factory=dict)


def run_due(
    ctx: typer.Context,
    *,
    now: Annotated[bool, typer.Option("--now", help="Treat syncs that never ran as due.")] = False,
    log_format: LogFormatOption = LogFormat.TEXT,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Run what the schedules say is due, then exit.

    For cron, a systemd timer or Kubernetes. Each tick is served once, however many call this. A
    sync that is seen for the first time is due at its next tick.
    """
    from reverse_etl.due import scheduled  # noqa: PLC0415 - loads the engine

    session = session_of(ctx, config, as_json=as_json)
    start_log(session.output, log_format, every_run=False)
    loaded = session.load()
    refuse_unusable(loaded, scheduled(loaded))
    with (
        Stop(loaded.engine.shutdown_seconds, session.output.noted) as stop,
        progress_bars() as bars,
    ):
        runs = Runs(loaded, stop, bars)
        due = _find_due(loaded, runs.runner, at_once=now)
        for report in due.reports.values():
            tell(session, loaded, report)
        for report in runs.run(due.options):
            due.reports[report.sync] = report
            tell(session, loaded, report)
        _tell_stale(runs.runner, due)
        _retain_where_something_ran(loaded, runs.runner.ports, due)
    return _finish_due(session, due, stop)


def _find_due(config: Config, runner: Runner, *, at_once: bool) -> _Due:
    """Ask each warehouse once which of its syncs are due."""
    from reverse_etl.due import find_tick, look, scheduled  # noqa: PLC0415 - loads the engine
    from reverse_etl.run import Options  # noqa: PLC0415 - as above
    from reverse_etl.schedule import next_tick  # noqa: PLC0415 - as above

    found, names, clock = _Due(), scheduled(config), runner.ports.clock
    for warehouse_name in dict.fromkeys(config.sync(n).source.warehouse for n in names):
        of_it = [name for name in names if config.sync(name).source.warehouse == warehouse_name]
        try:
            found.standings |= look(config, warehouse_name, of_it, runner.ports)
        except ReverseEtlError as error:
            found.reports |= {name: runner.could_not_begin(name, error) for name in of_it}
    for name, standing in found.standings.items():
        schedule, time = config.sync(name).schedule, clock.now()
        tick = find_tick(schedule, standing, time, at_once=at_once)
        if tick is None:
            found.waiting[name] = next_tick(schedule, time)
        else:
            found.options[name] = Options(tick=tick)
    return found


def _tell_stale(runner: Runner, due: _Due) -> None:
    from reverse_etl.due import naive  # noqa: PLC0415 - loads the engine

    now = naive(runner.ports.clock.now())
    for name, standing in due.standings.items():
        report = due.reports.get(name)
        if report is None or not report.delivered:
            runner.alerts.check_stale(name, standing.in_step_since, now)


def _retain_where_something_ran(config: Config, ports: Ports, due: _Due) -> None:
    """Look for old logs of all syncs of a schema, but not at each of many idle calls."""
    ran = [name for name, report in due.reports.items() if report.run_id is not None]
    for warehouse_name in {config.sync(name).source.warehouse for name in ran}:
        try:
            _retain(config, warehouse_name, ports)
        except ReverseEtlError as error:
            _logger.warning("old logs stay for now: %s", error)


def _finish_due(session: Session, due: _Due, stop: Stop) -> int:
    for name, tick in due.waiting.items():
        session.output.say(f"{name}: next due {moment(tick)}")
    if not (due.waiting or due.reports):
        session.output.say(
            "no sync has a schedule; give one a line like schedule: {type: basic, every: 1 hour}"
        )
    waiting = [{"sync": name, "next_tick": moment(tick)} for name, tick in due.waiting.items()]
    return finish(session, list(due.reports.values()), stop, more={"waiting": waiting})


# --- serve ---------------------------------------------------------------------------------


def serve(  # noqa: PLR0913 - the options of the command
    ctx: typer.Context,
    *,
    host: Annotated[
        str, typer.Option("--host", help="Where /healthz and /metrics are answered.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="The same; 0 for any free port.")
    ] = DEFAULT_PORT,
    log_format: LogFormatOption = LogFormat.TEXT,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Run each sync when its schedule says.

    It goes on until it is told to stop. A changed config is taken over when it is valid. SIGTERM
    lets the requests on the wire be answered and settled first, for engine.shutdown_seconds at
    most.
    """
    from reverse_etl.config.watch import WatchedConfig  # noqa: PLC0415 - loads pydantic
    from reverse_etl.ports import Ports  # noqa: PLC0415 - loads the HTTP client
    from reverse_etl.scheduler import Scheduler  # noqa: PLC0415 - loads the engine
    from reverse_etl.scheduler.metrics import Metrics  # noqa: PLC0415 - loads Prometheus'
    from reverse_etl.scheduler.page import page  # noqa: PLC0415 - as above

    session = session_of(ctx, config, as_json=as_json)
    start_log(session.output, log_format, every_run=True)
    load = _loader(session)
    loaded = load()
    watched, metrics = WatchedConfig(loaded, load), Metrics()
    with Stop(loaded.engine.shutdown_seconds, session.output.noted) as stop:
        ports = Ports(stop=stop)
        scheduler = Scheduler(loaded, ports, reload=watched.changed, watcher=metrics)
        with page(host, port, scheduler, metrics, ports.clock.monotonic) as bound:
            count = len(scheduler.scheduled)
            _logger.info(
                "serving %d sync%s of %s; http://%s:%d has /healthz and /metrics",
                *(count, "" if count == 1 else "s", loaded.path, host, bound),
            )
            scheduler.run()
    _logger.info("stopped")
    session.output.document({"stopped": True})
    return stop.exit_code


def _loader(session: Session) -> Callable[[], Config]:
    def load() -> Config:
        loaded = session.load()
        refuse_unusable(loaded, list(loaded.syncs))
        return loaded

    return load


# --- retain --------------------------------------------------------------------------------


def retain(ctx: typer.Context, *, config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """Drop log lines that are older than the rules say.

    Each run does this for its own sync, and serve and run-due for all. Here it is for those who do
    neither: also syncs that were removed from the config forget what is old.
    """
    from reverse_etl.ports import Ports  # noqa: PLC0415 - loads the HTTP client
    from reverse_etl.report import worst  # noqa: PLC0415 - loads pydantic

    session = session_of(ctx, config, as_json=as_json)
    loaded = session.load()
    refuse_unusable(loaded, list(loaded.syncs))
    found: dict[str, Sequence[str]] = {}
    errors: dict[str, str] = {}
    codes = [0]
    for name in sorted({sync.source.warehouse for sync in loaded.syncs.values()}):
        try:
            found[name] = _retain(loaded, name, Ports())
        except ReverseEtlError as error:
            session.output.note(f"{name}: {error}")
            errors[name] = str(error)
            codes.append(error.exit_code)
    _say_retained(session, found)
    session.output.document({"shortened": found, "errors": errors})
    return worst(codes)


def _retain(config: Config, warehouse_name: str, ports: Ports) -> list[str]:
    from reverse_etl.retention import forget_old_logs  # noqa: PLC0415 - loads SQLAlchemy

    return forget_old_logs(config, warehouse_name, ports)


def _say_retained(session: Session, found: Mapping[str, Sequence[str]]) -> None:
    for warehouse_name, names in found.items():
        what = f"dropped old log lines of {', '.join(names)}" if names else "nothing is old"
        session.output.say(f"{warehouse_name}: {what}")

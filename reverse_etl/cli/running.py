"""``run-sync``: run syncs now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reverse_etl.cli.completion import names_of
from reverse_etl.cli.dbt_outcome import DbtOption, skipped_by_dbt
from reverse_etl.cli.logs import LogFormat, LogFormatOption, start_log
from reverse_etl.cli.plan_file import read_plan_file
from reverse_etl.cli.progress import Told, progress_bars
from reverse_etl.cli.session import ConfigOption, JsonOption, Session, session_of
from reverse_etl.cli.signals import Stop
from reverse_etl.cli.usable import chosen_syncs, refuse_unusable
from reverse_etl.errors import ReverseEtlError

if TYPE_CHECKING:
    from reverse_etl.config import Config
    from reverse_etl.report import RunSummary
    from reverse_etl.run import Options

SyncsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SYNC",
        help="Syncs of the config.",
        show_default=False,
        autocompletion=names_of("syncs"),
    ),
]
PlanOption = Annotated[
    Path | None,
    typer.Option(
        "--plan",
        metavar="FILE",
        help="Send exactly the plan that `plan --out FILE` wrote, or refuse.",
        show_default=False,
    ),
]

EXAMPLE = """\b
Examples:
  reverse-etl run-sync vip_customers
  reverse-etl run-sync --all
  reverse-etl run-sync vip_customers --full --allow-deletes"""

STYLES = {
    "succeeded": "green",
    "planned": "bold",
    "completed_with_failures": "yellow",
    "failed": "bold red",
}
"""How a status looks on a terminal; one that is not here wants attention: yellow."""


_FOUND_BY_CHECK = {"missing_rights", "source_error", "unauthorized", "unknown_list"}
"""Codes of what ended a run, and what `check` would have said."""


def run_sync(  # noqa: PLR0913 - the options of the command
    ctx: typer.Context,
    syncs: SyncsArgument = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Run every sync of the config.")] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Send every current row again; who left still leaves.")
    ] = False,
    allow_deletes: Annotated[
        bool, typer.Option("--allow-deletes", help="Let the brake pass once.")
    ] = False,
    plan: PlanOption = None,
    if_dbt_succeeded: DbtOption = None,
    log_format: LogFormatOption = LogFormat.TEXT,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Run syncs now.

    A run sends what changed since the last one, and what that one left open.
    """
    session = session_of(ctx, config, as_json=as_json)
    start_log(session.output, log_format, every_run=False)
    loaded = session.load()
    names = chosen_syncs(loaded, syncs, every=every)
    options = _options(names, plan, full=full, allow_deletes=allow_deletes)
    refuse_unusable(loaded, names)
    reports = skipped_by_dbt(session, loaded, names, if_dbt_succeeded)
    for report in reports.values():
        tell(session, loaded, report)
    wanted = [name for name in names if name not in reports]
    with (
        Stop(loaded.engine.shutdown_seconds, session.output.noted) as stop,
        progress_bars() as bars,
    ):
        runs = Runs(loaded, stop, bars)
        runs.prepare(wanted)
        for report in runs.run(dict.fromkeys(wanted, options)):
            reports[report.sync] = report
            tell(session, loaded, report)
    return finish(session, [reports[name] for name in names], stop)


def _options(
    names: Sequence[str], plan: Path | None, *, full: bool, allow_deletes: bool
) -> Options:
    from reverse_etl.run import Options  # noqa: PLC0415 - loads the engine

    if plan is None:
        return Options(full=full, allow_deletes=allow_deletes)
    if len(names) != 1:
        raise typer.BadParameter("--plan FILE is the plan of one sync: name just that one")
    written = read_plan_file(plan, names[0])
    return Options(
        full=full or written.full,
        allow_deletes=allow_deletes,
        expected_digest=written.digest,
    )


class Runs:
    """Several syncs, run side by side as far as the config allows."""

    def __init__(
        self,
        config: Config,
        stop: Stop,
        bars: Callable[[str], Told],
    ) -> None:
        from reverse_etl.ports import Ports  # noqa: PLC0415 - loads the HTTP client
        from reverse_etl.runner import Runner  # noqa: PLC0415 - loads the engine

        self._config, self._bars = config, bars
        self.runner = Runner(config, Ports(stop=stop))

    def run(self, options: Mapping[str, Options]) -> Iterator[RunSummary]:
        """Run syncs, each with its options; yield each report when its run ends."""
        names = list(options)
        # Always in other threads, so that this one is free to hear signals.
        workers = min(max(len(names), 1), self._config.engine.max_parallel_syncs)
        with ThreadPoolExecutor(workers, thread_name_prefix="sync") as pool:
            running = [pool.submit(self._run_one, name, options[name]) for name in names]
            for ended in as_completed(running):
                yield ended.result()

    def prepare(self, names: Sequence[str]) -> None:
        """Make our tables before several first runs would make them at the same moment."""
        from reverse_etl.clock import SystemClock  # noqa: PLC0415 - as above
        from reverse_etl.warehouse import warehouse_of  # noqa: PLC0415 - loads SQLAlchemy

        if len(names) <= 1:
            return
        for warehouse_name in {self._config.sync(name).source.warehouse for name in names}:
            try:
                with warehouse_of(self._config, warehouse_name, SystemClock()) as warehouse:
                    warehouse.prepare_schema()
            except ReverseEtlError:
                continue  # the runs find the same, and report it sync by sync

    def _run_one(self, name: str, options: Options) -> RunSummary:
        try:
            return self.runner.run(name, options, self._bars(name))
        except Exception as error:  # noqa: BLE001 - a bug in one sync must not cost the others
            return self.runner.met_bug(name, error)


def tell(session: Session, config: Config, report: RunSummary) -> None:
    """Say how one run ended."""
    head, *rest = report.lines()
    session.output.say(head, STYLES.get(report.status, "yellow"))
    for line in rest:
        session.output.say(line)
    if report.status == "completed_with_failures":
        why = session.command("failures", report.sync)
        session.output.say(f"  see why with: {why}")
    if report.error_code in _FOUND_BY_CHECK:
        again = session.command("check", report.sync)
        session.output.say(f"  once it is put right, try it without a run: {again}")
    if report.run_id is not None and any(report.planned.values()):
        session.output.say(f"  look further: {_look_further(config, report)}")


def _look_further(config: Config, report: RunSummary) -> str:
    """Return a query that shows every change of a run; the run itself, where none was tried."""
    sync = config.sync(report.sync)
    home = config.warehouses[sync.source.warehouse]
    if home.workspace:
        home = config.warehouses[home.workspace]
    tried = sum(report.succeeded.values()) + sum(report.failed.values())
    table = "sync_log" if tried and sync.observability.retain_sync_logs else "sync_runs"
    return (
        f"select * from {home.schema_name}.{table} "  # noqa: S608 - shown, and never run here
        f"where sync_name = '{report.sync}' and sync_run_id = {report.run_id}"
    )


def finish(
    session: Session,
    reports: Sequence[RunSummary],
    stop: Stop,
    more: Mapping[str, object] | None = None,
) -> int:
    """Write the document, with more in it if need be; return the exit code that stands for all."""
    from reverse_etl.report import worst  # noqa: PLC0415 - loads pydantic

    documents = [report.document() for report in reports]
    alone = documents[0] if len(documents) == 1 else {}
    session.output.document({**alone, **(more or {}), "syncs": documents})
    if len(reports) > 1:
        ended = [report.status for report in reports]
        counts = {status: ended.count(status) for status in dict.fromkeys(ended)}
        texts = [f"{count} {status.replace('_', ' ')}" for status, count in counts.items()]
        session.output.say(f"{len(reports)} syncs: {', '.join(texts)}", "bold")
    return worst(
        stop.exit_code if report.status == "interrupted" else report.exit_code for report in reports
    )

"""``plan``: what a run would send."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverse_etl.cli.explain_command import changes_in_words
from reverse_etl.cli.output import short
from reverse_etl.cli.plan_file import write_plan_file
from reverse_etl.cli.session import ConfigOption, JsonOption, Session, SyncArgument, session_of
from reverse_etl.cli.usable import chosen_syncs, refuse_unusable
from reverse_etl.errors import Busy, RunError

if TYPE_CHECKING:
    from reverse_etl.preview import Preview, Refused, Sample

EXIT_CHANGES = 10

EXAMPLE = """\b
Examples:
  reverse-etl plan vip_customers
  reverse-etl plan vip_customers --out vip.plan
  reverse-etl run-sync vip_customers --plan vip.plan"""

OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="Write the plan down, for `run-sync --plan FILE`.",
        show_default=False,
    ),
]


def plan(  # noqa: PLR0913 - the options of the command
    ctx: typer.Context,
    sync: SyncArgument,
    *,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit with 10 when there are changes.")
    ] = False,
    out: OutOption = None,
    full: Annotated[bool, typer.Option("--full", help="Plan `run-sync --full`.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show what a run would send.

    Nothing is sent and nothing is kept; only temporary tables are written.
    """
    session = session_of(ctx, config, as_json=as_json)
    loaded = session.load()
    chosen_syncs(loaded, [sync], every=False)
    refuse_unusable(loaded, [sync])
    from reverse_etl.clock import SystemClock  # noqa: PLC0415 - with the next one
    from reverse_etl.preview import preview  # noqa: PLC0415 - loads the engine

    try:
        found = preview(loaded, sync, full=full)
    except (Busy, RunError) as error:
        return _fail(session, sync, error)
    if out is not None:
        write_plan_file(out, found, SystemClock().now())
    session.output.document(found.document())
    _show(session, found)
    _show_next_step(session, found, out)
    return EXIT_CHANGES if detailed_exitcode and found.has_changes else 0


def _fail(session: Session, sync: str, error: Busy | RunError) -> int:
    """Report a plan that could not be made by the same keys as one that was."""
    from reverse_etl.report import RunSummary  # noqa: PLC0415 - loads pydantic

    status = "busy" if isinstance(error, Busy) else "failed"
    report = RunSummary(sync, status=status, error_code=error.code, error=str(error))
    session.output.note(str(error))
    session.output.document(report.document())
    return report.exit_code


def _show(session: Session, found: Preview) -> None:
    from reverse_etl.report import counted  # noqa: PLC0415 - loads pydantic

    output, report = session.output, found.report
    output.say(f"{report.sync}: {_headline(found)}", "bold")
    for operation, count in report.planned.items():
        if count:
            output.say(f"  {operation.value} {count}")
            _show_samples(session, found.samples[operation])
            if count > len(found.samples[operation]):
                output.say(f"    … and {count - len(found.samples[operation])} more")
    if found.retried:
        open_ = (f"{n} {code or 'planned and not confirmed'}" for code, n in found.retried.items())
        left = counted((report.retries, "change", "left open by earlier runs"))
        output.say(f"  {left}: {', '.join(open_)}")
    for refused in found.refused:
        _show_refused(session, refused)
    if report.failed_records_open:
        failed = counted((report.failed_records_open, "failed record", "open"))
        output.say(f"  {failed}: {session.command('failures', report.sync)}")
    _show_brake(session, found)
    for warning in report.warnings:
        output.say(f"  warning: {warning}", "yellow")


def _show_refused(session: Session, refused: Refused) -> None:
    from reverse_etl.report import counted  # noqa: PLC0415 - loads pydantic

    rows = counted((refused.rows, "row", "of the query not used"))
    count = f"{refused.new} " if 0 < refused.new < refused.rows else ""
    new = f" ({count}seen for the first time)" if refused.new else ""
    session.output.say(f"  {rows}: {refused.error_code}{new}")
    cells = [[key, identity, reason] for identity, key, reason in refused.samples]
    session.output.table(["primary key", "identity", "reason"], cells, "    ")
    if refused.rows > len(cells):
        session.output.say(f"    … and {refused.rows - len(cells)} more")


def _show_brake(session: Session, found: Preview) -> None:
    most = found.max_delete_percent
    if most is None or found.held or not found.new_deletes:
        return
    percent = 100 * found.new_deletes / max(found.people, 1)
    session.output.say(
        f"  the brake lets it pass: {found.new_deletes} of {found.people} people would newly leave "
        f"({percent:.1f} %, max_delete_percent is {most:g})"
    )


def _headline(found: Preview) -> str:
    from reverse_etl.report import counted  # noqa: PLC0415 - loads pydantic

    if not found.has_changes:
        return "nothing to send"
    report = found.report
    total = counted((sum(report.planned.values()), "change", "in about"))
    requests = counted((report.requests, "request", ""))
    seconds = found.estimated_seconds
    time = f", {_duration(seconds)} at least" if seconds is not None else ""
    return f"{total} {requests}{time}"


def _duration(seconds: float) -> str:
    minute, hour = 60, 3600
    if seconds < minute:
        return f"{seconds:.1f} s"
    return f"{seconds / minute:.0f} min" if seconds < 2 * hour else f"{seconds / hour:.1f} h"


def _show_samples(session: Session, samples: list[Sample]) -> None:
    if any(changes_in_words(sample) for sample in samples):
        heads = ["identity", "primary key", "what changes"]
        changed = [[s.identity, s.primary_key, _changes(s)] for s in samples]
        session.output.table(heads, changed, "    ")
        return
    # People who left under different mappings have different fields to clear.
    fields = list(dict.fromkeys(name for s in samples for name in s.values))
    rows = [[s.identity, s.primary_key, *(_shown(s.values, f) for f in fields)] for s in samples]
    session.output.table(["identity", "primary key", *fields], rows, "    ")


def _shown(values: Mapping[str, Any], name: str) -> object:
    """Return a value for a column of a table: as a number, where it is one, else short."""
    value = values.get(name)
    return value if value is None or isinstance(value, int) else short(value)


def _changes(sample: Sample) -> str:
    return changes_in_words(sample) or "nothing that the last run did not have: sent again"


def _show_next_step(session: Session, found: Preview, out: Path | None) -> None:
    if not found.has_changes:
        return
    options = ["--plan", str(out)] if out else ["--full"] if found.full else []
    if found.held_reason is not None:
        session.output.say(f"held: {found.held_reason}", "yellow")
        options.append("--allow-deletes")
        lead = "if this is right, let it pass once with: "
    else:
        lead = "run it with: "
    session.output.say(lead + session.command("run-sync", found.report.sync, *options))

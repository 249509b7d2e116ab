"""``audit``: the real state of the destination against what is believed of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from reverse_etl.cli.progress import progress_bars
from reverse_etl.cli.running import Runs, finish, tell
from reverse_etl.cli.session import ConfigOption, JsonOption, Session, SyncArgument, session_of
from reverse_etl.cli.signals import Stop
from reverse_etl.cli.usable import chosen_syncs, refuse_unusable
from reverse_etl.errors import Busy, RunError

if TYPE_CHECKING:
    from reverse_etl.config import Config
    from reverse_etl.report import AuditReport

EXAMPLE = """\b
Examples:
  reverse-etl audit vip_customers
  reverse-etl audit vip_customers --repair
Exit codes: 0 in step, 1 something is wrong; with --repair those of run-sync."""

_WORDS = {
    "members": ("members there", ""),
    "compared": ("profiles read", ""),
    "in_step": ("in step", ""),
    "missing": ("missing", "bold red"),
    "different": ("different", "bold red"),
    "extra_ours": ("extra, added by this sync", "bold red"),
    "extra_others": ("extra, added by others: left alone", ""),
    "not_sendable": ("cannot be sent, so not compared", ""),
    "open": ("open: runs deal with them", ""),
}
"""The counts in the order in which they are shown, each in words and with a style."""


def audit(  # noqa: PLR0913 - the options of the command
    ctx: typer.Context,
    sync: SyncArgument,
    *,
    repair: Annotated[
        bool, typer.Option("--repair", help="Run the sync, and put right what is wrong.")
    ] = False,
    allow_deletes: Annotated[
        bool, typer.Option("--allow-deletes", help="With --repair: let the brake pass once.")
    ] = False,
    sample: Annotated[
        int, typer.Option("--sample", metavar="N", min=1, help="Profiles to read (object: user).")
    ] = 100,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Compare a sync with what is really at the destination.

    Of a list all members are read, of profiles a sample. Nothing is changed; with --repair the
    sync is run, and who is missing or different, or was added by it and should be gone, is
    planned again. What others added is never touched.
    """
    session = session_of(ctx, config, as_json=as_json)
    if allow_deletes and not repair:
        raise typer.BadParameter("--allow-deletes goes with --repair: an audit removes nobody")
    loaded = session.load()
    chosen_syncs(loaded, [sync], every=False)
    refuse_unusable(loaded, [sync])
    if repair:
        return _repair(session, loaded, sync, sample, allow_deletes=allow_deletes)
    return _audit(session, loaded, sync, sample)


def _audit(session: Session, config: Config, sync: str, sample: int) -> int:
    from reverse_etl.audit import audit as compare  # noqa: PLC0415 - loads the engine

    try:
        found = compare(config, sync, sample=sample)
    except (Busy, RunError) as error:
        session.output.note(str(error))
        session.output.document({"sync": sync, "error_code": error.code, "error": str(error)})
        return error.exit_code
    session.output.document({**found.document(), "error_code": None, "error": None})
    _show(session, found)
    if found.wrong:
        command = session.command("audit", sync, "--repair")
        session.output.say(f"put it right with: {command}")
    return found.exit_code


def _repair(
    session: Session, config: Config, sync: str, sample: int, *, allow_deletes: bool
) -> int:
    from reverse_etl.audit import refuse_unaudited  # noqa: PLC0415 - loads the engine
    from reverse_etl.run import Options  # noqa: PLC0415 - the same

    refuse_unaudited(config, sync)
    options = Options(repair=True, profiles_to_audit=sample, allow_deletes=allow_deletes)
    with Stop(config.engine.shutdown_seconds) as stop, progress_bars() as bars:
        reports = list(Runs(config, stop, bars).run({sync: options}))
    for report in reports:
        if report.audit is not None:
            _show(session, report.audit)
        tell(session, config, report)
    return finish(session, reports, stop)


def _show(session: Session, found: AuditReport) -> None:
    output = session.output
    if "in_step" not in found.counts:
        verdict, style = "nothing to compare", "yellow"
    elif found.wrong:
        verdict, style = f"{found.wrong} wrong against run {found.run_id}", "bold red"
    else:
        verdict, style = f"in step against run {found.run_id}", "green"
    output.say(f"{found.sync}: {verdict}", style)
    for word, (text, style) in _WORDS.items():
        if word in found.counts:
            count = found.counts[word]
            output.say(f"  {count:>9,}  {text}", style if count else "")
            _show_samples(session, found, word)
    for note in found.notes:
        output.say(f"  note: {note}", "yellow")


def _show_samples(session: Session, found: AuditReport, word: str) -> None:
    for one in found.samples.get(word, []):
        reason = f": {one.reason}" if one.reason else ""
        session.output.say(f"               {one.identity}{reason}")
    rest = found.counts[word] - len(found.samples.get(word, []))
    if found.samples.get(word) and rest > 0:
        session.output.say(f"               … and {rest:,} more")

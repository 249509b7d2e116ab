"""``check``: whether runs would work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from reverse_etl.cli.completion import names_of
from reverse_etl.cli.session import ConfigOption, JsonOption, Session, session_of
from reverse_etl.cli.usable import refuse_unusable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reverse_etl.check import Checked
    from reverse_etl.connector import Finding

EXAMPLE = """\b
Example:
  reverse-etl check vip_customers

\b
Exit codes: 0 nothing is wrong, 1 something is, 2 usage or config error,
5 the DuckDB file stayed locked."""

_STYLES = {"ok": "green", "warning": "yellow", "unproven": "yellow", "failed": "bold red"}


def check(
    ctx: typer.Context,
    sync: Annotated[
        str | None,
        typer.Argument(
            metavar="SYNC",
            help="A sync of the config. Default: all.",
            show_default=False,
            autocompletion=names_of("syncs"),
        ),
    ] = None,
    *,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Find out whether runs would work; nothing is changed.

    The warehouse: it opens, the query runs, the columns exist, our schema is writable. The
    destination: the key works and may write, the list exists or can be made, there is room for
    new profile fields and their types fit.
    """
    session = session_of(ctx, config, as_json=as_json)
    loaded = session.load()
    names = [loaded.sync(sync).name] if sync else list(loaded.syncs)
    refuse_unusable(loaded, names)
    from reverse_etl.check import check as look  # noqa: PLC0415 - loads the engine
    from reverse_etl.report import worst  # noqa: PLC0415 - loads pydantic

    found = look(loaded, names)
    failed = any(each.has_failed for each in found)
    session.output.document({"failed": failed, "syncs": [each.document() for each in found]})
    _show(session, found)
    return worst(each.exit_code for each in found)


def _show(session: Session, found: Sequence[Checked]) -> None:
    for n, each in enumerate(found):
        if n:
            session.output.say()
        session.output.say(each.sync, "bold")
        _show_findings(session, each.findings)
    counts = _counts([finding for each in found for finding in each.findings])
    session.output.say()
    session.output.say(counts, "bold red" if any(e.has_failed for e in found) else "bold")


def _show_findings(session: Session, findings: Sequence[Finding]) -> None:
    """Write the findings in columns; the further lines of a text stand below its first one."""
    subjects = max((len(finding.subject) for finding in findings), default=0)
    verdicts = max(map(len, _STYLES))
    for finding in findings:
        head = f"  {finding.subject:{subjects}}  {finding.verdict:{verdicts}}  "
        text = finding.text.replace("\n", "\n" + " " * len(head))
        session.output.say(f"{head}{text}", _STYLES[finding.verdict])


def _counts(findings: Sequence[Finding]) -> str:
    """Return how many findings there are of each verdict, the worst first."""
    told = [finding.verdict for finding in findings]
    counts = {verdict: told.count(verdict) for verdict in ("failed", "warning", "unproven", "ok")}
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)

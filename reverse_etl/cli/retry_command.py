"""``retry``: failed records that the next run is to plan again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from reverse_etl.cli.failures_command import ReasonOption
from reverse_etl.cli.session import ConfigOption, JsonOption, Session, SyncArgument, session_of
from reverse_etl.cli.usable import chosen_syncs

if TYPE_CHECKING:
    from reverse_etl.retrying import Requested

EXAMPLE = """\b
Examples:
  reverse-etl retry vip_customers --reason rejected
  reverse-etl retry vip_customers --key 1234
  reverse-etl run-sync vip_customers"""


def retry(  # noqa: PLR0913 - the options of the command
    ctx: typer.Context,
    sync: SyncArgument,
    *,
    reason: ReasonOption = None,
    key: Annotated[
        str | None,
        typer.Option(
            "--key", metavar="KEY", help="Only the one with this primary key.", show_default=False
        ),
    ] = None,
    identity: Annotated[
        str | None,
        typer.Option(
            "--identity",
            metavar="ID",
            help="Only this person, as the tables name them.",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Let the next run plan failed records again.

    Also those that wait for a change of their row: for when the cause is put right at the
    destination. Nothing is sent now.
    """
    from reverse_etl.retrying import request_retry  # noqa: PLC0415 - loads the engine

    session = session_of(ctx, config, as_json=as_json)
    loaded = session.load()
    chosen_syncs(loaded, [sync], every=False)
    found = request_retry(loaded, sync, error_code=reason, primary_key=key, identity=identity)
    session.output.document(
        {
            "sync": sync,
            "requested": found.count,
            "by_code": [
                {"error_code": code, "count": count} for code, count in found.by_code.items()
            ],
            "without_identifier": found.without_identifier,
        }
    )
    _tell(session, sync, found)
    return 0


def _tell(session: Session, sync: str, found: Requested) -> None:
    say, failed = session.output.say, session.command("failures", sync)
    if found.count:
        codes = ", ".join(f"{count} {code}" for code, count in found.by_code.items())
        records = f"{found.count} failed record{'' if found.count == 1 else 's'}"
        say(f"{sync}: the next run tries {records} again ({codes})", "green")
        say(f"  what it will send: {session.command('plan', sync)}")
        say(f"  send it now:       {session.command('run-sync', sync)}")
    else:
        say(
            f"{sync}: no failed record that can be sent matches; those there are: {failed}",
            "yellow",
        )
    if found.without_identifier:
        rows = f"{found.without_identifier} row{'' if found.without_identifier == 1 else 's'}"
        say(f"  {rows} without identifier: nothing can be sent until the source has other values")

"""``move``: the tables of a sync to another warehouse, workspace or control database."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from reverse_etl.cli.completion import names_of
from reverse_etl.cli.session import ConfigOption, JsonOption, SyncArgument, session_of

EXAMPLE = """\b
Example:
  reverse-etl move vip --to shop_beside_spark
The config still names the place that the sync has worked in. Afterwards let source.warehouse name
the new one; until then its runs refuse to start. Nothing is sent."""


def move(
    ctx: typer.Context,
    sync: SyncArgument,
    *,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="WAREHOUSE",
            help="A warehouse of the config.",
            autocompletion=names_of("warehouses"),
        ),
    ],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Move the tables of a sync to another warehouse.

    What it knows goes with it, so that nothing is sent twice.
    """
    from reverse_etl.move import move as move_tables  # noqa: PLC0415 - loads SQLAlchemy

    session = session_of(ctx, config, as_json=as_json)
    moved = move_tables(session.load(), sync, to)
    session.output.document({**asdict(moved), "warehouse": to})
    session.output.say(f"the tables of sync {sync} are now in {moved.place}")
    session.output.table(["table", "rows"], list(moved.rows.items()), "  ")
    session.output.say(f"next: let syncs.{sync}.source.warehouse be {to}, then")
    session.output.say(f"  {session.command('plan', sync)}")
    return 0

"""``lists``: what an account has that a sync could write to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverse_etl.cli.completion import names_of
from reverse_etl.cli.output import moment
from reverse_etl.cli.session import ConfigOption, JsonOption, Session, session_of
from reverse_etl.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reverse_etl.config import Config
    from reverse_etl.connector import TargetInfo

EXAMPLE = """\b
Example:
  reverse-etl lists iterable"""


def lists(
    ctx: typer.Context,
    destination: Annotated[
        str,
        typer.Argument(
            metavar="DESTINATION",
            help="A destination of the config.",
            autocompletion=names_of("destinations"),
        ),
    ],
    *,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show the lists of an account, the newest first."""
    session = session_of(ctx, config, as_json=as_json)
    found = _read(session.load(), destination)
    session.output.document(
        {"destination": destination, "lists": [_document(info) for info in found]}
    )
    _show(session, found)
    return 0


def _read(config: Config, destination: str) -> Sequence[TargetInfo]:
    account, connector = config.account(destination), config.connector(destination)
    try:
        limits, conversation = connector.limits(account), connector.list_targets(account)
    except NotImplementedError:
        reason = f"{config.path}: destinations.{destination}: type {account.type} has no lists"
        raise ConfigError([reason]) from None
    from reverse_etl.conversation import (  # noqa: PLC0415 - loads the HTTP client
        conversations,
        patience,
    )
    from reverse_etl.ports import Ports  # noqa: PLC0415 - the same

    seconds = patience(account)
    with conversations(config, destination, limits, Ports(), retry_seconds=seconds) as wire:
        return wire.converse(conversation)


def _document(info: TargetInfo) -> dict[str, Any]:
    return {
        "id": info.id,
        "name": info.name,
        "type": info.kind,
        "created_at": moment(info.created_at),
        "description": info.description,
        "writable": info.writable,
    }


def _show(session: Session, found: Sequence[TargetInfo]) -> None:
    if not found:
        session.output.say("the account has no lists; a run makes the one that its config names")
        return
    rows = [
        [
            info.id,
            info.name,
            info.kind if info.writable else f"{info.kind} (no sync can keep it)",
            moment(info.created_at),
            info.description or "",
        ]
        for info in found
    ]
    heads = ["id", "name", "type", "created (UTC)", "description"]
    session.output.table(heads, rows, "")

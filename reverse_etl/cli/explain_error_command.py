"""``explain-error``: what an error code means, what to do, and what happens by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverse_etl.cli.session import JsonOption, Session, session_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reverse_etl.error_codes import ErrorCode

EXAMPLE = """\b
Examples:
  reverse-etl explain-error not_found
  reverse-etl explain-error"""

_WHERE = {
    "record": "one person (sync_log, failed_records)",
    "run": "a run (sync_runs)",
    "command": "a command (its JSON)",
}


@dataclass(frozen=True, slots=True)
class _Known:
    """A code, and the connector whose own it is; None for those that all share."""

    explained: ErrorCode
    connector: str | None = None


def explain_error(
    ctx: typer.Context,
    code: Annotated[
        str | None,
        typer.Argument(metavar="CODE", help="An error code; none lists all.", show_default=False),
    ] = None,
    *,
    as_json: JsonOption = False,
) -> int:
    """Say what an error code means, and what to do.

    It also says what happens by itself.
    """
    session = session_of(ctx, None, as_json=as_json)
    known = list(_known(session))
    found = known if code is None else _named(known, code)
    session.output.document({"codes": [_document(each) for each in found]})
    if code is None:
        _show_all(session, found)
    else:
        for each in found:
            _show(session, each)
    return 0


def _known(session: Session) -> Iterator[_Known]:
    """Yield the codes of the contract, then those of each connector that is installed."""
    from reverse_etl.config.registry import (  # noqa: PLC0415 - loads pydantic
        Registry,
        UnusableConnectorError,
    )
    from reverse_etl.error_codes import ERROR_CODES  # noqa: PLC0415 - many texts

    yield from map(_Known, ERROR_CODES.values())
    connectors = Registry()
    for name in connectors.names():
        try:
            own = connectors.get(name).error_codes
        except UnusableConnectorError as error:
            session.output.note(f"warning: {error}")
        else:
            yield from (_Known(explained, name) for explained in own)


def _named(known: Sequence[_Known], code: str) -> list[_Known]:
    """Return the codes of that name; two connectors may each have one.

    Raises:
        BadParameter: There is none.
    """
    found = [each for each in known if each.explained.code == code]
    if not found:
        from reverse_etl.config.schema import closest  # noqa: PLC0415 - loads pydantic

        near = closest(code, [each.explained.code for each in known])
        hint = f": did you mean {near}?" if near else "."
        text = f"there is no error code {code!r}{hint} `reverse-etl explain-error` lists them all"
        raise typer.BadParameter(text)
    return found


def _document(known: _Known) -> dict[str, Any]:
    explained = known.explained
    return {
        "code": explained.code,
        "connector": known.connector,
        "places": list(explained.places),
        "meaning": explained.meaning,
        "action": explained.action,
        "by_itself": explained.by_itself,
        "retryable": explained.retryable,
        "exit_codes": list(explained.exit_codes),
    }


def _show_all(session: Session, known: Sequence[_Known]) -> None:
    for connector in dict.fromkeys(each.connector for each in known):
        if connector is not None:
            session.output.say()
            session.output.say(f"of the connector {connector}:")
        codes = [each.explained for each in known if each.connector == connector]
        rows = [[each.code, ", ".join(each.places), each.summary] for each in codes]
        session.output.table(["code", "in", "meaning"], rows, "")


def _show(session: Session, known: _Known) -> None:
    explained = known.explained
    of = f" (of the connector {known.connector})" if known.connector else ""
    session.output.say(f"{explained.code}{of}", "bold")
    facts = {
        "where": ", ".join(map(_WHERE.__getitem__, explained.places)),
        "meaning": explained.meaning,
        "what to do": explained.action,
        "by itself": explained.by_itself,
        "exit code": " or ".join(map(str, explained.exit_codes)) or "none of ours",
    }
    if explained.retryable is not None:
        facts["retryable"] = "yes" if explained.retryable else "no"
    for name, text in facts.items():
        session.output.say(f"  {name:<10}  {text}")

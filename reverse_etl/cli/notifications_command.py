"""``test-notifications``: whether the webhooks of the config take what they are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer  # noqa: TC002 - typer reads the annotations

from reverse_etl.cli.session import ConfigOption, JsonOption, Session, session_of
from reverse_etl.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reverse_etl.alerts import Tested

EXAMPLE = """\b
Example:
  reverse-etl test-notifications
Exit codes: 0 every webhook accepted the message, 1 one did not, 2 the config has none."""


def send_test(
    ctx: typer.Context, *, config: ConfigOption = None, as_json: JsonOption = False
) -> int:
    """Send a test message to each webhook of the config.

    No sync is run, and nothing is remembered: what a webhook is told of your syncs stays the same.
    """
    session = session_of(ctx, config, as_json=as_json)
    loaded = session.load()
    if not loaded.notifications:
        reason = (
            f"{loaded.path}: notifications: there are none to test. Add an entry, as in "
            "notifications: [{url: https://…, format: slack}]"
        )
        raise ConfigError([reason])
    from reverse_etl.alerts import Alerts  # noqa: PLC0415 - loads the engine
    from reverse_etl.ports import Ports  # noqa: PLC0415 - loads the HTTP client

    tested = Alerts(loaded, Ports()).test()
    session.output.document({"notifications": [_document(each) for each in tested]})
    _show(session, tested)
    return 1 if any(each.problem for each in tested) else 0


def _document(each: Tested) -> dict[str, object]:
    return {
        "number": each.number,
        "place": each.place,
        "format": each.format,
        "accepted": each.problem is None,
        "problem": each.problem,
    }


def _show(session: Session, tested: Sequence[Tested]) -> None:
    for each in tested:
        name = f"notifications[{each.number}] ({each.place})"
        if each.problem is None:
            session.output.say(f"{name}: accepted", "green")
        else:
            session.output.say(f"{name}: not delivered: {each.problem}", "bold red")
    if any(each.problem for each in tested):
        session.output.say("check its url; a webhook that was made anew has another one")

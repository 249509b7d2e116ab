"""``validate`` and ``schema``: what can be said about a config offline."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverse_etl.cli.output import moment
from reverse_etl.cli.session import ConfigOption, JsonOption, session_of
from reverse_etl.cli.usable import refuse_unusable
from reverse_etl.errors import ConfigError

if TYPE_CHECKING:
    from reverse_etl.config import Config


VALIDATE_EXAMPLE = """\b
Examples:
  reverse-etl validate
  reverse-etl validate --schedules --config shop.yaml
Exit codes: 0 the config can be used, 2 it cannot; all that is wrong is said at once."""

SCHEMA_EXAMPLE = """\b
Example:
  reverse-etl schema > config.schema.json
Exit codes: 0 printed, 2 an installed connector cannot be used."""

# Enough to see the days of the week and the turn of a month in most schedules.
_TICKS_SHOWN = 5


def validate(
    ctx: typer.Context,
    *,
    schedules: Annotated[
        bool, typer.Option("--schedules", help="Show when each sync is due next, in UTC.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Check the config; nothing is contacted."""
    session = session_of(ctx, config, as_json=as_json)
    loaded = session.load()
    names = list(loaded.syncs)
    refuse_unusable(loaded, names)
    session.output.say(f"config ok: {len(names)} sync{'' if len(names) == 1 else 's'}", "green")
    found: dict[str, Any] = {
        "syncs": names,
        "problems": [],
        "warnings": loaded.warnings,
    }
    if schedules:
        ticks = _ticks(loaded)
        width = max(map(len, ticks), default=0)
        for name, due in ticks.items():
            session.output.say(f"  {name:{width}}  {', '.join(due) or 'by hand'}")
        found["schedules"] = ticks
    session.output.document(found)
    return 0


def _ticks(config: Config) -> dict[str, list[str]]:
    """Return the next ticks of each sync; none where runs are started by hand."""
    from reverse_etl.clock import SystemClock  # noqa: PLC0415 - needed with the option only
    from reverse_etl.schedule import following  # noqa: PLC0415 - as above

    now = SystemClock().now()
    return {
        name: [str(moment(tick)) for tick in following(sync.schedule, now, _TICKS_SHOWN)]
        for name, sync in config.syncs.items()
    }


def schema(ctx: typer.Context, *, as_json: JsonOption = False) -> int:
    """Print the JSON Schema of the config.

    An editor completes and checks a config that starts with the line
    # yaml-language-server: $schema=FILE
    """
    session = session_of(ctx, None, as_json=as_json)
    found = config_schema()
    session.output.say(json.dumps(found, indent=2))
    session.output.document({"schema": found})
    return 0


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema of the config.

    Raises:
        ConfigError: An installed connector is broken.
    """
    from reverse_etl.config.editor_schema import json_schema  # noqa: PLC0415 - loads pydantic
    from reverse_etl.config.registry import UnusableConnectorError  # noqa: PLC0415 - as above

    try:
        return json_schema()
    except UnusableConnectorError as error:
        raise ConfigError([str(error)]) from None

"""``validate`` and ``schema``: what can be said about a config offline."""

from __future__ import annotations

import json

import typer  # noqa: TC002 - typer reads the annotations

from reverse_etl.cli.session import ConfigOption, JsonOption, session_of
from reverse_etl.cli.usable import find_unusable
from reverse_etl.errors import ConfigError


def validate(
    ctx: typer.Context, *, config: ConfigOption = None, as_json: JsonOption = False
) -> int:
    """Check the config; nothing is contacted."""
    session = session_of(ctx, config, as_json=as_json)
    loaded = session.load()
    names = list(loaded.syncs)
    problems, not_yet = find_unusable(loaded, names)
    if problems:
        raise ConfigError(problems)
    for problem in not_yet:
        session.output.note(f"warning: {problem}")
    session.output.say(f"config ok: {len(names)} sync{'' if len(names) == 1 else 's'}", "green")
    session.output.document(
        {"syncs": names, "problems": [], "warnings": [*loaded.warnings, *not_yet]}
    )
    return 0


def schema(ctx: typer.Context, *, as_json: JsonOption = False) -> int:
    """Print the JSON Schema of the config.

    An editor completes and checks a config that starts with the line
    # yaml-language-server: $schema=FILE
    """
    from reverse_etl.config import json_schema  # noqa: PLC0415 - loads pydantic
    from reverse_etl.config.registry import UnusableConnectorError  # noqa: PLC0415 - as above

    session = session_of(ctx, None, as_json=as_json)
    try:
        found = json_schema()
    except UnusableConnectorError as error:
        raise ConfigError([str(error)]) from None
    session.output.say(json.dumps(found, indent=2))
    session.output.document({"schema": found})
    return 0

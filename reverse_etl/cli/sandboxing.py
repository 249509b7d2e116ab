"""``sandbox``: the local stand-in for the destination's API."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from types import ModuleType
from typing import Annotated, Any

import typer

from reverse_etl.cli.session import JsonOption, Session, session_of
from reverse_etl.errors import ConfigError

# For the page of the commands: --help is answered by the sandbox, with examples of its own.
EXAMPLE = """\b
Examples:
  reverse-etl sandbox
  reverse-etl sandbox --port 8766
Exit codes: 0 after SIGINT or SIGTERM, 2 usage error or the port is taken."""

# Whatever stands behind the command's name is the sandbox's own, --help included.
TAKES_ANYTHING = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "help_option_names": [],
}


def sandbox(
    ctx: typer.Context,
    *,
    connector: Annotated[
        str | None, typer.Option("--connector", help="Needed when several have one.")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Run the local stand-in for the API.

    All other options are those of the sandbox itself, which lists them with --help.
    """
    session = session_of(ctx, None, as_json=as_json)
    module = _sandbox_module(connector)
    serve: Any = module.serve
    if not session.output.json:
        return int(serve(ctx.args))
    with contextlib.redirect_stdout(_Ready(session)):
        return int(serve(ctx.args))


def _sandbox_module(name: str | None) -> ModuleType:
    from reverse_etl.config.registry import (  # noqa: PLC0415 - loads pydantic
        Registry,
        UnusableConnectorError,
    )

    registry = Registry()
    known = registry.names()
    if name is not None and name not in known:
        installed = ", ".join(known) or "none is installed"
        raise ConfigError([f"there is no connector {name}; connectors: {installed}"])
    try:
        connectors = {n: registry.get(n)() for n in ([name] if name else known)}
    except UnusableConnectorError as error:
        raise ConfigError([str(error)]) from None
    found = {n: module for n, c in connectors.items() if (module := c.sandbox()) is not None}
    if len(found) != 1:
        several = f"several connectors have one ({', '.join(found)}): name one with --connector"
        none = f"the connector {name} has no sandbox" if name else "no connector has a sandbox"
        raise ConfigError([several if found else none])
    return next(iter(found.values()))


class _Ready(io.StringIO):
    """Turns the line with which a sandbox says that it is ready into the JSON document."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session

    def write(self, text: str) -> int:
        url = re.search(r"https?://\S+", text)
        with contextlib.redirect_stdout(sys.__stdout__):
            self._session.output.document(
                {"url": url[0] if url else None, "ready": text.strip()},
            )
        return len(text)

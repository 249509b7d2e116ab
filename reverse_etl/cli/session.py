"""What commands share: ``SYNC``, ``--config``, ``--json``, and the config itself."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reverse_etl.cli.completion import names_of
from reverse_etl.cli.output import Output

if TYPE_CHECKING:
    from reverse_etl.config import Config

SyncArgument = Annotated[
    str,
    typer.Argument(metavar="SYNC", help="A sync of the config.", autocompletion=names_of("syncs")),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="PATH",
        help="The config file. Default: $REVERSE_ETL_CONFIG, else config.yaml.",
        show_default=False,
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON document on standard output, the rest elsewhere.")
]


@dataclass
class Session:
    """One call of the command line.

    Attributes:
        output: Where to say things.
        config_path: ``--config``, or None.
    """

    output: Output
    config_path: Path | None = None

    def take(self, config: Path | None, *, as_json: bool) -> None:
        """Take the options that may stand before and after the command's name."""
        self.config_path = config or self.config_path
        self.output.json = as_json or self.output.json

    def load(self) -> Config:
        """Return the config; its warnings go to standard error.

        Raises:
            ConfigError: It cannot be used; the error holds one line for each problem.
        """
        from reverse_etl.config import find_config, load_config  # noqa: PLC0415 - loads pydantic

        config = load_config(find_config(self.config_path, os.environ), os.environ)
        for warning in config.warnings:
            self.output.note(f"warning: {warning}")
        return config

    def command(self, *words: str) -> str:
        """Return a command line for a person to copy, with the config of this call."""
        option = ["--config", str(self.config_path)] if self.config_path else []
        return shlex.join(["reverse-etl", *words, *option])


def session_of(ctx: typer.Context, config: Path | None, *, as_json: bool) -> Session:
    """Return the session of a command, with the command's own options taken."""
    session: Session = ctx.obj
    session.take(config, as_json=as_json)
    return session

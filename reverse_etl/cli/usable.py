"""What can be found out about syncs before anything is contacted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from reverse_etl.errors import ConfigError

if TYPE_CHECKING:
    from reverse_etl.config import Config


def chosen_syncs(config: Config, names: Sequence[str] | None, *, every: bool) -> list[str]:
    """Return the syncs that a command line names, each once.

    Raises:
        ConfigError: A name is not in the config.
        BadParameter: Neither names nor ``--all`` are given, or both.
    """
    if bool(names) == every:
        given = "not both" if names else "nothing was named"
        raise typer.BadParameter(f"name at least one sync, or say --all ({given})")
    found = list(dict.fromkeys(names or config.syncs))
    problems: list[str] = []
    for name in found:
        try:
            config.sync(name)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return found


def refuse_unusable(config: Config, names: Sequence[str]) -> None:
    """Make sure that the syncs can be run as they are configured; nothing is contacted.

    Raises:
        ConfigError: An engine or an object is not supported; one line for each sync.
    """
    from reverse_etl import warehouse  # noqa: PLC0415 - reads entry points

    problems: list[str] = []
    for name in names:
        try:
            config.bind(name)
            warehouse.refuse_unusable(config, config.sync(name).source.warehouse)
        except ConfigError as error:
            problems += [_placed(config, name, problem) for problem in error.problems]
    if problems:
        raise ConfigError(problems)


def _placed(config: Config, sync_name: str, problem: str) -> str:
    place = f"{config.path}: "
    return problem if problem.startswith(place) else f"{place}syncs.{sync_name}: {problem}"

"""What can be found out about syncs before anything is contacted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
        with _noting(problems, config, name, "destination"):
            config.bind(name)
        with _noting(problems, config, name, "source.warehouse"):
            warehouse.refuse_unusable(config, config.sync(name).source.warehouse)
    if problems:
        raise ConfigError(problems)


@contextmanager
def _noting(problems: list[str], config: Config, sync_name: str, key: str) -> Iterator[None]:
    """Add what is wrong with a key of a sync to the problems, with its place."""
    try:
        yield
    except ConfigError as error:
        place = config.sync(sync_name).place(key) or config.path
        for problem in error.problems:
            is_placed = problem.startswith(f"{config.path}:")
            problems.append(problem if is_placed else f"{place}: syncs.{sync_name}: {problem}")

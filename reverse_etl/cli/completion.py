"""Completion of what a config names, in a shell: ``reverse-etl plan v<TAB>``.

A shell waits for the answer, so only the names are read, without the package that checks configs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer  # noqa: TC002 - typer reads the annotations


def names_of(section: str) -> Callable[[typer.Context], list[str]]:
    """Return what completes the name of a sync, or of something else that the config names.

    Args:
        section: ``syncs``, ``destinations`` or ``warehouses``.
    """

    def complete(ctx: typer.Context) -> list[str]:
        try:
            return list(_names(_config_path(ctx), section))
        except Exception:  # noqa: BLE001 - whatever is wrong, a prompt is no place to say so
            return []

    return complete


def _config_path(ctx: typer.Context) -> Path:
    """Return the config of the command line so far; the shell has not put in the home folder."""
    named = ctx.params.get("config") or ctx.find_root().params.get("config")
    return Path(named or os.environ.get("REVERSE_ETL_CONFIG") or "config.yaml").expanduser()


def _names(path: Path, section: str) -> Iterator[str]:
    """Yield the keys of a section, whatever stands under them."""
    import yaml  # noqa: PLC0415 - a help text needs none

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document = yaml.compose(path.read_bytes(), Loader=loader)
    for key, entries in document.value if document else ():
        if key.value == section:
            yield from (name.value for name, _ in entries.value)

"""Keep an audience in a marketing tool equal to a query in your warehouse.

From a program::

    import reverse_etl

    summary = reverse_etl.run_sync("config.yaml", "vip_customers")
    summary.raise_for_status()

The names here are for users and change only with a reason; everything else in the package may.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reverse_etl.config import Config, load_config
    from reverse_etl.connector import Operation
    from reverse_etl.errors import Busy, ConfigError, ReverseEtlError, RunError
    from reverse_etl.report import RunSummary
    from reverse_etl.runner import run_sync

__all__ = [
    "Busy",
    "Config",
    "ConfigError",
    "Operation",
    "ReverseEtlError",
    "RunError",
    "RunSummary",
    "load_config",
    "run_sync",
]

_HOMES = {
    "reverse_etl.config": ("Config", "load_config"),
    "reverse_etl.connector": ("Operation",),
    "reverse_etl.errors": ("Busy", "ConfigError", "ReverseEtlError", "RunError"),
    "reverse_etl.report": ("RunSummary",),
    "reverse_etl.runner": ("run_sync",),
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module has anything
    """Import a public name when it is first used: `reverse-etl --help` needs none of them."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

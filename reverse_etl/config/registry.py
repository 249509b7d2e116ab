"""Which connectors there are: the entry points of one group, loaded when they are asked for.

A connector that cannot be loaded breaks only the configs that use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points

from reverse_etl.connector import Connector

GROUP = "reverse_etl.connectors"


class UnusableConnectorError(Exception):
    """A connector is installed, but cannot be used; the text says why and what to do."""


class Registry:
    """Finds connectors by the ``type`` of a destination.

    Args:
        given: Replaces the installed ones.
    """

    def __init__(self, given: Mapping[str, type[Connector]] | None = None) -> None:
        self._loaded: dict[str, type[Connector]] = dict(given or {})
        self._entries: dict[str, list[EntryPoint]] = {}
        if given is None:
            for entry in entry_points(group=GROUP):
                self._entries.setdefault(entry.name, []).append(entry)

    def names(self) -> list[str]:
        """Return the name of each connector, also of those that cannot be loaded."""
        return sorted({*self._loaded, *self._entries})

    def get(self, name: str) -> type[Connector]:
        """Return the connector.

        Raises:
            KeyError: There is none of that name.
            UnusableConnectorError: There is, but it is broken or of another contract version.
        """
        if name not in self._loaded:
            self._loaded[name] = _load(name, self._entries[name])
        return self._loaded[name]


def _load(name: str, entries: list[EntryPoint]) -> type[Connector]:
    """Import one connector and check that it is one."""
    # An editable install and a wheel of the same package name the same class: that is no conflict.
    if len({entry.value for entry in entries}) > 1:
        owners = ", ".join(sorted({_owner(entry) for entry in entries}))
        raise UnusableConnectorError(
            f"the connector {name} is installed by {owners}; uninstall all but one"
        )
    entry = entries[0]
    try:
        found = entry.load()
    except Exception as error:  # noqa: BLE001 - whatever the import of foreign code raises
        reason = type(error).__name__
    else:
        if not (isinstance(found, type) and issubclass(found, Connector)):
            reason = "its entry point is no Connector class"
        elif found.api_version != Connector.api_version:
            reason = f"it is for version {found.api_version} of the contract, not for ours"
        else:
            return found
    raise UnusableConnectorError(
        f"the connector {name} of {_owner(entry)} cannot be used ({reason}); "
        f"install a version of it that fits"
    )


def _owner(entry: EntryPoint) -> str:
    """Return the name of the package that an entry point belongs to."""
    return entry.dist.name if entry.dist is not None else entry.value

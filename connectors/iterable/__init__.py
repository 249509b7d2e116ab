"""Iterable: keep a static list (and, later, user profiles) equal to a warehouse query.

Importing this package stays cheap: pyarrow and orjson are loaded by :meth:`bind` only.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from connectors.iterable.checks import check
from connectors.iterable.settings import IterableAccount, ListSettings, UserSettings
from reverse_etl.connector import (
    AccountSettings,
    Connector,
    DestinationObject,
    DestinationSettings,
    FieldMapping,
    Problem,
)
from reverse_etl.errors import NotYet

__all__ = ["IterableConnector"]


class IterableConnector(Connector):
    """The connector of type ``iterable``."""

    account: ClassVar[type[AccountSettings]] = IterableAccount
    objects: ClassVar[Mapping[str, type[DestinationSettings]]] = MappingProxyType(
        {"list": ListSettings, "user": UserSettings}
    )
    sandbox_module: ClassVar[str | None] = "connectors.iterable.sandbox"

    def check(
        self,
        account: AccountSettings,
        settings: DestinationSettings,
        mapping: FieldMapping,
        mode: str,
    ) -> list[Problem]:
        """Return what is wrong with the settings taken together; offline."""
        del mode  # both modes are possible with every object
        return check(_account(account), _settings(settings), mapping)

    def bind(
        self,
        account: AccountSettings,
        settings: DestinationSettings,
        mapping: FieldMapping,
        mode: str,
    ) -> DestinationObject:
        """Return the object a sync writes to; imports pyarrow.

        Raises:
            NotYet: The object is not part of this version.
            ConfigError: A constant cannot be sent.
        """
        del mode
        chosen = _settings(settings)
        if isinstance(chosen, UserSettings):
            raise NotYet(
                ["object: user: profiles are not part of this version yet; use object: list"],
            )
        from connectors.iterable.list_object import ListObject  # noqa: PLC0415 - loads pyarrow

        return ListObject(_account(account), chosen, mapping)


def _account(account: AccountSettings) -> IterableAccount:
    """Return the account as ours.

    Raises:
        TypeError: It was made for another connector.
    """
    if not isinstance(account, IterableAccount):
        raise TypeError(f"expected IterableAccount, got {type(account).__name__}")
    return account


def _settings(settings: DestinationSettings) -> ListSettings | UserSettings:
    """Return the settings as ours.

    Raises:
        TypeError: They were made for another connector.
    """
    if not isinstance(settings, ListSettings | UserSettings):
        raise TypeError(f"expected ListSettings or UserSettings, got {type(settings).__name__}")
    return settings

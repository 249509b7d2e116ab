"""Iterable: keep a static list, or the fields of profiles, equal to a warehouse query.

Importing this package stays cheap: pyarrow and orjson are loaded by :meth:`bind` only.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar

from connectors.iterable import lists
from connectors.iterable.checks import check
from connectors.iterable.error_codes import ERROR_CODES
from connectors.iterable.limits import limits_of
from connectors.iterable.settings import IterableAccount, ListSettings, UserSettings
from reverse_etl.connector import (
    AccountSettings,
    Answer,
    Connector,
    DestinationObject,
    DestinationSettings,
    FieldMapping,
    Limits,
    Problem,
    Request,
    TargetInfo,
)
from reverse_etl.error_codes import ErrorCode

__all__ = ["IterableConnector"]


class IterableConnector(Connector):
    """The connector of type ``iterable``."""

    account: ClassVar[type[AccountSettings]] = IterableAccount
    objects: ClassVar[Mapping[str, type[DestinationSettings]]] = MappingProxyType(
        {"list": ListSettings, "user": UserSettings}
    )
    error_codes: ClassVar[Sequence[ErrorCode]] = ERROR_CODES
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
            ConfigError: A constant cannot be sent.
        """
        from connectors.iterable.list_object import ListObject  # noqa: PLC0415 - loads pyarrow
        from connectors.iterable.user_object import UserObject  # noqa: PLC0415 - the same

        del mode
        chosen = _settings(settings)
        if isinstance(chosen, UserSettings):
            return UserObject(_account(account), chosen, mapping)
        return ListObject(_account(account), chosen, mapping)

    def limits(self, account: AccountSettings) -> Limits:
        """Return the limits of an account, whatever the object."""
        return limits_of(_account(account))

    def list_targets(
        self, account: AccountSettings
    ) -> Generator[Request, Answer, Sequence[TargetInfo]]:
        """Ask for the lists of the project, the newest first."""
        return lists.described((yield from lists.all_lists(_account(account).host())))


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

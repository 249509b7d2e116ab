"""The account of a sync: host, project type, object and list. It never changes unnoticed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reverse_etl.errors import AccountChanged

if TYPE_CHECKING:
    from reverse_etl.connector import AccountSettings, DestinationObject
    from reverse_etl.warehouse.shape import State


@dataclass(frozen=True)
class Account:
    """What a sync writes to, as kept with its committed runs.

    Attributes:
        host: Host of the destination.
        kind: Project type.
        object: ``list`` or ``user``.
        target: How the config names the target: its name, or ``id N``; empty without one.
    """

    host: str
    kind: str
    object: str
    target: str

    def __str__(self) -> str:
        """Return the account in words."""
        named = f", {self.object} {self.target}" if self.target else f", object {self.object}"
        return f"{self.host} ({self.kind} project{named})"


def account_of(destination: DestinationObject, object_name: str) -> Account:
    """Return the account that a config names."""
    target = destination.target
    wanted = target.name or (f"id {target.id}" if target.id else "")
    return Account(destination.host, destination.kind, object_name, wanted)


def is_same_account(now: Account, state: State, target_id: str) -> bool:
    """Return whether a sync still writes to where it wrote before.

    Args:
        now: The account that the config names.
        state: What is known of the sync.
        target_id: The id in the config, or empty when it names the target.
    """
    if state.base is None:
        return True
    before = (state.account_host, state.account_kind, state.account_object)
    if before != (now.host, now.kind, now.object):
        return False
    return now.target == (state.target_name or "") or (
        bool(target_id) and target_id == state.target_id
    )


def refuse_changed_account(sync_name: str, now: Account, state: State) -> None:
    """Raise :class:`AccountChanged` with the two ways out."""
    before = Account(
        state.account_host or "",
        state.account_kind or "",
        state.account_object or "",
        state.target_name or "",
    )
    raise AccountChanged(
        f"sync {sync_name} has been writing to {before}; the config now names {now}. "
        "Nothing was sent. Either give the sync another name, and the new account starts with "
        f"a sync of its own, or run it with --full: it then starts from an empty base, and what "
        "it wrote to the old account stays there.",
    )


def pacing_key(account: AccountSettings) -> str:
    """Return what makes two accounts one to the rate limit, without the key in it."""
    secret = account.api_key.get_secret_value() if account.api_key else ""
    return hashlib.sha256(f"{account.url()}\n{secret}".encode()).hexdigest()

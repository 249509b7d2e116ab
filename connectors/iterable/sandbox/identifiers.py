"""E-mail addresses and userIds: which ones are taken, and how those of the forgotten are kept.

Sources: Iterable support article 209082806 (e-mail validation), the API description of
``failedUpdates`` (userIds) and of ``forgotten`` (hashes). What they leave open is decided here.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_EMAIL_LOCAL = 64
MAX_EMAIL_DOMAIN = 253

# The real service checks the top-level domain against the list of the IANA. This one refuses
# the names that can never be delivered to, and accepts .test and .example, which RFC 2606
# sets aside for data like that of a sandbox.
_DEAD_DOMAINS = (".invalid", ".local", ".localhost", ".onion")

_ATOM = r"[^\s\x00-\x1f\x7f()<>@,;:\\\".\[\]]+"
_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_EMAIL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+(?:[^\W\d_]{{2,63}}|xn--[a-z0-9-]+)")
_USER_ID = re.compile(r"[!-~](?:[ -~]{0,50}[!-~])?")


def is_email(value: str) -> bool:
    """Whether the API takes the value, in lower case, as an e-mail address."""
    if _EMAIL.fullmatch(value) is None or value.endswith(_DEAD_DOMAINS):
        return False
    if len(value) <= MAX_EMAIL_LOCAL:  # neither half can be too long
        return True
    local, _, domain = value.rpartition("@")
    return len(local) <= MAX_EMAIL_LOCAL and len(domain) <= MAX_EMAIL_DOMAIN


def is_user_id(value: str) -> bool:
    """Whether the API takes the value as a userId: 1 to 52 printable ASCII, no outer space."""
    return _USER_ID.fullmatch(value) is not None


def placeholder(user_id: str) -> str:
    """Return the address of a profile known by userId only (form: article 29156459027348)."""
    return f"{user_id}+{zlib.crc32(user_id.encode())}@placeholder.email".lower()


def hashed(identifier: str) -> str:
    """Return SHA-256 of a trimmed identifier in lower case (API description: forgotten)."""
    return hashlib.sha256(identifier.strip().lower().encode()).hexdigest()


class Forgotten:
    """Those who were forgotten: hashes of their identifiers, as the API itself returns them."""

    def __init__(self) -> None:
        """Start with nobody."""
        self.emails: set[str] = set()
        self.user_ids: set[str] = set()

    def __bool__(self) -> bool:
        """Whether anybody was forgotten."""
        return bool(self.emails or self.user_ids)

    def failures(self, emails: Iterable[str], user_ids: Iterable[str]) -> list[tuple[str, str]]:
        """Return the identifiers that are forgotten, each with its key of ``failedUpdates``."""
        if not self:
            return []
        return [("forgottenEmails", v) for v in emails if hashed(v) in self.emails] + [
            ("forgottenUserIds", v) for v in user_ids if hashed(v) in self.user_ids
        ]

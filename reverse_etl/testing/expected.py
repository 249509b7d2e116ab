"""Who should be at the destination, said once more: from the contract (§6.2), not from the SQL."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reverse_etl.testing.histories import MAPPINGS, History, ProjectType, Round, Row

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_USER_ID = re.compile(r"[!-~]([ -~]{0,50}[!-~])?")


@dataclass(frozen=True)
class Person:
    """Somebody whom the query wants at the destination.

    Attributes:
        identity: As in our tables.
        email: The address that goes with the identity, if any.
        values: Destination field to value; NULLs are left out.
    """

    identity: str
    email: str | None
    values: dict[str, Any]


@dataclass(frozen=True)
class Expected:
    """What a round's source means.

    Attributes:
        people: By identity.
        invalid: Identities (``row:…``) of the rows without a usable identifier.
        held: Every identifier that any row holds, prefixed as in hybrid projects.
    """

    people: dict[str, Person]
    invalid: frozenset[str]
    held: frozenset[str]


def usable_email(value: str | None) -> str | None:
    """Return the normalised address, or None."""
    text = (value or "").strip().lower()
    return text if _EMAIL.fullmatch(text) and len(text) <= 254 else None


def usable_user_id(value: str | None) -> str | None:
    """Return the user id, or None; it is never trimmed."""
    return value if value and len(value) <= 52 and _USER_ID.fullmatch(value) else None


def expected(history: History, played: Round) -> Expected:
    """Work out who is wanted."""
    kind = history.project_type
    rows = sorted(played.rows, key=lambda row: _order(kind, row, played))
    owners = _owners(rows) if kind == "hybrid" else {}
    winners: dict[str, Row] = {}
    invalid = set()
    for row in rows:
        identity = _identity(kind, row, owners)
        if identity is None:
            invalid.add(f"row:{'null' if row.id is None else row.id}")
        else:
            winners.setdefault(identity, row)
    people = {}
    claimed: set[str] = set()
    for identity, row in winners.items():  # in the order of their primary keys
        email = usable_email(row.email)
        alone = kind != "hybrid" or email in claimed
        if email is not None:
            claimed.add(email)
        people[identity] = Person(identity, None if alone else email, _values(played, row))
    return Expected(people, frozenset(invalid), _held(rows))


def _order(kind: ProjectType, row: Row, played: Round) -> list[tuple[bool, Any]]:
    """Smallest primary key first, NULLs last, ties by the mapped values."""
    identifiers = {
        "email": [row.email],
        "user_id": [row.user_id],
        "hybrid": [row.user_id, row.email],
    }[kind]
    mapped = [getattr(row, column) for column in MAPPINGS[played.mapping].values()]
    return [(value is None, value) for value in (row.id, *identifiers, *mapped)]


def _owners(rows: Sequence[Row]) -> dict[str, str]:
    """Return whom an address belongs to: the first row that has it beside a user id."""
    owners: dict[str, str] = {}
    for row in rows:
        email, user_id = usable_email(row.email), usable_user_id(row.user_id)
        if email and user_id:
            owners.setdefault(email, f"userId:{user_id}")
    return owners


def _identity(kind: ProjectType, row: Row, owners: dict[str, str]) -> str | None:
    email, user_id = usable_email(row.email), usable_user_id(row.user_id)
    if kind == "email":
        return email
    if kind == "user_id":
        return user_id
    if user_id:
        return f"userId:{user_id}"
    return owners.get(email, f"email:{email}") if email else None


def _values(played: Round, row: Row) -> dict[str, Any]:
    values = {name: getattr(row, column) for name, column in MAPPINGS[played.mapping].items()}
    if played.plan_type == "text":
        values = {name: None if v is None else str(v) for name, v in values.items()}
    return {name: value for name, value in values.items() if value is not None}


def _held(rows: Sequence[Row]) -> frozenset[str]:
    held = set()
    for row in rows:
        email, user_id = usable_email(row.email), usable_user_id(row.user_id)
        held |= {f"email:{email}"} if email else set()
        held |= {f"userId:{user_id}"} if user_id else set()
    return frozenset(held)

"""Who the query wants: people, not rows (design §6.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from reverse_etl.testing import expected
from reverse_etl.testing.histories import Row
from reverse_etl.testing.rules.tables import (
    Duplicate,
    Kind,
    Person,
    Settings,
    Snapshot,
    Unusable,
)

INVALID, MISSING = "invalid_identifier", "missing_identifier"

usable_email = lru_cache(1_000)(expected.usable_email)
usable_user_id = lru_cache(1_000)(expected.usable_user_id)

# Columns that may hold an identifier, the one that counts more first.
_IDENTIFIERS: Mapping[Kind, tuple[str, ...]] = {
    "email": ("email",),
    "user_id": ("user_id",),
    "hybrid": ("user_id", "email"),
}


def snapshot_of(rows: Sequence[Row], settings: Settings, before: Snapshot | None) -> Snapshot:
    """Return what the rows say; ``before`` tells which refusals are new."""
    columns = (*_IDENTIFIERS[settings.kind], *(c for c, _ in settings.fields.values()))
    ranked = sorted(rows, key=lambda row: _rank(row, columns))
    owners = _owners(ranked) if settings.kind == "hybrid" else {}
    winners: dict[str, Row] = {}
    losers: list[tuple[str, Row]] = []
    nobody: list[Row] = []
    for row in ranked:
        identity = identity_of(row, settings.kind, owners)
        if identity is None:
            nobody.append(row)
        elif winners.setdefault(identity, row) is not row:
            losers.append((identity, row))
    return Snapshot(
        _people(winners, settings),
        _unusable(nobody, settings.kind, before),
        _duplicates(losers, winners, settings, before),
        len(rows),
    )


def _rank(row: Row, columns: Iterable[str]) -> list[tuple[bool, Any]]:
    """The smallest primary key wins, NULLs last, ties by the mapped values."""
    values = [row.id, *(getattr(row, column) for column in columns)]
    return [(value is None, value) for value in values]


def identity_of(row: Row, kind: Kind, owners: Mapping[str, str]) -> str | None:
    """Return who a row is; an e-mail alone is the person who has it beside a user id."""
    if kind == "email":
        return usable_email(row.email)
    user_id = usable_user_id(row.user_id)
    if kind == "user_id":
        return user_id
    if user_id is not None:
        return f"userId:{user_id}"
    email = usable_email(row.email)
    return None if email is None else owners.get(email, f"email:{email}")


def _owners(ranked: Sequence[Row]) -> dict[str, str]:
    """Return whom each e-mail belongs to: the first row that has it beside a user id."""
    owners: dict[str, str] = {}
    for row in ranked:
        email, user_id = usable_email(row.email), usable_user_id(row.user_id)
        if email is not None and user_id is not None:
            owners.setdefault(email, f"userId:{user_id}")
    return owners


def _people(winners: Mapping[str, Row], settings: Settings) -> dict[str, Person]:
    """An e-mail that several user ids claim goes with the smallest primary key only."""
    claimed: set[str] = set()
    people = {}
    for identity, row in winners.items():
        alias = _alias(row, settings)
        if alias in claimed:
            alias = None
        elif alias is not None:
            claimed.add(alias)
        people[identity] = Person(identity, alias, key_text(row), _values(row, settings))
    return people


def _alias(row: Row, settings: Settings) -> str | None:
    return usable_email(row.email) if settings.kind == "hybrid" else None


def _values(row: Row, settings: Settings) -> dict[str, Any]:
    return {name: _value(row, *source) for name, source in settings.fields.items()}


def _value(row: Row, column: str, kind: str) -> Any:  # noqa: ANN401 - as the source has it
    value = getattr(row, column)
    return str(value) if kind == "text" and value is not None else value


def key_text(row: Row) -> str | None:
    """Return the primary key as text."""
    return None if row.id is None else str(row.id)


# --- rows that could not be used -----------------------------------------------------------


def _unusable(rows: Sequence[Row], kind: Kind, before: Snapshot | None) -> dict[str, Unusable]:
    """Rows without identifier, one for each primary key; of several reasons the first."""
    found: dict[str, Unusable] = {}
    for row in rows:
        key = key_text(row)
        name = f"row:{'null' if key is None else key}"
        code, why = why_unusable(row, kind)
        known = found.get(name)
        if known is not None:
            code, why = min(code, known.code), min(why, known.why)
        count = 1 if known is None else known.rows + 1
        old = before.unusable.get(name) if before else None
        new = old is None or (old.code, old.why) != (code, why)
        found[name] = Unusable(name, key, code, why, count, new)
    return found


def why_unusable(row: Row, kind: Kind) -> tuple[str, str]:
    """Return code and reason: the first column that holds something; that none does comes last."""
    for column in _IDENTIFIERS[kind]:
        if (getattr(row, column) or "").strip():
            return INVALID, column
    return MISSING, "~no column"


def _duplicates(
    losers: Sequence[tuple[str, Row]],
    winners: Mapping[str, Row],
    settings: Settings,
    before: Snapshot | None,
) -> tuple[Duplicate, ...]:
    if not losers:
        return ()
    known = before.duplicates if before else ()
    seen = {(row.identity, row.primary_key, row.differs) for row in known}
    found = []
    for identity, row in losers:
        differs = _values(row, settings) != _values(winners[identity], settings)
        key = key_text(row)
        new = (identity, key, differs) not in seen
        found.append(Duplicate(identity, key, _alias(row, settings), differs, new))
    return tuple(found)

"""A sync for a table that nobody has described: which column names a row, which one a person.

Pure: what is known of a table goes in, a proposal comes out. Nothing in it is more than a guess,
except a primary key that the warehouse declares; so each guess says what it rests on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from reverse_etl.warehouse.shape import Kind

if TYPE_CHECKING:
    from reverse_etl.warehouse.browse import ColumnFacts, TableFacts

# Of the values of a column that may be called an e-mail address, and of any other column.
_SHARE_WHEN_NAMED = 0.5
_SHARE_OF_OTHERS = 0.9
# Different values among all: people's ids repeat now and then, a foreign key does often.
_ONE_EACH = 0.9
# Rows that have an id of somebody, for a column that only resembles one by its name.
_MOSTLY_FILLED = 0.5

_LONGEST_NAME = 255  # of a column in a config

# Who a table, or an id, may be about; singular. An account is as often a company.
_PEOPLE = frozenset(
    (
        *("buyer", "client", "contact", "customer", "employee", "guest", "lead", "member"),
        *("patient", "people", "person", "player", "profile", "reader", "recipient"),
        *("shopper", "student", "subscriber", "user", "visitor"),
    )
)
_KEYS = ("uuid", "guid", "id")
_TEXTS = frozenset({Kind.TEXT, Kind.OTHER})
_WHOLE = frozenset({Kind.TEXT, Kind.INTEGER, Kind.OTHER})
_NAMING = _WHOLE | {Kind.DECIMAL, Kind.FLOAT}


@dataclass(frozen=True, slots=True)
class Guess:
    """A choice of columns.

    Attributes:
        columns: One, or those of a primary key.
        reason: What it rests on, to be read behind "a guess:".
        is_certain: Whether it is none: the warehouse says so.
    """

    columns: tuple[str, ...]
    reason: str
    is_certain: bool = False

    @property
    def text(self) -> str:
        """The reason, and whether it is a guess."""
        return self.reason if self.is_certain else f"a guess: {self.reason}"


@dataclass(frozen=True, slots=True)
class Proposal:
    """A sync of one table.

    Attributes:
        primary_key: What names a row.
        email: The column with people's e-mail addresses, if there is one.
        user_id: The column with people's ids, if there is one; one of the two there is.
        fields: The other columns, in their order.
        left_out: Columns that are no fields, to the reason.
    """

    primary_key: Guess
    email: Guess | None
    user_id: Guess | None
    fields: tuple[str, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)

    def without(self, refused: Mapping[str, str]) -> Proposal:
        """Return the proposal with more fields left out, each with the reason."""
        fields = tuple(name for name in self.fields if name not in refused)
        return replace(self, fields=fields, left_out={**self.left_out, **refused})


def propose(facts: TableFacts) -> Proposal | None:
    """Return a sync for a table, or None when no column of it seems to find a person."""
    email = _email(facts)
    user_id = _user_id(facts, email)
    person = user_id or email
    if person is None:
        return None
    primary_key = _primary_key(facts, person)
    used = {each.columns[0] for each in (email, user_id) if each}
    if len(primary_key.columns) == 1:
        used.update(primary_key.columns)
    others = [column for column in facts.columns if column.name not in used]
    faults = {column.name: fault for column in others if (fault := _fault(column))}
    fields = tuple(column.name for column in others if column.name not in faults)
    return Proposal(primary_key, email, user_id, fields, faults)


# --- who -----------------------------------------------------------------------------------


def _email(facts: TableFacts) -> Guess | None:
    """Guess the column of e-mail addresses: by its values, or by its name where it has none."""
    usable: list[tuple[tuple[int, int], ColumnFacts]] = []
    for column in facts.columns:
        rank = _rank_as_email(column.name)
        share = column.addresses / column.filled if column.filled else None
        needed = _SHARE_OF_OTHERS if rank is None else _SHARE_WHEN_NAMED
        if column.kind not in _TEXTS or (rank is None if share is None else share < needed):
            continue
        usable.append(((2 if rank is None else rank, -column.addresses), column))
    if not usable:
        return None
    (rank, _), column = min(usable, key=lambda each: each[0])
    named = "its name, and " if rank < 2 else ""  # noqa: PLR2004 - as above
    if not column.filled:
        return Guess((column.name,), f"its name; {_nothing_in(facts)}")
    percent = _percent(column.addresses, column.filled)
    return Guess(
        (column.name,), f"{named}{percent} of its values in {_rows(facts)} look like addresses"
    )


def _rank_as_email(name: str) -> int | None:
    """Return 0 for a plain name of e-mail addresses, 1 for a longer one, None for another name."""
    word = "".join(_words(name))
    if word in {"email", "mail", "emailaddress", "mailaddress"}:
        return 0
    return 1 if word.endswith(("email", "emailaddress", "mailaddress")) else None


def _user_id(facts: TableFacts, email: Guess | None) -> Guess | None:
    """Guess the column of people's ids by its name, best one that has each value once."""
    usable: list[tuple[tuple[bool, int], ColumnFacts]] = []
    for column in facts.columns:
        rank = _rank_as_user_id(column.name, facts.name)
        if rank is None or column.kind not in _NAMING or (email and column.name in email.columns):
            continue
        mostly_filled = column.filled >= _MOSTLY_FILLED * facts.rows
        if rank < _ENDS_LIKE_ONE or mostly_filled:
            is_sound = mostly_filled and column.distinct >= _ONE_EACH * column.filled
            usable.append(((not is_sound, rank), column))
    if not usable:
        return None
    (_, rank), column = min(usable, key=lambda each: each[0])
    named = "the table's name and its own" if rank == _KEY_OF_PEOPLE else "its name"
    return Guess((column.name,), f"{named}; {_said_of(column, facts)}")


_USER_ID, _ID_OF_PEOPLE, _KEY_OF_PEOPLE, _ENDS_LIKE_ONE = range(4)


def _rank_as_user_id(name: str, table: str) -> int | None:
    """Return how much a name resembles that of a person's id, 0 the most, or None."""
    stem = _stem(name)
    if stem is None:
        return None
    if stem in {"user", "u"}:  # user_id, uid
        return _USER_ID
    if stem in _PEOPLE:
        return _ID_OF_PEOPLE
    if not stem:
        return _KEY_OF_PEOPLE if _singular(table) in _PEOPLE else None
    return _ENDS_LIKE_ONE if stem.endswith(tuple(_PEOPLE)) or stem == "external" else None


def _stem(name: str) -> str | None:
    """Return what a name says its key is of: ``customer`` for CustomerID; None for no key."""
    words = _words(name)
    if len(words) > 1 and words[0] in _KEYS:
        return "".join(words[1:])
    word = "".join(words)
    return next((word.removesuffix(key) for key in _KEYS if word.endswith(key)), None)


# --- which row -----------------------------------------------------------------------------


def _primary_key(facts: TableFacts, person: Guess) -> Guess:
    """Return the declared key, else the best guess; in the worst case what finds the person."""
    if facts.key:
        return Guess(facts.key, "the table's primary key", is_certain=True)
    choices: tuple[Callable[[ColumnFacts], bool], ...] = (
        lambda c: _is_named_key(c) and _is_unique(c, facts),
        lambda c: _is_named_key(c) and c.distinct >= _ONE_EACH * facts.rows,
        lambda c: _is_unique(c, facts) and c.kind in _WHOLE,
    )
    for fits in choices:
        usable = [column for column in facts.columns if fits(column)]
        if usable:
            best = min(usable, key=lambda column: _rank_as_key(column, facts, person))
            return Guess((best.name,), _why_key(best, facts))
    return Guess(
        person.columns,
        "what finds the person, as nothing else names a row; it may repeat, and is only shown",
    )


def _why_key(column: ColumnFacts, facts: TableFacts) -> str:
    named = "its name; " if _is_named_key(column) else ""
    return named + _said_of(column, facts)


def _is_named_key(column: ColumnFacts) -> bool:
    return column.kind in _NAMING and _stem(column.name) is not None


def _is_unique(column: ColumnFacts, facts: TableFacts) -> bool:
    return 0 < facts.rows == column.filled == column.distinct


def _rank_as_key(column: ColumnFacts, facts: TableFacts, person: Guess) -> int:
    """Return how much a column resembles the key of its table, 0 the most."""
    stem = _stem(column.name)
    if stem is None:
        return 3 if column.name in person.columns else 4
    return 0 if stem in {"", _singular(facts.name)} else 1 if stem in _PEOPLE else 2


# --- the rest ------------------------------------------------------------------------------


def _fault(column: ColumnFacts) -> str | None:
    """Return why a column is no field, or None."""
    name = column.name
    if column.kind is Kind.BINARY:
        return "bytes cannot be sent"
    if name.startswith("_"):
        return "a name with an underscore in front is a loader's, or one of our own"
    if not name.isprintable() or name != name.strip() or len(name) > _LONGEST_NAME:
        return "its name cannot be written into a config: give it an alias in a query"
    return None


# --- words ---------------------------------------------------------------------------------


def _words(name: str) -> list[str]:
    """Return the words of a name, in lower case: ``customerID`` and ``customer_id`` are alike."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return re.findall(r"[^\W_]+", apart.lower())


def _singular(table: str) -> str:
    """Return what a row of a table is, by its name: ``customer`` for ``shop.vip_customers``."""
    words = _words(table.rpartition(".")[2])
    return words[-1].removesuffix("s") if words else ""


def _said_of(column: ColumnFacts, facts: TableFacts) -> str:
    """Say how far the values of a column tell rows apart."""
    if not column.filled:
        return _nothing_in(facts)
    if _is_unique(column, facts):
        return f"unique in {_rows(facts)}"
    text = f"{column.distinct:,} different values in {_rows(facts)}"
    empty = facts.rows - column.filled
    return f"{text}, {empty:,} of them without one" if empty else text


def _nothing_in(facts: TableFacts) -> str:
    return f"there is no value in {_rows(facts)}" if facts.rows else "the table is empty"


def _rows(facts: TableFacts) -> str:
    if facts.rows == 1 and facts.is_whole:
        return "the one row"
    return f"{'all' if facts.is_whole else 'the first'} {facts.rows:,} rows"


def _percent(part: int, whole: int) -> str:
    """Return a share; not 100 % where something is lacking."""
    return "all" if part == whole else f"{min(100 * part / whole, 99.9):.1f} %"

"""Which rows an answer ``RequestFieldsTypesMismatched`` is about.

It refuses a whole request and names fields, each with one offending value (recorded by
block/iterable-go), but no row. Rows that hold this very value are at fault. Rows whose value only
looks like it (``2020-04-13 14:04:09.000`` and ``2019-01-02 23:59:59.000``) probably are: they are
sent apart from the others, and when they are refused as well, they are at fault, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from connectors.iterable import answers
from connectors.iterable.answers import ApiError

Likeness = tuple[str, str]
"""A field and what its value looks like."""

_DIGIT = re.compile(r"[0-9]")
_DIGITS = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One field whose values do not have the type that the project has for it.

    Attributes:
        field: Its name, with dots where it is nested.
        expected: Type of the project, empty when the answer does not say.
        incoming: Type of the value, empty when the answer does not say.
        value: The offending value.
    """

    field: str
    expected: str
    incoming: str
    value: Any

    def __str__(self) -> str:
        """Return the fault for a person."""
        expected = f" has type {self.expected} in this project" if self.expected else ""
        incoming = f", not {self.incoming}" if self.incoming and expected else ""
        name = answers.cut(self.field)[:100]
        return f"field {name!r}{expected}{incoming} (refused value: {_shown(self.value)})"

    @property
    def likeness(self) -> Likeness:
        """What a value must look like to be suspected."""
        return self.field, _look(self.value)


def read_mismatches(error: ApiError) -> list[Mismatch]:
    """Return the fields that an error names; none when it is about something else.

    Args:
        error: With params ``{"validationErrors": {field: {"expectedType": "date",
            "incomingTypes": ["string"], "offendingValue": …}}}``.
    """
    faults = error.params.get("validationErrors")
    if not isinstance(faults, dict):
        return []
    return [
        Mismatch(
            field,
            _types(fault.get("expectedType")),
            _types(fault.get("incomingTypes")),
            fault.get("offendingValue"),
        )
        for field, fault in faults.items()
        if isinstance(fault, dict)
    ]


def _types(value: Any) -> str:  # noqa: ANN401 - foreign JSON
    """Return one or more type names for a message."""
    names = value if isinstance(value, list) else [value]
    return "/".join(answers.cut(name)[:40] for name in names[:4] if isinstance(name, str))


@dataclass(slots=True)
class Found:
    """The rows of a request that a mismatch concerns, by position.

    Attributes:
        guilty: Position to what is wrong with the row.
        alike: Positions of the rows that are suspected.
    """

    guilty: dict[int, Mismatch]
    alike: set[int]


def find_rows(
    mismatches: Sequence[Mismatch], bodies: Sequence[bytes], suspected: AbstractSet[Likeness]
) -> Found:
    """Return the rows that hold a refused value or one that looks like it.

    Args:
        mismatches: Of one answer.
        bodies: The records of the request.
        suspected: What all of them were suspected for when they were sent: it has been proven.
    """
    found = Found({}, set())
    paths = [(fault, fault.field.split("."), fault.likeness) for fault in mismatches]
    for position, body in enumerate(bodies):
        fields = orjson.loads(body).get("dataFields")
        for fault, path, likeness in paths:
            for value in _values(fields, path):
                alike = _look(value) == likeness[1]
                if _is_same(value, fault.value) or (alike and likeness in suspected):
                    found.guilty.setdefault(position, fault)
                elif alike:
                    found.alike.add(position)
    found.alike -= found.guilty.keys()
    return found


def _values(held: Any, path: Sequence[str]) -> Iterator[Any]:  # noqa: ANN401 - a JSON value
    """Yield what is at a path, and the elements of what is a list; nothing for null."""
    if isinstance(held, list):
        for element in held:
            yield from _values(element, path)
    if not path:
        if held is not None:
            yield held
    elif isinstance(held, dict):
        for length in range(1, len(path) + 1):  # a name may itself hold dots
            yield from _values(held.get(".".join(path[:length])), path[length:])


def _is_same(value: Any, refused: Any) -> bool:  # noqa: ANN401 - JSON values
    """Whether the value is the refused one, which may come back as text."""
    if isinstance(value, bool) is isinstance(refused, bool) and value == refused:
        return True
    return isinstance(refused, str) and refused == orjson.dumps(value).decode()


def _look(value: Any) -> str:  # noqa: ANN401 - a JSON value
    """Return what values that are judged alike have in common.

    Text is judged by its form, because Iterable looks for dates in it; text without digits has
    none. A day of the calendar is told apart from what only has its form (``2020-13-01``), digit
    by digit: the one may be taken where the other is not. Whether a whole number may stand for
    another type is not known, so a double that is whole is told apart, too.
    """
    if isinstance(value, str):
        if value.lower() in {"true", "false"}:
            return "text true or false"
        if _is_date(value):
            return f"date {_DIGIT.sub('9', value)}"
        return f"text {_DIGITS.sub('9', value)}" if _DIGITS.search(value) else "text"
    if isinstance(value, float) and value.is_integer():
        return "whole double"
    return type(value).__name__


def _is_date(text: str) -> bool:
    """Whether the text is a date or timestamp in any form of ISO 8601."""
    try:
        datetime.fromisoformat(text.replace(" +", "+").replace(" -", "-"))
    except ValueError:
        return False
    return True


def _shown(value: Any) -> str:  # noqa: ANN401 - foreign JSON
    """Return a value for a message; what is inside a list or object may be anything."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    return repr(answers.cut(value) if isinstance(value, str) else value)[:60]

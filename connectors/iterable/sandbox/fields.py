"""The profile fields of a project: their types, and what becomes of a value that arrives.

Sources: Iterable support article 208183076 (the first value fixes a field's type for good), the
API description of ``bulkUpdate``, and answers of ``getFields`` recorded in 2017 (an array stands
under the type of its elements, a nested key under its path with dots, its parent as ``object``).
The matrix of types is not published, so these rules are chosen:

- a whole number fits a ``double`` field; nothing else fits a field of another type;
- a string that has one of the accepted forms of a date makes a new field a ``date``;
- a field takes single values and arrays of them; an empty array fixes no type;
- an object whose field ends in ``_geo_location`` and that holds numbers ``lat`` and ``lon`` is a
  ``geo_location``.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast, get_args

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FieldType = Literal["string", "long", "double", "boolean", "date", "geo_location", "object"]
FIELD_TYPES: tuple[str, ...] = get_args(FieldType)

# The project's own fields. They do not count towards the limit (chosen).
MANAGED: Mapping[str, FieldType] = {
    "email": "string",
    "profileUpdatedAt": "date",
    "signupDate": "date",
    "signupSource": "string",
    "unsubscribedChannelIds": "long",
    "unsubscribedMessageTypeIds": "long",
    "userId": "string",
}

IDENTIFIERS = frozenset({"email", "userId"})

MAX_DEPTH = 100  # chosen; the JSON writer gives up at 254

# Forms that integrators found accepted; a fraction of a second needs the T.
_DATE = re.compile(
    r"(\d{4}-\d\d-\d\d)"
    r"(?: (\d\d:\d\d:\d\d)(?: ([+-]\d\d:\d\d))?|T(\d\d:\d\d:\d\d)(?:\.\d{3})?([+-]\d\d:\d\d|Z))?",
    re.ASCII,
)

# What a value may be without a closer look: the types of the fields that take it as it is. None
# stands for a field that the project does not have: a null changes nothing there.
_PLAIN: Mapping[type, frozenset[FieldType | None]] = {
    str: frozenset({"string"}),
    int: frozenset({"long", "double"}),
    float: frozenset({"double"}),
    bool: frozenset({"boolean"}),
    type(None): frozenset({None, *get_args(FieldType)}),
}
_NO_TYPES: frozenset[FieldType | None] = frozenset()
_DROPPED: Any = object()
_MISFIT: Any = object()


def format_time(seconds: float) -> str:
    """Return seconds since 1970 in the only form in which dates are stored and returned."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%d %H:%M:%S +00:00")


def read_date(value: str) -> str | None:
    """Return a date as it is stored, in UTC and without fractions; None when it is no date."""
    found = _DATE.fullmatch(value)
    if found is None:
        return None
    day, spaced, offset, joined, zone = found.groups()
    try:
        if offset == "+00:00":  # as it is stored already
            datetime.fromisoformat(value[:19])
            return value
        time = f"{day}T{spaced or joined or '00:00:00'}{offset or zone or 'Z'}"
        return f"{datetime.fromisoformat(time).astimezone(UTC):%Y-%m-%d %H:%M:%S} +00:00"
    except (ValueError, OverflowError):
        return None


class Mismatch(NamedTuple):
    """A value that does not fit its field.

    Attributes:
        field: Path with dots.
        value: The offending value.
        incoming: Types that the value could have had.
        expected: The field's type.
    """

    field: str
    value: Any
    incoming: tuple[str, ...]
    expected: FieldType


class MismatchError(Exception):
    """A request is refused because values do not fit their fields."""

    def __init__(self, mismatches: Iterable[Mismatch]) -> None:
        """Keep the first mismatch of each field."""
        self.mismatches: dict[str, Mismatch] = {}
        for each in mismatches:
            self.mismatches.setdefault(each.field, each)
        super().__init__(", ".join(self.mismatches))


class FieldLimitError(Exception):
    """A request is refused because it would make too many fields."""

    def __init__(self, limit: int, requested_total: int, new_fields: list[str]) -> None:
        """Keep what the answer names."""
        self.limit = limit
        self.requested_total = requested_total
        self.new_fields = new_fields
        super().__init__(f"{requested_total} of {limit}")


class NestingError(Exception):
    """A request is refused because a value is nested deeper than can be kept."""

    def __init__(self, field: str) -> None:
        """Name the field."""
        super().__init__(f"nested deeper than {MAX_DEPTH} levels: {field}")


class FieldRegistry:
    """The fields of one project. Not thread-safe: the state's lock guards it.

    Attributes:
        types: Path to type.
        limit: Most fields that a project may have; nested ones count, managed ones do not.
        adds_unrecognized: What happens to unknown fields where a request does not say: they are
            made, or dropped.
    """

    def __init__(self, limit: int, *, adds_unrecognized: bool, list_field: str) -> None:
        """Start with the managed fields.

        Args:
            limit: See the attributes.
            adds_unrecognized: See the attributes.
            list_field: Name of the managed field with the lists of a profile.
        """
        self.limit = limit
        self.adds_unrecognized = adds_unrecognized
        self._managed: dict[str, FieldType] = {**MANAGED, list_field: "long"}
        self.types: dict[str, FieldType] = dict(self._managed)

    def __len__(self) -> int:
        """Return how many fields count towards the limit."""
        return len(self.types.keys() - self._managed.keys())

    def declare(self, types: Mapping[str, str]) -> None:
        """Fix the types of fields, known or not; for arranging a project.

        Raises:
            ValueError: A type does not exist.
        """
        for field, kind in types.items():
            if kind not in FIELD_TYPES:
                message = f"{field}: {kind!r} is not one of {', '.join(FIELD_TYPES)}"
                raise ValueError(message)
        self.types.update(cast("Mapping[str, FieldType]", types))

    def draft(self, *, create: bool | None = None) -> Draft:
        """Return the look at the fields of one request.

        Args:
            create: ``createNewFields`` of the request; None leaves it to the project.
        """
        return Draft(self, create=self.adds_unrecognized if create is None else create)


class Draft:
    """What the fields of one request are stored as, and which fields they would make.

    Nothing changes in the registry before :meth:`keep`.

    Attributes:
        created: Path to type of the new fields.
        dropped: Paths that the project does not know and does not take.
        mismatches: Values that do not fit.
    """

    def __init__(self, registry: FieldRegistry, *, create: bool) -> None:
        """Start for one request."""
        self._registry = registry
        self._create = create
        self.created: dict[str, FieldType] = {}
        self.dropped: set[str] = set()
        self.mismatches: list[Mismatch] = []
        self._new: dict[str, FieldType] = {}  # of the person that is being read

    def read(self, fields: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the fields of one person as they are stored, None when a value does not fit.

        Raises:
            NestingError: A value is nested too deeply.
        """
        types, changed, fits = self._registry.types, None, True
        for key, value in fields.items():
            if types.get(key) in _PLAIN.get(type(value), _NO_TYPES) or key in IDENTIFIERS:
                continue
            if _is_deep(value):
                raise NestingError(key)
            stored = self._admit(key, value)
            if stored is value:
                continue
            changed = dict(fields) if changed is None else changed
            if stored is _DROPPED:
                del changed[key]
            elif stored is _MISFIT:
                fits = False
            else:
                changed[key] = stored
        new, self._new = self._new, {}
        if not fits:
            return None  # who is refused makes no fields
        self.created.update(new)
        return fields if changed is None else changed

    def keep(self) -> None:
        """Make the new fields.

        Raises:
            FieldLimitError: There is no room for them; none is made.
        """
        total = len(self._registry) + len(self.created)
        if self.created and total > self._registry.limit:
            raise FieldLimitError(self._registry.limit, total, sorted(self.created))
        self._registry.types.update(self.created)

    def _admit(self, path: str, value: Any) -> Any:  # noqa: ANN401 - a foreign value may be anything
        """Return a value as it is stored, or one of the marks for a value that is not."""
        if value is None:
            return None
        kind = self._registry.types.get(path) or self.created.get(path) or self._new.get(path)
        if kind is None:
            if not self._create:
                self.dropped.add(path)
                return _DROPPED
            kind = _infer(path, value)
            if kind is None:
                return value
            self._new[path] = kind
        return self._fit(path, kind, value)

    def _fit(self, path: str, kind: FieldType, value: Any) -> Any:  # noqa: ANN401 - as above
        if isinstance(value, list):
            elements = [None if each is None else self._fit(path, kind, each) for each in value]
            return _MISFIT if any(each is _MISFIT for each in elements) else elements
        if kind in _PLAIN.get(type(value), _NO_TYPES):
            return value
        if kind == "date" and isinstance(value, str):
            stored = read_date(value)
            if stored is not None:
                return stored
        if kind == "object" and isinstance(value, dict):
            return self._object(path, value)
        if kind == "geo_location" and _is_place(value):
            return value
        self.mismatches.append(Mismatch(path, value, _incoming(path, value), kind))
        return _MISFIT

    def _object(self, path: str, value: Mapping[str, Any]) -> Any:  # noqa: ANN401 - as above
        members = {key: self._admit(f"{path}.{key}", each) for key, each in value.items()}
        if any(each is _MISFIT for each in members.values()):
            return _MISFIT
        return {key: each for key, each in members.items() if each is not _DROPPED}


def _is_deep(value: object) -> bool:
    """Whether objects and arrays are nested too deeply; a loop, as a recursion would fail there."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        nested = [each for each in level if isinstance(each, (dict, list))]
        if not nested:
            return False
        level = [e for each in nested for e in (each.values() if type(each) is dict else each)]
    return True


def _is_place(value: object) -> bool:
    if not isinstance(value, dict) or value.keys() != {"lat", "lon"}:
        return False
    return all(type(each) in {int, float} for each in value.values())


def _infer(path: str, value: object) -> FieldType | None:
    """Return the type that the first value gives a field; None where it gives none."""
    if isinstance(value, list):
        kinds = {kind: None for each in value if (kind := _infer(path, each))}
        # Whole numbers beside broken ones are one array of doubles (chosen).
        return "double" if {"long", "double"} <= kinds.keys() else next(iter(kinds), None)
    if isinstance(value, str):
        return "string" if read_date(value) is None else "date"
    if isinstance(value, dict):
        place = path.endswith("_geo_location") and _is_place(value)
        return "geo_location" if place else "object"
    kinds_of: Mapping[type, FieldType] = {bool: "boolean", int: "long", float: "double"}
    return kinds_of.get(type(value))


def _incoming(path: str, value: object) -> tuple[str, ...]:
    """Return the types that a value could have had; a text is named twice (recorded 2020)."""
    kind = _infer(path, value)
    return ("string", "keyword") if kind == "string" else (kind or "null",)

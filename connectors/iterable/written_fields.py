"""Which profile fields a mapping writes, and which types their values have at Iterable.

Iterable counts the keys of objects as fields of their own, named with dots, and the objects too
(recorded ``getFields`` answers); an array has the type of its elements. The values themselves are
not looked at: a text may still be taken for a date.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from connectors.iterable.fields import wanted_type
from reverse_etl.connector import MappedField

_NOTHING: frozenset[str] = frozenset()
_OBJECT = frozenset({"object"})


@dataclass(frozen=True, slots=True)
class WrittenField:
    """One field as ``getFields`` would name it.

    Attributes:
        name: With dots where it is nested.
        types: What its values can be, in Iterable's words; empty when only they can tell.
        has_more: Whether it is, or can be, an object whose members only the values can tell.
        fault: Why its values cannot be sent at all; reads well after the field's name.
    """

    name: str
    types: frozenset[str] = _NOTHING
    has_more: bool = False
    fault: str = ""


def written_fields(fields: Sequence[MappedField], columns: pa.Schema) -> list[WrittenField]:
    """Return the fields that a mapping writes, each once, the objects among them.

    Args:
        fields: Of the mapping.
        columns: The mapped columns as a page has them; of one that is missing nothing is known.
    """
    found: dict[str, WrittenField] = {}
    for field in fields:
        for outer in _outer(field.name):
            found.setdefault(outer, WrittenField(outer, _OBJECT))
        for written in _of_field(field, columns):
            found[written.name] = written
    return list(found.values())


def _outer(name: str) -> Iterator[str]:
    """Yield the objects around a nested field."""
    segments = name.split(".")
    for length in range(1, len(segments)):
        yield ".".join(segments[:length])


def _of_field(field: MappedField, columns: pa.Schema) -> Iterator[WrittenField]:
    """Yield a mapped field, and what is inside it."""
    wanted = wanted_type(field)
    if wanted is not None:
        yield WrittenField(field.name, frozenset({wanted}), has_more=wanted == "object")
    elif field.column is None:
        yield from _of_constant(field.name, field.constant)
    else:
        index = columns.get_field_index(field.column)
        if index < 0:
            yield WrittenField(field.name)
            return
        column = columns.field(index)
        kind = (column.metadata or {}).get(b"kind", b"").decode()
        yield from _of_type(field.name, column.type, kind)


def _of_constant(name: str, value: Any) -> Iterator[WrittenField]:  # noqa: ANN401 - YAML
    """Yield a constant, and what is inside it."""
    if isinstance(value, list):
        for element in value:
            yield from _of_constant(name, element)
    elif isinstance(value, dict):
        yield WrittenField(name, _OBJECT)
        for key, member in value.items():
            yield from _of_constant(f"{name}.{key}", member)
    else:
        kind = _CONSTANTS.get(type(value))
        yield WrittenField(name, frozenset({kind}) if kind else _NOTHING)


_CONSTANTS = {str: "string", bool: "boolean", int: "long", float: "double"}


def _of_type(name: str, kind: pa.DataType, read_as: str) -> Iterator[WrittenField]:
    """Yield a column of a type, and what is inside it; the rules are those of ``values``."""
    types = pa.types
    if read_as == "json":
        yield WrittenField(name, has_more=True)
    elif read_as == "number":
        yield WrittenField(name, frozenset({"long", "double"}))
    elif isinstance(kind, pa.BaseExtensionType):
        yield from _of_extension(name, kind)
    elif types.is_dictionary(kind) or types.is_run_end_encoded(kind) or _is_list(kind):
        yield from _of_type(name, kind.value_type, "")
    elif types.is_struct(kind):
        yield WrittenField(name, _OBJECT)
        for member in kind:
            yield from _of_type(f"{name}.{member.name}", member.type, "")
    elif types.is_map(kind):
        yield WrittenField(name, _OBJECT, has_more=True)
    else:
        yield _of_flat(name, kind)


def _of_extension(name: str, kind: pa.BaseExtensionType) -> Iterator[WrittenField]:
    """Yield a column of an extension type."""
    if kind.extension_name == "arrow.uuid":
        yield WrittenField(name, frozenset({"string"}))
    else:
        is_json = kind.extension_name == "arrow.json"
        yield from _of_type(name, kind.storage_type, "json" if is_json else "")


def _of_flat(name: str, kind: pa.DataType) -> WrittenField:
    """Return a column of single values."""
    found = next((word for is_type, word in _FLAT if is_type(kind)), None)
    if found is None:
        return WrittenField(name, fault=f"is of type {kind}, which Iterable cannot store")
    return WrittenField(name, frozenset({found}) if found else _NOTHING)


def _is_list(kind: pa.DataType) -> bool:
    """Whether the type is one of the list layouts."""
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_whole(kind: pa.DataType) -> bool:
    """Whether the type is a decimal that holds integers only."""
    return bool(pa.types.is_decimal(kind) and kind.scale <= 0)


_FLAT: Sequence[tuple[Callable[[pa.DataType], bool], str]] = (
    (pa.types.is_string, "string"),
    (pa.types.is_large_string, "string"),
    (pa.types.is_string_view, "string"),
    (pa.types.is_integer, "long"),
    (pa.types.is_floating, "double"),
    (_is_whole, "long"),
    (pa.types.is_decimal, "double"),
    (pa.types.is_boolean, "boolean"),
    (pa.types.is_timestamp, "date"),
    (pa.types.is_date, "date"),
    (pa.types.is_time, "string"),
    (pa.types.is_null, ""),
)

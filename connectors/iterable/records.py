"""One change as JSON: what Iterable calls a subscriber or a user (``OptionalApiUser``)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from connectors.iterable.fields import is_nested, wanted_type
from connectors.iterable.json_text import TEXT, Pieces, joined, listed, may_be_null, written
from connectors.iterable.values import constant, convert
from reverse_etl.connector import MappedField

_NULL = "null"
_MERGE = ',"mergeNestedObjects":true'


class ProfileFields:
    """The mapped fields of a sync; encodes the ``dataFields`` of a record batch.

    A dotted name is a path into an object. Iterable replaces a whole object unless it is told to
    merge, so records with such a name carry ``mergeNestedObjects``; it merges one level only
    (support article 360035402611).
    """

    def __init__(
        self, fields: Sequence[MappedField], *, merge: bool = False, flags: str = ""
    ) -> None:
        """Convert the constants.

        Args:
            fields: Of the mapping.
            merge: Whether objects are merged although no name has a dot.
            flags: Members that every record has, e.g. ``"preferUserId":true``.

        Raises:
            ValueError: A constant cannot be sent; the text names its field.
        """
        self._fields = tuple(fields)
        self._constants = {
            field.name: _json(self._constant(field)) for field in fields if field.column is None
        }
        self._nests = any(is_nested(field.name) for field in fields)
        self._flags = flags
        self._tail = (_MERGE if merge or self._nests else "") + (f",{flags}" if flags else "")

    @staticmethod
    def _constant(field: MappedField) -> Any:  # noqa: ANN401 - a JSON value
        """Return the constant as a JSON value."""
        try:
            return constant(field.constant, wanted_type(field))
        except ValueError as error:
            raise ValueError(f"field {field.name!r}: the constant {error}") from error

    def encode(self, changes: pa.RecordBatch) -> tuple[Pieces, dict[int, str]]:
        """Return what follows the identifiers in each record, and offset → reason of faults.

        Returns:
            For each change a comma, ``"dataFields":{…}`` and the flags; the flags alone (nothing
            where there are none) when all its fields are left out.
        """
        flags = f",{self._flags}" if self._flags else ""
        faults: dict[int, str] = {}
        members: list[tuple[Sequence[str], Pieces]] = []
        for field in self._fields:
            texts, wrong = self._values(field, changes)
            members.append((field.name.split("."), texts))
            for offset, reason in wrong.items():
                faults.setdefault(offset, f"field {field.name!r} {reason}")
        if not members:
            return [flags], {}
        data = [',"dataFields":', *_object(members), self._tail]
        if may_be_null(data):
            data = [joined(data).fill_null(pa.scalar(flags, TEXT))]
        return data, faults

    def _values(self, field: MappedField, changes: pa.RecordBatch) -> tuple[Pieces, dict[int, str]]:
        """Return the values of one field as JSON, NULL where it is left out, and its faults."""
        clears = field.null == "clear"
        if field.column is None:
            text = self._constants[field.name]
            if text == _NULL and not clears:
                return [pa.nulls(changes.num_rows, TEXT)], {}
            return [text], {}
        # By name: get_field_index would answer -1 for an unknown one, and -1 is the last column.
        metadata = changes.schema.field(field.column).metadata or {}
        column = convert(
            changes.column(field.column),
            kind=metadata.get(b"kind", b"").decode(),
            wanted=wanted_type(field),
            keep_nulls=clears,
        )
        texts, faults = written(column)
        if clears and may_be_null(texts):
            texts = [joined(texts).fill_null(pa.scalar(_NULL, TEXT))]
        return texts, faults

    def encode_clearing(self, sets: str | None) -> str:
        """Return what follows the identifiers in a record that removes fields; empty for none.

        Null removes a field; with ``mergeNestedObjects`` also one inside an object (recorded).

        Args:
            sets: JSON arrays of field names, each on a line of its own; None for the mapped ones.

        Raises:
            ValueError: A line is no JSON array of texts.
        """
        names = {field.name for field in self._fields} if sets is None else _read_sets(sets)
        if not names:
            return ""
        merge = _MERGE if any(is_nested(name) for name in names) else ""
        return f'"dataFields":{_json(_nulls(names))}{merge}'


def _object(members: Sequence[tuple[Sequence[str], Pieces]]) -> Pieces:
    """Return each row as a JSON object; NULL where all its members are left out.

    Args:
        members: Path of each member, and its values as JSON; NULL leaves it out.
    """
    named: dict[str, list[tuple[Sequence[str], Pieces]]] = {}
    for (name, *inner), values in members:
        named.setdefault(name, []).append((inner, values))
    inside, may_be_empty = listed(
        [f"{_json(name)}:", *(_object(within) if within[0][0] else within[0][1])]
        for name, within in named.items()
    )
    if may_be_empty:
        texts = joined(inside)
        inside = [pc.if_else(pc.equal(texts, ""), pa.scalar(None, TEXT), texts)]
    return ["{", *inside, "}"]


def _json(value: Any) -> str:  # noqa: ANN401 - a JSON value
    return orjson.dumps(value).decode()


def _read_sets(sets: str) -> set[str]:
    """Return the field names of one or more JSON arrays."""
    lines = [line for line in sets.split("\n") if line]
    return {name for line in lines for name in orjson.loads(line)}


def _nulls(names: Iterable[str]) -> dict[str, Any]:
    """Return null for every name, in nested objects; a null that stands for all of one wins."""
    nulls: dict[str, Any] = {}
    for name in sorted(names, key=lambda name: (name.count("."), name)):
        *outer, last = name.split(".")
        place: dict[str, Any] | None = nulls
        for segment in outer:
            place = None if place is None else place.setdefault(segment, {})
        if place is not None:
            place[last] = None
    return nulls

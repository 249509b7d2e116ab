"""One change as JSON: what Iterable calls a subscriber or a user (``OptionalApiUser``)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from connectors.iterable.fields import is_nested, wanted_type
from connectors.iterable.values import Column, constant, convert
from reverse_etl.connector import MappedField

if TYPE_CHECKING:
    import pyarrow as pa

_MERGE = b',"mergeNestedObjects":true'


class ProfileFields:
    """The mapped fields of a sync; encodes the ``dataFields`` of a record batch.

    A dotted name is a path into an object. Iterable replaces a whole object unless it is told to
    merge, so records with such a name carry ``mergeNestedObjects``; it merges one level only
    (support article 360035402611).
    """

    def __init__(
        self, fields: Sequence[MappedField], *, merge: bool = False, flags: bytes = b""
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
            field.name: self._constant(field) for field in fields if field.column is None
        }
        self._nests = any(is_nested(field.name) for field in fields)
        self._flags = flags
        self._tail = (_MERGE if merge or self._nests else b"") + (b"," + flags if flags else b"")

    def __bool__(self) -> bool:
        """Return whether records hold more than identifiers."""
        return bool(self._fields or self._flags)

    @staticmethod
    def _constant(field: MappedField) -> Any:  # noqa: ANN401 - a JSON value
        """Return the constant as a JSON value."""
        try:
            return constant(field.constant, wanted_type(field))
        except ValueError as error:
            raise ValueError(f"field {field.name!r}: the constant {error}") from error

    def encode(self, changes: pa.RecordBatch) -> tuple[list[bytes], dict[int, str]]:
        """Return what follows the identifiers in each record, and offset → reason of faults.

        Returns:
            For each change ``"dataFields":{…}`` and the flags; the flags alone (``b""`` where
            there are none) when all its fields are left out.
        """
        if not self._fields:
            return [self._flags] * changes.num_rows, {}
        faults: dict[int, str] = {}
        columns = []
        for field in self._fields:
            column = self._column(field, changes)
            columns.append(column.values)
            for offset, reason in column.faults.items():
                faults.setdefault(offset, f"field {field.name!r} {reason}")
        return list(self._written(columns, faults)), faults

    def _column(self, field: MappedField, changes: pa.RecordBatch) -> Column:
        """Return the values of one field for all changes."""
        if field.column is None:
            return Column([self._constants[field.name]] * changes.num_rows, {})
        # By name: get_field_index would answer -1 for an unknown one, and -1 is the last column.
        metadata = changes.schema.field(field.column).metadata or {}
        kind = metadata.get(b"kind", b"").decode()
        return convert(
            changes.column(field.column),
            kind=kind,
            wanted=wanted_type(field),
            keep_nulls=field.null == "clear",
        )

    def encode_clearing(self, sets: str | None) -> bytes:
        """Return what follows the identifiers in a record that removes fields; ``b""`` for none.

        Null removes a field; with ``mergeNestedObjects`` also one inside an object (recorded).

        Args:
            sets: JSON arrays of field names, each on a line of its own; None for the mapped ones.

        Raises:
            ValueError: A line is no JSON array of texts.
        """
        names = {field.name for field in self._fields} if sets is None else _read_sets(sets)
        if not names:
            return b""
        merge = _MERGE if any(is_nested(name) for name in names) else b""
        return b'"dataFields":%b%b' % (orjson.dumps(_nulls(names)), merge)

    def _rows(self, columns: Sequence[Sequence[Any]]) -> Iterator[dict[str, Any]]:
        """Yield each row under its flat names; NULLs that do not clear are left out."""
        names = [field.name for field in self._fields]
        left_out = [
            field.name
            for field, values in zip(self._fields, columns, strict=True)
            if field.null == "skip" and None in values
        ]
        for cells in zip(*columns, strict=True):
            row = dict(zip(names, cells))  # noqa: B905 - in the hot loop; equally long by construction
            for name in left_out:
                if row[name] is None:
                    del row[name]
            yield row

    def _written(self, columns: Sequence[Sequence[Any]], faults: dict[int, str]) -> Iterator[bytes]:
        """Yield each row as JSON; a row that cannot be written becomes a fault."""
        for offset, row in enumerate(self._rows(columns)):
            if not row or offset in faults:
                yield self._flags
                continue
            try:
                yield b'"dataFields":%b%b' % (orjson.dumps(self._shaped(row)), self._tail)
            except TypeError as error:
                faults[offset] = f"field {_unwritable(row)!r} cannot be written as JSON: {error}"
                yield b""

    def _shaped(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the row with dotted names as nested objects."""
        if not self._nests:
            return row
        shaped: dict[str, Any] = {}
        for name, value in row.items():
            *outer, last = name.split(".")
            place = shaped
            for segment in outer:
                place = place.setdefault(segment, {})
            place[last] = value
        return shaped


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


def _unwritable(row: dict[str, Any]) -> str:
    """Return the first field of the row that orjson refuses."""
    for name, value in row.items():
        try:
            orjson.dumps(value)
        except TypeError:
            return name
    return next(iter(row))


def join(heads: Sequence[bytes], fields: Sequence[bytes]) -> list[bytes]:
    """Return complete records from their identifiers and their fields."""
    return [
        b"%b,%b}" % (head[:-1], tail) if head and tail else head
        for head, tail in zip(heads, fields, strict=True)
    ]

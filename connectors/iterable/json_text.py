"""Arrow columns as JSON text, without a Python object for each value where that can be.

A text is kept in *pieces*, constants and arrays, until it is whole: each joining copies it, and a
record of five fields would be copied a dozen times. All arrays are of the type ``large_string``,
since a page of long values may have more than 2 GB. NULL in any piece makes the whole text NULL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import TypeAlias

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from connectors.iterable.values import Column
from reverse_etl.columns import replaced

TEXT = pa.large_string()
Pieces: TypeAlias = "list[pa.Array | str]"

_NOTHING = pa.scalar("", TEXT)
_ESCAPED = r'["\\\x00-\x1f]'
_ESCAPED_BYTES = b'"\\' + bytes(range(0x20))


def written(column: Column) -> tuple[Pieces, dict[int, str]]:
    """Return a column as JSON, and offset → reason of what cannot be sent.

    Returns:
        The text is NULL where the column is NULL or at fault.
    """
    if isinstance(column.values, pa.Array):
        for is_type, write in _WRITERS:
            if is_type(column.values.type):
                return write(column.values), column.faults
    faults, texts = dict(column.faults), []
    for offset, value in enumerate(column.to_list()):
        try:
            texts.append(None if value is None else orjson.dumps(value).decode())
        except TypeError as error:
            texts.append(None)
            faults.setdefault(offset, f"cannot be written as JSON: {error}")
    return [pa.array(texts, TEXT)], faults


def joined(pieces: Pieces) -> pa.Array:
    """Return the text of each row; one piece at least is an array."""
    parts: list[pa.Array | pa.Scalar] = []
    # Each part costs a step per row, so constants that follow each other become one.
    for is_constant, neighbours in groupby(pieces, lambda piece: isinstance(piece, str)):
        same = list(neighbours)
        parts += [pa.scalar("".join(same), TEXT)] if is_constant else same
    return pc.binary_join_element_wise(*parts, _NOTHING)


def may_be_null(pieces: Pieces) -> bool:
    """Whether the text of some row is NULL."""
    return any(not isinstance(piece, str) and piece.null_count for piece in pieces)


def listed(members: Iterable[Pieces]) -> tuple[Pieces, bool]:
    """Return the members of each row with commas between them; those that are NULL are left out.

    Not by Arrow's ``null_handling="skip"``, which drops rows whose texts are all NULL (26.0).

    Returns:
        The text, which is never NULL, and whether it may be empty.
    """
    pieces: Pieces = []
    begun: pa.Array | bool = False
    for member in members:
        comma = _where(begun, ",")
        if may_be_null(member):
            text = joined([comma, *member])
            begun = pc.or_(text.is_valid(), begun) if begun is not True else True
            pieces.append(text.fill_null(_NOTHING))
        else:
            pieces += [comma, *member]
            begun = True
    return pieces, begun is not True


def _where(mask: pa.Array | bool, text: str) -> pa.Array | str:  # noqa: FBT001 - one value for all
    """Return the text where the mask is true."""
    if isinstance(mask, bool):
        return text if mask else ""
    return pc.if_else(mask, pa.scalar(text, TEXT), _NOTHING)


def _quoted(values: pa.Array) -> Pieces:
    """Return texts in quotes; few hold what JSON escapes, and only those are looked at."""
    if not _may_hold_escaped(values):
        return ['"', values.cast(TEXT), '"']
    escaped = pc.indices_nonzero(pc.match_substring_regex(values, _ESCAPED)).to_pylist()
    exact = {offset: orjson.dumps(values[offset].as_py()).decode()[1:-1] for offset in escaped}
    return ['"', replaced(values.cast(TEXT), exact), '"']


def _may_hold_escaped(values: pa.Array) -> bool:
    """Look at the bytes of all texts at once, four times as fast as at each (measured)."""
    data = values.buffers()[-1]
    if data is None:
        return False
    octets = data.to_pybytes()
    return len(octets.translate(None, _ESCAPED_BYTES)) < len(octets)


def _plain(values: pa.Array) -> Pieces:
    """Return whole numbers, and true or false."""
    return [values.cast(TEXT)]


def _with_point(values: pa.Array) -> Pieces:
    """Return doubles: 5.0 stays 5.0, where Arrow writes 5, which would become a field of longs."""
    texts = values.cast(TEXT)
    # Two searches for one letter each are a quarter of one for a pattern (measured).
    has = pc.or_(pc.match_substring(texts, "."), pc.match_substring(texts, "e"))
    return [texts, _where(pc.invert(has), ".0")]


_WRITERS: Sequence[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], Pieces]]] = (
    (pa.types.is_string, _quoted),
    (pa.types.is_large_string, _quoted),
    (pa.types.is_integer, _plain),
    (pa.types.is_boolean, _plain),
    (pa.types.is_float64, _with_point),
)

"""Rows of a driver that knows nothing of Arrow, as Arrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from reverse_etl.warehouse.shape import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

# Kinds without an entry are read as text.
_TYPES = {
    Kind.INTEGER: pa.int64(),
    Kind.FLOAT: pa.float64(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.TIMESTAMP: pa.timestamp("us"),
    Kind.INSTANT: pa.timestamp("us", tz="UTC"),
    Kind.DATE: pa.date32(),
    Kind.BINARY: pa.binary(),
}


def arrow_of(
    rows: Sequence[Sequence[Any]], names: Sequence[str], kinds: Sequence[Kind]
) -> pa.Table:
    """Return rows as Arrow; the types come from the kinds, also where every value is NULL.

    Args:
        rows: As the driver gave them; what has no Arrow type of its own is text already.
        names: Of the columns.
        kinds: Of their values.

    Raises:
        pa.ArrowInvalid: A value is not of its kind.
    """
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    types = [_TYPES.get(kind, pa.string()) for kind in kinds]
    arrays = [pa.array(column, type_) for column, type_ in zip(columns, types, strict=True)]
    return pa.Table.from_arrays(arrays, names=list(names))

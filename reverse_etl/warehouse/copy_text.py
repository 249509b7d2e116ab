"""Arrow as the text that PostgreSQL's ``COPY`` reads ("COPY", "Text Format"), in columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Offsets of 64 bits: the lines of some rows may have more than 2 GB.
_TEXT = pa.large_string()
# The backslash first: what stands for the others begins with one.
_ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))
_ESCAPED = r"[\\\t\n\r]"
_NULL = "\\N"
_NOTHING, _TAB, _END = (pa.scalar(text, _TEXT) for text in ("", "\t", "\n"))
# The server reads it as a time of day in Greenwich, whatever the session's zone.
_UTC = pa.scalar("+00", _TEXT)


def copy_text(rows: pa.RecordBatch) -> memoryview:
    """Return a line for each row, its values with tabs between them.

    Args:
        rows: Of plain types, none nested.
    """
    pieces: list[pa.Array | pa.Scalar] = []
    for column in rows.columns:
        pieces += [_told(column), _TAB]
    lines = pc.binary_join_element_wise(
        *pieces[:-1], _END, _NOTHING, null_handling="replace", null_replacement=_NULL
    )
    return _content(lines)


def _content(texts: pa.Array) -> memoryview:
    """Return the texts one after another; nothing is copied."""
    _, _, data = texts.buffers()
    return memoryview(data)[: pc.sum(pc.binary_length(texts)).as_py() or 0]


def _told(values: pa.Array) -> pa.Array:
    for is_type, tell in _TELLERS:
        if is_type(values.type):
            return tell(values)
    return _escaped(pa.array([_as_python_tells(value) for value in values.to_pylist()], _TEXT))


def _as_python_tells(value: object) -> str | None:
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    return None if value is None else str(value)


def _plain(values: pa.Array) -> pa.Array:
    return values.cast(_TEXT)


def _double(values: pa.Array) -> pa.Array:
    """Return the digits of a double: what has 32 bits is no 0.1, and its column has 64."""
    return values.cast(pa.float64()).cast(_TEXT)


def _escaped(values: pa.Array) -> pa.Array:
    texts = values.cast(_TEXT)
    if pc.any(pc.match_substring_regex(texts, _ESCAPED)).as_py():
        for character, escape in _ESCAPES:
            texts = pc.replace_substring(texts, character, escape)
    return texts


def _time(values: pa.Array) -> pa.Array:
    """Return times without a zone as they are, others in UTC."""
    texts = values.cast(pa.timestamp(values.type.unit)).cast(_TEXT)
    if values.type.tz is None:
        return texts
    return pc.binary_join_element_wise(texts, _UTC, _NOTHING)


_TELLERS: Sequence[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], pa.Array]]] = (
    (pa.types.is_null, _plain),
    (pa.types.is_string, _escaped),
    (pa.types.is_large_string, _escaped),
    (pa.types.is_boolean, _plain),
    (pa.types.is_integer, _plain),
    (pa.types.is_floating, _double),
    (pa.types.is_decimal, _plain),
    (pa.types.is_date, _plain),
    (pa.types.is_timestamp, _time),
)

"""Columns as Python sequences: a value becomes a Python object only when it is looked at.

A page of the plan has thousands of people, and where all is well nobody looks at a single one:
what is sent is cut and joined as whole columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

import pyarrow as pa
import pyarrow.compute as pc

SMALL_LAYOUT_BYTES = 2**31
"""An array with offsets of 32 bits holds less than this."""

_COMMA = b","


class Values(Sequence[Any]):
    """The values of an Arrow array, NULL as None.

    Attributes:
        array: The array.
    """

    __slots__ = ("array",)

    def __init__(self, array: pa.Array) -> None:
        """Wrap an array; nothing is copied."""
        self.array = array

    def __len__(self) -> int:
        """Return the number of values."""
        return len(self.array)

    @overload
    def __getitem__(self, index: int) -> Any: ...  # noqa: ANN401 - of any type
    @overload
    def __getitem__(self, index: slice) -> Values: ...

    def __getitem__(self, index: int | slice) -> Any:
        """Return one value, or a part of them without a copy."""
        found = self.array[index]
        return Values(found) if isinstance(index, slice) else found.as_py()

    def __iter__(self) -> Iterator[Any]:
        """Make all values and yield them."""
        return iter(self.array.to_pylist())

    def __eq__(self, other: object) -> bool:
        """Whether another sequence has the same values."""
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Return the size alone: the values are people."""
        return f"Values({len(self)} of {self.array.type})"


def picked(values: Sequence[Any], offsets: Sequence[int]) -> Sequence[Any]:
    """Return the values at some offsets, in their order."""
    if isinstance(offsets, range) and offsets.step == 1:
        return values[offsets.start : offsets.stop]
    if isinstance(values, Values):
        return Values(values.array.take(pa.array(offsets, pa.int64())))
    return [values[offset] for offset in offsets]


def sizes(values: Sequence[bytes]) -> pa.Array:
    """Return the number of bytes of each value."""
    if isinstance(values, Values):
        return pc.binary_length(values.array).cast(pa.int64())
    return pa.array(map(len, values), pa.int64())


def joined(values: Sequence[bytes]) -> bytes:
    """Return the values with commas between them."""
    # Arrow joins no others. Casting a part would copy the whole, so they are joined one by one.
    if not (isinstance(values, Values) and pa.types.is_binary(values.array.type)):
        return _COMMA.join(values)
    whole = pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values.array)
    text: bytes = pc.binary_join(whole, _COMMA)[0].as_buffer().to_pybytes()
    return text


def of_bytes(texts: pa.Array) -> Values:
    """Return texts as bytes, in the smaller of Arrow's two layouts if they fit into it."""
    fits = texts.nbytes < SMALL_LAYOUT_BYTES
    return Values(texts.cast(pa.binary() if fits else pa.large_binary()))


def replaced(array: pa.Array, values: Mapping[int, Any]) -> pa.Array:
    """Return the array with other values at some offsets."""
    if not values:
        return array
    mask = pa.array([offset in values for offset in range(len(array))])
    others = pa.array([values[offset] for offset in sorted(values)], array.type)
    return pc.replace_with_mask(array, mask, others)

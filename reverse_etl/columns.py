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
        return type(self)(found) if isinstance(index, slice) else found.as_py()

    def __iter__(self) -> Iterator[Any]:
        """Make all values and yield them."""
        return iter(self.array.to_pylist())

    def __eq__(self, other: object) -> bool:
        """Whether another sequence has the same values."""
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def sizes(self) -> pa.Array:
        """Return the number of bytes of each value."""
        return pc.binary_length(self.array)

    def __repr__(self) -> str:
        """Return the size alone: the values are people."""
        return f"Values({len(self)} of {self.array.type})"


class Records(Values):
    """Encoded records, of which the array has a comma behind each: it is the text of a request.

    So a batch is a slice of its page. Joining it while others wait for the interpreter took
    0.5 ms a request, twenty times what it takes alone (measured), since each call into Arrow lets
    go of the interpreter and queues for it again.
    """

    __slots__ = ()

    @classmethod
    def of(cls, texts: pa.Array) -> Records:
        """Return texts, each empty or with a comma at its end, in the smaller layout if they fit.

        Args:
            texts: Of the type ``large_string``.
        """
        fits = texts.nbytes < SMALL_LAYOUT_BYTES
        return cls(texts.cast(pa.binary() if fits else pa.large_binary()))

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Records: ...

    def __getitem__(self, index: int | slice) -> Any:
        """Return one record without its comma, or a part of them without a copy."""
        found = super().__getitem__(index)
        return found if isinstance(index, slice) else found[:-1]

    def __iter__(self) -> Iterator[bytes]:
        """Make all records, without their commas, and yield them."""
        return (record[:-1] for record in super().__iter__())

    def sizes(self) -> pa.Array:
        """Return the number of bytes of each record without its comma; 0 where there is none."""
        return pc.max_element_wise(pc.subtract(super().sizes(), len(_COMMA)), 0)

    def joined(self) -> memoryview:
        """Return the records with commas between them; nothing is copied."""
        _, offsets, data = self.array.buffers()
        ends = memoryview(offsets).cast("i" if self.array.type == pa.binary() else "q")
        first, last = ends[self.array.offset], ends[self.array.offset + len(self)]
        return memoryview(data or b"").cast("B")[first : max(last - len(_COMMA), first)]


def picked(values: Sequence[Any], offsets: Sequence[int]) -> Sequence[Any]:
    """Return the values at some offsets, in their order."""
    if isinstance(offsets, range) and offsets.step == 1:
        return values[offsets.start : offsets.stop]
    if isinstance(values, Values):
        return type(values)(values.array.take(pa.array(offsets, pa.int64())))
    return [values[offset] for offset in offsets]


def sizes(values: Sequence[bytes]) -> pa.Array:
    """Return the number of bytes of each value."""
    if isinstance(values, Values):
        return values.sizes().cast(pa.int64())
    return pa.array(map(len, values), pa.int64())


def joined(values: Sequence[bytes]) -> bytes | memoryview:
    """Return the values with commas between them."""
    return values.joined() if isinstance(values, Records) else _COMMA.join(values)


def replaced(array: pa.Array, values: Mapping[int, Any]) -> pa.Array:
    """Return the array with other values at some offsets."""
    if not values:
        return array
    mask = pa.array([offset in values for offset in range(len(array))])
    others = pa.array([values[offset] for offset in sorted(values)], array.type)
    return pc.replace_with_mask(array, mask, others)

"""The next page is read and encoded while the one before it is on the wire."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

_T = TypeVar("_T")


def one_ahead(items: Iterator[_T]) -> Generator[_T, None, None]:
    """Yield what an iterator yields; a thread makes the next item meanwhile.

    Items are made one after the other, and at most one that nobody has asked for yet. What making
    one raises is raised when it is asked for. Closing waits for the item that is being made.

    Args:
        items: Used by that thread alone, from now on.
    """
    with ThreadPoolExecutor(1, "reverse-etl-page") as thread:
        coming = thread.submit(_next_of, items)
        while found := coming.result():
            coming = thread.submit(_next_of, items)
            yield found[0]


def _next_of(items: Iterator[_T]) -> tuple[_T] | None:
    """Return the next item, or None: a StopIteration cannot pass through a future."""
    for item in items:
        return (item,)
    return None

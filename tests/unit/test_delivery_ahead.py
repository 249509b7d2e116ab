"""One item is made ahead: in order, never more than one, and what goes wrong is told in turn."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from reverse_etl.delivery.ahead import one_ahead

PATIENCE_S = 30.0


class Items:
    """Numbers, and who made how many of them."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.made = 0
        self.makers: set[str] = set()
        self.second = threading.Event()
        self.closed = False

    def __iter__(self) -> Iterator[int]:
        try:
            for n in range(self.count):
                self.makers.add(threading.current_thread().name)
                self.made += 1
                if self.made == 2:
                    self.second.set()
                yield n
        finally:
            self.closed = True


def test_all_items_come_in_order_from_one_thread() -> None:
    items = Items(50)
    assert list(one_ahead(iter(items))) == list(range(50))
    (maker,) = items.makers
    assert maker != threading.current_thread().name


def test_the_next_one_is_made_while_one_is_used_and_no_more() -> None:
    items = Items(50)
    ahead = one_ahead(iter(items))
    assert next(ahead) == 0
    assert items.second.wait(PATIENCE_S)
    ahead.close()  # waits for what is being made
    assert items.made == 2


def test_nothing_is_made_before_the_first_is_asked_for() -> None:
    items = Items(3)
    ahead = one_ahead(iter(items))
    assert items.made == 0
    assert next(ahead) == 0
    ahead.close()


def test_none_is_an_item_and_nothing_is_the_end() -> None:
    assert list(one_ahead(iter([None, 0, ""]))) == [None, 0, ""]
    assert list(one_ahead(iter(()))) == []


def test_an_error_is_raised_when_its_item_is_asked_for() -> None:
    failed = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        failed.set()
        raise ConnectionError("gone")

    ahead = one_ahead(items())
    assert next(ahead) == 1
    assert failed.wait(PATIENCE_S)
    with pytest.raises(ConnectionError, match="gone"):
        next(ahead)


def test_no_thread_is_left_behind() -> None:
    before = threading.active_count()
    ahead = one_ahead(iter(Items(5)))
    next(ahead)
    ahead.close()
    assert threading.active_count() == before

"""How far the runs are: a bar for each on standard error, if that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

Told = Callable[[int, int], None]


@contextmanager
def progress_bars() -> Iterator[Callable[[str], Told]]:
    """Give a function that makes, for a sync, what is told how many changes are settled."""
    if not sys.stderr.isatty():
        yield lambda _sync: _nobody
        return
    from rich.console import Console  # noqa: PLC0415 - on a terminal only
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True), transient=True) as bars:
        yield lambda sync: _bar(bars, sync)


def _nobody(_done: int, _planned: int) -> None:
    """Take no notice."""


def _bar(bars: Progress, sync: str) -> Told:
    task = bars.add_task(sync, total=None)

    def told(done: int, planned: int) -> None:
        bars.update(task, completed=done, total=planned)

    return told

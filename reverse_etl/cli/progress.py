"""How far the runs are: a line for each on standard error, if that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, Task
    from rich.text import Text

Told = Callable[[str, int, int | None], None]

_STEPS = {
    "prepare": "preparing",
    "read": "reading the query",
    "plan": "planning",
    "deliver": "sending",
    "settle": "settling",
}


@contextmanager
def progress_bars() -> Iterator[Callable[[str], Told]]:
    """Give a function that makes, for a sync, what is told how far its run is.

    While people are sent there are a bar, the rate in people a second, and the time left.
    """
    if not sys.stderr.isatty():
        yield lambda _sync: _nobody
        return
    from rich.console import Console  # noqa: PLC0415 - on a terminal only
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), _state_column(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield lambda sync: _line(bars, sync)


def _state_column() -> ProgressColumn:
    """Return the column that says how many are sent, how fast, and how long it still takes."""
    from rich.progress import ProgressColumn  # noqa: PLC0415 - on a terminal only
    from rich.text import Text  # noqa: PLC0415

    class State(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(_state(task.completed, task.total, task.speed, task.time_remaining))

    return State()


def _state(done: float, of: float | None, speed: float | None, left: float | None) -> str:
    if of is None:
        return ""
    text = f"{done:,.0f} of {of:,.0f}"
    if speed:
        text += f", {speed:,.0f} a second"
    if left is None:
        return text
    minutes, seconds = divmod(round(left), 60)
    return f"{text}, {minutes} min {seconds:02} s left"


def _nobody(_step: str, _done: int, _of: int | None) -> None:
    """Take no notice."""


def _line(bars: Progress, sync: str) -> Told:
    task, shown = bars.add_task(sync, total=None), ""

    def told(step: str, done: int, of: int | None) -> None:
        nonlocal task, shown
        rows = f" {done:,} rows" if step == "plan" and done else ""
        description = f"{sync}: {_STEPS[step]}{rows}"
        if step != shown:
            # Each step has a clock and a rate of its own.
            shown = step
            bars.remove_task(task)
            task = bars.add_task(description, total=of)
        # Rich takes a total of None for no word about it.
        bars.update(task, description=description, completed=done, total=of)

    return told

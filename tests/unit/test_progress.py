"""What a terminal shows while a run goes on."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress

from reverse_etl.cli.progress import _line, _state, progress_bars


@pytest.mark.parametrize(
    ("done", "of", "speed", "left", "text"),
    [
        (0, None, None, None, ""),
        (0, 5_000, None, None, "0 of 5,000"),
        (2_000, 5_000, 1_000.4, None, "2,000 of 5,000, 1,000 a second"),
        (2_000, 5_000, 1_000, 3, "2,000 of 5,000, 1,000 a second, 0 min 03 s left"),
        (1, 1_000_000, 900, 1_111, "1 of 1,000,000, 900 a second, 18 min 31 s left"),
        (1, 2, 1, 59.7, "1 of 2, 1 a second, 1 min 00 s left"),
    ],
)
def test_how_far_sending_is(
    done: float, of: float | None, speed: float | None, left: float | None, text: str
) -> None:
    assert _state(done, of, speed, left) == text


def test_each_step_is_named_and_begins_anew() -> None:
    with Progress(console=Console(file=io.StringIO()), auto_refresh=False) as bars:
        told = _line(bars, "vip")
        shown = []
        for step in (
            *(("prepare", 0, None), ("plan", 0, None), ("read", 0, None), ("plan", 5_738, None)),
            *(("deliver", 0, None), ("deliver", 2_000, 5_738), ("settle", 0, None)),
        ):
            told(*step)
            (task,) = bars.tasks
            shown.append((task.description, task.completed, task.total))
    assert shown == [
        ("vip: preparing", 0, None),
        ("vip: planning", 0, None),
        ("vip: reading the query", 0, None),
        ("vip: planning 5,738 rows", 5_738, None),
        ("vip: sending", 0, None),
        ("vip: sending", 2_000, 5_738),
        ("vip: settling", 0, None),
    ]


def test_in_a_pipe_there_is_nothing_to_see(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bars() as bars:
        bars("vip")("deliver", 1, 2)
    assert capsys.readouterr() == ("", "")


SHOW = """
import sys
from reverse_etl.cli.progress import progress_bars
with progress_bars() as bars:
    bars("vip")("deliver", 2000, 5738)
print("done")
"""


def test_a_terminal_shows_it_and_is_left_clean(tmp_path: Path) -> None:
    main, end = pty.openpty()
    try:
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
        script = [sys.executable, "-c", SHOW]
        done = subprocess.run(
            script, stdout=subprocess.PIPE, stderr=end, cwd=tmp_path, env=environment, check=True
        )
        os.close(end)
        seen = os.read(main, 100_000).decode()
    finally:
        os.close(main)
    assert done.stdout == b"done\n"
    assert "vip: sending" in seen
    assert "2,000 of 5,738" in seen
    assert seen.index("\x1b[?25l") < seen.index("\x1b[?25h"), "the cursor is shown again"

"""docs/tour.md is what the product says, all of it.

After a change of something that it says, write it anew with::

    .venv/bin/python docs/tour.py --here
"""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOUR = runpy.run_path(str(ROOT / "docs" / "tour.py"))
PAGE = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")


def test_the_page_shows_what_the_commands_say_now() -> None:
    played = TOUR["play"](PAGE, Path(sys.executable).parent)
    assert played.splitlines() == PAGE.splitlines(), "run: .venv/bin/python docs/tour.py --here"


def test_the_page_has_what_it_promises() -> None:
    """Every way in which a run can end but those of a signal, and the commands of a day."""
    codes = re.findall(r"^\[exit code (\d+)\]$", PAGE, re.MULTILINE)
    assert set(codes) == {"0", "1", "2", "3", "4", "5", "137"}
    typed = re.findall(r"^\$ (?:\w+=\S+ )?reverse-etl ([a-z-]+)", PAGE, re.MULTILINE)
    assert set(typed) >= {
        *("init", "validate", "check", "plan", "run-sync", "explain", "failures", "explain-error"),
        *("retry", "status", "runs", "audit", "sandbox"),
    }


def test_what_differs_from_play_to_play_is_replaced(tmp_path: Path) -> None:
    tour = TOUR["Tour"](tmp_path, tmp_path, url="http://127.0.0.1:40001")
    said = (
        f"{tmp_path}/warehouse.duckdb is held by process 17: busy at 127.0.0.1:40001\n"
        "  12.3 s: prepare 0.1, deliver 12.2\n"
        "1 of 7 at 2026-11-23T08:40:33Z and 2026-11-23 08:40:33\n"
    )
    assert tour._shown(said) == (
        "/home/you/tour/warehouse.duckdb is held by process 4711: busy at 127.0.0.1:8765\n"
        "  0.2 s: prepare 0.1, deliver 0.1\n"
        "1 of 7 at 2026-01-05T09:00:00Z and 2026-01-05 09:00:00\n"
    )


def test_an_edit_replaces_the_lines_that_it_names_in_their_order(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("a: 1\nb: 2\na: 1\nc: 3\n")
    TOUR["Tour"](tmp_path, tmp_path)._edit("-b: 2\n+b: 3\n+d: 4\n-a: 1\n+a: 5\n-c: 3\n")
    assert config.read_text() == "a: 1\nb: 3\nd: 4\na: 5\n"

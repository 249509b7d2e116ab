"""The demo, as somebody sees it who has just installed the program."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from tests import documents

PATIENCE_SECONDS = 120.0


def demo(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return _run(folder, [sys.executable, "-m", "reverse_etl", "demo", *options])


def _run(folder: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    # A real key of the user's must not matter to the demo, nor reach the sandbox.
    more = {"ITERABLE_API_KEY": "canary-of-the-user", "REVERSE_ETL_CONFIG": "/no/such/file"}
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        command,
        cwd=folder,
        env={**kept, **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which the demo ran, and what it said."""
    folder = tmp_path_factory.mktemp("somewhere")
    done = demo(folder)
    assert (done.returncode, done.stderr) == (0, "")
    return folder, done.stdout


def test_it_tells_the_story_with_commands_that_were_really_run(told: tuple[Path, str]) -> None:
    folder, text = told
    typed = [line for line in text.splitlines() if line.startswith("$ ")]
    assert [line.split()[2] for line in typed] == [
        *("run-sync", "plan", "run-sync", "run-sync", "run-sync", "failures", "run-sync"),
    ]
    path = folder / "reverse-etl-demo" / "warehouse.duckdb"
    with duckdb.connect(str(path), read_only=True) as connection:
        query = (
            "select status, inserts_planned, inserts_failed, deletes_succeeded, retries_planned,"
            " requests_sent from reverse_etl.sync_runs order by sync_run_id"
        )
        first, second, idle, refused, retried = connection.execute(query).fetchall()
    assert first[0] == "completed_with_failures"
    assert first[1] > 5000
    assert second[3] > 10
    assert idle == ("succeeded", 0, 0, 0, 0, 0)
    assert (refused[0], refused[2]) == ("completed_with_failures", 3)
    assert retried == ("succeeded", 3, 0, 0, 3, 1)


def test_what_it_suggests_works_afterwards(told: tuple[Path, str]) -> None:
    folder, text = told
    suggested = [shlex.split(line) for line in text.splitlines()[-4:] if line.startswith("  ")]
    assert len(suggested) >= 3
    for command in suggested:
        if command[0] == "reverse-etl":
            command[:1] = [sys.executable, "-m", "reverse_etl"]
        done = _run(folder, command)
        assert (done.returncode, done.stderr) == (0, ""), command
        assert "completed_with_failures" in done.stdout or "vip_customers" in done.stdout


def test_it_is_made_anew_and_told_in_json(told: tuple[Path, str]) -> None:
    folder, _ = told
    done = demo(folder, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    document = documents.read(["demo"], done.stdout)
    assert Path(document["config"]).name == "config.yaml"
    runs = [run for run in document["runs"] if "run_id" in run and run["run_id"] is not None]
    assert [run["run_id"] for run in runs] == [1, 2, 3, 4, 5]


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "reverse-etl-demo" / "thesis.txt"
    precious.parent.mkdir()
    precious.write_text("ten years")
    done = demo(tmp_path)
    assert done.returncode == 2
    assert "was not made by the demo" in done.stderr
    assert precious.read_text() == "ten years"

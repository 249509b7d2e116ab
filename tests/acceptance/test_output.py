"""What the commands write to may fill up, be closed, or be no terminal: real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import pytest

from connectors.iterable.sandbox import Sandbox
from reverse_etl.cli.output import has_colours

KEY = "canary-90ab"
CONFIG = """\
warehouses:
  local: {{url: "duckdb:///shop.duckdb"}}
destinations:
  iterable:
    type: iterable
    api_key: {key}
    base_url: {base_url}
    requests_per_second: 0
syncs:
  people:
    source: {{warehouse: local, table: people, primary_key: id}}
    destination: {{name: iterable, object: list, list: {{name: People}}}}
    identifiers: {{email: email}}
"""
FULL = (
    "standard output could not be written (No space left on device): some of it is missing. The "
    "command was not broken off by that; make room, or send its output elsewhere"
)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(api_key=KEY) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, sandbox: Sandbox) -> Path:
    (tmp_path / "config.yaml").write_text(CONFIG.format(key="${API_KEY}", base_url=sandbox.url))
    with duckdb.connect(tmp_path / "shop.duckdb") as connection:
        connection.execute(
            "create table people as select * from (values (1, 'ada@example.com'), (2, 'nobody'))"
            " as t(id, email)"
        )
    return tmp_path


def called(
    folder: Path, words: Sequence[str], where: str = "", **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a command with its streams redirected as a shell is told to."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        ["sh", "-c", f'"$@" {where}', "sh", sys.executable, "-m", "reverse_etl", *words],
        cwd=folder,
        env={**kept, "API_KEY": KEY, "TERM": "xterm", **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def members(sandbox: Sandbox) -> set[str]:
    state = sandbox.state
    return {str(member) for each in list(state.lists) for member in state.members(each)}


def runs(folder: Path) -> list[str]:
    """Return how the runs ended; the file is as whole as before, then."""
    with duckdb.connect(folder / "shop.duckdb") as connection:
        found = connection.execute(
            "select status from reverse_etl.sync_runs order by sync_run_id"
        ).fetchall()
        assert connection.execute("select count(*) from people").fetchall() == [(2,)]
    return [status for (status,) in found]


# --- a full disk ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["validate", "--json"],
        ["plan", "people", "--detailed-exitcode"],
        ["status"],
        ["failures", "people", "--csv"],
    ],
    ids=" ".join,
)
def test_a_full_disk_is_told_in_one_line(folder: Path, words: Sequence[str]) -> None:
    done = called(folder, words, "> /dev/full")
    assert (done.returncode, done.stderr.splitlines()) == (1, [FULL])


def test_without_a_buffer_of_python_too(folder: Path) -> None:
    done = called(folder, ["status"], "> /dev/full", PYTHONUNBUFFERED="1")
    assert (done.returncode, done.stderr.splitlines()) == (1, [FULL])


def test_a_run_goes_on_when_its_output_cannot_be_written(folder: Path, sandbox: Sandbox) -> None:
    done = called(folder, ["run-sync", "people"], "> /dev/full")
    assert (done.returncode, done.stderr.splitlines()) == (1, [FULL])
    assert members(sandbox) == {"ada@example.com"}
    assert runs(folder) == ["completed_with_failures"]


def test_a_worse_exit_code_stays(folder: Path) -> None:
    done = called(folder, ["run-sync", "peple", "--json"], "> /dev/full")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "config.yaml: there is no sync 'peple'; did you mean people?",
        FULL,
    ]


def test_a_full_disk_behind_standard_error_costs_only_what_stood_there(
    folder: Path, sandbox: Sandbox
) -> None:
    (folder / "config.yaml").write_text(CONFIG.format(key=KEY, base_url=sandbox.url))
    done = called(folder, ["run-sync", "people", "--json"], "2> /dev/full")
    assert (done.returncode, json.loads(done.stdout)["status"]) == (3, "completed_with_failures")
    assert called(folder, ["run-sync", "peple"], "2> /dev/full").returncode == 2


# --- closed from the start -----------------------------------------------------------------


@pytest.mark.parametrize("where", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams(folder: Path, sandbox: Sandbox, where: str) -> None:
    """Nothing is written where they were: the database has the next free number otherwise."""
    (folder / "config.yaml").write_text(CONFIG.format(key=KEY, base_url=sandbox.url))
    for expected in (3, 0):
        done = called(folder, ["run-sync", "people"], where)
        assert done.returncode == expected
        # What is left speaks as ever.
        assert bool(done.stderr) is ("2>&-" not in where)
        assert bool(done.stdout) is where.startswith("2")
    assert members(sandbox) == {"ada@example.com"}
    assert runs(folder) == ["completed_with_failures", "succeeded"]


# --- no terminal ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [["--help"], ["no-such-command"], ["plan", "people"], ["run-sync", "people"], ["status"]],
    ids=" ".join,
)
def test_a_pipe_gets_no_colours(folder: Path, words: Sequence[str]) -> None:
    done = called(folder, words, FORCE_COLOR="1", CLICOLOR_FORCE="1")
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stdout + done.stderr


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, True),
        # https://no-color.org: when present and not an empty string.
        ({"NO_COLOR": ""}, True),
        ({"NO_COLOR": "0"}, False),
        ({"TERM": "dumb"}, False),
    ],
)
def test_who_wants_colours(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], *, expected: bool
) -> None:
    ours, theirs = os.openpty()
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with os.fdopen(ours, "rb"), os.fdopen(theirs, "w") as terminal:
        assert has_colours(terminal) is expected
    with Path(os.devnull).open("w", encoding="utf-8") as no_terminal:
        assert not has_colours(no_terminal)

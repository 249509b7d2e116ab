"""Completion in a real bash, through the installed script."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from reverse_etl.cli import app

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")

CONFIG = """\
warehouses:
  local: {url: "duckdb:///${NOT_SET}.duckdb"}
  other: {url: "duckdb:///y.duckdb"}
destinations: {iterable: {type: iterable}}
syncs:
  vip_customers: {}
  weekly: {surely: wrong}
"""

# As bash does when the key is pressed: the function finds the words and leaves its answers.
PRESS_TAB = """\
{script}
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
{function} {program}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def bash(script: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environ = {"PATH": path, "HOME": str(folder), **variables}
    command = ["bash", "--norc", "-c", script]
    return subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, check=True
    )


@cache
def completion_of(program: str) -> str:
    """Return what makes bash complete the words of a program, as a user would source it."""
    variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
    return bash(f"{variable}=source_bash {program}", Path.cwd()).stdout


def completed(words: list[str], folder: Path, **variables: str) -> set[str]:
    """Return what bash offers for the last word; nothing else may be said."""
    press = PRESS_TAB.format(
        script=completion_of(words[0]),
        program=words[0],
        words=shlex.join(words),
        function=f"_{words[0].replace('-', '_')}_completion",
    )
    done = bash(press, folder, **variables)
    assert done.stderr == ""
    return set(done.stdout.split())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "mine.yaml").write_text("syncs: {mine: {}}")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("reverse-etl ru", {"run-due", "run-sync", "runs"}),
        ("reverse-etl audit --re", {"--repair"}),
        ("run-sync --allow", {"--allow-deletes"}),
        ("reverse-etl audit ''", {"vip_customers", "weekly"}),
        ("reverse-etl plan w", {"weekly"}),
        ("run-sync ''", {"vip_customers", "weekly"}),
        ("run-sync weekly v", {"vip_customers"}),
        ("reverse-etl audit v", {"vip_customers"}),
        ("reverse-etl check w", {"weekly"}),
        ("reverse-etl --config mine.yaml check ''", {"mine"}),
        ("reverse-etl check --config mine.yaml ''", {"mine"}),
        ("reverse-etl check --config ~/mine.yaml ''", {"mine"}),
        ("reverse-etl lists ''", {"iterable"}),
        ("reverse-etl move weekly --to ''", {"local", "other"}),
        # bash itself completes the names of files when there is no other answer.
        ("reverse-etl --config mi", set()),
    ],
)
def test_what_bash_offers(words: str, offered: set[str], folder: Path) -> None:
    assert completed(shlex.split(words), folder) == offered


def test_the_config_of_the_environment(folder: Path) -> None:
    words = ["reverse-etl", "audit", ""]
    assert completed(words, folder, REVERSE_ETL_CONFIG="mine.yaml") == {"mine"}


@pytest.mark.parametrize(
    "text", ["", "syncs:", "syncs: [a]", "- a", "syncs: {a: 1", "\0", "syncs: 3", "a: &a [*a]"]
)
def test_a_config_that_is_none_offers_nothing(text: str, folder: Path) -> None:
    (folder / "config.yaml").write_text(text)
    assert completed(["reverse-etl", "audit", ""], folder) == set()


def test_no_config_offers_nothing(folder: Path) -> None:
    assert completed(["reverse-etl", "audit", "--config", "none", ""], folder) == set()


def test_completion_is_installed_for_the_shell_at_work(folder: Path) -> None:
    shown = bash("reverse-etl --show-completion; exit $?", folder).stdout
    bash("reverse-etl --install-completion; exit $?", folder)
    installed = (folder / ".bash_completions" / "reverse-etl.sh").read_text()
    assert "complete " in installed
    assert shown.strip() == installed.strip()
    assert "reverse-etl.sh" in (folder / ".bashrc").read_text()


def test_every_name_of_the_config_is_completed() -> None:
    group: Any = typer.main.get_command(app._app())
    parameters = {
        f"{name} {parameter.metavar}": parameter
        for name, command in group.commands.items()
        for parameter in command.params
        if getattr(parameter, "metavar", None) in {"SYNC", "DESTINATION", "WAREHOUSE"}
    }
    del parameters["init SYNC"]  # a name that is not there yet
    assert len(parameters) > 8
    assert [name for name, each in parameters.items() if not each._custom_shell_complete] == []

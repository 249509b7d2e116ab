"""The help of every command shows how it is used."""

from __future__ import annotations

import re

import pytest

from reverse_etl.cli import app

COMMANDS = [str(command.name) for command in app._app().registered_commands]


@pytest.mark.parametrize("command", COMMANDS)
def test_there_is_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = app.run([command, "--help"])
    except SystemExit as ended:  # the sandbox answers by itself
        code = int(ended.code or 0)
    shown = capsys.readouterr().out
    assert code == 0
    _, _, behind_usage = shown.partition("\n\n")
    assert re.search(rf"^ *(\$ )?reverse-etl {command}\b", behind_usage, re.MULTILINE)

"""How lines on standard error look, and what no text in them can do."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator

import pytest

from reverse_etl.cli import output as output_module
from reverse_etl.cli.logs import LogFormat, start_log
from reverse_etl.cli.output import Output
from reverse_etl.connector import Operation
from reverse_etl.report import RunSummary
from reverse_etl.runner import log_summary

ENGINE = logging.getLogger("reverse_etl")
RUNS = logging.getLogger("reverse_etl.run")
MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"

# A line break, a carriage return that would overwrite the line, a terminal's escape, a bell, and
# line breaks of Unicode: with any of them a value could pass for a line of ours.
NASTY = "x\nforged\r2026-01-01T00:00:00.000Z error: forged\x1b[2J\x07\u2028forged\x85forged"


@pytest.fixture(autouse=True)
def _loggers() -> Iterator[None]:
    """Leave the loggers of the process as they were."""
    before = (ENGINE.handlers, ENGINE.level, RUNS.level)
    yield
    ENGINE.handlers = before[0]
    ENGINE.setLevel(before[1])
    RUNS.setLevel(before[2])


def started(log_format: LogFormat = LogFormat.TEXT, *, every_run: bool = True) -> Output:
    output = Output()
    start_log(output, log_format, every_run=every_run)
    return output


def written(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == "", "standard output is for results"
    return captured.err


# --- text ----------------------------------------------------------------------------------


def test_a_line_of_text(capsys: pytest.CaptureFixture[str]) -> None:
    started()
    ENGINE.info("vip: %d rows read", 5)
    ENGINE.warning("it is late")
    ENGINE.error("it failed")
    first, second, third = written(capsys).splitlines()
    assert re.fullmatch(f"{MOMENT} vip: 5 rows read", first)
    assert re.fullmatch(f"{MOMENT} warning: it is late", second)
    assert re.fullmatch(f"{MOMENT} error: it failed", third)


def test_no_text_can_pass_for_a_line_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    started()
    ENGINE.info("%s", NASTY)
    said = written(capsys)
    assert said.isascii()
    first, *rest = said.splitlines()
    assert re.match(MOMENT, first)
    assert rest == [
        "  forged\\r2026-01-01T00:00:00.000Z error: forged\\x1b[2J\\x07\\u2028forged\\x85forged"
    ]


def test_a_percent_sign_in_a_message_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    started()
    log_summary(RunSummary("vip", 1, "held", error="60 %s of all", warnings=["50 %d left"]))
    said = written(capsys)
    assert "vip: run 1 held: 60 %s of all" in said
    assert "50 %d left" in said


@pytest.mark.parametrize(
    ("log_format", "every_run", "wanted"),
    [
        (LogFormat.TEXT, True, True),
        (LogFormat.TEXT, False, False),
        (LogFormat.JSON, True, True),
        (LogFormat.JSON, False, True),
    ],
)
def test_the_steps_of_runs_are_told_where_they_are_wanted(
    capsys: pytest.CaptureFixture[str], log_format: LogFormat, *, every_run: bool, wanted: bool
) -> None:
    started(log_format, every_run=every_run)
    RUNS.info("a step")
    ENGINE.info("something else")
    said = written(capsys)
    assert ("a step" in said) is wanted
    assert "something else" in said


@pytest.mark.parametrize(("every_run", "moment"), [(True, f"{MOMENT} "), (False, "")])
def test_a_note_has_its_moment_where_all_lines_have(
    capsys: pytest.CaptureFixture[str], *, every_run: bool, moment: str
) -> None:
    started(every_run=every_run).note("stopping")
    assert re.fullmatch(f"{moment}stopping\n", written(capsys))


def test_a_second_start_writes_no_line_twice(capsys: pytest.CaptureFixture[str]) -> None:
    started()
    started()
    ENGINE.info("once")
    assert written(capsys).count("once") == 1


# --- JSON ----------------------------------------------------------------------------------


def test_a_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    started(LogFormat.JSON)
    ENGINE.warning("it is late", extra={"sync": "vip", "run_id": 7})
    ENGINE.info("no sync")
    first, second = map(json.loads, written(capsys).splitlines())
    assert re.fullmatch(MOMENT, first.pop("at"))
    assert first == {"level": "warning", "sync": "vip", "run_id": 7, "message": "it is late"}
    assert (second["sync"], second["run_id"], second["level"]) == (None, None, "info")


def test_the_end_of_a_run_has_its_facts(capsys: pytest.CaptureFixture[str]) -> None:
    started(LogFormat.JSON)
    counts = {Operation.INSERT: 2, Operation.UPDATE: 0, Operation.DELETE: 0}
    report = RunSummary(
        "vip",
        7,
        "failed",
        planned=counts,
        requests=3,
        error_code="destination_error",
        error="401",
        seconds={"plan": 1.23456},
    )
    log_summary(report)
    (line,) = map(json.loads, written(capsys).splitlines())
    assert line | {"at": None} == {
        "at": None,
        "level": "error",
        "sync": "vip",
        "run_id": 7,
        "message": report.sentence(),
        "status": "failed",
        "planned": {"insert": 2, "update": 0, "delete": 0},
        "succeeded": {"insert": 0, "update": 0, "delete": 0},
        "failed": {"insert": 0, "update": 0, "delete": 0},
        "requests": 3,
        "failed_records_open": 0,
        "seconds": {"plan": 1.235},
        "error_code": "destination_error",
    }


def test_each_object_is_one_line_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    started(LogFormat.JSON)
    ENGINE.info("%s", NASTY)
    (line,) = written(capsys).splitlines()
    assert json.loads(line)["message"] == NASTY
    assert line.isascii()


# --- notes ---------------------------------------------------------------------------------


def test_notes_are_lines_like_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    output = started(LogFormat.JSON)
    output.note("warning: the key is written in the config")
    output.note(NASTY)
    first, second = map(json.loads, written(capsys).splitlines())
    assert re.fullmatch(MOMENT, first.pop("at"))
    assert first == {
        "level": "warning",
        "sync": None,
        "run_id": None,
        "message": "the key is written in the config",
    }
    assert second["message"] == NASTY


def test_notes_are_text_unless_json_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    started(every_run=False).note("warning: look\x1b[2J")
    assert written(capsys) == "warning: look\\x1b[2J\n"


# --- nobody can write it ---------------------------------------------------------------------


def test_a_log_that_cannot_be_written_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    started()
    monkeypatch.setattr(output_module, "_write", full)
    ENGINE.error("nobody will read this")

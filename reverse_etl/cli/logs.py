"""The log on standard error: lines for a person, or JSON for a machine.

The package logs to the logger ``reverse_etl`` and never configures it; a program that imports it
decides for itself. Every line has the sync and the run that it speaks of. No line names a person.
"""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from reverse_etl.cli.output import Output, visible


class LogFormat(StrEnum):
    """How lines of the log look."""

    TEXT = "text"
    JSON = "json"


LogFormatOption = Annotated[
    LogFormat,
    typer.Option("--log-format", help="Lines on standard error: text, or JSON for a machine."),
]

# What runs do is told on standard output by the commands that start them.
_RUNS = "reverse_etl.run"


def start_log(output: Output, log_format: LogFormat, *, every_run: bool) -> None:
    """Write the log of this process to standard error.

    Args:
        output: Writes the lines.
        log_format: How they look.
        every_run: Whether the steps of runs are wanted, beside what needs attention.
    """
    output.notes_as_json = log_format is LogFormat.JSON
    output.notes_with_time = every_run
    handler = _Handler(output)
    handler.setFormatter(_Json() if output.notes_as_json else _Text())
    logger = logging.getLogger("reverse_etl")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    if not (every_run or output.notes_as_json):
        handler.addFilter(lambda record: record.name != _RUNS)


class _Handler(logging.Handler):
    """Hands lines to the output, which knows when nobody reads any more."""

    def __init__(self, output: Output) -> None:
        super().__init__()
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        # A full disk behind standard error costs the line, and not the run that it speaks of.
        with suppress(OSError):
            self._output.line(self.format(record))


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Return ``2026-11-23T04:00:00.000Z warning: text``."""
        level = "" if record.levelno == logging.INFO else f" {record.levelname.lower()}:"
        # Moved in, so that no text from elsewhere can pass for a line of ours.
        text = visible(record.getMessage()).replace("\n", "\n  ")
        return f"{_moment(record)}{level} {text}"


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Return one JSON object on one line."""
        line: dict[str, Any] = {
            "at": _moment(record),
            "level": record.levelname.lower(),
            "sync": getattr(record, "sync", None),
            "run_id": getattr(record, "run_id", None),
            "message": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        return json.dumps(line)


def _moment(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC).replace(tzinfo=None)
    return f"{moment.isoformat(timespec='milliseconds')}Z"

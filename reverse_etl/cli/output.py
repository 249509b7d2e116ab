"""Standard output and standard error.

With ``--json`` standard output gets exactly one document; whatever else there is to say goes to
standard error. Without it, text: plain in a pipe, with colours on a terminal (unless ``NO_COLOR``
is set). Rich is imported for the latter only.

What they are written to may fill up, lose its reader, or be closed from the start. None of it ends
a command halfway: a run that is at work goes on. Whoever called learns of it by the exit code.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

from reverse_etl.errors import describe_bug

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_GAP = "  "

LONGEST_VALUE = 120


class Stream(io.FileIO):
    """A standard stream of this process; what it cannot take is left out.

    Attributes:
        failure: Why something was left out, in the system's words; None while all is well, and
            where whoever was reading has seen enough (``| head``).
    """

    def __init__(self, number: int) -> None:
        """Take over a file descriptor, also one that is closed."""
        try:
            os.fstat(number)
        except OSError:
            # Else a file that is opened later gets the number, a database perhaps, and is written
            # over by whoever takes it for the stream.
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
        super().__init__(number, "w", closefd=False)
        self.failure: str | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        """Write, or leave out; return the number of bytes that need not be written any more."""
        try:
            return super().write(data)
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                self.failure = self.failure or error.strerror
            return memoryview(data).nbytes


def take_over_streams() -> Stream:
    """Let the process write to streams that never fail; return the one of standard output."""
    out, err = Stream(1), Stream(2)
    sys.stdout = _as_text(out, sys.stdout)
    sys.stderr = _as_text(err, sys.stderr)
    return out


def _as_text(stream: Stream, before: TextIO | None) -> TextIO:
    at_once = stream.isatty() or stream.fileno() == 2  # noqa: PLR2004 - standard error
    encoding = before.encoding if before is not None else "utf-8"
    return io.TextIOWrapper(io.BufferedWriter(stream), encoding, line_buffering=at_once)


class Output:
    """Where a command says what it has to say.

    Attributes:
        json: Whether one JSON document is wanted instead of text.
        quiet: Whether neither is wanted: the caller reads ``result``.
        result: What the document of the command holds, in either mode.
        notes_as_json: Whether lines on standard error are JSON objects.
        notes_with_time: Whether they are lines of a log, which begin with the moment.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        """Start in text mode; the options decide."""
        self.json = False
        self.quiet = quiet
        self.notes_as_json = False
        self.notes_with_time = False
        self.result: Mapping[str, Any] = {}
        self._is_done = False

    def say(self, text: str = "", style: str = "") -> None:
        """Write a line for a person to standard output; nothing with ``--json``.

        Args:
            text: May hold line breaks; other control characters are made visible, because data
                from a warehouse must not steer the terminal.
            style: A style of rich, for a terminal.
        """
        if self.json or self.quiet:
            return
        shown = visible(text)
        if style and has_colours(sys.stdout):
            shown = _styled(shown, style)
        _write(sys.stdout, f"{shown}\n")

    def note(self, text: str, level: str = "warning") -> None:
        """Write a line for a person to standard error; the level is for a machine."""
        self.line(self.noted(text, level))

    def noted(self, text: str, level: str = "warning") -> str:
        """Return a note as the line that it is on standard error."""
        at = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
        if not self.notes_as_json:
            return f"{at}Z {visible(text)}" if self.notes_with_time else visible(text)
        about = {"at": f"{at}Z", "level": level, "sync": None, "run_id": None}
        return json.dumps({**about, "message": text.removeprefix("warning: ")})

    def line(self, text: str) -> None:
        """Write a finished line to standard error."""
        _write(sys.stderr, f"{text}\n")

    def document(self, values: Mapping[str, Any]) -> None:
        """Keep the result; write it with ``--json`` as the one JSON document."""
        if self._is_done:
            return
        self.result = values
        if not self.json:
            return
        from reverse_etl.report import FORMAT_VERSION  # noqa: PLC0415 - loads pydantic

        self._is_done = True
        whole = {"format_version": FORMAT_VERSION, **values}
        # NaN is no JSON, so it must have become something else by now.
        _write(sys.stdout, json.dumps(whole, indent=2, allow_nan=False) + "\n")

    def table(self, heads: Sequence[str], rows: Iterable[Sequence[object]], indent: str) -> None:
        """Write rows in columns."""
        for line in aligned([heads, *rows]):
            self.say(f"{indent}{line}")

    def bug(self, error: BaseException) -> None:
        """Tell about an error that nobody expected."""
        self.note(describe_bug(error), "error")


def has_colours(stream: TextIO) -> bool:
    """Return whether a stream is a terminal that wants colours (https://no-color.org)."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return wanted and stream.isatty()


def visible(text: str) -> str:
    """Return the text with control characters, and what else cannot be seen, spelled out."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter == "\n" else _escaped(letter) for letter in text
    )


def aligned(rows: Sequence[Sequence[object]]) -> list[str]:
    """Return rows as lines of equally wide columns; numbers stand on the right."""
    shown = [[_cell(value) for value in row] for row in rows]
    # The first row may be the heads.
    numeric = [isinstance(value, int) for value in rows[-1]]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    lines = []
    for row in shown:
        cells = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        lines.append(_GAP.join(cells).rstrip())
    return lines


def short(value: object) -> str:
    """Return a value of the user's for a line of text: one line, and not longer than a glance."""
    text = "NULL" if value is None else visible(str(value)).replace("\n", "\\n")
    return (
        text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}… ({len(text)} characters)"
    )


def moment(value: Any) -> str | None:  # noqa: ANN401 - a datetime of a driver, or None
    """Return a UTC time of the warehouse (naive) or of a schedule (aware) as ISO 8601."""
    if value is None:
        return None
    return f"{value.replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return " ".join(visible(str(value)).split("\n"))


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def _styled(text: str, style: str) -> str:
    from rich.console import Console  # noqa: PLC0415 - on a terminal only
    from rich.text import Text  # noqa: PLC0415

    # Whether it is a terminal was asked already; while bars are shown, rich stands before it.
    console = Console(file=sys.stdout, force_terminal=True)
    with console.capture() as captured:
        console.print(Text(text, style), end="", soft_wrap=True)
    return captured.get()


def _write(stream: TextIO, text: str) -> None:
    stream.write(text)
    stream.flush()

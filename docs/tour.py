"""Plays ``docs/tour.md``: does what the page says, and writes down what comes of it.

    python docs/tour.py           from a wheel, in an environment of its own (a few minutes)
    python docs/tour.py --here    faster: with what this Python has installed

The page is the script. Its prose stays as it is, and its blocks are played in their order, in an
empty folder, by their language:

``console``  a command line after ``$ ``; what stands below is replaced by its output, and of a
             command of ours its exit code
``sql``      statements for the warehouse, and
``text``     the rows that the block before has given
``diff``     an edit of ``config.yaml``
``http``     a request to the stand-in for Iterable; what it answers is not shown

Times, the port, the folder and the number of a process are replaced, so that the page changes when
what is said changes, and never else.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "tour.md"

SANDBOX, KEY = "http://127.0.0.1:8765", "sandbox-key"
CONFIG, WAREHOUSE = "config.yaml", "warehouse.duckdb"
SECONDS, MOMENT = 120, 0.05
"""Longest time for one command, and how often is looked whether something has happened."""

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)

_ASK = f"""\
import sys, duckdb
with duckdb.connect({WAREHOUSE!r}) as connection:
    answer = connection.sql(sys.stdin.read())
    if answer is not None:
        print(str(answer).rstrip())
"""
"""Closes the file at its end, so that the next command can open it."""

_REPLACED: Sequence[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = (
    (re.compile(r"\d{4}-\d\d-\d\d([T ])\d\d:\d\d:\d\d"), r"2026-01-05\g<1>09:00:00"),
    (re.compile(r"^  [\d.]+ s: (.+)$", re.MULTILINE), lambda found: _as_if_fast(found[1])),
    (re.compile(r"(held by process )\d+"), r"\g<1>4711"),
)


def _as_if_fast(phases: str) -> str:
    """Return the line of a run that says how long its phases took, with the same time for each."""
    names = [phase.split()[0] for phase in phases.split(", ")]
    return f"  {len(names) / 10:.1f} s: {', '.join(f'{name} 0.1' for name in names)}"


@dataclass
class Tour:
    """The page being played.

    Attributes:
        folder: Where; empty in the beginning.
        programs: The folder of the programs that are tried.
        url: Of the stand-in for Iterable, once it is there.
        rows: What the last SQL gave.
        stand_in: The stand-in.
        left: The command that was left running, if any.
    """

    folder: Path
    programs: Path
    url: str = SANDBOX
    rows: str = ""
    stand_in: subprocess.Popen[str] | None = None
    left: subprocess.Popen[str] | None = None

    def play(self, page: str) -> str:
        """Return the page with what its blocks give now."""
        return _BLOCK.sub(lambda found: f"```{found[1]}\n{self._block(*found.groups())}```", page)

    def _block(self, language: str, text: str) -> str:
        """Play a block; return its text."""
        if language == "console":
            lines = re.findall(r"^\$ (.+)$", text, re.MULTILINE)
            return "".join(f"$ {line}\n{self._shown(self._command(line))}" for line in lines)
        if language == "text":
            return self._shown(self.rows)
        if language == "sql":
            self.rows = self._ask(text)
        elif language == "diff":
            self._edit(text)
        elif language == "http":
            head, _, body = text.partition("\n")
            method, path = head.split()
            self._send(method, path, body)
        return text

    def _shown(self, said: str) -> str:
        """Return an output with what differs from play to play replaced."""
        shown = said.replace(self.url.removeprefix("http://"), SANDBOX.removeprefix("http://"))
        shown = shown.replace(str(self.folder), "/home/you/tour")
        for pattern, replacement in _REPLACED:
            shown = pattern.sub(replacement, shown)
        return shown

    def stop(self) -> None:
        """End what is still running."""
        for process in filter(None, (self.left, self.stand_in)):
            process.terminate()
            process.communicate(timeout=SECONDS)

    # --- commands --------------------------------------------------------------------------

    def _command(self, line: str) -> str:
        """Do what a command line says; return its output on both streams, and its exit code."""
        if line == "reverse-etl sandbox":
            return self._start_stand_in()
        if line.endswith(" &"):
            return self._leave(line.removesuffix(" &"))
        if line == "kill -9 $!":
            return self._kill()
        return self._ended(line, self._start("/bin/bash", "-c", line))

    def _start(self, *words: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            words,
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )

    @property
    def _environment(self) -> Mapping[str, str]:
        path = f"{self.programs}:/usr/bin:/bin"
        return {"PATH": path, "HOME": str(self.folder), "LANG": "C.UTF-8"}

    def _ended(self, line: str, process: subprocess.Popen[str]) -> str:
        """Wait for a process; return its output, and its exit code as a shell has it."""
        said, _ = process.communicate(timeout=SECONDS)
        self._point_to_stand_in()
        code = process.returncode if process.returncode >= 0 else 128 - process.returncode
        return f"{said}[exit code {code}]\n" if "reverse-etl" in line else said

    def _leave(self, line: str) -> str:
        """Leave a command running once a fault of the stand-in has struck it."""
        self.left = self._start("/bin/bash", "-c", f"exec {line}")
        while not any(
            fault["struck"] for fault in json.loads(self._send("GET", "/sandbox/faults"))
        ):
            with suppress(subprocess.TimeoutExpired):
                said, _ = self.left.communicate(timeout=MOMENT)
                raise RuntimeError(f"{line} ended before it was struck:\n{said}")
        return ""

    def _kill(self) -> str:
        """Kill what was left running."""
        if self.left is None:
            raise RuntimeError("nothing was left running that could be killed")
        left, self.left = self.left, None
        left.kill()
        return self._ended("reverse-etl", left)

    # --- the stand-in ----------------------------------------------------------------------

    def _start_stand_in(self) -> str:
        """Run the stand-in on a port that is free; return the line with which it is ready."""
        self.stand_in = self._start("/bin/bash", "-c", "exec reverse-etl sandbox --port 0")
        line = self.stand_in.stdout.readline() if self.stand_in.stdout else ""
        self.url = re.findall(r"http://[\d.]+:\d+", line)[0]
        self._point_to_stand_in()
        return line

    def _point_to_stand_in(self) -> None:
        """Name its port in a config that names the one of the page."""
        path = self.folder / CONFIG
        if path.exists() and SANDBOX in (text := path.read_text(encoding="utf-8")):
            path.write_text(text.replace(SANDBOX, self.url), encoding="utf-8")

    def _send(self, method: str, path: str, body: str = "") -> bytes:
        request = urllib.request.Request(  # noqa: S310 - the stand-in's own address
            self.url + path, body.encode() or None, {"Api-Key": KEY}, method=method
        )
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310 - the same
            content: bytes = answer.read()
        return content

    # --- the folder ------------------------------------------------------------------------

    def _ask(self, statements: str) -> str:
        """Let the DuckDB that is tried execute statements; return the rows as it draws them."""
        asked = self._start(self.programs / "python", "-c", _ASK)
        said, _ = asked.communicate(statements, timeout=SECONDS)
        if asked.returncode:
            raise RuntimeError(f"{statements}\n{said}")
        return said

    def _edit(self, difference: str) -> None:
        """Replace lines of the config, each by those below it in the difference."""
        path = self.folder / CONFIG
        text, place = path.read_text(encoding="utf-8"), 0
        for old, added in re.findall(r"^-(.*\n)((?:\+.*\n)*)", difference, re.MULTILINE):
            place = text.index(old, place)
            new = re.sub(r"^\+", "", added, flags=re.MULTILINE)
            text = text[:place] + new + text[place + len(old) :]
        path.write_text(text, encoding="utf-8")


def play(page: str, programs: Path) -> str:
    """Return the page as it is when it is played with the programs of a folder."""
    with tempfile.TemporaryDirectory(prefix="reverse-etl-tour-") as folder:
        tour = Tour(Path(folder), programs)
        try:
            return tour.play(page)
        finally:
            tour.stop()


@contextmanager
def installed_wheel() -> Iterator[Path]:
    """Build the wheel and install it as a user would; give the folder of its programs."""
    with tempfile.TemporaryDirectory(prefix="reverse-etl-wheel-") as made:
        programs = Path(made, "venv", "bin")
        pip = ("-m", "pip", "-qq", "--disable-pip-version-check", "--no-input")
        from_here = ("--no-deps", "--no-build-isolation", "--wheel-dir", made)
        subprocess.run([sys.executable, *pip, "wheel", *from_here, ROOT], check=True)
        subprocess.run([sys.executable, "-m", "venv", f"{made}/venv"], check=True)
        wheels = [str(path) for path in Path(made).glob("*.whl")]
        pins = ["--require-hashes", "--only-binary", ":all:", "-r", f"{ROOT}/requirements/run.txt"]
        for words in (pins, ["--no-deps", *wheels]):
            subprocess.run([programs / "python", *pip, "install", *words], check=True)
        yield programs


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description="Play docs/tour.md anew.")
    parser.add_argument("--here", action="store_true", help="build no wheel: use this environment")
    page = PAGE.read_text(encoding="utf-8")
    if parser.parse_args().here:
        page = play(page, Path(sys.executable).parent)
    else:
        with installed_wheel() as programs:
            page = play(page, programs)
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()

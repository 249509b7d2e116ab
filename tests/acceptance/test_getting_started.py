"""docs/getting-started.md, followed as it stands, in an empty folder.

What the page shows below a command is compared with what the command says. All of that is written
anew, if any of it differs in more than times, with::

    REWRITE_GOLDEN=1 .venv/bin/pytest tests/acceptance/test_getting_started.py -k duckdb
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from connectors.iterable.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "getting-started.md"
REWRITE = bool(os.environ.get("REWRITE_GOLDEN"))
SECONDS = 120

# Where the page begins to be followed; what is before it installs the program.
BEGINS, LIVE = "## 2. ", "## 12. "

# The file that a block is, by its language.
FILES = {"ini": ".env", "python": "sql.py"}

URL = "http://127.0.0.1:8765"
DUCKDB_URL = "duckdb:///shop.duckdb"

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# A moment; and the line of a run that says how long its phases took.
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ|^  [\d.]+ s: .+$", re.MULTILINE)


# What a step says: the output of a process, rows, or nothing.
Said = str | list[tuple[str, ...]] | None


@dataclass
class Step:
    """A piece of the page that the reader does something with.

    Attributes:
        language: Of the piece.
        text: The piece.
        live: Whether it is about an account of the reader's own.
        shown: What the page shows as its output, or None.
        place: Where that is in the page.
    """

    language: str
    text: str
    live: bool
    shown: str | None = None
    place: tuple[int, int] = (0, 0)


def steps_of(page: str) -> list[Step]:
    """Return the pieces of the page in their order, each with the output shown below it."""
    steps: list[Step] = []
    begins, live = page.index(BEGINS), page.index(LIVE)
    for found in _BLOCK.finditer(page, begins):
        language, text = found.groups()
        if language == "text":
            steps[-1].shown, steps[-1].place = text, found.span(2)
        else:
            steps.append(Step(language, text, live=found.start() > live))
    return steps


@dataclass
class Reader:
    """Somebody who follows the page.

    Attributes:
        folder: Where they are.
        url: Of their warehouse; empty for the DuckDB file of the page.
        sandbox_url: Where the stand-in of the second terminal listens.
        account_url: Where the account of their own is: another stand-in.
        environment: Of their shell.
    """

    folder: Path
    url: str
    account_url: str
    sandbox_url: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = {"PATH": path, "HOME": str(self.folder), "LANG": "C.UTF-8"}

    @property
    def password(self) -> str:
        """The password of the warehouse, as its URL has it."""
        return urlsplit(self.url).password or ""

    @contextmanager
    def second_terminal(self, step: Step) -> Iterator[str]:
        """Run the stand-in, on a port that is free; give the line that it says."""
        words = ["bash", "-c", f"exec {step.text.strip()} --port 0"]
        serving = subprocess.Popen(
            words, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, text=True
        )
        assert serving.stdout is not None
        try:
            line = serving.stdout.readline()
            (self.sandbox_url,) = set(re.findall(r"http://[\d.:]+\d", line))
            yield self.as_shown(line)
        finally:
            serving.send_signal(signal.SIGINT)
            assert serving.wait(SECONDS) == 0
            serving.stdout.close()

    def follow(self, step: Step) -> Said:
        """Do what a piece says; return its output, or the rows that it gave."""
        if step.language == "yaml":
            name = "live.yaml" if step.live else "config.yaml"
            self.save(name, self.config(step))
        elif step.language in FILES:
            more = f"PGPASSWORD={self.password}\n" if step.language == "ini" else ""
            self.save(FILES[step.language], step.text + more)
        elif step.language == "sql":
            return self.ask(step.text)
        elif step.language == "sh":
            return self.run(step.text)
        else:
            # A line of a crontab.
            assert "reverse-etl run-due" in step.text, step
        return None

    def config(self, step: Step) -> str:
        """Return a config that names the warehouse and the stand-ins of this test."""
        url = self.url.replace(self.password, "${PGPASSWORD}") if self.url else DUCKDB_URL
        text = step.text.replace(DUCKDB_URL, url)
        if step.live:
            account = "    type: iterable\n"
            assert account in text
            assert "base_url" not in text
            return text.replace(account, f"{account}    base_url: {self.account_url}\n")
        assert URL in text
        return text.replace(URL, self.sandbox_url)

    def save(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def run(self, commands: str, stdin: str = "") -> str:
        """Run commands in a shell; return what they say, on both streams."""
        self.environment |= dict(re.findall(r"^export (\w+)=(.+)$", commands, re.MULTILINE))
        # Where the page shows an exit code it need not be 0.
        careful = "-c" if "exit code" in commands else "-ec"
        done = subprocess.run(
            ["bash", careful, commands],
            cwd=self.folder,
            env=self.environment,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}"
        return self.as_shown(done.stdout)

    def ask(self, query: str) -> str | list[tuple[str, ...]]:
        """Run SQL by the script of the page; on PostgreSQL, which it cannot, return the rows."""
        if not self.url:
            return self.run("python sql.py", query).rstrip("\n") + "\n"
        with psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True) as connection:
            cursor = connection.execute(query.encode())
            while cursor.nextset():
                pass
            if cursor.description is None:
                return []
            return [tuple(map(_cell, row)) for row in cursor.fetchall()]

    def as_shown(self, text: str) -> str:
        """Return an output with the address of the page in the place of this test's."""
        return text.replace(self.sandbox_url, URL) if self.sandbox_url else text


def _cell(value: Any) -> str:
    return "NULL" if value is None else str(value)


def rows_of(table: str) -> list[tuple[str, ...]]:
    """Return the rows of a table as DuckDB draws it, without names and types of the columns."""
    lines = [line for line in table.splitlines() if line.startswith("│")]
    return [tuple(cell.strip() for cell in line.strip("│").split("│")) for line in lines[2:]]


def without_times(text: str) -> str:
    return _TIME.sub("TIME", text)


def check(step: Step, said: Said) -> None:
    """Compare what a step said with what the page shows of it."""
    if step.shown is None:
        return
    if isinstance(said, list):
        assert said == rows_of(step.shown), step.text
    else:
        assert without_times(said or "") == without_times(step.shown), step.text


def rewritten(page: str, told: list[tuple[Step, Said]]) -> str:
    """Return the page with what was said, all of one play; as it is, if only times differ."""
    shown = [(step, str(said)) for step, said in told if step.shown is not None]
    if all(without_times(said) == without_times(step.shown or "") for step, said in shown):
        return page
    for step, said in reversed(shown):
        start, end = step.place
        page = page[:start] + said + page[end:]
    return page


@pytest.fixture(params=["duckdb", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """The warehouse of the reader; empty for the one of the page."""
    if request.param == "duckdb":
        return ""
    found: str = request.getfixturevalue("postgres_url")
    return found


def test_each_command_says_what_the_page_shows(tmp_path: Path, url: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    stand_in, *steps = steps_of(page)
    with Sandbox() as account:
        reader = Reader(tmp_path, url, account.url)
        with reader.second_terminal(stand_in) as line:
            told = [(stand_in, line), *((step, reader.follow(step)) for step in steps)]
            state = httpx.get(f"{reader.sandbox_url}/sandbox/state").json()
        tests, vips = (
            account.state.members(account.state.list_named(name).id)
            for name in ("VIP customers (test)", "VIP customers")
        )
    if REWRITE and not url:
        PAGE.write_text(rewritten(page, told), encoding="utf-8")
        return
    for step, output in told:
        check(step, output)
    everybody = {"ada", "grace", "katherine", "joan", "annie", "barbara"}
    com = {f"{name}@example.com" for name in everybody}
    net = {"hedy.k@example.net", "radia@example.net"}
    (rehearsed,) = state["lists"]
    assert set(rehearsed["members"]) == com | net
    assert vips == com | net
    assert tests == net


def test_the_page_has_what_it_promises() -> None:
    """A page without outputs, or without an install, would be followed in vain."""
    page = PAGE.read_text(encoding="utf-8")
    steps = steps_of(page)
    assert [step.text for step in steps if step.shown == ""] == []
    assert sum(step.shown is not None for step in steps) >= 18
    asked = [step for step in steps if step.language == "sql" and "select" in step.text]
    assert [s.text for s in asked if s.shown is None and s.text.startswith("select")] == []
    install = _BLOCK.search(page)
    assert install is not None
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [line for line in install[2].splitlines() if line not in readme] == []

"""What the demo and the examples are told on: a folder, a warehouse, a sandbox, real commands.

The commands that are shown are really run, in this process, against the connector's sandbox on
loopback and a DuckDB file with the sample warehouse.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverse_etl.cli.output import Output
from reverse_etl.errors import ConfigError, ReverseEtlError

if TYPE_CHECKING:
    from types import ModuleType

    from reverse_etl.config import Config

# The sandbox is local and knows no other key.
_KEY = "sandbox-key"
_NOT_YET = "http://127.0.0.1:8765"


class StoryError(ReverseEtlError):
    """The story did not go as told."""

    code = "demo_failed"


def make_folder(folder: Path, maker: str, config: str) -> Path:
    """Make a folder for a story, with its config; anew, if the one that is there is ours.

    Args:
        folder: Where; known again by a hidden file in it.
        maker: Who makes it, for the message: ``the demo``.
        config: Text of the config.

    Raises:
        ConfigError: Another folder is there, or it cannot be made.
    """
    marker = folder / f".made-by-{folder.name}"
    try:
        if folder.exists() or folder.is_symlink():
            if not marker.is_file() or folder.is_symlink():
                problem = f"{folder}: is there already and was not made by {maker}"
                raise ConfigError([f"{problem}; move it away, or go to another folder"])
            shutil.rmtree(folder)
        folder.mkdir()
        marker.touch()
        (folder / "config.yaml").write_text(config, encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"{folder}: cannot be made here ({error.strerror})"]) from None
    return folder


class Stage:
    """A folder with a config whose ``SANDBOX_URL`` and ``SANDBOX_API_KEY`` are the sandbox's.

    Attributes:
        config_path: The config.
        documents: The JSON document of each command that was run.
    """

    def __init__(self, output: Output, folder: Path) -> None:
        """Take a folder that :func:`make_folder` made."""
        self._output = output
        self._folder = folder
        self._warehouse = folder / "warehouse.duckdb"
        self.config_path = folder / "config.yaml"
        self.documents: list[dict[str, Any]] = []

    # --- warehouse and destination ---------------------------------------------------------

    def build(self, people: int) -> None:
        """Build the sample warehouse, and show the config without its head comment."""
        import sample_warehouse  # noqa: PLC0415 - loads DuckDB

        self.title(f"0. A sample warehouse: {people:,} customers in a DuckDB file")
        sample_warehouse.build_duckdb(self._warehouse, people)
        self.text(f"{self._warehouse} is built, and this is {self.config_path}:\n")
        lines = self.config_path.read_text(encoding="utf-8").splitlines()
        while lines[0].startswith("#"):
            del lines[0]
        for line in lines:
            self.text(f"  {line}".rstrip())

    def let_a_day_pass(self, day: int) -> None:
        """Let the sample warehouse change.

        Args:
            day: Counted from 1, in rising order.
        """
        from sample_warehouse import evolve  # noqa: PLC0415 - loads DuckDB
        from sample_warehouse.build import connect_duckdb  # noqa: PLC0415

        with connect_duckdb(self._warehouse) as connection:
            evolve(connection.execute, "duckdb", day)

    @contextlib.contextmanager
    def sandbox(self) -> Iterator[tuple[Any, ModuleType]]:
        """Start the sandbox of the config's one destination on a free port.

        Returns:
            A context with the sandbox, and its module. When it is left the sandbox is stopped and
            the environment is as it was.

        Raises:
            StoryError: The connector has none.
        """
        before = dict(os.environ)
        try:
            self._point_to(_NOT_YET)
            config = self.load()
            account: Any  # the connector's own model
            (account,) = config.destinations.values()
            module = config.connector(account.type).sandbox()
            if module is None:
                raise StoryError(f"{account.type} has no sandbox; install reverse-etl again")
            with module.Sandbox(account.project_type, _KEY) as sandbox:
                self._point_to(sandbox.url)
                yield sandbox, module
        finally:
            os.environ.clear()
            os.environ.update(before)

    def _point_to(self, url: str) -> None:
        """Name the sandbox, for the commands here and for those that a user tries later."""
        os.environ["SANDBOX_API_KEY"], os.environ["SANDBOX_URL"] = _KEY, url
        variables = f"SANDBOX_API_KEY={_KEY}\nSANDBOX_URL={url}\n"
        (self._folder / ".env").write_text(variables, encoding="utf-8")

    def load(self) -> Config:
        """Load the config."""
        from reverse_etl.config import load_config  # noqa: PLC0415 - loads pydantic

        return load_config(self.config_path, os.environ)

    # --- telling ---------------------------------------------------------------------------

    def title(self, text: str) -> None:
        """Begin a chapter."""
        self._output.say(f"\n{text}", "bold cyan")

    def text(self, text: str) -> None:
        """Say something between two commands."""
        self._output.say(text)

    def run(self, *words: str, expected: Collection[int]) -> dict[str, Any]:
        """Run a command as if it were typed; return its document.

        Raises:
            StoryError: Its exit code is not an expected one.
        """
        from reverse_etl.cli.app import run  # noqa: PLC0415 - it imports the demo

        arguments = [*words, "--config", str(self.config_path)]
        typed = shlex.join(["reverse-etl", *arguments])
        self._output.say(f"\n$ {typed}", "bold")
        output = Output(quiet=self._output.json)
        code = run(arguments, output=output)
        if code not in expected:
            wanted = " or ".join(map(str, sorted(expected)))
            raise StoryError(f"`{typed}` ended with exit code {code} instead of {wanted}")
        result = dict(output.result)
        self.documents.append(result)
        return result

    def show_query(self, query: str) -> None:
        """Show a query and its result."""
        for number, line in enumerate(query.splitlines()):
            self._output.say(f"{'sql>' if number == 0 else '    '} {line}", "bold")
        heads, rows = self.query(query)
        self._output.table(heads, rows, "  ")
        self.text("")

    def query(self, query: str) -> tuple[list[str], list[list[Any]]]:
        """Ask the warehouse; return column names and rows."""
        from sample_warehouse.build import connect_duckdb  # noqa: PLC0415 - loads DuckDB

        with connect_duckdb(self._warehouse) as connection:
            found = connection.execute(query)
            heads = [column[0] for column in found.description or []]
            return heads, [list(row) for row in found.fetchall()]

    def check(self, is_true: bool, what: str) -> None:  # noqa: FBT001 - a condition
        """Make sure that the story goes as told.

        Raises:
            StoryError: It does not.
        """
        if not is_true:
            raise StoryError(f"the story did not go as told: {what} - but not this time")

    def suggest(self, sync: str) -> None:
        """Name commands to look further; they need no sandbox."""
        self.text(f"All of it is in the folder {self._folder}. Look for yourself:\n")
        config = ["--config", str(self.config_path)]
        query = "select * from reverse_etl.sync_runs"
        code = f"import duckdb; duckdb.connect('{self._warehouse}').sql('{query}').show()"
        python = "python" if shutil.which("python") == sys.executable else sys.executable
        commands = [
            shlex.join(["reverse-etl", "status", *config]),
            shlex.join(["reverse-etl", "runs", sync, *config]),
            f'{shlex.quote(python)} -c "{code}"',
            *([f'duckdb {self._warehouse} "{query}"'] if shutil.which("duckdb") else []),
        ]
        for command in commands:
            self.text(f"  {command}")

"""``demo``: the whole story in the terminal, without an account and without a network.

The commands that it shows are really run, in this process, against the connector's sandbox on
loopback and a DuckDB file with the sample warehouse.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer  # noqa: TC002 - typer reads the annotations

from reverse_etl.cli.output import Output
from reverse_etl.cli.session import JsonOption, Session, session_of
from reverse_etl.errors import ConfigError, ReverseEtlError

if TYPE_CHECKING:
    from types import ModuleType

    from reverse_etl.config import Config

FOLDER = Path("reverse-etl-demo")
MARKER = ".made-by-reverse-etl-demo"
SYNC = "vip_customers"
REFUSED = 3
"""How many people the sandbox refuses in the third run."""

# The sandbox is local and knows no other key.
_KEY = "demo-key"
_CONFIG = """\
# Written by `reverse-etl demo`. The variables are in the file .env beside this one.
warehouses:
  local:
    url: duckdb:///warehouse.duckdb

destinations:
  iterable:
    type: iterable
    api_key: ${DEMO_API_KEY}
    base_url: ${DEMO_URL}

syncs:
  vip_customers:
    source:
      warehouse: local
      query: select customer_id, email, first_name, plan from customers where lifetime_value > 1000
      primary_key: customer_id
    destination:
      name: iterable
      object: list
      list: {name: VIP customers}
    identifiers: {email: email}
    fields: {firstName: first_name, plan: plan}
"""

# What the demo reads from the tables, as a user would write it.
_RUNS = """\
select sync_run_id as run, status, inserts_succeeded as inserts, updates_succeeded as updates,
       deletes_succeeded as deletes, inserts_failed + updates_failed as failed, requests_sent
from reverse_etl.sync_runs order by sync_run_id"""
_LOG = """\
select sync_run_id as run, operation, status, error_code, primary_key, identity
from reverse_etl.sync_log where sync_run_id > 1 and identity in
  (select identity from reverse_etl.sync_log where error_code = 'not_found')
order by identity, sync_run_id"""
_LEFT = """\
select error_code, count(*) as people, min(error_reason) as example
from reverse_etl.failed_records group by error_code order by error_code"""
_PEOPLE = "select count(*) from reverse_etl.snapshot_vip_customers"


class DemoError(ReverseEtlError):
    """The story did not go as told."""

    code = "demo_failed"


def demo(ctx: typer.Context, *, as_json: JsonOption = False) -> int:
    """Show the whole story on this machine.

    A sample warehouse and a local stand-in for the API; no account, no network. Three runs:
    the first load, changes and removals, failures and their retry. All that is made is in the
    folder reverse-etl-demo.
    """
    session = session_of(ctx, None, as_json=as_json)
    folder = _make_folder(FOLDER)
    with _variables():
        story = _Story(session, folder)
        story.tell()
    session.output.document(
        {"folder": str(folder), "config": str(story.config_path), "runs": story.documents},
    )
    return 0


def _make_folder(folder: Path) -> Path:
    """Make the folder anew, if the one that is there is ours.

    Raises:
        ConfigError: It is not, or it cannot be made.
    """
    try:
        if folder.exists() or folder.is_symlink():
            if not (folder / MARKER).is_file() or folder.is_symlink():
                problem = f"{folder}: is there already and was not made by the demo"
                raise ConfigError([f"{problem}; move it away, or go to another folder"])
            shutil.rmtree(folder)
        folder.mkdir()
        (folder / MARKER).touch()
        (folder / "config.yaml").write_text(_CONFIG, encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"{folder}: cannot be made here ({error.strerror})"]) from None
    return folder


@contextlib.contextmanager
def _variables() -> Iterator[None]:
    """Leave the environment as it was."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class _Story:
    """The demo, told from top to bottom."""

    def __init__(self, session: Session, folder: Path) -> None:
        self._session = session
        self._folder = folder
        self._warehouse = folder / "warehouse.duckdb"
        self.config_path = folder / "config.yaml"
        self.documents: list[dict[str, Any]] = []

    def tell(self) -> None:
        """Build, run, change, run, break, run, repair, run, look.

        Raises:
            DemoError: Something did not go as told.
        """
        self._build()
        self._point_to("http://127.0.0.1:8765")
        module = self._sandbox_module()
        with module.Sandbox(api_key=_KEY) as sandbox:
            self._point_to(sandbox.url)
            self._first_load(sandbox)
            self._changes(sandbox)
            self._refusals(module, sandbox)
            self._retry(sandbox)
        self._look()

    # --- the chapters ----------------------------------------------------------------------

    def _first_load(self, sandbox: Any) -> None:  # noqa: ANN401 - the connector's own
        self._title("1. First load: everybody joins the list")
        run = self._run("run-sync", SYNC, expected={0, 3})
        self._check(run["succeeded"]["insert"] > 0, "the first run inserts people")
        self._check_list(sandbox)
        self._text(
            "Rows without a usable e-mail address are not sent; they wait in failed_records.",
        )

    def _changes(self, sandbox: Any) -> None:  # noqa: ANN401 - the connector's own
        self._title("2. A day later: some join, some leave, some changed")
        self._let_a_day_pass(1)
        self._run("plan", SYNC, expected={0})
        self._text("Nothing was sent so far. Now send it:")
        run = self._run("run-sync", SYNC, expected={0, 3})
        sent = run["succeeded"]
        self._check(all(sent.values()), "the second run inserts, updates and deletes")
        self._check_list(sandbox)
        self._text("Only the difference travels. Once more, and there is nothing to do:")
        run = self._run("run-sync", SYNC, expected={0})
        self._check(run["requests"] == 0, "a run without changes makes no request")

    def _refusals(self, module: ModuleType, sandbox: Any) -> None:  # noqa: ANN401 - as above
        self._title("3. The next day the destination refuses some people")
        self._let_a_day_pass(2)
        refused = self._people_to_refuse()
        path = "/api/lists/subscribe"
        sandbox.faults = [
            module.Fault("refuse", match=path, identifiers=(one,), bucket="notFound")
            for one in refused
        ]
        self._text(f"The sandbox is told not to know {', '.join(refused)}.")
        run = self._run("run-sync", SYNC, expected={3})
        failed = sum(run["failed"].values())
        self._check(failed == REFUSED, f"{REFUSED} people are refused, the others are not")
        self._run("failures", SYNC, "--limit", str(REFUSED), expected={0})

    def _retry(self, sandbox: Any) -> None:  # noqa: ANN401 - the connector's own
        self._title("4. The destination takes them again: only they are retried")
        sandbox.faults = []
        run = self._run("run-sync", SYNC, expected={0})
        planned = sum(run["planned"].values())
        self._check(planned == run["retries"] == REFUSED, "exactly the refused people are retried")
        self._check_list(sandbox)

    def _look(self) -> None:
        self._title("What is known is in plain tables in your warehouse")
        for query in (_RUNS, _LOG, _LEFT):
            self._show_query(query)
        self._text(f"All of it is in the folder {self._folder}. Look for yourself:\n")
        for command in self._suggestions():
            self._text(f"  {command}")

    # --- the stage -------------------------------------------------------------------------

    def _build(self) -> None:
        import sample_warehouse  # noqa: PLC0415 - loads DuckDB

        self._title("0. A sample warehouse: 20,000 customers in a DuckDB file")
        sample_warehouse.build_duckdb(self._warehouse)
        self._text(f"{self._warehouse} is built, and this is {self.config_path}:\n")
        for line in _CONFIG.splitlines()[1:]:
            self._text(f"  {line}".rstrip())

    def _sandbox_module(self) -> ModuleType:
        module = self._load().connector("iterable").sandbox()
        if module is None:
            raise DemoError("the connector of the demo has no sandbox; install reverse-etl again")
        return module

    def _load(self) -> Config:
        from reverse_etl.config import load_config  # noqa: PLC0415 - loads pydantic

        return load_config(self.config_path, os.environ)

    def _point_to(self, url: str) -> None:
        """Name the sandbox, for the commands here and for those that a user tries later."""
        os.environ["DEMO_API_KEY"], os.environ["DEMO_URL"] = _KEY, url
        variables = f"DEMO_API_KEY={_KEY}\nDEMO_URL={url}\n"
        (self._folder / ".env").write_text(variables, encoding="utf-8")

    def _let_a_day_pass(self, day: int) -> None:
        from sample_warehouse import evolve  # noqa: PLC0415 - loads DuckDB
        from sample_warehouse.build import connect_duckdb  # noqa: PLC0415

        with connect_duckdb(self._warehouse) as connection:
            evolve(connection.execute, "duckdb", day)

    def _people_to_refuse(self) -> list[str]:
        from reverse_etl.connector import Operation  # noqa: PLC0415 - loads pydantic
        from reverse_etl.preview import preview  # noqa: PLC0415 - loads the engine

        joining = preview(self._load(), SYNC).samples[Operation.INSERT]
        return [sample.identity for sample in joining[:REFUSED]]

    # --- telling ---------------------------------------------------------------------------

    def _title(self, text: str) -> None:
        self._session.output.say(f"\n{text}", "bold cyan")

    def _text(self, text: str) -> None:
        self._session.output.say(text)

    def _run(self, *words: str, expected: set[int]) -> dict[str, Any]:
        """Run a command as if it were typed; return its document.

        Raises:
            DemoError: Its exit code is not an expected one.
        """
        from reverse_etl.cli.app import run  # noqa: PLC0415 - it imports this module

        arguments = [*words, "--config", str(self.config_path)]
        typed = shlex.join(["reverse-etl", *arguments])
        self._session.output.say(f"\n$ {typed}", "bold")
        output = Output(quiet=self._session.output.json)
        code = run(arguments, output=output)
        if code not in expected:
            wanted = " or ".join(map(str, sorted(expected)))
            raise DemoError(f"`{typed}` ended with exit code {code} instead of {wanted}")
        result = dict(output.result)
        self.documents.append(result)
        return result

    def _show_query(self, query: str) -> None:
        for number, line in enumerate(query.splitlines()):
            self._session.output.say(f"{'sql>' if number == 0 else '    '} {line}", "bold")
        heads, rows = self._query(query)
        self._session.output.table(heads, rows, "  ")
        self._text("")

    def _query(self, query: str) -> tuple[list[str], list[list[Any]]]:
        from sample_warehouse.build import connect_duckdb  # noqa: PLC0415 - loads DuckDB

        with connect_duckdb(self._warehouse) as connection:
            found = connection.execute(query)
            heads = [column[0] for column in found.description or []]
            return heads, [list(row) for row in found.fetchall()]

    def _check(self, is_true: bool, what: str) -> None:  # noqa: FBT001 - a condition
        if not is_true:
            raise DemoError(f"the demo did not go as told: {what} - but not this time")

    def _check_list(self, sandbox: Any) -> None:  # noqa: ANN401 - the connector's own
        """Compare the list at the destination with what the warehouse says is there."""
        _, rows = self._query(_PEOPLE)
        (found,) = sandbox.state.lists.values()
        members = len(found.members)
        self._check(members == rows[0][0], "the list holds whom the query names")
        self._text(f"-> the list {found.name!r} at the destination has {members} members")

    def _suggestions(self) -> list[str]:
        config = ["--config", str(self.config_path)]
        query = "select * from reverse_etl.sync_runs"
        code = f"import duckdb; duckdb.connect('{self._warehouse}').sql('{query}').show()"
        python = "python" if shutil.which("python") == sys.executable else sys.executable
        return [
            shlex.join(["reverse-etl", "status", *config]),
            shlex.join(["reverse-etl", "runs", SYNC, *config]),
            f'{shlex.quote(python)} -c "{code}"',
            *([f'duckdb {self._warehouse} "{query}"'] if shutil.which("duckdb") else []),
        ]

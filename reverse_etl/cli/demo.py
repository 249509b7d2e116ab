"""``demo``: the whole story in the terminal, without an account and without a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer  # noqa: TC002 - typer reads the annotations

from reverse_etl.cli.session import JsonOption, session_of
from reverse_etl.cli.stage import Stage, make_folder

if TYPE_CHECKING:
    from types import ModuleType

EXAMPLE = """\b
Example:
  reverse-etl demo
Exit codes: 0 told to the end, 1 something did not go as told, 2 the folder is not ours."""

FOLDER = Path("reverse-etl-demo")
PEOPLE = 20_000
SYNC = "vip_customers"
REFUSED = 3
"""How many people the sandbox refuses in the third run."""

_CONFIG = """\
# Written by `reverse-etl demo`. The variables are in the file .env beside this one.
warehouses:
  local:
    url: duckdb:///warehouse.duckdb

destinations:
  iterable:
    type: iterable
    api_key: ${SANDBOX_API_KEY}
    base_url: ${SANDBOX_URL}

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


def demo(ctx: typer.Context, *, as_json: JsonOption = False) -> int:
    """Show the whole story on this machine.

    A sample warehouse and a local stand-in for the API; no account, no network. Three runs:
    the first load, changes and removals, failures and their retry. All that is made is in the
    folder reverse-etl-demo.
    """
    session = session_of(ctx, None, as_json=as_json)
    folder = make_folder(FOLDER, "the demo", _CONFIG)
    stage = Stage(session.output, folder)
    _Story(stage).tell()
    session.output.document(
        {"folder": str(folder), "config": str(stage.config_path), "runs": stage.documents},
    )
    return 0


class _Story:
    """The demo, told from top to bottom."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def tell(self) -> None:
        """Build, run, change, run, break, run, repair, run, look.

        Raises:
            StoryError: Something did not go as told.
        """
        self._stage.build(PEOPLE)
        with self._stage.sandbox() as (sandbox, module):
            self._first_load(sandbox)
            self._changes(sandbox)
            self._refusals(module, sandbox)
            self._retry(sandbox)
        self._look()

    def _first_load(self, sandbox: Any) -> None:  # noqa: ANN401 - the connector's own
        stage = self._stage
        stage.title("1. First load: everybody joins the list")
        run = stage.run("run-sync", SYNC, expected={0, 3})
        stage.check(run["succeeded"]["insert"] > 0, "the first run inserts people")
        self._check_list(sandbox)
        stage.text(
            "Rows without a usable e-mail address are not sent; they wait in failed_records.",
        )

    def _changes(self, sandbox: Any) -> None:  # noqa: ANN401 - the connector's own
        stage = self._stage
        stage.title("2. A day later: some join, some leave, some changed")
        stage.let_a_day_pass(1)
        stage.run("plan", SYNC, expected={0})
        stage.text("Nothing was sent so far. Now send it:")
        run = stage.run("run-sync", SYNC, expected={0, 3})
        sent = run["succeeded"]
        stage.check(all(sent.values()), "the second run inserts, updates and deletes")
        self._check_list(sandbox)
        stage.text("Only the difference travels. Once more, and there is nothing to do:")
        run = stage.run("run-sync", SYNC, expected={0})
        stage.check(run["requests"] == 0, "a run without changes makes no request")

    def _refusals(self, module: ModuleType, sandbox: Any) -> None:  # noqa: ANN401 - as above
        stage = self._stage
        stage.title("3. The next day the destination refuses some people")
        stage.let_a_day_pass(2)
        refused = self._people_to_refuse()
        path = "/api/lists/subscribe"
        sandbox.faults = [
            module.Fault("refuse", match=path, identifiers=(one,), bucket="notFound")
            for one in refused
        ]
        stage.text(f"The sandbox is told not to know {', '.join(refused)}.")
        run = stage.run("run-sync", SYNC, expected={3})
        failed = sum(run["failed"].values())
        stage.check(failed == REFUSED, f"{REFUSED} people are refused, the others are not")
        stage.run("failures", SYNC, "--limit", str(REFUSED), expected={0})

    def _retry(self, sandbox: Any) -> None:  # noqa: ANN401 - the connector's own
        stage = self._stage
        stage.title("4. The destination takes them again: only they are retried")
        sandbox.faults = []
        run = stage.run("run-sync", SYNC, expected={0})
        planned = sum(run["planned"].values())
        stage.check(planned == run["retries"] == REFUSED, "exactly the refused people are retried")
        self._check_list(sandbox)

    def _look(self) -> None:
        self._stage.title("What is known is in plain tables in your warehouse")
        for query in (_RUNS, _LOG, _LEFT):
            self._stage.show_query(query)
        self._stage.suggest(SYNC)

    def _people_to_refuse(self) -> list[str]:
        from reverse_etl.connector import Operation  # noqa: PLC0415 - loads pydantic
        from reverse_etl.preview import preview  # noqa: PLC0415 - loads the engine

        joining = preview(self._stage.load(), SYNC).samples[Operation.INSERT]
        return [sample.identity for sample in joining[:REFUSED]]

    def _check_list(self, sandbox: Any) -> None:  # noqa: ANN401 - the connector's own
        """Compare the list at the destination with what the warehouse says is there."""
        _, rows = self._stage.query(_PEOPLE)
        (found,) = sandbox.state.lists.values()
        members = len(found.members)
        self._stage.check(members == rows[0][0], "the list holds whom the query names")
        self._stage.text(f"-> the list {found.name!r} at the destination has {members} members")

"""A real dbt project, built, synced, broken and built again.

dbt is a command with requirements of its own, so it lives in an environment of its own:
``REVERSE_ETL_DBT`` names its executable, else ``dbt`` is looked for on the PATH. Known to work:
dbt-core 1.10 and 1.11 with dbt-duckdb 1.11. The DuckDB in that environment writes the file that
the one here reads, so it must not be the newer one.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from connectors.iterable.sandbox import Sandbox
from reverse_etl.cli.app import run
from tests import documents

DBT = os.environ.get("REVERSE_ETL_DBT") or shutil.which("dbt")
PROJECT = Path(__file__).parents[1] / "data" / "dbt" / "project"
KEY = "sandbox-key"
PATIENCE_SECONDS = 300
RESULTS = "target/run_results.json"

pytestmark = pytest.mark.skipif(
    DBT is None, reason="no dbt: put it on the PATH, or its file into REVERSE_ETL_DBT"
)

HEAD = """\
warehouses:
  local: {{url: "duckdb:///warehouse.duckdb"}}
destinations:
  iterable: {{type: iterable, api_key: {key}, base_url: "{url}", requests_per_second: 0}}
syncs:
"""
SYNC = """\
  {name}:
    source: {{warehouse: local, {source}, primary_key: customer_id}}
    destination: {{name: iterable, object: list, list: {{name: {name}}}}}
    identifiers: {{email: email}}
    max_delete_percent: 100
"""
SOURCES = {
    "vip": "dbt_model: vip",
    "seed": "dbt_model: customers",
    "snapshot": "dbt_model: customers_over_time",
    "renamed": "dbt_model: renamed",
    "newest": "dbt_model: people",
    "first": "dbt_model: people.v1",
    "crm": "dbt_model: crm.twice",
    "shop": "dbt_model: shop.twice",
    "plain": "table: main.customers",
}
ADA, BOB, CID = "ada@example.com", "bob@example.com", "cid@example.com"


@dataclass(frozen=True)
class Shop:
    """A dbt project with a config beside it, and the destination's stand-in."""

    folder: Path
    sandbox: Sandbox

    def dbt(self, *words: str) -> bool:
        """Run dbt; return whether it succeeded."""
        assert DBT is not None
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        done = subprocess.run(
            [DBT, "--quiet", *words],
            cwd=self.folder,
            env={**kept, "DBT_PROFILES_DIR": ".", "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        # 2 is an error of usage, which no test is about.
        assert done.returncode in {0, 1}, done.stdout + done.stderr
        return done.returncode == 0

    def customers(self, *rows: str) -> None:
        """Write the seed."""
        text = "\n".join(["customer_id,email,plan", *rows, ""])
        (self.folder / "seeds" / "customers.csv").write_text(text)

    def sync(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Run syncs; return the exit code, and the reports by sync."""
        out, err = io.StringIO(), io.StringIO()
        with chdir(self.folder), redirect_stdout(out), redirect_stderr(err):
            code = run(["run-sync", *words, "--json"])
        assert out.getvalue(), err.getvalue()
        reports = documents.read(["run-sync"], out.getvalue())["syncs"]
        return code, {report["sync"]: report for report in reports}

    def members(self, name: str) -> set[str]:
        state = self.sandbox.state
        with state.lock:
            ids = [each.id for each in state.lists.values() if each.name == name]
        return {str(member) for one in ids for member in state.members(one)}

    def runs(self, name: str) -> int:
        with duckdb.connect(str(self.folder / "warehouse.duckdb"), read_only=True) as connection:
            counted = connection.execute(
                "select count(*) from reverse_etl.sync_runs where sync_name = ?", [name]
            ).fetchone()
        assert counted is not None
        return int(counted[0])


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.delenv("REVERSE_ETL_CONFIG", raising=False)
    folder = tmp_path / "shop"
    shutil.copytree(PROJECT, folder)
    with Sandbox(api_key=KEY) as sandbox:
        syncs = [SYNC.format(name=name, source=source) for name, source in SOURCES.items()]
        config = folder / "config.yaml"
        config.write_text(HEAD.format(key=KEY, url=sandbox.url) + "".join(syncs))
        config.chmod(0o600)
        found = Shop(folder, sandbox)
        assert found.dbt("deps")
        yield found


def test_every_kind_of_table_that_dbt_builds_is_synced(shop: Shop) -> None:
    assert shop.dbt("build")
    code, reports = shop.sync("--all", "--if-dbt-succeeded", RESULTS)
    assert (code, {report["status"] for report in reports.values()}) == (0, {"succeeded"})
    assert {name: shop.members(name) for name in SOURCES} == {
        "vip": {ADA},
        "seed": {ADA, BOB},
        "snapshot": {ADA, BOB},
        "renamed": {ADA},
        "newest": {ADA, BOB},
        "first": {ADA},
        "crm": {"gus@example.com"},
        "shop": {"hal@example.com"},
        "plain": {ADA, BOB},
    }


def test_nothing_is_sent_until_dbt_succeeds_again(shop: Shop) -> None:
    assert shop.dbt("build")
    assert shop.sync("vip", "--if-dbt-succeeded", RESULTS)[0] == 0

    # Cid should be on the list now, and Ada should not.
    shop.customers(f"1,{ADA},free", f"2,{BOB},free", f"3,{CID},gold")
    bad = {
        "{break_model: true}": "model.shop.vip ended with 'error'",
        "{fail_test: true}": "test.shop.all_have_an_address ended with 'fail'",
    }
    for variables, reason in bad.items():
        assert not shop.dbt("build", "--vars", variables)
        code, reports = shop.sync("vip", "plain", "--if-dbt-succeeded", RESULTS)
        assert code == 0
        assert reports["vip"]["status"] == "skipped"
        assert reason in reports["vip"]["error"]
        assert reports["plain"]["status"] == "succeeded"
        assert (shop.members("vip"), shop.runs("vip")) == ({ADA}, 1)
    assert shop.members("plain") == {ADA, BOB, CID}

    assert shop.dbt("build")
    code, reports = shop.sync("vip", "--if-dbt-succeeded", RESULTS)
    assert (code, reports["vip"]["status"]) == (0, "succeeded")
    assert (shop.members("vip"), shop.runs("vip")) == ({CID}, 2)


def test_a_success_of_dbt_that_did_not_fill_the_table_is_none(shop: Shop) -> None:
    assert shop.dbt("build")
    for command, reason in {
        "compile": "`dbt compile`, which builds no table",
        "test": "`dbt test`, which builds no table",
        "run --exclude vip+": "is not among what was built",
        "run --empty": "--empty, which leaves out rows",
    }.items():
        assert shop.dbt(*command.split())
        code, reports = shop.sync("vip", "--if-dbt-succeeded", RESULTS)
        assert (code, reports["vip"]["status"]) == (0, "skipped")
        assert reason in reports["vip"]["error"]
    assert shop.members("vip") == set()

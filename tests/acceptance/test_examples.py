"""The examples, run as somebody runs them who has just cloned the repository."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from connectors.iterable.sandbox import Sandbox
from reverse_etl.cli.app import run as command_line
from sample_warehouse import build_duckdb

ROOT = Path(__file__).parents[2]
EXAMPLES = ("audience", "profiles")
PATIENCE_SECONDS = 120.0
FIVE_FIELDS = (
    "subsetsExperimentId",
    "subsetsExperimentName",
    "subsetsExperimentAddedAt",
    "subsetsExperimentAssignment",
    "subsetsSubscriberChurnRisk",
)
ASSIGNMENTS = """\
select experiment_id, experiment_name, strftime(added_at, '%Y-%m-%d %H:%M:%S +00:00'), assignment,
       churn_risk::text
from experiment_assignments where user_id = ?"""
OFFERED = """\
select user_id, offer from experiment_assignments where offer is not null and user_id not like '% %'
qualify count(*) over (partition by user_id) = 1 order by user_id limit 1"""
PLANS = "select plan from customers where lower(trim(email)) = ?"


@dataclass(frozen=True)
class Told:
    """What an example said, and where it left what it made."""

    name: str
    folder: Path
    text: str

    def query(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        path = self.folder / "warehouse.duckdb"
        with duckdb.connect(str(path), read_only=True) as connection:
            return connection.execute(query, values).fetchall()

    def held(self) -> dict[str, Any]:
        """The person whom the example shows, as the destination holds them."""
        (found,) = re.findall(r"^\{\n.+?^\}\n", self.text, re.DOTALL | re.MULTILINE)
        held: dict[str, Any] = json.loads(found)
        return held


def run(folder: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    # A real key of the user's must not matter to an example, nor reach the sandbox.
    more = {"ITERABLE_API_KEY": "canary-of-the-user", "SANDBOX_API_KEY": "another-canary"}
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        command,
        cwd=folder,
        env={**kept, **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )


def run_example(folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    return run(folder, [sys.executable, str(ROOT / "examples" / "run.py"), name])


@pytest.fixture(scope="module", params=EXAMPLES)
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder = tmp_path_factory.mktemp("somewhere")
    done = run_example(folder, request.param)
    assert (done.returncode, done.stderr) == (0, "")
    return Told(request.param, folder / f"reverse-etl-example-{request.param}", done.stdout)


def test_there_is_a_test_and_a_make_target_for_every_example() -> None:
    configs = ROOT.glob("examples/*/config.yaml")
    # One that is a package is tested as such (tests/conformance/test_example_connector.py).
    found = {p.parent.name for p in configs if not (p.parent / "pyproject.toml").exists()}
    assert found == set(EXAMPLES)
    for name in EXAMPLES:
        # The tests may be run by make themselves; `run` keeps its variables away.
        done = run(ROOT, ["make", "--dry-run", "--always-make", f"example-{name}"])
        assert done.stdout.splitlines()[-1] == f".venv/bin/python examples/run.py {name}"
        assert f"make example-{name}\n" in (ROOT / "examples" / name / "README.md").read_text()


def test_a_config_is_short_and_the_one_that_is_run(told: Told) -> None:
    config = (ROOT / "examples" / told.name / "config.yaml").read_text(encoding="utf-8")
    lines = [line for line in config.splitlines() if line.strip() and line[0] != "#"]
    assert len(lines) <= 25
    assert (told.folder / "config.yaml").read_text(encoding="utf-8") == config


def test_it_is_told_with_commands_that_were_really_run(told: Told) -> None:
    typed = [shlex.split(line)[2:4] for line in told.text.splitlines() if line.startswith("$ ")]
    (sync,) = {name for _, name in typed}
    assert typed == [["check", sync], *[["run-sync", sync]] * 3]
    readme = (ROOT / "examples" / told.name / "README.md").read_text(encoding="utf-8")
    assert all(f"`reverse-etl {' '.join(words)}`" in readme for words in typed)
    first, second, idle = told.query(
        "select inserts_succeeded, updates_succeeded, inserts_planned + updates_planned"
        " + deletes_planned, requests_sent from reverse_etl.sync_runs order by sync_run_id"
    )
    assert first[0] == first[2] > 1000
    assert 0 < second[2] < first[2] / 20
    assert min(second[:2]) > 0
    assert idle == (0, 0, 0, 0)


def test_it_shows_what_the_destination_holds_of_a_person(told: Told) -> None:
    held = told.held()
    if told.name == "audience":
        rows = told.query(PLANS, held["email"])
        assert held["lists"] == ["VIP customers"]
        wanted = [{"plan": plan} for (plan,) in rows]
    else:
        rows = told.query(ASSIGNMENTS, held["userId"])
        wanted = [dict(zip(FIVE_FIELDS, row, strict=True)) for row in rows]
    kept = [{name: value for name, value in row.items() if value is not None} for row in wanted]
    assert held["dataFields"] in kept


def test_it_is_made_anew_but_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "reverse-etl-example-audience" / "thesis.txt"
    precious.parent.mkdir()
    precious.write_text("ten years")
    done = run_example(tmp_path, "audience")
    assert (done.returncode, done.stdout) == (2, "")
    assert "was not made by an example" in done.stderr
    assert precious.read_text() == "ten years"


def test_one_line_more_merges_an_object_into_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line that the README of the profiles shows, and a profile that others wrote to."""
    example = ROOT / "examples" / "profiles"
    (line,) = re.findall(r"```yaml\n(.+?\n)```", (example / "README.md").read_text(), re.DOTALL)
    config = (example / "config.yaml").read_text().replace("    schedule:", f"{line}    schedule:")
    (tmp_path / "config.yaml").write_text(config)
    warehouse = tmp_path / "warehouse.duckdb"
    build_duckdb(warehouse, 1_000)
    with duckdb.connect(str(warehouse)) as connection:
        ((user_id, offer),) = connection.execute(OFFERED).fetchall()
    with Sandbox("user_id") as sandbox:
        monkeypatch.setenv("SANDBOX_URL", sandbox.url)
        monkeypatch.setenv("SANDBOX_API_KEY", "sandbox-key")
        held = {"channel": "fax", "note": "of somebody else"}
        write(sandbox.url, {"userId": user_id, "dataFields": {"subsetsExperimentOffer": held}})
        arguments = ["run-sync", "experiments", "--config", str(tmp_path / "config.yaml")]
        # Rows without a user id are in the sample on purpose.
        assert command_line(arguments) == 3
        profile = sandbox.state.profile(user_id)
    assert profile is not None
    assert profile.fields["subsetsExperimentOffer"] == held | json.loads(offer)


def write(url: str, user: dict[str, Any]) -> None:
    """Write a profile as another tool would."""
    body = json.dumps({"users": [user], "createNewFields": True}).encode()
    headers = {"Api-Key": "sandbox-key", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/api/users/bulkUpdate", body, headers)  # noqa: S310 - the sandbox
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310 - as above
        assert json.load(answer)["successCount"] == 1

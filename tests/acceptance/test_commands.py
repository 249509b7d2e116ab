"""The commands as a user meets them: real processes, real HTTP, real databases."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import httpx
import psycopg
import pytest

from connectors.iterable.sandbox import Fault, Sandbox
from reverse_etl.cli.app import run
from tests import documents

KEY = "canary-7d1f0c9e5b"
SUBSCRIBE = "/api/lists/subscribe"
PATIENCE_SECONDS = 30.0

CONFIG = """\
warehouses:
  local: {{url: "{url}"}}
destinations:
  iterable:
    type: iterable
    api_key: ${{API_KEY}}
    base_url: {base_url}
    {account}
engine: {{checkpoint_seconds: 0.1, {engine}}}
syncs:
  people:
    source: {{warehouse: local, table: people, primary_key: id}}
    destination: {{name: iterable, object: list, list: {{name: People}}}}
    identifiers: {{email: email}}
    fields: {{plan: plan}}
    schedule: {{type: basic, every: 1 hour}}
  payers:
    source:
      warehouse: local
      query: select id, email from people where plan = 'paid'
      primary_key: id
    destination: {{name: iterable, object: list, list: {{name: Payers}}}}
    identifiers: {{email: email}}
"""


@dataclass(frozen=True)
class Done:
    """A process that ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document."""
        found: dict[str, Any] = json.loads(self.out)
        assert found["format_version"] == "1.0"
        return found


@dataclass
class Project:
    """A folder with a config, a warehouse with people, and the destination's stand-in."""

    folder: Path
    url: str
    sandbox: Sandbox
    execute: Callable[[str], list[tuple[Any, ...]]]
    secrets: list[str] = field(default_factory=lambda: [KEY])
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    def write(self, account: str = "requests_per_second: 0", engine: str = "") -> None:
        text = CONFIG.format(
            url=self.url, base_url=self.sandbox.url, account=account, engine=engine
        )
        self.config.write_text(text)
        self.config.chmod(0o600)  # the URL may hold a password

    def people(self, *numbers: int, plan: str = "free") -> None:
        rows = ", ".join(f"({n}, 'p{n}@example.com', '{plan}')" for n in numbers)
        self.execute(f"insert into people values {rows}")  # noqa: S608 - numbers of the test

    def start(self, *words: str, **more: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "reverse_etl", *words],
            cwd=self.folder,
            env=self.environment(**more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def leave_nothing_behind(self) -> None:
        """End what a failed test left running, and close its pipes."""
        for process in self.processes:
            process.kill()
            with process:
                pass

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return {**kept, "API_KEY": KEY, **more}

    def run(self, *words: str, **more: str) -> Done:
        return self.end(self.start(*words, **more))

    def here(self, *words: str) -> Done:
        """Run a command in this process, where nothing depends on its being another one."""
        out, err = io.StringIO(), io.StringIO()
        with chdir(self.folder), redirect_stdout(out), redirect_stderr(err):
            code = run(words)
        return self.checked(Done(code, out.getvalue(), err.getvalue()), words)

    def end(self, process: subprocess.Popen[str]) -> Done:
        """Wait for the process."""
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
        assert isinstance(process.args, list)
        return self.checked(Done(process.returncode, out, err), process.args[3:])

    def checked(self, done: Done, words: Sequence[str]) -> Done:
        """Whatever was said must not hold a secret; a document is as its schema says."""
        for secret in self.secrets:
            assert secret not in done.out + done.err
        if "--json" in words and done.out:
            documents.read(words, done.out)
        return done

    def members(self, name: str = "People") -> set[str]:
        state = self.sandbox.state
        with state.lock:
            ids = [each.id for each in state.lists.values() if each.name == name]
        return {str(member) for one in ids for member in state.members(one)}

    def sent(self) -> list[int]:
        """How many people each request named so far, requests without people left out."""
        return [r.subscribers for r in self.sandbox.state.requests if r.subscribers]

    def runs(self) -> list[tuple[Any, ...]]:
        return self.execute(
            "select sync_run_id, status from reverse_etl.sync_runs order by sync_run_id"
        )


def addresses(*numbers: int) -> set[str]:
    return {f"p{n}@example.com" for n in numbers}


def counts(insert: int = 0, update: int = 0, delete: int = 0) -> dict[str, int]:
    return {"insert": insert, "update": update, "delete": delete}


def until(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait for something that the process brings about."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


# --- the projects --------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", KEY)
    monkeypatch.delenv("REVERSE_ETL_CONFIG", raising=False)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(api_key=KEY) as running:
        yield running


@pytest.fixture
def on_duckdb(tmp_path: Path, duckdb_url: str, sandbox: Sandbox) -> Iterator[Project]:
    path = duckdb_url.removeprefix("duckdb:///")

    def execute(statement: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(path) as connection:
            return connection.execute(statement).fetchall()

    yield from _project(tmp_path, duckdb_url, sandbox, execute)


@pytest.fixture
def on_postgresql(tmp_path: Path, postgres_url: str, sandbox: Sandbox) -> Iterator[Project]:
    plain = postgres_url.replace("+psycopg", "")

    def execute(statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(plain) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    for project in _project(tmp_path, postgres_url, sandbox, execute):
        password = psycopg.conninfo.conninfo_to_dict(plain)["password"]
        project.secrets += [str(password), postgres_url]
        yield project


def _project(
    folder: Path,
    url: str,
    sandbox: Sandbox,
    execute: Callable[[str], list[tuple[Any, ...]]],
) -> Iterator[Project]:
    execute("create table people (id integer, email varchar, plan varchar)")
    project = Project(folder, url, sandbox, execute)
    project.write()
    yield project
    project.leave_nothing_behind()
    tables = execute(
        "select table_name from information_schema.tables where table_schema = 'reverse_etl'"
    )
    for (table,) in tables:
        content = str(execute(f'select * from reverse_etl."{table}"'))  # noqa: S608 - our own
        for secret in project.secrets:
            assert secret not in content, table


@pytest.fixture(params=["duckdb", "postgresql"])
def project(request: pytest.FixtureRequest) -> Project:
    found: Project = request.getfixturevalue(f"on_{request.param}")
    return found


# --- running -------------------------------------------------------------------------------


def test_a_run_sends_the_difference_and_nothing_else(project: Project) -> None:
    project.people(1, 2, 3, 4, 5)
    first = project.run("run-sync", "people", "--json")
    assert (first.code, first.err) == (0, "")
    document = first.document
    assert document["syncs"] == [
        {k: v for k, v in document.items() if k not in {"format_version", "syncs"}}
    ]
    assert (document["sync"], document["run_id"], document["status"]) == ("people", 1, "succeeded")
    assert document["planned"] == document["succeeded"] == counts(insert=5)
    assert project.members() == addresses(1, 2, 3, 4, 5)

    before = len(project.sandbox.state.requests)
    again = project.run("run-sync", "people")
    assert (again.code, again.err) == (0, "")
    assert "nothing to send" in again.out
    assert len(project.sandbox.state.requests) == before

    project.execute("update people set plan = 'paid' where id = 1")
    project.execute("update people set email = 'new@example.com' where id = 2")
    project.execute("delete from people where id = 3")
    third = project.run("run-sync", "people", "--json").document
    assert third["succeeded"] == third["planned"] == counts(insert=1, update=1, delete=2)
    assert third["failed"] == counts()
    assert project.members() == addresses(1, 4, 5) | {"new@example.com"}


def test_only_who_was_refused_is_tried_again(project: Project) -> None:
    project.people(*range(1, 31))
    project.sandbox.faults = [
        Fault("refuse", match=SUBSCRIBE, identifiers=("p7@example.com",), bucket="notFound"),
        Fault("refuse", match=SUBSCRIBE, identifiers=("p9@example.com",), bucket="forgotten"),
    ]
    first = project.run("run-sync", "people", "--json")
    assert first.code == 3
    assert first.document["status"] == "completed_with_failures"
    assert first.document["failed"] == counts(insert=2)
    assert first.document["failed_records_open"] == 2

    shown = project.here("failures", "people", "--json")
    assert shown.code == 0
    by_identity = {row["identity"]: row for row in shown.document["failures"]}
    assert by_identity["p7@example.com"]["error_code"] == "not_found"
    assert by_identity["p7@example.com"]["tried_again"] is True
    assert by_identity["p7@example.com"]["next_try_at"].endswith(":00:00Z")
    assert by_identity["p9@example.com"]["tried_again"] is False
    assert by_identity["p9@example.com"]["next_try_at"] is None

    project.sandbox.faults = []
    before = len(project.sent())
    second = project.run("run-sync", "people", "--json")
    assert second.code == 0
    assert (second.document["planned"], second.document["retries"]) == (counts(insert=1), 1)
    assert project.sent()[before:] == [1]
    assert project.members() == addresses(*range(1, 31)) - {"p9@example.com"}


def test_the_brake_holds_a_run_until_it_is_let_pass(project: Project) -> None:
    project.people(*range(1, 11))
    assert project.here("run-sync", "people").code == 0
    project.execute("delete from people where id > 4")
    before = len(project.sandbox.state.requests)
    planned = project.here("plan", "people")
    assert planned.code == 0
    assert "held: 6 of 10 people would be removed" in planned.out
    assert "run-sync people --allow-deletes" in planned.out
    held = project.run("run-sync", "people")
    assert held.code == 4
    assert "held" in held.out
    assert "--allow-deletes" in held.out
    assert len(project.sandbox.state.requests) == before
    assert project.members() == addresses(*range(1, 11))
    passed = project.run("run-sync", "people", "--allow-deletes", "--json")
    assert (passed.code, passed.document["succeeded"]) == (0, counts(delete=6))
    assert project.members() == addresses(1, 2, 3, 4)
    assert [status for _, status in project.runs()] == ["succeeded", "held", "succeeded"]


def test_a_plan_file_is_sent_as_it_was_or_not_at_all(project: Project) -> None:
    project.people(1, 2, 3)
    planned = project.run("plan", "people", "--json", "--detailed-exitcode", "--out", "plan.json")
    assert planned.code == 10
    document = planned.document
    assert (document["status"], document["run_id"], document["held"]) == ("planned", None, False)
    assert document["planned"] == counts(insert=3)
    assert document["requests"] == 2  # one to find the list
    who = {"identity": "p1@example.com", "primary_key": "1"}
    sample = {**who, "values": {"plan": "free"}, "before": None, "retry": False}
    assert sample in document["samples"]["insert"]
    assert project.sandbox.state.requests == []
    written = json.loads((project.folder / "plan.json").read_text())
    assert (written["sync"], written["digest"]) == ("people", document["digest"])

    sent = project.run("run-sync", "people", "--plan", "plan.json", "--json")
    assert (sent.code, sent.document["succeeded"]) == (0, counts(insert=3))
    refused = project.here("run-sync", "people", "--plan", "plan.json", "--json")
    assert (refused.code, refused.document["error_code"]) == (1, "plan_refused")
    assert project.here("plan", "people", "--detailed-exitcode").code == 0


def test_a_plan_of_a_change_since_it_was_written_is_refused(on_duckdb: Project) -> None:
    on_duckdb.people(1, 2)
    assert on_duckdb.here("plan", "people", "--out", "plan.json").code == 0
    on_duckdb.execute("update people set plan = 'paid' where id = 2")
    refused = on_duckdb.here("run-sync", "people", "--plan", "plan.json")
    assert refused.code == 1
    assert "Nothing was sent" in refused.out
    assert on_duckdb.sent() == []


def test_the_plan_of_a_full_run_is_run_in_full(on_duckdb: Project) -> None:
    on_duckdb.people(1, 2)
    assert on_duckdb.here("run-sync", "people").code == 0
    planned = on_duckdb.here("plan", "people", "--full", "--json", "--out", "plan.json")
    assert planned.document["planned"] == counts(update=2)
    sent = on_duckdb.here("run-sync", "people", "--plan", "plan.json", "--json")
    assert (sent.code, sent.document["succeeded"]) == (0, counts(update=2))


def test_a_wrong_key_ends_the_run_and_marks_nobody(on_duckdb: Project) -> None:
    on_duckdb.people(1, 2)
    on_duckdb.secrets.append("another-canary")
    refused = on_duckdb.run("run-sync", "people", "--json", API_KEY="another-canary")
    assert (refused.code, refused.document["status"]) == (1, "failed")
    assert refused.document["error_code"] == "unauthorized"
    assert refused.document["failed"] == counts()
    assert on_duckdb.here("run-sync", "people").code == 0
    assert on_duckdb.members() == addresses(1, 2)


def test_a_destination_that_repeats_the_key_does_not_spread_it(on_duckdb: Project) -> None:
    on_duckdb.people(1, 2)
    answer = f"the key {KEY} is not welcome here"
    on_duckdb.sandbox.faults = [Fault("status", match=SUBSCRIBE, status=400, msg=answer)]
    first = on_duckdb.here("run-sync", "people", "--json")
    assert first.code == 3
    reasons = [
        f["error_reason"]
        for f in on_duckdb.here("failures", "people", "--json").document["failures"]
    ]
    assert any("is not welcome here" in reason for reason in reasons)


def test_two_runs_of_one_sync_at_once(on_postgresql: Project) -> None:
    project = on_postgresql
    project.people(1)
    # The first run tries again and again until the fault is gone.
    project.sandbox.faults = [Fault("status", match=SUBSCRIBE, status=503)]
    first = project.start("run-sync", "people")
    until(lambda: bool(project.sent()), first)
    second = project.run("run-sync", "people", "--json")
    assert (second.code, second.document["status"]) == (5, "busy")
    assert second.document["run_id"] is None
    status = project.here("status", "--json")
    assert status.code == 0
    assert [s["running"] for s in status.document["syncs"]] == [True, False]
    project.sandbox.faults = []
    assert project.end(first).code == 0
    assert project.runs() == [(1, "succeeded")]


def test_a_duckdb_file_that_another_process_holds(on_duckdb: Project) -> None:
    on_duckdb.people(1)
    with duckdb.connect(on_duckdb.url.removeprefix("duckdb:///")):
        commands = [("run-sync", "people"), ("plan", "people"), ("status",)]
        running = [on_duckdb.start(*command, "--json") for command in commands]
        run, plan, status = [on_duckdb.end(process) for process in running]
    for done in (run, plan, status):
        assert done.code == 5
        assert str(os.getpid()) in done.out
    assert run.document["status"] == plan.document["status"] == "busy"
    assert [sync["running"] for sync in status.document["syncs"]] == [None, None]


def test_several_syncs_end_as_the_worst_of_them(on_duckdb: Project) -> None:
    on_duckdb.people(1, 2)
    on_duckdb.people(3, plan="paid")
    on_duckdb.sandbox.faults = [
        Fault("refuse", match=SUBSCRIBE, identifiers=("p1@example.com",), bucket="notFound"),
    ]
    done = on_duckdb.run("run-sync", "--all", "--json")
    assert done.code == 3
    assert [sync["sync"] for sync in done.document["syncs"]] == ["people", "payers"]
    statuses = [sync["status"] for sync in done.document["syncs"]]
    assert statuses == ["completed_with_failures", "succeeded"]
    assert "status" not in done.document
    assert on_duckdb.members("Payers") == addresses(3)


# --- interrupted and killed ----------------------------------------------------------------


@contextmanager
def under_way(project: Project, *, seconds: float = 0.15) -> Iterator[subprocess.Popen[str]]:
    """Start a run of 100 people in slow requests of 5, and wait until some are answered."""
    project.people(*range(1, 101))
    project.sandbox.faults = [Fault("latency", match=SUBSCRIBE, seconds=seconds)]
    process = project.start("run-sync", "people", "--json")
    try:
        until(lambda: len(project.sent()) >= 3, process)
        yield process
    finally:
        process.kill()
        process.wait()
        project.sandbox.faults = []


ONE_AT_A_TIME = "requests_per_second: 0\n    records_per_request: 5\n    max_in_flight: 1"


def test_a_signal_ends_a_run_in_order(project: Project) -> None:
    project.write(account=ONE_AT_A_TIME)
    with under_way(project) as process:
        process.send_signal(signal.SIGTERM)
        done = project.end(process)
    assert (done.code, done.document["status"]) == (143, "interrupted")
    assert "stopping" in done.err
    settled = done.document["succeeded"]["insert"]
    assert settled == sum(project.sent())
    assert 15 <= settled < 100

    before = len(project.sent())
    rest = project.run("run-sync", "people", "--json")
    assert rest.code == 0
    assert sum(project.sent()[before:]) == 100 - settled
    assert project.members() == addresses(*range(1, 101))
    assert project.runs() == [(1, "interrupted"), (2, "succeeded")]


def test_a_killed_run_is_settled_by_the_next_one(project: Project) -> None:
    project.write(account=ONE_AT_A_TIME, engine="lease_seconds: 1")
    with under_way(project) as process:
        process.kill()
        assert project.end(process).code == -signal.SIGKILL
    status = project.here("status")
    assert "running" in status.out or "killed while delivering" in status.out
    time.sleep(1)  # the lease of the dead run, where no file lock proves it dead
    shown = project.here("runs", "people").out
    assert "killed while delivering" in shown
    assert "run 1 was killed; the next one settles it first: reverse-etl run-sync people" in shown
    rest = project.run("run-sync", "people", "--json")
    assert rest.code == 0
    assert project.members() == addresses(*range(1, 101))
    assert project.runs() == [(1, "interrupted"), (2, "succeeded")]
    assert project.here("run-sync", "people", "--json").document["planned"] == counts()


def test_a_second_signal_ends_the_process_at_once(on_duckdb: Project) -> None:
    with under_way_slowly(on_duckdb) as process:
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert "stopping" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        done = on_duckdb.end(process)
        assert time.monotonic() - started < 5
    assert (done.code, done.out) == (130, "")
    assert "at once" in done.err


def test_the_wait_for_requests_on_the_wire_is_bounded(on_duckdb: Project) -> None:
    on_duckdb.write(engine="shutdown_seconds: 0.2")
    with under_way_slowly(on_duckdb) as process:
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        done = on_duckdb.end(process)
        assert time.monotonic() - started < 5
    assert done.code == 143
    assert "longer than 0.2 s" in done.err
    assert on_duckdb.here("run-sync", "people").code == 0
    assert on_duckdb.members() == addresses(1)


@contextmanager
def under_way_slowly(project: Project) -> Iterator[subprocess.Popen[str]]:
    """Start a run whose only request is not answered for long."""
    project.people(1)
    project.sandbox.faults = [Fault("hang_before", match=SUBSCRIBE, seconds=20)]
    process = project.start("run-sync", "people", "--json")
    try:
        until(lambda: bool(project.sandbox.plan.report()[0]["struck"]), process)
        yield process
    finally:
        process.kill()
        process.wait()
        project.sandbox.faults = []


# --- by itself -----------------------------------------------------------------------------


def let_be_due(project: Project) -> None:
    """Let the last tick that was served be long ago."""
    project.execute("update reverse_etl.sync_state set due_after = timestamp '2026-01-01 00:00:00'")


def scheduled(project: Project) -> list[tuple[Any, ...]]:
    """Return trigger and tick of the runs."""
    return project.execute(
        "select trigger, scheduled_for from reverse_etl.sync_runs order by sync_run_id"
    )


def test_run_due_serves_what_is_due_and_nothing_else(project: Project) -> None:
    project.people(1, 2)
    first = project.here("run-due", "--json")
    assert (first.code, first.document["syncs"]) == (0, [])
    (waiting,) = first.document["waiting"]
    assert waiting["sync"] == "people", "the other sync has no schedule"
    assert project.members() == set()

    let_be_due(project)
    due_since = project.here("status", "--json").document["syncs"][0]["due_since"]
    assert f"due since {due_since}" in project.here("status").out
    due = project.here("run-due", "--json")
    assert (due.code, due.document["status"], due.document["run_id"]) == (0, "succeeded", 1)
    assert due.document["succeeded"] == counts(insert=2)
    ((trigger, tick),) = scheduled(project)
    assert (trigger, (tick.minute, tick.second)) == ("schedule", (0, 0))
    assert due_since == f"{tick:%Y-%m-%dT%H:%M:%SZ}"
    assert project.here("status", "--json").document["syncs"][0]["due_since"] is None

    again = project.here("run-due")
    assert (again.code, again.out) == (0, f"people: next due {waiting['next_tick']}\n")
    assert len(scheduled(project)) == 1
    assert project.members() == addresses(1, 2)


def test_run_due_sends_what_an_outage_left_but_not_beside_a_run_at_work(
    on_postgresql: Project,
) -> None:
    on_postgresql.people(1, 2)
    on_postgresql.sandbox.faults = [Fault("status", match=SUBSCRIBE, status=401)]
    assert on_postgresql.here("run-due", "--now").code == 1
    on_postgresql.sandbox.faults = []
    held = "update reverse_etl.sync_state set lease_owner = 'a:1', lease_expires_at = {}"
    on_postgresql.execute(held.format("timestamp '2099-01-01 00:00:00'"))
    beside = on_postgresql.here("run-due", "--json")
    assert (beside.code, beside.document["syncs"]) == (0, [])
    on_postgresql.execute(held.format("null"))
    assert on_postgresql.here("run-due", "--json").document["syncs"] == [], "it failed just now"
    on_postgresql.execute(
        "update reverse_etl.sync_runs set finished_at = finished_at - interval '61 seconds'"
    )
    rest = on_postgresql.here("run-due", "--json").document
    assert (rest["status"], rest["succeeded"]) == ("succeeded", counts(insert=2))
    assert [trigger for trigger, _ in scheduled(on_postgresql)] == ["schedule", "schedule"]
    assert scheduled(on_postgresql)[1][1] is None
    assert on_postgresql.here("run-due", "--json").document["syncs"] == []


def test_run_due_now_does_not_wait_for_a_first_tick(project: Project) -> None:
    project.people(1)
    assert project.here("run-due", "--now", "--json").document["status"] == "succeeded"
    assert project.here("run-due", "--now", "--json").document["syncs"] == []


def test_run_due_ends_as_the_run_did(on_duckdb: Project) -> None:
    on_duckdb.people(1)
    on_duckdb.execute("insert into people values (2, 'nobody', 'free')")
    assert on_duckdb.here("run-due", "--now").code == 3
    on_duckdb.sandbox.faults = [Fault("status", match=SUBSCRIBE, status=401)]
    on_duckdb.people(3)
    let_be_due(on_duckdb)
    done = on_duckdb.here("run-due", "--json")
    assert (done.code, done.document["status"]) == (1, "failed")
    on_duckdb.config.write_text("syncs: {}")
    assert on_duckdb.here("run-due").code == 2


def test_run_due_on_a_file_that_is_open_elsewhere_is_busy(on_duckdb: Project) -> None:
    on_duckdb.people(1)
    on_duckdb.here("run-due")
    let_be_due(on_duckdb)
    with duckdb.connect(on_duckdb.url.removeprefix("duckdb:///")):
        done = on_duckdb.run("run-due", "--json")
    assert (done.code, done.document["status"]) == (5, "busy")
    assert on_duckdb.run("run-due", "--json").document["status"] == "succeeded", "it stayed due"


def test_of_two_run_due_at_the_same_moment_one_serves_the_tick(on_postgresql: Project) -> None:
    on_postgresql.people(*range(1, 30))
    on_postgresql.here("run-due")
    for turn in range(1, 4):
        let_be_due(on_postgresql)
        started = [on_postgresql.start("run-due", "--json") for _ in range(3)]
        ended = [on_postgresql.end(process) for process in started]
        # One that is busy, or finds the tick served; nobody sends it again.
        assert {done.code for done in ended} <= {0, 5}
        assert 0 in {done.code for done in ended}
        assert len(scheduled(on_postgresql)) == turn
    assert sum(on_postgresql.sent()) == 29


def test_the_log_as_json_has_the_sync_and_the_run_on_every_line(on_duckdb: Project) -> None:
    on_duckdb.people(1)
    on_duckdb.here("run-due")
    let_be_due(on_duckdb)
    done = on_duckdb.run("run-due", "--json", "--log-format", "json")
    lines = [json.loads(line) for line in done.err.splitlines()]
    assert {(line["sync"], line["run_id"]) for line in lines} == {("people", 1)}
    (ended,) = [line for line in lines if "status" in line]
    assert (ended["status"], ended["succeeded"]) == ("succeeded", counts(insert=1))
    assert all(line["at"].endswith("Z") for line in lines)
    assert {line["level"] for line in lines} <= {"info", "warning"}
    assert "p1@example.com" not in done.err


@contextmanager
def serving(project: Project, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Start the scheduler while a tick is due."""
    project.here("run-due")
    let_be_due(project)
    process = project.start("serve", "--port", "0", *words)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_serve_runs_what_is_due_and_ends_in_order(project: Project) -> None:
    project.people(1, 2, 3)
    with serving(project, "--log-format", "json") as process:
        until(lambda: len(project.members()) == 3, process)
        process.send_signal(signal.SIGTERM)
        done = project.end(process)
    assert (done.code, done.out) == (143, "")
    lines = [json.loads(line) for line in done.err.splitlines()]
    assert {"at", "level", "sync", "run_id", "message"} <= set.intersection(*map(set, lines))
    assert lines[-1]["message"] == "stopped"
    assert project.runs() == [(1, "succeeded")]
    assert [trigger for trigger, _ in scheduled(project)] == ["schedule"]


def test_serve_told_to_stop_settles_what_is_on_the_wire(project: Project) -> None:
    project.write(account=ONE_AT_A_TIME)
    project.people(*range(1, 101))
    with serving(project) as process:
        until(lambda: sum(project.sent()) >= 15, process)
        process.send_signal(signal.SIGTERM)
        done = project.end(process)
    assert done.code == 143
    assert project.runs() == [(1, "interrupted")]
    assert 15 <= sum(project.sent()) < 100
    rest = project.run("run-sync", "people", "--json")
    assert rest.document["succeeded"]["insert"] == 100 - len(
        project.execute("select identity from reverse_etl.sync_log where sync_run_id = 1")
    )
    assert project.members() == addresses(*range(1, 101))


def test_serve_answers_over_http_where_it_says(on_duckdb: Project) -> None:
    on_duckdb.people(1)
    with serving(on_duckdb) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        url = said.split("; ")[1].split()[0]
        assert httpx.get(f"{url}/healthz").json()["status"] == "ok"
        until(lambda: 'runs_total{status="succeeded"' in httpx.get(f"{url}/metrics").text, process)
        port = url.rpartition(":")[2]
        taken = on_duckdb.run("serve", "--port", port)
        assert taken.code == 1
        assert f"cannot listen on 127.0.0.1:{port}" in taken.err
        process.send_signal(signal.SIGINT)
        assert on_duckdb.end(process).code == 130


def test_retain_forgets_the_old_log_of_syncs_that_do_not_run_any_more(project: Project) -> None:
    project.people(1, 2, plan="paid")
    assert project.here("run-sync", "--all").code == 0
    for table, column in (("sync_log", "sync_finished_at"), ("sync_runs", "finished_at")):
        old = f"set {column} = timestamp '2026-01-01 00:00:00'"
        project.execute(f"update reverse_etl.{table} {old}")
    # One sync is paused, the other was removed from the config.
    text = project.config.read_text()
    project.config.write_text(text[: text.index("  payers:")])
    done = project.here("retain", "--json")
    assert (done.code, done.document["shortened"]) == (0, {"local": ["payers", "people"]})
    assert project.execute("select count(*) from reverse_etl.sync_log") == [(0,)]
    assert project.here("retain", "--json").document["shortened"] == {"local": []}
    assert project.here("run-sync", "people", "--json").document["planned"] == counts()


# --- looking -------------------------------------------------------------------------------


def test_what_is_shown_before_and_after_the_first_run(project: Project) -> None:
    project.people(1)
    project.execute("insert into people values (2, null, 'free')")
    never = project.here("status")
    assert never.code == 0
    assert never.out.count("never ran") == 2
    assert project.here("run-sync", "people").code == 3
    status = project.here("status", "--json").document["syncs"]
    people, payers = status
    assert people["last_run"]["status"] == "completed_with_failures"
    assert (people["failed_records_open"], people["running"]) == (1, False)
    assert people["next_tick"].endswith(":00:00Z")
    assert (payers["last_run"], payers["next_tick"]) == (None, None)
    (run,) = project.here("runs", "people", "--json").document["runs"]
    assert (run["sync_run_id"], run["inserts_succeeded"], run["rows_invalid"]) == (1, 1, 1)
    failures = project.here("failures", "people").out
    assert "missing_identifier" in failures
    assert "row:2" in failures


def test_a_duckdb_file_that_is_not_there(on_duckdb: Project) -> None:
    Path(on_duckdb.url.removeprefix("duckdb:///")).unlink()
    for command in (["plan", "people"], ["status"]):
        done = on_duckdb.here(*command)
        assert done.code == 1
        assert "there is no DuckDB file" in done.err
    on_duckdb.execute("create table people (id integer, email varchar, plan varchar)")


def test_another_account_is_refused_by_plan_and_run(on_duckdb: Project) -> None:
    on_duckdb.people(1)
    assert on_duckdb.here("run-sync", "people").code == 0
    text = on_duckdb.config.read_text().replace("{name: People}", "{name: Others}")
    on_duckdb.config.write_text(text)
    for command in ("plan", "run-sync"):
        done = on_duckdb.here(command, "people", "--json")
        assert (done.code, done.document["error_code"]) == (1, "account_changed")
    full = on_duckdb.here("plan", "people", "--full", "--json").document
    assert full["planned"] == counts(insert=1)


# --- the config and the arguments ----------------------------------------------------------


def test_every_config_problem_is_told_with_its_place(on_duckdb: Project) -> None:
    text = on_duckdb.config.read_text().replace("fields:", "feilds:")
    on_duckdb.config.write_text(text.replace("API_KEY", "NO_SUCH_KEY"))
    for command in (["validate"], ["run-sync", "people"]):
        plain = on_duckdb.run(*command)
        assert (plain.code, plain.out) == (2, "")
        lines = plain.err.splitlines()
        assert [line.split(" ")[0] for line in lines] == ["config.yaml:6:14:", "config.yaml:15:5:"]
    assert on_duckdb.run("validate", "--json").document["problems"] == lines
    assert on_duckdb.sandbox.state.requests == []


# --- other ways in and out -----------------------------------------------------------------


def test_the_script_run_sync_is_the_command_run_sync(on_duckdb: Project) -> None:
    on_duckdb.people(1)
    script = Path(sys.executable).with_name("run-sync")
    done = subprocess.run(
        [script, "people", "--json", "--config", on_duckdb.config],
        env=on_duckdb.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["succeeded"] == counts(insert=1)


def test_the_sandbox_command_is_a_destination(on_duckdb: Project) -> None:
    on_duckdb.people(1)
    serving = on_duckdb.start("sandbox", "--json", "--port", "0", "--api-key", KEY)
    try:
        assert serving.stdout is not None
        lines = [serving.stdout.readline()]
        while lines[-1].rstrip() != "}":
            lines.append(serving.stdout.readline())
        url = json.loads("".join(lines))["url"]
        text = on_duckdb.config.read_text().replace(on_duckdb.sandbox.url, url)
        on_duckdb.config.write_text(text)
        assert on_duckdb.run("run-sync", "people").code == 0
        serving.terminate()
        assert serving.wait(PATIENCE_SECONDS) == 0
    finally:
        serving.kill()
        serving.communicate()


@pytest.mark.parametrize("colours", [True, False])
def test_on_a_terminal(on_duckdb: Project, *, colours: bool) -> None:
    """Colours and a bar on a terminal; none with NO_COLOR; the text is the same."""
    on_duckdb.people(1, 2)
    more = {"TERM": "xterm"} if colours else {"TERM": "xterm", "NO_COLOR": "1"}
    code, seen = _on_terminal(on_duckdb, ["run-sync", "people"], more)
    assert code == 0
    assert "people run 1: succeeded" in seen
    assert "  insert: 2 of 2" in seen
    assert ("\x1b[32m" in seen) is colours


def _on_terminal(
    project: Project, words: Sequence[str], more: Mapping[str, str]
) -> tuple[int, str]:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "reverse_etl", *words],
        cwd=project.folder,
        env=project.environment(**more),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    with open(ours, "rb", buffering=0) as terminal:  # noqa: PTH123 - a descriptor
        while True:
            try:
                part = terminal.read(4096)
            except OSError:  # Linux says so when the other side is closed
                break
            if not part:
                break
            seen += part
    return process.wait(PATIENCE_SECONDS), seen.decode()


def test_a_reader_that_goes_away_does_not_end_a_run(on_duckdb: Project) -> None:
    on_duckdb.people(1, 2)
    process = on_duckdb.start("run-sync", "people")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr as stderr:
        assert stderr.read() == ""
    assert process.wait(PATIENCE_SECONDS) == 0
    assert on_duckdb.runs() == [(1, "succeeded")]

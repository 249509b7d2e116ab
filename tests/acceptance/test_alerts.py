"""Webhooks, told over real HTTP on loopback by real runs; only the waiting is left out."""

from __future__ import annotations

import io
import json
import logging
import os
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from pydantic import SecretStr

from connectors.iterable.sandbox import Fault
from reverse_etl.alerts import Alerts
from reverse_etl.cli.app import run
from reverse_etl.config import Config, NotificationConfig, WarehouseConfig
from reverse_etl.ports import Ports
from reverse_etl.report import RunSummary
from reverse_etl.run import Options
from reverse_etl.runner import Runner
from tests import documents
from tests.world import SYNC, World, address

SECRET = "canary-0a7d51c3"
EVERY = ("failed", "held", "failures", "stale", "recovered")
BROKEN_OFF = 0


@dataclass
class Hook:
    """A webhook that notes what it is told.

    Attributes:
        answers: The status of each answer to come, 0 for none; 200 when there are no more.
        told: The documents that it has accepted.
        refused: How many it has not.
        paths: Path and query of each request.
        meanwhile: Called before each answer.
    """

    answers: list[int] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)
    refused: int = 0
    paths: list[str] = field(default_factory=list)
    meanwhile: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/services/{SECRET}?sig={SECRET}"

    @property
    def events(self) -> list[str]:
        return [each["event"] for each in self.told]

    def entry(self, *events: str, **keys: Any) -> NotificationConfig:
        return NotificationConfig(url=SecretStr(self.url), on=cast("Any", events or EVERY), **keys)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                hook.paths.append(self.path)
                hook.meanwhile()
                status = hook.answers.pop(0) if hook.answers else 200
                if status == 200:
                    hook.told.append(json.loads(body))
                else:
                    hook.refused += 1
                if status == BROKEN_OFF:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(status)
                # What a server says may repeat the secret.
                self.send_header("x-path", self.path)
                self.end_headers()
                self.wfile.write(self.path.encode())

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@pytest.fixture
def new_hook() -> Iterator[Callable[[], Hook]]:
    made: list[Hook] = []

    def make() -> Hook:
        made.append(Hook())
        return made[-1]

    yield make
    for hook in made:
        hook.close()


@pytest.fixture
def hook(new_hook: Callable[[], Hook]) -> Hook:
    return new_hook()


def ports_of(world: World) -> Ports:
    return Ports(world.clock, random.Random(7), transport=world._transport)


def told_config(world: World, *entries: NotificationConfig) -> Config:
    return replace(world.config(), notifications=entries)


def run_once(world: World, *entries: NotificationConfig, **options: Any) -> RunSummary:
    """Run the sync as a command does: what it knows, it knows from the warehouse."""
    world.database.release()
    return Runner(told_config(world, *entries), ports_of(world)).run(SYNC, Options(**options))


def alerts_of(world: World) -> dict[str, str]:
    rows = world.sql("SELECT alerts FROM reverse_etl.sync_state")
    found: dict[str, str] = json.loads(rows[0]["alerts"] or "{}")
    return found


def break_the_query(world: World) -> None:
    world.sync["source"] = {**world.sync["source"], "query": "select * from nowhere"}


def mend_the_query(world: World) -> None:
    world.sync["source"] = {**world.sync["source"], "query": "select * from people"}


# --- one message for each change -----------------------------------------------------------


def test_three_failing_runs_are_one_message_and_the_next_good_one_another(
    world: World, hook: Hook
) -> None:
    world.put_emails("ada", "bob")
    assert run_once(world, hook.entry()).status == "succeeded"
    assert hook.told == []
    break_the_query(world)
    reports = [run_once(world, hook.entry()) for _ in range(3)]
    assert [report.status for report in reports] == ["failed"] * 3
    assert hook.events == ["failed"]
    assert hook.told[0]["run_id"] == 2
    assert hook.told[0]["error"] == reports[0].error
    assert list(alerts_of(world).values()) == ["failed"]
    mend_the_query(world)
    for _ in range(2):
        assert run_once(world, hook.entry()).status == "succeeded"
    assert hook.events == ["failed", "recovered"]
    assert (hook.told[1]["run_id"], hook.told[1]["status"]) == (5, "succeeded")
    assert alerts_of(world) == {}
    assert hook.paths == [f"/services/{SECRET}?sig={SECRET}"] * 2


def test_a_held_run_names_nobody(world: World, hook: Hook) -> None:
    people = [f"canary{n}" for n in range(10)]
    world.sync["max_delete_percent"] = 50
    world.put_emails(*people)
    run_once(world, hook.entry())
    world.put_emails(*people[:2])
    report = run_once(world, hook.entry())
    assert report.status == "held"
    assert any(address(name) in str(report.error) for name in people[2:])
    (told,) = hook.told
    assert (told["event"], told["error_code"]) == ("held", "held")
    assert "--allow-deletes" in told["error"]
    assert "canary" not in json.dumps(told)
    run_once(world, hook.entry(), allow_deletes=True)
    assert hook.events == ["held", "recovered"]


def test_a_run_with_many_failures_is_told_to_who_minds(
    world: World, new_hook: Callable[[], Hook]
) -> None:
    strict, lenient = new_hook(), new_hook()
    world.put_emails(*(f"canary{n}" for n in range(10)))
    refused = (address("canary3"), address("canary7"))
    world.faults = [
        Fault("refuse", match="/api/lists/subscribe", identifiers=refused, bucket="notFound")
    ]
    entries = (strict.entry(failed_percent=19.9), lenient.entry(failed_percent=20))
    assert run_once(world, *entries).status == "completed_with_failures"
    assert (strict.events, lenient.events) == (["failures"], [])
    assert strict.told[0]["failed"] == {"insert": 2, "update": 0, "delete": 0}
    assert strict.told[0]["failed_records_open"] == 2
    assert "canary" not in json.dumps(strict.told)
    world.faults = []
    run_once(world, *entries)
    assert (strict.events, lenient.events) == (["failures", "recovered"], [])


def test_a_sync_that_stands_still_is_told_once_and_recovers(world: World, hook: Hook) -> None:
    world.put_emails("ada")
    run_once(world)
    now = world.clock.now().replace(tzinfo=None)
    since = now - timedelta(hours=24, seconds=1)
    for _ in range(2):  # each time another process
        Alerts(told_config(world, hook.entry()), ports_of(world)).check_stale(SYNC, since, now)
    assert hook.events == ["stale"]
    assert hook.told[0]["last_success"] == f"{since.isoformat(timespec='seconds')}Z"
    assert list(alerts_of(world).values()) == ["stale"]
    run_once(world, hook.entry())
    assert hook.events == ["stale", "recovered"]
    break_the_query(world)
    run_once(world, hook.entry())
    Alerts(told_config(world, hook.entry()), ports_of(world)).check_stale(SYNC, since, now)
    assert hook.events == ["stale", "recovered", "failed"]


def test_slack_is_told_in_its_own_form(world: World, hook: Hook) -> None:
    break_the_query(world)
    report = run_once(world, hook.entry(format="slack"))
    (told,) = hook.told
    assert list(told) == ["text"]
    head, _, step = told["text"].rpartition("\n")
    assert head == f"vip failed (run {report.run_id}): {report.error}"
    assert step == "See how it stands with: reverse-etl status"


# --- webhooks that fail --------------------------------------------------------------------


@pytest.mark.parametrize("answers", [[500, 503, 429], [BROKEN_OFF] * 3, [404], [302]])
def test_what_was_not_accepted_is_told_after_the_next_run(
    world: World, hook: Hook, answers: list[int]
) -> None:
    break_the_query(world)
    hook.answers = [*answers]
    assert run_once(world, hook.entry()).status == "failed"
    assert (hook.refused, hook.told) == (len(answers), [])
    assert alerts_of(world) == {}
    for _ in range(2):
        run_once(world, hook.entry())
    assert hook.events == ["failed"]
    assert hook.told[0]["run_id"] == 2


def test_a_webhook_that_stumbles_is_told_by_the_same_run(world: World, hook: Hook) -> None:
    break_the_query(world)
    hook.answers = [BROKEN_OFF, 503]
    run_once(world, hook.entry())
    assert (hook.refused, hook.events) == (2, ["failed"])


def test_a_broken_webhook_does_not_repeat_what_a_good_one_was_told(
    world: World, new_hook: Callable[[], Hook]
) -> None:
    broken, good = new_hook(), new_hook()
    broken.answers = [404] * 3
    break_the_query(world)
    for _ in range(3):
        run_once(world, broken.entry(), good.entry())
    assert (broken.refused, broken.told, good.events) == (3, [], ["failed"])
    mend_the_query(world)
    world.put_emails("ada")
    run_once(world, broken.entry(), good.entry())
    # Who never heard that it failed does not hear that it recovered.
    assert (broken.told, good.events) == ([], ["failed", "recovered"])


def test_a_webhook_that_is_added_later_is_told_and_the_others_are_not(
    world: World, new_hook: Callable[[], Hook]
) -> None:
    old, new = new_hook(), new_hook()
    break_the_query(world)
    run_once(world, old.entry())
    for _ in range(2):
        run_once(world, old.entry(), new.entry())
    assert (old.events, new.events) == (["failed"], ["failed"])
    mend_the_query(world)
    run_once(world, new.entry())
    assert new.events == ["failed", "recovered"]
    # What is known of a webhook that is in this config no more stays known.
    assert list(alerts_of(world).values()) == ["failed"]


def test_two_that_tell_at_the_same_moment_both_keep_what_they_told(
    world: World, hook: Hook
) -> None:
    run_once(world)
    world.database.release()
    config = told_config(world, hook.entry())
    keys = [f"key{n}" for n in range(12)]

    def keep(some: list[str]) -> None:
        for key in some:
            Alerts(config, ports_of(world))._write(SYNC, {key: "failed"})

    threads = [threading.Thread(target=keep, args=(keys[n::2],)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert alerts_of(world) == dict.fromkeys(keys, "failed")


def test_a_broken_webhook_does_not_harm_the_run(
    world: World, hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    world.put_emails("ada", "bob")
    break_the_query(world)
    alone = run_once(world)
    hook.answers = [404] * 9
    gone = NotificationConfig(url=SecretStr(f"http://127.0.0.1:{unused_port()}/{SECRET}"))
    told = run_once(world, hook.entry(), gone)
    assert told.exit_code == alone.exit_code == 1
    differing = {"run_id", "seconds"}
    assert {**told.document(), **dict.fromkeys(differing)} == {
        **alone.document(),
        **dict.fromkeys(differing),
    }
    logged = [
        record for record in caplog.records if "was not told that vip: failed" in record.message
    ]
    assert [(r.levelname, vars(r)["sync"], vars(r)["run_id"]) for r in logged] == [
        ("WARNING", "vip", 2)
    ] * 2
    assert "notifications[0] (http://127.0.0.1)" in logged[0].message
    assert "it answered 404" in logged[0].message
    mend_the_query(world)
    assert run_once(world, hook.entry(), gone).status == "succeeded"
    assert world.members() == {address("ada"), address("bob")}


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


# --- warehouses that fail ------------------------------------------------------------------


def away(config: Config, folder: Path) -> Config:
    """Return the config with a warehouse that cannot be opened."""
    url = f"duckdb:///{folder}/missing/warehouse.duckdb"
    return replace(config, warehouses={"local": WarehouseConfig(url=SecretStr(url))})


@pytest.mark.parametrize("told_before", [False, True])
def test_a_scheduler_tells_once_that_the_warehouse_is_away(
    world: World,
    hook: Hook,
    tmp_path: Path,
    told_before: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    world.put_emails("ada")
    world.database.release()
    here = told_config(world, hook.entry())
    runner = Runner(here, ports_of(world))
    assert runner.run(SYNC).status == "succeeded"
    if told_before:
        break_the_query(world)
        runner = runner.with_config(told_config(world, hook.entry()))
        assert runner.run(SYNC).status == "failed"
        mend_the_query(world)
    runner = runner.with_config(away(here, tmp_path))
    for _ in range(3):
        report = runner.run(SYNC)
        assert (report.status, report.run_id) == ("failed", None)
    assert hook.events == ["failed"]
    runner = runner.with_config(here)
    assert runner.run(SYNC).status == "succeeded"
    assert hook.events == ["failed", "recovered"]
    assert alerts_of(world) == {}


def test_what_was_told_meanwhile_is_written_down_when_the_warehouse_is_back(
    world: World, hook: Hook, tmp_path: Path
) -> None:
    world.database.release()
    here = told_config(world, hook.entry())
    runner = Runner(away(here, tmp_path), ports_of(world))
    runner.run(SYNC)
    assert hook.events == ["failed"]
    break_the_query(world)
    runner = runner.with_config(told_config(world, hook.entry()))
    assert runner.run(SYNC).status == "failed"
    assert list(alerts_of(world).values()) == ["failed"]
    run_once(world, hook.entry())  # another process, which knows it now too
    assert hook.events == ["failed"]


def test_a_command_that_cannot_remember_rather_tells_twice(
    world: World, hook: Hook, tmp_path: Path
) -> None:
    config = away(told_config(world, hook.entry()), tmp_path)
    for _ in range(2):
        Runner(config, ports_of(world)).run(SYNC)
    assert hook.events == ["failed", "failed"]


def test_a_sync_without_a_row_gets_one(world: World, hook: Hook) -> None:
    """Its run was refused before it had come to that."""
    world.database.release()
    alerts = Alerts(told_config(world, hook.entry()), ports_of(world))
    alerts.after_run(RunSummary(SYNC, status="failed", error_code="x", error="refused"))
    assert hook.told[0]["text"] == "vip failed (no run): refused"
    assert list(alerts_of(world).values()) == ["failed"]
    world.put_emails("ada")
    assert run_once(world, hook.entry()).status == "succeeded"
    assert hook.events == ["failed", "recovered"]


@pytest.mark.parametrize("database", ["duckdb"], indirect=True)
def test_a_duckdb_file_that_another_process_holds_is_no_harm(
    world: World, hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    world.put_emails("ada")
    run_once(world)
    world.database.release()
    alerts = Alerts(told_config(world, hook.entry()), ports_of(world))
    report = RunSummary(SYNC, run_id=1, status="failed", error="x")
    with holding(world):
        alerts.after_run(report)
    assert hook.events == ["failed"]
    assert "cannot be read" in caplog.text
    assert "cannot be kept" in caplog.text
    assert alerts_of(world) == {}
    world.database.release()
    alerts.after_run(report)
    assert hook.events == ["failed"]
    assert list(alerts_of(world).values()) == ["failed"]


HOLD = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print(1, flush=True); input()"


class holding:  # noqa: N801 - reads as a word of the test
    """Another process holds the DuckDB file of the world."""

    def __init__(self, world: World) -> None:
        self._path = world.database.url.removeprefix("duckdb:///")

    def __enter__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", HOLD, self._path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "1\n"

    def __exit__(self, *_: object) -> None:
        self._process.communicate("\n")


@pytest.mark.parametrize("database", ["duckdb"], indirect=True)
def test_nothing_is_open_while_a_webhook_takes_its_time(world: World, hook: Hook) -> None:
    done: list[int] = []

    def other_process() -> None:
        code = "import duckdb, sys; duckdb.connect(sys.argv[1]).execute('create table t (a int)')"
        path = world.database.url.removeprefix("duckdb:///")
        done.append(subprocess.run([sys.executable, "-c", code, path], check=False).returncode)

    hook.meanwhile = other_process
    break_the_query(world)
    run_once(world, hook.entry())
    assert (done, hook.events) == ([0], ["failed"])


@pytest.mark.parametrize("database", ["duckdb"], indirect=True)
def test_a_look_does_not_keep_another_sync_of_the_process_from_its_run(
    world: World, hook: Hook
) -> None:
    """A process may open a DuckDB file only with one configuration."""
    world.put_emails("ada")
    run_once(world)
    world.database.release()
    alerts = Alerts(told_config(world, hook.entry()), ports_of(world))
    with alerts._opened(SYNC):
        assert run_once(world).status == "succeeded"


# --- the secret ----------------------------------------------------------------------------


def write_config(world: World, *urls: str) -> dict[str, str]:
    """Write the config with webhooks; return the environment of a command."""
    world.config()
    world.database.release()
    path = world.folder / "config.yaml"
    document = yaml.safe_load(path.read_text())
    names = [f"HOOK_{n}" for n in range(len(urls))]
    document["notifications"] = [{"url": f"${{{name}}}"} for name in names]
    path.write_text(yaml.safe_dump(document))
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {
        **kept,
        "ITERABLE_API_KEY": world.key,
        "WAREHOUSE_URL": world.database.url,
        "REVERSE_ETL_CONFIG": str(path),
        **dict(zip(names, urls, strict=True)),
    }


def test_the_url_is_in_no_output_no_log_and_no_table(
    world: World, new_hook: Callable[[], Hook], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    good, refusing = new_hook(), new_hook()
    refusing.answers = [404] * 9
    gone = f"http://127.0.0.1:{unused_port()}/services/{SECRET}"
    world.put_emails("ada")
    break_the_query(world)
    entries = [
        good.entry(),
        refusing.entry(),
        NotificationConfig(url=SecretStr(gone)),
    ]
    run_once(world, *entries)
    assert "was told that vip: failed" in caplog.text
    assert "was not told that vip: failed" in caplog.text
    environment = write_config(world, good.url, refusing.url, gone)
    done = subprocess.run(
        [sys.executable, "-m", "reverse_etl", "run-sync", SYNC, "--json"],
        env=environment,
        cwd=world.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "it answered 404" in done.stderr
    assert good.events == ["failed"]
    tables = "".join(
        str(world.sql(f"SELECT * FROM reverse_etl.{table}"))  # noqa: S608 - the test's own
        for table in ("sync_state", "sync_runs")
    )
    assert "failed" in tables
    for shown in (caplog.text, done.stdout, done.stderr, tables):
        assert SECRET not in shown


# --- the command ---------------------------------------------------------------------------


def test_the_command_says_who_took_the_message(
    world: World, new_hook: Callable[[], Hook], monkeypatch: pytest.MonkeyPatch
) -> None:
    good, refusing = new_hook(), new_hook()
    environment = write_config(world, good.url, refusing.url)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    code, out, err = command("test-notifications")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "notifications[0] (http://127.0.0.1): accepted",
        "notifications[1] (http://127.0.0.1): accepted",
    ]
    assert good.events == refusing.events == ["test"]
    assert good.told[0]["sync"] is None
    refusing.answers = [403]
    code, out, err = command("test-notifications", "--json")
    assert (code, err) == (1, "")
    assert documents.read(["test-notifications"], out) == {
        "format_version": "1.0",
        "notifications": [
            {
                "number": 0,
                "place": "http://127.0.0.1",
                "format": "json",
                "accepted": True,
                "problem": None,
            },
            {
                "number": 1,
                "place": "http://127.0.0.1",
                "format": "json",
                "accepted": False,
                "problem": "it answered 403",
            },
        ],
    }
    refusing.answers = [403]
    code, out, _ = command("test-notifications")
    assert code == 1
    assert "notifications[1] (http://127.0.0.1): not delivered: it answered 403" in out
    assert SECRET not in out
    # Nothing was asked of the warehouse, and nothing is remembered.
    assert "sync_state" not in world.tables()


def test_the_command_needs_webhooks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in write_config(world).items():
        monkeypatch.setenv(name, value)
    code, out, err = command("test-notifications", "--json")
    assert code == 2
    assert documents.read(["test-notifications"], out)["error_code"] == "config_error"
    assert "notifications: there are none to test" in err


def command(*words: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run(words)
    return code, out.getvalue(), err.getvalue()

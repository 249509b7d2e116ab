"""What every command prints with ``--json`` is as its schema says, in each of its forms.

The story is told once, by real commands. It meets every form of every document, and its documents
are the examples of ``docs/json.md``. They are written anew with::

    REWRITE_EXAMPLES=1 .venv/bin/pytest tests/acceptance/test_json_documents.py && make docs-pages
"""

from __future__ import annotations

import copy
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import duckdb
import pytest
from jsonschema import Draft202012Validator

from connectors.iterable.sandbox import Fault, Sandbox
from reverse_etl.cli import app
from tests import documents

FOLDER = documents.FOLDER
ERRORS = {"ConfigErrorDocument", "UsageErrorDocument", "ErrorDocument"}

# Without such a key a document is as it would be without an option, or the one of an error.
MAY_BE_MISSING = {("init", "tables"), ("validate", "schedules"), ("audit", "sync")}
OF_NO_TYPE = [0.5]

KEY = "canary-3f9a27c1d4"
SYNC = "vip_customers"
REWRITE = bool(os.environ.get("REWRITE_EXAMPLES"))
PATIENCE_SECONDS = 60.0

CONFIG = """\
warehouses:
  shop: {{url: "duckdb:///shop.duckdb"}}
  archive: {{url: "duckdb:///archive.duckdb"}}
destinations:
  iterable:
    type: iterable
    api_key: ${{API_KEY}}
    base_url: {sandbox}
notifications:
  - {{url: "{webhook}"}}
syncs:
  vip_customers:
    source:
      warehouse: shop
      query: select customer_id, email, plan from customers where lifetime_value > 1000
      primary_key: customer_id
    destination: {{name: iterable, object: list, list: {{name: VIP customers}}}}
    identifiers: {{email: email}}
    fields: {{plan: plan}}
    schedule: {{type: cron, expression: 0 4 1 * *}}
  plans:
    source: {{warehouse: shop, table: customers, primary_key: customer_id}}
    destination: {{name: iterable, object: user}}
    identifiers: {{email: email}}
    fields: {{plan: plan}}
    schedule: {{type: cron, expression: 0 5 1 * *}}
"""

CUSTOMERS = """\
create table customers (
  customer_id integer primary key, email varchar, plan varchar, lifetime_value decimal(12, 2));
insert into customers values
  (1, 'ada@example.com', 'gold', 2400), (2, 'grace@example.com', 'gold', 1900.50),
  (3, 'hedy@example.net', 'silver', 1200), (4, null, 'silver', 1100),
  (5, 'joan@example.net', 'free', 20)
"""

LET_BE_DUE = """\
update reverse_etl.sync_state set due_after = timestamp '2020-01-01 00:00:00'
where sync_name = 'vip_customers'
"""

LET_BE_OLD = """\
update reverse_etl.sync_log set sync_finished_at = timestamp '2020-01-01 00:00:00';
update reverse_etl.sync_runs set finished_at = timestamp '2020-01-01 00:00:00'
"""


@dataclass
class Shop:
    """A folder with a config and a warehouse, and what the commands said there."""

    folder: Path
    sandbox: Sandbox
    said: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    examples: dict[str, dict[str, Any]] = field(default_factory=dict)
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    def sql(self, statements: str, warehouse: str = "shop") -> None:
        with duckdb.connect(str(self.folder / f"{warehouse}.duckdb")) as connection:
            connection.execute(statements)

    def run(self, *words: str, ends: int = 0, example: bool = False) -> dict[str, Any]:
        """Run a command here; it must end with that exit code."""
        out, err = io.StringIO(), io.StringIO()
        with chdir(self.folder), redirect_stdout(out), redirect_stderr(err):
            code = app.run([*words, "--json"])
        assert code == ends, (words, out.getvalue(), err.getvalue())
        return self.take(words, out.getvalue(), example=example)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command as a process of its own."""
        process = subprocess.Popen(
            [sys.executable, "-m", "reverse_etl", *words, "--json"],
            cwd=self.folder,
            env={**os.environ, "API_KEY": KEY},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def stop(self, process: subprocess.Popen[str], *words: str, ends: int) -> None:
        """Tell a process to stop, and take what it says in the end."""
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == ends
        self.take(words, out, example=True)

    def leave_nothing_behind(self) -> None:
        """End what a story that broke off left running, and close its pipes."""
        for process in self.processes:
            process.kill()
            with process:
                pass

    def take(self, words: tuple[str, ...], text: str, *, example: bool = False) -> dict[str, Any]:
        """Hold a document against its schema, and keep it."""
        assert KEY not in text
        # Examples are shown, so they name no place of this machine.
        text = text.replace(str(self.folder), "/srv/shop")
        document = documents.read(words, text)
        return self.keep(documents.name_of(words), document, example=example)

    def keep(self, name: str, document: dict[str, Any], *, example: bool = False) -> dict[str, Any]:
        self.said.append((name, document))
        if example:
            self.examples[name] = document
        return document

    def told(self, name: str) -> dict[str, dict[str, Any]]:
        """Return a document of each form that was met."""
        said = [document for of, document in self.said if name in {of, "error"}]
        return {
            form: next(filter(looking.is_valid, said))
            for form, looking in documents.forms(name).items()
            if any(map(looking.is_valid, said))
        }


# --- the story -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Return a shop in which every command was called."""
    folder = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch, Sandbox(api_key=KEY) as sandbox:
        patch.setenv("API_KEY", KEY)
        patch.delenv("REVERSE_ETL_CONFIG", raising=False)
        with webhook() as url:
            text = CONFIG.format(sandbox=sandbox.url, webhook=url)
            told = Shop(folder, sandbox)
            told.config.write_text(text)
            told.sql(CUSTOMERS)
            try:
                begin(told)
                run_and_look(told)
                a_day_later(told)
                by_itself(told)
                go_wrong(told, patch)
            finally:
                told.leave_nothing_behind()
        yield told


@contextmanager
def webhook() -> Iterator[str]:
    """Return where messages are taken."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def begin(shop: Shop) -> None:
    """Everything before the first run."""
    shop.run("--version", example=True)
    config_schema = shop.run("schema")["schema"]
    head = {key: value for key, value in config_schema.items() if isinstance(value, str)}
    shop.keep("schema", {"format_version": "1.0", "schema": head}, example=True)
    shop.run("explain-error", "not_found", example=True)
    shop.run("explain-error")
    warehouse = ("init", "--from-warehouse", "duckdb:///shop.duckdb")
    shop.run(*warehouse, ends=2)
    shop.run(*warehouse, "--table", "customers", "--folder", "proposed", example=True)
    shop.run("init", "--folder", "sample")
    shop.run("validate")
    shop.run("validate", "--schedules", example=True)
    shop.run("check", SYNC, example=True)
    shop.run("test-notifications", example=True)
    shop.run("runs", SYNC)
    shop.run("status")
    shop.run("failures", SYNC)
    shop.run("audit", SYNC)
    shop.run("explain", SYNC, "--key", "1")
    shop.run("run-due")


def run_and_look(shop: Shop) -> None:
    """A first run, in which somebody is refused."""
    shop.sandbox.faults = [
        Fault("refuse", identifiers=("grace@example.com",), bucket="notFound"),
        Fault("refuse", identifiers=("hedy@example.net",), bucket="forgotten"),
    ]
    shop.run("plan", SYNC, "--out", "vip.plan")
    plan = json.loads((shop.folder / "vip.plan").read_text())
    shop.keep("plan-file", documents.valid("plan-file", plan), example=True)
    shop.run("run-sync", SYNC, "--plan", "vip.plan", ends=3)
    shop.run("run-sync", SYNC, "--plan", "vip.plan", ends=1)
    shop.run("run-sync", "--all", ends=3)
    shop.run("failures", SYNC, example=True)
    shop.run("retry", SYNC, "--reason", "forgotten", example=True)
    shop.run("failures", SYNC, "--reason", "forgotten")
    shop.run("explain", SYNC, "--key", "4")
    shop.run("lists", "iterable", example=True)
    shop.sandbox.faults = []


def a_day_later(shop: Shop) -> None:
    """People join and change; somebody is taken off the list by hand; nearly all leave."""
    shop.sql("update customers set plan = 'platinum' where customer_id = 1")
    shop.sql("update customers set lifetime_value = 1500 where customer_id = 5")
    shop.run("explain", SYNC, "--identity", "grace@example.com", example=True)
    shop.run("plan", SYNC, "--detailed-exitcode", ends=10, example=True)
    shop.run("run-sync", SYNC, example=True)
    (members,) = [each.members for each in shop.sandbox.state.lists.values()]
    members.remove(min(members))
    shop.run("audit", SYNC, ends=1, example=True)
    shop.run("audit", SYNC, "--repair")
    shop.run("audit", "plans", ends=1)
    shop.sql("update customers set lifetime_value = 10")
    shop.run("plan", SYNC)
    shop.run("run-sync", SYNC, ends=4)
    text = shop.config.read_text()
    shop.config.write_text(text.replace("lifetime_value", "lifetime"))
    shop.run("explain", SYNC, "--key", "1")
    shop.config.write_text(text)
    shop.run("runs", SYNC, "--limit", "1", example=True)
    shop.run("status", example=True)


def by_itself(shop: Shop) -> None:
    """Schedules, and what runs until it is told to stop."""
    shop.sql("update customers set lifetime_value = 1400 where customer_id < 4")
    shop.sql(LET_BE_DUE)
    shop.run("run-due", example=True)
    shop.sql(LET_BE_OLD)
    shop.run("retain", example=True)
    serve = shop.start("serve", "--port", "0")
    assert serve.stderr is not None
    assert "serving" in serve.stderr.readline()
    shop.stop(serve, "serve", ends=143)
    sandbox = shop.start("sandbox", "--port", "0")
    assert sandbox.stdout is not None
    ready = sandbox.stdout.readline()
    while not ready.endswith("}\n"):
        ready += sandbox.stdout.readline()
    shop.take(("sandbox",), ready, example=True)
    sandbox.terminate()
    assert sandbox.communicate(timeout=PATIENCE_SECONDS) == ("", "")
    told = shop.run("demo")
    shop.keep("demo", {**told, "runs": told["runs"][2:3]}, example=True)
    shop.sql(CUSTOMERS, "archive")
    shop.run("move", SYNC, "--to", "archive", example=True)


def go_wrong(shop: Shop, patch: pytest.MonkeyPatch) -> None:
    """Everything that can keep a command from its work."""
    shop.run("run-sync", SYNC, ends=1)
    for words in (("plan",), ("audit",), ("audit", "--repair")):
        shop.run(*words, SYNC, ends=1)
    shop.run("lists", "iterabel", ends=2)
    for command in app._app().registered_commands:
        option = ("--connector", "none") if command.name == "sandbox" else ("--no-such-option",)
        shop.run(str(command.name), *option, ends=2)
    shop.run("--version", "--no-such-option", ends=2)
    shop.run("explain", SYNC, "--key", "1", ends=1)
    text = shop.config.read_text()
    shop.config.write_text(text.replace("shop.duckdb", "config.yaml"))
    for name in ("status", "retain", "check", "run-due"):
        shop.run(name, ends=1)
    shop.run("runs", SYNC, ends=1)
    shop.config.write_text(text.replace("plan: plan", "plan: [plan"))
    error = shop.run("validate", ends=2)
    shop.keep("error", error, example=True)
    patch.setattr("reverse_etl.config.find_config", lambda *_: 1 / 0)
    shop.run("validate", ends=1)


# --- what the documents are ----------------------------------------------------------------


def test_each_form_of_each_document_is_met(shop: Shop) -> None:
    for name in documents.NAMES:
        met = set(shop.told(name))
        assert documents.forms(name).keys() - ERRORS <= met, name
        assert met & ERRORS or name == "plan-file", name
    assert shop.told("error").keys() == ERRORS


def test_every_command_has_a_schema_and_an_example(shop: Shop) -> None:
    commands = {str(command.name) for command in app._app().registered_commands}
    assert set(documents.NAMES) == commands | {"version", "error", "plan-file"}
    assert set(documents.NAMES) == shop.examples.keys()


def test_the_examples_are_what_the_commands_say(shop: Shop) -> None:
    for name, said in shop.examples.items():
        path = FOLDER / f"{name}.example.json"
        known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        if REWRITE and steady(known) != steady(said):
            text = json.dumps(said, indent=2, ensure_ascii=False)
            path.write_text(f"{text}\n", encoding="utf-8")
            known = said
        assert steady(known) == steady(said), f"{name}: write the examples anew, as is said above"


def steady(value: Any) -> Any:
    """Return a document without what is another one each time: times, durations and ports."""
    text = json.dumps(value)
    for changing in (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", r"(?<=127\.0\.0\.1:)\d+"):
        text = re.sub(changing, "…", text)
    return json.loads(re.sub(r'"(prepare|plan|deliver|settle)": [\d.]+', r'"\1": 0', text))


def test_a_schema_notices_what_is_missing_or_of_another_type(shop: Shop) -> None:
    """The schemas as they are published, which allow keys that they do not name."""
    told = [(name, said) for name in documents.NAMES for said in shop.told(name).values()]
    looked_at = 0
    for name, said in told:
        looking, document = documents.validator(name, is_open=True), copy.deepcopy(said)
        for part, key in required(Described.document(name), document):
            looked_at += 1
            kept = part.pop(key)
            if (name, key) not in MAY_BE_MISSING:
                assert not looking.is_valid(document), (name, key, "is missing")
            part[key] = OF_NO_TYPE
            assert not looking.is_valid(document), (name, key, "is of another type")
            part[key] = kept
        assert looking.is_valid(document)
    assert looked_at > 500


@dataclass(frozen=True)
class Described:
    """A schema within the schema of a document."""

    schema: dict[str, Any]
    parts: dict[str, Any]

    @classmethod
    def document(cls, name: str) -> Described:
        found = documents.schema(name)
        return cls(found, found["$defs"])

    def within(self, schema: dict[str, Any]) -> Described:
        name = schema.get("$ref", "").rpartition("/")[2]
        return Described(self.parts[name] if name else schema, self.parts)

    def form(self, value: Any) -> dict[str, Any] | None:
        """Return the first form that a value has, where there are several."""
        for each in self.schema.get("anyOf", ()):
            if Draft202012Validator({**each, "$defs": self.parts}).is_valid(value):
                found: dict[str, Any] = each
                return found
        return None


def required(described: Described, value: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield each key that must be there, with the object that it is in."""
    form = described.form(value)
    if form is not None:
        yield from required(described.within(form), value)
    elif isinstance(value, dict):
        schema = described.schema
        yield from ((value, key) for key in schema.get("required", ()))
        for key, inner in value.items():
            found = schema.get("properties", {}).get(key) or schema.get("additionalProperties")
            if isinstance(found, dict):
                yield from required(described.within(found), inner)
    elif isinstance(value, list):
        # The first ones stand for the rest: all are held against one schema.
        for inner in value[:2]:
            yield from required(described.within(described.schema.get("items", {})), inner)


def test_a_document_may_gain_keys_but_not_unseen(shop: Shop) -> None:
    for name, said in shop.examples.items():
        gained = {**said, "a_key_of_the_future": 1}
        assert documents.validator(name, is_open=True).is_valid(gained), name
        assert not documents.validator(name).is_valid(gained), name

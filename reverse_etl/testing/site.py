"""A site: one sync with real processes on all sides, for tests that kill or pause them.

The command runs in a process of its own, as a user starts it, and so does the sandbox; between
them a relay writes down what was sent, when it was applied, and lets a test strike there.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import urlsplit

import yaml

from reverse_etl.clock import SystemClock
from reverse_etl.testing.relay import Exchange, Relay, relaying
from reverse_etl.warehouse import warehouse_at

if TYPE_CHECKING:
    from reverse_etl.warehouse.base import Warehouse

Object = Literal["list", "user"]

SCHEMA = "reverse_etl"
API_KEY = "sandbox-key"

# Nothing here takes longer, however busy the machine is; whoever waits longer has found a hang.
PATIENCE_SECONDS = 120.0

_WRITES = ("/api/lists/subscribe", "/api/lists/unsubscribe", "/api/users/bulkUpdate")


class Silence(AssertionError):  # noqa: N818 - named for what happened
    """Something that was waited for did not come."""


def wait_for(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Look until a condition holds.

    Raises:
        Silence: It does not come to hold within ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Silence(f"not within {seconds:g} s: {what}")
        time.sleep(_LOOK_SECONDS)


_LOOK_SECONDS = 0.02


# --- the wire ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sending:
    """One person in one request.

    Attributes:
        path: Of the request: what was done with the person.
        identity: Their address.
        entry: All that was sent of them, as canonical JSON.
    """

    path: str
    identity: str
    entry: str


def sendings(exchange: Exchange) -> list[Sending]:
    """Return who is in a request; nobody in one that changes no people."""
    path = urlsplit(exchange.target).path
    if path not in _WRITES:
        return []
    body = json.loads(exchange.body)
    people = body.get("subscribers") or body.get("users") or []
    return [Sending(path, each["email"], json.dumps(each, sort_keys=True)) for each in people]


def _is_cut_off(exchange: Exchange) -> bool:
    """Whether the sender died before the whole request was there."""
    lengths = [v for name, v in exchange.headers.items() if name.lower() == "content-length"]
    return bool(lengths) and len(exchange.body) < int(lengths[0])


@dataclass
class Recorder:
    """Passes requests on and writes down what became of them; a test may strike at one.

    Attributes:
        arrived: When each request arrived, by the monotonic clock.
        applied: Who was in the requests that the destination has applied.
        before: Called with the number of a request before it is passed on; False loses it.
        after: Called with the number of a request that was applied, before it is answered.
    """

    arrived: list[float] = field(default_factory=list)
    applied: list[Sending] = field(default_factory=list)
    before: Callable[[int], bool] = lambda _number: True
    after: Callable[[int], None] = lambda _number: None
    _open: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def clear(self) -> None:
        """Start again, for the next run."""
        with self._lock:
            self.arrived, self.applied = [], []
        self.before, self.after = lambda _number: True, lambda _number: None

    def is_idle(self) -> bool:
        """Whether no request is with the destination."""
        with self._lock:
            return self._open == 0

    def __call__(self, exchange: Exchange) -> None:
        """Take one request to the destination, and its answer back."""
        if _is_cut_off(exchange):
            return  # no server would apply it
        with self._lock:
            self.arrived.append(time.monotonic())
            self._open += 1
            number = len(self.arrived)
        try:
            self._pass_on(number, exchange)
        finally:
            with self._lock:
                self._open -= 1

    def _pass_on(self, number: int, exchange: Exchange) -> None:
        if not self.before(number):
            exchange.reset()
            return
        answer = exchange.pass_on()
        if answer.startswith(b"HTTP/1.1 200 "):
            with self._lock:
                self.applied += sendings(exchange)
        self.after(number)
        exchange.send(answer)


# --- the destination -----------------------------------------------------------------------


class Destination:
    """The sandbox in a process of its own, with a recorder in front of it.

    Attributes:
        url: Where the sandbox itself answers.
        relay: What the command speaks to.
        recorder: What is written down.
    """

    def __init__(self, sandbox_url: str, relay: Relay) -> None:
        """Put the recorder between the two."""
        self.recorder = Recorder()
        self.relay = relay
        relay.script = self.recorder
        self.url = sandbox_url
        self._host = urlsplit(sandbox_url).netloc

    def ask(self, path: str, body: object = None) -> Any:  # noqa: ANN401 - any JSON
        """Call the sandbox's control interface; with a body it is a POST."""
        connection = http.client.HTTPConnection(self._host, timeout=PATIENCE_SECONDS)
        try:
            sent = None if body is None else json.dumps(body).encode()
            connection.request("GET" if body is None else "POST", f"/sandbox/{path}", sent)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        assert answer.status == http.client.OK, text
        return json.loads(text)

    def state(self) -> tuple[set[str], dict[str, dict[str, Any]]]:
        """Return who is on any list, and the fields of everybody."""
        state = self.ask("state")
        members = {member for each in state["lists"] for member in each["members"]}
        return members, {each["email"]: each["dataFields"] for each in state["people"]}


@contextmanager
def destination() -> Iterator[Destination]:
    """Run a sandbox and what records in front of it, until the block ends."""
    command = [sys.executable, "-m", "reverse_etl", "sandbox", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            assert process.stdout is not None
            ready = process.stdout.readline()
            found = [word for word in ready.split() if word.startswith("http://")]
            assert found, "the sandbox did not start"
            with relaying(found[0]) as relay:
                yield Destination(found[0], relay)
        finally:
            process.terminate()


# --- the command ---------------------------------------------------------------------------


class Command:
    """One started command.

    Attributes:
        process: It.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Take over a process whose output is piped."""
        self.process = process
        self.stdout = self.stderr = ""

    def ends_within(self, seconds: float) -> bool:
        """Wait for its end; return whether it came."""
        try:
            self.stdout, self.stderr = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def end(self) -> int:
        """Wait for its end; return its exit code, negative for a signal.

        Raises:
            Silence: It does not end; it was killed.
        """
        if not self.ends_within(PATIENCE_SECONDS):
            self.process.kill()
            self.process.communicate()
            raise Silence(f"the command did not end within {PATIENCE_SECONDS:g} s")
        return self.process.returncode

    def kill(self) -> None:
        """Kill it, now."""
        self.process.kill()

    def __enter__(self) -> Self:
        """Make sure that it does not outlive the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kill it if it lives."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


@dataclass
class Site:
    """One sync between a table and the sandbox, run by the real command.

    Attributes:
        folder: Where the config is written.
        url: SQLAlchemy URL of the warehouse.
        destination: The sandbox.
        object: What is synced: the members of a list, or profiles.
        name: Of the sync and of its table ``id, email, plan``.
        account: Keys of the destination in the config.
        engine: Keys of ``engine:`` in the config.
    """

    folder: Path
    url: str
    destination: Destination
    object: Object = "list"
    name: str = "people"
    account: dict[str, Any] = field(default_factory=dict)
    engine: dict[str, Any] = field(default_factory=dict)

    @property
    def config_path(self) -> Path:
        """The config."""
        return self.folder / f"{self.name}.yaml"

    @property
    def variables(self) -> dict[str, str]:
        """What the config takes from the environment."""
        return {"WAREHOUSE_URL": self.url, "ITERABLE_API_KEY": API_KEY}

    def write_config(self) -> Path:
        """Write the config; return its path."""
        shown: Mapping[str, Any] = {"list": {"name": self.name}}
        if self.object == "user":
            shown = {"on_delete": "clear_fields"}
        document = {
            "warehouses": {"local": {"url": "${WAREHOUSE_URL}", "schema": SCHEMA}},
            "destinations": {
                "iterable": {
                    "type": "iterable",
                    "api_key": "${ITERABLE_API_KEY}",
                    "base_url": self.destination.relay.url,
                    "project_type": "email",
                    "requests_per_second": 0,
                    **self.account,
                }
            },
            "engine": self.engine,
            "syncs": {
                self.name: {
                    "source": {"warehouse": "local", "table": self.name, "primary_key": "id"},
                    "destination": {"name": "iterable", "object": self.object, **shown},
                    "identifiers": {"email": "email"},
                    "fields": {"plan": "plan"},
                    "max_delete_percent": 100,
                }
            },
        }
        self.config_path.write_text(yaml.safe_dump(document), encoding="utf-8")
        return self.config_path

    def start(self, program: Sequence[str] = ("-m", "reverse_etl")) -> Command:
        """Start ``run-sync`` as a user does; ``program`` is what Python is to run."""
        command = ["run-sync", self.name, "--config", str(self.config_path), "--json"]
        return Command(
            subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, *program, *command],
                cwd=self.folder,
                env={**os.environ, **self.variables},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )

    # --- the test's own way into the warehouse -------------------------------------------------

    def warehouse(self) -> Warehouse:
        """Return the warehouse, closed; a DuckDB file is held while it is open."""
        return warehouse_at(self.url, SCHEMA, SystemClock())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Read rows."""
        with self.warehouse() as warehouse, warehouse.transaction() as tx:
            return [tuple(row) for row in tx.connection.exec_driver_sql(query).all()]

    def execute(self, *statements: str) -> None:
        """Run statements, in one transaction."""
        with self.warehouse() as warehouse, warehouse.transaction() as tx:
            for statement in statements:
                tx.connection.exec_driver_sql(statement)

    def forget(self) -> None:
        """Let the warehouse know nothing of earlier plays."""
        self.execute(f"drop schema if exists {SCHEMA} cascade", f"drop table if exists {self.name}")

    def fill(self, people: Mapping[int, tuple[str, str]]) -> None:
        """Let the table hold these people and no others: id to address and plan."""
        values = ", ".join(f"({n}, '{email}', '{plan}')" for n, (email, plan) in people.items())
        self.execute(
            f"create table if not exists {self.name} (id integer, email text, plan text)",
            f"delete from {self.name}",  # noqa: S608 - a test's own
            *([f"insert into {self.name} values {values}"] if people else []),  # noqa: S608
        )

    def is_leased(self) -> bool:
        """Whether a lease of the sync has not expired yet, by the warehouse's clock."""
        with self.warehouse() as warehouse:
            if warehouse.capabilities.lock_proves_lease:
                return False  # open, so nobody else has it
            with warehouse.transaction() as tx:
                state = f"select lease_expires_at from {SCHEMA}.sync_state"  # noqa: S608
                found = tx.connection.exec_driver_sql(f"{state} where sync_name = '{self.name}'")
                until = found.scalar()
                return until is not None and until > tx.now()

"""A world to test promises in: a real warehouse, the real sandbox, a table, and runs.

A test fills the table ``people``, runs the sync, and looks: at the members of the list, at our
tables, and at what the sandbox was asked. Only time is not real: nothing waits between two
sendings of a request. Every run is also held against what is promised of all runs.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
import sqlalchemy as sa
import yaml

from connectors.iterable.sandbox import Fault, RequestRecord, Sandbox
from reverse_etl.config import Config, load_config
from reverse_etl.connector import AccountSettings, Answer, Operation, Request
from reverse_etl.delivery.transport import Transport
from reverse_etl.ports import Ports, http_transport
from reverse_etl.report import RunSummary
from reverse_etl.run import Options, run_sync
from reverse_etl.testing.patience import PatientClock
from reverse_etl.warehouse import warehouse_of
from reverse_etl.warehouse.lease import Lease

SYNC = "vip"
LIST = "VIP customers"
KEY = "sandbox-key"

COLUMNS = ("id", "user_id", "email", "plan", "city", "score")
CREATE_PEOPLE = (
    "CREATE TABLE people"
    " (id INTEGER, user_id TEXT, email TEXT, plan TEXT, city TEXT, score DOUBLE PRECISION)"
)

FINISHED = {"succeeded", "completed_with_failures"}

# Real seconds given to an answer before the loop looks again; none of them is slept through.
ANSWER_SECONDS = 5.0


class Killed(BaseException):
    """The process dies here: no ``except`` of ours catches it."""


# --- the wire --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sent:
    """One request as it left us.

    Attributes:
        path: Without the host.
        body: Decoded.
    """

    path: str
    body: dict[str, Any]

    @property
    def people(self) -> list[dict[str, Any]]:
        """The subscribers or users of the body."""
        found: list[dict[str, Any]] = self.body.get("subscribers") or self.body.get("users", [])
        return found


class WatchedTransport:
    """The real transport; notes what is sent, skips idle time, and dies when told to."""

    def __init__(self, inner: Transport, world: World) -> None:
        self._inner = inner
        self._world = world
        self._flying: set[int] = set()

    def start(self, ticket: int, request: Request, timeout_s: float) -> None:
        if self._world.dies_before_request == len(self._world.sent):
            self._die()
        body = json.loads(request.body) if request.body else {}
        self._world.sent.append(Sent(request.path, body))
        self._flying.add(ticket)
        self._inner.start(ticket, request, timeout_s)

    def wait(self, timeout_s: float) -> list[tuple[int, Answer]]:
        if not self._flying:
            self._world.clock.sleep(timeout_s)
            return []
        answers = self._inner.wait(min(timeout_s, ANSWER_SECONDS))
        self._flying.difference_update(ticket for ticket, _ in answers)
        if answers and self._world.dies_after_request == len(self._world.sent):
            self._die()
        return answers

    def close(self) -> None:
        self._inner.close()

    def _die(self) -> None:
        # A request is applied, or never, before the next run starts: the one assumption.
        while self._flying:
            self._flying.difference_update(ticket for ticket, _ in self._inner.wait(0.05))
        self._world.dies_before_request = self._world.dies_after_request = None
        raise Killed


# --- warehouses ------------------------------------------------------------------------------


class Database:
    """The test's own way into the warehouse, apart from the engine's."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = sa.make_url(url).get_backend_name()
        self._open: Any = None

    def warehouses(self) -> dict[str, dict[str, str]]:
        """Return the blocks of the config; the sync's is ``local``."""
        return {"local": {"url": "${WAREHOUSE_URL}", "schema": "reverse_etl"}}

    def said(self, query: str) -> str:
        """Return a query of a test in the engine's words."""
        return query

    def release(self) -> None:
        """Let go of the connection: a DuckDB file has one user at a time."""
        if self._open is not None:
            self._open.close()
            self._open = None

    @property
    def _connection(self) -> Any:
        if self._open is None:
            self._open = self._connect()
        return self._open

    def _connect(self) -> Any:
        if self.engine == "duckdb":
            return duckdb.connect(sa.make_url(self.url).database or "")
        return psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True)

    def sql(self, query: str) -> list[dict[str, Any]]:
        """Run one statement; return its rows by column name."""
        cursor = self._connection.execute(query)
        # DuckDB answers a command with one row about it.
        if not query.lstrip().lower().startswith("select"):
            return []
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def tables(self) -> set[str]:
        """Return the tables and views of our schema."""
        rows = self.sql(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'reverse_etl'"
        )
        return {row["table_name"] for row in rows}

    def replace(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Let the table hold these rows and no others."""
        mark = "?" if self.engine == "duckdb" else "%s"
        values = f"({', '.join([mark] * len(columns))})"
        self._connection.execute(f"DELETE FROM {table}")  # noqa: S608 - a test's own
        if rows:
            insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "  # noqa: S608
            flat = [value for row in rows for value in row]
            self._connection.execute(insert + ", ".join([values] * len(rows)), flat)


class Apart(Database):
    """A source that is only read, and a DuckDB file in which all our tables are."""

    def __init__(self, url: str, home: str) -> None:
        super().__init__(url)
        self.home = Database(home)

    def warehouses(self) -> dict[str, dict[str, str]]:
        """Return the blocks of both."""
        (local,) = super().warehouses().values()
        return {"local": local | {"workspace": "home"}, "home": {"url": self.home.url}}

    def release(self) -> None:
        """Let go of both."""
        super().release()
        self.home.release()

    def sql(self, query: str) -> list[dict[str, Any]]:
        """Run one statement where it belongs."""
        ours = "reverse_etl" in query
        return self.home.sql(query) if ours else super().sql(query)


class Kept(Database):
    """A warehouse whose leases, runs and failed records are in another database."""

    def __init__(self, url: str, control: str) -> None:
        super().__init__(url)
        self.control = Database(control)

    def warehouses(self) -> dict[str, dict[str, str]]:
        """Return the blocks of both."""
        (local,) = super().warehouses().values()
        return {"local": local | {"control": "control"}, "control": {"url": self.control.url}}

    def release(self) -> None:
        """Let go of both."""
        super().release()
        self.control.release()

    def sql(self, query: str) -> list[dict[str, Any]]:
        """Run one statement where it belongs."""
        return self.control.sql(query) if is_of_control(query) else super().sql(query)


class Beside(Kept):
    """A DuckDB that keeps no two statements together."""

    def warehouses(self) -> dict[str, dict[str, str]]:
        """Return the blocks of both."""
        blocks = super().warehouses()
        return blocks | {"local": blocks["local"] | {"url": self.url.replace("duckdb:", "loose:")}}


def is_of_control(query: str) -> bool:
    """Whether a statement is about a table that a control database would hold."""
    return any(name in query for name in ("sync_state", "sync_runs", "failed_records"))


# --- the world -------------------------------------------------------------------------------


@dataclass
class World:
    """One sync from a table of people to a list.

    Attributes:
        database: The test's own way into the warehouse.
        sandbox: The destination.
        folder: Where the config is written.
        sync: Keys of the sync in the config, to be changed by a test.
        destination: Keys of the destination in the config.
        engine: Keys of ``engine:`` in the config.
        beside: More warehouses of the config.
        clock: Time.
        sent: Requests of the run at work, or of the last one.
        key: The API key of the config.
        dies_before_request: Die instead of sending the request after so many.
        dies_after_request: Die when the answer to that request is there.
        checks_members: Whether a finished run is held against the members of the list.
    """

    database: Database
    sandbox: Sandbox
    folder: Path
    sync: dict[str, Any] = field(default_factory=dict)
    destination: dict[str, Any] = field(default_factory=dict)
    engine: dict[str, Any] = field(default_factory=dict)
    beside: dict[str, dict[str, str]] = field(default_factory=dict)
    key: str = KEY
    clock: PatientClock = field(default_factory=PatientClock)
    sent: list[Sent] = field(default_factory=list)
    dies_before_request: int | None = None
    dies_after_request: int | None = None
    checks_members: bool = True
    _seen: int = 0

    # --- arranging ---------------------------------------------------------------------------

    def put(self, *rows: Mapping[str, Any]) -> None:
        """Let the source hold these rows and no others; a missing id counts from 1."""
        numbered = [{"id": n, **row} for n, row in enumerate(rows, 1)]
        values = [[row.get(name) for name in COLUMNS] for row in numbered]
        self.database.replace("people", COLUMNS, values)

    def put_emails(self, *names: str) -> None:
        """Let the source hold one person for each name, with an address of that name."""
        self.put(*({"email": address(name)} for name in names))

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What goes wrong at the sandbox."""
        return self.sandbox.faults

    @faults.setter
    def faults(self, faults: Sequence[Fault]) -> None:
        self.sandbox.faults = tuple(faults)

    def one_by_one(self) -> None:
        """Send one person in a request, and one request at a time."""
        self.destination |= {"records_per_request": 1, "max_in_flight": 1}

    def config(self) -> Config:
        """Write the config and load it."""
        account = {
            "type": "iterable",
            "api_key": "${ITERABLE_API_KEY}",
            "base_url": self.sandbox.url,
            "project_type": self.sandbox.settings.project_type,
            "requests_per_second": 0,
        }
        document = {
            "warehouses": self.database.warehouses() | self.beside,
            "destinations": {"iterable": account | self.destination},
            "engine": self.engine,
            "syncs": {SYNC: self.sync | {"source": self._source()}},
        }
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        variables = {"ITERABLE_API_KEY": self.key, "WAREHOUSE_URL": self.database.url}
        return load_config(path, variables)

    def _source(self) -> dict[str, Any]:
        source: dict[str, Any] = dict(self.sync["source"])
        if "query" in source:
            source["query"] = self.database.said(source["query"])
        return source

    # --- running -----------------------------------------------------------------------------

    def run(self, *, stop: Callable[[], bool] = lambda: False, **options: Any) -> RunSummary:
        """Run the sync and hold the run against what is promised of every run."""
        report = self.run_unchecked(stop, options)
        self._check_report(report)
        self._check_log(report)
        if report.status in FINISHED:
            self._check_nobody_is_lost()
        return report

    def quiet(self, **options: Any) -> RunSummary:
        """Run the sync and make sure that nothing is planned or sent."""
        report = self.run(**options)
        assert (report.status, report.planned, self.sent) == ("succeeded", self.changes(), [])
        return report

    def die(self, *, before: int | None = None, after: int | None = None, **options: Any) -> None:
        """Run the sync, which is killed before a request or after its answer."""
        self.dies_before_request, self.dies_after_request = before, after
        with pytest.raises(Killed):
            self.run_unchecked(lambda: False, options)
        self.bury()

    def run_unchecked(self, stop: Callable[[], bool], options: Mapping[str, Any]) -> RunSummary:
        """Run the sync, whatever becomes of it."""
        self.sent.clear()
        self.database.release()
        ports = Ports(self.clock, random.Random(7), transport=self._transport, stop=stop)
        return run_sync(self.config(), SYNC, Options(**options), ports)

    def _transport(self, account: AccountSettings) -> Transport:
        return WatchedTransport(http_transport(account), self)

    def die_at(self, moment: int | str, **options: Any) -> bool:
        """Run the sync, which is killed at a statement.

        Args:
            moment: Which: its number, or a part of the first one (``COMMIT`` counts as one).
            options: Of the run.

        Returns:
            Whether it was killed; a run may have fewer statements.
        """
        try:
            with killed_at(moment):
                self.run_unchecked(lambda: False, options)
        except Killed:
            self.bury()
            return True
        return False

    def bury(self) -> None:
        """Let the lease be one of a process that died a while ago; this one lives on."""
        if "sync_state" in self.tables():
            self.sql(
                "UPDATE reverse_etl.sync_state"
                " SET lease_owner = 'dead', lease_expires_at = TIMESTAMP '2001-01-01 00:00:00'"
            )

    # --- looking -----------------------------------------------------------------------------

    @staticmethod
    def changes(insert: int = 0, update: int = 0, delete: int = 0) -> dict[Operation, int]:
        """Return counts by operation, as a report has them."""
        return {Operation.INSERT: insert, Operation.UPDATE: update, Operation.DELETE: delete}

    def sql(self, query: str) -> list[dict[str, Any]]:
        """Run one statement; return its rows by column name."""
        return self.database.sql(query)

    def members(self, name: str = LIST) -> set[str]:
        """Return who is on the list."""
        return self.sandbox.state.members(self.sandbox.state.list_named(name).id)

    def fields(self, identifier: str) -> Mapping[str, Any]:
        """Return the profile fields of somebody at the destination."""
        profile = self.sandbox.state.profile(identifier)
        assert profile is not None
        return profile.fields

    def requests_since(self) -> list[RequestRecord]:
        """Return the requests that the sandbox has seen since this was last asked."""
        seen = self.sandbox.state.requests
        new, self._seen = seen[self._seen :], len(seen)
        return new

    def subscribed(self) -> list[dict[str, Any]]:
        """Return the subscribers that the last run sent, in order."""
        return [
            each for sent in self.sent if sent.path.endswith("/subscribe") for each in sent.people
        ]

    def unsubscribed(self) -> list[dict[str, Any]]:
        """Return the people that the last run sent to be taken off, in order."""
        return [
            each for sent in self.sent if sent.path.endswith("/unsubscribe") for each in sent.people
        ]

    def written(self) -> list[dict[str, Any]]:
        """Return the users whose profiles the last run wrote, in order, without flags."""
        return [
            {name: each[name] for name in each if name in {"email", "userId", "dataFields"}}
            for sent in self.sent
            if sent.path == "/api/users/bulkUpdate"
            for each in sent.people
        ]

    def runs(self) -> list[dict[str, Any]]:
        """Return ``sync_runs``."""
        return self.sql("SELECT * FROM reverse_etl.sync_runs ORDER BY sync_run_id")

    def last_run(self) -> dict[str, Any]:
        """Return the newest row of ``sync_runs``."""
        return self.runs()[-1]

    def log(self, run_id: int | None = None) -> list[dict[str, Any]]:
        """Return ``sync_log``, of one run if given."""
        where = "" if run_id is None else f"WHERE sync_run_id = {run_id}"
        order = "ORDER BY sync_run_id, operation, identity, primary_key"
        return self.sql(f"SELECT * FROM reverse_etl.sync_log {where} {order}")  # noqa: S608

    def lines(self, run_id: int | None = None) -> list[tuple[str, str, str, str | None]]:
        """Return the log in short: operation, identity, status, error code."""
        names = ("operation", "identity", "status", "error_code")
        return [
            (line[names[0]], line[names[1]], line[names[2]], line[names[3]])
            for line in self.log(run_id)
        ]

    def failed(self) -> dict[str, dict[str, Any]]:
        """Return ``failed_records`` by identity."""
        rows = self.sql("SELECT * FROM reverse_etl.failed_records")
        found = {row["identity"]: row for row in rows}
        assert len(found) == len(rows), "one row per identity"
        return found

    def failures(self) -> dict[str, tuple[str, str, bool]]:
        """Return ``failed_records`` in short: operation, error code, retryable."""
        return {
            identity: (row["operation"], row["error_code"], row["retryable"])
            for identity, row in self.failed().items()
        }

    def columns(self, table: str) -> list[str]:
        """Return the columns of one of our tables, in order."""
        rows = self.sql(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = 'reverse_etl' ORDER BY ordinal_position"
        )
        return [row["column_name"] for row in rows if row["table_name"] == table]

    def tables(self) -> set[str]:
        """Return the tables and views of our schema."""
        return self.database.tables()

    def kept(self) -> dict[str, list[str]]:
        """Return all that we keep, but for ``sync_runs`` and the row with the lease."""
        names = self.tables() - {"sync_runs", "sync_state"}
        queries = {name: f'SELECT * FROM reverse_etl."{name}"' for name in names}  # noqa: S608
        return {name: sorted(map(str, self.sql(query))) for name, query in queries.items()}

    # --- what holds for every run ------------------------------------------------------------

    def _check_report(self, report: RunSummary) -> None:
        """The report and the row of ``sync_runs`` say the same, and the counts add up."""
        row = self.last_run()
        assert report.run_id == row["sync_run_id"]
        assert report.status == row["status"]
        assert report.error_code == row["error_code"]
        assert report.requests == row["requests_sent"] == len(self.sent)
        assert report.failed_records_open == row["failed_records_open"] == len(self.failed())
        assert report.retries == row["retries_planned"]
        assert (report.invalid, report.duplicates) == (row["rows_invalid"], row["rows_duplicate"])
        assert row["finished_at"] >= row["started_at"]
        for operation in Operation:
            told = (report.planned, report.succeeded, report.failed)
            written = [row[f"{operation}s_{what}"] for what in ("planned", "succeeded", "failed")]
            assert [counts[operation] for counts in told] == written
            if report.status in FINISHED:
                assert written[0] == written[1] + written[2]

    def _check_log(self, report: RunSummary) -> None:
        """Every change that was tried has one line."""
        if not self.sync.get("observability", {}).get("retain_sync_logs", True):
            return
        row = self.last_run()
        lines = [line for line in self.log(report.run_id) if not _is_refused_row(line)]
        for operation in Operation:
            for status in ("succeeded", "failed"):
                found = [x for x in lines if (x["operation"], x["status"]) == (operation, status)]
                assert len(found) == row[f"{operation}s_{status}"]

    def _check_nobody_is_lost(self) -> None:
        """Who should be a member and is not, or the other way round, is in failed_records."""
        if self.sync["destination"]["object"] == "user":
            self._check_profiles()
            return
        name = self.sync["destination"].get("list", {}).get("name")
        lists = [each for each in self.sandbox.state.lists.values() if each.name == name]
        known_project = self.sandbox.settings.project_type != "hybrid"
        if not (self.checks_members and known_project and len(lists) == 1):
            return
        rows = self.sql(f"SELECT _identity FROM reverse_etl.snapshot_{SYNC}")  # noqa: S608
        wanted = {row["_identity"] for row in rows}
        members = self.sandbox.state.members(lists[0].id)
        known = set(self.failed())
        assert wanted - members <= known
        if self.sync.get("mode", "mirror") == "mirror":
            assert members - wanted - self.sandbox.state.foreign(lists[0].id) <= known

    def _check_profiles(self) -> None:
        """Who has not the values of the source in their profile is in failed_records."""
        if self.sandbox.settings.project_type == "hybrid":
            return
        mapped = {field: name for field, name in self.sync["fields"].items() if name in COLUMNS}
        for row in self.sql(f"SELECT * FROM reverse_etl.snapshot_{SYNC}"):  # noqa: S608
            if row["_identity"] in self.failed():
                continue
            wanted = {field: row[name] for field, name in mapped.items() if row[name] is not None}
            profile = self.sandbox.state.profile(row["_identity"])
            assert profile is not None
            assert wanted.items() <= profile.fields.items()


def _is_refused_row(line: Mapping[str, Any]) -> bool:
    """Whether a line is about a row that was never planned."""
    return str(line["identity"]).startswith("row:") or line["error_code"] == "duplicate_identity"


def address(name: str) -> str:
    """Return an address for a short name; a whole one stays."""
    return name if "@" in name else f"{name}@x.com"


def first_sync() -> dict[str, Any]:
    """Return the sync of a test: all people, by e-mail, with their plan."""
    return {
        "source": {"warehouse": "local", "query": "select * from people", "primary_key": "id"},
        "destination": {"name": "iterable", "object": "list", "list": {"name": LIST}},
        "identifiers": {"email": "email"},
        "fields": {"plan": "plan"},
        "max_delete_percent": 100,
    }


def first_profile_sync() -> dict[str, Any]:
    """Return the sync of a test: the profiles of all people, cleared when they leave."""
    return {
        **first_sync(),
        "destination": {"name": "iterable", "object": "user", "on_delete": "clear_fields"},
        "fields": {"plan": "plan", "city": "city"},
    }


@contextmanager
def at_work(world: World, sync_name: str) -> Iterator[None]:
    """Hold the lease of a sync, as another run of it does."""
    warehouse = warehouse_of(world.config(), "local", world.clock)
    with warehouse:
        warehouse.prepare_schema()
        lease = Lease(warehouse.control, sync_name, seconds=3600, clock=world.clock)
        lease.take()
        try:
            yield
        finally:
            lease.give_back()


@contextmanager
def killed_at(moment: int | str) -> Iterator[None]:
    """Kill at a statement, once: what comes after it (giving the lease back) goes through."""
    said = 0
    dead = False

    def hear(statement: str) -> None:
        nonlocal said, dead
        said += 1
        if not dead and (said == moment if isinstance(moment, int) else moment in statement):
            dead = True
            raise Killed

    def on_statement(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        hear(statement)

    def on_commit(_connection: Any) -> None:
        hear("COMMIT")

    sa.event.listen(sa.Engine, "before_cursor_execute", on_statement)
    sa.event.listen(sa.Engine, "commit", on_commit)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", on_statement)
        sa.event.remove(sa.Engine, "commit", on_commit)

"""`check` and `lists`: what they find out, and that they change nothing."""

from __future__ import annotations

import io
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import duckdb
import pytest
import sqlalchemy as sa
import yaml

from connectors.iterable.sandbox import Fault
from reverse_etl.check import Checked, check
from reverse_etl.cli.app import run
from reverse_etl.config import load_config
from reverse_etl.connector import (
    AccountSettings,
    Connector,
    DestinationObject,
    DestinationSettings,
    Problem,
)
from reverse_etl.ports import Ports
from reverse_etl.testing.planner import TakesEverything
from tests import documents

SYNC = "vip"
LIST = "VIP customers"
KEY = "sandbox-key"
PASSWORD = "p@ss/w:rd%"

HOLD = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1])
print("ready", flush=True)
sys.stdin.read()
"""


class Findings:
    """The findings about one sync."""

    def __init__(self, checked: Checked) -> None:
        self.checked = checked
        self.told = [(each.subject, each.verdict) for each in checked.findings]

    def about(self, subject: str) -> list[str]:
        return [each.text for each in self.checked.findings if each.subject == subject]

    def verdict(self, subject: str) -> str:
        (verdict,) = [each for name, each in self.told if name == subject]
        return verdict

    def failed(self, subject: str) -> str:
        """The text of the one finding that failed."""
        assert [name for name, verdict in self.told if verdict == "failed"] == [subject]
        assert self.checked.exit_code == 1
        (text,) = self.about(subject)
        return text


def look(world: Any, *names: str) -> Findings:
    """Check the sync, and make sure that nothing was changed by it."""
    before = everything(world)
    world.database.release()
    (found,) = check(world.config(), names or [SYNC], Ports(world.clock))
    assert everything(world) == before
    assert KEY not in repr(found)
    return Findings(found)


def everything(world: Any) -> tuple[Any, ...]:
    """Return all that a check could change, here and there."""
    state = world.sandbox.state
    lists = {
        each.id: (each.name, frozenset(state.members(each.id))) for each in state.lists.values()
    }
    people = sorted(
        str((person.email, person.user_id, person.fields))
        for each in state.lists.values()
        for person in state.member_profiles(each.id)
    )
    tables = world.sql(
        "SELECT table_schema, table_name FROM information_schema.tables"
        " WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
    )
    schemas = world.sql("SELECT schema_name FROM information_schema.schemata")
    kept = {
        str(table): sorted(map(str, world.sql(f"SELECT * FROM {quoted(table)}")))  # noqa: S608
        for table in tables
    }
    world.database.release()
    return lists, people, dict(state.fields.types), sorted(map(str, schemas)), kept


def quoted(table: Mapping[str, str]) -> str:
    return f'"{table["table_schema"]}"."{table["table_name"]}"'


# --- all is well ---------------------------------------------------------------------------


def test_before_the_first_run_all_is_well(world: Any) -> None:
    world.put_emails("ada")

    found = look(world)

    assert found.checked.exit_code == 0
    assert found.told == [
        ("warehouse", "ok"),
        ("query", "ok"),
        ("rights", "ok"),
        ("api key", "ok"),
        ("list", "ok"),
        ("write access", "unproven"),
        ("project type", "ok"),
        ("fields", "warning"),
    ]
    assert "first run creates it" in found.about("list")[0]


def test_after_a_run_even_writing_is_proven(world: Any) -> None:
    world.put({"email": "ada@x.com", "plan": "gold"})
    world.run()

    found = look(world)

    assert [verdict for _, verdict in found.told] == ["ok"] * 9
    assert LIST in found.about("list")[0]
    world.quiet()


def test_the_profiles_of_a_project_are_checked_without_writing_one(world: Any) -> None:
    world.put_emails("ada")
    world.sync["destination"] = {"name": "iterable", "object": "user", "create_new_fields": True}

    found = look(world)

    assert found.checked.exit_code == 0
    assert found.verdict("write access") == "ok"
    assert "1 new one would be created: plan" in found.about("fields")[0]


def test_what_was_found_ok_is_what_a_run_does(world: Any) -> None:
    world.put_emails("ada")
    look(world)
    assert world.run().status == "succeeded"


# --- the warehouse -------------------------------------------------------------------------


def test_missing_columns_are_named_with_the_closest_and_the_key_is_tried_all_the_same(
    world: Any,
) -> None:
    world.put_emails("ada")
    world.sync["source"]["primary_key"] = "idd"
    world.sync["fields"] = {"plan": "plann"}

    found = look(world)

    text = found.failed("query")
    assert "idd (closest: id)" in text
    assert "plann (closest: plan)" in text
    assert found.verdict("api key") == found.verdict("rights") == "ok"


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("select id, email, plan from peple", "peple"),
        ("select id, email, plan from", "syntax"),
        ("select id, email, plan from people; drop table people", "second statement"),
        ("select id, email, cast(email as integer) as plan from people", "the query fails"),
    ],
)
def test_a_query_that_fails(world: Any, query: str, why: str) -> None:
    world.put_emails("ada")
    world.sync["source"]["query"] = query

    assert why in look(world).failed("query")


@pytest.mark.parametrize(
    "value",
    ["cast('2026-01-02 03:04:05+01' as timestamptz)", "interval '1 day'", "time '01:02:03'"],
)
def test_types_that_a_driver_cannot_hand_over_are_no_failure(world: Any, value: str) -> None:
    world.put_emails("ada")
    world.sync["source"]["query"] = f"select id, email, {value} as odd from people"  # noqa: S608 - ours
    world.sync["fields"] = {"odd": "odd"}

    assert look(world).verdict("query") == "ok"
    assert world.run().status == "succeeded"


def test_a_query_without_rows_is_worth_a_warning(world: Any) -> None:
    found = look(world)

    assert found.verdict("query") == "warning"
    assert "remove everybody" in found.about("query")[0]
    assert found.checked.exit_code == 0


@pytest.mark.parametrize("database", ["duckdb"], indirect=True)
def test_a_mistyped_file_is_not_made_and_the_key_is_tried_all_the_same(
    world: Any, tmp_path: Path
) -> None:
    missing = tmp_path / "warehose.duckdb"
    world.database.url = f"duckdb:///{missing}"

    (found,) = check(world.config(), [SYNC], Ports(world.clock))

    assert "warehose.duckdb" in Findings(found).failed("warehouse")
    assert not missing.exists()
    assert Findings(found).verdict("api key") == "ok"


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_server_that_does_not_answer(world: Any) -> None:
    url = sa.make_url(world.database.url).set(port=1)
    world.database.url = url.render_as_string(hide_password=False)

    (found,) = check(world.config(), [SYNC], Ports(world.clock))

    assert "refused" in Findings(found).failed("warehouse")
    assert str(url.password) not in repr(found)
    assert Findings(found).verdict("api key") == "ok"


@pytest.mark.parametrize("database", ["duckdb"], indirect=True)
def test_a_file_that_somebody_holds_is_busy_and_not_wrong(world: Any) -> None:
    path = sa.make_url(world.database.url).database or ""
    world.database.release()
    with held(path):
        (found,) = check(world.config(), [SYNC], Ports(world.clock))

    assert ("warehouse", "unproven") in Findings(found).told
    assert Findings(found).verdict("api key") == "ok"
    assert found.exit_code == 5


@contextmanager
def held(path: str) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            process.kill()


def test_another_list_under_the_same_name_of_a_sync(world: Any) -> None:
    world.put_emails("ada")
    world.run()
    world.sync["destination"]["list"] = {"name": "Others"}

    assert "has been writing to" in look(world).failed("account")


# --- rights --------------------------------------------------------------------------------


class Server(Protocol):
    """What these tests use of the server of the fixtures."""

    def execute(self, statement: str) -> None: ...


@dataclass(frozen=True)
class Guest:
    """A role that may read the data, and its sync."""

    name: str
    world: Any
    owner_url: str

    def grant(self, *statements: str) -> None:
        self.world.database.release()
        own, self.world.database.url = self.world.database.url, self.owner_url
        for statement in statements:
            self.world.sql(statement.replace("ROLE", self.name))
        self.world.database.release()
        self.world.database.url = own

    def look(self) -> Findings:
        (found,) = check(self.world.config(), [SYNC], Ports(self.world.clock))
        return Findings(found)


@pytest.fixture
def guest(world: Any, request: pytest.FixtureRequest) -> Iterator[Guest]:
    server: Server = request.getfixturevalue("postgres_server")
    name = f"guest_{secrets.token_hex(4)}"
    server.execute(f"create role {name} login password '{PASSWORD}'")
    world.put_emails("ada")
    owner_url = world.database.url
    url = sa.make_url(owner_url).set(username=name, password=PASSWORD)
    world.database.release()
    world.database.url = url.render_as_string(hide_password=False)
    made = Guest(name, world, owner_url)
    made.grant("grant select on people to ROLE")
    yield made
    made.grant("drop owned by ROLE cascade")
    server.execute(f"drop role {name}")


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_missing_rights_come_with_the_statements_that_help(guest: Guest) -> None:
    found = guest.look()

    assert "GRANT USAGE, CREATE ON SCHEMA" in found.failed("rights")
    assert found.verdict("query") == "ok"
    assert PASSWORD not in repr(found.checked)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_the_statements_that_help_are_told_once(guest: Guest) -> None:
    guest.grant("revoke select on people from ROLE")

    found = guest.look()

    query, rights = (each for each in found.checked.findings if each.verdict == "failed")
    assert "GRANT SELECT ON ALL TABLES" in query.text
    assert (rights.subject, rights.text.splitlines()[1:]) == ("rights", [])
    assert rights.text.endswith("Ask its owner for the same as above")


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_rights_that_were_given_are_proven_and_enough_for_a_run(guest: Guest) -> None:
    guest.grant("create schema reverse_etl", "grant usage, create on schema reverse_etl to ROLE")

    assert guest.look().verdict("rights") == "ok"
    assert (
        guest.world.sql(
            "select * from information_schema.tables where table_schema = 'reverse_etl'"
        )
        == []
    )
    assert guest.world.run_unchecked(lambda: False, {}).status == "succeeded"


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize("missing", ["insert", "update", "delete"])
def test_tables_of_somebody_else_must_be_writable(guest: Guest, missing: str) -> None:
    own, guest.world.database.url = guest.world.database.url, guest.owner_url
    guest.world.run_unchecked(lambda: False, {})
    guest.world.database.url = own
    guest.grant(
        "grant usage, create on schema reverse_etl to ROLE",
        "grant all on all tables in schema reverse_etl to ROLE",
    )
    assert guest.look().verdict("rights") == "ok"

    guest.grant(f"revoke {missing} on reverse_etl.sync_log from ROLE")

    assert "sync_log" in guest.look().failed("rights")


def test_tables_of_another_version_are_refused(world: Any) -> None:
    world.put_emails("ada")
    world.run()
    world.sql("UPDATE reverse_etl.schema_version SET version = 999")

    assert "version 999" in look(world).failed("rights")


# --- the destination -----------------------------------------------------------------------


def test_a_wrong_key_is_found_and_the_warehouse_is_looked_at_all_the_same(world: Any) -> None:
    world.put_emails("ada")
    world.key = "another-key-that-is-wrong"

    found = look(world)

    assert "refused the API key" in found.failed("api key")
    assert world.key not in repr(found.checked)
    assert found.verdict("rights") == "ok"


def test_a_key_that_may_only_read(world: Any) -> None:
    world.sandbox.seed_list(LIST)
    world.faults = [
        Fault(
            "status",
            match="/api/lists/subscribe",
            status=401,
            code="BadApiKey",
            msg="Disabled API key or insufficient privileges",
        )
    ]
    world.put_emails("ada")

    assert "insufficient privileges" in look(world).failed("write access")


def test_a_destination_that_is_down_is_asked_for_a_while(world: Any) -> None:
    world.put_emails("ada")
    world.faults = [Fault("status", match="/api/lists", status=503)]
    before = world.clock.monotonic()

    found = look(world)

    assert "503" in found.failed("destination")
    assert world.clock.monotonic() - before < 30


def test_a_list_that_was_deleted_since_the_last_run(world: Any) -> None:
    world.put_emails("ada")
    world.run()
    state = world.sandbox.state
    with state.lock:
        del state.lists[state.list_named(LIST).id]

    assert "--full" in look(world).failed("list")


def test_a_dynamic_list_is_refused(world: Any) -> None:
    world.put_emails("ada")
    world.sandbox.seed_list(LIST, list_type="Dynamic")

    assert "dynamic" in look(world).failed("list")


def test_types_of_the_query_are_held_against_those_of_the_project(world: Any) -> None:
    world.put_emails("ada")
    world.sandbox.declare_fields({"plan": "long", "score": "double", "id": "double"})
    query = 'select id, email, score, upper(plan) as "PLAN" from people'
    world.sync["source"]["query"] = query
    world.sync["fields"] = {"plan": "plan", "score": "score", "id": "id"}

    found = look(world)

    told = [each for each in found.checked.findings if each.subject == "field types"]
    assert [each.verdict for each in told] == ["failed", "warning"]
    assert "plan (string into long)" in told[0].text
    assert "id (long into double)" in told[1].text
    assert "score" not in told[0].text + told[1].text


def test_a_project_that_is_full(world: Any) -> None:
    world.put_emails("ada")
    world.sandbox.declare_fields({f"f{n}": "string" for n in range(20)})
    world.destination["custom_field_limit"] = 20

    text = look(world).failed("fields")

    assert "of 20 profile fields are in use" in text
    assert "plan" in text


def test_another_project_type(new_world: Callable[[str], Any]) -> None:
    world = new_world("user_id")
    world.destination["project_type"] = "email"
    world.put_emails("ada")

    assert look(world).verdict("project type") == "warning"


# --- other connectors ----------------------------------------------------------------------


class Account(AccountSettings):
    """A destination that any key opens."""

    def url(self) -> str:
        return "http://127.0.0.1:9"

    def headers(self) -> Mapping[str, str]:
        return {}


class Silent(Connector):
    """A connector that offers what it must, and no more."""

    account = Account
    objects: ClassVar[Mapping[str, type[DestinationSettings]]] = {"list": DestinationSettings}

    def check(self, *_: Any) -> list[Problem]:
        return []

    def bind(self, *_: Any) -> DestinationObject:
        return TakesEverything()


def test_a_connector_without_questions_proves_nothing(tmp_path: Path, duckdb_url: str) -> None:
    duckdb.connect(duckdb_url.removeprefix("duckdb:///")).close()
    document = {
        "warehouses": {"local": {"url": duckdb_url}},
        "destinations": {"other": {"type": "silent"}},
        "syncs": {
            SYNC: {
                "source": {
                    "warehouse": "local",
                    "query": "select 1 as id, 'a@x.com' as email",
                    "primary_key": "id",
                },
                "destination": {"name": "other", "object": "list"},
                "identifiers": {"email": "email"},
            }
        },
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(document))

    (found,) = check(load_config(path, {}, {"silent": Silent}), [SYNC])

    assert Findings(found).told[-1] == ("destination", "unproven")
    assert found.exit_code == 0


# --- the commands --------------------------------------------------------------------------


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    words: Sequence[str]
    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        found = documents.read(self.words, self.out)
        assert found.pop("format_version") == "1.0"
        return found


@pytest.fixture
def command(world: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Return what runs a command of the world's config in this process."""

    def here(*words: str) -> Done:
        world.config()
        world.database.release()
        monkeypatch.setenv("ITERABLE_API_KEY", world.key)
        monkeypatch.setenv("WAREHOUSE_URL", world.database.url)
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = run([*words, "--config", str(world.folder / "config.yaml")])
        assert world.key not in out.getvalue() + err.getvalue()
        return Done(words, code, out.getvalue(), err.getvalue())

    return here


def test_check_says_what_it_found_in_columns(world: Any, command: Callable[..., Done]) -> None:
    world.put_emails("ada")

    done = command("check", SYNC)

    lines = done.out.splitlines()
    assert (done.code, lines[0], lines[-1]) == (0, SYNC, "1 warning, 1 unproven, 6 ok")
    assert lines[1].startswith("  warehouse     ok        local answers")


def test_check_of_all_syncs_is_one_document(world: Any, command: Callable[..., Done]) -> None:
    world.put_emails("ada")
    world.key = "a-wrong-key"

    done = command("check", "--json")

    assert done.code == 1
    assert done.document["failed"] is True
    (told,) = done.document["syncs"]
    assert (told["sync"], told["failed"]) == (SYNC, True)
    assert {"subject": "warehouse", "verdict": "ok", "text": "local answers"} in told["findings"]
    assert [each["subject"] for each in told["findings"] if each["verdict"] == "failed"] == [
        "api key"
    ]


def test_check_of_a_sync_that_is_not_there(command: Callable[..., Done]) -> None:
    done = command("check", "vp")
    assert done.code == 2
    assert "vip" in done.err


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_the_grants_stand_line_by_line(guest: Guest, command: Callable[..., Done]) -> None:
    done = command("check", SYNC)

    assert done.code == 1
    assert "GRANT TEMPORARY ON DATABASE" in done.out
    assert any(line.lstrip().startswith("GRANT USAGE, CREATE") for line in done.out.splitlines())
    assert guest.name in done.out


def test_lists_shows_the_newest_first_and_marks_what_no_sync_can_keep(
    world: Any, command: Callable[..., Done]
) -> None:
    first = world.sandbox.seed_list("Customers", ["a@x.com"])
    second = world.sandbox.seed_list("Active", list_type="Dynamic")

    done = command("lists", "iterable")

    assert done.code == 0
    head, *rows = done.out.splitlines()
    assert head.split() == ["id", "name", "type", "created", "(UTC)", "description"]
    assert sorted(row.split()[:3] for row in rows) == sorted(
        [[str(first), "Customers", "Standard"], [str(second), "Active", "Dynamic"]]
    )
    assert "no sync can keep it" in next(row for row in rows if "Dynamic" in row)


def test_lists_as_a_document(world: Any, command: Callable[..., Done]) -> None:
    one = world.sandbox.seed_list("Customers")

    document = command("lists", "iterable", "--json").document

    (told,) = document["lists"]
    created = told.pop("created_at")
    assert created.endswith("Z")
    assert document["destination"] == "iterable"
    assert told == {
        "id": str(one),
        "name": "Customers",
        "type": "Standard",
        "description": None,
        "writable": True,
    }


def test_lists_of_an_empty_account(command: Callable[..., Done]) -> None:
    said = command("lists", "iterable").out
    assert said == "the account has no lists; a run makes the one that its config names\n"


def test_lists_of_a_destination_that_is_not_there(command: Callable[..., Done]) -> None:
    done = command("lists", "iterabel")
    assert done.code == 2
    assert "iterable" in done.err


def test_lists_with_a_wrong_key(world: Any, command: Callable[..., Done]) -> None:
    world.key = "a-wrong-key"
    done = command("lists", "iterable")
    assert done.code == 1
    assert "refused the API key" in done.err


@pytest.mark.parametrize("name", ["check", "lists"])
def test_the_help_shows_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    assert f"reverse-etl {name} " in capsys.readouterr().out

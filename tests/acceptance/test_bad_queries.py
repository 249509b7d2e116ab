# ruff: noqa: E501, S608 - the expected lines stand in one piece; the queries are the test's own
"""Queries that cannot be used, and people that cannot be sent: what is said, word for word.

On a real DuckDB and a real PostgreSQL, through the real command line. A query that cannot be used
ends the run with exit code 1; nothing is sent, and no table of the user's is another one after it.
"""

# Catalogue of bad queries and rows, and which test has the whole message of each item.
#
#   syntax error, missing table and column,      here, test_a_query_that_cannot_be_used
#     no columns, two columns of one name,
#     missing primary key, two statements,
#     INSERT, DROP, parentheses, parameters
#   the same as text, many more spellings        tests/unit/test_warehouse_query.py (whole messages)
#   the same in every engine                     reverse_etl/testing/warehouse_suite.py, QuerySuite (what happens)
#   :name, %, trailing ; and comments,           here, test_a_query_that_works (values: QuerySuite)
#     columns with odd names, no rows
#   no rows any more                             here, test_a_query_that_finds_nobody_any_more
#   a query without end                          here, test_a_query_without_end_is_given_up
#   a query that writes, in a read-only source   test_read_only_sources.py (what happens)
#   a failing row is not quoted                  here (two), tests/security/test_canaries.py (all)
#   types x NULL, least, greatest, empty         ValueSuite of the same (values; there is no message)
#   values that no destination holds             here, and tests/unit/test_iterable_values.py (words)
#   identifiers: empty, a@b, a@@b, long, quotes, here, test_people_that_cannot_be_sent
#     NUL, newline, mixed case, plus, unicode
#   leading = + - @ tab CR in a CSV              here, test_no_cell_is_a_formula

from __future__ import annotations

import csv
import io
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import psycopg
import pytest

from connectors.iterable.sandbox import Sandbox
from reverse_etl.cli.app import run

if TYPE_CHECKING:
    from tests.conftest import PostgresServer

KEY = "canary-7d1f0c"
PATIENCE_SECONDS = 60.0
CONFIG = """\
warehouses:
  local: {{url: {url}}}
destinations:
  iterable: {{type: iterable, api_key: "${{API_KEY}}", base_url: "{base_url}", requests_per_second: 0}}
engine: {{shutdown_seconds: 0.2}}
syncs:
  people:
    source:
      warehouse: local
      query: {query}
      primary_key: {primary_key}
    destination: {{name: iterable, object: list, list: {{name: People}}}}
    identifiers: {{email: email}}
    fields: {fields}
"""
PLACE = "config.yaml:10:14"
UNTOUCHED = (
    "  Nothing was sent, and what earlier runs left is as it was: the next run starts where this "
    "one did"
)


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str


@dataclass
class Place:
    """A warehouse with people in it, a folder with a config, and the destination's stand-in."""

    engine: str
    url: str
    folder: Path
    execute: Callable[[str], list[tuple[Any, ...]]]
    sandbox: Sandbox

    def write(
        self, query: str, fields: Mapping[str, str] | None = None, primary_key: str = "id"
    ) -> None:
        text = CONFIG.format(
            url=json.dumps(self.url),
            base_url=self.sandbox.url,
            query=json.dumps(query),
            primary_key=primary_key,
            fields=json.dumps(dict(fields or {})),
        )
        (self.folder / "config.yaml").write_text(text)
        (self.folder / "config.yaml").chmod(0o600)

    def run(self, *words: str) -> Done:
        """Run a command in this process."""
        out, err = io.StringIO(), io.StringIO()
        with chdir(self.folder), redirect_stdout(out), redirect_stderr(err):
            code = run(words)
        return Done(code, out.getvalue(), err.getvalue())

    def theirs(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return the tables of the user with their rows."""
        names = self.execute(
            "select table_schema, table_name from information_schema.tables where table_schema"
            " not in ('reverse_etl', 'information_schema', 'pg_catalog') order by 1, 2"
        )
        return {name: self.execute(f"select * from {schema}.{name}") for schema, name in names}

    def reset(self) -> None:
        """Forget what the last test did."""
        self.execute("drop schema if exists reverse_etl cascade")
        self.sandbox.reset()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(api_key=KEY) as running:
        yield running


@pytest.fixture(scope="module")
def on_duckdb(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> Place:
    folder = tmp_path_factory.mktemp("duckdb")
    path = folder / "shop.duckdb"

    def execute(statement: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(path) as connection:
            return connection.execute(statement).fetchall()

    return _filled(Place("duckdb", f"duckdb:///{path}", folder, execute, sandbox))


@pytest.fixture(scope="module")
def on_postgresql(
    tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox, postgres_server: PostgresServer
) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("postgresql")
    database = f"test_{secrets.token_hex(6)}"
    postgres_server.execute(f"create database {database}")

    def execute(statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(postgres_server.url(database)) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    url = postgres_server.url(database)
    yield _filled(Place("postgresql", url, folder, execute, sandbox))
    postgres_server.execute(f"drop database {database} with (force)")


def _filled(place: Place) -> Place:
    place.execute("create table people (id integer, email varchar)")
    place.execute("insert into people values (1, 'ada@example.com'), (2, 'bob@example.com')")
    place.execute("create table bystander (id integer)")
    place.execute("insert into bystander values (1)")
    return place


@pytest.fixture(params=["duckdb", "postgresql"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("API_KEY", KEY)
    monkeypatch.delenv("REVERSE_ETL_CONFIG", raising=False)
    found: Place = request.getfixturevalue(f"on_{request.param}")
    yield found
    found.reset()


# --- queries that cannot be used -----------------------------------------------------------


def second(column: int) -> str:
    return f"the query holds a second statement at line 1, column {column}: nothing was executed. Keep one SELECT."


def begins(word: str) -> str:
    return f"the query begins with {word}: nothing was executed. Write one SELECT."


EMPTY = "the query is empty. Write one SELECT."
UNREAD = "the query cannot be read: most likely it opens a quote, a $$ or a comment (/*) and never closes it. Close it."
PARAMETER = "the query fails: it has a parameter, such as $1 or ?, and nothing gives it a value: write the value into it"
LACKS = "the query lacks columns of the mapping"
NO_KEY = "source.primary_key (config.yaml:11:20) names the column id"
NO_EMAIL = "identifiers.email (config.yaml:13:26) names the column email"
TWICE = "the query has two columns named {}. Give each its own alias."

# What is said behind the place: the same by both engines, or by DuckDB and by PostgreSQL.
UNUSABLE: dict[str, str | tuple[str, str]] = {
    # --- the engine does not understand
    "selec id, email from people": (
        'the query fails: Parser Error: syntax error at or near ","',
        'the query fails: syntax error at or near ","',
    ),
    "select id, email from people where": (
        'the query fails: Parser Error: syntax error at or near ")"',
        'the query fails: syntax error at or near ")"',
    ),
    "select (id, email from people": (
        'the query fails: Parser Error: syntax error at or near "from"',
        'the query fails: syntax error at or near "from"',
    ),
    "select id, email from {{ ref('people') }}": (
        'the query fails: Parser Error: syntax error at or near "{"',
        'the query fails: syntax error at or near "{"',
    ),
    "select id, email from people where email <> :name": (
        'the query fails: Parser Error: syntax error at or near ":"',
        'the query fails: syntax error at or near ":"',
    ),
    "select id, email from people where email <> $1": PARAMETER,
    "select id, email from people where email <> ?": (
        PARAMETER,
        'the query fails: syntax error at or near ")"',
    ),
    # --- what it names is not there
    "select id, email from peeple": (
        'the query fails: Catalog Error: Table with name peeple does not exist! Did you mean "people"?',
        'the query fails: relation "peeple" does not exist',
    ),
    "select id, emial from people": (
        'the query fails: Binder Error: Referenced column "emial" not found in FROM clause! Candidate bindings: "email"',
        'the query fails: column "emial" does not exist',
    ),
    "select id, lowr(email) as email from people": (
        'the query fails: Catalog Error: Scalar Function with name lowr does not exist! Did you mean "lower"?',
        "the query fails: function lowr(character varying) does not exist",
    ),
    "select id, email from people a, people b": (
        "the query fails: Binder Error: Ambiguous reference to column name \"id\" (use: 'a.id' or 'b.id')",
        'the query fails: column reference "id" is ambiguous',
    ),
    # --- its columns
    "select email from people": f"{LACKS}: {NO_KEY}. Its columns are email.",
    "select id, email as e_mail from people": f"{LACKS}: {NO_EMAIL} (closest: e_mail). Its columns are id, e_mail.",
    "select 1 as x": f"{LACKS}: {NO_KEY}; {NO_EMAIL}. Its columns are x.",
    "select from people": (
        "the query fails: Parser Error: SELECT clause without selection list",
        f"{LACKS}: {NO_KEY}; {NO_EMAIL}. It has no column.",
    ),
    "select id, email, email from people": TWICE.format("email"),
    "select * from people a join people b on a.id = b.id": TWICE.format("email, id"),
    # --- more than one statement
    "select id, email from people; drop table bystander": second(31),
    "select 1; drop table bystander": second(11),
    "select id, email from people;; delete from bystander; --": second(32),
    "begin; select id, email from people": second(8),
    "select id, email from people) q; drop table bystander; select * from (select 1": second(34),
    "select id, email from people)": "the query closes a parenthesis it never opened at line 1, column 29. Remove it, or open one before it.",
    # --- no SELECT
    "insert into bystander values (2)": begins("INSERT"),
    "insert into people values (3, 'c@example.com') returning id, email": begins("INSERT"),
    "update people set id = 5 returning id, email": begins("UPDATE"),
    "delete from people returning id, email": begins("DELETE"),
    "drop table bystander": begins("DROP"),
    "truncate bystander": begins("TRUNCATE"),
    "create table more as select * from people": begins("CREATE"),
    "copy people to 'people.csv'": begins("COPY"),
    "explain analyze select id, email from people": begins("EXPLAIN"),
    "commit": begins("COMMIT"),
    "with gone as (delete from people returning id, email) select * from gone": (
        "the query fails: Binder Error: WITH clause containing a data-modifying statement must be at the top level",
        "the query fails: WITH clause containing a data-modifying statement must be at the top level",
    ),
    "select id, email into more from people": (
        'the query fails: Parser Error: syntax error at or near "into"',
        "the query fails: SELECT ... INTO is not allowed here",
    ),
    ";": EMPTY,
    "-- select id, email from people": EMPTY,
    "select id, 'email from people": UNREAD,
    "select id, email from people /* all of them": UNREAD,
    # --- a row that fails is not quoted
    "select id, cast(email as integer) as email from people": (
        "the query fails: Conversion Error to INT32 when casting from source column email (the rest is hidden, as it may quote a row)",
        "the query fails: invalid input syntax for type integer: (SQLSTATE 22P02; the rest is hidden, as it may quote a row)",
    ),
    "select id, cast(email as date) as email from people": (
        "the query fails: Conversion Error when casting from source column email (the rest is hidden, as it may quote a row)",
        "the query fails: invalid input syntax for type date: (SQLSTATE 22007; the rest is hidden, as it may quote a row)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("query", UNUSABLE)
def test_a_query_that_cannot_be_used(place: Place, query: str) -> None:
    said = UNUSABLE[query]
    if isinstance(said, tuple):
        said = said[place.engine == "postgresql"]
    error = f"{PLACE}: {said}"
    place.write(query)
    before = place.theirs()

    plain = place.run("run-sync", "people")
    first, _, *rest = plain.out.splitlines()
    assert (first, rest[:2]) == ("people run 1: failed", [f"  {error}", UNTOUCHED])
    assert (plain.code, plain.err) == (1, "")
    assert place.theirs() == before
    assert [each for each in place.sandbox.state.requests if "subscribe" in each.path] == []
    kept = place.execute("select status, error_code, error_reason from reverse_etl.sync_runs")
    assert kept == [("failed", "source_error", error)]


@pytest.mark.parametrize("place", ["duckdb"], indirect=True)
def test_two_columns_that_differ_in_case_only_are_one_to_duckdb(place: Place) -> None:
    place.write('select id, email, 1 as "Email" from people')
    done = place.run("run-sync", "people", "--json")
    assert json.loads(done.out)["error"] == f"{PLACE}: {TWICE.format('email')}"


@pytest.mark.parametrize(
    "query",
    ["select id, email from people; drop table bystander", "select id, email, email from people"],
)
def test_plan_and_check_say_the_same(place: Place, query: str) -> None:
    error = f"{PLACE}: {UNUSABLE[query]}"
    place.write(query)
    before = place.theirs()
    for command in ("run-sync", "plan"):
        done = place.run(command, "people", "--json")
        document = json.loads(done.out)
        assert (done.code, document["status"]) == (1, "failed")
        assert (document["error_code"], document["error"]) == ("source_error", error)
    checked = json.loads(place.run("check", "people", "--json").out)
    (finding,) = [each for each in checked["syncs"][0]["findings"] if each["subject"] == "query"]
    assert (finding["verdict"], finding["text"]) == ("failed", error)
    assert place.theirs() == before


# --- queries that work ---------------------------------------------------------------------

ONE = "from people where id = 1"

WORKING: dict[str, str] = {
    f"select id, email, ':name' as plan {ONE} -- :foo": ":name",
    f"select id, email, '12:30:00' || '::x' as plan {ONE}": "12:30:00::x",
    f"select id, email, '100% %s %(x)s %%' as plan {ONE} and email like '%a%'": "100% %s %(x)s %%",
    f"select id, email, '$1 ? {{0}}' as plan {ONE}": "$1 ? {0}",
    f"select id, email, ';' as plan {ONE};": ";",
    f"select id, email, 'a' as plan {ONE} ; ;\n;": "a",
    f"select id, email, 'b' as plan {ONE} -- all; of them, or (": "b",
    f"select id, email, 'c' as plan {ONE}; -- all; of 'them": "c",
    f"select id, email, 'd' as plan {ONE} /* ; ' */": "d",
    f"/* ; */ with p as (select * {ONE}) select id, email, 'e' as plan from p": "e",
    "select * from (values (1, 'ada@example.com', 'f')) as t(id, email, plan)": "f",
    f"select id, email, 'x' as email_1, 'g' as plan {ONE}": "g",
}


@pytest.mark.parametrize("query", WORKING)
def test_a_query_that_works(place: Place, query: str) -> None:
    place.write(query, {"plan": "plan"})
    before = place.theirs()
    done = place.run("run-sync", "people", "--json")
    assert (done.code, done.err) == (0, "")
    profile = place.sandbox.state.profile("ada@example.com")
    assert profile is not None
    assert profile.fields["plan"] == WORKING[query]
    assert place.theirs() == before


@pytest.mark.parametrize("name", ["select", 'a"b', "a; drop table bystander; --"])
def test_a_column_of_any_name(place: Place, name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    place.write(
        f"select id as {quoted}, email, 'gold' as plan {ONE}", {"plan": "plan"}, json.dumps(name)
    )
    before = place.theirs()
    assert place.run("run-sync", "people").code == 0
    assert place.run("run-sync", "people").out.splitlines()[1] == "  nothing to send"
    assert place.execute("select primary_key from reverse_etl.sync_log") == [("1",)]
    assert place.theirs() == before


def test_a_query_that_finds_nobody(place: Place) -> None:
    place.write("select id, email from people where false")
    done = place.run("run-sync", "people")
    assert (done.code, done.out.splitlines()[:2]) == (
        0,
        ["people run 1: succeeded", "  nothing to send"],
    )
    assert place.sandbox.state.requests == []


def test_a_query_that_finds_nobody_any_more(place: Place) -> None:
    place.write("select id, email from people")
    assert place.run("run-sync", "people").code == 0
    place.write("select id, email from people where false")
    done = place.run("run-sync", "people", "--json")
    document = json.loads(done.out)
    assert (done.code, document["status"], document["error_code"]) == (4, "held", "held")
    assert document["error"] == (
        "2 of 2 people would be removed (100.0 %, max_delete_percent is 50), among them ada@example.com, bob@example.com. "
        "Nothing was sent. If this is right, let it pass once with: reverse-etl run-sync people --allow-deletes"
    )


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
def test_a_query_without_end_is_given_up(place: Place) -> None:
    """A run that is told to stop waits no longer than the config says."""
    place.write("select id, email from people where pg_sleep(3600) is not null")
    at_work = "from pg_stat_activity where state = 'active' and query like 'CREATE TABLE%'"
    process = subprocess.Popen(
        [sys.executable, "-m", "reverse_etl", "run-sync", "people"],
        cwd=place.folder,
        env={**os.environ, "API_KEY": KEY},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(lambda: place.execute(f"select 1 {at_work}") != [])
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        process.kill()
        process.communicate()
        place.execute(f"select pg_terminate_backend(pid) {at_work}")
    assert (process.returncode, out) == (143, "")
    assert err.splitlines() == [
        "stopping: what is under way has 0.2 s to end; the same signal again leaves at once",
        "what was under way took longer than 0.2 s: the next run settles what this one leaves behind",
    ]


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


# --- people that cannot be sent ------------------------------------------------------------


def literal(text: str) -> str:
    """Return a text as SQL of both engines, whatever is in it."""
    return " || ".join(f"chr({ord(letter)})" for letter in text) or "''"


MISSING = ("missing_identifier", "no identifier: needs email (an e-mail address)")
PLAINLY = ("invalid_identifier", "column email holds no usable email: expected an e-mail address")
# Refused by a look at each address that is about to be sent; what is said of it.
CLOSELY = {
    '"ada"@example.com': "Quoting the part before the @-sign is not allowed here.",
    ".ada@example.com": "An email address cannot start with a period.",
    "ada.@example.com": "An email address cannot have a period immediately before the @-sign.",
    "a..b@example.com": "An email address cannot have two periods in a row.",
    "ada@.example.com": "An email address cannot have a period immediately after the @-sign.",
    "ada@-example.com": "An email address cannot have a hyphen immediately after the @-sign.",
    "ada@example.123": "The part after the @-sign is not valid. It is not within a valid top-level domain.",
    "ada@[127.0.0.1].x": "The part after the @-sign contains invalid characters: '[', ']'.",
    "ada\u200b@example.com": "The email address contains unsafe characters: ZERO WIDTH SPACE.",
    f"{'a' * 65}@example.com": "The email address is too long before the @-sign (1 character too many).",
    f"a@{'b' * 64}.com": "After the @-sign, periods cannot be separated by so many characters (1 character too many).",
}  # fmt: skip
IDENTIFIERS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(["", " ", "\t\u00a0\n"], MISSING),
    **dict.fromkeys(["ada", "@example.com", "ada@", "a@b", "a@@b.com", "a@b@example.com"], PLAINLY),
    **dict.fromkeys(["a da@example.com", "a\nda@example.com", "ada@exam\tple.com"], PLAINLY),
    **dict.fromkeys(["ada@exam\x01ple.com", "Ada <ada@example.com>", "none"], PLAINLY),
    f"{'a' * 243}@example.com": PLAINLY,  # 255 characters
    **{
        address: ("invalid_identifier", f"email {address!r} cannot be sent: {said}")
        for address, said in CLOSELY.items()
    },
}
# PostgreSQL has no such text.
WITH_NUL = {
    "ada\0@example.com": (
        "invalid_identifier",
        "email 'ada\\x00@example.com' cannot be sent: The email address contains invalid characters before the @-sign: U+0000.",
    )
}
GOOD = {
    " Ada@Example.COM\n": "ada@example.com",
    "ada+news@example.com": "ada+news@example.com",
    "o'brien@example.com": "o'brien@example.com",
    "ada@m\u00fcnchen.de": "ada@m\u00fcnchen.de",
    "=ada@example.com": "=ada@example.com",
}


def test_people_that_cannot_be_sent(place: Place) -> None:
    refused = IDENTIFIERS | (WITH_NUL if place.engine == "duckdb" else {})
    people = [*refused, *GOOD]
    rows = [f"select {n} as id, {literal(text)} as email" for n, text in enumerate(people)]
    place.write(" union all ".join(rows))

    assert place.run("run-sync", "people").code == 3
    found = place.execute(
        "select cast(primary_key as integer), error_code, error_reason, retryable"
        " from reverse_etl.failed_records order by 1"
    )
    assert found == [(n, *said, False) for n, said in enumerate(refused.values())]
    assert members(place) == set(GOOD.values())


def members(place: Place) -> set[str]:
    state = place.sandbox.state
    return {str(member) for each in list(state.lists) for member in state.members(each)}


VALUES = {
    "cast('nan' as double precision)": "is NaN or infinite, which JSON cannot hold",
    "cast('infinity' as double precision)": "is NaN or infinite, which JSON cannot hold",
    "cast('20000-01-01' as timestamp)": "is a timestamp outside the years 1 to 9999",
    "cast('20000-01-01' as date)": "is a date outside the years 1 to 9999",
}


@pytest.mark.parametrize("value", VALUES)
def test_a_value_that_cannot_be_sent(place: Place, value: str) -> None:
    place.write(f"select id, email, {value} as plan from people where id = 1", {"plan": "plan"})
    assert place.run("run-sync", "people").code == 3
    found = place.execute(
        "select identity, error_code, error_reason, retryable from reverse_etl.failed_records"
    )
    assert found == [("ada@example.com", "invalid_value", f"field 'plan' {VALUES[value]}", False)]


# --- CSV -----------------------------------------------------------------------------------

HARMLESS = ("ada", "'=1", '"=1', ",=1", " 1", "1=1", "a\tb", "a\nb")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_cell_is_a_formula(place: Place, start: str) -> None:
    """Whoever opens the file in a spreadsheet reads it, and runs nothing."""
    formula = f"{start}cmd|' /C calc'!a0"
    keys = [formula, *HARMLESS]
    rows = [
        f"select {literal(key)} as id, {literal(f'{n}a..b@x.com')} as email"
        for n, key in enumerate(keys)
    ]
    rows.append(f"select 'last' as id, {literal(f'{start}1+1@a..b')} as email")
    place.write(" union all ".join(rows))
    assert place.run("run-sync", "people").code == 3

    done = place.run("failures", "people", "--csv")
    assert (done.code, done.err) == (0, "")
    records = list(csv.DictReader(io.StringIO(done.out, newline="")))
    found = {record["primary_key"]: record["identity"] for record in records}
    assert set(found) == {f"'{formula}", *HARMLESS, "last"}
    # An address is trimmed, and one with two @ names nobody.
    known = {"@": "row:last", "\t": "1+1@a..b", "\r": "1+1@a..b", "\n": "1+1@a..b"}
    assert found["last"] == known.get(start, f"'{start}1+1@a..b")
    cells = [cell for record in records for cell in record.values()]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for cell in cells)

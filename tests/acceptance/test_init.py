"""``init``: what it writes works at once, for the sample warehouse and for a table of one's own."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import duckdb
import psycopg
import pytest
from dotenv import dotenv_values

from reverse_etl.cli.app import run
from reverse_etl.config import Config, load_config
from reverse_etl.testing.server_process import free_port
from tests import documents

SECONDS = 120
SAMPLE_FILES = {
    *("config.yaml", "config.schema.json", ".env", ".env.example", ".gitignore"),
    "warehouse.duckdb",
}
PROPOSED_FILES = SAMPLE_FILES - {"warehouse.duckdb"}
USERS_KEY = "canary-of-the-user"

# What a table of a shop may look like: an address too few, one too odd, one twice.
CUSTOMERS = """
    create table customers (
      customer_id bigint {key}, "emailAddress" varchar(200), full_name varchar(100),
      lifetime_value numeric(12, 2), "signupDate" date, seen_at timestamp, photo {bytes},
      _loaded_at timestamp
    );
    insert into customers (customer_id, "emailAddress", full_name, lifetime_value) values
      (1, 'ada@example.com', 'Ada', 10.50), (2, ' Grace@Example.com', 'Grace', 1200),
      (3, 'katherine@example.com', null, 1), (4, null, 'Joan', 2), (5, 'annie@', 'Annie', 3),
      (6, 'ADA@example.com', 'Ada', 4), (7, 'hedy@example.net', 'Hedy', 5),
      (8, 'mary@example.com', 'Mary', 6), (9, 'radia@example.net', 'Radia', 7)
"""
SENT, WITHOUT = 6, 2
"""People to send, and rows without a usable address."""


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document."""
        found: dict[str, Any] = json.loads(self.out)
        assert found["format_version"] == "1.0"
        return found

    @property
    def next(self) -> list[list[str]]:
        """The commands that it says come next, as words."""
        lines = [line[2:] for line in self.out.splitlines() if line.startswith("  reverse-etl ")]
        return [shlex.split(line) for line in lines]


@dataclass
class Somewhere:
    """A folder that somebody works in, with a shell of their own."""

    folder: Path
    environment: dict[str, str]
    secrets: list[str]

    def shell(self, *words: str, program: str = "") -> Done:
        """Run a command in a process of its own."""
        done = subprocess.run(
            [*_python(program), *words],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        return self._checked(Done(done.returncode, done.stdout, done.stderr), words)

    def here(self, *words: str) -> Done:
        """Run a command in this process, where nothing depends on its being another one."""
        out, err = io.StringIO(), io.StringIO()
        before = dict(os.environ)
        os.environ.clear()
        os.environ.update(self.environment)
        try:
            with chdir(self.folder), redirect_stdout(out), redirect_stderr(err):
                code = run(words)
        finally:
            os.environ.clear()
            os.environ.update(before)
        return self._checked(Done(code, out.getvalue(), err.getvalue()), words)

    def _checked(self, done: Done, words: Sequence[str]) -> Done:
        for secret in self.secrets:
            assert secret not in done.out + done.err
        if "--json" in words:
            documents.read(words, done.out)
        return done

    @property
    def files(self) -> dict[str, bytes]:
        """Every file, hidden ones too, with what is in it."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in self.folder.rglob("*")
            if not path.is_dir()
        }

    def config(self, path: str = "config.yaml") -> Config:
        """Load a config as a command would."""
        return load_config(self.folder / path, self.environment)

    @contextmanager
    def second_terminal(self, words: Sequence[str]) -> Iterator[None]:
        """Run the stand-in on a free port, which the config in this folder is told."""
        assert words[:2] == ["reverse-etl", "sandbox"]
        with subprocess.Popen(
            [*_python(), *words[1:], "--port", "0"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        ) as serving:
            try:
                assert serving.stdout is not None
                (url,) = set(re.findall(r"http://[\d.:]+\d", serving.stdout.readline()))
                path = self.folder / "config.yaml"
                text = path.read_text()
                assert text.count("base_url: http://127.0.0.1:8765\n") == 1
                path.write_text(text.replace("http://127.0.0.1:8765", url))
                yield
            finally:
                serving.send_signal(signal.SIGINT)
                assert serving.wait(SECONDS) == 0

    def follow(self, said: Done, expected: int) -> dict[str, Any]:
        """Type the commands that ``init`` says; return the document of the run."""
        plan, sandbox, run_sync = said.next
        done = self.here(*plan[1:])
        assert (done.code, done.err) == (0, "")
        assert "run it with: reverse-etl run-sync" in done.out
        with self.second_terminal(sandbox):
            done = self.shell(*run_sync[1:], "--json")
            assert (done.code, done.err) == (expected, ""), done.out
            again = self.here(*run_sync[1:])
            assert (again.code, again.err) == (0, "")
            assert "nothing to send" in again.out
            assert self.here("check").code == 0
        for words in (["validate"], ["status"]):
            checked = self.here(*words)
            assert (checked.code, checked.err) == (0, ""), words
        return done.document


def _python(program: str = "") -> list[str]:
    if not program:
        return [sys.executable, "-m", "reverse_etl"]
    return [sys.executable, "-c", f"{program}\nfrom reverse_etl.cli import main\nmain()"]


@pytest.fixture
def place(tmp_path: Path) -> Somewhere:
    """An empty folder; the user's shell has a real key in it, which is nobody's business."""
    folder = tmp_path / "project"
    folder.mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return Somewhere(folder, {**kept, "ITERABLE_API_KEY": USERS_KEY}, [USERS_KEY])


# --- the sample ----------------------------------------------------------------------------


def test_what_it_says_works_as_it_says_it(place: Somewhere) -> None:
    said = place.shell("init")
    assert (said.code, said.err) == (0, "")
    assert place.files.keys() == SAMPLE_FILES
    assert [words[1:] for words in said.next] == [
        ["plan", "vip_customers"],
        ["sandbox"],
        ["run-sync", "vip_customers"],
    ]
    assert "exit code 3" in said.out
    assert place.config().warnings == []
    first = place.follow(said, expected=3)
    assert first["succeeded"]["insert"] > 500
    assert first["invalid"] > 5


def test_the_other_sync_works_too(place: Somewhere) -> None:
    said = place.here("init")
    with place.second_terminal(said.next[1]):
        done = place.shell("run-sync", "customer_profiles", "--json")
        assert done.code == 3, done.err
        assert done.document["succeeded"]["insert"] > 1_800
        assert place.shell("run-sync", "--all").code == 3
        assert place.shell("run-sync", "--all").code == 0


def test_an_editor_finds_the_schema(place: Somewhere) -> None:
    place.here("init")
    first = (place.folder / "config.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=config.schema.json"
    assert place.files["config.schema.json"].decode() == place.here("schema").out


def test_secrets_have_a_place_that_nobody_commits(place: Somewhere) -> None:
    place.here("init")
    assert place.files[".env"] == place.files[".env.example"]
    assert dotenv_values(place.folder / ".env") == {"SANDBOX_API_KEY": "sandbox-key"}
    assert stat.S_IMODE((place.folder / ".env").stat().st_mode) == 0o600
    assert {".env", "*.duckdb"} <= set(place.files[".gitignore"].decode().splitlines())
    assert ".env.example" not in place.files[".gitignore"].decode()


def test_the_line_for_the_real_account_is_right(place: Somewhere) -> None:
    place.here("init")
    path = place.folder / "config.yaml"
    lines = path.read_text().splitlines()
    for start in ("base_url:", "api_key:"):
        (place_of,) = [n for n, line in enumerate(lines) if line.strip().startswith(start)]
        del lines[place_of]
    text = (
        "\n".join(lines).replace("# api_key:", "api_key:").replace("# data_center:", "data_center:")
    )
    path.write_text(text)
    account = place.config().account("iterable")
    assert account.url() == "https://api.eu.iterable.com"
    assert account.headers()["Api-Key"] == USERS_KEY


def test_a_document_for_programs(place: Somewhere) -> None:
    document = place.here("init", "--json", "--folder", "new/shop").document
    assert document == {
        "format_version": "1.0",
        "folder": "new/shop",
        "files": document["files"],
        "sync": "vip_customers",
        "proposal": None,
        "to_set": [],
        "next": [
            "reverse-etl plan vip_customers",
            "reverse-etl sandbox",
            "reverse-etl run-sync vip_customers",
        ],
    }
    assert set(document["files"]) == SAMPLE_FILES
    assert place.files.keys() == {f"new/shop/{name}" for name in SAMPLE_FILES}


def test_another_folder_is_gone_to_first(place: Somewhere) -> None:
    said = place.here("init", "--folder", "my shop")
    assert "cd 'my shop'" in said.out
    there = Somewhere(place.folder / "my shop", place.environment, place.secrets)
    assert there.follow(said, expected=3)["status"] == "completed_with_failures"


def test_a_config_that_the_shell_names_is_not_meant(place: Somewhere) -> None:
    place.environment["REVERSE_ETL_CONFIG"] = "/no/such/file.yaml"
    said = place.here("init")
    done = place.here(*said.next[0][1:])
    assert (done.code, done.err) == (0, "")


# --- what is there stays -------------------------------------------------------------------


def test_a_second_time_changes_nothing(place: Somewhere) -> None:
    place.here("init")
    before = place.files
    done = place.here("init")
    assert done.code == 2
    for name in ("config.yaml", "config.schema.json", ".env.example", "warehouse.duckdb"):
        assert name in done.err
    assert "--folder" in done.err
    assert done.out == ""
    assert place.files == before
    again = place.here("init", "--json")
    assert again.document["problems"] == [again.err.strip()]


@pytest.mark.parametrize(
    "taken", ["config.yaml", "config.schema.json", ".env.example", "warehouse.duckdb"]
)
def test_one_file_is_enough_to_stop_it(place: Somewhere, taken: str) -> None:
    (place.folder / taken).write_text("mine")
    done = place.here("init")
    assert done.code == 2
    assert f"{taken} is there already; nothing was written" in done.err
    assert place.files == {taken: b"mine"}


def test_a_folder_may_have_secrets_and_ignored_files_already(place: Somewhere) -> None:
    (place.folder / ".env").write_text("MINE=1\n")
    (place.folder / ".gitignore").write_text("target/\n")
    said = place.here("init")
    assert said.code == 0
    assert "put into .env: SANDBOX_API_KEY=sandbox-key\n" in said.out
    assert ".gitignore is yours and does not name .env" in said.out
    assert place.files[".env"] == b"MINE=1\n"
    assert place.files[".gitignore"] == b"target/\n"
    with (place.folder / ".env").open("a") as env:
        env.write("SANDBOX_API_KEY=sandbox-key\n")
    assert place.here("plan", "vip_customers").code == 0


def test_a_file_of_secrets_that_cannot_be_read_is_told_first(place: Somewhere) -> None:
    (place.folder / ".env").write_bytes(b"A=\xff")
    done = place.here("init")
    assert done.code == 2
    assert "is not UTF-8" in done.err
    assert place.files.keys() == {".env"}


def test_a_folder_that_takes_no_files(place: Somewhere) -> None:
    (place.folder / "file").touch()
    for folder in ("file", "file/in", "/proc/reverse-etl"):
        done = place.here("init", "--folder", folder)
        assert done.code == 2
        assert f"{folder}: nothing can be made there" in done.err
    assert place.files == {"file": b""}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_only_be_read(place: Somewhere) -> None:
    place.folder.chmod(0o500)
    try:
        done = place.here("init")
    finally:
        place.folder.chmod(0o700)
    assert done.code == 2
    assert "nothing can be made there (Permission denied)" in done.err
    assert place.files == {}


@pytest.mark.parametrize("option", ["--table", "--name"])
def test_options_of_a_proposal_need_a_warehouse(place: Somewhere, option: str) -> None:
    done = place.here("init", option, "customers")
    assert done.code == 2
    assert "belong to --from-warehouse URL" in done.err
    assert place.files == {}


# --- a table of one's own ------------------------------------------------------------------


@dataclass(frozen=True)
class Shop:
    """A warehouse with tables of the user's."""

    url: str
    execute: Callable[[str], list[tuple[Any, ...]]]
    bytes: str

    def customers(self, key: str = "primary key") -> None:
        self.execute(CUSTOMERS.format(key=key, bytes=self.bytes))

    @property
    def schemas(self) -> set[str]:
        """The schemas in it."""
        rows = self.execute("select schema_name from information_schema.schemata")
        return {row[0] for row in rows}


@pytest.fixture
def in_duckdb(place: Somewhere) -> Shop:
    def execute(statement: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(place.folder / "shop.duckdb")) as connection:
            return connection.execute(statement).fetchall()

    return Shop("duckdb:///shop.duckdb", execute, "blob")


@pytest.fixture
def in_postgresql(place: Somewhere, postgres_url: str) -> Shop:
    """A PostgreSQL whose password is in the user's shell."""
    plain = postgres_url.replace("+psycopg", "")

    def execute(statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(plain) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    password = urlsplit(plain).password or ""
    place.environment["PGPASSWORD"] = password
    place.secrets += [password, unquote(password)]
    return Shop(plain.replace(password, "${PGPASSWORD}"), execute, "bytea")


@pytest.fixture(params=["duckdb", "postgresql"])
def shop(request: pytest.FixtureRequest) -> Shop:
    found: Shop = request.getfixturevalue(f"in_{request.param}")
    return found


def init(place: Somewhere, shop: Shop, *words: str) -> Done:
    return place.here("init", "--from-warehouse", shop.url, *words)


def written(place: Somewhere) -> str:
    return (place.folder / "config.yaml").read_text()


def test_a_proposal_works_as_it_is(place: Somewhere, shop: Shop) -> None:
    shop.customers()
    before = shop.schemas
    said = init(place, shop, "--table", "customers")
    assert (said.code, said.err) == (0, "")
    assert shop.schemas == before, "a look changes nothing"
    assert place.files.keys() - {"shop.duckdb"} == PROPOSED_FILES
    config = place.config()
    assert config.warnings == []
    sync = config.sync("customers")
    assert sync.source.table == "customers"
    assert sync.source.primary_key == ("customer_id",)
    assert dict(sync.identifiers) == {"email": "emailAddress"}
    assert list(sync.fields) == ["full_name", "lifetime_value", "seen_at"]
    done = place.follow(said, expected=3)
    assert done["succeeded"]["insert"] == SENT
    assert done["invalid"] == WITHOUT


def test_every_guess_says_that_it_is_one(place: Somewhere, shop: Shop) -> None:
    shop.customers()
    said = init(place, shop, "--table", "customers")
    text = written(place)
    assert "# the table's primary key\n      primary_key: customer_id\n" in text
    guess = "a guess: its name, and 87.5 % of its values in all 9 rows look like addresses"
    assert f"# {guess}\n      email: emailAddress\n" in text
    assert "project_type: email   # a guess: the table has addresses" in text
    assert '# not "photo": bytes cannot be sent' in text
    assert '# not "_loaded_at": a name with an underscore' in text
    assert '# not "signupDate": signupDate is managed by Iterable' in text
    rows = [line.split(maxsplit=2) for line in said.out.splitlines()[:4]]
    assert ["e-mail", "emailAddress", guess] in rows


def test_an_undeclared_key_is_counted(place: Somewhere, shop: Shop) -> None:
    shop.customers(key="")
    init(place, shop, "--table", "customers")
    guess = "# a guess: its name; unique in all 9 rows\n      primary_key: customer_id\n"
    assert guess in written(place)


def test_the_guesses_for_programs(place: Somewhere, shop: Shop) -> None:
    shop.customers()
    document = init(place, shop, "--table", "customers", "--name", "vip", "--json").document
    assert document["sync"] == "vip"
    assert document["next"][0] == "reverse-etl plan vip"
    proposal = document["proposal"]
    assert proposal["primary_key"] == {
        "columns": ["customer_id"],
        "reason": "the table's primary key",
        "is_certain": True,
    }
    assert proposal["email"]["columns"] == ["emailAddress"]
    assert not proposal["email"]["is_certain"]
    assert proposal["user_id"]["columns"] == ["customer_id"]
    assert set(proposal["left_out"]) == {"photo", "_loaded_at", "signupDate"}


def test_the_sample_table_of_customers(place: Somewhere) -> None:
    place.here("init", "--folder", "sample")
    url = "duckdb:///sample/warehouse.duckdb"
    assert place.here("init", "--from-warehouse", url, "--table", "customers").code == 0
    text = written(place)
    assert "url: duckdb:///sample/warehouse.duckdb" in text
    assert "primary_key: customer_id" in text
    assert "      email: email\n" in text
    assert "      # userId: user_id\n" in text
    assert re.search(r"# a guess: its name, and 9\d.\d % of its values in all 2,0\d\d rows", text)


def test_a_table_with_ids_alone(place: Somewhere, shop: Shop) -> None:
    shop.execute(
        "create table assignments (user_id varchar(20), experiment varchar(20), arm varchar(20),"
        " primary key (user_id, experiment));"
        "insert into assignments values ('u1', 'e1', 'a'), ('u2', 'e1', 'b'), ('u2', 'e2', 'a')"
    )
    said = init(place, shop, "--table", "assignments")
    assert said.code == 0, said.err
    config = place.config()
    assert config.sync("assignments").source.primary_key == ("user_id", "experiment")
    assert dict(config.sync("assignments").identifiers) == {"userId": "user_id"}
    assert list(config.sync("assignments").fields) == ["experiment", "arm"]
    assert said.next[1] == ["reverse-etl", "sandbox", "--project-type", "user_id"]
    assert place.follow(said, expected=0)["succeeded"]["insert"] == 2


def test_a_uuid_names_people(place: Somewhere, shop: Shop) -> None:
    shop.execute(
        "create table users (id uuid, plan varchar(20));"
        "insert into users values ('5e9a1c9e-8a57-4c0e-9d2e-1d2f3a4b5c6d', 'gold'),"
        " ('6e9a1c9e-8a57-4c0e-9d2e-1d2f3a4b5c6d', 'gold')"
    )
    said = init(place, shop, "--table", "users")
    assert said.code == 0, said.err
    assert dict(place.config().sync("users").identifiers) == {"userId": "id"}
    assert place.follow(said, expected=0)["succeeded"]["insert"] == 2


def test_names_in_mixed_letters_and_in_a_schema(place: Somewhere, shop: Shop) -> None:
    shop.execute(
        'create schema "Sales"; create table "Sales"."VIP Customers" ("Id" integer, "E-Mail" text);'
        'insert into "Sales"."VIP Customers" values (1, \'ada@example.com\')'
    )
    said = init(place, shop, "--table", "Sales.VIP Customers")
    assert said.code == 0, said.err
    assert place.config().sync("vip_customers").source.table == "Sales.VIP Customers"
    assert place.follow(said, expected=0)["succeeded"]["insert"] == 1


def test_columns_of_any_name(place: Somewhere, shop: Shop) -> None:
    names = ["50% off: yes", 'say "hi"', "${HOME}", "no", "Плата", "#1", "EMAIL 2"]
    columns = ", ".join('"' + name.replace('"', '""') + '" text' for name in names)
    shop.execute(f'create table people (id integer, "e:mail" text, {columns})')
    values = ", ".join(["'x'"] * len(names))
    shop.execute(f"insert into people values (1, 'ada@example.com', {values})")  # noqa: S608 - made here
    said = init(place, shop, "--table", "people")
    assert said.code == 0, said.err
    assert [field.column for field in place.config().sync("people").fields.values()] == names
    assert place.follow(said, expected=0)["succeeded"]["insert"] == 1


def test_a_view_will_do(place: Somewhere, shop: Shop) -> None:
    shop.customers()
    shop.execute('create view vips as select "emailAddress" as mail, full_name from customers')
    assert init(place, shop, "--table", "vips").code == 0
    assert dict(place.config().sync("vips").identifiers) == {"email": "mail"}


def test_an_empty_table_will_do(place: Somewhere, shop: Shop) -> None:
    shop.execute("create table people (nr integer, email varchar(100))")
    assert init(place, shop, "--table", "people").code == 0
    assert "# a guess: its name; the table is empty\n      email: email" in written(place)


def test_a_table_with_more_columns_than_one_statement_can_count(
    place: Somewhere, shop: Shop
) -> None:
    columns = ", ".join(f"c{n} text" for n in range(500))
    shop.execute(f"create table wide ({columns}, email text)")
    shop.execute("insert into wide (c0, email) values ('x', 'ada@example.com')")
    assert init(place, shop, "--table", "wide").code == 0
    assert "# a guess: its name, and all of its values in the one row" in written(place)
    assert len(place.config().sync("wide").fields) == 500


# --- which table ---------------------------------------------------------------------------


def test_without_a_table_all_are_listed(place: Somewhere, shop: Shop) -> None:
    shop.customers()
    shop.execute(
        "create view vips as select 1 as id; create schema sales;"
        "create table sales.orders (id integer); create schema reverse_etl;"
        "create table reverse_etl.sync_runs (id integer)"
    )
    done = init(place, shop)
    assert done.code == 2
    assert done.out.splitlines() == ["customers", "vips", "sales.orders"]
    (command,) = re.findall(r"reverse-etl init .*", done.err)
    assert place.here(*shlex.split(command)[1:]).code == 0, "the command is right as it is"
    before = place.files.keys()
    document = init(place, shop, "--json").document
    assert document["tables"] == ["customers", "vips", "sales.orders"]
    assert document["error_code"] == "config_error"
    assert place.files.keys() == before


def test_a_warehouse_without_tables(place: Somewhere, shop: Shop) -> None:
    shop.execute("create schema empty")
    done = init(place, shop)
    assert (done.code, done.out) == (2, "")
    assert "sees no table" in done.err
    assert "sees no table" in init(place, shop, "--table", "customers").err


@pytest.mark.parametrize(
    ("asked", "meant"),
    [("custmers", "customers"), ("public.customer", "customers"), ("order", "sales.orders")],
)
def test_a_table_that_is_not_there(place: Somewhere, shop: Shop, asked: str, meant: str) -> None:
    shop.customers()
    shop.execute("create schema sales; create table sales.orders (id integer)")
    done = init(place, shop, "--table", asked)
    assert done.code == 2
    assert f"there is no table {asked} in the warehouse; did you mean {meant}?" in done.err
    assert place.files.keys() <= {"shop.duckdb"}
    assert "without --table all are listed" in init(place, shop, "--table", "xyzzy").err


def test_capitals_matter_where_they_matter_to_the_engine(
    place: Somewhere, in_postgresql: Shop
) -> None:
    in_postgresql.customers()
    done = init(place, in_postgresql, "--table", "CUSTOMERS")
    assert done.code == 2
    assert "did you mean customers?" in done.err


def test_a_table_with_nobody_in_it(place: Somewhere, shop: Shop) -> None:
    shop.execute("create table orders (order_id integer, amount integer, placed_at date)")
    done = init(place, shop, "--table", "orders")
    assert done.code == 1
    assert "no column of orders seems to hold e-mail addresses or ids of people" in done.err
    assert "order_id, amount, placed_at" in done.err
    assert place.files.keys() <= {"shop.duckdb"}


def test_a_config_that_is_there_is_not_replaced_by_a_proposal(place: Somewhere, shop: Shop) -> None:
    shop.customers()
    (place.folder / "config.yaml").write_text("mine")
    before = place.files
    done = init(place, shop, "--table", "customers")
    assert done.code == 2
    assert "config.yaml is there already; nothing was written" in done.err
    assert place.files == before


def test_a_name_that_no_sync_may_have(place: Somewhere, shop: Shop) -> None:
    shop.customers()
    done = init(place, shop, "--table", "customers", "--name", "VIP!")
    assert done.code == 2
    assert "--name: a sync name starts with a-z" in done.err


# --- warehouses that do not answer ---------------------------------------------------------


def test_a_duckdb_file_that_is_not_there_is_not_made(place: Somewhere) -> None:
    done = place.here("init", "--from-warehouse", "duckdb:///none.duckdb", "--table", "people")
    assert done.code == 1
    assert "there is no DuckDB file" in done.err
    assert place.files == {}


def test_a_server_that_does_not_answer(place: Somewhere) -> None:
    place.secrets.append("hunter2")
    url = f"postgresql://etl:hunter2@127.0.0.1:{free_port()}/shop"
    done = place.here("init", "--from-warehouse", url, "--table", "people")
    assert done.code == 1
    assert "no connection to the warehouse at 127.0.0.1" in done.err
    assert place.files == {}


def test_a_driver_that_is_not_installed(place: Somewhere) -> None:
    words = ("init", "--from-warehouse", "postgresql://etl@127.0.0.1/shop", "--table", "people")
    done = place.shell(*words, program="import sys; sys.modules['psycopg'] = None")
    assert done.code == 1
    assert "pip install 'reverse-etl[postgres]'" in done.err
    assert place.files == {}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("shop.duckdb", "must be a SQLAlchemy URL"),
        ("duckdb://shop.duckdb", "a DuckDB path follows three slashes"),
        ("duckdb:///:memory:", "a DuckDB in memory forgets"),
        ("postgresql://etl:hunter2@here@there/shop", "special characters of the password"),
        ("postgresql://etl:${NOBODY}@127.0.0.1/shop", "variable NOBODY is not set"),
        ("oracle://etl:hunter2@127.0.0.1/shop", "no warehouse dialect for oracle"),
    ],
)
def test_a_url_that_is_none(place: Somewhere, url: str, said: str) -> None:
    place.secrets.append("hunter2")
    for words in (["--table", "people"], []):
        done = place.here("init", "--from-warehouse", url, *words)
        assert done.code == 2
        assert said in done.err
    assert place.files == {}


def test_a_table_that_this_role_may_not_read(
    place: Somewhere, in_postgresql: Shop, postgres_url: str
) -> None:
    in_postgresql.customers()
    role = f"reader_{os.getpid()}"
    in_postgresql.execute(f"create role {role} login password 'hunter2'")
    place.secrets.append("hunter2")
    host = urlsplit(postgres_url).netloc.rpartition("@")[2]
    url = f"postgresql://{role}:hunter2@{host}{urlsplit(postgres_url).path}"
    try:
        done = place.here("init", "--from-warehouse", url, "--table", "customers")
        assert done.code == 1
        assert "GRANT SELECT" in done.err
        assert place.files == {}
        in_postgresql.execute(f"grant select on customers to {role}")
        assert place.here("init", "--from-warehouse", url, "--table", "customers").code == 0
        assert "# workspace: default" in written(place)
    finally:
        in_postgresql.execute(f"drop owned by {role}; drop role {role}")


# --- secrets -------------------------------------------------------------------------------


def test_a_password_in_the_url_is_written_nowhere(place: Somewhere, in_postgresql: Shop) -> None:
    in_postgresql.customers()
    password = place.environment.pop("PGPASSWORD")
    url = in_postgresql.url.replace("${PGPASSWORD}", password)
    said = place.here("init", "--from-warehouse", url, "--table", "customers")
    assert (said.code, said.err) == (0, "")
    for name, content in place.files.items():
        assert all(secret not in content.decode() for secret in place.secrets), name
    assert "url: postgresql://tester:${WAREHOUSE_PASSWORD}@127.0.0.1" in written(place)
    assert "# WAREHOUSE_PASSWORD=\n" in place.files[".env.example"].decode()
    assert "put into .env: WAREHOUSE_PASSWORD=" in said.out
    # Until somebody does so, every command says what is missing.
    assert "WAREHOUSE_PASSWORD is not set" in place.here("validate").err
    with (place.folder / ".env").open("a") as env:
        env.write(f"WAREHOUSE_PASSWORD='{password}'\n")
    assert place.follow(said, expected=3)["succeeded"]["insert"] == SENT


def test_a_password_is_not_shown_with_the_tables(place: Somewhere, in_postgresql: Shop) -> None:
    in_postgresql.customers()
    url = in_postgresql.url.replace("${PGPASSWORD}", place.environment["PGPASSWORD"])
    for more in ([], ["--json"], ["--table", "custmers"], ["--table", "custmers", "--json"]):
        done = place.here("init", "--from-warehouse", url, *more)
        assert done.code == 2
    assert "reverse-etl init --from-warehouse URL --table customers" in (
        place.here("init", "--from-warehouse", url).err
    )


def test_a_password_may_be_in_the_file_of_secrets(place: Somewhere, in_postgresql: Shop) -> None:
    in_postgresql.customers()
    password = place.environment.pop("PGPASSWORD")
    env = f"PGPASSWORD='{password}'\nSANDBOX_API_KEY=sandbox-key\n"
    (place.folder / ".env").write_text(env)
    said = init(place, in_postgresql, "--table", "customers")
    assert said.code == 0, said.err
    assert "put into .env" not in said.out
    assert place.files[".env"].decode() == env
    assert place.follow(said, expected=3)["succeeded"]["insert"] == SENT


def test_a_path_is_found_from_another_folder_too(place: Somewhere, in_duckdb: Shop) -> None:
    in_duckdb.customers()
    said = init(place, in_duckdb, "--table", "customers", "--folder", "sync")
    assert said.code == 0, said.err
    assert (
        f"url: duckdb:///{place.folder}/shop.duckdb"
        in (place.folder / "sync" / "config.yaml").read_text()
    )
    there = Somewhere(place.folder / "sync", place.environment, place.secrets)
    assert there.follow(said, expected=3)["succeeded"]["insert"] == SENT

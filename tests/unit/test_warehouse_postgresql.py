"""PostgreSQL: rights and the GRANTs that help, passwords, what messages may say."""

from __future__ import annotations

import re
import secrets
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import psycopg
import pyarrow as pa
import pytest
import sqlalchemy as sa

from reverse_etl.errors import RightsError, SourceError, WarehouseError
from reverse_etl.testing.planner import Planner, StandingClock
from reverse_etl.warehouse import warehouse_at
from reverse_etl.warehouse.base import Warehouse
from reverse_etl.warehouse.postgresql import PostgreSQLWarehouse
from reverse_etl.warehouse.tables import clause

PASSWORD = " p w+d%/@:?#&=é'\"\\{} "
QUERY = "select id, email from data.people"
OURS = "reverse_etl"


class Server(Protocol):
    """What these tests use of the server of the fixtures."""

    def execute(self, statement: str) -> None: ...


@dataclass(frozen=True)
class Guest:
    """A role without any right but to connect.

    Attributes:
        name: Of the role, as it is.
        url: Of the database, for this role.
    """

    name: str
    url: str

    @property
    def quoted(self) -> str:
        return '"' + self.name.replace('"', '""') + '"'

    def warehouse(self) -> Warehouse:
        return warehouse_at(self.url, OURS, StandingClock())


@pytest.fixture
def role(postgres_server: Server) -> Iterator[str]:
    # Roles belong to the server: this one goes after the database in which it owns things.
    name = f'ro"le 100% {secrets.token_hex(4)}'
    quoted = '"' + name.replace('"', '""') + '"'
    password = PASSWORD.replace("'", "''")
    postgres_server.execute(f"create role {quoted} login password '{password}'")
    yield name
    postgres_server.execute(f"drop role {quoted}")


@pytest.fixture
def guest(role: str, postgres_url: str) -> Guest:
    url = sa.make_url(postgres_url).set(username=role, password=PASSWORD)
    return Guest(role, url.render_as_string(hide_password=False))


@pytest.fixture
def owner(postgres_url: str) -> Iterator[Planner]:
    """Prepare data that only its owner may read."""
    with warehouse_at(postgres_url, "elsewhere", StandingClock()) as warehouse:
        planner = Planner(warehouse)
        planner.execute(
            "create schema data",
            "create table data.people as select 1 as id, 'a@x.org' as email",
        )
        yield planner


def advised(error: RightsError, schema: str = "data") -> list[str]:
    """Return the statements of a message, for the schema that holds the data."""
    lines = [line for line in str(error).splitlines() if line.startswith("  ")]
    return [line.replace('"…"', schema).strip(" ;") for line in lines if 'GRANT "…"' not in line]


# --- rights --------------------------------------------------------------------------------


def test_the_message_holds_the_statements_that_help(guest: Guest, owner: Planner) -> None:
    with guest.warehouse() as warehouse:
        with pytest.raises(RightsError) as caught:
            warehouse.prepare_schema()
        statements = advised(caught.value)
        assert f'GRANT USAGE, CREATE ON SCHEMA "{OURS}" TO {guest.quoted}' in statements
        assert caught.value.code == "missing_rights"
        owner.execute(*statements)
        assert Planner(warehouse).run(QUERY).counts == (1, 0, 0)
        assert Planner(warehouse).run(QUERY).counts == (0, 0, 0)


def test_an_existing_schema_is_enough(guest: Guest, owner: Planner) -> None:
    owner.execute(
        f"create schema {OURS}",
        f"grant usage, create on schema {OURS} to {guest.quoted}",
        f"grant usage on schema data to {guest.quoted}",
        f"grant select on data.people to {guest.quoted}",
    )
    with guest.warehouse() as warehouse:
        assert Planner(warehouse).run(QUERY).counts == (1, 0, 0)


@pytest.mark.parametrize("given", [(), ("grant usage on schema data to {}",)])
def test_data_that_may_not_be_read(guest: Guest, owner: Planner, given: tuple[str, ...]) -> None:
    owner.execute(
        f"create schema {OURS} authorization {guest.quoted}",
        *(statement.format(guest.quoted) for statement in given),
    )
    with guest.warehouse() as warehouse:
        with pytest.raises(RightsError, match="permission denied") as caught:
            Planner(warehouse).run(QUERY)
        owner.execute(*advised(caught.value))
        assert Planner(warehouse).run(QUERY).counts == (1, 0, 0)


def test_temporary_tables_may_be_forbidden(guest: Guest, owner: Planner, postgres_url: str) -> None:
    database = sa.make_url(postgres_url).database
    owner.execute(
        f"revoke temporary on database {database} from public",
        f"create schema {OURS} authorization {guest.quoted}",
        f"grant usage on schema data to {guest.quoted}",
        f"grant select on data.people to {guest.quoted}",
    )
    with guest.warehouse() as warehouse:
        with pytest.raises(RightsError, match="temporary tables") as caught:
            Planner(warehouse).run(QUERY)
        owner.execute(*advised(caught.value))
        assert Planner(warehouse).run(QUERY).counts == (1, 0, 0)


def test_tables_that_another_role_has_made(guest: Guest, owner: Planner, postgres_url: str) -> None:
    with warehouse_at(postgres_url, OURS, StandingClock()) as first:
        Planner(first).run(QUERY)
    with guest.warehouse() as warehouse:
        with pytest.raises(RightsError, match="permission denied for schema") as caught:
            warehouse.prepare_schema()
        owner.execute(*advised(caught.value))
        # Another sync works at once: all that it needs to own is made by itself.
        assert Planner(warehouse, "others").run(QUERY).counts == (1, 0, 0)
        # The same one has a view whose owner is somebody else.
        with pytest.raises(RightsError, match="must be owner") as caught:
            Planner(warehouse).run(f"{QUERY} where id = 1", full=True)
        assert f'GRANT "…" TO {guest.quoted};' in str(caught.value)
        owner.execute(f"grant {sa.make_url(postgres_url).username} to {guest.quoted}")
        assert Planner(warehouse).run(QUERY, full=True).counts == (0, 1, 0)


def test_a_lease_without_rights_is_no_surprise(guest: Guest, owner: Planner) -> None:
    owner.warehouse.prepare_schema()
    owner.execute(
        f"grant usage on schema elsewhere to {guest.quoted}",
        f"grant select on all tables in schema elsewhere to {guest.quoted}",
    )
    with warehouse_at(guest.url, "elsewhere", StandingClock()) as warehouse:
        planner = Planner(warehouse)
        with pytest.raises(RightsError, match="sync_state"), planner.leased():
            pytest.fail("the lease was taken")


# --- connections ---------------------------------------------------------------------------


def test_any_password_opens_both_connections(guest: Guest, owner: Planner) -> None:
    owner.execute(f"create schema {OURS} authorization {guest.quoted}")
    with guest.warehouse() as warehouse:
        planned = Planner(warehouse).run("select 1 as id, 'a@x.org' as email")
        # Statements went over one driver, the page over the other.
        assert planned.identities == {"a@x.org"}


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_every_usual_scheme_is_understood(postgres_url: str, scheme: str) -> None:
    url = scheme + postgres_url.removeprefix("postgresql+psycopg")
    with warehouse_at(url, OURS, StandingClock()) as warehouse:
        assert Planner(warehouse).run("select 1 as id, 'a@x.org' as email").counts == (1, 0, 0)


@pytest.mark.parametrize("change", [{"password": "wr:ong@pass word"}, {"port": 1}])
def test_a_refused_connection_does_not_show_the_password(
    postgres_url: str, change: dict[str, object]
) -> None:
    url = sa.make_url(postgres_url).set(**change)  # type: ignore[arg-type]
    warehouse = warehouse_at(url.render_as_string(hide_password=False), OURS, StandingClock())
    with warehouse:
        with pytest.raises(WarehouseError) as by_statement:
            warehouse.prepare_schema()
        with pytest.raises(WarehouseError) as by_page:
            warehouse.read_arrow("select 1")
    for caught in (by_statement, by_page):
        shown = "".join(traceback.format_exception(caught.value))
        assert "127.0.0.1" in str(caught.value)
        assert str(url.password) not in shown
        assert "%40pass" not in shown


def test_a_lost_connection_is_an_error_of_the_warehouse(owner: Planner) -> None:
    with pytest.raises(WarehouseError), owner.warehouse.transaction() as tx:  # noqa: PT012
        own = tx.connection.exec_driver_sql("select pg_backend_pid()").scalar()
        owner.execute(f"select pg_terminate_backend({own})")
        tx.now()
    assert owner.scalar("select 1") == 1


def test_a_page_that_cannot_be_read_is_an_error_of_the_warehouse(owner: Planner) -> None:
    with pytest.raises(WarehouseError, match="no_such_table"):
        owner.warehouse.read_arrow("select * from no_such_table")
    with pytest.raises(WarehouseError) as caught:
        owner.warehouse.read_arrow("select cast('secret@x.org' || 1 as integer)")
    assert "secret" not in str(caught.value)
    assert owner.warehouse.read_arrow("select 1 as one").to_pylist() == [{"one": 1}]


# --- messages ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "ungültige Eingabesyntax für Typ integer: »secret«",
        "ungültige Eingabesyntax für Typ integer: „secret“",
        "syntaxe en entrée invalide pour le type integer : « secret »",
        'неверный синтаксис для типа integer: "secret"',
        '型integerの入力構文が不正です: "secret',
        'invalid input syntax for type integer: "two\nlines secret"',
        "invalid input syntax for type integer: 'secret'",
    ],
)
def test_values_are_hidden_in_any_language(postgres_url: str, text: str) -> None:
    warehouse = PostgreSQLWarehouse(postgres_url, OURS, StandingClock())
    error = psycopg.errors.InvalidTextRepresentation(text)
    reason = warehouse.plain_reason(error)
    assert "secret" not in reason
    assert len(reason.splitlines()) == 1
    assert "SQLSTATE 22P02" in reason
    assert re.search("integer", reason)


def test_names_in_a_statement_are_shown(owner: Planner) -> None:
    with pytest.raises(SourceError, match='column "e_mail" does not exist'):
        owner.run("select id, e_mail from data.people")


def test_two_names_that_differ_in_case_are_two_columns(owner: Planner) -> None:
    query = "select 1 as id, 'a@x.org' as email, 1 as \"V\", 2 as v"
    planned = owner.run(query, fields=["v", "V"])
    assert (planned.column("v"), planned.column("V")) == ({"a@x.org": 2}, {"a@x.org": 1})


def test_a_name_of_two_columns_is_refused(owner: Planner) -> None:
    with pytest.raises(SourceError, match=r"two columns named email\. Give each its own alias"):
        owner.run("select 1 as id, 'a@x.org' as email, 'b@x.org' as email")


def test_the_collation_of_a_column_may_change(owner: Planner) -> None:
    query = (
        'select id, email collate "{0}" as email, email collate "{0}" as v from data.people '
        "union all select 2, 'b@x.org', {1}"
    )
    owner.run(query.format("ucs_basic", "'x'"), fields=["v"])
    changed = owner.run(query.format("POSIX", "'y'"), fields=["v"])
    assert changed.identities == {"b@x.org"}
    assert owner.run("select * from data.people where id = 7").counts == (0, 0, 2)


def test_a_snapshot_is_compared_by_bytes(owner: Planner) -> None:
    # Collations that call different texts equal need ICU, which not every server has.
    owner.run('select id, email, email collate "POSIX" as v from data.people', fields=["v"])
    collations = owner.rows(
        "select column_name, collation_name from information_schema.columns "
        "where table_name = 'snapshot_people_1' and column_name in ('_identity', 'email', 'v')"
    )
    assert collations == [("_identity", "C"), ("email", "C"), ("v", "C")]


# --- a process that stands still -----------------------------------------------------------


def test_who_stands_still_inside_a_transaction_loses_its_locks(postgres_url: str) -> None:
    """Else nobody could take the lease over from a process that was stopped at the wrong moment."""
    impatient = sa.make_url(postgres_url).update_query_dict(
        {"options": "-c idle_in_transaction_session_timeout=200ms"}
    )
    text = impatient.render_as_string(hide_password=False)
    lock = sa.text("lock table held")
    with (
        warehouse_at(text, OURS, StandingClock()) as stopped,
        warehouse_at(postgres_url, OURS, StandingClock()) as other,
    ):
        with other.transaction() as tx:
            tx.connection.execute(sa.text("create table held (x int)"))

        def stand_still() -> None:
            with stopped.transaction() as tx:
                tx.connection.execute(lock)
                with other.transaction() as free:
                    free.connection.execute(lock)  # waits until the server ends the first one
                tx.run(sa.text("select 1"))

        with pytest.raises(WarehouseError, match="idle-in-transaction timeout"):
            stand_still()


def test_how_long_one_may_stand_still(postgres_url: str) -> None:
    shown = sa.text("show idle_in_transaction_session_timeout")
    with (
        warehouse_at(postgres_url, OURS, StandingClock()) as warehouse,
        warehouse.transaction() as tx,
    ):
        assert tx.connection.execute(shown).scalar_one() == "1min"


# --- uploads -------------------------------------------------------------------------------


def test_an_upload_is_utf8_whatever_the_connection_speaks(postgres_url: str) -> None:
    url = sa.make_url(postgres_url).update_query_dict({"client_encoding": "latin1"})
    with warehouse_at(url.render_as_string(hide_password=False), OURS, StandingClock()) as opened:
        planner = Planner(opened)
        planner.execute("create schema data", "create table data.given (v text)")
        with opened.transaction() as tx:
            given = pa.RecordBatch.from_pydict({"v": ["Zoë Ünal", "Ærø"]})
            tx.upload(clause("given", ("v",), "data"), given)
        assert planner.rows("select v from data.given order by v") == [("Zoë Ünal",), ("Ærø",)]
        assert planner.rows("select max(length(v)) from data.given") == [(8,)]

"""A warehouse that is only read: its rows are streamed into another, where all our tables are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from reverse_etl.check import check
from reverse_etl.preview import preview
from tests.world import Apart, Database

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reverse_etl.testing.postgres import PostgresServer
    from tests.world import World

from_postgresql = pytest.mark.parametrize("database", ["read only"], indirect=True)
to_postgresql = pytest.mark.parametrize("database", ["read only, to postgresql"], indirect=True)

CANARY = "canary@secret.example"


def everything(url: str) -> Sequence[object]:
    """Return all that is in a database, but for what the server keeps for itself."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        listed = "select oid, relname from pg_class where relnamespace <> 'pg_toast'::regnamespace"
        return connection.execute(f"{listed} order by 1").fetchall()


def reads_of_people(url: str) -> int:
    """Return how many rows of the table were read so far."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("select pg_stat_force_next_flush()")
        counted = "select seq_tup_read from pg_stat_user_tables where relname = 'people'"
        (count,) = connection.execute(counted).fetchone() or (0,)
        return int(count)


def only_reader(database: Apart, server: PostgresServer) -> str:
    """Return a URL for somebody who may read the table, and nothing else."""
    name = database.url.rpartition("/")[2]
    with psycopg.connect(database.url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("revoke all on schema public from public")
        connection.execute(f"revoke all on database {name} from public")
        connection.execute(f"create role reader_{name} login password 'reads'")
        connection.execute(f"grant connect on database {name} to reader_{name}")
        connection.execute(f"grant usage on schema public to reader_{name}")
        connection.execute(f"grant select on people to reader_{name}")
    return f"postgresql+psycopg://reader_{name}:reads@127.0.0.1:{server.port}/{name}"


@from_postgresql
def test_nothing_is_written_and_the_source_is_read_once(
    world: World, database: Apart, postgres_server: PostgresServer
) -> None:
    world.put_emails("ada", "bob")
    before, reads = everything(database.url), reads_of_people(database.url)
    owner, database.url = database.url, only_reader(database, postgres_server)
    report = world.run()
    assert report.planned == world.changes(insert=2), report.error
    assert reads_of_people(owner) == reads + 2
    assert everything(owner) == before
    world.quiet()
    assert everything(owner) == before


@from_postgresql
def test_the_default_workspace_works(world: World, database: Apart) -> None:
    database.release()
    file = world.folder / "reverse_etl_workspace.duckdb"
    world.database = Apart(database.url, f"duckdb:///{file}")
    world.beside = {"local": {"url": "${WAREHOUSE_URL}", "workspace": "default"}}
    world.put_emails("ada", "bob")
    assert world.run().planned == world.changes(insert=2)
    world.quiet()
    assert file.exists()


@from_postgresql
def test_a_query_that_writes_is_refused_by_the_server(world: World, database: Apart) -> None:
    with psycopg.connect(database.url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("create table noted (id integer)")
        connection.execute(
            "create function note(i integer) returns integer language sql "
            "as 'insert into noted values (i) returning id'"
        )
    world.put_emails("ada")
    world.sync["source"]["query"] = "select note(id) as id, email, plan from people"
    report = world.run()
    assert (report.status, report.error_code) == ("failed", "source_error")
    assert "read-only transaction" in (report.error or "")
    assert world.sql("select * from noted") == []


@from_postgresql
def test_a_row_that_fails_half_way_stops_the_run_and_is_not_quoted(world: World) -> None:
    world.put(*({"email": f"p{n}@x.com", "plan": str(n)} for n in range(20)))
    world.run()
    last = f"case when id = 20 then '{CANARY}' else plan end"
    query = f"select id, email, ({last})::integer as plan from people"  # noqa: S608
    world.sync["source"]["query"] = query
    report = world.run()
    assert (report.status, report.error_code) == ("failed", "source_error")
    assert "the query fails" in (report.error or "")
    assert "canary" not in (report.error or "")
    world.sync["source"]["query"] = "select * from people"
    world.quiet()


@from_postgresql
def test_a_missing_column_is_told_before_a_row_is_read(world: World, database: Apart) -> None:
    world.put_emails("ada")
    reads = reads_of_people(database.url)
    world.sync["identifiers"] = {"email": "e_mail"}
    report = world.run()
    assert "names the column e_mail (closest: email)" in (report.error or "")
    assert reads_of_people(database.url) == reads


@from_postgresql
def test_a_preview_writes_nowhere(world: World, database: Apart) -> None:
    world.put_emails("ada", "bob")
    database.release()
    found = preview(world.config(), "vip")
    assert found.report.planned == world.changes(insert=2)
    assert not duckdb_file(database).exists()
    world.run()
    world.put_emails("ada")
    database.release()
    assert preview(world.config(), "vip").report.planned == world.changes(delete=1)
    assert [row["sync_run_id"] for row in world.runs()] == [1]


@from_postgresql
def test_check_asks_the_source_and_the_workspace(world: World, database: Apart) -> None:
    world.put_emails("ada")
    database.release()
    (checked,) = check(world.config(), ["vip"])
    said = {finding.subject: finding.verdict for finding in checked.findings}
    assert {said["warehouse"], said["query"], said["rights"]} == {"ok"}
    world.sync["source"]["query"] = "select id, email, nothing from people"
    (checked,) = check(world.config(), ["vip"])
    assert "nothing" in next(f.text for f in checked.findings if f.subject == "query")


@from_postgresql
def test_a_run_that_dies_at_any_statement_is_repaired_by_the_next(world: World) -> None:
    world.put_emails("ada", "bob")
    world.run()
    world.put_emails("bob", "cy")
    moment = 1
    while world.die_at(moment):
        world.run()
        assert world.members() == {"bob@x.com", "cy@x.com"}
        world.put_emails("ada", "bob")
        world.run()
        world.put_emails("bob", "cy")
        moment += 7
    assert world.members() == {"bob@x.com", "cy@x.com"}


@from_postgresql
def test_every_kind_of_value_arrives_as_it_would_without_a_workspace(world: World) -> None:
    columns = {
        "n": "42",
        "big": "9007199254740993",
        "d": "cast(1.50 as numeric(9, 2))",
        "x": "0.1::float8",
        "f": "true",
        "t": "'it''s 🙂'",
        "j": '\'{"a": [1, null], "b": {"c": 1.5}}\'::jsonb',
        "a": "array[1, 2, null]",
        "day": "date '2026-01-02'",
        "ts": "timestamp '2026-01-02 03:04:05.6'",
        "tz": "timestamptz '2026-01-02 03:04:05+02'",
        "u": "'9f0c3b1e-0000-4000-8000-000000000001'::uuid",
        "e": "null::integer",
    }
    world.put_emails("ada")
    chosen = ", ".join(f"{value} as {name}" for name, value in columns.items())
    world.sync["source"]["query"] = f"select id, email, {chosen} from people"  # noqa: S608
    world.sync["fields"] = {name: name for name in columns}
    world.run()
    (apart,) = world.subscribed()
    world.database.release()
    world.database = Database(world.database.url)
    world.run()
    (together,) = world.subscribed()
    assert apart == together
    assert together["dataFields"]["j"] == {"a": [1, None], "b": {"c": 1.5}}
    world.database.release()


@to_postgresql
def test_a_duckdb_file_may_be_read_into_postgresql(world: World) -> None:
    columns = {
        "n": "42",
        "d": "cast(1.50 as decimal(9, 2))",
        "h": "cast('170141183460469231731687303715884105727' as hugeint)",
        "x": "0.1::double",
        "f": "true",
        "j": "'{\"a\": [1, null]}'::json",
        "a": "[1, 2, null]",
        "s": "{'a': 1, 'b': ['x']}",
        "day": "date '2026-01-02'",
        "ts": "timestamp '2026-01-02 03:04:05.6'",
        "tz": "timestamptz '2026-01-02 03:04:05+02'",
        "e": "null::integer",
    }
    world.put_emails("ada", "bob")
    chosen = ", ".join(f"{value} as {name}" for name, value in columns.items())
    world.sync["source"]["query"] = f"select id, email, {chosen} from people"  # noqa: S608
    world.sync["fields"] = {name: name for name in columns}
    report = world.run()
    assert report.planned == world.changes(insert=2), report.error
    apart = world.subscribed()
    world.quiet()
    world.database.release()
    world.database = Database(world.database.url)
    world.run()
    assert apart == world.subscribed()
    world.database.release()


def duckdb_file(database: Apart) -> Path:
    return Path(database.home.url.removeprefix("duckdb:///"))

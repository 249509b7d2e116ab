"""The SQLAlchemy dialect for DuckDB: what SQLAlchemy expects of a database driver."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

import reverse_etl.warehouse.duckdb  # noqa: F401 - registers the dialect

AWKWARD = ['we"ird', "100%", "%s", "a:b", ":a", "a?b", "Mixed Case", "select", "ünï🙂", "a.b"]


@pytest.fixture
def engine(duckdb_url: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(duckdb_url, poolclass=NullPool)
    yield engine
    engine.dispose()


@pytest.fixture
def connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    with engine.connect() as connection:
        yield connection


def people(schema: str | None = None) -> sa.Table:
    return sa.Table(
        "people",
        sa.MetaData(schema=schema),
        sa.Column("id", sa.BigInteger),
        sa.Column("name", sa.String),
    )


def opened_elsewhere(path: str | None) -> subprocess.CompletedProcess[str]:
    code = "import duckdb, sys; duckdb.connect(sys.argv[1]).execute('select 1')"
    command = [sys.executable, "-c", code, str(path)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


# --- statements and their results ----------------------------------------------------------


def test_a_statement_tells_how_many_rows_it_changed(connection: sa.Connection) -> None:
    table = people()
    table.create(connection)
    inserted = connection.execute(table.insert().values([{"id": n} for n in range(5)]))
    assert inserted.rowcount == 5
    assert connection.execute(table.update().values(name="x").where(table.c.id > 2)).rowcount == 2
    assert connection.execute(table.delete().where(table.c.id == 99)).rowcount == 0
    assert connection.execute(table.delete()).rowcount == 5
    copied = sa.schema.CreateTableAs(sa.select(sa.literal(1).label("one")), "copied")
    connection.execute(copied)
    assert connection.scalar(sa.text("select count(*) from copied")) == 1


def test_a_count_of_a_later_statement_does_not_change_an_earlier_one(
    connection: sa.Connection,
) -> None:
    table = people()
    table.create(connection)
    first = connection.execute(table.insert().values([{"id": 1}, {"id": 2}]))
    connection.execute(table.insert().values([{"id": 3}]))
    assert first.rowcount == 2


def test_a_column_named_count_is_a_result(connection: sa.Connection) -> None:
    assert connection.execute(sa.text('select 7 as "Count"')).all() == [(7,)]
    table = sa.table("counted", sa.column("Count"))
    connection.exec_driver_sql('create table counted as select 8 as "Count"')
    assert connection.execute(sa.select(table)).all() == [(8,)]


def test_many_rows_at_once(connection: sa.Connection) -> None:
    table = people()
    table.create(connection)
    connection.execute(table.insert(), [{"id": n, "name": f"%{n}:x"} for n in range(20)])
    names = connection.scalars(sa.select(table.c.name).order_by(table.c.id)).all()
    assert names == [f"%{n}:x" for n in range(20)]


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, False, 0, -(2**63), 2**63 - 1, 0.1, float("inf"), Decimal("1.50")),
        *("", "it's", 'a "quoted" word', "100% %s %(x)s", ":name ::b", "?", "🙂", "a\0b", "\\'"),
        *(dt.date(2026, 1, 2), dt.datetime(2026, 1, 2, 3, 4, 5, 6), dt.time(1, 2, 3)),  # noqa: DTZ001
    ],
)
def test_values_are_bound(connection: sa.Connection, value: object) -> None:
    assert connection.scalar(sa.select(sa.literal(value))) == value
    query = sa.text("select :value where '%' = '%' and '\\:x' <> '?'").bindparams(value=value)
    assert connection.scalar(query) == value


@pytest.mark.parametrize("value", ["", "it's", "100% %s", ":name", "?", "\\", "🙂 é", "two\nlines"])
def test_texts_are_written_into_a_statement(connection: sa.Connection, value: str) -> None:
    query = sa.select(sa.literal(value))
    compiled = query.compile(connection, compile_kwargs={"literal_binds": True})
    assert connection.exec_driver_sql(str(compiled)).scalar() == value


def test_bytes_come_back_as_bytes(connection: sa.Connection) -> None:
    table = sa.Table("blobs", sa.MetaData(), sa.Column("data", sa.LargeBinary))
    table.create(connection)
    values = [b"", b"\x00\xff", None]
    for value in values:
        connection.execute(table.insert().values(data=value))
    assert connection.scalars(sa.select(table.c.data)).all() == values


def test_a_regular_expression_is_searched_for(connection: sa.Connection) -> None:
    column = sa.literal("abc")
    assert connection.scalar(sa.select(column.regexp_match("b")))
    assert not connection.scalar(sa.select(column.regexp_match("^b")))
    assert not connection.scalar(sa.select(~column.regexp_match("b")))


# --- transactions --------------------------------------------------------------------------


def test_a_rollback_takes_tables_and_rows_back(engine: sa.Engine) -> None:
    table = people("made")
    with engine.connect() as connection:
        connection.execute(sa.schema.CreateSchema("made"))
        table.create(connection)
        connection.execute(table.insert().values(id=1))
        assert sa.inspect(connection).has_table("people", schema="made")
        connection.rollback()
        assert not sa.inspect(connection).has_table("people", schema="made")
        assert not sa.inspect(connection).has_schema("made")


def test_what_is_not_committed_is_gone(engine: sa.Engine) -> None:
    table = people()
    with engine.begin() as connection:
        table.create(connection)
    with engine.connect() as connection:
        connection.execute(table.insert().values(id=1))
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(table)) == 0


def test_a_connection_works_on_after_an_error(engine: sa.Engine) -> None:
    table = people()
    with engine.connect() as connection:
        table.create(connection)
        connection.commit()
        connection.execute(table.insert().values(id=1))
        with pytest.raises(sa.exc.ProgrammingError):
            connection.exec_driver_sql("select * from no_such_table")
        connection.rollback()
        connection.execute(table.insert().values(id=2))
        connection.commit()
        assert connection.scalars(sa.select(table.c.id)).all() == [2]


def test_an_error_gives_the_whole_transaction_up(engine: sa.Engine) -> None:
    table = people()
    with engine.begin() as connection:
        table.create(connection)
    with pytest.raises(sa.exc.DataError), engine.begin() as connection:  # noqa: PT012
        connection.execute(table.insert().values(id=1))
        connection.exec_driver_sql("select cast('x' as integer)")
    with engine.connect() as connection:
        assert connection.scalars(sa.select(table.c.id)).all() == []


def test_cursors_of_a_connection_share_its_transaction(connection: sa.Connection) -> None:
    table = people()
    table.create(connection)
    first = connection.execute(sa.text("select * from range(5)"))
    assert first.fetchone() == (0,)
    connection.execute(table.insert().values(id=1))
    second = connection.execute(sa.select(table.c.id))
    assert first.fetchmany(2) == [(1,), (2,)]
    assert second.all() == [(1,)]
    assert first.all() == [(3,), (4,)]
    assert first.fetchone() is None


def test_connections_do_not_see_what_others_have_not_committed(engine: sa.Engine) -> None:
    # One driver connection under all, as a warehouse has it.
    anchor = duckdb.connect(engine.url.database or "")
    table = people()
    with engine.begin() as connection:
        table.create(connection)
    with engine.connect() as one, engine.connect() as other:
        one.execute(table.insert().values(id=1))
        assert other.scalars(sa.select(table.c.id)).all() == []
        one.commit()
        other.rollback()
        assert other.scalars(sa.select(table.c.id)).all() == [1]
    anchor.close()


# --- reflection ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", AWKWARD)
def test_any_name_is_quoted_and_found_again(connection: sa.Connection, name: str) -> None:
    table = sa.Table(name, sa.MetaData(schema=f"s{name}"), sa.Column(f"c{name}", sa.String))
    connection.execute(sa.schema.CreateSchema(f"s{name}"))
    table.create(connection)
    connection.execute(table.insert().values({f"c{name}": "v%:?"}))
    assert connection.execute(sa.select(table)).all() == [("v%:?",)]
    inspector = sa.inspect(connection)
    assert inspector.has_schema(f"s{name}")
    assert inspector.has_table(name, schema=f"s{name}")
    assert inspector.get_table_names(schema=f"s{name}") == [name]
    assert [c["name"] for c in inspector.get_columns(name, schema=f"s{name}")] == [f"c{name}"]


def test_what_is_not_there_is_not_found(connection: sa.Connection) -> None:
    inspector = sa.inspect(connection)
    assert not inspector.has_table("people")
    assert not inspector.has_table("people", schema="nowhere")
    assert not inspector.has_schema("nowhere")
    assert inspector.get_table_names(schema="nowhere") == []
    assert inspector.get_columns("people", schema="nowhere") == []


def test_a_primary_key_is_found_in_its_order(connection: sa.Connection) -> None:
    connection.exec_driver_sql("create schema made")
    connection.exec_driver_sql(
        "create table made.people (a int, b int unique, c int, primary key (c, a))"
    )
    connection.exec_driver_sql("create table people (a int not null)")
    inspector = sa.inspect(connection)
    assert inspector.get_pk_constraint("People", "made")["constrained_columns"] == ["c", "a"]
    assert inspector.get_pk_constraint("people")["constrained_columns"] == []
    assert inspector.get_materialized_view_names("made") == []


def test_names_are_equal_whatever_their_case(connection: sa.Connection) -> None:
    connection.exec_driver_sql("create schema Made")
    connection.exec_driver_sql("create table made.PEOPLE (Id integer)")
    inspector = sa.inspect(connection)
    assert inspector.has_schema("mADE")
    assert inspector.has_table("people", schema="MADE")
    assert inspector.get_table_names(schema="made") == ["PEOPLE"]
    assert [c["name"] for c in inspector.get_columns("People", schema="made")] == ["Id"]


def test_tables_and_views_are_told_apart(connection: sa.Connection) -> None:
    connection.exec_driver_sql("create table people (id integer)")
    connection.exec_driver_sql("create view ids as select id from people")
    inspector = sa.inspect(connection)
    assert inspector.get_table_names() == ["people"]
    assert inspector.get_view_names() == ["ids"]
    assert inspector.has_table("ids")


def test_only_the_open_database_is_reflected(connection: sa.Connection) -> None:
    connection.exec_driver_sql("attach ':memory:' as elsewhere")
    connection.exec_driver_sql("create schema elsewhere.theirs")
    connection.exec_driver_sql("create table elsewhere.theirs.people (id integer)")
    connection.exec_driver_sql("create table elsewhere.main.people (id integer)")
    inspector = sa.inspect(connection)
    assert not inspector.has_schema("theirs")
    assert not inspector.has_table("people", schema="theirs")
    assert not inspector.has_table("people")
    assert inspector.get_table_names() == []
    assert inspector.get_schema_names() == ["main"]


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        *(("integer", "INTEGER"), ("bigint", "BIGINT"), ("smallint", "SMALLINT")),
        *(("varchar", "VARCHAR"), ("boolean", "BOOLEAN"), ("double", "DOUBLE")),
        *(("date", "DATE"), ("time", "TIME"), ("timestamp", "DATETIME"), ("blob", "BLOB")),
        *(("decimal(10, 2)", "NUMERIC(10, 2)"), ("hugeint", "NUMERIC"), ("integer[]", "NULL")),
    ],
)
def test_columns_are_described(connection: sa.Connection, declared: str, expected: str) -> None:
    connection.exec_driver_sql(f"create table people (id {declared} not null, v {declared})")
    first, second = sa.inspect(connection).get_columns("people")
    assert (first["nullable"], second["nullable"]) == (False, True)
    assert str(first["type"]) == expected


# --- the file ------------------------------------------------------------------------------


def test_nothing_holds_the_file_after_closing(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        result = connection.execute(sa.text("select * from range(100000)"))
        result.fetchone()
        connection.execute(sa.text("create table kept as select 1 as id"))
        connection.commit()
        refused = opened_elsewhere(engine.url.database)
        assert "Could not set lock" in refused.stderr
    engine.dispose()
    assert opened_elsewhere(engine.url.database).returncode == 0


@pytest.mark.parametrize("ending", ["", "engine.dispose()", "connection.close()"])
def test_a_program_ends_in_silence(duckdb_url: str, ending: str) -> None:
    program = f"""
import sqlalchemy as sa
import reverse_etl.warehouse.duckdb
engine = sa.create_engine({duckdb_url!r})
connection = engine.connect()
connection.exec_driver_sql("create table t as select * from range(10000)")
rows = connection.exec_driver_sql("select * from t")
print(rows.fetchone()[0])
{ending}
"""  # noqa: S608 - a program, not a statement
    done = _run_program(program)
    assert (done.stdout, done.stderr, done.returncode) == ("0\n", "", 0)


def _run_program(program: str) -> subprocess.CompletedProcess[str]:
    command: list[Any] = [sys.executable, "-c", program]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)

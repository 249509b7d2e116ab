"""The databases that other tests are given are real, private to a test, and safely reached."""

from __future__ import annotations

import adbc_driver_postgresql.dbapi
import pytest
import sqlalchemy as sa


def libpq_url(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_gets_an_empty_postgres(postgres_url: str, turn: int) -> None:
    engine = sa.create_engine(postgres_url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        assert sa.inspect(connection).get_table_names() == []
        connection.execute(sa.text(f"create table left_behind_{turn} (id int)"))


def test_postgres_answers_sqlalchemy_and_adbc_at_the_same_url(postgres_url: str) -> None:
    question = "select version(), lower('É')"
    engine = sa.create_engine(postgres_url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        by_sqlalchemy = tuple(connection.execute(sa.text(question)).one())
    with (
        adbc_driver_postgresql.dbapi.connect(libpq_url(postgres_url)) as adbc,
        adbc.cursor() as cursor,
    ):
        cursor.execute(question)
        by_adbc = cursor.fetchone()
    assert by_sqlalchemy == by_adbc
    assert by_sqlalchemy[0].startswith("PostgreSQL 18")
    assert by_sqlalchemy[1] == "é"


def test_a_wrong_password_is_refused(postgres_url: str) -> None:
    engine = sa.create_engine(
        sa.make_url(postgres_url).set(password="wrong"), poolclass=sa.NullPool
    )
    with pytest.raises(sa.exc.OperationalError, match="password authentication failed"):
        engine.connect()


def test_a_duckdb_file_is_new(duckdb_url: str) -> None:
    path = sa.make_url(duckdb_url).database
    assert path is not None
    assert path.endswith("warehouse.duckdb")

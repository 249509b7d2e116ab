"""Arrow as COPY text: what goes into a real PostgreSQL comes out as it was."""

from __future__ import annotations

import decimal
import math
import secrets
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any, Protocol

import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from reverse_etl.warehouse.copy_text import copy_text

# What a PostgreSQL text can hold: everything but NUL and halves of surrogate pairs.
TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)
TIMES = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31))  # noqa: DTZ001 - no zone, as meant
DIGITS = pa.decimal128(20, 6)

KINDS: dict[str, tuple[str, pa.DataType, st.SearchStrategy[Any]]] = {
    "text": ("text", pa.string(), TEXTS),
    "large": ("text", pa.large_string(), TEXTS),
    "whole": ("bigint", pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "small": ("smallint", pa.int16(), st.integers(-(2**15), 2**15 - 1)),
    "double": ("double precision", pa.float64(), st.floats(allow_nan=False)),
    "float": (
        "double precision",
        pa.float32(),
        st.floats(allow_nan=False, allow_infinity=False, width=32),
    ),
    "boolean": ("boolean", pa.bool_(), st.booleans()),
    "numeric": ("numeric", DIGITS, st.decimals(-(10**12), 10**12, places=6)),
    "date": ("date", pa.date32(), st.dates()),
    "moment": ("timestamp", pa.timestamp("us"), TIMES),
    "instant": (
        "timestamptz",
        pa.timestamp("us", tz="Asia/Kathmandu"),
        TIMES.map(lambda moment: moment.replace(year=max(moment.year, 2), tzinfo=UTC)),
    ),
    "bytes": ("bytea", pa.binary(), st.binary(max_size=20)),
    "fixed": ("bytea", pa.binary(2), st.binary(min_size=2, max_size=2)),
    "nothing": ("text", pa.null(), st.none()),
}
ROW = st.tuples(*(st.none() | values for _, _, values in KINDS.values()))
TRICKY = ["\\N", "\\.", "a\n\\.\nb", "\t", "\r\n", "\\", "\\t", '"', "", "NULL", "🙂"]


class Server(Protocol):
    """What these tests use of the server of the fixtures."""

    def execute(self, statement: str) -> None: ...

    def url(self, database: str) -> str: ...


@pytest.fixture(scope="module")
def connection(postgres_server: Server) -> Iterator[psycopg.Connection]:
    database = f"test_{secrets.token_hex(6)}"
    postgres_server.execute(f"create database {database}")
    url = postgres_server.url(database)
    with psycopg.connect(url, options="-c timezone=America/Lima") as opened:
        columns = ", ".join(f"{name} {type_}" for name, (type_, _, _) in KINDS.items())
        opened.execute(f"create temporary table given (n bigint, {columns})".encode())
        yield opened
    postgres_server.execute(f"drop database {database} with (force)")


def batch_of(rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
    types = [arrow for _, arrow, _ in KINDS.values()]
    columns = zip(*rows, strict=True) if rows else [()] * len(types)
    arrays = [pa.array(column, type_) for column, type_ in zip(columns, types, strict=True)]
    return pa.RecordBatch.from_arrays([pa.array(range(len(rows))), *arrays], ["n", *KINDS])


def copied(connection: psycopg.Connection, batch: pa.RecordBatch) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute("truncate given")
        with cursor.copy("copy given from stdin") as copy:
            copy.write(copy_text(batch))
        cursor.execute("select * from given order by n")
        return [row[1:] for row in cursor.fetchall()]


def same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, float) and isinstance(found, float):
        return math.copysign(1, found) == math.copysign(1, wanted) and found == wanted
    if isinstance(wanted, decimal.Decimal):
        return found is not None and decimal.Decimal(found) == wanted
    return bool(found == wanted)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=st.lists(ROW, max_size=8), begin=st.integers(0, 3))
@example(rows=[(text, *[None] * (len(KINDS) - 1)) for text in TRICKY], begin=0)
@example(rows=[(None, text, *[None] * (len(KINDS) - 2)) for text in TRICKY], begin=2)
def test_values_come_out_as_they_went_in(
    connection: psycopg.Connection, rows: list[tuple[Any, ...]], begin: int
) -> None:
    """Also those of a slice, whose buffers begin before it."""
    found = copied(connection, batch_of(rows).slice(begin))
    wanted = rows[begin:]
    assert len(found) == len(wanted)
    for here, there in zip(found, wanted, strict=True):
        assert all(map(same, here, there)), (here, there)


def test_not_a_number_and_the_infinities(connection: psycopg.Connection) -> None:
    doubles = [math.nan, math.inf, -math.inf]
    empty = [None] * len(KINDS)
    place = list(KINDS).index("double")
    rows = [(*empty[:place], value, *empty[place + 1 :]) for value in doubles]
    found = [row[place] for row in copied(connection, batch_of(rows))]
    assert math.isnan(found[0])
    assert found[1:] == doubles[1:]


def test_what_has_no_text_of_its_own_is_told_as_python_tells_it() -> None:
    batch = pa.RecordBatch.from_pydict({"t": pa.array([3_600_000_000, None], pa.time64("us"))})
    assert bytes(copy_text(batch)) == b"01:00:00\n\\N\n"


def test_rows_without_columns_that_are_set(connection: psycopg.Connection) -> None:
    """A NULL for certain is a NULL, and no rows are no lines."""
    assert bytes(copy_text(batch_of([]))) == b""
    assert copied(connection, batch_of([tuple([None] * len(KINDS))])) == [(None,) * len(KINDS)]


def test_dates_are_dates(connection: psycopg.Connection) -> None:
    place = list(KINDS).index("date")
    row: list[Any] = [None] * len(KINDS)
    row[place] = date(1, 1, 1)
    assert copied(connection, batch_of([tuple(row)]))[0][place] == date(1, 1, 1)

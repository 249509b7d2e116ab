"""The table of people that the benchmarks sync, and what changes in it; for both engines.

Every value is made from the number of the row, so the same call gives the same table.
"""

from __future__ import annotations

from typing import Literal

Engine = Literal["duckdb", "postgresql"]

FIELDS = ("first_name", "plan", "score", "visits", "seen_at")

_SERIES = {"duckdb": "range({first}, {past})", "postgresql": "generate_series({first}, {past} - 1)"}
_MOMENT = {"duckdb": "to_timestamp(1700000000 + i)::TIMESTAMP",
           "postgresql": "(to_timestamp(1700000000 + i) AT TIME ZONE 'UTC')"}  # fmt: skip

_ROWS = """
SELECT CAST(i AS BIGINT) AS id,
       'person' || i || '@example.org' AS email,
       'Name ' || (i % 50021) AS first_name,
       CASE i % 4 WHEN 0 THEN 'gold' WHEN 1 THEN 'silver' ELSE 'none' END AS plan,
       CAST(i % 1000 AS DOUBLE PRECISION) / 8 AS score,
       CAST(i % 97 AS BIGINT) AS visits,
       {moment} AS seen_at
FROM {series} AS numbers(i)
"""

# Three hundredths of a third each: new, different, gone.
_STEP = 300
_CHANGED, _GONE = 7, 11


def create(engine: Engine, rows: int) -> list[str]:
    """Return what makes the table, with addresses person1@… to person<rows>@…."""
    return [f"CREATE TABLE people AS {_select(engine, 1, rows)}"]


def change_a_hundredth(engine: Engine, rows: int, kind: str) -> list[str]:
    """Return what changes one row in a hundred: a third is new, a third differs, a third goes.

    What differs is the address for a ``list``, which has no fields here; for a ``user`` a value.
    """
    different = "email = 'other.' || email" if kind == "list" else "score = score + 1"
    return [
        f"INSERT INTO people {_select(engine, rows + 1, rows // _STEP)}",
        f"UPDATE people SET {different} WHERE id % {_STEP} = {_CHANGED}",  # noqa: S608 - the same
        f"DELETE FROM people WHERE id % {_STEP} = {_GONE}",  # noqa: S608 - the same
    ]


def change_all() -> list[str]:
    """Return what changes a value of every person."""
    return ["UPDATE people SET score = score + 1"]


def _select(engine: Engine, first: int, count: int) -> str:
    series = _SERIES[engine].format(first=first, past=first + count)
    return _ROWS.format(series=series, moment=_MOMENT[engine])

"""What the scenarios leave in our tables, to the row.

Few tests see so much of the engine in so little time, so these are the ones that mutants of
planning and settling are judged by. ``books.json`` is what was read and found right; after a
change that is meant, write it anew and read the difference::

    BOOKS=write python -m pytest tests/mutation
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from reverse_etl.testing.histories import History, Round
from reverse_etl.testing.loose import make_known
from reverse_etl.testing.place import SYNC
from reverse_etl.testing.scenarios import (
    ADA,
    BOB,
    CYD,
    SCENARIOS,
    SIX,
    Watch,
    Watched,
    always,
    dies_after,
    emails,
    profiles,
)
from reverse_etl.testing.simulation import Played, Player
from reverse_etl.warehouse.tables import RUN_TABLES

FILE = Path(__file__).with_name("books.json")

# The steps until the answer about the list is kept; the changes are sent after it.
ASKED = ("after deliver: request", "wait", "before deliver: commit")

# How a process died before a last, undisturbed round: after which steps of the round before.
KILLED: dict[str, tuple[History, tuple[str, ...]]] = {
    "killed with a request on the wire": (emails(Round(SIX)), (*ASKED, "after deliver: request")),
    "killed after a checkpoint": (
        emails(Round(SIX, faults=always("bucket_notFound", 2))),
        (*ASKED, "after deliver: request", "wait", "before deliver: commit"),
    ),
    "killed with profiles on the wire": (
        profiles(Round((ADA, BOB, CYD), mapping="both"), Round((ADA,), mapping="plan")),
        ("after deliver: request",),
    ),
    "killed while planning": (
        emails(Round(SIX), Round((ADA, BOB))),
        ("after plan: commit",),
    ),
}
PLAYED = [*(name for name in SCENARIOS if name != "rest of a kill"), *KILLED]

# Played beside a control database as well, and to leave the same rows.
BESIDE_CONTROL = (
    "retry",
    "invalid and duplicate rows",
    "upsert, then mirror",
    "full, with a refused delete",
)


@pytest.fixture(scope="module")
def place() -> Iterator[Watched]:
    with Watched("duckdb:///:memory:books") as here:
        yield here


@pytest.fixture(scope="module")
def beside() -> Iterator[Watched]:
    make_known()
    with Watched("loose:///:memory:beside", "duckdb:///:memory:control") as here:
        yield here


def _books(player: Player) -> dict[str, Any]:
    """Every row of every table of ours, without its times; times are the simulator's."""
    with player.looking() as books:
        tx, tables = books._tx, player.place.warehouse.tables
        state = [
            (r.committed_run_id, r.position, r.send_limit)
            for r in tx.control.rows(tables.state.select())
        ]
        kept = [(tx.control, tables.runs), (tx, tables.log), (tx.control, tables.failed)]
        kept += [(tx, tables.residue), (tx, tables.former)]
        found = {table.name: _rows(where.rows(table.select())) for where, table in kept}
        for name in sorted(tx.table_names()):
            if any(name.startswith(f"{kind}_{SYNC}_") for kind in RUN_TABLES):
                query = f'SELECT * FROM "{player.place.schema}"."{name}"'  # noqa: S608 - our names
                rows = tx.connection.exec_driver_sql(query).all()
                found[name.replace(f"_{SYNC}", "")] = _rows(rows)
    return {"state": [list(row) for row in state], **found}


def _rows(rows: Any) -> list[Any]:
    kept = [[_plain(value) for value in row if not isinstance(value, datetime)] for row in rows]
    return sorted(kept, key=json.dumps)


def _plain(value: Any) -> Any:
    """The config lies somewhere else in every process."""
    return re.sub(r"--config \S+", "--config HERE", value) if isinstance(value, str) else value


def _play(name: str, place: Watched) -> dict[str, Any]:
    history, words = KILLED.get(name) or (SCENARIOS[name], ())
    place.empty()
    player = Player(history, place, Played())
    *before, last = history.rounds
    for each in before:
        player.play(each)
    if words:
        death: Watch = dies_after(*words)
        place.watch = death
        player.play(last)
        last = replace(last, faults=())
    player.play(last)
    return _books(player)


@pytest.mark.parametrize("name", PLAYED)
def test_a_scenario_leaves_these_rows(place: Watched, name: str) -> None:
    found = json.loads(json.dumps(_play(name, place)))
    if os.environ.get("BOOKS") == "write":
        known = json.loads(FILE.read_text()) if FILE.exists() else {}
        _write({**known, name: found})
    assert found == json.loads(FILE.read_text())[name]


@pytest.mark.parametrize("name", BESIDE_CONTROL)
def test_beside_a_control_database_it_leaves_the_same(beside: Watched, name: str) -> None:
    found = json.loads(json.dumps(_play(name, beside)))
    assert found == json.loads(FILE.read_text())[name]


def _write(books: dict[str, Any]) -> None:
    """One row on a line, so that a difference can be read."""
    lines = []
    for name in sorted(books):
        tables = ",\n".join(
            f"  {json.dumps(table)}: [" + ",".join(f"\n   {json.dumps(row)}" for row in rows) + "]"
            for table, rows in books[name].items()
        )
        lines.append(f" {json.dumps(name)}: {{\n{tables}\n }}")
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")

"""What the scenarios do not come by: old log lines, looks, the words of refusals.

Beside ``test_books.py`` these are the tests that mutants are judged by; they take a moment.
"""

# ruff: noqa: S608 - the statements are made of the tests' own words

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from reverse_etl.config.schema import ObservabilityConfig
from reverse_etl.errors import SourceError
from reverse_etl.planning import make_plan, plan_digest
from reverse_etl.settle import retain
from reverse_etl.testing.planner import Planner, StandingClock, TakesEverything
from reverse_etl.warehouse import warehouse_at
from reverse_etl.warehouse.base import Warehouse

ADA = "select 1 as id, 'ada@x.org' as email, 'x' as Plan"
RULES = ObservabilityConfig(sync_log_retention_days=30)


@pytest.fixture
def warehouse() -> Iterator[Warehouse]:
    with warehouse_at("duckdb:///:memory:small", "reverse_etl", StandingClock()) as opened:
        yield opened


@pytest.fixture
def planner(warehouse: Warehouse) -> Planner:
    return Planner(warehouse)


def note_run(planner: Planner, sync_name: str, run_id: int, finished: datetime) -> None:
    """Let a run have ended, with one line in the log."""
    at = f"timestamp '{finished:%Y-%m-%d %H:%M:%S}'"
    planner.execute(
        "insert into reverse_etl.sync_runs (sync_name, sync_run_id, status, finished_at)"
        f" values ('{sync_name}', {run_id}, 'succeeded', {at})",
        "insert into reverse_etl.sync_log (sync_name, sync_run_id, sync_finished_at)"
        f" values ('{sync_name}', {run_id}, {at})",
    )


def test_log_lines_go_when_their_run_is_too_old(planner: Planner) -> None:
    now = planner.warehouse.clock.now().replace(tzinfo=None)
    planner.run(ADA)
    note_run(planner, "people", 7, now - timedelta(days=31))
    note_run(planner, "people", 8, now - timedelta(days=30, seconds=1))
    note_run(planner, "people", 9, now - timedelta(days=29))
    note_run(planner, "others", 8, now - timedelta(days=400))
    note_run(planner, "others", 99, now - timedelta(days=400))
    with planner.leased() as lease:
        assert retain(planner.warehouse, lease, "people", 1, RULES) == []
    lines = "select sync_name, sync_run_id from reverse_etl.sync_log order by 1, 2"
    assert planner.rows(lines) == [("others", 8), ("others", 99), ("people", 9)]


def test_tables_of_older_runs_go_and_nothing_else(planner: Planner) -> None:
    for n in range(4):
        planner.run(ADA.replace("'x'", f"'{n}'"))
    planner.execute(
        "drop table reverse_etl.refused_people_1",
        "create view reverse_etl.refused_people_1 as select 1",
        "create table reverse_etl.outcomes_people_1b as select 1",
    )
    rules = ObservabilityConfig(snapshots_to_keep=1)
    with planner.leased() as lease:
        warnings = retain(planner.warehouse, lease, "people", 4, rules)
    left = planner.rows("select table_name from information_schema.tables order by 1")
    names = {name for (name,) in left}
    assert {"snapshot_people_4", "snapshot_people_3"} & names
    assert "snapshot_people_1" not in names
    assert "outcomes_people_1b" in names
    assert warnings == []


def test_a_look_leaves_nothing(planner: Planner) -> None:
    planner.run(ADA)
    objects = "select table_name from information_schema.tables where table_schema = 'reverse_etl'"
    before = sorted(planner.rows(objects))
    with planner.warehouse.transaction() as tx:
        base = tx.state("people").base
        plan = make_plan(
            tx,
            planner.sync(ADA.replace("ada", "bob")),
            TakesEverything(),
            base,
            run_id=2,
            full=False,
            temporary=True,
        )
        assert (plan.size, plan.identities) == (2, 1)
        first = plan_digest(tx, plan)
        assert plan_digest(tx, plan) == first
    assert sorted(planner.rows(objects)) == before
    with planner.warehouse.transaction() as tx:
        other = make_plan(
            tx,
            planner.sync(ADA.replace("ada", "cyd")),
            TakesEverything(),
            base,
            run_id=2,
            full=False,
            temporary=True,
        )
        assert plan_digest(tx, other) != first
        tx.abandon()


def test_a_column_is_found_by_its_name_or_by_its_letters(planner: Planner) -> None:
    planned = planner.run(f'{ADA}, 2 as "A", 3 as "other"', fields=["plan", "A", "OTHER"])
    assert planned.page is not None
    assert planned.page.to_pylist() == [
        {
            "_identity": "ada@x.org",
            "_alias": None,
            "Plan": "x",
            "A": 2,
            "other": 3,
        }
    ]


def test_the_words_of_what_is_missing(planner: Planner) -> None:
    with pytest.raises(SourceError) as caught:
        planner.attempt(f"{ADA}, 1 as _seq", fields=["Pla", "nothing_like_it", "_seq"])
    assert str(caught.value) == (
        "the query lacks columns of the mapping: fields.Pla names the column Pla (closest: Plan); "
        "fields.nothing_like_it names the column nothing_like_it; fields._seq names _seq, a word "
        "of our own: give it an alias. Its columns are id, email, Plan, _seq."
    )


def test_the_words_of_the_brake(planner: Planner) -> None:
    rows = "select n as id, 'p' || n || '@x.org' as email from range({}) as t(n)"
    planner.run(rows.format(20))
    held = planner.run(rows.format(10)).plan.held_reason(20)
    assert held == "10 of 20 people would be removed (50.0 %, max_delete_percent is 20)"
    clearing = Planner(planner.warehouse, "cleared", TakesEverything(clears_fields=True))
    clearing.run(rows.format(20))
    held = clearing.run(rows.format(10)).plan.held_reason(20)
    assert held is not None
    assert held.startswith("10 of 20 people would lose the fields that were sent (50.0 %, ")

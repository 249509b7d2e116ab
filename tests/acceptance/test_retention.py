"""What is old goes, of every sync of a schema, and nothing that anybody still needs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from reverse_etl.config import load_config
from reverse_etl.errors import WarehouseError
from reverse_etl.ports import Ports
from reverse_etl.retention import forget_old_logs
from reverse_etl.retrying import request_retry
from tests.world import SYNC, Killed, address, at_work, killed_at

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from tests.world import World

GONE = "gone"
STATE_COLUMNS = "sync_name, lease_token, last_run_id, committed_run_id, sync_log_retention_days"
RUN_COLUMNS = "sync_name, sync_run_id, status, started_at, finished_at"
LOG_COLUMNS = (
    "sync_name, sync_run_id, primary_key, identity, operation, status, attempts,"
    " sync_started_at, sync_finished_at"
)


@pytest.fixture
def kept(world: World) -> World:
    """Return a world with one run, whose log is kept for 30 days."""
    world.put_emails("ada", "bob")
    world.run()
    return world


def forget(world: World) -> list[str]:
    world.database.release()
    return forget_old_logs(world.config(), "local", Ports(world.clock))


def age(world: World, days: float, sync_name: str = SYNC) -> None:
    """Let all runs of a sync have been so many days earlier.

    Not by the clock of the test: PostgreSQL has its own.
    """
    for table, columns in (
        ("sync_log", ("sync_started_at", "sync_finished_at")),
        ("sync_runs", ("started_at", "finished_at")),
    ):
        moved = ", ".join(f"{c} = {c} - INTERVAL '{round(days * 86400)} seconds'" for c in columns)
        world.sql(f"UPDATE reverse_etl.{table} SET {moved} WHERE sync_name = '{sync_name}'")  # noqa: S608


def lines(world: World) -> dict[str, list[int]]:
    """Return the runs of which lines are left, by sync."""
    found: dict[str, list[int]] = {}
    for row in world.log():
        found.setdefault(row["sync_name"], []).append(row["sync_run_id"])
    return {name: sorted(set(runs)) for name, runs in found.items()}


def add_removed(world: World, days: int | None, *ages: float) -> None:
    """Let there be a sync that is in no config any more, with runs of these ages in days."""
    noted = "NULL" if days is None else days
    now: datetime = world.last_run()["finished_at"]
    insert = "INSERT INTO reverse_etl.{} ({}) VALUES ({})"
    state = f"'{GONE}', 1, {len(ages)}, {len(ages)}, {noted}"
    world.sql(insert.format("sync_state", STATE_COLUMNS, state))
    for run_id, old in enumerate(ages, 1):
        at = f"TIMESTAMP '{now - timedelta(days=old):%Y-%m-%d %H:%M:%S}'"
        run = f"'{GONE}', {run_id}, 'succeeded', {at}, {at}"
        world.sql(insert.format("sync_runs", RUN_COLUMNS, run))
        line = f"'{GONE}', {run_id}, '1', 'ada@x.com', 'insert', 'succeeded', 1, {at}, {at}"
        world.sql(insert.format("sync_log", LOG_COLUMNS, line))


# --- by age --------------------------------------------------------------------------------


def test_what_is_older_than_the_days_goes_and_what_is_younger_stays(kept: World) -> None:
    assert forget(kept) == []
    age(kept, 29.9)
    kept.put_emails("ada", "bob", "cid")
    kept.run()
    assert forget(kept) == []
    assert lines(kept) == {SYNC: [1, 2]}
    age(kept, 0.2)
    assert forget(kept) == [SYNC]
    assert lines(kept) == {SYNC: [2]}
    assert len(kept.runs()) == 2, "history stays; it is small"
    assert forget(kept) == [], "there is nothing left to drop"


def test_the_config_wins_over_what_a_run_noted(kept: World) -> None:
    age(kept, 31)
    kept.sync["observability"] = {"sync_log_retention_days": 90}
    assert forget(kept) == []
    kept.sync["observability"] = {"sync_log_retention_days": 7}
    age(kept, 0)
    assert forget(kept) == [SYNC]
    assert lines(kept) == {}


# --- syncs that are gone ----------------------------------------------------------------------


def test_a_removed_sync_forgets_by_its_own_days(kept: World) -> None:
    add_removed(kept, 100, 200, 101, 99, 31)
    age(kept, 31)
    assert sorted(forget(kept)) == [GONE, SYNC]
    assert lines(kept) == {GONE: [3, 4]}


def test_a_removed_sync_of_fewer_days_takes_nothing_from_another(kept: World) -> None:
    add_removed(kept, 5, 6, 4)
    age(kept, 29)
    assert forget(kept) == [GONE]
    assert lines(kept) == {GONE: [2], SYNC: [1]}


def test_a_sync_whose_rule_nobody_knows_is_left_alone(kept: World) -> None:
    add_removed(kept, None, 4000)
    assert forget(kept) == []
    assert lines(kept) == {GONE: [1], SYNC: [1]}


def test_the_rule_of_a_removed_sync_is_noted_by_its_runs(kept: World) -> None:
    """It is what the config said then; a run that was held changes nothing of it."""
    kept.sync["observability"] = {"sync_log_retention_days": 12}
    kept.run()
    (row,) = kept.sql("SELECT sync_log_retention_days FROM reverse_etl.sync_state")
    assert row == {"sync_log_retention_days": 12}


# --- who is at work ------------------------------------------------------------------------------


def test_a_sync_that_is_running_is_left_alone(kept: World) -> None:
    add_removed(kept, 30, 31)
    age(kept, 31)
    kept.database.release()
    with at_work(kept, SYNC):
        assert forget(kept) == [GONE], "the others are not"
    assert lines(kept) == {SYNC: [1]}
    assert forget(kept) == [SYNC]


def test_a_run_on_another_machine_is_left_alone(kept: World) -> None:
    if kept.database.engine == "duckdb":
        pytest.skip("there the lock on the file proves that no other machine is at work")
    age(kept, 31)
    lease = "UPDATE reverse_etl.sync_state SET lease_owner = 'elsewhere:1', lease_expires_at = '{}'"
    kept.sql(lease.format("2999-01-01 00:00:00"))
    assert forget(kept) == []
    assert lines(kept) == {SYNC: [1]}
    kept.sql(lease.format("2001-01-01 00:00:00"))
    assert forget(kept) == [SYNC], "that one is dead"


def test_the_lease_is_given_back(kept: World) -> None:
    age(kept, 31)
    forget(kept)
    (row,) = kept.sql("SELECT lease_owner, lease_expires_at FROM reverse_etl.sync_state")
    assert set(row.values()) == {None}
    kept.quiet()


# --- what the next run needs ---------------------------------------------------------------------


def needed(world: World) -> dict[str, list[str]]:
    return {name: rows for name, rows in world.kept().items() if name != "sync_log"}


def test_the_next_run_plans_nothing(kept: World) -> None:
    before = needed(kept)
    age(kept, 4000)
    assert forget(kept) == [SYNC]
    assert needed(kept) == before, "only the log goes by age"
    assert lines(kept) == {}
    kept.quiet()


def test_who_is_not_in_step_stays_so(world: World) -> None:
    world.put_emails("ada", "nobody@")
    world.run()
    before = world.failed()
    age(world, 4000)
    forget(world)
    assert world.failed() == before
    assert world.run().failed_records_open == 1


def test_a_killed_delivery_is_settled_as_if_nothing_had_been_forgotten(world: World) -> None:
    world.one_by_one()
    world.put_emails("ada", "bob")
    world.run()
    age(world, 31)
    world.put_emails("ada", "bob", "cid", "dan", "eve")
    world.die(after=2)
    killed = world.last_run()
    assert killed["status"] == "delivering"
    plan = needed(world)
    assert forget(world) == [SYNC]
    assert needed(world) == plan
    assert world.last_run() == killed
    report = world.run()
    assert report.status == "succeeded"
    # Nothing was confirmed before it died, so its whole window is unknown, and goes again.
    assert {line[2:] for line in world.lines(2)} == {("failed", "unknown")}
    assert world.runs()[1]["status"] == "interrupted"
    assert world.failed() == {}
    assert world.members() == {address(name) for name in ("ada", "bob", "cid", "dan", "eve")}
    world.quiet()


def test_lines_of_a_run_without_an_end_stay_and_are_not_said_to_go(world: World) -> None:
    """As an engine leaves them that cannot write log and end of a run in one transaction."""
    world.one_by_one()
    world.put_emails("ada", "bob")
    world.die(after=1)
    old = f"TIMESTAMP '{world.runs()[0]['started_at'] - timedelta(days=400):%Y-%m-%d %H:%M:%S}'"
    world.sql(f"UPDATE reverse_etl.sync_runs SET started_at = {old}")  # noqa: S608
    world.sql(
        f"INSERT INTO reverse_etl.sync_log ({LOG_COLUMNS}) VALUES ('{SYNC}', 1,"  # noqa: S608
        f" '1', 'ada@x.com', 'insert', 'succeeded', 1, {old}, {old})"
    )
    assert forget(world) == []
    assert lines(world) == {SYNC: [1]}
    world.sql("DELETE FROM reverse_etl.sync_log")
    world.run()
    assert world.members() == {address("ada"), address("bob")}


@pytest.mark.parametrize("moment", ["DELETE FROM reverse_etl.sync_log", "COMMIT"])
def test_killed_while_forgetting(kept: World, moment: str) -> None:
    age(kept, 31)
    before: Any = needed(kept)
    with pytest.raises(Killed), killed_at(moment):
        forget(kept)
    kept.bury()
    assert needed(kept) == before
    assert forget(kept) in ([SYNC], [])
    assert lines(kept) == {}
    kept.quiet()


def test_a_file_with_a_mistyped_name_is_not_made(tmp_path: Path) -> None:
    text = """\
warehouses:
  local: {url: "duckdb:///mistyped.duckdb"}
destinations:
  iterable: {type: iterable, api_key: "${KEY}"}
syncs:
  people:
    source: {warehouse: local, table: people, primary_key: id}
    destination: {name: iterable, object: list, list: {name: People}}
    identifiers: {email: email}
"""
    path = tmp_path / "config.yaml"
    path.write_text(text)
    config = load_config(path, {"KEY": "k" * 32})
    with pytest.raises(WarehouseError, match=r"there is no DuckDB file .*mistyped\.duckdb"):
        forget_old_logs(config, "local", Ports())
    with pytest.raises(WarehouseError, match=r"there is no DuckDB file .*mistyped\.duckdb"):
        request_retry(config, "people")
    assert [file.name for file in tmp_path.iterdir()] == ["config.yaml"]

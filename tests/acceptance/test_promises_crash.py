"""Killed at any instant: the next run settles what is known and sends the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from connectors.iterable.sandbox import Fault
from reverse_etl.errors import WarehouseError
from reverse_etl.settle import retain

if TYPE_CHECKING:
    from tests.world import World

# Killed at every n-th statement of a run, which has about eighty.
STATEMENT_STEP = 11
MOST_STATEMENTS = 200

# What is about the order of requests is the same for every warehouse.
duckdb_only = pytest.mark.parametrize("database", ["duckdb"], indirect=True)
# A lease that expires by a clock.
postgresql_only = pytest.mark.parametrize("database", ["postgresql"], indirect=True)

# Requests of the run that is killed: one delete, two inserts, one by one.
MOMENTS = [{"before": 0}, {"after": 1}, {"before": 1}, {"after": 2}, {"before": 2}, {"after": 3}]


@pytest.fixture
def two(world: World) -> World:
    """Return a world with two people on the list, which sends one person at a time."""
    world.one_by_one()
    world.put_emails("ada", "bob")
    world.run()
    return world


@duckdb_only
@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_killed_while_delivering(two: World, moment: dict[str, int]) -> None:
    """The run is settled up to its position, its window above it is logged as failed `unknown`."""
    two.put_emails("bob", "cy", "dora")
    two.die(**moment)
    report = two.run()
    assert report.status == "succeeded"
    assert two.members() == {"bob@x.com", "cy@x.com", "dora@x.com"}
    killed = two.runs()[1]
    assert (killed["status"], killed["error_code"]) == ("interrupted", "killed")
    lines = two.lines(2)
    assert [(line[0], line[1]) for line in lines] == [
        ("delete", "ada@x.com"),
        ("insert", "cy@x.com"),
        ("insert", "dora@x.com"),
    ]
    assert {line[2:] for line in lines} <= {("succeeded", None), ("failed", "unknown")}
    unknown = [line for line in lines if line[3] == "unknown"]
    assert report.retries == len(unknown) == sum(report.planned.values())
    failed = killed["inserts_failed"] + killed["deletes_failed"]
    succeeded = killed["inserts_succeeded"] + killed["deletes_succeeded"]
    assert (failed, succeeded) == (len(unknown), len(lines) - len(unknown))
    assert two.failed() == {}
    two.quiet()


def test_settled_up_to_the_confirmed_position(two: World) -> None:
    """What a checkpoint confirmed is logged as it was, and is not sent again."""
    two.engine["checkpoint_seconds"] = 0.001
    two.put_emails("ada", "bob", *(f"new{n}" for n in range(6)))
    two.die(before=5)
    two.put_emails("ada", "bob", *(f"new{n}" for n in range(1, 6)))
    report = two.run()
    confirmed = {line[1] for line in two.lines(2) if line[2] == "succeeded"}
    assert confirmed
    assert confirmed.isdisjoint(each["email"] for each in two.subscribed())
    assert two.runs()[1]["inserts_succeeded"] == len(confirmed)
    assert report.retries == 6 - len(confirmed - {"new0@x.com"}) - ("new0@x.com" in confirmed)
    assert two.members() == {
        f"{x}@x.com" for x in ("ada", "bob", *(f"new{n}" for n in range(1, 6)))
    }
    two.quiet()


@duckdb_only
@pytest.mark.parametrize("request_number", [0, 1, 2])
def test_killed_in_the_first_run(world: World, request_number: int) -> None:
    """Also before the list is found or made; it is made once."""
    world.put_emails("ada", "bob")
    world.die(before=request_number)
    world.put_emails("bob")
    world.run()
    assert len(world.sandbox.state.lists) == 1
    assert world.members() == {"bob@x.com"}
    world.quiet()


def test_a_refused_delete_outlives_a_killed_run_and_a_change_of_the_mode(world: World) -> None:
    """Who may not be removed in upsert mode is kept in mind, and leaves in a later mirror."""
    world.put_emails("ada", "bob")
    world.run()
    world.put_emails("ada")
    refused = Fault(
        "refuse",
        match="/api/lists/unsubscribe",
        identifiers=("bob@x.com",),
        bucket="invalidData",
    )
    world.faults = [refused]
    world.run()
    assert world.failures() == {"bob@x.com": ("delete", "rejected", False)}
    world.put_emails("ada", "cy")
    world.die(before=0)
    world.faults = []
    world.sync["mode"] = "upsert"
    world.run()
    assert world.failed() == {}
    world.sync["mode"] = "mirror"
    assert world.run().planned == world.changes(delete=1)
    assert world.members() == {"ada@x.com", "cy@x.com"}
    world.quiet()


def test_killed_while_planning(two: World) -> None:
    """A run left in `planning` becomes `interrupted` with nothing planned."""
    two.put_emails("cy")
    before = two.kept()
    assert two.die_at("CREATE TABLE")
    assert two.kept() == before
    assert two.run().planned == two.changes(insert=1, delete=2)
    killed = two.runs()[1]
    assert (killed["status"], killed["error_code"]) == ("interrupted", "killed")
    assert (killed["inserts_planned"], killed["deletes_planned"], two.lines(2)) == (0, 0, [])


def test_killed_while_settling(two: World) -> None:
    """A crash while settling leaves none of it: the next run settles, and sends again."""
    two.put_emails("bob", "cy")
    assert two.die_at("INSERT INTO reverse_etl.sync_log")
    assert two.members() == {"bob@x.com", "cy@x.com"}
    report = two.run()
    assert {line[3] for line in two.lines(2)} == {"unknown"}
    assert (report.planned, report.retries) == (two.changes(insert=1, delete=1), 2)
    assert two.failed() == {}
    two.quiet()


@duckdb_only
def test_killed_twice(two: World) -> None:
    """Killed, and killed again while the next run plans: still nothing is forgotten."""
    two.put_emails("bob", "cy")
    two.die(after=1)
    two.put_emails("bob", "dora")
    assert two.die_at("CREATE TABLE")
    two.die(before=1)
    two.run()
    assert [row["status"] for row in two.runs()[1:4]] == ["interrupted"] * 3
    assert two.members() == {"bob@x.com", "dora@x.com"}
    two.quiet()


def test_killed_at_any_statement(world: World) -> None:
    """A crash between any two statements leaves a state that the next run understands."""
    world.put_emails("ada", "bob")
    world.run()
    killed = 0
    for number in range(1, MOST_STATEMENTS, STATEMENT_STEP):
        # Each time somebody joins, somebody changes, somebody leaves.
        world.put(
            {"email": "ada@x.com", "plan": f"plan {number}"},
            {"email": f"new{number}@x.com"},
            {"email": None},
        )
        if not world.die_at(number):
            break
        killed += 1
        world.run()
        assert world.members() == {"ada@x.com", f"new{number}@x.com"}
        assert world.fields("ada@x.com") == {"plan": f"plan {number}"}
        assert list(world.failed()) == ["row:3"]
    assert killed > 5
    world.quiet()


# --- a run that was paused past its lease ------------------------------------------------------


@postgresql_only
def test_a_run_that_lost_its_lease_drops_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has taken the lease may have committed: what it made is the base now."""

    def paused(*parts: Any) -> list[str]:
        monkeypatch.setattr("reverse_etl.run.retain", retain)
        world.sql(
            "UPDATE reverse_etl.sync_state SET lease_expires_at = TIMESTAMP '2001-01-01 00:00:00'"
        )
        world.put_emails("ada", "bob")
        world.run()
        return retain(*parts)

    world.put_emails("ada")
    monkeypatch.setattr("reverse_etl.run.retain", paused)
    report = world.run_unchecked(lambda: False, {})
    assert report.status == "succeeded"
    assert any("has taken the lease" in warning for warning in report.warnings)

    world.put_emails("ada", "bob", "cy")
    assert world.run().planned == world.changes(insert=1)
    assert world.members() == {"ada@x.com", "bob@x.com", "cy@x.com"}


@postgresql_only
def test_a_delivery_broken_off_keeps_its_lease(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request is applied, or never, before the next run starts: so the lease outlives it."""

    def lost(*_: Any) -> None:
        raise WarehouseError("the warehouse was lost")

    world.put_emails("ada")
    monkeypatch.setattr("reverse_etl.run.Run._pages", lost)
    report = world.run_unchecked(lambda: False, {})
    assert (report.status, report.error_code) == ("failed", "warehouse_error")
    held = world.sql("SELECT lease_owner FROM reverse_etl.sync_state")
    assert held[0]["lease_owner"] is not None

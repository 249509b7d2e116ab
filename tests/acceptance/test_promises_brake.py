"""The brake: a run that would newly remove too many people is held."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from connectors.iterable.sandbox import Fault

if TYPE_CHECKING:
    from tests.world import World

# Arithmetic on counts; that both engines count alike is seen everywhere else.
pytestmark = pytest.mark.parametrize("database", ["duckdb"], indirect=True)

PEOPLE = tuple("abcdefghij")


@pytest.fixture
def ten(world: World) -> World:
    """Return a world with ten people on the list, and the brake at half of them."""
    world.sync["max_delete_percent"] = 50
    world.put_emails(*PEOPLE)
    world.run()
    return world


def test_exactly_at_the_limit(ten: World) -> None:
    """Held when it would remove *more than* `max_delete_percent` of the identities in its base."""
    ten.put_emails(*PEOPLE[:5])
    report = ten.run()
    assert (report.status, report.planned) == ("succeeded", ten.changes(delete=5))
    assert len(ten.members()) == 5


def test_just_above_the_limit(ten: World) -> None:
    """More than the limit: status `held`, exit 4, nothing sent."""
    ten.put_emails(*PEOPLE[:4])
    report = ten.run()
    assert (report.status, report.exit_code, ten.sent) == ("held", 4, [])
    assert report.planned == ten.changes(delete=6)
    assert len(ten.members()) == 10


def test_new_people_are_not_in_the_base(ten: World) -> None:
    """The percentage is of the base, whoever joins in the same run."""
    ten.put_emails(*PEOPLE[:4], *(f"new{n}" for n in range(30)))
    assert ten.run().status == "held"


def test_fewer_than_five(world: World) -> None:
    """Fewer than 5 deletes never hold."""
    world.sync["max_delete_percent"] = 0
    world.put_emails(*PEOPLE[:6])
    world.run()
    world.put_emails("a", "b")
    assert world.run().planned == world.changes(delete=4)
    assert world.members() == {"a@x.com", "b@x.com"}


def test_five_are_not_fewer_than_five(world: World) -> None:
    """Five deletes are held when they are more than the limit."""
    world.sync["max_delete_percent"] = 0
    world.put_emails(*PEOPLE[:7])
    world.run()
    world.put_emails("a", "b")
    assert world.run().status == "held"


@pytest.mark.parametrize("people", [1, 3])
def test_nobody_would_be_left(world: World, people: int) -> None:
    """Fewer than 5 deletes never hold unless nobody would be left."""
    world.sync["max_delete_percent"] = 50
    world.put_emails(*PEOPLE[:people])
    world.run()
    world.put()
    assert world.run().status == "held"
    assert len(world.members()) == people


def test_a_hundred_percent_switches_it_off(ten: World) -> None:
    """`max_delete_percent`: 100 switches it off."""
    ten.sync["max_delete_percent"] = 100
    ten.put()
    assert ten.run().planned == ten.changes(delete=10)
    assert ten.members() == set()


def test_an_empty_base(world: World) -> None:
    """An empty base never holds."""
    world.sync["max_delete_percent"] = 0
    world.put()
    assert world.run().status == "succeeded"
    world.put_emails(*PEOPLE)
    assert world.run().planned == world.changes(insert=10)


def test_carried_over_deletes(ten: World) -> None:
    """Deletes carried over from an earlier run passed the brake then and do not count."""
    ten.destination["retry_seconds"] = 0
    ten.faults = [Fault("status", match="/api/lists/unsubscribe", status=503)]
    ten.put_emails(*PEOPLE[:4])
    assert ten.run(allow_deletes=True).failed == ten.changes(delete=6)
    ten.faults = []
    ten.put_emails(*PEOPLE[:3])
    report = ten.run()
    assert (report.status, report.planned) == ("succeeded", ten.changes(delete=7))
    assert len(ten.members()) == 3


def test_undelivered_deletes(ten: World) -> None:
    """Deletes of a plan that was cut short passed the brake, too."""
    ten.faults = [Fault("status", match="/api/lists/unsubscribe", status=401)]
    ten.put_emails(*PEOPLE[:4])
    assert ten.run(allow_deletes=True).status == "failed"
    ten.faults = []
    report = ten.run()
    assert (report.status, report.retries) == ("succeeded", 6)
    assert len(ten.members()) == 4


def test_full_does_not_pass(ten: World) -> None:
    """`--full` does not pass the brake."""
    ten.put_emails(*PEOPLE[:4])
    report = ten.run(full=True)
    assert (report.status, ten.sent) == ("held", [])


def test_allow_deletes_passes_once(ten: World) -> None:
    """`--allow-deletes` lets the brake pass once."""
    ten.put_emails(*PEOPLE[:4])
    assert ten.run().status == "held"
    assert ten.run(allow_deletes=True).planned == ten.changes(delete=6)
    ten.put()
    assert ten.run().status == "held"


def test_the_message(ten: World) -> None:
    """How many would go, a few of them, and the exact command that lets it pass once."""
    ten.put_emails("j")
    report = ten.run()
    assert report.error_code == "held"
    assert report.error is not None
    assert "9 of 10" in report.error
    assert all(f"{name}@x.com" in report.error for name in "abc")
    command = "reverse-etl run-sync vip --allow-deletes"
    assert command in report.error
    assert f"--config {ten.folder / 'config.yaml'}" in report.error
    assert ten.last_run()["error_reason"] == report.error


def test_nothing_is_written(ten: World) -> None:
    """Nothing written but its `sync_runs` row."""
    ten.put_emails("a", "b", "not an address")
    before = ten.kept()
    assert ten.run().status == "held"
    assert ten.kept() == before
    row = ten.last_run()
    assert (row["status"], row["deletes_planned"], row["deletes_succeeded"]) == ("held", 8, 0)
    assert (row["rows_read"], row["rows_invalid"], row["requests_sent"]) == (3, 1, 0)


def test_the_base_stays(ten: World) -> None:
    """A held run is not a committed one: the next run compares with the one before it."""
    ten.put_emails("a")
    assert ten.run().status == "held"
    ten.put_emails(*PEOPLE)
    ten.quiet()
    ten.put_emails(*PEOPLE[:5])
    assert ten.run().planned == ten.changes(delete=5)

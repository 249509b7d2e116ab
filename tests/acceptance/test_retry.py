"""Failed records that somebody asks for: planned again by the next run, whatever their kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from connectors.iterable.sandbox import Fault
from reverse_etl.retrying import Requested, request_retry
from tests.world import SYNC

if TYPE_CHECKING:
    from reverse_etl.testing.patience import PatientClock
    from tests.world import World

duckdb_only = pytest.mark.parametrize("database", ["duckdb"], indirect=True)


def ask(world: World, **which: str) -> Requested:
    """Ask for failed records, as the command does."""
    world.database.release()
    clock: PatientClock = world.clock
    return request_retry(world.config(), SYNC, **which, clock=clock)


def refuse(world: World, **buckets: str) -> None:
    """Let some people be refused, each with a bucket, and everybody else be taken."""
    world.faults = [
        Fault("refuse", identifiers=(f"{name}@x.com",), bucket=bucket)
        for name, bucket in buckets.items()
    ]


@pytest.fixture
def refused(world: World) -> World:
    """A world in which three are refused for good; the cause is put right since."""
    world.put_emails("ada", "bob", "cid", "dan")
    refuse(world, bob="invalidData", cid="invalidData", dan="forgotten")
    world.run()
    world.faults = []
    world.quiet()
    return world


def test_who_is_asked_for_is_planned_by_the_next_run(refused: World) -> None:
    assert ask(refused) == Requested({"forgotten": 1, "rejected": 2})
    report = refused.run()
    assert report.succeeded == refused.changes(insert=3)
    assert (report.retries, report.failed_records_open) == (3, 0)
    refused.quiet()


def test_a_reason_chooses(refused: World) -> None:
    assert ask(refused, error_code="rejected") == Requested({"rejected": 2})
    assert refused.run().succeeded == refused.changes(insert=2)
    assert set(refused.failed()) == {"dan@x.com"}


def test_a_key_chooses_and_so_does_an_identity(refused: World) -> None:
    assert ask(refused, primary_key="2").by_code == {"rejected": 1}
    assert ask(refused, identity="dan@x.com").by_code == {"forgotten": 1}
    assert refused.run().succeeded == refused.changes(insert=2)
    assert set(refused.failed()) == {"cid@x.com"}


def test_what_nobody_has_is_no_error(refused: World) -> None:
    assert ask(refused, primary_key="77") == Requested()
    assert ask(refused, error_code="no_such_code").count == 0
    refused.quiet()


def test_who_is_refused_once_more_waits_once_more(refused: World) -> None:
    ask(refused, identity="bob@x.com")
    refuse(refused, bob="invalidData")
    report = refused.run()
    assert (report.status, report.failed) == (
        "completed_with_failures",
        refused.changes(insert=1),
    )
    record = refused.failed()["bob@x.com"]
    assert (record["attempts"], record["retry_requested_at"]) == (2, None)
    refused.quiet()


def test_a_request_survives_kills_until_it_was_tried(refused: World) -> None:
    ask(refused)
    refused.die(before=0)
    refused.bury()
    assert refused.run().status == "succeeded"
    assert refused.failed() == {}
    refused.quiet()


def test_a_request_survives_a_run_that_could_not_plan(refused: World) -> None:
    ask(refused)
    right = refused.sync["source"]
    refused.sync["source"] = {**right, "query": "select * from nothing_like_it"}
    refused.sync["source"].pop("table", None)
    assert refused.run().status == "failed"
    refused.sync["source"] = right
    assert refused.run().succeeded == refused.changes(insert=3)


def test_somebody_who_left_meanwhile_is_taken_off_instead(refused: World) -> None:
    """Planned from the source of today, like every retry."""
    ask(refused, identity="bob@x.com")
    refused.put_emails("ada")
    report = refused.run(allow_deletes=True)
    assert report.planned == refused.changes(delete=3)
    assert refused.members() == {"ada@x.com"}


@duckdb_only
def test_a_refused_delete_is_asked_for(world: World) -> None:
    world.put_emails("ada", "bob", "cid")
    world.run()
    world.checks_members = False
    refuse(world, cid="conflict")
    world.put_emails("ada", "bob")
    assert world.run().failed == world.changes(delete=1)
    world.faults = []
    world.quiet()
    assert ask(world).by_code == {"conflict": 1}
    world.checks_members = True
    report = world.run()
    assert (report.succeeded, report.retries) == (world.changes(delete=1), 1)
    assert world.members() == {"ada@x.com", "bob@x.com"}


@duckdb_only
def test_a_row_without_identifier_cannot_be_asked_for(world: World) -> None:
    world.put({"email": "ada@x.com"}, {"email": "no address"}, {"email": None})
    world.run()
    assert ask(world) == Requested({}, without_identifier=2)
    assert all(record["retry_requested_at"] is None for record in world.failed().values())
    world.quiet()


@duckdb_only
def test_retry_works_where_retries_are_switched_off(world: World) -> None:
    """`retry_failed_records: false` lets retryable failures wait too, for just this."""
    world.sync["retry_failed_records"] = False
    world.put_emails("ada", "bob")
    refuse(world, bob="notFound")
    world.run()
    world.faults = []
    world.quiet()
    assert ask(world, error_code="not_found").count == 1
    assert world.run().succeeded == world.changes(insert=1)


def test_asking_before_the_first_run_finds_nothing(world: World) -> None:
    world.put_emails("ada")
    before = world.tables()
    assert ask(world) == Requested()
    assert world.tables() == before, "and makes nothing"
    assert world.run().succeeded == world.changes(insert=1)

"""The life of a run: what it plans, what it sends, and what the next one takes over from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from connectors.iterable.sandbox import Fault

if TYPE_CHECKING:
    from tests.world import World

# What is about the order of requests, or told by others here too, needs no second warehouse.
duckdb_only = pytest.mark.parametrize("database", ["duckdb"], indirect=True)

SUBSCRIBE = "/api/lists/subscribe"
UNSUBSCRIBE = "/api/lists/unsubscribe"


# --- planning ----------------------------------------------------------------------------------


@duckdb_only
def test_nothing_changed(world: World) -> None:
    """A run with nothing planned makes no request at all."""
    world.put_emails("ada", "bob")
    world.run()
    world.requests_since()
    report = world.quiet()
    assert (report.exit_code, world.requests_since()) == (0, [])


def test_inserts_updates_deletes(world: World) -> None:
    """Plan = difference from the base."""
    world.put({"email": "ada@x.com", "plan": "gold"}, {"email": "bob@x.com", "plan": "gold"})
    assert world.run().planned == world.changes(insert=2)
    world.put({"email": "ada@x.com", "plan": "basic"}, {"email": "cy@x.com", "plan": "gold"})
    assert world.run().planned == world.changes(insert=1, update=1, delete=1)
    assert world.members() == {"ada@x.com", "cy@x.com"}
    assert world.fields("ada@x.com") == {"plan": "basic"}


def test_the_query_is_evaluated_once(world: World) -> None:
    """The query is evaluated exactly once: what was sent is what the snapshot says."""
    world.sync["source"]["query"] = "select id, email, random() as score from people"
    world.sync["fields"] = {"score": "score"}
    world.put_emails("ada", "bob", "cy")
    world.run()
    rows = world.sql('SELECT email, score FROM reverse_etl."snapshot_vip"')
    assert {row["email"]: row["score"] for row in rows} == {
        row["email"]: world.fields(row["email"])["score"] for row in rows
    }


def test_an_empty_plan_becomes_the_base(world: World) -> None:
    """A finished planning commits also with an empty plan, if anything changed in the set."""
    world.sync["mode"] = "upsert"
    world.put({"id": 1, "email": "ada@x.com", "plan": "gold"})
    world.run()
    world.put()
    world.quiet()
    assert world.sql("SELECT * FROM reverse_etl.snapshot_vip") == []
    world.put({"id": 1, "email": "ada@x.com", "plan": "gold"})
    assert world.run().planned == world.changes(insert=1)


@duckdb_only
def test_a_failing_query(world: World) -> None:
    """A run whose query fails is `failed`, exit 1, and changes nothing."""
    world.put_emails("ada")
    world.run()
    before = world.kept()
    query = world.sync["source"]["query"]
    world.sync["source"]["query"] = "select 1 / 0 as id, nothing from nowhere"
    report = world.run()
    assert (report.status, report.error_code, report.exit_code) == ("failed", "source_error", 1)
    assert (world.sent, world.kept()) == ([], before)
    world.sync["source"]["query"] = query
    world.quiet()


@duckdb_only
def test_deletes_are_settled_before_upserts(world: World) -> None:
    """Deletes first, settled before the first upsert; a batch holds one kind of operation."""
    world.destination["records_per_request"] = 2
    world.put(
        {"email": "a@x.com"}, {"email": "b@x.com"}, {"email": "c@x.com"}, {"email": "d@x.com"}
    )
    world.run()
    world.put(
        {"email": "d@x.com", "plan": "gold"},
        {"email": "e@x.com"},
        {"email": "f@x.com"},
        {"email": "g@x.com"},
    )
    world.requests_since()
    world.run()
    asked = [(request.path, request.subscribers) for request in world.requests_since()]
    assert asked[:2] == [(UNSUBSCRIBE, 2), (UNSUBSCRIBE, 1)] or asked[:2] == [
        (UNSUBSCRIBE, 1),
        (UNSUBSCRIBE, 2),
    ]
    # Three inserts and one update do not share a request, though two of each would fit.
    assert sorted(asked[2:]) == [(SUBSCRIBE, 1), (SUBSCRIBE, 1), (SUBSCRIBE, 2)]


# --- what was left open ------------------------------------------------------------------------


def test_the_rest_of_a_stopped_run_is_not_forgotten(world: World) -> None:
    """Rows of the last committed plan above its position: there → upsert, gone → delete."""
    world.put_emails("ada", "bob")
    world.faults = [Fault("status", match=SUBSCRIBE, status=401)]
    report = world.run()
    assert (report.status, report.exit_code, world.lines(), world.failed()) == ("failed", 1, [], {})
    world.faults = []
    world.put_emails("bob", "cy")
    report = world.run()
    assert (report.planned, report.retries) == (world.changes(insert=2, delete=1), 2)
    assert world.members() == {"bob@x.com", "cy@x.com"}
    world.quiet()


@duckdb_only
def test_two_stopped_runs_in_a_row(world: World) -> None:
    """Base, position and plan are those of the last committed run, whatever became of it."""
    world.put_emails("ada", "bob", "cy")
    world.faults = [Fault("status", match=SUBSCRIBE, status=401)]
    world.run()
    world.put_emails("bob", "cy")
    world.run()
    world.put_emails("cy", "dora")
    world.faults = []
    report = world.run()
    assert (report.planned, report.retries) == (world.changes(insert=2, delete=1), 2)
    assert world.members() == {"cy@x.com", "dora@x.com"}
    world.quiet()


@duckdb_only
def test_refused_leaves_and_returns(world: World) -> None:
    """A record is no longer wanted when its person leaves; who returns is tried again."""
    world.faults = [Fault("refuse", identifiers=("ada@x.com",), bucket="invalidData")]
    world.put_emails("ada", "bob")
    assert world.run().failed == world.changes(insert=1)
    world.faults = []
    world.put_emails("bob")
    assert world.run().planned == world.changes(delete=1)
    assert world.failed() == {}
    world.put_emails("ada", "bob")
    assert world.run().succeeded == world.changes(insert=1)
    assert world.members() == {"ada@x.com", "bob@x.com"}


def test_an_unknown_delete_is_not_dropped(world: World) -> None:
    """Due: `unknown` always, also with retry off."""
    world.sync["retry_failed_records"] = False
    world.destination["retry_seconds"] = 0
    world.put_emails("ada", "bob")
    world.run()
    world.put_emails("ada")
    world.faults = [Fault("reset_before", match=UNSUBSCRIBE)]
    world.run()
    assert world.failures() == {"bob@x.com": ("delete", "unknown", True)}
    assert world.members() == {"ada@x.com", "bob@x.com"}
    world.faults = []
    report = world.run()
    assert (report.planned, report.retries) == (world.changes(delete=1), 1)
    assert (world.members(), world.failed()) == ({"ada@x.com"}, {})


def test_a_refused_delete_with_retry_off(world: World) -> None:
    """With retry off, a refused delete leaves its member there, named in `failed_records`.

    `--full` makes everything due, refused deletes too.
    """
    world.sync["retry_failed_records"] = False
    world.put_emails("ada", "bob")
    world.run()
    world.put_emails("ada")
    world.faults = [Fault("rate_limit", match=UNSUBSCRIBE)]
    world.run()
    world.faults = []
    for _ in range(2):
        world.quiet()
        assert world.failures() == {"bob@x.com": ("delete", "unavailable", True)}
        assert world.members() == {"ada@x.com", "bob@x.com"}
    report = world.run(full=True)
    assert report.planned == world.changes(update=1, delete=1)
    assert (world.members(), world.failed()) == ({"ada@x.com"}, {})


@duckdb_only
def test_retry_is_switched_on_later(world: World) -> None:
    """Due: retryable ones when `retry_failed_records` is on."""
    world.sync["retry_failed_records"] = False
    world.put_emails("ada")
    world.faults = [Fault("refuse", identifiers=("ada@x.com",), bucket="notFound")]
    world.run()
    world.faults = []
    world.quiet()
    world.sync["retry_failed_records"] = True
    report = world.run()
    assert (report.planned, report.retries) == (world.changes(insert=1), 1)
    assert world.members() == {"ada@x.com"}


@duckdb_only
def test_a_held_run_between(world: World) -> None:
    """Base, position and plan are those of the last committed run: a held one is none."""
    world.destination["retry_seconds"] = 0
    world.sync["max_delete_percent"] = 50
    world.put_emails("ada", "bob")
    world.run()
    world.put_emails("ada", "bob", "cy")
    world.faults = [Fault("reset_after", match=SUBSCRIBE)]
    assert world.run().status == "completed_with_failures"
    world.faults = []
    world.put()
    assert world.run().status == "held"
    world.put_emails("ada", "bob")
    report = world.run()
    assert (report.planned, report.retries) == (world.changes(delete=1), 1)
    assert (world.members(), world.failed()) == ({"ada@x.com", "bob@x.com"}, {})


@duckdb_only
def test_failed_records_are_planned_with_todays_values(world: World) -> None:
    """Re-planned from the *current* source: there → upsert with today's values."""
    world.put({"email": "ada@x.com", "plan": "gold"})
    world.faults = [Fault("rate_limit", match=SUBSCRIBE)]
    world.run()
    world.faults = []
    world.put({"email": "ada@x.com", "plan": "basic"})
    report = world.run()
    assert (report.planned, report.retries) == (world.changes(insert=1), 1)
    assert world.fields("ada@x.com") == {"plan": "basic"}


def test_an_unknown_insert_that_is_gone(world: World) -> None:
    """Re-planned from the current source: gone → delete, for it may have been applied."""
    world.destination["retry_seconds"] = 0
    world.put_emails("ada", "bob")
    world.faults = [Fault("reset_after", match=SUBSCRIBE)]
    world.run()
    assert world.members() == {"ada@x.com", "bob@x.com"}
    world.faults = []
    world.put_emails("bob")
    assert world.run().planned == world.changes(insert=1, delete=1)
    assert world.members() == {"bob@x.com"}
    world.quiet()


@duckdb_only
def test_an_insert_until_it_is_confirmed(world: World) -> None:
    """A change is an `insert` until the first confirmed success of that identity, then `update`."""
    world.destination["retry_seconds"] = 0
    world.put({"email": "ada@x.com", "plan": "gold"})
    world.faults = [Fault("status", match=SUBSCRIBE, status=500)]
    assert world.run().failed == world.changes(insert=1)
    world.put({"email": "ada@x.com", "plan": "basic"})
    assert world.run().failed == world.changes(insert=1)
    world.faults = []
    assert world.run().succeeded == world.changes(insert=1)
    world.put({"email": "ada@x.com", "plan": "gold"})
    assert world.run().succeeded == world.changes(update=1)


def test_full_sends_everybody(world: World) -> None:
    """`--full` sends every current row again (as `update`), and still removes who left."""
    world.put_emails("ada", "bob", "cy")
    world.run()
    world.put_emails("ada", "bob")
    report = world.run(full=True)
    assert report.planned == world.changes(update=2, delete=1)
    assert (world.last_run()["sync_type"], world.members()) == ("full", {"ada@x.com", "bob@x.com"})


@duckdb_only
def test_members_of_others_are_not_touched(world: World) -> None:
    """Members that others added are never touched."""
    world.sandbox.seed_list("VIP customers", ["old@x.com", "older@x.com"])
    world.put_emails("ada")
    world.run()
    world.put()
    world.run()
    world.run(full=True)
    assert world.members() == {"old@x.com", "older@x.com"}


# --- upsert ------------------------------------------------------------------------------------


def test_upsert_never_removes(world: World) -> None:
    """In upsert the identity stays as residue, so that a later switch to mirror removes it."""
    world.sync["mode"] = "upsert"
    world.put_emails("ada", "bob")
    world.run()
    world.put_emails("ada")
    world.quiet()
    world.quiet()
    assert world.members() == {"ada@x.com", "bob@x.com"}
    world.sync["mode"] = "mirror"
    assert world.run().planned == world.changes(delete=1)
    assert world.members() == {"ada@x.com"}
    world.quiet()


def test_upsert_drops_the_record_of_who_left(world: World) -> None:
    """Where no delete is possible nothing is planned and the failed record is dropped."""
    world.sync["mode"] = "upsert"
    world.destination["retry_seconds"] = 0
    world.put_emails("ada", "bob")
    world.faults = [Fault("reset_after", match=SUBSCRIBE)]
    world.run()
    world.faults = []
    world.put_emails("bob")
    assert world.run().planned == world.changes(insert=1)
    assert (world.failed(), world.members()) == ({}, {"ada@x.com", "bob@x.com"})
    world.sync["mode"] = "mirror"
    assert world.run().planned == world.changes(delete=1)
    assert world.members() == {"bob@x.com"}


# --- told to stop ------------------------------------------------------------------------------


@duckdb_only
def test_told_to_stop_while_delivering(world: World) -> None:
    """Requests on the wire are settled, waiting batches stay planned, the run is `interrupted`."""
    world.one_by_one()
    world.put_emails("ada", "bob", "cy", "dora")
    report = world.run(stop=lambda: len(world.sent) >= 5)
    assert (report.status, report.exit_code) == ("interrupted", 130)
    assert (report.planned, report.succeeded) == (world.changes(insert=4), world.changes(insert=2))
    assert len(world.lines()) == len(world.members()) == 2
    assert world.failed() == {}
    report = world.run()
    assert (report.planned, report.retries) == (world.changes(insert=2), 2)
    assert len(world.members()) == 4
    world.quiet()


@duckdb_only
def test_told_to_stop_while_planning(world: World) -> None:
    """A run told to stop before it committed leaves its row and nothing else."""
    world.put_emails("ada")
    world.run()
    before = world.kept()
    world.put_emails("bob")
    report = world.run(stop=lambda: True)
    assert (report.status, world.sent, world.kept()) == ("interrupted", [], before)
    assert world.run().planned == world.changes(insert=1, delete=1)

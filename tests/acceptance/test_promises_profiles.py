"""Profiles: only what changed is sent, and who leaves loses the fields that were sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from connectors.iterable.sandbox import Fault
from reverse_etl.connector import Operation
from reverse_etl.preview import preview
from tests.world import address, first_profile_sync

if TYPE_CHECKING:
    from connectors.iterable.sandbox.people import ProjectType
    from tests.world import World

# What is about the destination, or told by others here too, needs no second warehouse.
duckdb_only = pytest.mark.parametrize("database", ["duckdb"], indirect=True)

BULK_UPDATE = "/api/users/bulkUpdate"

ADA = {"id": 1, "user_id": "u1", "email": "ada@x.com", "plan": "gold", "city": "Oslo"}
BOB = {"id": 2, "user_id": "u2", "email": "bob@x.com", "plan": "basic", "city": "Rome"}


def user(name: str, **fields: Any) -> dict[str, Any]:
    """Return a user object as it is sent."""
    return {"email": address(name), "dataFields": fields}


def refused(name: str) -> Fault:
    """Return a fault that refuses what is sent for somebody."""
    who = (address(name),)
    return Fault("refuse", match=BULK_UPDATE, bucket="invalidData", identifiers=who)


# --- what is sent ------------------------------------------------------------------------------


def test_a_first_load_writes_the_mapped_fields(profiles: World) -> None:
    """And leaves everybody and everything else as it is."""
    profiles.sandbox.add_profile(email="ada@x.com", fields={"plan": "old", "shoe": 42})
    profiles.sandbox.add_profile(email="eve@x.com", fields={"plan": "theirs", "shoe": 43})
    profiles.put(ADA, BOB | {"city": None})
    report = profiles.run()
    assert (report.status, report.planned) == ("succeeded", profiles.changes(insert=2))
    assert profiles.written() == [
        user("ada", plan="gold", city="Oslo"),
        user("bob", plan="basic"),
    ]
    assert dict(profiles.fields("ada@x.com")) == {"plan": "gold", "city": "Oslo", "shoe": 42}
    assert dict(profiles.fields("bob@x.com")) == {"plan": "basic"}
    assert dict(profiles.fields("eve@x.com")) == {"plan": "theirs", "shoe": 43}
    profiles.quiet()


def test_only_the_changed_person_is_sent(profiles: World) -> None:
    """With all that is mapped; a column that is not mapped is no change."""
    profiles.put(ADA, BOB)
    profiles.run()
    profiles.put(ADA | {"plan": "basic", "score": 1.0}, BOB | {"score": 2.0, "id": 7})
    assert profiles.run().planned == profiles.changes(update=1)
    assert profiles.written() == [user("ada", plan="basic", city="Oslo")]
    profiles.quiet()


@pytest.mark.parametrize(
    ("field", "before", "after", "updates"),
    [
        ("v", "timestamp '2026-01-01 10:00:00.1'", "timestamp '2026-01-01 10:00:00.9'", 0),
        ("v", "timestamp '2026-01-01 10:00:00.9'", "timestamp '2026-01-01 10:00:01.1'", 1),
        ("v", "cast(1.50 as numeric(9, 2))", "cast(1.5 as numeric(9, 2))", 0),
        ("v", "cast(1.50 as numeric(9, 2))", "cast(1.5 as numeric(9, 1))", 0),
        (
            {"column": "v", "type": "string"},
            "cast(1.50 as numeric(9, 2))",
            "cast(1.5 as numeric(9, 1))",
            1,
        ),
        ("v", "42", "cast(42 as double precision)", 0),
        ("v", "cast('{\"a\": 1}' as json)", "cast('{\"a\":1}' as json)", 0),
    ],
)
def test_what_would_be_sent_decides(
    profiles: World, field: object, before: str, after: str, updates: int
) -> None:
    """Not how the warehouse writes it."""
    profiles.put(ADA)
    profiles.sync["fields"] = {"v": field}
    query = "select id, email, {} as v from people"
    profiles.sync["source"]["query"] = query.format(before)
    profiles.run()
    profiles.sync["source"]["query"] = query.format(after)
    report = profiles.run()
    assert (report.status, report.planned) == ("succeeded", profiles.changes(update=updates))
    assert len(profiles.sent) == updates


def test_a_null_is_left_out_or_clears(profiles: World) -> None:
    """As the mapping says."""
    profiles.sync["fields"] = {"plan": {"column": "plan", "null": "clear"}, "city": "city"}
    profiles.put(ADA)
    profiles.run()
    profiles.put(ADA | {"plan": None, "city": None})
    assert profiles.run().planned == profiles.changes(update=1)
    assert profiles.written() == [user("ada", plan=None)]
    assert dict(profiles.fields("ada@x.com")) == {"city": "Oslo"}


@duckdb_only
def test_a_new_field_updates_everybody(profiles: World) -> None:
    """One that is no longer mapped is left as it is, also when its owner leaves."""
    profiles.put(ADA, BOB)
    profiles.run()
    profiles.sync["fields"] = {"city": "city", "level": "plan"}
    assert profiles.run().planned == profiles.changes(update=2)
    assert dict(profiles.fields("ada@x.com")) == {"plan": "gold", "city": "Oslo", "level": "gold"}
    profiles.put(BOB)
    profiles.run()
    assert dict(profiles.fields("ada@x.com")) == {"plan": "gold"}


# --- who leaves --------------------------------------------------------------------------------


def test_who_leaves_loses_what_was_sent(profiles: World) -> None:
    """The profile stays, and so does what others wrote into it."""
    profiles.put(ADA, BOB)
    profiles.run()
    profiles.sandbox.add_profile(email="ada@x.com", fields={"shoe": 42})
    profiles.sandbox.add_profile(email="eve@x.com", fields={"plan": "theirs"})
    profiles.put(BOB)
    assert profiles.run().planned == profiles.changes(delete=1)
    assert profiles.written() == [user("ada", city=None, plan=None)]
    assert profiles.sent[0].body["createNewFields"] is False
    assert dict(profiles.fields("ada@x.com")) == {"shoe": 42}
    assert dict(profiles.fields("eve@x.com")) == {"plan": "theirs"}
    profiles.quiet()
    profiles.put(ADA, BOB)
    assert profiles.run().planned == profiles.changes(insert=1)
    assert dict(profiles.fields("ada@x.com")) == {"shoe": 42, "plan": "gold", "city": "Oslo"}


def test_a_renamed_field_is_cleared_by_its_old_name(profiles: World) -> None:
    """When its owner leaves in the run that sees the new mapping first."""
    profiles.put(ADA, BOB)
    profiles.run()
    profiles.put(BOB)
    profiles.sync["fields"] = {"level": "plan"}
    assert profiles.run().planned == profiles.changes(update=1, delete=1)
    assert profiles.written() == [user("ada", city=None, plan=None), user("bob", level="basic")]
    assert dict(profiles.fields("ada@x.com")) == {}


def test_a_refused_delete_clears_the_fields_of_its_time(profiles: World) -> None:
    """However the mapping changes until it works."""
    profiles.put(ADA, BOB)
    profiles.run()
    profiles.put(BOB)
    profiles.sandbox.faults = (refused("ada"),)
    assert profiles.run().failed == profiles.changes(delete=1)
    assert profiles.failures() == {"ada@x.com": ("delete", "rejected", False)}
    profiles.sandbox.faults = ()
    profiles.sync["fields"] = {"level": "plan"}
    profiles.run()
    assert profiles.fields("ada@x.com")["plan"] == "gold"
    profiles.run(full=True)
    assert user("ada", city=None, plan=None) in profiles.written()
    assert dict(profiles.fields("ada@x.com")) == {}
    assert profiles.failed() == {}


def test_what_was_perhaps_written_is_cleared_too(profiles: World) -> None:
    """By a run that was killed, under a mapping that is gone."""
    profiles.put(ADA)
    profiles.die(after=1)
    profiles.sync["fields"] = {"level": "plan"}
    profiles.die(before=0)
    profiles.put()
    report = profiles.run(allow_deletes=True)
    assert report.planned == profiles.changes(delete=1)
    assert profiles.written() == [user("ada", city=None, level=None, plan=None)]
    assert dict(profiles.fields("ada@x.com")) == {}
    profiles.quiet()


def test_who_is_kept_is_left_alone(profiles: World) -> None:
    """Nothing is planned, and nothing is remembered against a later change of the setting."""
    profiles.sync["destination"]["on_delete"] = "keep"
    profiles.sync["max_delete_percent"] = 0
    profiles.put(ADA, BOB)
    profiles.run()
    profiles.put(BOB)
    profiles.quiet()
    assert dict(profiles.fields("ada@x.com")) == {"plan": "gold", "city": "Oslo"}
    profiles.sync["destination"]["on_delete"] = "clear_fields"
    profiles.quiet()
    profiles.put()
    profiles.run(allow_deletes=True)
    assert dict(profiles.fields("bob@x.com")) == {}
    assert dict(profiles.fields("ada@x.com")) == {"plan": "gold", "city": "Oslo"}


@duckdb_only
def test_a_failure_of_somebody_who_is_kept_is_dropped(profiles: World) -> None:
    """There is nothing left to do for them."""
    profiles.sync["destination"]["on_delete"] = "keep"
    profiles.sandbox.faults = (refused("ada"),)
    profiles.put(ADA, BOB)
    profiles.run()
    assert set(profiles.failed()) == {"ada@x.com"}
    profiles.put(BOB)
    assert profiles.run().planned == profiles.changes()
    assert profiles.failed() == {}


def test_who_left_in_upsert_mode_is_cleared_by_a_later_mirror(profiles: World) -> None:
    """Of the fields that were sent to them, not of those that others got since."""
    profiles.sync["mode"] = "upsert"
    profiles.put(ADA, BOB)
    profiles.run()
    profiles.put(BOB)
    profiles.quiet()
    profiles.sync["fields"] = {"level": "plan"}
    assert profiles.run().planned == profiles.changes(update=1)
    profiles.sync["mode"] = "mirror"
    assert profiles.run().planned == profiles.changes(delete=1)
    assert profiles.written() == [user("ada", city=None, plan=None)]
    assert dict(profiles.fields("ada@x.com")) == {}
    profiles.quiet()


@duckdb_only
def test_the_brake_holds_a_run_that_would_clear_too_many(profiles: World) -> None:
    """And a preview shows what would be cleared."""
    profiles.sync["max_delete_percent"] = 10
    names = [f"p{n}" for n in range(10)]
    profiles.put(*({"email": address(name), "plan": "gold"} for name in names))
    profiles.run()
    profiles.put(*({"email": address(name), "plan": "gold"} for name in names[:4]))
    profiles.sync["fields"] = {"level": "plan"}
    profiles.database.release()
    ahead = preview(profiles.config(), "vip")
    shown = ahead.samples[Operation.DELETE]
    assert [dict(each.values) for each in shown] == [{"city": None, "plan": None}] * 6
    why = "6 of 10 people would lose the fields that were sent (60.0 %, max_delete_percent is 10)"
    assert ahead.held_reason == why
    held = profiles.run()
    assert held.status == "held"
    assert (held.error or "").startswith(f"{why}, among them p4@x.com, ")
    assert profiles.sent == []
    assert profiles.run(allow_deletes=True).succeeded == profiles.changes(update=4, delete=6)
    assert dict(profiles.fields("p9@x.com")) == {}


def test_what_was_never_sent_is_not_cleared(profiles: World) -> None:
    """Somebody whose only value we refused ourselves keeps what others wrote."""
    profiles.sandbox.add_profile(email="ada@x.com", fields={"plan": 5})
    profiles.sync["fields"] = {"plan": {"column": "plan", "type": "long"}}
    profiles.put(ADA, BOB | {"plan": "7"})
    profiles.run()
    assert profiles.failures() == {"ada@x.com": ("insert", "invalid_value", False)}
    profiles.put(BOB | {"plan": "7"})
    profiles.run()
    assert dict(profiles.fields("ada@x.com")) == {"plan": 5}
    assert profiles.failed() == {}
    profiles.quiet()


def test_a_constant_that_python_calls_equal_is_another_value(profiles: World) -> None:
    """1 and true are not the same to Iterable."""
    profiles.sync["fields"] = {"vip": {"value": 1}}
    profiles.put(ADA)
    profiles.run()
    profiles.sync["fields"] = {"vip": {"value": True}}
    assert profiles.run().planned == profiles.changes(update=1)
    assert profiles.written() == [user("ada", vip=True)]
    profiles.quiet()


# --- failures ----------------------------------------------------------------------------------


def test_a_refused_value_waits_until_it_changes(profiles: World) -> None:
    """Alone: nobody else is sent again."""
    profiles.sandbox.declare_fields({"plan": "string", "score": "double"})
    profiles.sync["fields"] = {"plan": "plan", "score": "city"}
    profiles.put(ADA | {"city": "high"}, BOB | {"city": None})
    report = profiles.run()
    assert (report.status, report.succeeded) == (
        "completed_with_failures",
        profiles.changes(insert=1),
    )
    assert profiles.failures() == {"ada@x.com": ("insert", "rejected", False)}
    profiles.quiet()
    profiles.put(ADA | {"city": None}, BOB | {"city": None})
    assert profiles.run().planned == profiles.changes(insert=1)
    assert profiles.written() == [user("ada", plan="gold")]
    assert profiles.failed() == {}


@duckdb_only
def test_what_may_pass_later_is_tried_again_alone(profiles: World) -> None:
    """As the insert that it still is."""
    profiles.one_by_one()
    profiles.destination["retry_seconds"] = 0
    profiles.sandbox.faults = (Fault("status", match=BULK_UPDATE, status=503, times=1),)
    profiles.put(ADA, BOB)
    assert profiles.run().failed == profiles.changes(insert=1)
    assert profiles.failures() == {"ada@x.com": ("insert", "unavailable", True)}
    report = profiles.run()
    assert (report.planned, report.retries) == (profiles.changes(insert=1), 1)
    assert profiles.written() == [user("ada", plan="gold", city="Oslo")]
    profiles.quiet()


@duckdb_only
def test_an_answer_that_got_lost_is_made_good(profiles: World) -> None:
    """Writing the same values twice changes nothing."""
    profiles.destination["retry_seconds"] = 0
    profiles.sandbox.faults = (Fault("reset_after", match=BULK_UPDATE, times=1),)
    profiles.put(ADA)
    profiles.run()
    assert profiles.failures() == {"ada@x.com": ("insert", "unknown", True)}
    assert profiles.run().succeeded == profiles.changes(insert=1)
    profiles.quiet()


# --- kinds of projects -------------------------------------------------------------------------


@duckdb_only
def test_profiles_are_found_by_user_id(new_world: Callable[[ProjectType], World]) -> None:
    """Where that is what identifies people."""
    world = new_world("user_id")
    world.sync = first_profile_sync() | {"identifiers": {"userId": "user_id"}}
    world.put(ADA, BOB)
    world.run()
    assert dict(world.fields("u1")) == {"plan": "gold", "city": "Oslo"}
    world.put(BOB)
    world.run()
    assert world.written() == [{"userId": "u1", "dataFields": {"city": None, "plan": None}}]
    assert dict(world.fields("u1")) == {}


def test_a_hybrid_project_gets_both_identifiers(hybrid_profiles: World) -> None:
    """But is asked to clear by the identity alone."""
    world = hybrid_profiles
    world.put(ADA, BOB | {"user_id": None})
    world.run()
    assert world.written() == [
        {"userId": "u1", "email": "ada@x.com", "dataFields": {"plan": "gold", "city": "Oslo"}},
        {"email": "bob@x.com", "dataFields": {"plan": "basic", "city": "Rome"}},
    ]
    world.put(BOB)
    world.run()
    assert world.written() == [
        {"userId": "u1", "dataFields": {"city": None, "plan": None}},
        {"userId": "u2", "email": "bob@x.com", "dataFields": {"plan": "basic", "city": "Rome"}},
    ]
    assert dict(world.fields("ada@x.com")) == {}
    assert dict(world.fields("bob@x.com")) == {"plan": "basic", "city": "Rome"}
    world.quiet()


def test_a_shared_address_keeps_its_fields_until_nobody_has_it(hybrid_profiles: World) -> None:
    """Who got a user id is the same person; then both of their names go."""
    world = hybrid_profiles
    world.put(ADA | {"user_id": None}, BOB)
    world.run()
    world.sync["fields"] = {"plan": "plan"}
    world.put(ADA, BOB)
    assert world.run().planned == world.changes(insert=1)
    assert dict(world.fields("ada@x.com")) == {"plan": "gold", "city": "Oslo"}
    world.put(BOB)
    assert world.run().planned == world.changes(delete=2)
    assert dict(world.fields("u1")) == {}
    world.quiet()

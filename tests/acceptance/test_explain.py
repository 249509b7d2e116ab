"""The life of one person: what `explain` tells, against what a test has done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from connectors.iterable.sandbox import Fault
from reverse_etl.connector import Operation
from reverse_etl.life import Life, Person, explain
from reverse_etl.ports import Ports
from tests.world import SYNC

if TYPE_CHECKING:
    from tests.world import World

duckdb_only = pytest.mark.parametrize("database", ["duckdb"], indirect=True)

ADA, BOB = {"email": "ada@x.com", "plan": "gold"}, {"email": "bob@x.com", "plan": "silver"}


def told(world: World, **whom: str) -> Life:
    world.database.release()
    return explain(world.config(), SYNC, **whom, ports=Ports(world.clock))


def one(world: World, identity: str) -> Person:
    """Return the one person that an identity names."""
    (person,) = told(world, identity=identity).people
    return person


def operations(person: Person) -> list[tuple[int, str, str]]:
    return [(line.run_id, line.operation, line.status) for line in person.log]


def test_before_the_first_run(world: World) -> None:
    world.put(ADA, BOB)
    person = one(world, " Ada@X.com")
    assert (person.identity, person.state, person.log) == ("ada@x.com", "not_there", ())
    assert person.planned is not None
    assert person.planned.operation is Operation.INSERT
    assert told(world, identity="eve@x.com").people == []


def test_a_life_in_order(world: World) -> None:
    world.put(ADA, BOB)
    world.run()
    world.put({**ADA, "plan": "basic"}, BOB)
    life = told(world, primary_key="1")
    assert [(row.identity, row.values["plan"]) for row in life.rows] == [("ada@x.com", "basic")]
    (person,) = life.people
    assert (person.state, person.values) == ("there", {"plan": "gold"})
    assert person.joined is not None
    assert person.joined.run_id == 1
    assert person.planned is not None
    assert person.planned.changed == {"plan": ("gold", "basic")}
    world.run()
    person = one(world, "ada@x.com")
    assert operations(person) == [(1, "insert", "succeeded"), (2, "update", "succeeded")]
    assert (person.state, person.values, person.planned) == ("there", {"plan": "basic"}, None)
    world.put(BOB)
    assert one(world, "ada@x.com").planned is not None
    world.run()
    person = one(world, "ada@x.com")
    assert operations(person)[-1] == (3, "delete", "succeeded")
    assert (person.state, person.joined, person.planned) == ("not_there", None, None)


def test_a_key_that_named_two_people(world: World) -> None:
    world.put(ADA, BOB)
    world.run()
    world.put({**ADA, "email": "ada@new.com"}, BOB)
    people = {each.identity: each for each in told(world, primary_key="1").people}
    assert set(people) == {"ada@x.com", "ada@new.com"}
    planned = {i: each.planned.operation for i, each in people.items() if each.planned}
    assert planned == {"ada@x.com": Operation.DELETE, "ada@new.com": Operation.INSERT}


def test_a_refused_change_is_told_with_its_reason(world: World) -> None:
    world.put(ADA, BOB)
    world.run()
    world.faults = [Fault("refuse", identifiers=("ada@x.com",), bucket="invalidData")]
    world.put({**ADA, "plan": "basic"}, BOB)
    world.run()
    person = one(world, "ada@x.com")
    assert person.state == "outdated"
    assert person.failed is not None
    assert (person.failed.operation, person.failed.error_code) == ("update", "rejected")
    assert person.planned is None
    assert operations(person)[-1] == (2, "update", "failed")


@duckdb_only
@pytest.mark.parametrize("bucket", ["notFound", "invalidData"])
def test_who_was_refused_at_once_is_not_there(world: World, bucket: str) -> None:
    world.faults = [Fault("refuse", identifiers=("ada@x.com",), bucket=bucket)]
    world.put(ADA, BOB)
    world.run()
    person = one(world, "ada@x.com")
    assert person.state == "not_there"
    assert (person.planned is not None) == (bucket == "notFound")


def test_after_a_kill_nobody_knows(world: World) -> None:
    world.put(ADA, BOB)
    world.die(after=1)
    world.bury()
    person = one(world, "ada@x.com")
    assert (person.state, person.unconfirmed) == ("unsure", "insert")
    assert person.planned is not None
    assert person.planned.retry
    world.run()
    assert one(world, "ada@x.com").state == "there"


def test_a_row_that_lost_to_another(world: World) -> None:
    world.put(ADA, {"email": "ADA@x.com", "plan": "silver"}, {"email": "nobody"})
    world.run()
    life = told(world, primary_key="2")
    rows = {row.primary_key: (row.identity, row.error_code) for row in life.rows}
    assert rows == {"1": ("ada@x.com", None), "2": ("ada@x.com", "duplicate_identity")}
    assert [person.identity for person in life.people] == ["ada@x.com"]
    (row,) = told(world, primary_key="3").rows
    assert (row.identity, row.error_code) == ("row:3", "invalid_identifier")
    (person,) = told(world, primary_key="3").people
    assert person.failed is not None
    assert person.failed.unidentified


def test_without_an_answer_of_the_query_the_rest_is_told(world: World) -> None:
    world.put(ADA, BOB)
    world.run()
    world.sync["source"] = {**world.sync["source"], "query": "select id, email from no_table"}
    world.sync["source"].pop("table", None)
    life = told(world, identity="ada@x.com")
    assert "no_table" in (life.source_error or "")
    (person,) = life.people
    assert (person.state, operations(person)) == ("there", [(1, "insert", "succeeded")])


def test_the_brake_is_told(world: World) -> None:
    world.sync["max_delete_percent"] = 50
    world.put_emails(*(f"p{n}" for n in range(10)))
    world.run()
    world.put_emails("p0")
    life = told(world, identity="p3@x.com")
    assert life.held_reason is not None
    assert "9 of 10 people" in life.held_reason


@duckdb_only
def test_an_explanation_changes_nothing(world: World) -> None:
    world.put(ADA, BOB)
    world.run()
    world.put(ADA)
    before = world.tables(), world.log(), world.runs()
    told(world, primary_key="2")
    assert (world.tables(), world.log(), world.runs()) == before


@duckdb_only
def test_a_person_of_a_hybrid_project_by_either_name(hybrid: World) -> None:
    hybrid.put({"user_id": "u1", "email": "ada@x.com"}, {"email": "bob@x.com"})
    hybrid.run()
    assert one(hybrid, "u1").identity == "userId:u1"
    assert one(hybrid, "userId:u1").state == "there"
    assert one(hybrid, "Bob@x.com").identity == "email:bob@x.com"

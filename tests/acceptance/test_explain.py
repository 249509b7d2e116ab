"""The life of one person: what `explain` tells, against what a test has done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from connectors.iterable.sandbox import Fault
from reverse_etl.cli.explain_command import changes_in_words
from reverse_etl.connector import Operation
from reverse_etl.life import MOST, Life, OpenChange, Person, explain
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
    assert changes_in_words(person.planned) == "plan: gold → basic"
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
    assert (person.state, person.open) == ("unsure", OpenChange("insert"))
    assert person.planned is not None
    assert person.planned.retry
    world.run()
    assert one(world, "ada@x.com").state == "there"


def in_small_steps(world: World, *names: str) -> None:
    """Send one person in a request, with a checkpoint whenever there can be one."""
    world.engine = {"checkpoint_seconds": 0.001}
    world.one_by_one()
    world.put_emails(*names)


MANY = [f"p{n:02}" for n in range(12)]
SETTLING = "INSERT INTO reverse_etl.sync_log"


@duckdb_only
@pytest.mark.parametrize(("bucket", "again"), [("invalidData", False), ("notFound", True)])
def test_a_refusal_that_is_not_settled_is_told(world: World, bucket: str, *, again: bool) -> None:
    """It is in no log and no failed record yet: the run was killed while it settled."""
    world.faults = [Fault("refuse", identifiers=("ada@x.com",), bucket=bucket)]
    in_small_steps(world, "ada", *MANY)
    assert world.die_at(SETTLING)
    life = told(world, identity="ada@x.com")
    (person,) = life.people
    assert person.state == "not_there"
    assert person.open is not None
    assert person.open.status == "failed"
    assert life.unfinished_run_id == 1
    assert one(world, "p03@x.com").state == "there"
    world.bury()
    world.faults = []
    world.run()
    person = one(world, "ada@x.com")
    assert (person.state, person.open) == ("there" if again else "not_there", None)


@duckdb_only
def test_a_removal_that_is_not_settled_is_told(world: World) -> None:
    in_small_steps(world, *MANY)
    world.run()
    world.put_emails("p11")
    assert world.die_at(SETTLING)
    person = one(world, "p00@x.com")
    assert person.open == OpenChange("delete", "succeeded")
    assert person.state == "not_there"
    assert "p00@x.com" not in world.members()


@duckdb_only
def test_lines_of_another_account_are_no_proof(world: World) -> None:
    world.put_emails("ada", "bob")
    world.run()
    world.sync["destination"] = {**world.sync["destination"], "list": {"name": "Another"}}
    world.checks_members = False
    world.put_emails("ada")
    world.run(full=True)
    assert one(world, "bob@x.com").state == "former"


def test_a_key_that_many_share_is_told_in_part(world: World) -> None:
    world.sync["source"] = {**world.sync["source"], "primary_key": "plan"}
    world.put(*({"email": f"p{n}@x.com", "plan": "gold"} for n in range(3 * MOST)))
    for _ in range(2):
        life = told(world, primary_key="gold")
        assert (len(life.rows), len(life.people), life.is_cut) == (MOST, MOST, True)
        world.run()


def test_a_key_of_several_columns_is_json_however_it_is_spaced(world: World) -> None:
    world.sync["source"] = {**world.sync["source"], "primary_key": ["plan", "id"]}
    world.put({"email": "ada@x.com", "plan": 'a"b'})
    world.run()
    for text in ('["a\\"b",1]', '[ "a\\"b", 1 ]'):
        assert [person.identity for person in told(world, primary_key=text).people] == ["ada@x.com"]


@duckdb_only
def test_what_an_update_does_not_send_is_no_change(world: World) -> None:
    """A NULL is skipped unless the mapping says otherwise; the profile keeps its value."""
    world.put(ADA, BOB)
    world.run()
    world.put({**ADA, "plan": None}, BOB)
    planned = one(world, "ada@x.com").planned
    assert planned is not None
    assert changes_in_words(planned) == "plan: gold → NULL (left as it is)"
    world.sync["fields"] = {"plan": {"column": "plan", "null": "clear"}, "town": "city"}
    planned = one(world, "ada@x.com").planned
    assert planned is not None
    assert changes_in_words(planned) == "plan: gold → cleared, town: NULL (left as it is)"


@duckdb_only
def test_another_address_of_a_user_is_a_change(hybrid: World) -> None:
    hybrid.put({"user_id": "u1", "email": "ada@x.com", "plan": "gold"})
    hybrid.run()
    hybrid.put({"user_id": "u1", "email": "ada@new.com", "plan": "gold"})
    planned = one(hybrid, "u1").planned
    assert planned is not None
    assert changes_in_words(planned) == "email: ada@x.com → ada@new.com"


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

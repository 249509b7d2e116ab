"""People, not rows: what a change of the source means for the people of an e-mail project."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.world import World


def test_changed_address(world: World) -> None:
    """An e-mail changed on one row = the old address leaves, the new one joins."""
    world.put({"id": 1, "email": "ada@x.com"}, {"id": 2, "email": "bob@x.com"})
    world.run()
    world.put({"id": 1, "email": "ada@new.com"}, {"id": 2, "email": "bob@x.com"})
    report = world.run()
    assert report.planned == world.changes(insert=1, delete=1)
    assert world.members() == {"ada@new.com", "bob@x.com"}
    assert world.lines(report.run_id) == [
        ("delete", "ada@x.com", "succeeded", None),
        ("insert", "ada@new.com", "succeeded", None),
    ]
    assert [line["primary_key"] for line in world.log(report.run_id)] == ["1", "1"]
    world.quiet()


def test_one_of_two_rows_with_an_address_leaves(world: World) -> None:
    """Two rows with one address and one row leaves = nothing to send."""
    world.put({"id": 1, "email": "ada@x.com"}, {"id": 2, "email": "ada@x.com"})
    assert world.run().duplicates == 1
    world.put({"id": 2, "email": "ada@x.com"})
    world.quiet()
    assert world.members() == {"ada@x.com"}


def test_the_last_row_with_an_address_leaves(world: World) -> None:
    """A person leaves with the last of their rows."""
    world.put({"id": 1, "email": "ada@x.com"}, {"id": 2, "email": "ada@x.com"})
    world.run()
    world.put({"id": 3, "email": "bob@x.com"})
    assert world.run().planned == world.changes(insert=1, delete=1)
    assert world.members() == {"bob@x.com"}


def test_another_spelling_of_an_address(world: World) -> None:
    """`" Ada@X.com"` → `ada@x.com` = nothing to send."""
    world.put({"email": " Ada@X.com"})
    world.run()
    assert world.members() == {"ada@x.com"}
    world.put({"email": "ada@x.com"})
    world.quiet()


def test_two_spellings_are_one_person(world: World) -> None:
    """Changes are computed between sets of identities: two spellings are one of them."""
    world.put({"email": "\u00a0ADA@x.com\t"}, {"email": "ada@x.com"})
    report = world.run()
    assert (report.planned, report.duplicates) == (world.changes(insert=1), 1)


def test_moved_to_another_primary_key(world: World) -> None:
    """A person moved to another primary key = nothing to send."""
    world.put({"id": 1, "email": "ada@x.com"}, {"id": 2, "email": "bob@x.com"})
    world.run()
    world.put({"id": 2, "email": "ada@x.com"}, {"id": 1, "email": "bob@x.com"})
    world.quiet()


# --- two rows that claim one identity ----------------------------------------------------------


def test_the_smallest_primary_key_wins(world: World) -> None:
    """The smallest primary key wins (typed order, NULLs last, ties by the mapped values)."""
    world.put(
        {"id": 10, "email": "typed@x.com", "plan": "of ten"},
        {"id": 9, "email": "typed@x.com", "plan": "of nine"},
        {"id": -3, "email": "typed@x.com", "plan": "of minus three"},
        {"id": None, "email": "null@x.com", "plan": "a of null"},
        {"id": 2_000_000_000, "email": "null@x.com", "plan": "of much"},
        {"id": 1, "email": "tie@x.com", "plan": "gold"},
        {"id": 1, "email": "tie@x.com", "plan": "basic"},
        {"id": None, "email": "nulls@x.com", "plan": "alloy"},
        {"id": None, "email": "nulls@x.com", "plan": "Zinc"},
        {"id": None, "email": "nulls@x.com", "plan": None},
    )
    assert world.run().duplicates == 6
    plans = {name: world.fields(f"{name}@x.com")["plan"] for name in ("typed", "null", "tie")}
    assert plans == {"typed": "of minus three", "null": "of much", "tie": "basic"}
    # Text in the order of its bytes, as every engine has it: capitals first.
    assert world.fields("nulls@x.com")["plan"] == "Zinc"


def test_the_smallest_composite_primary_key_wins(world: World) -> None:
    """The smallest primary key wins, composite by position."""
    world.sync["source"]["primary_key"] = ["city", "id"]
    world.put(
        {"city": "Bern", "id": 1, "email": "ada@x.com", "plan": "Bern 1"},
        {"city": "Aarau", "id": 10, "email": "ada@x.com", "plan": "Aarau 10"},
        {"city": "Aarau", "id": 9, "email": "ada@x.com", "plan": "Aarau 9"},
        {"city": None, "id": 0, "email": "ada@x.com", "plan": "nowhere"},
    )
    world.run()
    assert world.fields("ada@x.com")["plan"] == "Aarau 9"


def test_the_winner_leaves(world: World) -> None:
    """The next smallest primary key speaks for the person when the smallest is gone."""
    world.put(
        {"id": 1, "email": "ada@x.com", "plan": "gold"},
        {"id": 2, "email": "ada@x.com", "plan": "basic"},
    )
    world.run()
    world.put({"id": 2, "email": "ada@x.com", "plan": "basic"})
    assert world.run().planned == world.changes(update=1)
    assert world.fields("ada@x.com")["plan"] == "basic"


def test_null_and_repeated_primary_keys(world: World) -> None:
    """A NULL or repeated primary key is no error; it only names the row."""
    world.put(
        {"id": None, "email": "ada@x.com"},
        {"id": None, "email": "bob@x.com"},
        {"id": 7, "email": "cy@x.com"},
        {"id": 7, "email": "dora@x.com"},
    )
    report = world.run()
    assert (report.status, report.failed_records_open) == ("succeeded", 0)
    assert world.members() == {"ada@x.com", "bob@x.com", "cy@x.com", "dora@x.com"}
    assert [line["primary_key"] for line in world.log()] == [None, None, "7", "7"]
    world.quiet()


def test_composite_primary_key_is_a_json_array(world: World) -> None:
    """A composite primary key is a JSON array in text."""
    world.sync["source"]["primary_key"] = ["id", "city"]
    world.put(
        {"id": 1, "city": 'the "old" town\\', "email": "ada@x.com"},
        {"id": 2, "city": None, "email": "bob@x.com"},
        {"id": 3, "city": "Zürich", "email": None},
    )
    world.run()
    keys = {line["identity"]: json.loads(line["primary_key"]) for line in world.log()}
    assert keys.pop("ada@x.com") == [1, 'the "old" town\\']
    assert keys.pop("bob@x.com") == [2, None]
    ((identity, key),) = keys.items()
    assert key == [3, "Zürich"]
    assert json.loads(identity.removeprefix("row:")) == key


# --- rows that cannot be used ------------------------------------------------------------------


def test_rows_without_identifier_are_reported(world: World) -> None:
    """Rows without any usable identifier: not planned, in failed_records, one failed line."""
    world.put(
        {"id": 1, "email": "ada@x.com"},
        {"id": 2, "email": None},
        {"id": 3, "email": "  "},
        {"id": 4, "email": "not an address"},
        {"id": None, "email": "nor this"},
    )
    report = world.run()
    assert (report.status, report.exit_code, report.invalid) == ("completed_with_failures", 3, 4)
    assert report.planned == world.changes(insert=1)
    assert world.members() == {"ada@x.com"}
    failures = world.failures()
    assert sorted(failures) == ["row:2", "row:3", "row:4", "row:null"]
    assert failures["row:2"] == failures["row:3"] == ("insert", "missing_identifier", False)
    assert failures["row:4"] == failures["row:null"] == ("insert", "invalid_identifier", False)
    lines = [line for line in world.log() if line["status"] == "failed"]
    assert [(line["identity"], line["primary_key"], line["attempts"]) for line in lines] == [
        ("row:2", "2", 0),
        ("row:3", "3", 0),
        ("row:4", "4", 0),
        ("row:null", None, 0),
    ]


def test_rows_without_identifier_are_logged_once(world: World) -> None:
    """One failed line in the run that first sees them or sees another reason."""
    world.put({"id": 1, "email": None}, {"id": 2, "email": "nope"})
    world.run()
    again = world.quiet()
    assert (again.invalid, again.failed_records_open, world.lines(again.run_id)) == (2, 2, [])
    world.put({"id": 1, "email": "still not"}, {"id": 2, "email": "nope"})
    other = world.run()
    assert other.status == "completed_with_failures"
    assert world.lines(other.run_id) == [("insert", "row:1", "failed", "invalid_identifier")]
    world.quiet()


def test_a_row_gets_its_identifier(world: World) -> None:
    """A row disappears from failed_records when it is usable, or no longer there."""
    world.put({"id": 1, "email": None}, {"id": 2, "email": None})
    world.run()
    world.put({"id": 1, "email": "ada@x.com"})
    report = world.run()
    assert (report.status, report.planned) == ("succeeded", world.changes(insert=1))
    assert world.failed() == {}


def test_a_valid_row_becomes_invalid(world: World) -> None:
    """A row without a valid identifier holds nobody: the person of that row leaves."""
    world.put({"id": 1, "email": "ada@x.com"}, {"id": 2, "email": "bob@x.com"})
    world.run()
    world.put({"id": 1, "email": "ada(at)x.com"}, {"id": 2, "email": "bob@x.com"})
    report = world.run()
    assert report.planned == world.changes(delete=1)
    assert world.members() == {"bob@x.com"}
    assert world.failures() == {"row:1": ("insert", "invalid_identifier", False)}


def test_an_invalid_row_is_no_delete_of_somebody_else(world: World) -> None:
    """Rows without a valid identifier are never sent and never a delete of somebody else."""
    world.put({"id": 1, "email": "ada@x.com"})
    world.run()
    world.put({"id": 1, "email": None}, {"id": 2, "email": "ada@x.com"})
    report = world.run()
    assert (report.planned, report.requests) == (world.changes(), 0)
    assert world.members() == {"ada@x.com"}


def test_differing_duplicates_are_logged_once(world: World) -> None:
    """Where their mapped values differ they get one failed line in the run that first sees it."""
    world.put(
        {"id": 1, "email": "ada@x.com", "plan": "gold"},
        {"id": 2, "email": "ada@x.com", "plan": "basic"},
        {"id": 3, "email": "bob@x.com", "plan": "gold"},
        {"id": 4, "email": "bob@x.com", "plan": "gold"},
    )
    report = world.run()
    assert (report.status, report.duplicates, world.failed()) == ("succeeded", 2, {})
    lost = [line for line in world.log() if line["status"] == "failed"]
    assert [(x["identity"], x["primary_key"], x["error_code"]) for x in lost] == [
        ("ada@x.com", "2", "duplicate_identity")
    ]
    assert world.quiet().duplicates == 2
    assert world.lines(2) == []


def test_duplicates_that_begin_to_differ_are_logged_then(world: World) -> None:
    """One failed line `duplicate_identity` in the run that first sees it, nothing else."""
    world.put(
        {"id": 1, "email": "ada@x.com", "plan": "gold"},
        {"id": 2, "email": "ada@x.com", "plan": "gold"},
    )
    world.run()
    world.put(
        {"id": 1, "email": "ada@x.com", "plan": "gold"},
        {"id": 2, "email": "ada@x.com", "plan": "basic"},
    )
    world.quiet()
    assert world.lines(2) == [("insert", "ada@x.com", "failed", "duplicate_identity")]


def test_a_column_in_another_case(world: World) -> None:
    """The config may spell a column in another case than the query; its value is sent."""
    world.sync["source"]["query"] = 'select id, email, upper(plan) as "PLAN", city from people'
    world.sync["fields"] = {"a": "plan", "b": "city"}
    world.put({"email": "ada@x.com", "plan": "gold", "city": "Rome"})
    world.run()
    assert world.fields("ada@x.com") == {"a": "GOLD", "b": "Rome"}


def test_a_list_of_values(world: World) -> None:
    """It is sent as a list, not as the text of one."""
    world.sync["source"]["query"] = "select id, email, array[1, 2] as plan from people"
    if world.database.engine == "duckdb":
        world.sync["source"]["query"] = "select id, email, [1, 2] as plan from people"
    world.put_emails("ada")
    world.run()
    assert world.fields("ada@x.com") == {"plan": [1, 2]}

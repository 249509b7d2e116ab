"""What a change of the config means for the next run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from connectors.iterable.sandbox import Fault, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.world import World


# Whose account it is does not depend on the warehouse.
duckdb_only = pytest.mark.parametrize("database", ["duckdb"], indirect=True)


@pytest.fixture
def two(world: World) -> World:
    """Return a world with two people on the list."""
    world.put(
        {"email": "ada@x.com", "plan": "gold", "city": "gold"},
        {"email": "bob@x.com", "plan": "basic", "city": "Bern"},
    )
    world.run()
    return world


# --- query and mapping -------------------------------------------------------------------------


def test_another_query(two: World) -> None:
    """Query changed → the difference is computed on the new columns."""
    two.sync["source"]["query"] = "select id, email, plan from people where plan = 'gold'"
    assert two.run().planned == two.changes(delete=1)
    assert two.members() == {"ada@x.com"}


def test_a_new_field(two: World) -> None:
    """A newly mapped field is an update for every row."""
    two.sync["fields"]["town"] = "city"
    assert two.run().planned == two.changes(update=2)
    assert two.fields("bob@x.com") == {"plan": "basic", "town": "Bern"}
    two.quiet()


def test_a_field_no_longer_mapped(two: World) -> None:
    """A field no longer mapped is left as it is at the destination."""
    two.sync["fields"] = {}
    two.quiet()
    assert two.fields("ada@x.com") == {"plan": "gold"}


def test_a_field_that_was_away(two: World) -> None:
    """A planning commits also with an empty plan: a field that returns is new again."""
    two.sync["fields"] = {}
    two.quiet()
    two.sync["fields"] = {"plan": "plan"}
    assert two.run().planned == two.changes(update=2)


def test_a_renamed_column(two: World) -> None:
    """The same values from a column of another name: nothing to send."""
    two.sync["source"]["query"] = "select id as key, email as mail, plan as tier from people"
    two.sync["source"]["primary_key"] = "key"
    two.sync |= {"identifiers": {"email": "mail"}, "fields": {"plan": "tier"}}
    two.quiet()
    assert "tier" in two.columns("snapshot_vip")


def test_a_field_from_another_column(two: World) -> None:
    """A field mapped to another column: an update where the values differ."""
    two.sync["fields"] = {"plan": "city"}
    assert two.run().planned == two.changes(update=1)
    assert two.fields("bob@x.com") == {"plan": "Bern"}


def test_a_field_from_a_column_of_another_type(two: World) -> None:
    """Values of another type are sent for every row: the destination may hold the old type."""
    two.sync["fields"] = {"plan": "id"}
    assert two.run().planned == two.changes(update=2)
    two.quiet()


def test_another_constant(two: World) -> None:
    """A constant is a field like any other: another value is an update for every row."""
    two.sync["fields"]["source"] = {"value": "warehouse"}
    assert two.run().planned == two.changes(update=2)
    two.quiet()
    two.sync["fields"]["source"] = {"value": "somewhere"}
    assert two.run().planned == two.changes(update=2)


# --- the account -------------------------------------------------------------------------------


def other_list(sync: dict[str, Any]) -> None:
    """Name another list."""
    sync["destination"]["list"] = {"name": "Somebody else"}


def list_by_id(sync: dict[str, Any]) -> None:
    """Name a list by an id that is not the one of this sync."""
    sync["destination"]["list"] = {"id": 99}


@duckdb_only
@pytest.mark.parametrize("change", [other_list, list_by_id])
def test_another_list_is_refused(two: World, change: Any) -> None:
    """Another account under the same sync name is refused (exit 1) with the two ways out."""
    change(two.sync)
    before = two.kept()
    report = two.run()
    assert (report.status, report.exit_code) == ("failed", 1)
    assert (report.error_code, two.sent, two.kept()) == ("account_changed", [], before)
    assert report.error is not None
    assert "VIP customers" in report.error
    assert "another name" in report.error
    assert "--full" in report.error


@duckdb_only
def test_another_project_type_is_refused(two: World) -> None:
    """The account is (host, project type, object, list id)."""
    two.destination["project_type"] = "hybrid"
    report = two.run()
    assert (report.error_code, two.sent) == ("account_changed", [])


@duckdb_only
def test_another_host_is_refused(two: World) -> None:
    """The account is (host, project type, object, list id)."""
    two.destination["base_url"] = two.sandbox.url.replace("127.0.0.1", "localhost")
    report = two.run()
    assert (report.error_code, two.sent) == ("account_changed", [])


@duckdb_only
def test_a_refused_account_can_be_set_back(two: World) -> None:
    """A refused run changes nothing: with the old account the sync goes on."""
    other_list(two.sync)
    two.run()
    two.sync["destination"]["list"] = {"name": "VIP customers"}
    two.quiet()


def test_full_starts_from_an_empty_base(world: World) -> None:
    """`--full` starts from an empty base, clears the failed records, leaves the old list alone."""
    world.sync["max_delete_percent"] = 0
    world.put_emails("ada", "bob", "cy")
    world.faults = [Fault("refuse", identifiers=("cy@x.com",), bucket="invalidData")]
    world.run()
    world.faults = []
    other_list(world.sync)
    world.put_emails("ada", "dora")
    report = world.run(full=True)
    assert (report.status, report.planned) == ("succeeded", world.changes(insert=2))
    assert (report.retries, world.failed()) == (0, {})
    assert world.members("Somebody else") == {"ada@x.com", "dora@x.com"}
    assert world.members("VIP customers") == {"ada@x.com", "bob@x.com"}
    world.quiet()


@duckdb_only
def test_residue_stays_with_the_old_account(two: World) -> None:
    """Starting from an empty base, nobody of the old account is taken off the new list."""
    two.sync["mode"] = "upsert"
    two.put_emails("ada")
    two.run()
    two.sync["mode"] = "mirror"
    other_list(two.sync)
    assert two.run(full=True).planned == two.changes(insert=1)
    two.quiet()
    assert two.members("VIP customers") == {"ada@x.com", "bob@x.com"}


@duckdb_only
def test_the_new_list_is_not_the_one_just_made(two: World) -> None:
    """Unknown list: the run stops at once; only a list that we made a moment ago is waited for."""
    two.sandbox.seed_list("Somebody else")
    other_list(two.sync)
    two.run(full=True)
    two.put_emails("cy")
    two.faults = [Fault("invalid_list", match="/api/lists/unsubscribe")]
    report = two.run()
    assert (report.error_code, report.requests) == ("unknown_list", 1)


@duckdb_only
def test_a_name_is_looked_up_once(two: World) -> None:
    """A list given by name is looked up once; its id is kept."""
    two.put_emails("ada")
    two.run()
    assert all(sent.path != "/api/lists" for sent in two.sent)
    # Renamed in the marketing tool, it is still the list of this sync.
    two.sandbox.state.list_named("VIP customers").name = "Renamed"
    two.put_emails("ada", "cy")
    two.run()
    assert two.members("Renamed") == {"ada@x.com", "cy@x.com"}


@duckdb_only
def test_from_the_name_to_the_same_id(two: World) -> None:
    """The account is the list's id, however the config names it."""
    two.sync["destination"]["list"] = {"id": two.sandbox.state.list_named("VIP customers").id}
    two.quiet()
    two.put_emails("ada")
    assert two.run().status == "succeeded"
    assert two.members() == {"ada@x.com"}


@pytest.fixture
def renewed() -> Iterator[Sandbox]:
    """Return the same project behind another API key."""
    with Sandbox(api_key="another-key") as sandbox:
        sandbox.seed_list("VIP customers")
        yield sandbox


@duckdb_only
def test_another_key(two: World, renewed: Sandbox) -> None:
    """Another API key alone is accepted."""
    two.key = "another-key"
    two.checks_members = False
    two.destination["base_url"] = renewed.url
    two.quiet()
    two.put_emails("cy")
    report = two.run()
    # One request to take two off, one to put one on; the list is not looked up again.
    assert (report.status, report.requests) == ("succeeded", 2)
    members = renewed.state.members(renewed.state.list_named("VIP customers").id)
    assert members == {"cy@x.com"}

"""What `audit` finds at the destination, and what a repair puts right, over real HTTP."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from connectors.iterable.sandbox import Fault
from reverse_etl.audit import audit
from reverse_etl.cli.app import run
from reverse_etl.errors import AccountChanged, DestinationError, Interrupted, RunError
from reverse_etl.ports import Ports
from tests import documents

if TYPE_CHECKING:
    from connectors.iterable.sandbox.people import ProjectType
    from reverse_etl.report import AuditReport
    from tests.world import World

LIST = "VIP customers"
SYNC = "vip"

duckdb_only = pytest.mark.parametrize("database", ["duckdb"], indirect=True)
postgresql_only = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


def look(
    world: World, *, sample: int = 100, stop: Callable[[], bool] = lambda: False
) -> AuditReport:
    """Audit, and make sure that it leaves nothing and changes nothing."""
    kept, members = world.kept(), world.sandbox.state.lists
    before = {each.id: set(each.members) for each in members.values()}
    world.sent.clear()
    world.database.release()
    ports = Ports(world.clock, random.Random(7), transport=world._transport, stop=stop)
    try:
        return audit(world.config(), SYNC, sample=sample, ports=ports)
    finally:
        assert world.kept() == kept
        assert {each.id: set(each.members) for each in members.values()} == before
        assert {sent.body == {} for sent in world.sent} <= {True}


def counts(report: AuditReport) -> dict[str, int]:
    """Return the counts that are not zero, but for how many there are."""
    return {word: n for word, n in report.counts.items() if n and word != "members"}


def names(report: AuditReport, word: str) -> list[str]:
    return [one.identity for one in report.samples[word]]


def ask(world: World, path: str, body: Mapping[str, Any]) -> None:
    """Do something at the destination as another tool would."""
    url = f"{world.sandbox.url}{path}"
    answer = httpx.post(url, json=body, headers={"Api-Key": world.key}, trust_env=False)
    assert answer.status_code == 200, answer.text


def take_off(world: World, *people: Mapping[str, str]) -> None:
    list_id = world.sandbox.state.list_named(LIST).id
    ask(world, "/api/lists/unsubscribe", {"listId": list_id, "subscribers": people})


def put_on(world: World, *people: Mapping[str, Any]) -> None:
    list_id = world.sandbox.state.list_named(LIST).id
    ask(world, "/api/lists/subscribe", {"listId": list_id, "subscribers": people})


def email(name: str) -> dict[str, str]:
    return {"email": f"{name}@x.com"}


# --- a list --------------------------------------------------------------------------------


def test_a_list_that_is_as_it_should_be(world: World) -> None:
    world.put_emails("ada", "bob")
    world.run()
    found = look(world)
    assert (found.audits, found.run_id, found.exit_code) == ("members", 1, 0)
    assert found.counts == {
        "members": 2,
        "in_step": 2,
        "missing": 0,
        "extra_ours": 0,
        "extra_others": 0,
        "open": 0,
    }
    assert [sent.path for sent in world.sent] == ["/api/lists/getUsers"]


def test_people_who_were_taken_off_by_others_are_put_back(world: World) -> None:
    world.put_emails("ada", "bob", "cy")
    world.run()
    take_off(world, email("ada"), email("cy"))
    found = look(world)
    assert (counts(found), found.exit_code) == ({"in_step": 1, "missing": 2}, 1)
    assert names(found, "missing") == ["ada@x.com", "cy@x.com"]
    report = world.run(repair=True)
    assert (report.status, report.planned, report.retries) == (
        "succeeded",
        world.changes(update=2),
        0,
    )
    assert report.audit is not None
    assert counts(report.audit) == counts(found)
    assert world.members() == {"ada@x.com", "bob@x.com", "cy@x.com"}
    assert counts(look(world)) == {"in_step": 3}
    world.quiet()


@duckdb_only
def test_a_repair_sends_todays_values(world: World) -> None:
    world.put({"email": "ada@x.com", "plan": "gold"})
    world.run()
    take_off(world, email("ada"))
    world.put({"email": "ada@x.com", "plan": "basic"}, {"id": 2, "email": "bob@x.com"})
    report = world.run(repair=True)
    assert report.planned == world.changes(insert=1, update=1)
    assert world.fields("ada@x.com")["plan"] == "basic"


def test_somebody_who_is_missing_and_has_left_the_source_is_not_put_back(world: World) -> None:
    world.put_emails("ada", "bob")
    world.run()
    take_off(world, email("ada"))
    world.put_emails("bob")
    report = world.run(repair=True)
    assert report.planned == world.changes(delete=1)
    assert world.members() == {"bob@x.com"}
    assert counts(look(world)) == {"in_step": 1}


@pytest.mark.parametrize("retained", [True, False])
def test_a_delete_that_others_undid_is_done_again(world: World, *, retained: bool) -> None:
    """Whom we added is known from the log, or else from an older plan."""
    world.sync["observability"] = {"retain_sync_logs": retained}
    world.put_emails("ada", "bob")
    world.run()
    world.put_emails("bob")
    world.run()
    put_on(world, email("ada"))
    found = look(world)
    assert (counts(found), found.exit_code) == ({"in_step": 1, "extra_ours": 1}, 1)
    assert names(found, "extra_ours") == ["ada@x.com"]
    world.checks_members = False
    report = world.run(repair=True)
    assert report.planned == world.changes(delete=1)
    assert world.members() == {"bob@x.com"}
    assert counts(look(world)) == {"in_step": 1}


def test_members_whom_others_added_are_counted_and_never_touched(world: World) -> None:
    world.sandbox.seed_list(LIST, ["eve@x.com", "mallory@x.com"])
    world.put_emails("ada")
    world.run()
    found = look(world)
    assert (counts(found), found.exit_code) == ({"in_step": 1, "extra_others": 2}, 0)
    assert names(found, "extra_others") == ["eve@x.com", "mallory@x.com"]
    assert any("sync_log" in note for note in found.notes)
    report = world.run(repair=True)
    assert (report.planned, [sent.path for sent in world.sent]) == (
        world.changes(),
        ["/api/lists/getUsers"],
    )
    assert world.members() == {"ada@x.com", "eve@x.com", "mallory@x.com"}


def test_a_repair_reads_the_source_and_no_table_of_its_own(world: World) -> None:
    """Engines look for temporary tables first, so none may have a name that a source could have."""
    world.sql("CREATE TABLE members_vip (email TEXT)")
    world.sql("INSERT INTO members_vip VALUES ('ada@x.com'), ('bob@x.com')")
    query = "select email from members_vip"
    world.sync["source"] |= {"query": query, "primary_key": "email"}
    world.sync["fields"] = {}
    world.sandbox.seed_list(LIST, ["eve@x.com"])
    world.run()
    take_off(world, email("bob"))
    assert world.run(repair=True).planned == world.changes(update=1)
    assert world.members() == {"ada@x.com", "bob@x.com", "eve@x.com"}


@duckdb_only
def test_somebody_of_ours_who_was_removed_and_whom_only_an_old_list_knew(world: World) -> None:
    """After a full run, which may have gone to another list, older lines of the log are mute."""
    world.put_emails("ada", "bob")
    world.run()
    world.put_emails("bob")
    world.run()
    world.run(full=True)
    put_on(world, email("ada"))
    found = look(world)
    assert counts(found) == {"in_step": 1, "extra_others": 1}
    assert any("since the full run 3" in note for note in found.notes)


def test_somebody_whom_we_failed_to_add_is_nobody_of_ours(world: World) -> None:
    world.put_emails("ada", "eve")
    world.faults = [Fault("refuse", identifiers=("eve@x.com",), times=1)]
    world.run()
    world.put_emails("ada")
    world.run()
    world.checks_members = False  # it would take eve for ours
    put_on(world, email("eve"))
    assert counts(look(world)) == {"in_step": 1, "extra_others": 1}
    world.run(repair=True)
    assert world.members() == {"ada@x.com", "eve@x.com"}


def test_another_spelling_at_the_destination_is_the_same_person(world: World) -> None:
    world.put_emails("ada")
    world.run()
    people = world.sandbox.state.people
    profile_id = people.find("ada@x.com")
    assert profile_id is not None
    people._emails[profile_id] = " Ada@X.com"
    assert counts(look(world)) == {"in_step": 1}


def test_people_whose_state_is_open_are_not_wrong(world: World) -> None:
    world.put_emails("ada", "bob", "cy")
    world.faults = [Fault("refuse", identifiers=("bob@x.com",))]
    world.run()
    assert set(world.failed()) == {"bob@x.com"}
    found = look(world)
    assert (counts(found), found.exit_code) == ({"in_step": 2, "open": 1}, 0)
    assert [(one.identity, one.reason) for one in found.samples["open"]] == [
        ("bob@x.com", "named in failed_records")
    ]


def test_changes_of_a_killed_run_are_open(world: World) -> None:
    world.one_by_one()
    world.put_emails("ada", "bob", "cy")
    world.die(before=4)
    found = look(world)
    assert found.exit_code == 0
    assert sum(found.counts[word] for word in ("in_step", "open")) == 3
    assert found.counts["open"] >= 1
    assert any("run 1 had not ended" in note for note in found.notes)


@duckdb_only
def test_the_brake_holds_a_repair_that_would_remove_too_many(world: World) -> None:
    world.sync["max_delete_percent"] = 40
    everybody = [f"p{n}" for n in range(20)]
    world.put_emails(*everybody)
    world.run()
    world.put_emails(*everybody[:10])
    world.run(allow_deletes=True)
    put_on(world, *map(email, everybody[10:]))
    world.checks_members = False
    held = world.run(repair=True)
    assert (held.status, held.exit_code) == ("held", 4)
    assert held.error is not None
    assert "audit vip --repair --allow-deletes" in held.error
    assert len(world.members()) == 20
    report = world.run(repair=True, allow_deletes=True)
    assert report.planned == world.changes(delete=10)
    assert len(world.members()) == 10


def test_in_upsert_mode_nobody_is_extra(world: World) -> None:
    world.sync["mode"] = "upsert"
    world.put_emails("ada", "bob")
    world.run()
    world.put_emails("bob")
    world.run()
    found = look(world)
    assert (counts(found), found.exit_code) == ({"in_step": 1, "extra_ours": 1}, 0)
    assert any("removes nobody" in note for note in found.notes)
    report = world.run(repair=True)
    assert report.planned == world.changes()
    assert world.members() == {"ada@x.com", "bob@x.com"}


# --- what cannot be audited ----------------------------------------------------------------


def test_a_sync_that_was_never_run(world: World) -> None:
    world.put_emails("ada")
    world.database.release()
    if world.database.engine == "duckdb":
        world.sql("SELECT 1")
    found = look(world)
    assert (found.run_id, found.exit_code, world.sent) == (None, 0, [])
    assert any("never run" in note for note in found.notes)
    report = world.run(repair=True)
    assert report.planned == world.changes(insert=1)


def test_a_base_without_anybody(world: World) -> None:
    world.put()
    world.run()
    found = look(world)
    assert (found.run_id, found.exit_code, world.sent) == (1, 0, [])
    assert any("nothing to compare" in note for note in found.notes)


@duckdb_only
def test_a_list_that_is_gone(world: World) -> None:
    world.put_emails("ada")
    world.run()
    world.sandbox.state.lists.clear()
    with pytest.raises(DestinationError, match="list") as caught:
        look(world)
    assert caught.value.code == "unknown_list"
    report = world.run_unchecked(lambda: False, {"repair": True})
    assert (report.status, report.error_code, report.planned) == (
        "failed",
        "unknown_list",
        world.changes(),
    )


@duckdb_only
def test_another_account_is_refused(world: World) -> None:
    world.put_emails("ada")
    world.run()
    world.sync["destination"]["list"] = {"name": "another"}
    with pytest.raises(AccountChanged):
        look(world)
    assert world.sent == []


@duckdb_only
def test_a_busy_api_is_asked_again(world: World) -> None:
    world.put_emails("ada")
    world.run()
    world.faults = [Fault("status", "/api/lists/getUsers", times=2, status=503)]
    assert counts(look(world)) == {"in_step": 1}
    assert len(world.sent) == 3


@duckdb_only
def test_told_to_stop_while_the_members_are_read(world: World) -> None:
    world.put_emails("ada")
    world.run()
    world.faults = [Fault("latency", "/api/lists/getUsers", seconds=2, times=2)]
    began = time.monotonic()
    with pytest.raises(Interrupted):
        look(world, stop=lambda: len(world.sent) == 1)
    report = world.run(stop=lambda: len(world.sent) == 1, repair=True)
    assert (report.status, report.exit_code) == ("interrupted", 130)
    assert time.monotonic() - began < 4
    assert counts(look(world)) == {"in_step": 1}


def test_a_repair_that_is_killed_leaves_nothing(world: World) -> None:
    world.put_emails("ada", "bob")
    world.run()
    take_off(world, email("ada"))
    world.die(after=1, repair=True)
    world.checks_members = False
    assert world.run().planned == world.changes()
    assert world.run(repair=True).planned == world.changes(update=1)
    assert world.members() == {"ada@x.com", "bob@x.com"}


@pytest.mark.parametrize("moment", ["left_open_vip", "_audit_wrong_vip", "committed_run_id"])
def test_a_repair_that_is_killed_at_a_statement_can_be_done_again(
    world: World, moment: str
) -> None:
    world.put_emails("ada", "bob")
    world.run()
    take_off(world, email("ada"))
    assert world.die_at(moment, repair=True)
    world.run(repair=True)
    assert counts(look(world)) == {"in_step": 2}


@postgresql_only
def test_an_audit_while_a_run_is_under_way(world: World) -> None:
    """It neither waits for the run nor disturbs it; what is not confirmed yet counts as open."""
    world.one_by_one()
    world.put_emails("ada", "bob", "cy")
    found: list[AuditReport] = []

    def look_once() -> bool:
        if not found and any(sent.people for sent in world.sent):
            ports = Ports(world.clock, random.Random(7))
            found.append(audit(world.config(), SYNC, ports=ports))
        return False

    report = world.run(stop=look_once)
    assert report.succeeded == world.changes(insert=3)
    assert any("run 1 had not ended" in note for note in found[0].notes)
    assert (found[0].wrong, found[0].counts["open"]) == (0, 3)


# --- a hybrid project ----------------------------------------------------------------------


def user(name: str) -> dict[str, str]:
    return {"userId": name}


def both(user_id: str, name: str) -> dict[str, str]:
    return {"userId": user_id, **email(name)}


def row(user_id: str | None, name: str | None) -> dict[str, str | None]:
    return {"user_id": user_id, "email": f"{name}@x.com" if name else None}


def test_hybrid_people_are_counted_once_whichever_identifier_is_shown(hybrid: World) -> None:
    hybrid.put(row("u1", "ada"), row("u2", None), row(None, "cy"))
    hybrid.run()
    found = look(hybrid)
    assert found.counts["members"] == 3
    assert counts(found) == {"in_step": 3}
    assert len(hybrid.sent) == 2


def test_hybrid_people_who_are_missing_are_put_back(hybrid: World) -> None:
    hybrid.put(row("u1", "ada"), row("u2", None), row(None, "cy"), row("u4", "dora"))
    hybrid.run()
    take_off(hybrid, user("u1"), user("u2"), email("cy"))
    found = look(hybrid)
    assert counts(found) == {"in_step": 1, "missing": 3}
    assert names(found, "missing") == ["email:cy@x.com", "userId:u1", "userId:u2"]
    assert hybrid.run(repair=True).planned == hybrid.changes(update=3)
    assert counts(look(hybrid)) == {"in_step": 4}


def test_hybrid_extras_are_told_apart(hybrid: World) -> None:
    """With one identifier or with two: by what the log and the older plans know."""
    leaving = [row("u2", "bob"), row("u3", None), row(None, "cy")]
    hybrid.put(row("u1", "ada"), *leaving)
    hybrid.run()
    hybrid.put(row("u1", "ada"))
    hybrid.run(allow_deletes=True)
    put_on(hybrid, user("u2"), user("u3"), email("cy"), both("u8", "eve"), user("u9"))
    found = look(hybrid)
    assert counts(found) == {"in_step": 1, "extra_ours": 3, "extra_others": 2}
    assert names(found, "extra_ours") == ["email:cy@x.com", "userId:u2", "userId:u3"]
    assert names(found, "extra_others") == ["userId:u8", "userId:u9"]
    assert hybrid.run(repair=True).planned == hybrid.changes(delete=3)
    assert hybrid.members() == {"u1", "u8", "u9"}
    assert counts(look(hybrid)) == {"in_step": 1, "extra_others": 2}


def test_hybrid_somebody_who_got_another_identifier_there_is_in_step(hybrid: World) -> None:
    hybrid.put(row(None, "ada"), row("u2", None))
    hybrid.run()
    ask(hybrid, "/api/users/update", {**email("ada"), "dataFields": {"userId": "u1"}})
    ask(hybrid, "/api/users/update", {**user("u2"), "dataFields": email("bob")})
    assert counts(look(hybrid)) == {"in_step": 2}


def test_hybrid_a_doubtful_extra_is_nobody_of_ours(hybrid: World) -> None:
    """Ada is known by e-mail alone, so one of the user ids there is hers, and nobody knows which.

    One of them this sync once added: it is left alone, even though it should be gone.
    """
    hybrid.put(row(None, "ada"), row("u7", None))
    hybrid.run()
    hybrid.put(row(None, "ada"))
    hybrid.run(allow_deletes=True)
    ask(hybrid, "/api/users/update", {**email("ada"), "dataFields": {"userId": "u1"}})
    put_on(hybrid, both("u7", "bob"))
    found = look(hybrid)
    assert counts(found) == {"in_step": 1, "extra_others": 1}
    assert any("1 identifiers that this sync once added" in note for note in found.notes)
    assert hybrid.run(repair=True).planned == hybrid.changes()
    assert hybrid.members() == {"u1", "u7"}


def test_hybrid_a_user_id_that_is_a_current_person_is_never_removed(hybrid: World) -> None:
    """The row changed from a user id to the e-mail of the same profile."""
    hybrid.put(row("u1", "ada"), row("u2", "bob"))
    hybrid.run()
    hybrid.put(row(None, "ada"), row("u2", "bob"))
    hybrid.run()
    found = look(hybrid)
    assert (found.exit_code, found.counts["in_step"]) == (0, 2)
    assert hybrid.run(repair=True).planned == hybrid.changes()
    assert hybrid.members() == {"u1", "u2"}


def test_hybrid_sent_by_identity_alone(hybrid: World) -> None:
    hybrid.destination["hybrid_send"] = "identity"
    hybrid.put(row("u1", "ada"), row(None, "cy"))
    hybrid.run()
    assert counts(look(hybrid)) == {"in_step": 2}
    take_off(hybrid, user("u1"))
    put_on(hybrid, email("ada"))
    found = look(hybrid)
    assert counts(found) == {"in_step": 1, "missing": 1}
    assert names(found, "missing") == ["userId:u1"]


@pytest.mark.parametrize("name", ["userId", "email"])
def test_hybrid_with_one_identifier_mapped(hybrid: World, name: str) -> None:
    column = {"userId": "user_id", "email": "email"}[name]
    hybrid.sync["identifiers"] = {name: column}
    hybrid.put(row("u1", "ada"), row("u2", "bob"))
    hybrid.run()
    put_on(hybrid, user("u8"), email("eve"))
    found = look(hybrid)
    assert counts(found) == {"in_step": 2, "extra_others": 2}
    take_off(hybrid, user("u1") if name == "userId" else email("ada"))
    assert counts(look(hybrid)) == {"in_step": 1, "missing": 1, "extra_others": 2}
    assert hybrid.run(repair=True).planned == hybrid.changes(update=1)


@duckdb_only
def test_a_user_id_project(new_world: Callable[[ProjectType], World]) -> None:
    world = new_world("user_id")
    world.sync["identifiers"] = {"userId": "user_id"}
    world.put(row("u1", None), row("A b", None), row("ada@x.com", None))
    world.run()
    assert counts(look(world)) == {"in_step": 3}
    take_off(world, user("A b"))
    assert names(look(world), "missing") == ["A b"]
    assert world.run(repair=True).planned == world.changes(update=1)


# --- profiles ------------------------------------------------------------------------------


@pytest.fixture
def profiles(world: World) -> World:
    """Return a world whose sync keeps profiles."""
    world.sync["destination"] = {"name": "iterable", "object": "user"}
    world.sync["fields"] = {"plan": "plan", "score": "score"}
    world.checks_members = False
    return world


def write(world: World, name: str, **fields: Any) -> None:
    ask(world, "/api/users/update", {**email(name), "dataFields": fields})


def test_profiles_that_are_as_they_should_be(profiles: World) -> None:
    profiles.put({"email": "ada@x.com", "plan": "gold", "score": 1.5}, {"email": "bob@x.com"})
    profiles.run()
    write(profiles, "ada", theirs="kept")
    found = look(profiles)
    assert (found.audits, found.exit_code) == ("profiles", 0)
    assert counts(found) == {"compared": 2, "in_step": 2}
    assert {sent.path for sent in profiles.sent} == {"/api/users/getByEmail"}


def test_profiles_that_others_changed_are_repaired(profiles: World) -> None:
    people = [{"id": n, "email": f"p{n}@x.com", "plan": "gold", "score": n} for n in range(5)]
    profiles.put(*people)
    profiles.run()
    write(profiles, "p1", plan="stolen")
    write(profiles, "p2", score=None)
    profiles.sandbox.state.delete(email="p3@x.com")
    found = look(profiles)
    assert (counts(found), found.exit_code) == (
        {"compared": 5, "in_step": 2, "missing": 1, "different": 2},
        1,
    )
    assert [(one.identity, one.reason) for one in found.samples["different"]] == [
        ("p1@x.com", 'plan is "stolen", not "gold"'),
        ("p2@x.com", "score is absent, not 2.0"),
    ]
    report = profiles.run(repair=True)
    assert (report.planned, report.retries) == (profiles.changes(update=3), 0)
    assert profiles.fields("p1@x.com")["plan"] == "gold"
    assert counts(look(profiles)) == {"compared": 5, "in_step": 5}
    profiles.quiet()


def test_profiles_with_values_of_every_kind_are_in_step(profiles: World) -> None:
    profiles.sync["source"]["query"] = (
        "select id, email, cast(1.50 as decimal(10, 2)) as paid, date '2026-01-02' as day,"
        " timestamp '2026-01-02 03:04:05.678' as seen, score > 1 as keen, 9007199254740993 as big,"
        """ cast('{"a": {"b": 1, "c": null}, "d": ["x", "y"]}' as json) as extras from people"""
    )
    names = ("paid", "day", "seen", "keen", "big", "extras")
    profiles.sync["fields"] = {
        **{name: name for name in names},
        "home.city": {"value": "Bern"},
        "paid_text": {"column": "paid", "type": "string"},
    }
    profiles.put({"email": "ada@x.com", "score": 2}, {"email": "bob@x.com"})
    assert profiles.run().status == "succeeded"
    assert profiles.fields("ada@x.com")["paid"] == 1.5
    found = look(profiles)
    assert (found.samples["different"], counts(found)) == ([], {"compared": 2, "in_step": 2})


@duckdb_only
@pytest.mark.parametrize("project_type", ["email", "user_id", "hybrid"])
def test_profiles_that_are_found_by_user_id(
    new_world: Callable[[ProjectType], World], project_type: ProjectType
) -> None:
    world = new_world(project_type)
    world.sync["destination"] = {"name": "iterable", "object": "user"}
    world.sync["identifiers"] = {"userId": "user_id"}
    if project_type == "hybrid":
        world.sync["identifiers"] |= {"email": "email"}
    world.checks_members = False
    world.put({**row("u 1", "ada"), "plan": "gold"}, {**row("u2", None), "plan": "basic"})
    world.run()
    assert counts(look(world)) == {"compared": 2, "in_step": 2}
    ask(world, "/api/users/update", {**user("u2"), "dataFields": {"plan": "stolen"}})
    found = look(world)
    assert counts(found) == {"compared": 2, "in_step": 1, "different": 1}
    assert world.run(repair=True).planned == world.changes(update=1)
    assert counts(look(world)) == {"compared": 2, "in_step": 2}


def test_a_sample_of_profiles_is_the_same_every_time(profiles: World) -> None:
    profiles.put(*({"id": n, "email": f"p{n}@x.com", "plan": "gold"} for n in range(12)))
    profiles.run()
    for n in range(12):
        write(profiles, f"p{n}", plan="stolen")
    first, second = look(profiles, sample=5), look(profiles, sample=5)
    assert names(first, "different") == names(second, "different")
    assert first.counts["different"] == len(profiles.sent) == 5
    assert set(names(first, "different")) < set(names(look(profiles, sample=8), "different"))


def test_profiles_whose_state_is_open_are_not_read(profiles: World) -> None:
    profiles.put(
        {"email": "ada@x.com", "plan": "gold"},
        {"email": "bob@x.com", "plan": "gold", "score": float("nan")},
    )
    profiles.run()
    found = look(profiles)
    assert counts(found) == {"compared": 1, "in_step": 1, "open": 1}


@duckdb_only
def test_profiles_after_a_change_of_the_mapping_are_not_compared(profiles: World) -> None:
    profiles.put({"email": "ada@x.com", "plan": "gold"})
    profiles.run()
    profiles.sync["fields"] = {"tier": "plan"}
    with pytest.raises(RunError, match="Run it first") as caught:
        look(profiles)
    assert caught.value.code == "mapping_changed"


@duckdb_only
def test_columns_that_the_warehouse_spells_another_way_are_compared(profiles: World) -> None:
    profiles.sync["source"]["query"] = 'select id, email, plan as "Plan", city from people'
    profiles.sync["fields"] = {"plan": "plan", "city": "city"}
    profiles.put({"email": "ada@x.com", "plan": "gold", "city": "Oslo"})
    profiles.run()
    assert counts(look(profiles)) == {"compared": 1, "in_step": 1}
    write(profiles, "ada", plan="stolen")
    assert names(look(profiles), "different") == ["ada@x.com"]


def test_a_profile_sync_without_anybody(profiles: World) -> None:
    profiles.put()
    profiles.run()
    assert any("nothing to compare" in note for note in look(profiles).notes)


# --- the command ---------------------------------------------------------------------------


@pytest.fixture
def command(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Return what gives a command line to the program: exit code and standard output."""
    monkeypatch.setenv("ITERABLE_API_KEY", world.key)
    monkeypatch.setenv("WAREHOUSE_URL", world.database.url)

    def give(*words: str) -> tuple[int, str]:
        world.database.release()
        config = world.config().path
        code = run([*words, "--config", str(config)])
        said = capsys.readouterr()
        assert world.key not in said.out + said.err
        return code, said.out

    return give


@duckdb_only
def test_the_command_does_not_call_in_step_what_it_could_not_compare(
    world: World, command: Callable[..., tuple[int, str]]
) -> None:
    world.put()
    world.run()
    assert command("audit", SYNC)[1].startswith(f"{SYNC}: nothing to compare\n")


@duckdb_only
def test_the_command_finds_and_repairs(
    world: World, command: Callable[..., tuple[int, str]]
) -> None:
    world.sandbox.seed_list(LIST, ["eve@x.com"])
    world.put_emails("ada", "bob")
    world.run()
    assert command("audit", SYNC)[0] == 0
    take_off(world, email("ada"))
    code, text = command("audit", SYNC)
    assert code == 1
    for part in ("1 wrong against run 1", "1  missing", "ada@x.com", "eve@x.com", "--repair"):
        assert part in text
    code, text = command("audit", SYNC, "--json")
    document = documents.read(["audit"], text)
    assert (code, document["wrong"], document["in_step"]) == (1, 1, False)
    assert document["counts"]["extra_others"] == 1
    assert document["samples"]["missing"] == [{"identity": "ada@x.com", "reason": None}]
    assert (document["format_version"], document["base_run_id"]) == ("1.0", 1)
    code, text = command("audit", SYNC, "--repair", "--json")
    document = documents.read(["audit"], text)
    assert (code, document["status"], document["audit"]["wrong"]) == (0, "succeeded", 1)
    code, text = command("audit", SYNC, "--repair")
    assert (code, "nothing to send" in text) == (0, True)
    assert command("audit", SYNC)[0] == 0


@duckdb_only
def test_the_command_says_what_it_cannot_do(
    world: World, command: Callable[..., tuple[int, str]]
) -> None:
    world.put_emails("ada")
    world.run()
    assert command("audit", SYNC, "--allow-deletes")[0] == 2
    assert command("audit", "vipp")[0] == 2
    world.sandbox.state.lists.clear()
    code, text = command("audit", SYNC, "--json")
    assert (code, documents.read(["audit"], text)["error_code"]) == (1, "unknown_list")
    assert command("audit", SYNC, "--repair")[0] == 1


@duckdb_only
def test_the_help_shows_an_example(command: Callable[..., tuple[int, str]]) -> None:
    code, text = command("audit", "--help")
    assert (code, "reverse-etl audit vip_customers --repair" in text) == (0, True)

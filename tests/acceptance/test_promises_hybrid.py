"""People in a hybrid project, where somebody may have a user id, an e-mail address, or both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.iterable.sandbox import Fault

if TYPE_CHECKING:
    from tests.world import World


def test_identity_is_the_user_id_else_the_address(hybrid: World) -> None:
    """Identity is the userId if the row has a valid one, else the e-mail."""
    hybrid.put(
        {"user_id": "u1", "email": "ada@x.com"},
        {"user_id": None, "email": "bob@x.com"},
        {"user_id": " not valid ", "email": "cy@x.com"},
        {"user_id": "u4", "email": "not an address"},
        {"user_id": None, "email": None},
    )
    report = hybrid.run()
    assert [line[1] for line in hybrid.lines() if line[2] == "succeeded"] == [
        "email:bob@x.com",
        "email:cy@x.com",
        "userId:u1",
        "userId:u4",
    ]
    assert hybrid.members() == {"u1", "bob@x.com", "cy@x.com", "u4"}
    assert (report.invalid, list(hybrid.failed())) == (1, ["row:5"])


def test_a_row_with_a_users_address_alone(hybrid: World) -> None:
    """An e-mail-only row whose e-mail is on a row with a userId is that same person."""
    hybrid.put(
        {"id": 1, "user_id": None, "email": "ada@x.com", "plan": "gold"},
        {"id": 2, "user_id": "u1", "email": "Ada@x.com", "plan": "basic"},
    )
    report = hybrid.run()
    assert (report.planned, report.duplicates) == (hybrid.changes(insert=1), 1)
    assert hybrid.subscribed() == [
        {"userId": "u1", "email": "ada@x.com", "dataFields": {"plan": "gold"}}
    ]
    hybrid.put({"id": 2, "user_id": "u1", "email": "ada@x.com", "plan": "gold"})
    hybrid.quiet()


def test_an_address_that_two_users_claim(hybrid: World) -> None:
    """An e-mail claimed by several userIds goes with the smallest primary key only."""
    hybrid.put(
        {"id": 10, "user_id": "u10", "email": "ada@x.com"},
        {"id": 9, "user_id": "u9", "email": "ada@x.com"},
    )
    report = hybrid.run()
    assert report.status == "succeeded"
    sent = {each["userId"]: each.get("email") for each in hybrid.subscribed()}
    assert sent == {"u9": "ada@x.com", "u10": None}
    assert hybrid.members() == {"u9", "u10"}
    hybrid.quiet()


def test_both_identifiers_are_sent(hybrid: World) -> None:
    """`hybrid_send: both`, the default, sends both identifiers; a new e-mail is an update."""
    hybrid.put({"user_id": "u1", "email": "ada@x.com"})
    hybrid.run()
    hybrid.put({"user_id": "u1", "email": "ada@new.com"})
    assert hybrid.run().planned == hybrid.changes(update=1)
    profile = hybrid.sandbox.state.profile("u1")
    assert profile is not None
    assert (profile.email, hybrid.members()) == ("ada@new.com", {"u1"})


def test_the_identity_alone_is_sent(hybrid: World) -> None:
    """`hybrid_send: identity` sends the identity alone."""
    hybrid.destination["hybrid_send"] = "identity"
    hybrid.sync["fields"] = {}
    hybrid.put({"user_id": "u1", "email": "ada@x.com"}, {"user_id": None, "email": "bob@x.com"})
    hybrid.run()
    assert sorted(map(str, hybrid.subscribed())) == ["{'email': 'bob@x.com'}", "{'userId': 'u1'}"]
    hybrid.put({"user_id": "u1", "email": "ada@new.com"}, {"user_id": None, "email": "bob@x.com"})
    hybrid.quiet()


def test_addresses_wander_when_the_identity_alone_is_sent(hybrid: World) -> None:
    """`hybrid_send: identity`: the invariant is proven even when e-mails wander between people."""
    hybrid.destination["hybrid_send"] = "identity"
    hybrid.put({"user_id": "u1", "email": "a@x.com"}, {"user_id": "u2", "email": "b@x.com"})
    hybrid.run()
    hybrid.put({"user_id": "u1", "email": "b@x.com"}, {"user_id": "u3", "email": "a@x.com"})
    assert hybrid.run().status == "succeeded"
    assert hybrid.members() == {"u1", "u3"}
    hybrid.quiet()


def test_unsubscribe_carries_the_identity_alone(hybrid: World) -> None:
    """Unsubscribe always carries the identity alone."""
    hybrid.put({"user_id": "u1", "email": "ada@x.com"}, {"user_id": None, "email": "bob@x.com"})
    hybrid.run()
    hybrid.put({"user_id": "u3", "email": "cy@x.com"})
    hybrid.run()
    assert sorted(map(str, hybrid.unsubscribed())) == ["{'email': 'bob@x.com'}", "{'userId': 'u1'}"]
    assert hybrid.members() == {"u3"}


# --- residue -----------------------------------------------------------------------------------


def test_kept_while_the_address_is_held(hybrid: World) -> None:
    """A person leaves only when none of their identifiers is held by any current row.

    Until then they are kept as residue and leave in the first run in which none is held.
    """
    stays = {"id": 9, "user_id": "u9", "email": "zoe@x.com"}
    hybrid.put({"id": 1, "user_id": "u1", "email": "ada@x.com"}, stays)
    hybrid.run()
    hybrid.put({"id": 1, "user_id": None, "email": "ada@x.com"}, stays)
    assert hybrid.run().planned == hybrid.changes(insert=1)
    assert hybrid.members() == {"u1", "u9"}
    hybrid.quiet()
    hybrid.put(stays)
    assert hybrid.run().planned == hybrid.changes(delete=2)
    assert hybrid.members() == {"u9"}
    hybrid.quiet()


def test_kept_while_a_row_that_lost_holds_the_address(hybrid: World) -> None:
    """Held by *any* current row: also by one that lost its identity to another."""
    hybrid.put({"id": 1, "user_id": "u1", "email": "ada@x.com"})
    hybrid.run()
    winner = {"id": 1, "user_id": "u2", "email": "bob@x.com"}
    hybrid.put(winner, {"id": 2, "user_id": "u2", "email": "ada@x.com"})
    assert hybrid.run().planned == hybrid.changes(insert=1)
    assert hybrid.members() == {"u1", "u2"}
    hybrid.put(winner)
    assert hybrid.run().planned == hybrid.changes(delete=1)
    assert hybrid.members() == {"u2"}


def test_an_address_becomes_a_user(hybrid: World) -> None:
    """Somebody known by e-mail gets a userId: the same person, who is never taken off."""
    hybrid.put({"id": 1, "user_id": None, "email": "ada@x.com"})
    hybrid.run()
    hybrid.put({"id": 1, "user_id": "u1", "email": "ada@x.com"})
    report = hybrid.run()
    assert (report.planned, hybrid.members()) == (hybrid.changes(insert=1), {"u1"})
    assert hybrid.sandbox.state.counters["left"] == 0
    hybrid.quiet()
    hybrid.put()
    hybrid.run()
    assert hybrid.members() == set()
    hybrid.quiet()


def test_residue_returns_before_it_left(hybrid: World) -> None:
    """Residue that the source names again is a member like any other."""
    hybrid.put({"id": 1, "user_id": "u1", "email": "ada@x.com"})
    hybrid.run()
    hybrid.put({"id": 1, "user_id": None, "email": "ada@x.com"})
    hybrid.run()
    hybrid.put({"id": 1, "user_id": "u1", "email": "ada@x.com"})
    hybrid.run()
    assert hybrid.members() == {"u1"}
    hybrid.quiet()


# --- collisions --------------------------------------------------------------------------------


def test_taking_over_an_address_goes_last(hybrid: World) -> None:
    """Among upserts, those that take an e-mail over from somebody else go last."""
    hybrid.put({"id": 1, "user_id": "u1", "email": "ada@x.com"})
    hybrid.run()
    hybrid.put(
        {"id": 1, "user_id": "u1", "email": "ada@new.com"},
        {"id": 2, "user_id": "u2", "email": "ada@x.com"},
    )
    report = hybrid.run()
    # By operation alone the insert would come first, and be refused.
    assert [each["userId"] for each in hybrid.subscribed()] == ["u1", "u2"]
    assert (report.status, hybrid.members()) == ("succeeded", {"u1", "u2"})


def test_a_collision_is_retried(hybrid: World) -> None:
    """With `both`, such collisions can end in conflicts, which are retryable here."""
    hybrid.put({"user_id": "u1", "email": "a@x.com"}, {"user_id": "u2", "email": "b@x.com"})
    hybrid.run()
    hybrid.put({"user_id": "u1", "email": "b@x.com"}, {"user_id": "u2", "email": "a@x.com"})
    report = hybrid.run()
    assert report.status == "completed_with_failures"
    assert set(hybrid.failures().values()) == {("update", "conflict", True)}
    hybrid.put({"user_id": "u1", "email": "c@x.com"}, {"user_id": "u2", "email": "a@x.com"})
    report = hybrid.run()
    assert (report.status, hybrid.failed()) == ("succeeded", {})
    hybrid.quiet()


def test_a_refused_conflict_is_retried(hybrid: World) -> None:
    """conflict*: permanent `conflict` (retryable in hybrid), also for a delete."""
    hybrid.put({"user_id": "u1", "email": "a@x.com"}, {"user_id": "u2", "email": "b@x.com"})
    hybrid.run()
    hybrid.put({"user_id": "u2", "email": "b@x.com"})
    hybrid.faults = [Fault("refuse", identifiers=("u1",), bucket="conflict")]
    hybrid.run()
    assert hybrid.failures() == {"userId:u1": ("delete", "conflict", True)}
    hybrid.faults = []
    report = hybrid.run()
    assert (report.planned, report.retries) == (hybrid.changes(delete=1), 1)
    assert hybrid.members() == {"u2"}

"""The sentences of the contract that matter, each with the smallest history that shows it.

Each test plays its history, checks every promise, and asserts the fact that the sentence is
about; then it does the same on an engine that breaks the sentence, and must fail there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any

import pytest

from reverse_etl.connector import Operation
from reverse_etl.errors import ReverseEtlError
from reverse_etl.testing.histories import Fault, History, Meanwhile, Round
from reverse_etl.testing.place import WINDOW
from reverse_etl.testing.planted import BUGS
from reverse_etl.testing.promises import PlayedRun
from reverse_etl.testing.scenarios import (
    ADA,
    BOB,
    CYD,
    DAN,
    EVA,
    SIX,
    THREE,
    Watch,
    Watched,
    always,
    dies_after,
    emails,
    hybrid,
    profiles,
    row,
)
from reverse_etl.testing.simulation import Played, Player

# The first request of a sync asks for its list; the changes begin with the second.
FIRST = 2

# The steps until the answer about the list is kept.
ASKED = ("after deliver: request", "wait", "before deliver: commit")

# With this seed the first request of round 2 takes a second, the next a tenth.
SLOW_FIRST = 4

ADA_2 = replace(ADA, plan=2)
KNOWN = {bug.name: bug for bug in BUGS}


@pytest.fixture(scope="module")
def duckdb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    file = tmp_path_factory.mktemp("sentences") / "w.duckdb"
    with Watched(f"duckdb:///{file}") as place:
        yield place


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Iterator[Watched]:
    if getattr(request, "param", "duckdb") == "duckdb":
        yield request.getfixturevalue("duckdb")
        return
    with Watched(request.getfixturevalue("postgres_url")) as here:
        yield here


# Where the engines differ in the statements that the sentence is about.
on_both = pytest.mark.parametrize("place", ["duckdb", "postgresql"], indirect=True)
on_postgresql = pytest.mark.parametrize("place", ["postgresql"], indirect=True)

Sentence = Callable[[Watched], None]


def about(*bugs: str) -> Callable[[Sentence], Sentence]:
    """The test must fail with each of these bugs in the engine, and only then."""

    def decorate(test: Sentence) -> Sentence:
        @wraps(test)
        def both(place: Watched) -> None:
            test(place)
            for bug in bugs:
                with KNOWN[bug].planted(), pytest.raises((AssertionError, ReverseEtlError)):
                    test(place)

        return both

    return decorate


# --- playing -------------------------------------------------------------------------------


@dataclass
class Told:
    """What happened in the rounds of a history, the two clean runs after it among them.

    Attributes:
        runs: What each sent and reported.
        failed: ``failed_records`` after each, by identity.
        log: ``sync_log`` in the end.
    """

    runs: list[PlayedRun] = field(default_factory=list)
    failed: list[Mapping[str, Any]] = field(default_factory=list)
    log: list[Any] = field(default_factory=list)

    def planned(self, number: int) -> tuple[int, int, int]:
        """Inserts, updates and deletes that a round planned."""
        report = self.runs[number - 1].report
        assert report is not None
        insert, update, delete = (report.planned.get(each, 0) for each in Operation)
        return insert, update, delete

    def status(self, number: int) -> str:
        """How a round ended."""
        report = self.runs[number - 1].report
        return report.status if report else "killed"

    def codes(self, number: int) -> dict[str, str]:
        """Who is in the failed records after a round, and why."""
        return {who: f"{r.operation} {r.error_code}" for who, r in self.failed[number - 1].items()}

    def people(self, number: int) -> list[tuple[str | None, str | None]]:
        """E-mail and user id of everybody whom a round sent, in order."""
        sent = [person for request in self.runs[number - 1].sent for person in request.people]
        return [(person.get("email"), person.get("userId")) for person in sent]


def tell(history: History, place: Watched, *, last: Watch | None = None) -> Told:
    """Play a history, and two clean runs; check every promise; return what happened.

    Args:
        history: What is played.
        place: Where.
        last: Watches the steps of the last round, and may kill it.
    """
    place.empty()
    player, told = Player(history, place, Played()), Told()

    def listen(played: Round) -> None:
        told.runs.append(player.play(played))
        with player.looking() as books:
            told.failed.append(books.failed() if books.ready() else {})

    for each in history.rounds[:-1]:
        listen(each)
    place.watch = last
    listen(history.rounds[-1])
    calm = history.rounds[-1].calm()
    listen(calm)
    with player.looking() as books:
        player.witness.check_converged(books, calm, told.runs[-1])
    listen(calm)
    with player.looking() as books:
        player.witness.check_quiet(books, told.runs[-1])
        told.log = books.log()
    return told


# --- people, not rows ----------------------------------------------------------------------


@about("rows are compared instead of people")
def test_two_rows_with_one_address_and_one_leaves_is_nothing_to_send(place: Watched) -> None:
    shared = (ADA, row(2, " A@x.test"), CYD)
    told = tell(emails(Round(shared), Round((row(2, " A@x.test"), CYD))), place)
    assert told.planned(1) == (2, 0, 0)
    assert told.planned(2) == (0, 0, 0)


@about("an e-mail goes with everybody who claims it")
def test_an_email_that_two_users_claim_goes_with_the_smaller_key(place: Watched) -> None:
    told = tell(hybrid(Round((row(1, "a@x.test", "u1"), row(2, "a@x.test", "u2")))), place)
    assert set(told.people(1)) == {("a@x.test", "u1"), (None, "u2")}
    assert told.codes(1) == {}


@on_both
@about("an e-mail alone is another person", "a person leaves while a row holds their e-mail")
def test_an_email_that_a_user_absorbs_stays_while_a_row_holds_it(place: Watched) -> None:
    alone = row(2, "a@x.test")
    history = hybrid(
        Round((alone,)),
        Round((alone, ADA), faults=(Fault(1, 1, "lost_before"),)),
        Round((alone, ADA)),
    )
    told = tell(history, place)
    assert told.planned(2) == (1, 0, 0)


@on_both
@about("residue is forgotten")
def test_who_is_held_by_another_row_leaves_when_that_row_leaves(place: Watched) -> None:
    told = tell(hybrid(Round((ADA,)), Round((row(2, "a@x.test"),)), Round((BOB,))), place)
    assert told.planned(2) == (1, 0, 0)
    assert told.planned(3) == (1, 0, 2)
    assert {("a@x.test", None), (None, "u1")} <= set(told.people(3))


@on_both
@about("former e-mails are forgotten")
def test_an_email_whose_loss_is_unconfirmed_still_holds_its_person(place: Watched) -> None:
    history = hybrid(
        Round((ADA,)),
        Round((row(1, "b@x.test", "u1"), row(2, "a@x.test")), faults=(Fault(1, 1, "lost_before"),)),
        Round((row(2, "a@x.test"),)),
    )
    told = tell(history, place)
    assert told.planned(3)[2] == 0


@about("an e-mail is taken over before it is free")
def test_a_row_that_splits_gives_its_email_away_first(place: Watched) -> None:
    split = (row(1, "b@x.test", "u1"), row(2, "a@x.test"))
    told = tell(hybrid(Round((ADA,)), Round(split)), place)
    assert told.people(2) == [("b@x.test", "u1"), ("a@x.test", None)]


@on_both
@about("an e-mail is taken over before it is free")
def test_in_a_chain_of_emails_the_free_one_is_given_first(place: Watched) -> None:
    chain = (row(1, "b@x.test", "u1"), row(2, "c@x.test", "u2"))
    told = tell(hybrid(Round((ADA, BOB)), Round(chain)), place)
    assert told.people(2)[-1] == ("b@x.test", "u1")


@pytest.mark.parametrize("identity_alone", [True, False])
def test_swapped_emails_end_in_step_or_named(place: Watched, *, identity_alone: bool) -> None:
    swapped = (row(1, "b@x.test", "u1"), row(2, "a@x.test", "u2"))
    history = hybrid(Round((ADA, BOB)), Round(swapped), identity_alone=identity_alone)
    told = tell(history, place)
    assert set(told.codes(2).values()) == (set() if identity_alone else {"update conflict"})


# --- the plan ------------------------------------------------------------------------------


@on_both
@about("an interrupted plan is forgotten")
def test_the_rest_of_a_run_that_ended_with_401_is_not_forgotten(place: Watched) -> None:
    history = emails(
        Round(SIX, faults=always("unauthorized", FIRST + 1)),
        Round((ADA, BOB, EVA)),
        Round((ADA, EVA)),
    )
    told = tell(history, place)
    assert told.status(1) == "failed"
    assert told.codes(1) == {}
    assert ("e@x.test", None) in told.people(2)


@on_both
@about("an interrupted plan is forgotten")
def test_what_an_interrupted_run_left_outlives_a_held_one(place: Watched) -> None:
    history = emails(Round(SIX, stop_after=FIRST), Round((ADA,), max_delete_percent=50), Round(SIX))
    told = tell(history, place)
    assert [told.status(1), told.status(2)] == ["interrupted", "held"]
    assert told.planned(3) == (4, 0, 0)


@on_both
@about("what failed is sent with its old values")
def test_what_failed_is_planned_again_with_the_values_of_today(place: Watched) -> None:
    told = tell(emails(Round((ADA,), faults=always("lost_before", FIRST)), Round((ADA_2,))), place)
    assert told.codes(1) == {"a@x.test": "insert unknown"}
    assert told.planned(2) == (1, 0, 0)
    assert told.runs[1].sent[0].people[0]["dataFields"] == {"plan": 2}


@on_both
@about("an empty plan is dropped")
def test_an_empty_plan_becomes_the_base(place: Watched) -> None:
    told = tell(emails(Round((ADA,)), Round((ADA, row(2, "nope")))), place)
    assert told.planned(2) == (0, 0, 0)
    assert told.codes(2) == {"row:2": "insert invalid_identifier"}


@on_both
@about("an empty plan is dropped")
def test_a_refused_person_who_leaves_and_returns_is_tried_again(place: Watched) -> None:
    refused = always("bucket_invalidData", FIRST)
    history = emails(
        Round((ADA,), mode="upsert", faults=refused),
        Round((), mode="upsert"),
        Round((ADA,), mode="upsert"),
    )
    told = tell(history, place)
    assert told.codes(1) == {"a@x.test": "insert rejected"}
    assert told.planned(2) == (0, 0, 0)
    assert told.codes(2) == {}
    assert told.planned(3) == (1, 0, 0)


@on_both
@about("an unknown delete is dropped")
def test_a_delete_without_an_answer_is_planned_again(place: Watched) -> None:
    told = tell(emails(Round(THREE), Round((ADA,), faults=always("lost_before"))), place)
    assert told.codes(2) == {"b@x.test": "delete unknown", "c@x.test": "delete unknown"}
    assert told.planned(3) == (0, 0, 2)


@on_both
@about("a full run forgets what was left open")
def test_a_full_run_plans_refused_deletes_too(place: Watched) -> None:
    history = emails(
        Round(THREE),
        Round((ADA,), faults=always("bucket_invalidData")),
        Round((ADA,)),
        Round((ADA,), full=True),
    )
    told = tell(history, place)
    assert set(told.codes(2).values()) == {"delete rejected"}
    assert told.planned(3) == (0, 0, 0)
    assert told.planned(4) == (0, 1, 1)


@on_both
@about("who left in upsert mode is forgotten")
def test_who_left_in_upsert_mode_leaves_in_mirror_mode(place: Watched) -> None:
    history = emails(
        Round(THREE, mode="upsert"), Round((ADA,), mode="upsert"), Round((ADA,), mode="mirror")
    )
    told = tell(history, place)
    assert told.planned(2) == (0, 0, 0)
    assert told.planned(3) == (0, 0, 2)


@on_both
@about("fields left open are forgotten", "the fields of a failed change are not kept")
def test_fields_of_a_mapping_before_are_cleared_too(place: Watched) -> None:
    lost = always("lost_after")
    history = profiles(
        Round((ADA,), mapping="both", faults=lost),
        Round((ADA,), mapping="renamed", faults=lost),
        Round((), mapping="none"),
    )
    told = tell(history, place)
    (person,) = told.runs[2].sent[0].people
    assert person["dataFields"] == dict.fromkeys(("plan", "tier", "level"))


# --- the brake -----------------------------------------------------------------------------


@about("the brake counts no deletes")
def test_a_run_that_would_remove_most_people_is_held(place: Watched) -> None:
    told = tell(emails(Round(SIX), Round((ADA,), max_delete_percent=50)), place)
    assert told.status(2) == "held"


@about("the brake counts carried deletes")
def test_deletes_that_passed_the_brake_do_not_count_again(place: Watched) -> None:
    history = emails(
        Round(SIX),
        Round((ADA,), max_delete_percent=50, allow_deletes=True, faults=always("lost_before")),
        Round((ADA,), max_delete_percent=50),
    )
    told = tell(history, place)
    assert told.status(3) == "succeeded"
    assert told.planned(3) == (0, 0, 5)


@about("failed records are cleared before the commit point")
def test_a_held_run_leaves_the_failed_records_as_they_are(place: Watched) -> None:
    history = emails(
        Round(SIX, faults=(Fault(FIRST, 1, "bucket_notFound"),)),
        Round((), max_delete_percent=50),
    )
    told = tell(history, place)
    assert told.status(2) == "held"
    assert told.codes(2) == told.codes(1)
    assert set(told.codes(1).values()) == {"insert not_found"}


# --- delivery ------------------------------------------------------------------------------


@about("deletes do not go first")
def test_deletes_are_settled_before_the_first_upsert(place: Watched) -> None:
    told = tell(emails(Round(THREE), Round((ADA_2, DAN))), place)
    kinds = [request.is_delete for request in told.runs[1].sent]
    assert kinds == sorted(kinds, reverse=True)


@about("HTTP 200 is success")
def test_an_answer_that_cannot_be_read_is_unknown(place: Watched) -> None:
    told = tell(emails(Round((ADA,), faults=always("garbage_before", FIRST))), place)
    assert told.codes(1) == {"a@x.test": "insert unknown"}


@about("a later answer clears doubt")
def test_what_may_have_been_applied_stays_unknown(place: Watched) -> None:
    faults = (Fault(FIRST, 1, "lost_after"), Fault(FIRST + 1, 99, "error_before"))
    told = tell(emails(Round((ADA,), retry_seconds=3, faults=faults)), place)
    assert told.codes(1) == {"a@x.test": "insert unknown"}


@about("sent before it is committed")
def test_the_plan_is_the_last_one_before_its_first_request(place: Watched) -> None:
    history = emails(Round((ADA,)), Round((ADA, BOB)))
    told = tell(history, place, last=dies_after("after deliver: request"))
    assert told.planned(3) == (1, 0, 0)
    assert {line.identity for line in told.log if line.sync_run_id == 2} == {"b@x.test"}


@about("the position is confirmed before the failures")
def test_failures_are_written_before_the_position(place: Watched) -> None:
    history = emails(Round(SIX, faults=(Fault(FIRST, 1, "bucket_notFound"),)))
    told = tell(
        history,
        place,
        last=dies_after(*ASKED, "after deliver: request", "wait", "before deliver: commit"),
    )
    assert set(told.codes(2)) <= {each.email for each in SIX}
    failed = [line for line in told.log if line.error_code == "not_found"]
    assert failed


@about("acknowledged before it is answered")
def test_a_change_is_settled_by_its_answer(place: Watched) -> None:
    history = emails(Round(SIX, faults=always("lost_before", FIRST)))
    told = tell(
        history, place, last=dies_after(*ASKED, "after deliver: request", "before deliver: commit")
    )
    assert told.status(1) == "killed"


@about("the position has gaps")
def test_a_position_confirms_all_that_lies_below_it(place: Watched) -> None:
    # An insert and the updates after it are on the wire together.
    changed = (ADA, replace(BOB, plan=2), replace(CYD, plan=2))
    rounds = Round((BOB, CYD)), Round(changed, faults=(Fault(1, 1, "lost_before"),))
    history = replace(emails(*rounds), seed=SLOW_FIRST)
    told = tell(history, place, last=dies_after("after deliver: request", ": commit"))
    assert told.status(2) == "killed"
    assert told.codes(3) == {}


@about("sending goes beyond the limit")
def test_nothing_is_sent_beyond_the_limit(place: Watched) -> None:
    told = tell(
        emails(Round(SIX)), place, last=dies_after(*ASKED, "after deliver: request", "wait", "wait")
    )
    assert len(told.people(1)) <= WINDOW


@on_postgresql
@about("the lease is not checked before a request")
def test_no_request_goes_out_under_a_lease_that_was_lost(place: Watched) -> None:
    """The process sleeps while its request is on the wire; meanwhile another takes the lease."""
    asleep = Meanwhile(at="after deliver: request#2", pause=600, rival=Round((ADA, BOB)))
    faults = always("error_before", FIRST)
    history = emails(Round((ADA,), retry_seconds=900, faults=faults, meanwhile=(asleep,)))
    told = tell(history, place)
    report = told.runs[0].report
    assert report is not None
    assert report.error_code == "lease_lost"
    assert len(told.runs[0].sent) == FIRST


# --- recovery and settling -----------------------------------------------------------------


@about("what was in flight at a kill is not logged", "a killed run is not settled")
def test_a_change_that_was_in_flight_at_a_kill_has_its_log_line(place: Watched) -> None:
    told = tell(emails(Round((ADA,))), place, last=dies_after(*ASKED, "after deliver: request"))
    (line,) = (line for line in told.log if line.sync_run_id == 1)
    assert (line.identity, line.status, line.error_code) == ("a@x.test", "failed", "unknown")


@about("failed records that wait are cleared")
def test_a_permanent_failure_stays_named_while_it_waits(place: Watched) -> None:
    refused = always("bucket_invalidData", FIRST)
    told = tell(emails(Round((ADA,), faults=refused), Round((ADA, BOB))), place)
    assert told.planned(2) == (1, 0, 0)
    assert told.codes(2) == {"a@x.test": "insert rejected"}


@about("who was asked for waits")
def test_a_permanent_failure_is_tried_again_when_somebody_asks(place: Watched) -> None:
    refused = always("bucket_invalidData", FIRST)
    asked = Round((ADA,), asks_again=True)
    told = tell(emails(Round((ADA,), faults=refused), Round((ADA,)), asked), place)
    assert [told.planned(n) for n in (2, 3)] == [(0, 0, 0), (1, 0, 0)]
    assert told.codes(3) == {}


@about("retention drops the last plan")
def test_retention_keeps_what_the_next_run_needs(place: Watched) -> None:
    rounds = (Round((replace(ADA, plan=n % 2),), snapshots_to_keep=1) for n in range(3))
    told = tell(emails(*rounds), place)
    assert [told.planned(n) for n in (2, 3)] == [(0, 1, 0)] * 2

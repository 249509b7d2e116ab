"""What becomes of a change, by the answer it gets: one test for each row of the table.

What an answer means does not depend on the warehouse, so most of these run on DuckDB alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from connectors.iterable.sandbox import Fault

if TYPE_CHECKING:
    from tests.world import World

SUBSCRIBE = "/api/lists/subscribe"
UNSUBSCRIBE = "/api/lists/unsubscribe"

duckdb_only = pytest.mark.parametrize("database", ["duckdb"], indirect=True)

# Bucket of `failedUpdates` to error code and whether it is retryable, for insert and update.
REFUSED = {
    "notFound": ("not_found", True),
    "forgotten": ("forgotten", False),
    "invalid": ("invalid_identifier", False),
    "invalidData": ("rejected", False),
    "conflict": ("conflict", False),
}
NAMES = {bucket: f"{bucket.lower()}@x.com" for bucket in REFUSED}

# Answers after which nobody knows: what goes wrong, and whether the API applied the request.
DOUBTFUL = {
    "hang_before": False,
    "hang_after": True,
    "reset_before": False,
    "reset_after": True,
    "truncate": True,
    "bad_json": True,
    "miscount": True,
}

FATAL = {
    "unauthorized": Fault("status", match=SUBSCRIBE, status=401),
    "forbidden": Fault("status", match=SUBSCRIBE, status=403),
    "unknown_list": Fault("invalid_list", match=SUBSCRIBE),
    "not_found_page": Fault("status", match=SUBSCRIBE, status=404, form="html"),
    "field_limit": Fault("status", match=SUBSCRIBE, status=400, code="UniqueFieldsLimitExceeded"),
}


def refuse(*buckets: str) -> list[Fault]:
    """Return faults that refuse one person for each bucket."""
    return [Fault("refuse", identifiers=(NAMES[bucket],), bucket=bucket) for bucket in buckets]


def put_all(world: World, plan: str = "gold") -> None:
    """Let the source hold Ada and one person for each bucket."""
    rows = [
        {"email": "ada@x.com", "plan": plan},
        *({"email": x, "plan": plan} for x in NAMES.values()),
    ]
    world.put(*rows)


# --- the API names who failed ------------------------------------------------------------------


def test_refused_inserts(world: World) -> None:
    """notFound is retryable, the others permanent; HTTP 200 is not success."""
    world.faults = refuse(*REFUSED)
    put_all(world)
    report = world.run()
    assert (report.status, report.exit_code) == ("completed_with_failures", 3)
    assert (report.planned, report.failed) == (world.changes(insert=6), world.changes(insert=5))
    expected = {NAMES[bucket]: ("insert", *what) for bucket, what in REFUSED.items()}
    assert world.failures() == expected
    assert world.members() == {"ada@x.com"}
    assert all(line["attempts"] == 1 for line in world.log())


@duckdb_only
def test_refused_updates(world: World) -> None:
    """The same holds for an update; who is refused keeps the old values."""
    put_all(world)
    world.run()
    world.faults = refuse(*REFUSED)
    put_all(world, "basic")
    assert world.run().failed == world.changes(update=5)
    expected = {NAMES[bucket]: ("update", *what) for bucket, what in REFUSED.items()}
    assert world.failures() == expected
    assert world.fields("ada@x.com") == {"plan": "basic"}
    assert world.fields(NAMES["conflict"]) == {"plan": "gold"}


@duckdb_only
def test_refused_deletes(world: World) -> None:
    """Unknown, forgotten, malformed: succeeded. A refused value, a conflict: permanent."""
    put_all(world)
    world.run()
    # The sandbox says so of people who are members all the same.
    world.checks_members = False
    world.faults = refuse(*REFUSED)
    world.put({"email": "ada@x.com", "plan": "gold"})
    report = world.run()
    assert report.succeeded == world.changes(delete=3)
    assert world.failures() == {
        NAMES["invalidData"]: ("delete", "rejected", False),
        NAMES["conflict"]: ("delete", "conflict", False),
    }
    world.quiet()


@duckdb_only
def test_permanent_failures_wait(world: World) -> None:
    """Permanent failures wait until the row's values change, or `--full`; retryable ones do not."""
    world.faults = refuse(*REFUSED)
    put_all(world)
    world.run()
    world.faults = []
    report = world.run()
    assert (report.planned, report.retries) == (world.changes(insert=1), 1)
    world.quiet()
    rows = [{"email": email, "plan": "gold"} for email in ("ada@x.com", *NAMES.values())]
    world.put(*rows[:-1], rows[-1] | {"plan": "basic"})
    report = world.run()
    assert (report.planned, report.status) == (world.changes(insert=1), "succeeded")
    report = world.run(full=True)
    assert report.planned == world.changes(insert=3, update=3)
    assert (world.failed(), len(world.members())) == ({}, 6)


@duckdb_only
def test_retry_off(world: World) -> None:
    """With `retry_failed_records: false` refused changes wait the same way."""
    world.sync["retry_failed_records"] = False
    world.faults = refuse("notFound")
    put_all(world)
    world.run()
    world.faults = []
    world.quiet()
    assert world.failures() == {NAMES["notFound"]: ("insert", "not_found", True)}


@duckdb_only
def test_old_failures_do_not_fail_a_run(world: World) -> None:
    """Old failures that were not tried again do not count, `failed_records_open` shows them."""
    world.faults = refuse("invalidData")
    put_all(world)
    world.run()
    world.put(*[{"email": email, "plan": "gold"} for email in NAMES.values()])
    report = world.run()
    assert (report.status, report.exit_code, report.failed_records_open) == ("succeeded", 0, 1)


# --- what cannot be sent -----------------------------------------------------------------------


@duckdb_only
def test_identifiers_and_values_that_cannot_be_sent(world: World) -> None:
    """`invalid_identifier`, `invalid_value`: permanent; a delete succeeds without a request."""
    world.sync["fields"] = {"score": "score"}
    world.put(
        {"email": "ada@x.com", "score": 1.5},
        {"email": "two..dots@x.com", "score": 1.5},
        {"email": "nan@x.com", "score": float("nan")},
    )
    report = world.run()
    assert report.failed == world.changes(insert=2)
    assert world.failures() == {
        "two..dots@x.com": ("insert", "invalid_identifier", False),
        "nan@x.com": ("insert", "invalid_value", False),
    }
    assert [each["email"] for each in world.subscribed()] == ["ada@x.com"]
    assert {line["identity"]: line["attempts"] for line in world.log()} == {
        "ada@x.com": 1,
        "two..dots@x.com": 0,
        "nan@x.com": 0,
    }
    world.quiet()
    world.put({"email": "ada@x.com", "score": 1.5})
    assert world.run().succeeded == world.changes(delete=2)
    assert [each["email"] for each in world.unsubscribed()] == ["nan@x.com"]
    assert world.failed() == {}


# --- a whole request is refused ----------------------------------------------------------------


@duckdb_only
@pytest.mark.parametrize("action", ["reject_index", "reject_batch_with"])
def test_one_bad_row_never_costs_the_others(world: World, action: Any) -> None:
    """A refused batch is narrowed by the index the API names, else by bisection."""
    names = [f"p{n}" for n in range(9)]
    world.put_emails(*names)
    world.faults = [Fault(action, match=SUBSCRIBE, identifiers=("p3@x.com", "p7@x.com"))]
    report = world.run()
    assert report.failed == world.changes(insert=2)
    assert set(world.failures().values()) == {("insert", "rejected", False)}
    assert set(world.failed()) == {"p3@x.com", "p7@x.com"}
    assert len(world.members()) == 7
    world.faults = [Fault(action, match=UNSUBSCRIBE, identifiers=("p1@x.com",))]
    world.put_emails("p0")
    world.run()
    assert world.failures() == {"p1@x.com": ("delete", "rejected", False)}
    assert world.members() == {"p0@x.com", "p1@x.com"}


@duckdb_only
def test_a_request_that_is_always_refused(world: World) -> None:
    """A 4xx that remains after narrowing: permanent `rejected`."""
    world.put_emails("ada", "bob", "cy")
    world.faults = [Fault("status", match=SUBSCRIBE, status=422)]
    assert world.run().failed == world.changes(insert=3)
    assert set(world.failures().values()) == {("insert", "rejected", False)}


# --- no trustworthy answer ---------------------------------------------------------------------


@duckdb_only
@pytest.mark.parametrize(("action", "applied"), DOUBTFUL.items(), ids=DOUBTFUL)
def test_no_trustworthy_answer(world: World, action: Any, *, applied: bool) -> None:
    """No answer, time-out, unreadable, counts that do not add up: retryable `unknown`."""
    world.destination |= {"retry_seconds": 0, "request_timeout_seconds": 0.3}
    # Always planned again, whatever the setting.
    world.sync["retry_failed_records"] = False
    world.put_emails("ada", "bob")
    world.faults = [Fault(action, match=SUBSCRIBE, seconds=30)]
    report = world.run()
    assert (report.status, report.failed) == ("completed_with_failures", world.changes(insert=2))
    assert set(world.failures().values()) == {("insert", "unknown", True)}
    assert len(world.members()) == (2 if applied else 0)
    world.faults = []
    report = world.run()
    assert (report.planned, report.retries) == (world.changes(insert=2), 2)
    assert (world.failed(), len(world.members())) == ({}, 2)


@duckdb_only
def test_a_delete_without_an_answer(world: World) -> None:
    """The same for a delete."""
    world.destination["retry_seconds"] = 0
    world.put_emails("ada", "bob")
    world.run()
    world.put_emails("ada")
    world.faults = [Fault("bad_json", match=UNSUBSCRIBE)]
    world.run()
    assert world.failures() == {"bob@x.com": ("delete", "unknown", True)}


@duckdb_only
def test_counts_that_do_not_add_up(world: World) -> None:
    """Failures that do not add up are unknown for the unnamed rows; the named keep their own."""
    world.put_emails("ada", "bob", "cy")
    world.faults = [
        Fault("refuse", match=SUBSCRIBE, identifiers=("bob@x.com",), bucket="forgotten"),
        Fault("miscount", match=SUBSCRIBE),
    ]
    world.run()
    assert world.failures() == {
        "ada@x.com": ("insert", "unknown", True),
        "bob@x.com": ("insert", "forgotten", False),
        "cy@x.com": ("insert", "unknown", True),
    }


@duckdb_only
def test_the_same_request_again(world: World) -> None:
    """A request without an answer is sent again within `retry_seconds`."""
    world.put_emails("ada")
    world.faults = [Fault("reset_after", match=SUBSCRIBE, times=2)]
    report = world.run()
    assert (report.status, report.requests) == ("succeeded", 6)
    assert [line["attempts"] for line in world.log()] == [3]


# --- later -------------------------------------------------------------------------------------


@duckdb_only
@pytest.mark.parametrize("retry_after", [None, 20])
def test_too_many_requests(world: World, retry_after: float | None) -> None:
    """429 is waited for, at least as long as the API asks."""
    world.put_emails("ada")
    world.faults = [Fault("rate_limit", match=SUBSCRIBE, times=2, retry_after=retry_after)]
    before = world.clock.skipped
    assert world.run().status == "succeeded"
    assert [line["attempts"] for line in world.log()] == [3]
    assert world.clock.skipped - before > 2 * (retry_after or 0) - 1


@duckdb_only
@pytest.mark.parametrize("status", [429, 500, 503])
def test_unavailable_to_the_end(world: World, status: int) -> None:
    """429, 5xx until `retry_seconds` are over: retryable `unavailable`."""
    world.put_emails("ada", "bob")
    world.faults = [Fault("status", match=SUBSCRIBE, status=status, form="text")]
    before = world.clock.skipped
    report = world.run()
    assert (report.status, report.failed) == ("completed_with_failures", world.changes(insert=2))
    assert set(world.failures().values()) == {("insert", "unavailable", True)}
    assert 50 < world.clock.skipped - before < 70
    world.faults = []
    assert world.run().succeeded == world.changes(insert=2)


@duckdb_only
def test_many_batches_told_to_wait(world: World) -> None:
    """429 is an answer: three batches that end with it do not end the run."""
    world.one_by_one()
    world.put_emails("ada", "bob", "cy", "dora")
    world.faults = [Fault("rate_limit", match=SUBSCRIBE)]
    assert world.run().failed == world.changes(insert=4)


@duckdb_only
def test_a_list_that_was_just_made(world: World) -> None:
    """A list made a moment ago may be unknown for a while."""
    world.put_emails("ada")
    world.faults = [Fault("invalid_list", match=SUBSCRIBE, times=3)]
    assert world.run().status == "succeeded"
    assert world.members() == {"ada@x.com"}


# --- the run stops -----------------------------------------------------------------------------


@duckdb_only
@pytest.mark.parametrize("code", FATAL)
def test_the_run_stops(world: World, code: str) -> None:
    """401, 403, unknown list, field limit, 404 page: the run stops, nobody is marked failed."""
    world.sandbox.seed_list("VIP customers")
    world.one_by_one()
    world.put_emails("ada", "bob", "cy")
    world.faults = [Fault("latency", match=SUBSCRIBE, times=1), FATAL[code]]
    report = world.run()
    assert (report.status, report.exit_code) == ("failed", 1)
    wanted = "unauthorized" if code == "forbidden" else code
    assert (report.error_code, report.failed, world.failed()) == (wanted, world.changes(), {})
    assert world.lines() == []
    assert len(world.subscribed()) == 1
    world.faults = []
    assert world.run().succeeded == world.changes(insert=3)
    assert len(world.members()) == 3


@duckdb_only
def test_the_run_stops_half_way(world: World) -> None:
    """The batch counts as not tried; what was confirmed before it is settled."""
    world.one_by_one()
    world.put_emails("ada", "bob", "cy")
    world.faults = [Fault("status", match=SUBSCRIBE, status=401, after=1)]
    report = world.run()
    assert (report.succeeded, report.failed) == (world.changes(insert=1), world.changes())
    assert len(world.lines()) == len(world.members()) == 1
    world.faults = []
    report = world.run()
    assert (report.planned, report.retries) == (world.changes(insert=2), 2)
    world.quiet()


@duckdb_only
def test_in_flight_beside_a_batch_that_stops_the_run(world: World) -> None:
    """Those in flight beside it are settled."""
    world.destination |= {"records_per_request": 1, "max_in_flight": 2}
    world.put_emails("ada", "bob", "cy", "dora")
    world.faults = [
        Fault("status", match=SUBSCRIBE, status=401, times=1),
        Fault("latency", match=SUBSCRIBE, seconds=0.3),
    ]
    report = world.run()
    assert (report.status, len(world.subscribed())) == ("failed", 2)
    assert report.succeeded == world.changes(insert=1)
    assert {line[1] for line in world.lines()} == world.members()
    world.faults = []
    assert world.run().planned == world.changes(insert=3)
    assert len(world.members()) == 4
    world.quiet()


@duckdb_only
def test_stopped_before_the_list_is_known(world: World) -> None:
    """A key that is refused at once: the run is failed, and all of it stays planned."""
    world.key = "wrong-key"
    world.put_emails("ada")
    report = world.run()
    assert (report.status, report.error_code) == ("failed", "unauthorized")
    assert report.error is not None
    assert "wrong-key" not in report.error
    world.key = "sandbox-key"
    assert world.run().succeeded == world.changes(insert=1)


@duckdb_only
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault("status", match=SUBSCRIBE, status=502, form="html"), "unavailable"),
        (Fault("reset_before", match=SUBSCRIBE), "unknown"),
    ],
    ids=["5xx", "no answer"],
)
def test_three_batches_in_a_row(world: World, fault: Fault, code: str) -> None:
    """Three batches without any answer or with 5xx: `destination_unavailable`, rest planned."""
    world.one_by_one()
    world.destination["retry_seconds"] = 0
    world.put_emails("a", "b", "c", "d", "e")
    world.faults = [fault]
    report = world.run()
    assert (report.status, report.exit_code) == ("failed", 1)
    assert report.error_code == "destination_unavailable"
    assert (len(world.subscribed()), report.failed) == (3, world.changes(insert=3))
    assert set(world.failures().values()) == {("insert", code, True)}
    world.faults = []
    report = world.run()
    assert (report.planned, report.retries) == (world.changes(insert=5), 5)
    assert (len(world.members()), world.failed()) == (5, {})


@duckdb_only
def test_two_batches_in_a_row(world: World) -> None:
    """Two do not end the run, nor do more that are not in a row."""
    world.one_by_one()
    world.destination["retry_seconds"] = 0
    world.put_emails("a", "b", "c", "d", "e")
    world.faults = [
        Fault("status", match=SUBSCRIBE, status=500, times=2),
        Fault("status", match=SUBSCRIBE, status=500, times=2, after=1),
    ]
    report = world.run()
    assert report.status == "completed_with_failures"
    assert (report.succeeded, report.failed) == (world.changes(insert=1), world.changes(insert=4))

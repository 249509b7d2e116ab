"""The way of one change, as docs/architecture.md tells it, with a death at each of its steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.world import World

ADA = "ada@example.com"
SNAPSHOT = frozenset({"snapshot_vip_2"})
PLAN = SNAPSHOT | {"refused_vip_2", "changes_vip_2", "outcomes_vip_2"}

pytestmark = pytest.mark.parametrize("database", ["duckdb"], indirect=True)


@dataclass(frozen=True)
class Death:
    """A step of the page in which a process dies.

    Attributes:
        at: A part of the first statement that is not run, or a moment between requests.
        status: Of run 2 as it is left; None when there is no such run.
        tables: That are left of it.
        applied: Whether the destination has the change.
    """

    at: str | dict[str, int]
    status: str | None
    tables: frozenset[str] = frozenset()
    applied: bool = False


DEATHS = {
    "1": Death("SET lease_owner=?, lease_token=", None),
    "2": Death("INSERT INTO reverse_etl.sync_runs", None),
    "3": Death("CREATE TABLE reverse_etl.snapshot_vip_2", "planning"),
    "4": Death("CREATE TABLE reverse_etl.changes_vip_2", "planning", SNAPSHOT),
    "5": Death("committed_run_id=", "planning", SNAPSHOT),
    "6, before the request": Death({"before": 0}, "delivering", PLAN),
    "6, after the answer": Death({"after": 1}, "delivering", PLAN, applied=True),
    "8": Death("INSERT INTO reverse_etl.sync_log", "delivering", PLAN, applied=True),
    "9": Death("DELETE FROM reverse_etl.residue", "succeeded", PLAN, applied=True),
    "10": Death("SET lease_owner=?, lease_expires_at=", "succeeded", PLAN, applied=True),
}


@pytest.fixture
def changed(world: World) -> World:
    """Return a world in which Ada was delivered, and then changed her plan."""
    world.put({"email": "Ada@Example.com", "plan": "free"}, {"email": "bob@example.com"})
    world.run()
    world.put({"email": "Ada@Example.com", "plan": "gold"}, {"email": "bob@example.com"})
    return world


def state(world: World) -> dict[str, Any]:
    return world.sql("SELECT * FROM reverse_etl.sync_state")[0]


def die(world: World, at: str | dict[str, int]) -> None:
    if isinstance(at, dict):
        world.die(**at)
    else:
        assert world.die_at(at)


def test_what_a_change_leaves_on_its_way(changed: World) -> None:
    before = state(changed)
    changed.run()
    now = state(changed)
    assert (now["lease_token"], now["lease_owner"]) == (before["lease_token"] + 1, None)
    assert (now["last_run_id"], now["committed_run_id"]) == (2, 2)
    assert (now["position"], now["send_limit"], now["requests_sent"]) == (1, 1, 1)
    (row,) = changed.sql("SELECT * FROM reverse_etl.changes_vip_2")
    assert (row["_seq"], row["_phase"], row["_operation"]) == (1, 1, "update")
    assert (row["_identity"], row["_primary_key"], row["plan"]) == (ADA, "1", "gold")
    assert (row["_retry"], row["_carried"]) == (False, False)
    (sent,) = changed.sent
    assert sent.body["subscribers"] == [{"email": ADA, "dataFields": {"plan": "gold"}}]
    assert changed.lines(2) == [("update", ADA, "succeeded", None)]
    assert changed.sql("SELECT * FROM reverse_etl.outcomes_vip_2") == []
    assert changed.failed() == {}


@pytest.mark.parametrize("step", DEATHS)
def test_what_a_death_on_its_way_leaves(changed: World, step: str) -> None:
    death, before = DEATHS[step], changed.tables()
    die(changed, death.at)
    assert changed.tables() - before == death.tables
    assert [row["status"] for row in changed.runs()[1:]] == ([death.status] if death.status else [])
    assert changed.fields(ADA) == {"plan": "gold" if death.applied else "free"}
    is_committed = death.status in {"delivering", "succeeded"}
    assert state(changed)["committed_run_id"] == (2 if is_committed else 1)
    if death.status == "delivering":
        assert (state(changed)["position"], state(changed)["send_limit"]) == (0, 24_000)

    report = changed.run()
    assert (changed.fields(ADA), changed.failed()) == ({"plan": "gold"}, {})
    killed = changed.runs()[1]
    if death.status is None:
        assert (report.run_id, len(changed.sent)) == (2, 1)
    elif death.status == "succeeded":
        assert (killed["status"], changed.sent) == ("succeeded", [])
    else:
        assert (killed["status"], killed["error_code"]) == ("interrupted", "killed")
        assert (report.run_id, len(changed.sent)) == (3, 1)
        unknown = [("update", ADA, "failed", "unknown")] if is_committed else []
        assert (changed.lines(2), report.retries) == (unknown, len(unknown))
        assert ("changes_vip_2" in changed.tables()) == is_committed
        assert ("snapshot_vip_2" in changed.tables()) == is_committed

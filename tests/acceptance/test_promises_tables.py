"""The tables: what a dashboard of a user may rely on."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from connectors.iterable.sandbox import Fault
from reverse_etl.schedule import Tick
from tests.world import SYNC

if TYPE_CHECKING:
    from tests.world import World

SYNC_RUNS = """
    sync_name sync_run_id trigger sync_type status scheduled_for started_at finished_at
    rows_read rows_invalid rows_duplicate inserts_planned inserts_succeeded inserts_failed
    updates_planned updates_succeeded updates_failed deletes_planned
    deletes_succeeded deletes_failed retries_planned failed_records_open requests_sent error_code
    error_reason
"""
SYNC_LOG = """
    sync_name sync_run_id primary_key identity operation status error_code error_reason
    attempts sync_started_at sync_finished_at
"""
FAILED_RECORDS = """
    sync_name identity primary_key operation error_code error_reason retryable attempts
    first_failed_run_id last_failed_run_id first_failed_at last_failed_at
"""


def test_columns_and_their_order(world: World) -> None:
    """Names and columns are a promise to users' dashboards: add, never rename."""
    world.put_emails("ada")
    world.run()
    assert world.columns("sync_runs") == SYNC_RUNS.split()
    assert world.columns("sync_log") == SYNC_LOG.split()
    promised = FAILED_RECORDS.split()
    assert world.columns("failed_records")[: len(promised)] == promised


def test_a_row_of_sync_runs(world: World) -> None:
    """One row per run that took the lease."""
    world.put(
        {"id": 1, "email": "ada@x.com", "plan": "gold"},
        {"id": 2, "email": "ada@x.com", "plan": "gold"},
        {"id": 3, "email": None},
    )
    begun = datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=5)
    world.run()
    row = world.last_run()
    now = datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=5)
    assert begun < row.pop("started_at") <= row.pop("finished_at") < now
    counts = {name: row.pop(name) for name in SYNC_RUNS.split() if isinstance(row.get(name), int)}
    assert row == {
        "sync_name": "vip",
        "trigger": "manual",
        "sync_type": "incremental",
        "status": "completed_with_failures",
        "scheduled_for": None,
        "error_code": None,
        "error_reason": None,
    }
    assert {name: count for name, count in counts.items() if count} == {
        "sync_run_id": 1,
        "rows_read": 3,
        "rows_invalid": 1,
        "rows_duplicate": 1,
        "inserts_planned": 1,
        "inserts_succeeded": 1,
        "failed_records_open": 1,
        "requests_sent": 4,
    }


def test_ids_rise(world: World) -> None:
    """Ids rise by run; a run is numbered 1, 2, 3 … within its sync."""
    world.put_emails("ada")
    world.run()
    world.quiet()
    world.sync["source"]["query"] = "select nothing"
    world.run()
    assert [row["sync_run_id"] for row in world.runs()] == [1, 2, 3]


def test_a_scheduled_run(world: World) -> None:
    """`trigger` and `scheduled_for` tell which tick a run serves; NULL for manual runs."""
    tick = datetime(2026, 11, 22, 1, 30)  # noqa: DTZ001 - our tables hold UTC without a zone
    world.put_emails("ada")
    world.run(tick=Tick(tick, None))
    world.run()
    assert [(row["trigger"], row["scheduled_for"]) for row in world.runs()] == [
        ("schedule", tick),
        ("manual", None),
    ]


def test_a_line_of_sync_log(world: World) -> None:
    """One row per change that was tried; times are the run's; `attempts` its requests."""
    world.put({"id": 7, "email": "ada@x.com"}, {"id": 8, "email": "bob@x.com"})
    world.faults = [
        Fault("status", match="/api/lists/subscribe", status=503, times=2),
        Fault("refuse", identifiers=("bob@x.com",), bucket="forgotten"),
    ]
    world.run()
    run = world.last_run()
    times = {"sync_started_at": run["started_at"], "sync_finished_at": run["finished_at"]}
    good, bad = world.log()
    key = {"sync_name": "vip", "sync_run_id": 1, "operation": "insert", "attempts": 3}
    assert good == key | times | {
        "identity": "ada@x.com",
        "primary_key": "7",
        "status": "succeeded",
        "error_code": None,
        "error_reason": None,
    }
    assert bad.pop("error_reason")
    assert bad == key | times | {
        "identity": "bob@x.com",
        "primary_key": "8",
        "status": "failed",
        "error_code": "forgotten",
    }


def test_a_failed_record_over_its_life(world: World) -> None:
    """`attempts` counts runs; first and last failure keep run and time; success ends it."""
    world.put({"id": 7, "email": "ada@x.com"})
    world.faults = [Fault("refuse", identifiers=("ada@x.com",), bucket="notFound")]
    for _ in range(3):
        world.run()
    record = world.failed()["ada@x.com"]
    first, _, third = world.runs()
    assert (record["sync_name"], record["primary_key"], record["attempts"]) == ("vip", "7", 3)
    assert (record["first_failed_run_id"], record["last_failed_run_id"]) == (1, 3)
    assert record["first_failed_at"] == first["finished_at"]
    assert record["last_failed_at"] == third["finished_at"]
    world.faults = []
    world.run()
    assert world.failed() == {}


def test_a_refused_row_keeps_its_dates(world: World) -> None:
    """A row that is refused as before was not tried again: its record stays as it is."""
    world.put({"id": 7, "email": None})
    world.run()
    before = world.failed()
    world.put({"id": 7, "email": None}, {"id": 8, "email": "ada@x.com"})
    world.run()
    assert world.failed() == before
    world.put({"id": 7, "email": "nope"}, {"id": 8, "email": "ada@x.com"})
    world.run()
    record = world.failed()["row:7"]
    assert (record["attempts"], record["error_code"]) == (2, "invalid_identifier")
    assert (record["first_failed_run_id"], record["last_failed_run_id"]) == (1, 3)


# --- retention ---------------------------------------------------------------------------------


def test_old_lines_go(world: World) -> None:
    """`sync_log_retention_days`: older lines are dropped, those of other syncs are not."""
    world.sync["observability"] = {"sync_log_retention_days": 2}
    world.put_emails("ada")
    world.run()
    world.put_emails("bob")
    world.run()
    for table, column in (("sync_log", "sync_finished_at"), ("sync_runs", "finished_at")):
        older = f"SET {column} = {column} - INTERVAL '49' HOUR WHERE sync_run_id = 1"
        world.sql(f"UPDATE reverse_etl.{table} {older}")
    world.sql(
        "INSERT INTO reverse_etl.sync_log (sync_name, sync_run_id, sync_finished_at)"
        " VALUES ('other', 1, TIMESTAMP '2001-01-01 00:00:00')"
    )
    world.quiet()
    lines = {(line["sync_name"], line["sync_run_id"]) for line in world.log()}
    assert lines == {("other", 1), ("vip", 2)}
    assert len(world.runs()) == 3


def test_no_log_wanted(world: World) -> None:
    """`retain_sync_logs: false` keeps counters and failed records only."""
    world.sync["observability"] = {"retain_sync_logs": False}
    world.put({"email": "ada@x.com"}, {"email": "bob@x.com"}, {"email": None})
    world.faults = [Fault("refuse", identifiers=("bob@x.com",), bucket="invalidData")]
    report = world.run()
    assert (report.succeeded, report.failed) == (world.changes(insert=1), world.changes(insert=1))
    assert world.log() == []
    assert set(world.failed()) == {"bob@x.com", "row:3"}


def test_snapshots_are_kept_for_some_runs(world: World) -> None:
    """Kept for the last `snapshots_to_keep` committed runs."""
    world.sync |= {"observability": {"snapshots_to_keep": 2}, "max_delete_percent": 50}
    for names in (["a"], ["a", "b"], ["a", "b", "c"]):
        world.put_emails(*names)
        world.run()
    world.put()
    assert world.run().status == "held"
    kept = {name for name in world.tables() if name.startswith(("snapshot_", "changes_"))}
    assert kept == {
        *("snapshot_vip", "snapshot_vip_2", "snapshot_vip_3"),
        *("changes_vip_2", "changes_vip_3"),
    }


def test_never_fewer_snapshots_than_needed(world: World) -> None:
    """Never fewer than correctness needs: the base stays."""
    world.sync["observability"] = {"snapshots_to_keep": 1}
    world.put_emails("ada", "bob")
    world.faults = [Fault("status", match="/api/lists/subscribe", status=401)]
    world.run()
    world.faults = []
    world.put_emails("ada")
    world.run()
    world.quiet()
    assert world.members() == {"ada@x.com"}
    assert {name for name in world.tables() if name.startswith("snapshot_vip_")} == {
        "snapshot_vip_3"
    }


# --- snapshots and plans -----------------------------------------------------------------------


def test_the_plan_of_a_run(world: World) -> None:
    """`changes_<sync>_<run>`, the plan of that run, deletes included."""
    world.put({"id": 1, "email": "ada@x.com", "plan": "gold"}, {"id": 2, "email": "bob@x.com"})
    world.run()
    world.put({"id": 1, "email": "ada@x.com", "plan": "basic"}, {"id": 3, "email": "cy@x.com"})
    world.run()
    rows = world.sql("SELECT * FROM reverse_etl.changes_vip_2 ORDER BY _seq")
    assert [
        (row["_operation"], row["_identity"], row["_primary_key"], row["plan"]) for row in rows
    ] == [
        ("delete", "bob@x.com", "2", None),
        ("insert", "cy@x.com", "3", None),
        ("update", "ada@x.com", "1", "basic"),
    ]


def test_the_newest_snapshot(world: World) -> None:
    """One row per identity, and a view on the newest; mapped source columns keep their names."""
    world.put({"id": 1, "email": " Ada@X.com", "plan": "gold"}, {"id": 2, "email": "ada@x.com"})
    world.run()
    (row,) = world.sql("SELECT * FROM reverse_etl.snapshot_vip")
    assert (row["_identity"], row["_primary_key"]) == ("ada@x.com", "1")
    assert (row["id"], row["email"], row["plan"]) == (1, " Ada@X.com", "gold")
    world.put_emails("bob")
    world.run()
    assert [each["_identity"] for each in world.sql("SELECT * FROM reverse_etl.snapshot_vip")] == [
        "bob@x.com"
    ]
    (row,) = world.sql("SELECT * FROM reverse_etl.snapshot_vip_1")
    assert row["_identity"] == "ada@x.com"


def test_the_view_after_the_columns_changed(world: World) -> None:
    """The view is on the newest snapshot, also when its columns are others."""
    world.put({"email": "ada@x.com", "plan": "gold", "city": "Bern", "score": 1.5})
    world.run()
    world.sync["fields"] = {"town": "city"}
    world.run()
    assert [*world.columns("snapshot_vip")[3:]] == ["id", "email", "city"]
    world.sync["source"]["query"] = "select score as city, id, email from people"
    world.run()
    (row,) = world.sql("SELECT * FROM reverse_etl.snapshot_vip")
    assert (row["id"], row["email"], row["city"]) == (1, "ada@x.com", 1.5)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_who_may_read_the_view_may_when_its_columns_are_others(world: World) -> None:
    """A dashboard's role keeps its rights, though the view is made anew."""
    world.put({"email": "ada@x.com", "plan": "gold", "city": "Rome"})
    world.run()
    role = f"reader_{uuid.uuid4().hex[:12]}"
    world.sql(f'CREATE ROLE "{role}"')
    try:
        world.sql(f'GRANT SELECT ON reverse_etl.snapshot_{SYNC} TO "{role}" WITH GRANT OPTION')
        world.sql(f"GRANT SELECT ON reverse_etl.snapshot_{SYNC} TO PUBLIC")
        given = "SELECT grantee, privilege_type, is_grantable FROM information_schema"
        mine = f"table_name = 'snapshot_{SYNC}' AND grantee IN ('{role}', 'PUBLIC')"
        readers = f"{given}.table_privileges WHERE {mine} ORDER BY 1"
        before = world.sql(readers)
        assert len(before) == 2
        world.sync["fields"] = {"plan": "plan", "city": "city"}
        world.run()
        assert "city" in world.columns(f"snapshot_{SYNC}")
        assert world.sql(readers) == before
    finally:
        world.sql(f'DROP OWNED BY "{role}"')
        world.sql(f'DROP ROLE "{role}"')


def test_a_users_view_on_the_snapshot(world: World) -> None:
    """A dashboard may build on the view: it follows the newest snapshot, and stops no run."""
    world.put_emails("ada")
    world.run()
    world.sql("CREATE VIEW dashboard AS SELECT _identity FROM reverse_etl.snapshot_vip")
    world.put_emails("bob")
    assert world.run().status == "succeeded"
    assert world.sql("SELECT * FROM dashboard") == [{"_identity": "bob@x.com"}]


def test_a_users_view_when_the_columns_change(world: World) -> None:
    """A view of the user's on the snapshot does not stop the runs after a change of the mapping."""
    world.put({"email": "ada@x.com", "city": "Bern"})
    world.run()
    world.sql("CREATE VIEW dashboard AS SELECT _identity FROM reverse_etl.snapshot_vip")
    world.sync["fields"] = {"town": "city"}
    assert world.run().status == "succeeded"
    assert world.fields("ada@x.com") == {"town": "Bern"}

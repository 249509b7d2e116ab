"""Whatever happens to a connection, a run ends in time and the next clean one repairs.

More cases: ``TRANSPORT_CASES=1000 pytest tests/reliability/transport -k any_faults``. A failing
one is named by its seed, and ``TRANSPORT_SEED`` plays it again.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any, get_args

import pytest
import sqlalchemy as sa

from reverse_etl.clock import SystemClock
from reverse_etl.testing.proxy import Action, Fault, always, seeded
from reverse_etl.warehouse import warehouse_at

if TYPE_CHECKING:
    from tests.reliability.transport.conftest import World

LOOK_UP = b"GET /api/lists"
SUBSCRIBE = b"POST /api/lists/subscribe"
END_OF_HEADERS = b"\r\n\r\n"

# One second, because the silence of a server is waited for; a server that answers takes less.
QUICK = {"request_timeout_seconds": 1, "max_in_flight": 1}
# A run that was broken off leaves its lease to expire.
SHORT_LEASE = {"lease_seconds": 1}
# What the engine asks of TCP, made short.
IMPATIENT = {
    "connect_timeout": "2",
    "keepalives_idle": "1",
    "keepalives_interval": "1",
    "keepalives_count": "2",
    "tcp_user_timeout": "2000",
}

FIRST_SEED = int(os.environ.get("TRANSPORT_SEED", "1"))
SEEDS = range(FIRST_SEED, FIRST_SEED + int(os.environ.get("TRANSPORT_CASES", "3")))

NOT_SILENT = [action for action in get_args(Action) if action != "silence"]

WITH_FAILURES = (3, "completed_with_failures", None)
UNAVAILABLE = (1, "failed", "destination_unavailable")
NO_WAREHOUSE = (1, "failed", "warehouse_error")


# --- the way to the destination ------------------------------------------------------------

NOT_APPLIED = {
    "reset before the request": Fault("reset", "up", 0, (SUBSCRIBE,)),
    "reset in its headers": Fault("reset", "up", 60, (SUBSCRIBE,)),
    "reset in its body": Fault("reset", "up", 40, (SUBSCRIBE, END_OF_HEADERS)),
    "silence in its body": Fault("silence", "up", 40, (SUBSCRIBE, END_OF_HEADERS)),
    "half-closed in its body": Fault("half_close", "up", 40, (SUBSCRIBE, END_OF_HEADERS)),
}
APPLIED = {
    "reset before the answer": Fault("reset", "down", 0, (SUBSCRIBE,)),
    "silence before the answer": Fault("silence", "down", 0, (SUBSCRIBE,)),
    "server vanished": Fault("vanish", "down", 0, (SUBSCRIBE,)),
    "closed in the status line": Fault("close", "down", 5, (SUBSCRIBE,)),
    "reset in the headers": Fault("reset", "down", 60, (SUBSCRIBE,)),
    "closed in the body": Fault("close", "down", 5, (SUBSCRIBE, b"successCount")),
    "half-closed in the body": Fault("half_close", "down", 5, (SUBSCRIBE, b"successCount")),
    "a byte now and then": Fault("drip", "down", 5, (SUBSCRIBE,), seconds=0.05),
}


@pytest.mark.parametrize(
    ("fault", "applied"),
    [
        *(pytest.param(fault, False, id=name) for name, fault in NOT_APPLIED.items()),
        *(pytest.param(fault, True, id=name) for name, fault in APPLIED.items()),
    ],
)
def test_a_request_without_an_answer_is_unknown_and_sent_again_by_the_next_run(
    on_duckdb: World, fault: Fault, *, applied: bool
) -> None:
    on_duckdb.account = QUICK
    on_duckdb.put(1, 2, 3)
    on_duckdb.api.plan = always(fault)
    done = on_duckdb.run()
    assert on_duckdb.api.struck == [fault]
    assert done.ended == WITH_FAILURES
    assert bool(on_duckdb.members()) is applied
    failed = on_duckdb.execute("select error_code, attempts from reverse_etl.failed_records")
    assert failed == [("unknown", 1)] * 3
    assert on_duckdb.repair().document["retries"] == 3


@pytest.mark.parametrize("applied", [False, True])
def test_a_request_that_is_answered_when_repeated_has_succeeded(
    on_duckdb: World, *, applied: bool
) -> None:
    on_duckdb.account = QUICK | {"request_timeout_seconds": 20, "retry_seconds": 1}
    on_duckdb.put(1, 2, 3)
    on_duckdb.api.plan = always(Fault("reset", "down" if applied else "up", 0, (SUBSCRIBE,)))
    done = on_duckdb.run()
    assert (done.code, done.document["requests"]) == (0, 3)
    attempts = on_duckdb.execute("select attempts from reverse_etl.sync_log")
    assert attempts == [(2,)] * 3
    on_duckdb.repair()


@pytest.mark.parametrize(
    "fault",
    [
        Fault("drip", "up", times=None),
        Fault("drip", "down", times=None),
        Fault("delay", "up", seconds=0.05, times=None),
        Fault("delay", "down", seconds=0.05, times=None),
    ],
    ids=lambda fault: f"{fault.action} {fault.way}",
)
def test_what_is_only_slow_succeeds(on_duckdb: World, fault: Fault) -> None:
    on_duckdb.put(1, 2, 3)
    on_duckdb.api.plan = always(fault)
    done = on_duckdb.run()
    assert on_duckdb.api.struck
    assert (done.code, done.document["requests"]) == (0, 2)
    on_duckdb.repair()


@pytest.mark.parametrize(
    "fault",
    [
        Fault("reset", after=None, times=None),
        Fault("close", "down", 0, (LOOK_UP,)),
        Fault("silence", "down", 60, (LOOK_UP,)),
    ],
    ids=lambda fault: f"{fault.action} after {fault.after}",
)
def test_a_list_that_cannot_be_looked_up_leaves_everything_planned(
    on_duckdb: World, fault: Fault
) -> None:
    on_duckdb.account = QUICK
    on_duckdb.put(1, 2, 3)
    on_duckdb.api.plan = always(fault)
    done = on_duckdb.run()
    assert done.ended == UNAVAILABLE
    assert "run again when it is back" in done.error
    assert on_duckdb.repair().document["planned"] == {"insert": 3, "update": 0, "delete": 0}


def test_a_destination_that_is_away_is_named_and_nothing_is_lost(on_duckdb: World) -> None:
    on_duckdb.put(1, 2, 3)
    on_duckdb.repair()
    on_duckdb.put(2, 3, 4)
    on_duckdb.api.refuse()
    done = on_duckdb.run()
    assert (done.code, done.document["status"]) == WITH_FAILURES[:2]
    reasons = on_duckdb.execute("select distinct error_reason from reverse_etl.failed_records")
    assert all(f"cannot connect to 127.0.0.1:{on_duckdb.api.port}" in row[0] for row in reasons)
    on_duckdb.api.listen()
    on_duckdb.repair()


def test_three_batches_without_an_answer_end_the_run(on_duckdb: World) -> None:
    on_duckdb.account = QUICK | {"records_per_request": 1}
    on_duckdb.put(*range(8))
    on_duckdb.api.plan = always(Fault("reset", "down", 0, (SUBSCRIBE,), times=None))
    done = on_duckdb.run()
    assert done.ended == UNAVAILABLE
    assert done.document["requests"] == 4
    assert done.document["failed"]["insert"] == 3
    on_duckdb.repair()


# --- the way to the warehouse --------------------------------------------------------------

MOMENTS = {
    "numbering the run": (b"SET last_run_id=", b"COMMIT"),
    "evaluating the query": (b"CREATE TABLE reverse_etl.snapshot",),
    "the commit point": (b"committed_run_id=", b"COMMIT"),
    "reading a page": (b"COPY (",),
    "a checkpoint": (b"SET position=", b"COMMIT"),
    "settling": (b"INSERT INTO reverse_etl.sync_log", b"COMMIT"),
}


@pytest.fixture
def started(on_postgresql: World) -> World:
    """Return a world with three people on the list, one of whom leaves, and two who join."""
    world = on_postgresql
    world.put(1, 2, 3)
    assert world.run().code == 0
    world.put(2, 3, 4, 5, plan="paid")
    world.engine = SHORT_LEASE | {"checkpoint_seconds": 0.001}
    world.account = {"request_timeout_seconds": 0.9, "records_per_request": 1}
    return world


def committed_run(world: World) -> Any:
    """Return the last committed run."""
    return world.execute("select committed_run_id from reverse_etl.sync_state")[0][0]


@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_lost_connection_to_the_warehouse_ends_the_run_and_loses_nothing(
    started: World, moment: str, way: str
) -> None:
    """``up``: before the server had the statement. ``down``: it did it, and nobody heard."""
    before = committed_run(started)
    fault = Fault("reset", "up" if way == "up" else "down", 0, MOMENTS[moment])
    assert started.database is not None
    started.database.plan = always(fault)
    done = started.run()
    assert started.database.struck == [fault]
    assert done.ended == NO_WAREHOUSE
    assert f"no connection to the warehouse at 127.0.0.1:{started.database.port}" in done.error
    if moment == "the commit point":
        assert (committed_run(started) > before) is (way == "down")
    # Who was planned by the run that was lost, and leaves before the next one.
    started.put(3, 5, 6)
    started.repair()


@pytest.mark.parametrize("moment", ["evaluating the query", "the commit point", "settling"])
def test_a_warehouse_that_is_lost_and_stays_away_ends_the_run_and_loses_nothing(
    started: World, moment: str
) -> None:
    database = started.database
    assert database is not None
    last = Fault("reset", "down", 0, MOMENTS[moment])
    away = Fault("reset", after=None, times=None)
    database.plan = lambda _: away if last in database.struck else last
    assert started.run().ended == NO_WAREHOUSE
    assert database.struck[0] == last
    assert away in database.struck
    started.put(3, 5, 6)
    started.repair()


def test_a_page_that_breaks_off_in_the_middle_is_read_again_by_the_next_run(
    started: World,
) -> None:
    started.account = {"request_timeout_seconds": 0.9}
    started.put(*range(2000))
    fault = Fault("reset", "down", 30_000, MOMENTS["reading a page"])
    assert started.database is not None
    started.database.plan = always(fault)
    assert started.run().ended == NO_WAREHOUSE
    assert started.database.struck == [fault]
    started.repair()


@pytest.mark.parametrize("moment", ["numbering the run", "reading a page", "a checkpoint"])
def test_a_warehouse_that_vanishes_is_noticed_by_both_sides(started: World, moment: str) -> None:
    """No packet comes any more: we give up in time, and the server frees what we had locked."""
    started.connecting = IMPATIENT
    # Not the commit itself: then the server still holds the row of the lease for us.
    fault = Fault("vanish", "down", 0, MOMENTS[moment][:1])
    assert started.database is not None
    started.database.plan = always(fault)
    done = started.run()
    assert started.database.struck == [fault]
    assert done.ended == NO_WAREHOUSE
    started.database.plan = always(fault)  # has struck: it lets everybody pass now
    assert started.run_when_free().code == 0  # with the vanished connection still open
    started.repair()


@pytest.mark.parametrize("action", ["refuse", "silence"])
def test_a_warehouse_that_is_away_at_the_start_is_named_and_nothing_is_lost(
    started: World, action: str
) -> None:
    started.connecting = IMPATIENT
    assert started.database is not None
    if action == "refuse":
        started.database.refuse()
    else:
        started.database.plan = always(Fault("silence", "up", times=None))
    done = started.run()
    assert done.ended == NO_WAREHOUSE
    assert f"no connection to the warehouse at 127.0.0.1:{started.database.port}" in done.error
    assert done.document["run_id"] is None
    started.database.listen()
    started.repair()


def test_a_lease_that_was_taken_without_hearing_of_it_is_ours(started: World) -> None:
    """Else the run would find the sync busy, with itself."""
    taking = (b"SET lease_owner=", b"lease_token=", b"COMMIT")
    assert started.database is not None
    started.database.plan = always(Fault("reset", "down", 0, taking))
    assert started.run().ended == (0, "succeeded", None)
    assert started.database.struck
    started.repair()


@pytest.mark.parametrize("more", [{}, IMPATIENT], ids=["by default", "as the URL says"])
def test_both_sides_look_after_an_idle_connection(postgres_url: str, more: dict[str, str]) -> None:
    wanted = [30, 10, 3, 60_000] if not more else [1, 1, 2, 2000]
    url = sa.make_url(postgres_url).update_query_dict(more)
    options = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
    names = ("keepalives_idle", "keepalives_interval", "keepalives_count", "user_timeout")
    text = url.render_as_string(hide_password=False)
    with (
        warehouse_at(text, "reverse_etl", SystemClock()) as warehouse,
        warehouse.transaction() as tx,
    ):
        native: Any = tx.connection.connection.driver_connection
        with socket.socket(fileno=os.dup(native.fileno())) as ours:
            found = [ours.getsockopt(socket.IPPROTO_TCP, getattr(socket, o)) for o in options]
        assert found == wanted
        setting = sa.text("select setting from pg_settings where name = :name")
        theirs = [
            int(tx.connection.execute(setting, {"name": f"tcp_{name}"}).scalar_one())
            for name in names
        ]
        assert theirs == wanted


# --- both at once --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_any_faults_on_both_ways_are_repaired_by_one_clean_run(
    on_postgresql: World, seed: int
) -> None:
    """Every connection may meet any fault at any byte, in two runs with changing sources."""
    world = on_postgresql
    assert world.database is not None
    again = f"TRANSPORT_SEED={seed} TRANSPORT_CASES=1 pytest tests/reliability -k any_faults"
    try:
        for part in range(2):
            world.put(*range(part * 2, part * 2 + 5), plan=f"plan {part}")
            world.engine, world.connecting = SHORT_LEASE, IMPATIENT
            world.account = {"request_timeout_seconds": 0.9, "records_per_request": 2}
            world.api.plan = seeded(f"api {seed} {part}", 0.5, reach=2000)
            # A server that is there and silent is waited for: see warehouse/postgresql.py.
            world.database.plan = seeded(f"database {seed} {part}", 0.04, NOT_SILENT)
            done = world.run_when_free()
            assert done.code in {0, 1, 3, 5}
        world.repair()
    except BaseException as error:
        error.add_note(f"again with: {again}")
        raise

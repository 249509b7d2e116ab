"""One run per sync at a time, between real processes, on clocks that are wrong, over faults."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from reverse_etl.clock import SystemClock
from reverse_etl.config import Config, load_config
from reverse_etl.connector import AccountSettings, Answer, Request
from reverse_etl.delivery.transport import Transport
from reverse_etl.errors import Busy, LeaseLost, WarehouseError
from reverse_etl.ports import Ports, http_transport
from reverse_etl.run import Options, Run, run_sync
from reverse_etl.testing.site import Command, Recorder, Site, wait_for
from reverse_etl.warehouse import warehouse_at
from reverse_etl.warehouse.base import Transaction, Warehouse
from reverse_etl.warehouse.lease import Heartbeat, Lease
from tests import documents

BUSY = 5
FAILED = 1

# The first request of a run is held back until the other process has ended, however long its
# start takes on a busy machine.
LONG = {"lease_seconds": 120}
LONG_TIMEOUT = {"request_timeout_seconds": 100}

A_DAY = 86_400


def people(count: int, plan: str = "free") -> dict[int, tuple[str, str]]:
    return {n: (f"person{n}@x.com", plan) for n in range(count)}


def document(command: Command) -> dict[str, Any]:
    return documents.read(["run-sync"], command.stdout)


@contextmanager
def held(recorder: Recorder) -> Iterator[threading.Event]:
    """Hold back every request until the event is set, at the latest at the end of the block."""
    gate = threading.Event()

    def before(_number: int) -> bool:
        gate.wait()
        return True

    recorder.before = before
    try:
        yield gate
    finally:
        gate.set()


# --- two at once ---------------------------------------------------------------------------


def test_of_two_processes_one_works_and_the_other_is_busy(site: Site) -> None:
    """The second exits with 5, names the first, and writes nothing."""
    site.engine, site.account = LONG, LONG_TIMEOUT
    site.write_config()
    site.fill(people(3))
    recorder = site.destination.recorder
    with held(recorder) as gate, site.start() as one, site.start() as other:
        wait_for(lambda: one.ends_within(0.05) or other.ends_within(0.05), "one of them ends")
        loser, winner = (one, other) if one.process.poll() is not None else (other, one)
        assert loser.process.returncode == BUSY, loser.stderr
        wait_for(lambda: bool(recorder.arrived), "the winner sends its first request")
        gate.set()
        assert winner.end() == 0, winner.stderr
    error = document(loser)["error"]
    assert str(winner.process.pid) in error
    assert len(site.rows("select * from reverse_etl.sync_runs")) == 1
    assert site.rows("select lease_token, last_run_id from reverse_etl.sync_state") == [(1, 1)]
    assert len(site.rows("select * from reverse_etl.sync_log")) == 3
    assert site.destination.state()[0] == {email for email, _ in people(3).values()}


# --- two machines, and clocks that are wrong -----------------------------------------------


def elsewhere(folder: Path, host: str, clock_seconds: float = 0) -> tuple[str, ...]:
    """Write a program: the command as another machine would run it, with another clock."""
    path = folder / f"on_{host}.py"
    path.write_text(
        "import datetime, socket, sys\n"
        f"socket.gethostname = lambda: {host!r}\n"
        "from reverse_etl.clock import SystemClock\n"
        "right = SystemClock.now\n"
        f"wrong_by = datetime.timedelta(seconds={clock_seconds!r})\n"
        "SystemClock.now = lambda self: right(self) + wrong_by\n"
        "from reverse_etl.cli import main\n"
        "sys.exit(main())\n"
    )
    return (str(path),)


def seconds_left(site: Site) -> float:
    """Return how long the lease lasts, by the server's clock."""
    left = (
        "select extract(epoch from lease_expires_at - clock_timestamp() at time zone 'UTC')"
        " from reverse_etl.sync_state"
    )
    return float(site.rows(left)[0][0])


@pytest.mark.parametrize(
    ("first_s", "second_s"), [(0, 0), (A_DAY, -A_DAY), (-A_DAY, A_DAY)], ids=str
)
def test_of_two_machines_the_second_learns_who_is_running(
    on_postgresql: Site, first_s: float, second_s: float
) -> None:
    """Also when the clock of either is a day wrong: the server's alone says what has expired."""
    site = on_postgresql
    site.engine, site.account = LONG, LONG_TIMEOUT
    site.write_config()
    site.fill(people(3))
    with (
        held(site.destination.recorder) as gate,
        site.start(elsewhere(site.folder, "machine-a", first_s)) as first,
        site.start(elsewhere(site.folder, "machine-b", second_s)) as second,
    ):
        machines = {"machine-a": first, "machine-b": second}
        wait_for(lambda: first.ends_within(0.05) or second.ends_within(0.05), "one of them ends")
        loser = first if first.process.poll() is not None else second
        winner = "machine-b" if loser is first else "machine-a"
        assert loser.process.returncode == BUSY, loser.stderr
        assert 0 < seconds_left(site) <= LONG["lease_seconds"]
        gate.set()
        assert machines[winner].end() == 0, machines[winner].stderr
    error = document(loser)["error"]
    assert f"busy: {winner}:{machines[winner].process.pid}:" in error
    assert len(site.rows("select * from reverse_etl.sync_runs")) == 1


@pytest.mark.parametrize("wrong_s", [A_DAY, -A_DAY], ids=["ahead", "behind"])
def test_the_lease_of_a_killed_process_expires_by_the_servers_clock(
    on_postgresql: Site, wrong_s: float
) -> None:
    """However wrong the clock of the dead one was, and that of who takes over."""
    site = on_postgresql
    site.engine = {"lease_seconds": 2}
    site.write_config()
    site.fill(people(3))
    recorder = site.destination.recorder
    with site.start(elsewhere(site.folder, "machine-a", wrong_s)) as dead:
        recorder.after = lambda _number: dead.kill()
        assert dead.end() == -signal.SIGKILL
    assert seconds_left(site) <= 2
    recorder.clear()
    wait_for(lambda: not site.is_leased(), "the lease expires")
    with site.start(elsewhere(site.folder, "machine-b", -wrong_s)) as next_one:
        assert next_one.end() == 0, next_one.stderr
    assert site.destination.state()[0] == {email for email, _ in people(3).values()}


# --- paused --------------------------------------------------------------------------------


def tables(site: Site) -> list[tuple[str, list[str]]]:
    """Return the tables of our schema and what they hold; rows have no order of their own."""
    names = site.rows(
        "select table_name from information_schema.tables where table_schema = 'reverse_etl'"
        " order by table_name"
    )
    return [
        (name, sorted(map(repr, site.rows(f"select * from reverse_etl.{name}"))))  # noqa: S608
        for (name,) in names
    ]


def test_a_process_paused_beyond_its_lease_sends_and_writes_nothing_more(
    on_postgresql: Site,
) -> None:
    """Another one takes over meanwhile; the paused one ends with a clear error and exit code 1."""
    site = on_postgresql
    # No checkpoint before the pause: a transaction that is open then keeps the other one out.
    site.engine = {"lease_seconds": 2, "checkpoint_seconds": 600}
    site.account = {"records_per_request": 5, "max_in_flight": 2}
    site.write_config()
    site.fill(people(300))
    recorder = site.destination.recorder
    with site.start() as paused:
        pid = paused.process.pid

        def pause(number: int) -> None:
            if number == 6:
                os.kill(pid, signal.SIGSTOP)

        recorder.after = pause
        wait_for(lambda: len(recorder.arrived) >= 6 and recorder.is_idle(), "the pause")
        wait_for(lambda: not site.is_leased(), "the lease of the paused process expires")
        recorder.clear()
        site.fill(people(300, "paid"))
        with site.start() as other:
            assert other.end() == 0, other.stderr
        before = tables(site)
        recorder.clear()
        os.kill(pid, signal.SIGCONT)
        assert paused.end() == FAILED, paused.stderr
    found = document(paused)
    assert (found["status"], found["error_code"]) == ("failed", "lease_lost")
    assert "another run of sync people has taken the lease" in found["error"]
    assert len(recorder.arrived) <= 2, "what had been started may still arrive"
    assert tables(site) == before
    members, profiles = site.destination.state()
    assert members == {email for email, _ in people(300).values()}
    assert {fields["plan"] for fields in profiles.values()} == {"paid"}
    recorder.clear()
    with site.start() as quiet:
        assert quiet.end() == 0
    assert recorder.arrived == []


# --- in this process: clocks, renewals, requests -------------------------------------------


@dataclass
class MovableClock:
    """The clock of this machine, moved by hand; monotonic time only forward."""

    wrong_by: timedelta = timedelta()
    passed: float = 0.0
    _real: SystemClock = field(default_factory=SystemClock)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.wrong_by + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        return self._real.monotonic() + self.passed

    def sleep(self, seconds: float) -> None:
        self._real.sleep(seconds)


def loaded(site: Site) -> Config:
    return load_config(site.write_config(), site.variables)


def other_lease(site: Site, warehouse: Warehouse) -> Lease:
    """Name the lease as another machine would."""
    return Lease(warehouse, site.name, seconds=30, clock=SystemClock(), owner="machine-b:2:bb")


@pytest.mark.parametrize("jump_s", [A_DAY, -A_DAY], ids=["forward", "back"])
def test_a_clock_that_jumps_during_a_run_changes_nothing(
    on_postgresql: Site, jump_s: float
) -> None:
    """The lease stays with the run, for as long as the server says."""
    site = on_postgresql
    site.account = {"records_per_request": 1, "max_in_flight": 1}
    site.fill(people(6))
    clock = MovableClock()
    refused = []

    def jump(number: int) -> None:
        if number == 3:
            clock.wrong_by = timedelta(seconds=jump_s)
        if number >= 3:
            with site.warehouse() as warehouse, pytest.raises(Busy) as caught:
                other_lease(site, warehouse).take()
            refused.append(caught.value)
            assert 0 < seconds_left(site) <= 30

    site.destination.recorder.after = jump
    report = run_sync(loaded(site), site.name, Options(), Ports(clock))
    assert report.status == "succeeded"
    assert len(refused) >= 4
    assert site.destination.state()[0] == {email for email, _ in people(6).values()}
    times = site.rows("select finished_at - started_at < '1 hour' from reverse_etl.sync_runs")
    assert times == [(True,)]


@dataclass
class WatchedTransport:
    """Notes at each start of a request how old the lease's last renewal is, then lets time pass."""

    inner: Transport
    age: Callable[[], float]
    between: Callable[[int], None]
    ages: list[float]

    def start(self, ticket: int, request: Request, timeout_s: float) -> None:
        self.ages.append(self.age())
        self.inner.start(ticket, request, timeout_s)

    def wait(self, timeout_s: float) -> list[tuple[int, Answer]]:
        answers = self.inner.wait(timeout_s)
        for ticket, _ in answers:
            self.between(ticket)
        return answers

    def close(self) -> None:
        self.inner.close()


@dataclass
class WatchedRun:
    """A run in this process whose transport is watched.

    Attributes:
        ages: Of the lease's last renewal, at each start of a request.
    """

    site: Site
    between: Callable[[int], None] = lambda _ticket: None
    clock: MovableClock = field(default_factory=MovableClock)
    ages: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.site.engine = {"lease_seconds": 30, "heartbeat_seconds": 14}
        self.site.account |= {
            "request_timeout_seconds": 20,
            "records_per_request": 1,
            "max_in_flight": 1,
        }
        self.run = Run(
            loaded(self.site),
            self.site.name,
            Options(),
            Ports(self.clock, transport=self._transport),
        )

    def _transport(self, account: AccountSettings) -> Transport:
        lease = self.run.lease
        return WatchedTransport(
            http_transport(account),
            lambda: self.clock.monotonic() - lease._renewed_at,
            self.between,
            self.ages,
        )


def test_no_request_starts_on_an_old_check_of_the_lease(on_postgresql: Site) -> None:
    """Older than the lease minus the time-out of a request: it is renewed first."""
    on_postgresql.fill(people(12))
    watched = WatchedRun(on_postgresql)

    def pass_time(ticket: int) -> None:
        watched.clock.passed += [3.0, 6.0, 11.0, 29.0, 500.0][ticket % 5]

    watched.between = pass_time
    assert watched.run.execute().status == "succeeded"
    assert len(watched.ages) > 12
    assert max(watched.ages) <= 30 - 20
    assert max(watched.ages) > 5, "not every request asks the warehouse"


def test_no_request_starts_once_another_run_has_the_lease(on_postgresql: Site) -> None:
    """What could still be checked too late is not started at all."""
    site = on_postgresql
    site.fill(people(12))
    watched = WatchedRun(site)

    def lose(ticket: int) -> None:
        if ticket == 4:
            watched.clock.passed += 31
            site.execute("update reverse_etl.sync_state set lease_expires_at = '2001-01-01'")
            with site.warehouse() as warehouse:
                other_lease(site, warehouse).take()

    watched.between = lose
    report = watched.run.execute()
    assert (report.status, report.error_code) == ("failed", "lease_lost")
    assert len(watched.ages) == 4
    assert len(site.destination.recorder.arrived) == 4


# --- a renewal that fails ------------------------------------------------------------------


@contextmanager
def connected(url: str) -> Iterator[Warehouse]:
    with warehouse_at(url, "reverse_etl", SystemClock()) as warehouse:
        warehouse.prepare_schema()
        yield warehouse


def lease_of(warehouse: Warehouse, owner: str = "machine-a:1:aa", seconds: float = 30) -> Lease:
    return Lease(warehouse, "people", seconds=seconds, clock=SystemClock(), owner=owner)


@contextmanager
def unreachable(server: Any, url: str) -> Iterator[None]:
    """Let nobody connect to a database, and break every connection to it."""
    name = url.rpartition("/")[2]
    others = f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"  # noqa: S608
    server.execute(f"alter database {name} allow_connections false")
    server.execute(others)
    try:
        yield
    finally:
        server.execute(f"alter database {name} allow_connections true")


def expiry(warehouse: Warehouse) -> tuple[datetime, bool]:
    """Return until when the lease is held, and whether that is over."""
    with warehouse.transaction() as tx:
        query = "select lease_expires_at from reverse_etl.sync_state"
        until: datetime = tx.connection.exec_driver_sql(query).scalar_one()
        return until, until < tx.now()


def test_a_heartbeat_outlives_a_broken_connection(postgres_server: Any, postgres_url: str) -> None:
    """A renewal that fails is tried again; the lease stays with its run."""
    with connected(postgres_url) as warehouse:
        lease = lease_of(warehouse)
        lease.take()
        with Heartbeat(lease, warehouse, 0.01):
            first, _ = expiry(warehouse)
            wait_for(lambda: expiry(warehouse)[0] > first, "the heart beats")
            with unreachable(postgres_server, postgres_url):
                for _ in range(3):
                    with pytest.raises(WarehouseError):
                        lease.renew()
            again, _ = expiry(warehouse)
            wait_for(lambda: expiry(warehouse)[0] > again, "the heart beats again")
        with pytest.raises(Busy, match="machine-a:1:aa"):
            lease_of(warehouse, "machine-b:2:bb").take()


@pytest.mark.parametrize("taken", [False, True], ids=["nobody took it", "somebody took it"])
def test_a_renewal_that_comes_after_the_expiry(
    postgres_server: Any, postgres_url: str, *, taken: bool
) -> None:
    """Keeps the lease when nobody took it meanwhile, and else finds it lost."""
    with connected(postgres_url) as warehouse:
        lease = lease_of(warehouse, seconds=0.2)
        lease.take()
        with unreachable(postgres_server, postgres_url), pytest.raises(WarehouseError):
            lease.renew()
        wait_for(lambda: expiry(warehouse)[1], "the lease expires")
        if not taken:
            lease.renew()
            return
        other = lease_of(warehouse, "machine-b:2:bb")
        other.take()
        with pytest.raises(LeaseLost):
            lease.renew()
        with pytest.raises(LeaseLost):
            lease.check(request_timeout_s=30)
        other.renew()


def test_a_renewal_that_arrives_after_the_lease_was_given_back_changes_nothing(
    postgres_url: str,
) -> None:
    """The next run does not find the sync busy with nobody."""
    with connected(postgres_url) as warehouse:
        lease = lease_of(warehouse)
        lease.take()
        lease.give_back()
        with pytest.raises(LeaseLost):
            lease.renew()
        lease_of(warehouse, "machine-b:2:bb").take()


@contextmanager
def row_locked(url: str) -> Iterator[None]:
    """Let every statement that changes the sync's row hang."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute("select * from reverse_etl.sync_state for update")
        yield


def test_a_run_does_not_wait_for_ever_for_a_renewal_that_hangs(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves it behind; the lease can be given back and taken as soon as the row is free."""
    monkeypatch.setattr("reverse_etl.warehouse.lease.JOIN_SECONDS", 0.05)
    waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
    with connected(postgres_url) as warehouse:
        lease = lease_of(warehouse)
        lease.take()
        with row_locked(postgres_url):

            def beat() -> None:
                with Heartbeat(lease, warehouse, 0.01):
                    wait_for(lambda: count(warehouse, waiting) == 1, "the renewal hangs")

            run = threading.Thread(target=beat, daemon=True)
            run.start()
            wait_for(lambda: not run.is_alive(), "the run ends", seconds=30)
        lease.give_back()
        wait_for(lambda: count(warehouse, waiting) == 0, "the renewal ends")
        lease_of(warehouse, "machine-b:2:bb").take()


def count(warehouse: Warehouse, query: str) -> int:
    with warehouse.transaction() as tx:
        return int(tx.connection.exec_driver_sql(query).scalar_one())


def test_a_renewal_that_hangs_does_not_stop_the_other_one(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The heart may hang on a connection of its own while a request asks for the lease."""
    with connected(postgres_url) as warehouse:
        lease = lease_of(warehouse)
        lease.take()
        transaction, hangs, go_on = warehouse.transaction, threading.Event(), threading.Event()

        @contextmanager
        def slow() -> Iterator[Transaction]:
            if threading.current_thread().name == "slow":
                hangs.set()
                go_on.wait()
            with transaction() as tx:
                yield tx

        monkeypatch.setattr(warehouse, "transaction", slow)
        heart = threading.Thread(target=lease.renew, name="slow", daemon=True)
        heart.start()
        hangs.wait()
        request = threading.Thread(target=lease.renew, daemon=True)
        request.start()
        wait_for(lambda: not request.is_alive(), "the other renewal is done", seconds=30)
        go_on.set()
        heart.join()


def test_a_lease_taken_without_hearing_of_it_is_taken(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection broke between the commit and the word that it was done."""
    with connected(postgres_url) as warehouse:
        dialect = warehouse.engine.dialect
        commit, commits = dialect.do_commit, []

        def unheard(connection: Any) -> None:
            commit(connection)
            commits.append(connection)
            if len(commits) == 2:  # the first makes the sync's row
                raise psycopg.OperationalError("the connection is lost")

        monkeypatch.setattr(dialect, "do_commit", unheard)
        lease = lease_of(warehouse)
        lease.take()
        assert (lease.token, len(commits)) == (1, 3)
        lease.renew()

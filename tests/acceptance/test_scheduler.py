"""The scheduler: several syncs, real runs, time that nobody waits for."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import duckdb
import httpx
import pytest
import sqlalchemy as sa
import yaml
from prometheus_client.parser import text_string_to_metric_families

from connectors.iterable.sandbox import Fault
from reverse_etl import scheduler as scheduler_module
from reverse_etl.config import Config, load_config
from reverse_etl.due import find_tick
from reverse_etl.errors import ConfigError, RunError
from reverse_etl.ports import Ports, http_transport
from reverse_etl.retention import forget_old_logs
from reverse_etl.runner import Runner
from reverse_etl.schedule import Tick, next_tick
from reverse_etl.scheduler import Scheduler
from reverse_etl.scheduler.metrics import Metrics
from reverse_etl.scheduler.page import ALIVE_SECONDS, page
from tests.world import address

if TYPE_CHECKING:
    from reverse_etl.connector import AccountSettings, Answer, Request
    from reverse_etl.delivery.transport import Transport
    from reverse_etl.due import Standing
    from reverse_etl.report import RunSummary
    from reverse_etl.schedule import Schedule
    from reverse_etl.scheduler.agenda import Agenda
    from tests.world import World

QUARTER = {"type": "cron", "expression": "*/15 * * * *"}
MOST_SECONDS = 30.0


class Gate:
    """Keeps requests of some accounts from leaving until it is opened."""

    def __init__(self) -> None:
        self.is_open = threading.Event()
        self.reached = threading.Event()

    def transport(self, account: AccountSettings) -> Transport:
        inner = http_transport(account)
        return _Gated(inner, self) if account.max_in_flight == 1 else inner


class _Gated:
    def __init__(self, inner: Transport, gate: Gate) -> None:
        self._inner, self._gate = inner, gate

    def start(self, ticket: int, request: Request, timeout_s: float) -> None:
        self._gate.reached.set()
        assert self._gate.is_open.wait(MOST_SECONDS)
        self._inner.start(ticket, request, timeout_s)

    def wait(self, timeout_s: float) -> list[tuple[int, Answer]]:
        return self._inner.wait(timeout_s)

    def close(self) -> None:
        self._inner.close()


@dataclass
class Office:
    """A scheduler of some syncs, and what a test does to it."""

    world: World
    syncs: dict[str, dict[str, Any]]
    transport: Callable[[AccountSettings], Transport] = http_transport
    engine: dict[str, Any] = field(default_factory=dict)
    changed: Config | ConfigError | None = None
    stops_at: datetime | None = None

    def __post_init__(self) -> None:
        self.metrics = Metrics()
        clock = self.world.clock
        self.ports = Ports(
            clock, random.Random(1), transport=self.transport, stop=self.is_over, progress=_nobody
        )
        self.scheduler = Scheduler(
            self.config(), self.ports, reload=self.reload, watcher=self.metrics, wait=self.rest
        )

    def config(self) -> Config:
        self.world.config()
        path = self.world.folder / "config.yaml"
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        sync = document["syncs"].popitem()[1]
        account = document["destinations"]["iterable"]
        document["destinations"]["slow"] = {**account, "max_in_flight": 1}
        document["engine"] = self.engine
        for name, changes in self.syncs.items():
            more = dict(changes)
            destination = {
                **sync["destination"],
                "list": {"name": name},
                "name": more.pop("account", "iterable"),
            }
            document["syncs"][name] = {**sync, "destination": destination, **more}
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        variables = {"ITERABLE_API_KEY": self.world.key, "WAREHOUSE_URL": self.world.database.url}
        return load_config(path, variables)

    def reload(self) -> Config | None:
        changed, self.changed = self.changed, None
        if isinstance(changed, ConfigError):
            raise changed
        return changed

    def is_over(self) -> bool:
        return self.stops_at is not None and self.world.clock.now() >= self.stops_at

    def rest(self, seconds: float) -> None:
        """Wait for what runs, and let the time pass where nothing does."""
        if any(entry.is_running for entry in self.agenda.entries.values()):
            self.scheduler.wait_for_end(MOST_SECONDS)
        else:
            self.world.clock.sleep(seconds)

    @property
    def agenda(self) -> Agenda:
        return self.scheduler.agenda

    def run(self, **time: float) -> None:
        """Let the scheduler work for a while, from now on."""
        self.world.database.release()
        self.stops_at = self.world.clock.now() + timedelta(**time)
        self.scheduler.run()

    def count(self, name: str, **labels: str) -> float:
        """Return a sample of the metrics; zero where there is none."""
        text = self.metrics.text().decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == f"reverse_etl_{name}" and labels.items() <= sample.labels.items()
        )

    def ticks(self, sync: str) -> list[datetime]:
        """Return the ticks that were served, in the order of the runs."""
        return [row["scheduled_for"] for row in self._runs(sync) if row["scheduled_for"]]

    def statuses(self, sync: str) -> list[str]:
        return [row["status"] for row in self._runs(sync)]

    def _runs(self, sync: str) -> list[dict[str, Any]]:
        return [row for row in self.world.runs() if row["sync_name"] == sync]


def _nobody(_step: str, _done: int, _of: int | None) -> None:
    """Take no notice."""


MakeOffice = Callable[..., Office]


@pytest.fixture
def office(world: World) -> MakeOffice:
    """Return what makes a scheduler for syncs by name, each with its differences."""

    def make(syncs: Mapping[str, Mapping[str, Any]], **more: Any) -> Office:
        world.put_emails("ada", "bob", "cid")
        # Some seconds after a quarter, so that a time holds as many ticks whenever it is tested.
        seconds = world.clock.now().timestamp() % (15 * 60)
        world.clock.sleep(15 * 60 - seconds + 7)
        named = {name: {"schedule": QUARTER, **sync} for name, sync in syncs.items()}
        return Office(world, named, **more)

    return make


def quarters(ticks: list[datetime]) -> list[float]:
    """Return the distances of ticks, in minutes."""
    return [(b - a).total_seconds() / 60 for a, b in pairwise(ticks)]


def test_each_tick_of_each_sync_is_served_once(office: MakeOffice) -> None:
    place = office({"one": {}, "two": {}, "by_hand": {"schedule": {"type": "manual"}}})
    place.run(hours=1, minutes=1)
    for name in ("one", "two"):
        assert quarters(place.ticks(name)) == [15.0, 15.0, 15.0]
        assert place.world.members(name) == {address(n) for n in ("ada", "bob", "cid")}
        assert place.count("runs_total", sync=name, status="succeeded") == 4
    assert place.ticks("by_hand") == []
    assert place.count("changes_total", sync="one", operation="insert", outcome="succeeded") == 3
    assert place.count("phase_seconds_count", sync="one", phase="plan") == 4
    assert place.count("requests_total", sync="one", status="200") > 0


def test_a_second_scheduler_serves_only_what_the_first_did_not(office: MakeOffice) -> None:
    """As after a restart, or where two run at a time: the ledger is in the warehouse."""
    place = office({"one": {}})
    place.run(minutes=31)
    before = place.ticks("one")
    assert len(before) == 2
    other = Office(place.world, place.syncs)
    other.run(minutes=10)
    assert place.ticks("one")[:2] == before
    assert set(quarters(place.ticks("one"))) == {15.0}


def test_a_slow_sync_delays_no_other_and_its_missed_ticks_are_one_run(office: MakeOffice) -> None:
    gate = Gate()
    place = office({"slow_one": {"account": "slow"}, "fast": {}}, transport=gate.transport)
    if place.world.database.engine == "duckdb":
        pytest.skip("a DuckDB file has one writer at a time")
    place.world.database.release()
    clock = place.world.clock

    def rest(seconds: float) -> None:
        others = [e for n, e in place.agenda.entries.items() if n != "slow_one" and e.is_running]
        if others or (place.agenda.entries["slow_one"].is_running and not gate.reached.is_set()):
            place.scheduler.wait_for_end(0.05)
        else:
            clock.sleep(seconds)
        if clock.now() > opens_at:
            gate.is_open.set()
            place.scheduler.wait_for_end(0.05)

    place.scheduler._wait = rest
    opens_at = clock.now() + timedelta(hours=2)
    place.run(hours=2, minutes=14)
    assert set(quarters(place.ticks("fast"))) == {15.0}
    assert len(place.ticks("fast")) in {8, 9}
    # The one that hung, one for all that passed meanwhile, and perhaps the next.
    gaps = quarters(place.ticks("slow_one"))
    assert gaps[0] >= 105
    assert gaps[1:] in ([], [15.0])
    assert set(place.statuses("slow_one")) == {"succeeded"}


def test_a_broken_sync_is_tried_again_and_harms_no_other(office: MakeOffice) -> None:
    source = {"warehouse": "local", "primary_key": "id", "query": "select * from later"}
    place = office({"broken": {"source": source}, "well": {}})
    place.run(minutes=44)
    assert place.ticks("broken") == []
    assert set(place.statuses("broken")) == {"failed"}
    tries = len(place.statuses("broken"))
    # After one, three and seven minutes, and at the next tick: not each time the loop turns.
    assert 4 <= tries <= 10
    assert quarters(place.ticks("well")) == [15.0] * (len(place.ticks("well")) - 1)
    place.world.sql("CREATE TABLE later AS SELECT * FROM people")
    place.run(minutes=16)
    assert place.statuses("broken")[tries:][0] == "succeeded"
    assert place.agenda.entries["broken"].failures == 0


def test_a_warehouse_that_is_away_is_asked_again(office: MakeOffice) -> None:
    place = office({"one": {}})
    database = place.world.database
    there, away = database.url, "postgresql+psycopg://nobody@127.0.0.1:9/none"
    if database.engine == "duckdb":
        away = "duckdb:////proc/nowhere/w.duckdb"
    database.url = away
    place.changed = place.config()
    place.run(minutes=31)
    failed = place.count("runs_total", sync="one", status="failed")
    assert failed >= 3
    assert place.agenda.entries["one"].failures == failed
    database.url = there
    place.changed = place.config()
    place.run(minutes=31)
    assert len(place.ticks("one")) == 2
    assert place.agenda.entries["one"].failures == 0


def test_a_file_that_somebody_has_open_is_waited_for(office: MakeOffice) -> None:
    place = office({"one": {}})
    world = place.world
    if world.database.engine != "duckdb":
        pytest.skip("only a file can be open elsewhere")
    place.run(minutes=16)
    # Between runs users may look, and write.
    path = sa.make_url(world.database.url).database or ""
    with duckdb.connect(path) as connection:
        connection.execute("INSERT INTO people (id, email) VALUES (9, 'new@x.com')")
    place.run(minutes=16)
    assert "new@x.com" in world.members("one")


def test_a_changed_config_is_taken_over(office: MakeOffice) -> None:
    place = office({"old": {}, "kept": {}})
    place.run(minutes=16)
    place.syncs = {"kept": place.syncs["kept"], "new": {"schedule": QUARTER}}
    place.changed = place.config()
    place.run(minutes=31)
    assert len(place.ticks("old")) == 1
    assert len(place.ticks("kept")) == 3
    assert len(place.ticks("new")) == 2, "it is due at the next tick after it was seen"
    assert set(place.agenda.entries) == {"kept", "new"}
    text = place.metrics.text().decode()
    assert 'sync="old"' not in text
    assert 'sync="new"' in text


def test_a_config_that_cannot_be_used_changes_nothing(
    office: MakeOffice, caplog: pytest.LogCaptureFixture
) -> None:
    place = office({"one": {}})
    place.changed = ConfigError(["config.yaml:3:1: a fault of the test"])
    place.run(minutes=16)
    assert len(place.ticks("one")) == 1
    assert place.count("config_is_valid") == 0
    said = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert said == [
        "config.yaml:3:1: a fault of the test",
        "the changed config is not used; its last one stays",
    ]
    place.changed = place.config()
    place.run(seconds=20)
    assert place.count("config_is_valid") == 1


def test_no_more_syncs_run_at_a_time_than_the_config_allows(office: MakeOffice) -> None:
    gate = Gate()
    names = ("a_slow", "b_slow", "c_slow")
    syncs = {name: {"account": "slow"} for name in names}
    place = office(syncs, transport=gate.transport, engine={"max_parallel_syncs": 1})
    most = 0

    def rest(seconds: float) -> None:
        nonlocal most
        running = sum(entry.is_running for entry in place.agenda.entries.values())
        most = max(most, running)
        gate.is_open.set()
        place.rest(seconds)

    place.scheduler._wait = rest
    place.run(minutes=16)
    assert most == 1
    assert [len(place.ticks(name)) for name in names] == [1, 1, 1]


def test_a_bug_in_one_sync_costs_the_others_nothing(
    office: MakeOffice, caplog: pytest.LogCaptureFixture
) -> None:
    canary = "canary@example.com"

    def transport(account: AccountSettings) -> Transport:
        if account.max_in_flight == 1:
            raise ZeroDivisionError(canary)
        return http_transport(account)

    place = office({"buggy": {"account": "slow"}, "well": {}}, transport=transport)
    place.run(minutes=31)
    assert len(place.ticks("well")) == 2
    assert place.count("runs_total", sync="buggy", status="failed") >= 2
    assert "ZeroDivisionError" in caplog.text
    assert canary not in caplog.text, "what an error says may be a row"


def test_a_bug_that_cannot_even_be_told_keeps_no_sync_from_running(
    office: MakeOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A place that is never given back, or a sync that runs for ever, would be worse."""
    place = office({"one": {}})
    tell = Runner.tell
    tried = 0

    def broken(self: Runner, report: RunSummary) -> RunSummary:
        nonlocal tried
        tried += 1
        if tried <= 2:
            raise ZeroDivisionError
        return tell(self, report)

    monkeypatch.setattr(Runner, "tell", broken)
    place.run(minutes=46)
    assert len(place.ticks("one")) == 3
    assert place.scheduler._running == 0
    assert not place.agenda.entries["one"].is_running


def test_a_tick_that_comes_during_a_look_is_served(
    office: MakeOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = office({"one": {}})
    clock = place.world.clock
    wanted: list[datetime | None] = []

    def slow(schedule: Schedule, standing: Standing, now: datetime) -> Tick | None:
        found = find_tick(schedule, standing, now)
        if not wanted:
            wanted.append(next_tick(schedule, now))
            clock.sleep(15 * 60)
        return found

    monkeypatch.setattr(scheduler_module, "find_tick", slow)
    place.run(minutes=16)
    (tick,) = wanted
    assert tick is not None
    assert place.ticks("one")[0] == tick.replace(tzinfo=None)


def test_a_tick_that_was_found_by_an_old_look_is_looked_at_again(
    office: MakeOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another scheduler served an older one between the look and the lease."""
    place = office({"one": {}})
    faked = False

    def late(schedule: Schedule, standing: Standing, now: datetime) -> Tick | None:
        nonlocal faked
        found = find_tick(schedule, standing, now)
        if found is None or found.at is None or faked:
            return found
        faked = True
        return Tick(found.at, found.at - timedelta(days=1))

    monkeypatch.setattr(scheduler_module, "find_tick", late)
    place.run(minutes=31)
    assert place.count("runs_total", sync="one", status="skipped") == 1
    assert quarters(place.ticks("one")) == [15.0]


def test_a_clock_that_is_set_back_keeps_no_sync_from_running(office: MakeOffice) -> None:
    place = office({"one": {}})
    clock = place.world.clock
    clock.sleep(10 * 24 * 3600)
    is_right = False

    def rest(seconds: float) -> None:
        nonlocal is_right
        place.rest(seconds)
        if not is_right and not place.agenda.entries["one"].is_running:
            is_right = True
            clock.skipped -= 10 * 24 * 3600
            place.stops_at = clock.now() + timedelta(minutes=31)

    place.scheduler._wait = rest
    place.run(minutes=31)
    assert is_right
    assert len(place.ticks("one")) == 3, "the last one, and two more"
    assert quarters(place.ticks("one")) == [15.0, 15.0]


def test_a_sync_that_leaves_the_config_while_it_runs_leaves_the_metrics(
    office: MakeOffice,
) -> None:
    gate = Gate()
    place = office({"leaves": {"account": "slow"}}, transport=gate.transport)

    def rest(seconds: float) -> None:
        entry = place.agenda.entries.get("leaves")
        if gate.is_open.is_set() or (entry is not None and not entry.is_running):
            place.rest(seconds)
            return
        if entry is None:
            gate.is_open.set()
        elif gate.reached.is_set():
            place.syncs = {"new": {"schedule": QUARTER}}
            place.changed = place.config()
            place.world.clock.sleep(10)
        place.scheduler.wait_for_end(0.05)

    place.scheduler._wait = rest
    place.run(minutes=31)
    assert place.statuses("leaves") == ["succeeded"], "it ends in order"
    assert 'sync="leaves"' not in place.metrics.text().decode()
    assert place.scheduler._running == 0


def test_a_warehouse_that_is_away_costs_the_retention_of_others_nothing(
    world: World,
    office: MakeOffice,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = {"warehouse": "away", "primary_key": "id", "query": "select * from people"}
    world.beside = {"away": {"url": "duckdb:////proc/nowhere/w.duckdb"}}
    place = office({"lost": {"source": source}, "one": {}})
    asked = []

    def forget(config: Config, warehouse_name: str, ports: Ports) -> list[str]:
        asked.append(warehouse_name)
        return forget_old_logs(config, warehouse_name, ports)

    monkeypatch.setattr(scheduler_module, "forget_old_logs", forget)
    place.world.database.release()
    place.scheduler._retain()
    assert asked == ["away", "local"]
    assert "w.duckdb" in caplog.text


def test_what_is_said_over_http(office: MakeOffice) -> None:
    place = office({"one": {}})
    clock = place.world.clock
    with page("127.0.0.1", 0, place.scheduler, place.metrics, clock.monotonic) as port:
        place.run(minutes=16)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            health = client.get("/healthz").json()
            assert (health["status"], health["syncs"], health["failing"]) == ("ok", 1, [])
            answer = client.get("/metrics")
            assert answer.headers["Content-Type"].startswith("text/plain; version=")
            families = {f.name: f for f in text_string_to_metric_families(answer.text)}
            clock.sleep(ALIVE_SECONDS + 1)
            assert client.get("/healthz").status_code == 503
            assert client.get("/").status_code == 404
            assert client.post("/metrics").status_code == 405
        assert families["reverse_etl_failed_records"].samples[0].value == 0
        at = families["reverse_etl_last_success_timestamp_seconds"].samples[0].value
        assert 0 <= clock.now().timestamp() - at < 20 * 60
        next_look = families["reverse_etl_next_look_timestamp_seconds"].samples[0].value
        assert 0 <= next_look + ALIVE_SECONDS + 1 - clock.now().timestamp() <= 15 * 60
        with (
            pytest.raises(RunError, match="another --port"),
            page("127.0.0.1", port, place.scheduler, place.metrics, clock.monotonic),
        ):
            pass


@pytest.fixture(autouse=True)
def _log_level(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level("INFO", logger="reverse_etl"):
        yield


def test_what_an_outage_left_is_sent_when_the_destination_is_back(office: MakeOffice) -> None:
    """Not at the next tick, which may be a day away."""
    daily = {"type": "basic", "every": "1 day"}
    place = office({"one": {"schedule": daily}})
    world = place.world
    place.run(minutes=1)
    world.faults = [Fault("status", match="/api/lists/subscribe", status=401)]
    place.run(days=1)
    assert len(place.ticks("one")) == 1
    assert set(place.statuses("one")) == {"failed"}
    assert len(place.statuses("one")) > 5, "it is tried again, at longer and longer intervals"
    assert place.agenda.entries["one"].failures > 5
    world.faults = []
    place.run(hours=1, minutes=10)
    assert place.statuses("one")[-1] == "succeeded"
    assert len(place.ticks("one")) in {1, 2}
    assert world.members("one") == {address(n) for n in ("ada", "bob", "cid")}
    assert place.agenda.entries["one"].failures == 0

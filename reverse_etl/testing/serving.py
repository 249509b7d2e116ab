"""The scheduler for an hour: faults, a source that never rests, time that runs faster.

A scheduler in a process of its own serves four syncs, one of them broken, while people join, leave
and change, and the destination and the webhook fail now and then. Its clock runs so fast that a
tick comes every few seconds; everything else takes the time that it takes. Afterwards the
destination must be equal to the queries, no tick may have been served twice, no webhook may have
accepted the same message twice in a row, and memory and open files must not have grown. ::

    python -m reverse_etl.testing.serving --minutes 60 --url duckdb:////tmp/serving.duckdb
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from reverse_etl.cli.logs import LogFormat, start_log
from reverse_etl.cli.output import Output
from reverse_etl.cli.signals import Stop
from reverse_etl.clock import SystemClock
from reverse_etl.config import Config, load_config
from reverse_etl.config.watch import WatchedConfig
from reverse_etl.errors import Busy
from reverse_etl.ports import Ports
from reverse_etl.run import run_sync
from reverse_etl.scheduler import Scheduler
from reverse_etl.scheduler.metrics import Metrics
from reverse_etl.scheduler.page import page
from reverse_etl.testing.site import API_KEY, SCHEMA, Destination, destination
from reverse_etl.warehouse import warehouse_at

PEOPLE = 2_000
SPEED = 60.0

# Real seconds between two changes of the source, and between two looks at the process.
_CHANGE_EVERY = 0.5
_LOOK_EVERY = 5.0

# Some growth is noise: an allocator keeps what a busier moment needed.
MOST_GROWTH = 1.05
MOST_FILES_MORE = 3

LISTS = {"everyone": "select * from people", "payers": "select * from people where plan = 'paid'"}

_FAULTS: Sequence[dict[str, Any]] = (
    {"action": "status", "status": 503, "times": 4},
    {"action": "status", "status": 401, "times": 1},
    {"action": "rate_limit", "times": 3, "retry_after": 1},
    {"action": "reset_before", "times": 3},
    {"action": "reset_after", "times": 3},
    {"action": "hang_after", "times": 1, "seconds": 4},
    {"action": "latency", "times": 20, "seconds": 0.3},
    {"action": "truncate", "times": 2},
    {"action": "bad_json", "times": 2},
)


class FastClock(SystemClock):
    """The clock of a world in which the days are short; what is measured takes its real time."""

    def __init__(self, speed: float) -> None:
        """Start with the present."""
        self._speed = speed
        self._began, self._since = super().now(), super().monotonic()

    def now(self) -> datetime:
        """Return the wall clock of that world, aware, in UTC."""
        passed = (super().monotonic() - self._since) * self._speed
        return self._began + timedelta(seconds=passed)


# --- the scheduler's process ---------------------------------------------------------------


def serve(config_path: Path, speed: float) -> int:
    """Serve as the command does, by a faster clock; return its exit code."""
    start_log(Output(), LogFormat.TEXT, every_run=False)

    def load() -> Config:
        return load_config(config_path, os.environ)

    config = load()
    watched, metrics = WatchedConfig(config, load), Metrics()
    with Stop(config.engine.shutdown_seconds) as stop:
        ports = Ports(FastClock(speed), stop=stop)
        scheduler = Scheduler(config, ports, reload=watched.changed, watcher=metrics)
        with page("127.0.0.1", 0, scheduler, metrics, ports.clock.monotonic):
            scheduler.run()
    return stop.exit_code


# --- the webhook ---------------------------------------------------------------------------


class _Webhook(BaseHTTPRequestHandler):
    """Accepts four of five messages, and writes them down."""

    accepted: defaultdict[str, list[str]]
    rng: random.Random

    def do_POST(self) -> None:
        """Take a message."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        accepts = self.rng.random() < 0.8
        if accepts:
            self.accepted[body["sync"]].append(body["event"])
        self.send_response(200 if accepts else 500)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def _webhook(rng: random.Random) -> Iterator[tuple[str, defaultdict[str, list[str]]]]:
    accepted: defaultdict[str, list[str]] = defaultdict(list)
    handler = type("Handler", (_Webhook,), {"accepted": accepted, "rng": rng})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hook", accepted
        finally:
            server.shutdown()


# --- the world around it -------------------------------------------------------------------


@dataclass
class Soak:
    """One soak.

    Attributes:
        url: SQLAlchemy URL of an empty warehouse.
        folder: Where the config is written.
        place: The destination.
        rng: Decides what changes and what fails.
        memory: Megabytes of the process, one for each look.
        files: Open files of the process, the same.
    """

    url: str
    folder: Path
    place: Destination
    rng: random.Random
    memory: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    _made: int = 0

    @property
    def config_path(self) -> Path:
        """The config."""
        return self.folder / "config.yaml"

    @property
    def variables(self) -> dict[str, str]:
        """What the config takes from the environment."""
        return {"WAREHOUSE_URL": self.url, "ITERABLE_API_KEY": API_KEY}

    def write_config(self, webhook: str) -> None:
        """Write the config."""
        syncs = {name: self._sync(query, "list", name) for name, query in LISTS.items()}
        syncs["profiles"] = self._sync("select * from people", "user", "")
        syncs["broken"] = self._sync("select * from nowhere", "list", "broken")
        document = {
            "warehouses": {"local": {"url": "${WAREHOUSE_URL}", "schema": SCHEMA}},
            "destinations": {
                "iterable": {
                    "type": "iterable",
                    "api_key": "${ITERABLE_API_KEY}",
                    "base_url": self.place.url,
                    "requests_per_second": 0,
                    "records_per_request": 50,
                    "request_timeout_seconds": 2,
                    "retry_seconds": 3,
                }
            },
            "engine": {"lease_seconds": 5, "checkpoint_seconds": 0.5, "shutdown_seconds": 20},
            "notifications": [
                {"url": webhook, "on": ["failed", "failures", "recovered"], "failed_percent": 1}
            ],
            "syncs": syncs,
        }
        self.config_path.write_text(yaml.safe_dump(document), encoding="utf-8")

    @staticmethod
    def _sync(query: str, kind: str, name: str) -> dict[str, Any]:
        more = {"list": {"name": name}} if kind == "list" else {"on_delete": "clear_fields"}
        return {
            "source": {"warehouse": "local", "query": query, "primary_key": "id"},
            "destination": {"name": "iterable", "object": kind, **more},
            "identifiers": {"email": "email"},
            # A field has one sync that writes it: of two, each may undo what the other has sent.
            **({"fields": {"plan": "plan"}} if kind == "user" else {}),
            "schedule": {"type": "cron", "expression": "*/5 * * * *"},
            "max_delete_percent": 100,
            "observability": {"sync_log_retention_days": 1},
        }

    # --- the source ----------------------------------------------------------------------------

    def fill(self) -> None:
        """Let there be people."""
        self._execute(
            "create table people (id integer, email varchar(99), plan varchar(9))",
            *(self._insert() for _ in range(PEOPLE // 100)),
        )

    def change(self) -> None:
        """Let some join, some leave, and some change; not at all while the file is in use.

        There are about as many in the end as in the beginning: more people take more memory.
        """
        low = self._made - self.rng.randrange(1, PEOPLE)
        try:
            self._execute(
                self._insert(self.rng.randrange(1, 15)),
                f"delete from people where id between {low} and {low + self.rng.randrange(9)}"  # noqa: S608 - numbers
                f" or id < {self._made - PEOPLE}",
                f"update people set plan = case plan when 'paid' then 'free' else 'paid' end"  # noqa: S608 - as above
                f" where mod(id, 97) = {self.rng.randrange(97)}",
            )
        except Busy:
            return

    def _insert(self, count: int = 100) -> str:
        numbers = range(self._made, self._made + count)
        self._made += count
        plans = ("paid", "free")
        rows = ", ".join(f"({n}, 'p{n}@x.com', '{self.rng.choice(plans)}')" for n in numbers)
        return f"insert into people values {rows}"  # noqa: S608 - numbers

    def _execute(self, *statements: str) -> None:
        with (
            warehouse_at(self.url, SCHEMA, SystemClock()) as warehouse,
            warehouse.transaction() as tx,
        ):
            for statement in statements:
                tx.connection.exec_driver_sql(statement)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Read rows."""
        with (
            warehouse_at(self.url, SCHEMA, SystemClock()) as warehouse,
            warehouse.transaction() as tx,
        ):
            return [tuple(row) for row in tx.connection.exec_driver_sql(query).all()]

    # --- the hour ------------------------------------------------------------------------------

    def live(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        """Let things happen while the scheduler serves."""
        began = looked = time.monotonic()
        while time.monotonic() < began + seconds:
            if process.poll() is not None:
                raise AssertionError(f"the scheduler ended by itself ({process.returncode})")
            self.change()
            if self.rng.random() < 0.1:
                self.place.ask("faults", [self.rng.choice(_FAULTS)])
            if time.monotonic() > looked + _LOOK_EVERY:
                looked = time.monotonic()
                self._look_at(process.pid)
            time.sleep(_CHANGE_EVERY)

    def _look_at(self, pid: int) -> None:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
        self.memory.append(int(line.split()[1]) / 1024)
        self.files.append(len(list(Path(f"/proc/{pid}/fd").iterdir())))

    # --- afterwards ----------------------------------------------------------------------------

    def problems(self, accepted: dict[str, list[str]]) -> list[str]:
        """Return what is wrong, after a clean run of each sync."""
        self.place.ask("faults", [])
        config = load_config(self.config_path, self.variables)
        for name in (*LISTS, "profiles"):
            # The lease of a run that was broken off may not have expired yet.
            time.sleep(config.engine.lease_seconds if name == "everyone" else 0)
            run_sync(config, name)
        return [*self._wrong_members(), *self._ticks_served_twice(), *self._told_twice(accepted)]

    def _wrong_members(self) -> Iterator[str]:
        state = self.place.ask("state")
        for name, query in LISTS.items():
            (found,) = [set(each["members"]) for each in state["lists"] if each["name"] == name]
            wanted = {row[1] for row in self.rows(query)}
            if found != wanted:
                yield f"{name}: {len(found ^ wanted)} people are wrong of {len(wanted)}"
        plans = {each["email"]: each["dataFields"].get("plan") for each in state["people"]}
        wanted_plans = {row[1]: row[2] for row in self.rows("select * from people")}
        wrong = [who for who, plan in plans.items() if wanted_plans.get(who) != plan]
        # Whoever left is known to the lists still, without the field that was cleared.
        if wrong:
            yield f"profiles: {len(wrong)} people are wrong of {len(plans)}"

    def _ticks_served_twice(self) -> Iterator[str]:
        ticks = Counter(
            self.rows(
                f"select sync_name, scheduled_for from {SCHEMA}.sync_runs"  # noqa: S608
                " where scheduled_for is not null"
            )
        )
        for (name, tick), count in ticks.items():
            if count > 1:
                yield f"{name}: the tick of {tick} was served {count} times"

    @staticmethod
    def _told_twice(accepted: dict[str, list[str]]) -> Iterator[str]:
        for name, events in accepted.items():
            twice = sum(one == other for one, other in pairwise(events))
            if twice:
                yield f"{name}: {twice} messages were accepted twice in a row"

    def growth(self) -> list[str]:
        """Return what has grown, the first quarter left out, in which all is warming up."""
        quarter = len(self.memory) // 4
        if not quarter:
            return []
        before, after = (
            statistics.median(self.memory[part * quarter : (part + 1) * quarter]) for part in (1, 3)
        )
        found = []
        if after > before * MOST_GROWTH:
            found.append(f"memory grew from {before:.0f} to {after:.0f} MB")
        files_before, files_after = (
            max(self.files[part * quarter : (part + 1) * quarter]) for part in (1, 3)
        )
        if files_after > files_before + MOST_FILES_MORE:
            found.append(f"open files grew from {files_before} to {files_after}")
        return found

    def report(self, accepted: dict[str, list[str]]) -> str:
        """Return the figures in one paragraph."""
        statuses = Counter(
            self.rows(
                f"select sync_name, status from {SCHEMA}.sync_runs where trigger = 'schedule'"  # noqa: S608
            )
        )
        runs = ", ".join(f"{name} {status} {n}" for (name, status), n in sorted(statuses.items()))
        quarter = max(len(self.memory) // 4, 1)
        parts = [self.memory[i : i + quarter] for i in range(0, 4 * quarter, quarter)]
        memory = " ".join(f"{statistics.median(part):.0f}" for part in parts if part)
        files = f"{min(self.files, default=0)} to {max(self.files, default=0)}"
        told = sum(map(len, accepted.values()))
        return (
            f"{sum(statuses.values())} scheduled runs ({runs}); {told} messages; memory by quarter "
            f"{memory} MB; {files} open files"
        )


def soak(url: str, minutes: float, speed: float, seed: int) -> int:
    """Let a scheduler live for a while; return the exit code."""
    rng = random.Random(seed)
    with (
        tempfile.TemporaryDirectory() as folder,
        destination() as place,
        _webhook(random.Random(seed)) as (webhook, accepted),
    ):
        this = Soak(url, Path(folder), place, rng)
        this.write_config(webhook)
        this.fill()
        command = [sys.executable, "-m", "reverse_etl.testing.serving"]
        words = ["--child", str(this.config_path), "--speed", str(speed)]
        process = subprocess.Popen(  # noqa: S603 - our own command
            [*command, *words], env={**os.environ, **this.variables}, stderr=subprocess.DEVNULL
        )
        try:
            this.live(process, minutes * 60)
            process.send_signal(signal.SIGTERM)
            code = process.wait(60)
        finally:
            process.kill()
        problems = [*this.problems(accepted), *this.growth()]
        if code != 128 + signal.SIGTERM:
            problems.append(f"the scheduler ended with {code}")
        print(f"{datetime.now(UTC):%Y-%m-%d}, seed {seed}: {this.report(accepted)}")  # noqa: T201 - a command
    for problem in problems:
        print(f"WRONG {problem}")  # noqa: T201 - a command
    return 1 if problems else 0


def main(argv: Sequence[str]) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m reverse_etl.testing.serving")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--url")
    parser.add_argument("--speed", type=float, default=SPEED)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.child:
        return serve(given.child, given.speed)
    seed = random.randrange(2**32) if given.seed is None else given.seed
    if given.url:
        return soak(given.url, given.minutes, given.speed, seed)
    with tempfile.TemporaryDirectory() as folder:
        return soak(f"duckdb:///{folder}/serving.duckdb", given.minutes, given.speed, seed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

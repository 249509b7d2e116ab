"""The real command, killed with SIGKILL again and again; then every promise is checked.

A *series* is one or more killed runs, the source changing before each, and then one undisturbed
run, after which the destination must be equal to the query and the tables must say what happened.
The moment of a kill is drawn from the length of an undisturbed run, or tied to a request: lost on
the way, applied without an answer, or answered. ::

    python -m reverse_etl.testing.kills --kills 500 --warehouse duckdb
    python -m reverse_etl.testing.kills --kills 500 --warehouse postgresql

The seed decides what changes and at what is aimed; what a kill hits is the machine's doing, so
the command that is printed with a failure may have to be repeated.
"""

from __future__ import annotations

import argparse
import random
import shlex
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from reverse_etl.config import load_config
from reverse_etl.run import WINDOW_ROUNDS, run_sync
from reverse_etl.testing.site import (
    SCHEMA,
    Command,
    Object,
    Recorder,
    Sending,
    Site,
    destination,
    wait_for,
)

# Small, so that the plan of a run is some windows long.
RECORDS_PER_REQUEST = 3
MAX_IN_FLIGHT = 3
WINDOW = WINDOW_ROUNDS * MAX_IN_FLIGHT * RECORDS_PER_REQUEST

# The lease of a killed run must expire before the next one starts.
LEASE_SECONDS = 2

PEOPLE = 900
FOREIGN = {f"theirs{n}@x.com": f"theirs {n}" for n in range(5)}

# How many people join, leave, move to another address and change their plan before a run.
JOIN, LEAVE, MOVE, EDIT, RETURN = 50, 50, 60, 140, 10
PLANNED = JOIN + LEAVE + 2 * MOVE + EDIT + RETURN

# How likely another kill follows before the undisturbed run.
_AGAIN = 0.6

Stage = Literal[
    "before the lease", "recovering", "planning", "delivering", "settling", "retaining", "ended"
]
STAGES: tuple[Stage, ...] = (
    "before the lease",
    "recovering",
    "planning",
    "delivering",
    "settling",
    "retaining",
    "ended",
)


class BrokenPromiseError(AssertionError):
    """A promise of the contract that was not kept."""


def _demand(kept: object, promise: str, *facts: object) -> None:
    if not kept:
        raise BrokenPromiseError(": ".join([promise, *map(str, facts)]))


# --- the source ----------------------------------------------------------------------------


class People:
    """The source: nobody ever gets a plan or an address that somebody had before.

    So whatever is sent a second time within a series is sent again, and not anew: only who left
    in an earlier series may return.

    Attributes:
        rows: Id to address and plan.
    """

    def __init__(self, rng: random.Random) -> None:
        """Begin with some people."""
        self._rng = rng
        self._made = 0
        self._left: list[str] = []
        self._gone: list[str] = []
        self.rows: dict[int, tuple[str, str]] = {}
        for _ in range(PEOPLE):
            self._add(self._address())

    @property
    def plans(self) -> dict[str, str]:
        """Address to plan."""
        return dict(self.rows.values())

    def change(self) -> None:
        """Let people join, leave, move, change and return."""
        chosen = self._rng.sample(sorted(self.rows), LEAVE + MOVE + EDIT)
        for n, row in enumerate(chosen):
            email, plan = self.rows[row]
            if n < LEAVE:
                self._left.append(email)
                del self.rows[row]
            elif n < LEAVE + MOVE:
                self._left.append(email)
                self.rows[row] = self._address(), plan
            else:
                self.rows[row] = email, self._next("plan")
        for _ in range(JOIN):
            self._add(self._address())
        for _ in range(min(RETURN, len(self._gone))):
            self._add(self._gone.pop(self._rng.randrange(len(self._gone))))

    def series_ended(self) -> None:
        """Let those who left be among those who may return."""
        self._gone += self._left
        self._left = []

    def _add(self, email: str) -> None:
        plan = self._next("plan")
        self.rows[self._made] = email, plan

    def _address(self) -> str:
        return f"{self._next('person')}@x.com"

    def _next(self, word: str) -> str:
        self._made += 1
        return f"{word}{self._made}"


# --- aiming --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Aim:
    """When a run is to be killed.

    Attributes:
        seconds: After the start of the process, or after the request.
        request: Its number in the run, or None.
        moment: When that request is lost, applied without an answer, or some time after.
    """

    seconds: float
    request: int | None = None
    moment: Literal["lost", "applied", "after"] = "after"


@dataclass(frozen=True)
class Rhythm:
    """How an undisturbed run went, in seconds after its start.

    Attributes:
        begun: It had its lease and wrote its row.
        first: Its first request arrived.
        last: Its last one arrived.
        end: The process ended.
    """

    begun: float
    first: float
    last: float
    end: float

    def aim(self, rng: random.Random) -> Aim:
        """Draw a moment: anywhere, while planning, at a request, or after the last request."""
        requests = PLANNED // RECORDS_PER_REQUEST
        kind = rng.choices(["anywhere", "planning", "request", "ending"], [20, 25, 35, 20])[0]
        if kind == "anywhere":
            return Aim(rng.uniform(0, self.end))
        if kind == "planning":
            return Aim(rng.uniform(self.begun, self.first))
        if kind == "ending":
            # Early rather than late: most of the rest is what Python needs to come to an end.
            return Aim((self.end - self.last) / 2 * rng.random() ** 2, requests)
        return Aim(0, rng.randint(1, requests), rng.choice(("lost", "applied", "after")))


def _shoot(command: Command, recorder: Recorder, aim: Aim) -> bool:
    """Kill the command where it was aimed; return False when it had ended before."""
    reached = threading.Event()

    def before(number: int) -> bool:
        if number == aim.request and aim.moment == "lost":
            command.kill()
            return False
        return True

    def after(number: int) -> None:
        if number == aim.request and aim.moment == "applied":
            command.kill()
        if number == aim.request:
            reached.set()

    recorder.before, recorder.after = before, after
    while aim.request is not None and not reached.is_set():
        if command.ends_within(_LOOK_SECONDS):
            return command.process.returncode < 0
    if not command.ends_within(aim.seconds):
        command.kill()
    return command.end() < 0


_LOOK_SECONDS = 0.01


# --- what is measured ----------------------------------------------------------------------


@dataclass
class Figures:
    """What came of many kills.

    Attributes:
        stages: How many kills hit each stage of a run; ``ended`` came too late.
        sent_again: For each kill, how many people of it later runs sent again in vain.
        series: How many series were played.
    """

    stages: Counter[Stage] = field(default_factory=Counter)
    sent_again: list[int] = field(default_factory=list)
    series: int = 0

    @property
    def kills(self) -> int:
        """How many runs were killed."""
        return self.stages.total() - self.stages["ended"]

    @property
    def most_sent_again(self) -> int:
        """The most people that were sent again after one kill."""
        return max(self.sent_again, default=0)

    def line(self) -> str:
        """Return all of it as one line."""
        hit = ", ".join(f"{self.stages[stage]} {stage}" for stage in STAGES)
        mean = sum(self.sent_again) / max(len(self.sent_again), 1)
        return (
            f"{self.kills} kills in {self.series} series ({hit}); people sent again per kill: "
            f"at most {self.most_sent_again}, {mean:.1f} on average, bound {WINDOW}"
        )


@dataclass(frozen=True)
class Played:
    """One run as it was seen from outside.

    Attributes:
        run_id: Its number; None when it did not come so far as to get one.
        applied: Who was in the requests that were applied.
    """

    run_id: int | None
    applied: list[Sending]


# --- the play ------------------------------------------------------------------------------


class Kills:
    """Kills the runs of one sync.

    Attributes:
        figures: What came of it.
    """

    def __init__(self, site: Site, seed: int, figures: Figures | None = None) -> None:
        """Prepare; the warehouse must know nothing of the sync yet."""
        self.figures = figures or Figures()
        self._site = site
        self._rng = random.Random(f"{seed} {site.object}")
        self._people = People(self._rng)
        self._recorder = site.destination.recorder
        self._run_id = self._token = self._checked = 0

    def play(self, kills: int) -> None:
        """Kill so many runs.

        Raises:
            BrokenPromiseError: A promise was not kept.
        """
        self._arrange()
        self._undisturbed()
        self._change()
        rhythm = self._undisturbed()
        self._check([])
        wanted = self.figures.kills + kills
        while self.figures.kills < wanted:
            rhythm = self._series(rhythm, wanted)

    def _arrange(self) -> None:
        site = self._site
        site.account |= {
            "records_per_request": RECORDS_PER_REQUEST,
            "max_in_flight": MAX_IN_FLIGHT,
        }
        site.engine |= {"lease_seconds": LEASE_SECONDS}
        site.write_config()
        site.fill(self._people.rows)
        site.destination.ask(
            "profiles",
            [{"email": email, "dataFields": {"plan": plan}} for email, plan in FOREIGN.items()],
        )
        if site.object == "list":
            site.destination.ask("lists", {"name": site.name, "members": list(FOREIGN)})

    def _series(self, rhythm: Rhythm, wanted: int) -> Rhythm:
        """Kill some runs, let one run in peace, and check; return how that one went."""
        killed = []
        while True:
            self._change()
            killed.append(self._killed(rhythm.aim(self._rng)))
            if self.figures.kills >= wanted or self._rng.random() >= _AGAIN:
                break
        self._change()
        rhythm = self._undisturbed()
        self._check(killed)
        self._people.series_ended()
        self.figures.series += 1
        return rhythm

    def _change(self) -> None:
        self._people.change()
        self._site.fill(self._people.rows)

    # --- runs ------------------------------------------------------------------------------

    def _killed(self, aim: Aim) -> Played:
        """Play a run that is killed, and see how far it came."""
        self._recorder.clear()
        with self._site.start() as command:
            killed = _shoot(command, self._recorder, aim)
            _demand(killed or command.process.returncode == 0, "a run succeeds", command.stderr)
        wait_for(self._recorder.is_idle, "the requests on the wire come to an end")
        before, token = self._run_id, self._token
        status, planned, _ = self._look()
        played = Played(
            self._run_id if self._run_id > before else None, list(self._recorder.applied)
        )
        stage: Stage = "before the lease"
        if not killed:
            stage = "ended"
        elif played.run_id is not None:
            stage = _stage(status, planned, len(played.applied))
        elif self._token > token:
            stage = "recovering"
        self.figures.stages[stage] += 1
        wait_for(lambda: not self._site.is_leased(), "the lease of a killed run expires")
        return played

    def _undisturbed(self) -> Rhythm:
        """Play a run in peace; return how it went."""
        self._recorder.clear()
        started, started_at = time.monotonic(), datetime.now(UTC).replace(tzinfo=None)
        with self._site.start() as command:
            code = command.end()
        end = time.monotonic()
        _demand(code == 0, "an undisturbed run succeeds", command.stdout, command.stderr)
        *_, begun_at = self._look()
        arrived = self._recorder.arrived
        _demand(arrived, "what has changed is sent")
        return Rhythm(
            (begun_at - started_at).total_seconds(),
            *(moment - started for moment in (arrived[0], arrived[-1], end)),
        )

    def _look(self) -> tuple[str, int, datetime]:
        """Read how far the newest run came: status, how much was planned, when it began."""
        planned = "inserts_planned + updates_planned + deletes_planned"
        rows = self._site.rows(
            f"select sync_run_id, status, {planned}, started_at from {SCHEMA}.sync_runs"  # noqa: S608
            f" where sync_name = '{self._site.name}' order by sync_run_id desc limit 1"
        )
        tokens = self._site.rows(
            f"select lease_token from {SCHEMA}.sync_state where sync_name = '{self._site.name}'"  # noqa: S608
        )
        self._token = tokens[0][0]
        self._run_id, status, count, begun_at = rows[0]
        return status, count, begun_at

    # --- promises --------------------------------------------------------------------------

    def _check(self, killed: list[Played]) -> None:
        """Hold the tables and the destination against what is promised."""
        repair = Played(self._run_id, list(self._recorder.applied))
        self._check_destination()
        self._check_tables([*killed, repair])
        self._measure(killed, repair)
        self._recorder.clear()
        site = self._site
        # In this process: what a start costs was paid often enough.
        report = run_sync(load_config(site.config_path, site.variables), site.name)
        _demand(report.status == "succeeded", "the next run succeeds", report.error)
        _demand(not self._recorder.arrived, "the next run sends nothing", report.planned)
        self._look()
        self._checked = self._run_id

    def _check_destination(self) -> None:
        members, profiles = self._site.destination.state()
        wanted = self._people.plans
        found = {email: fields.get("plan") for email, fields in profiles.items()}
        if self._site.object == "list":
            everybody = wanted.keys() | FOREIGN.keys()
            _demand(members == everybody, "the list is equal", sorted(members ^ everybody))
            found = {email: plan for email, plan in found.items() if email in everybody}
        found = {email: plan for email, plan in found.items() if plan is not None}
        expected = wanted | FOREIGN
        wrong = {e for e in found.keys() | expected.keys() if found.get(e) != expected.get(e)}
        _demand(not wrong, "the fields are equal", sorted(wrong))

    def _check_tables(self, played: list[Played]) -> None:
        runs = _runs(self._site.rows(self._newer("sync_runs", _RUN_COLUMNS)))
        log = self._site.rows(self._newer("sync_log", _LOG_COLUMNS))
        failed = self._site.rows(f"select identity from {SCHEMA}.failed_records")  # noqa: S608
        _demand(not failed, "nobody is left failed", failed)
        lines: dict[int, list[tuple[Any, ...]]] = {run_id: [] for run_id in runs}
        for run_id, *line in log:
            lines[run_id].append(tuple(line))
        for run_id, (status, counters) in runs.items():
            ended = status in {"succeeded", "interrupted"}
            _demand(ended, "every run has ended", run_id, status)
            counted = Counter((operation, state) for _, operation, state, _ in lines[run_id])
            for operation in ("insert", "update", "delete"):
                planned, succeeded, refused = counters[operation]
                logged = counted[operation, "succeeded"], counted[operation, "failed"]
                _demand(logged == (succeeded, refused), "counters equal the log", run_id)
                done = status != "succeeded" or planned == succeeded + refused
                _demand(done, "a finished run has tried all", run_id)
        for run in played:
            sent = {each.identity for each in run.applied}
            if run.run_id is None:
                _demand(not sent, "a run has a row before its first request")
                continue
            tried = {line[0] for line in lines[run.run_id]}
            _demand(sent <= tried, "who was sent is in the log", run.run_id, sorted(sent - tried))
            confirmed = {line[0] for line in lines[run.run_id] if line[2] == "succeeded"}
            _demand(confirmed <= sent, "who succeeded was sent", sorted(confirmed - sent))
            codes = {line[3] for line in lines[run.run_id]} - {None}
            _demand(codes <= {"unknown"}, "what was in flight is unknown", codes)

    def _newer(self, table: str, columns: str) -> str:
        return (
            f"select sync_run_id, {columns} from {SCHEMA}.{table} where"  # noqa: S608
            f" sync_name = '{self._site.name}' and sync_run_id > {self._checked}"
            " order by sync_run_id"
        )

    def _measure(self, killed: list[Played], repair: Played) -> None:
        """Count who was sent again with the same values, for each killed run."""
        for n, run in enumerate(killed):
            later = {sent for other in [*killed[n + 1 :], repair] for sent in other.applied}
            again = len(later & set(run.applied))
            self.figures.sent_again.append(again)
            _demand(again <= WINDOW, "a kill sends one window again at most", again)


_LOG_COLUMNS = "identity, operation, status, error_code"
_RUN_COLUMNS = "status, " + ", ".join(
    f"{operation}s_{what}"
    for operation in ("insert", "update", "delete")
    for what in ("planned", "succeeded", "failed")
)

Counters = dict[str, tuple[int, int, int]]


def _runs(rows: list[tuple[Any, ...]]) -> dict[int, tuple[str, Counters]]:
    """Return status and counters (planned, succeeded, failed) by run."""
    return {
        run_id: (status, {"insert": (a, b, c), "update": (d, e, f), "delete": (g, h, i)})
        for run_id, status, a, b, c, d, e, f, g, h, i in rows
    }


def _stage(status: str, planned: int, applied: int) -> Stage:
    """Return the stage that a killed run with a row was in."""
    if status == "planning":
        return "planning"
    if status == "delivering":
        return "delivering" if applied < planned else "settling"
    return "retaining"


# --- the command line ----------------------------------------------------------------------


@contextmanager
def site(url: str, kind: Object) -> Iterator[Site]:
    """Arrange a site for kills, with its own sandbox, in a folder that goes with it."""
    with tempfile.TemporaryDirectory(prefix="reverse_etl_kills_") as folder, destination() as there:
        made = Site(Path(folder), url, there, kind, name=f"kills_{kind}")
        if made.url == DUCKDB:
            made.url = f"duckdb:///{folder}/warehouse.duckdb"
        yield made


DUCKDB = "duckdb://"
"""A DuckDB file of its own for each site."""


def main(argv: list[str] | None = None) -> int:
    """Kill runs, half of lists and half of profiles; return 1 when a promise is broken."""
    parser = argparse.ArgumentParser(prog="python -m reverse_etl.testing.kills")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--warehouse", choices=("duckdb", "postgresql"), default="duckdb")
    parser.add_argument(
        "--url",
        help="a PostgreSQL to play in instead of one of its own; our schema there is lost",
    )
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(argv)
    with url_of(chosen.warehouse, chosen.url) as url:
        return _play(chosen, url)


@contextmanager
def url_of(warehouse: str, url: str | None) -> Iterator[str]:
    """Return where to play; a PostgreSQL that is not given is started for the length of a block."""
    if warehouse == "duckdb" or url:
        yield url or DUCKDB
        return
    from reverse_etl.testing.postgres import running_server  # noqa: PLC0415 - a test's own server

    with running_server() as server:
        yield server.url("postgres", scheme="postgresql+psycopg")


def _play(chosen: argparse.Namespace, url: str) -> int:
    figures = Figures()
    kinds: Mapping[Object, int] = {"list": -(-chosen.kills // 2), "user": chosen.kills // 2}
    for kind, kills in kinds.items():
        with site(url, kind) as made:
            try:
                made.forget()
                Kills(made, chosen.seed, figures).play(kills)
            except AssertionError as error:
                again = ["--kills", str(chosen.kills), "--warehouse", chosen.warehouse]
                again += ["--seed", str(chosen.seed), *(["--url", "URL"] if chosen.url else [])]
                sys.stdout.write(
                    f"{kind}, after {figures.kills} kills: {error}\nonce more with:"
                    f" python -m reverse_etl.testing.kills {shlex.join(again)}\n"
                )
                return 1
    sys.stdout.write(f"{chosen.warehouse}, seed {chosen.seed}: {figures.line()}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

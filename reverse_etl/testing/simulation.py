"""The real engine on a real warehouse, against a destination in memory, with everything failing.

A *history* (:mod:`reverse_etl.testing.histories`) is played round by round: each round is one
run, in a world where requests get lost or refused, the warehouse fails statements and the process
dies between any two steps (:mod:`reverse_etl.testing.place`). Then the faults stop, and the
promises of the contract are checked (:mod:`reverse_etl.testing.promises`). The same seed gives
the same trace, whatever the machine.

Run seeds by hand, and look closely at one::

    python -m reverse_etl.testing.simulation --seeds 1-500
    python -m reverse_etl.testing.simulation --seed 42 --shrink --trace
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import multiprocessing
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.queues import SimpleQueue

import reverse_etl.run as engine
from reverse_etl.connector import AccountSettings
from reverse_etl.delivery.limiter import Pacers
from reverse_etl.errors import Busy, LeaseLost, ReverseEtlError
from reverse_etl.ports import Ports
from reverse_etl.retrying import ask_again
from reverse_etl.testing.destination import (
    BULK_UPDATE,
    LIST_NAME,
    Project,
    Service,
    Wire,
    is_clearing,
)
from reverse_etl.testing.expected import expected
from reverse_etl.testing.histories import (
    FAULTS,
    LIST_ID,
    MAPPINGS,
    OTHER_LIST_ID,
    History,
    Round,
    generate,
    smaller,
)
from reverse_etl.testing.place import SYNC, Crash, Place, SimulatedRun, Steps, duckdb_place
from reverse_etl.testing.promises import Books, PlayedRun, Witness, demand
from reverse_etl.testing.round_config import config_of
from reverse_etl.testing.rules.agreement import Agreement
from reverse_etl.warehouse.statements import control


@dataclass
class Played:
    """What playing a history came to.

    Attributes:
        trace: Everything that happened, in order.
        coverage: How often each interesting thing happened.
    """

    trace: list[str] = field(default_factory=list)
    coverage: Counter[str] = field(default_factory=Counter)

    def digest(self) -> str:
        """Return a hash of the trace."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()


def play(history: History, place: Place, played: Played | None = None) -> Played:
    """Play a history, check the promises after every round, then let the faults stop.

    Raises:
        BrokenPromiseError: A promise was not kept.
    """
    place.empty()
    player = Player(history, place, played or Played())
    for each in history.rounds:
        player.play(each)
    calm = history.rounds[-1].calm()
    player.finish(calm)
    return player.played


class Player:
    """Plays the rounds of one history against one destination."""

    def __init__(self, history: History, place: Place, played: Played) -> None:
        """Make an empty destination with one foreign member."""
        self.history = history
        self.place = place
        self.played = played
        self.clock = place.start()
        lists = {} if history.by_name else {LIST_ID: LIST_NAME, OTHER_LIST_ID: "Another"}
        self.project = Project(history.project_type, lists)
        self.witness = Witness(history, self.project)
        self.agreement = Agreement(history, played.coverage)
        self.number = 0

    def trace(self, line: str) -> None:
        """Write down what happens."""
        self.played.trace.append(line)

    def play(self, played: Round) -> PlayedRun:
        """Play one round, one run of one process, and check what it left."""
        self.number += 1
        self.clock.sleep(played.after)
        self.trace(f"round {self.number}")
        if played.asks_again:
            self._ask_again()
        run = PlayedRun(self.number, played, expected(self.history, played))
        self._run(run, f"{self.history.seed}/{self.number}")
        self._look_back(run)
        return run

    def finish(self, calm: Round) -> None:
        """The faults stop: one clean run makes everything right, a second has nothing to do."""
        if self.witness.list_id is not None:
            calm = replace(calm, list_id=self.witness.list_id)
        first = self.play(calm)
        with self.looking() as books:
            self.witness.check_converged(books, calm, first)
        second = self.play(calm)
        with self.looking() as books:
            self.witness.check_quiet(books, second)

    def _ask_again(self) -> None:
        with self.place.warehouse.transaction() as tx:
            if not tx.warehouse.is_prepared(tx):
                tx.abandon()
                return
            chosen = control.choose_failures(tx.warehouse.tables.failed, SYNC)
            found = ask_again(tx, chosen)
        self.agreement.ask_again()
        self.trace(f"asks for {found.count} failed records")
        self.played.coverage["asked for a permanent failure"] += bool(
            found.by_code.keys() - {"unknown", "unavailable", "not_found"}
        )

    # --- one process -----------------------------------------------------------------------

    def _run(self, run: PlayedRun, seed: str, process: str | None = None) -> None:
        """Let one process live and perhaps die."""
        with self.looking() as books:
            run.before = books.believed()
        until, now = run.before.held_until, self.clock.server_now().replace(tzinfo=None)
        if until is not None and not self.place.warehouse.control.capabilities.lock_proves_lease:
            run.found_leased = until >= now
        run.list_before = self.witness.list_id
        run.there_before = list(self.project.members_of(run.round.list_id))
        alive: list[SimulatedRun] = []

        def beside(n: int) -> None:
            self._beside(run, alive[0], n, f"{seed}.{n + 1}")

        played = run.round
        steps = self.place.steps = Steps(played, self.trace, self.played.coverage, beside)
        ports = self._ports(run, seed, lambda: alive[0])
        options = engine.Options(full=played.full, allow_deletes=played.allow_deletes)
        config = config_of(self.history, played, self.place)
        made = SimulatedRun(config, ports, options, self.place, process)
        alive.append(made)
        try:
            run.report = made.execute()
        except Crash:
            self.trace("crashed")
        except ReverseEtlError as error:
            run.raised = error.code
            self.trace(f"raised {error.code}")
            self._check_raised(run, error)
        demand(steps.dead == run.died, "who dies is dead", run.number)
        self.place.steps = self._idle()
        run.run_id = made.run_id or None

    def _ports(self, run: PlayedRun, seed: str, made: Callable[[], SimulatedRun]) -> Ports:
        played, coverage, steps = run.round, self.played.coverage, self.place.steps

        def transport(_account: AccountSettings) -> Wire:
            service = Service(self.project, played.faults, played.poison, seed, coverage)
            wire = Wire(service, self.clock, steps.step, self.trace)
            wire.beat = made().beat
            run.wires.append(wire)
            return wire

        def stop() -> bool:
            return played.stop_after is not None and len(run.sent) >= played.stop_after

        return Ports(
            clock=self.clock,
            rng=random.Random(seed),
            pacers=Pacers(self.clock),
            transport=transport,
            stop=stop,
            ahead=iter,
        )

    def _idle(self) -> Steps:
        return Steps(Round(()), self.trace, self.played.coverage)

    def _check_raised(self, run: PlayedRun, error: ReverseEtlError) -> None:
        """A run raises when the warehouse fails, or when somebody else has the lease."""
        if isinstance(error, Busy):
            demand(
                run.found_leased or run.is_rival or run.disturbed,
                "busy only while somebody runs",
                error,
            )
        elif isinstance(error, LeaseLost):
            demand(run.frozen, "the lease is lost only to somebody else", error)
        else:
            told = not run.round.is_steady or run.is_rival or run.disturbed
            demand(told, "a run raises only when the warehouse fails", error)

    def _look_back(self, run: PlayedRun) -> None:
        self._note(run)
        self.witness.check_run(run)
        with self.looking() as books:
            self.witness.check_lost_lease(run, books)
            self.witness.check_books(books)
            self.agreement.look(books, run, self.witness.runs)
            self.witness.check_brake(run, books.state() if books.ready() else None)

    # --- beside it -------------------------------------------------------------------------

    def _beside(self, run: PlayedRun, made: SimulatedRun, n: int, seed: str) -> None:
        """Play what happens beside a run, which stands still meanwhile."""
        each, coverage = run.round.meanwhile[n], self.played.coverage
        steps, self.place.steps = self.place.steps, self._idle()
        if each.jump:
            coverage["clock jump"] += 1
            self.clock.jump(each.jump)
        if each.pause:
            coverage["pause"] += 1
            for wire in run.wires:
                wire.leave_alone()
            self.clock.sleep(each.pause)
        if each.rival is not None:
            coverage["two runners"] += 1
            process = made.process if each.same_process else None
            self._let_rival_run(run, made, each.rival, seed, process)
        self.place.steps = steps

    def _let_rival_run(
        self, run: PlayedRun, made: SimulatedRun, played: Round, seed: str, process: str | None
    ) -> None:
        run.disturbed, run.run_id = True, made.run_id or None
        self.witness.meet(run)
        with self.looking() as books:
            self.witness.check_books(books)
            self.agreement.look(books, run, self.witness.runs)
            before = books.everything()
        rival = PlayedRun(self.number, played, expected(self.history, played), is_rival=True)
        self.trace("a rival runs")
        self._run(rival, seed, process)
        self._look_back(rival)
        with self.looking() as books:
            after = books.everything()
            state = books.state() if books.ready() else None
        if rival.raised == "busy":
            self.played.coverage["rival was busy"] += 1
            demand(after == before, "who is busy writes nothing", before, after)
        elif made.lease.token and state is not None and state.lease_token > made.lease.token:
            self.played.coverage["lease lost"] += 1
            run.frozen = after, len(run.sent)

    def _note(self, run: PlayedRun) -> None:
        """Count what happened, so that the seeds can be shown to meet it."""
        coverage = self.played.coverage
        if run.report is not None:
            self.trace(f"report {run.report.document()}")
            coverage[f"status {run.report.status}"] += 1
            for operation, count in run.report.planned.items():
                coverage[f"planned {operation.value}"] += count
            coverage["plans not empty"] += any(run.report.planned.values())
        coverage[f"raised {run.raised}"] += run.raised is not None
        coverage["requests"] += len(run.sent)
        people = [p for sent in run.sent if sent.path == BULK_UPDATE for p in sent.people]
        coverage["profiles written"] += len(people)
        for person in filter(is_clearing, people):
            coverage["profiles cleared"] += 1
            older = person["dataFields"].keys() - MAPPINGS[run.round.mapping].keys()
            coverage["older fields cleared"] += bool(older)

    @contextmanager
    def looking(self) -> Iterator[Books]:
        """Open our tables to look at them."""
        with self.place.warehouse.transaction() as tx:
            yield Books(tx)


# --- seeds ---------------------------------------------------------------------------------


def complaint(history: History, error: Exception, url: str | None = None) -> str:
    """Return what went wrong, with all that is needed to see it again."""
    where = {None: "", "duckdb": "", "loose": " --loose"}.get(url and url.partition(":")[0])
    where = " --url URL" if where is None else where
    command = f"python -m reverse_etl.testing.simulation --seed {history.seed} --shrink --trace"
    return f"{type(error).__name__}: {error}\n{history.text()}\nrerun: {command}{where}"


def violation(history: History, place: Place, played: Played | None = None) -> Exception | None:
    """Play a history; return what went wrong, or None."""
    try:
        play(history, place, played)
    except Exception as error:  # noqa: BLE001 - whatever the engine raises is a finding
        return error
    return None


def shrink(history: History, place: Place) -> History:
    """Return the smallest history found that still goes wrong in the same way."""
    kind = _kind(violation(history, place))
    while True:
        for candidate in smaller(history):
            if candidate.rounds and _kind(violation(candidate, place)) == kind:
                history = candidate
                break
        else:
            return history


def _kind(error: Exception | None) -> str:
    return "" if error is None else f"{type(error).__name__} {str(error).partition(':')[0]}"


# --- the command line ----------------------------------------------------------------------


@dataclass
class Tally:
    """What several seeds came to.

    Attributes:
        seeds: How many were played.
        wrong: How many went wrong.
        coverage: How often each interesting thing happened.
        seconds: Processor time.
    """

    seeds: int = 0
    wrong: int = 0
    coverage: Counter[str] = field(default_factory=Counter)
    seconds: float = 0

    def add(self, other: Tally) -> None:
        """Add what other seeds came to."""
        self.seeds += other.seeds
        self.wrong += other.wrong
        self.coverage.update(other.coverage)
        self.seconds += other.seconds

    def never_met(self, *, on_server: bool) -> list[str]:
        """Return what so many seeds should have met and did not."""
        wanted = [*MUST_BE_MET, *(("lease lost",) if on_server else ())]
        met = [name for name, count in self.coverage.items() if count]
        return [each for each in wanted if not any(name.startswith(each) for name in met)]

    def table(self) -> str:
        """Return the figures for a person."""
        each = 1_000 * self.seconds / max(self.seeds, 1)
        head = f"{self.seeds} seeds, {self.wrong} wrong, {each:.0f} ms of processor time each"
        counts = [f"{count:9} {name}" for name, count in sorted(self.coverage.items()) if count]
        return "\n".join([head, *counts])


@dataclass(frozen=True)
class _Task:
    """Seeds for one process, and what to do with those that go wrong."""

    seeds: range
    url: str | None
    loose: bool = False
    shrinks: bool = False
    shows_trace: bool = False


def play_seeds(task: _Task) -> Iterator[tuple[Tally, str]]:
    """Play seeds in a place of their own; yield what each came to, and a complaint or nothing."""
    with Place(task.url) if task.url else duckdb_place(loose=task.loose) as place:
        # What is there now stays; looking through it again and again takes a tenth of the time.
        gc.collect()
        gc.freeze()
        for seed in task.seeds:
            started = time.process_time()
            history, played = generate(seed), Played()
            error = violation(history, place, played)
            seconds = time.process_time() - started
            text = "" if error is None else _explained(history, error, played, task, place)
            yield Tally(1, error is not None, played.coverage, seconds), text


def _explained(
    history: History, error: Exception, played: Played, task: _Task, place: Place
) -> str:
    if task.shrinks:
        history, played = shrink(history, place), Played()
        error = violation(history, place, played) or error
    parts = [complaint(history, error, place.url), *(played.trace if task.shows_trace else ())]
    if task.shrinks:
        parts.append(history.code())
    return "\n".join(parts)


def _in_background(task: _Task, results: SimpleQueue[tuple[Tally, str] | None]) -> None:
    for each in play_seeds(task):
        results.put(each)
    results.put(None)


def _in_parallel(tasks: Sequence[_Task]) -> Iterator[tuple[Tally, str]]:
    """Play each task in a process of its own; yield results as they come."""
    context = multiprocessing.get_context("spawn")
    results: SimpleQueue[tuple[Tally, str] | None] = context.SimpleQueue()
    processes = [
        context.Process(target=_in_background, args=(task, results), daemon=True) for task in tasks
    ]
    for process in processes:
        process.start()
    running = len(processes)
    while running:
        result = results.get()
        if result is None:
            running -= 1
        else:
            yield result
    for process in processes:
        process.join()


def main(argv: list[str] | None = None) -> int:
    """Play seeds from the command line; return 1 when one goes wrong."""
    parser = argparse.ArgumentParser(prog="python -m reverse_etl.testing.simulation")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds", default="1-100", help="first-last")
    parser.add_argument(
        "--url",
        action="append",
        help="a PostgreSQL database to play in, one for each job; its schema ours is lost",
    )
    parser.add_argument(
        "--loose", action="store_true", help="in a DuckDB that keeps nothing together"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--shrink", action="store_true")
    parser.add_argument("--trace", action="store_true")
    chosen = parser.parse_args(argv)
    tasks = _tasks(chosen)
    total, shown = Tally(), time.monotonic()
    started = shown
    for tally, text in play_seeds(tasks[0]) if len(tasks) == 1 else _in_parallel(tasks):
        total.add(tally)
        if text:
            _say(f"{text}\n")
        if time.monotonic() - shown > _SECONDS_BETWEEN_SHOWS:
            shown = time.monotonic()
            rate = total.seeds / (shown - started)
            _say(f"{total.seeds} seeds, {total.wrong} wrong, {rate:.2f} a second")
    _say(total.table())
    missing = total.never_met(on_server=bool(chosen.url)) if total.seeds >= ENOUGH_SEEDS else []
    if missing:
        _say(f"never met, so these seeds prove less than they should: {', '.join(missing)}")
    return 1 if total.wrong or missing else 0


_SECONDS_BETWEEN_SHOWS = 60

ENOUGH_SEEDS = 1_000
"""So many seeds meet everything."""

MUST_BE_MET = (
    *(f"fault {kind}" for kind in (*FAULTS, "poison")),
    *(f"planned {operation}" for operation in ("insert", "update", "delete")),
    *(f"status {word}" for word in ("succeeded", "completed", "failed", "interrupted", "held")),
    *(
        f"killed {moment} {phase}"
        for moment in ("before", "after")
        for phase in ("lease", "recover", "begin", "plan", "commit", "deliver", "settle", "retain")
    ),
    *("killed deliver: wait", "killed before deliver: request", "killed after deliver: request"),
    *(f"failed {phase}" for phase in ("lease", "begin", "plan", "commit", "deliver", "settle")),
    *("clock jump", "pause", "two runners", "rival was busy", "older fields cleared"),
    "asked for a permanent failure",
)


def _tasks(chosen: argparse.Namespace) -> list[_Task]:
    first, _, last = chosen.seeds.partition("-")
    seeds = range(int(first), int(last) + 1)
    if chosen.seed is not None:
        seeds = range(chosen.seed, chosen.seed + 1)
    jobs = min(chosen.jobs, len(seeds))
    urls = chosen.url or [None] * jobs
    if len(urls) < jobs:
        message = f"--jobs {jobs} needs as many --url: each process plays in a database of its own"
        raise SystemExit(message)
    return [
        _Task(seeds[n::jobs], urls[n], chosen.loose, chosen.shrink, chosen.trace)
        for n in range(jobs)
    ]


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())

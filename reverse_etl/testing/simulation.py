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
import hashlib
import random
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import reverse_etl.run as engine
from reverse_etl.connector import AccountSettings
from reverse_etl.delivery.limiter import Pacers
from reverse_etl.errors import ReverseEtlError
from reverse_etl.ports import Ports
from reverse_etl.testing.destination import (
    BULK_UPDATE,
    LIST_ID,
    LIST_NAME,
    Project,
    Service,
    VirtualClock,
    Wire,
    is_clearing,
)
from reverse_etl.testing.expected import expected
from reverse_etl.testing.histories import MAPPINGS, History, Round, generate, smaller
from reverse_etl.testing.place import (
    MAX_IN_FLIGHT,
    Crash,
    Place,
    SimulatedRun,
    Steps,
    config_of,
    duckdb_place,
)
from reverse_etl.testing.promises import Books, PlayedRun, Witness, demand


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
        self.clock = place.clock = place.warehouse.clock = VirtualClock()
        lists = {} if history.by_name else {LIST_ID: LIST_NAME}
        self.project = Project(history.project_type, lists)
        self.witness = Witness(history, self.project)
        self.number = 0

    def trace(self, line: str) -> None:
        """Write down what happens."""
        self.played.trace.append(line)

    def play(self, played: Round) -> PlayedRun:
        """Play one round, one run of one process, and check what it left."""
        self.number += 1
        self.clock.sleep(3_600)
        self.trace(f"round {self.number}")
        run = PlayedRun(self.number, played, expected(self.history, played))
        self._run(run)
        self._note(run)
        self.witness.check_run(run)
        with self.looking() as books:
            self.witness.check_books(books)
        return run

    def finish(self, calm: Round) -> None:
        """The faults stop: one clean run makes everything right, a second has nothing to do."""
        first = self.play(calm)
        with self.looking() as books:
            self.witness.check_converged(books, calm, first)
        second = self.play(calm)
        with self.looking() as books:
            self.witness.check_quiet(books, second)

    def _run(self, run: PlayedRun) -> None:
        """Let one process live and perhaps die."""
        played, seed = run.round, f"{self.history.seed}/{run.number}"
        steps = self.place.steps = Steps(played, self.trace, self.played.coverage)
        wires: list[Wire] = []

        def transport(_account: AccountSettings) -> Wire:
            service = Service(
                self.project, played.faults, played.poison, seed, self.played.coverage
            )
            wires.append(Wire(service, self.clock, steps.step, self.trace))
            return wires[-1]

        def stop() -> bool:
            limit = played.stop_after
            return limit is not None and sum(len(w.sent) for w in wires) >= limit

        ports = Ports(
            clock=self.clock,
            rng=random.Random(seed),
            pacers=Pacers(self.clock),
            transport=transport,
            stop=stop,
        )
        options = engine.Options(full=played.full, allow_deletes=played.allow_deletes)
        config = config_of(self.history, played, self.place)
        made = SimulatedRun(config, ports, options, self.place)
        try:
            run.report = made.execute()
        except Crash:
            self.trace("crashed")
        except ReverseEtlError as error:
            demand(played.failed_at, "a run raises only when the warehouse fails", error)
            self.trace(f"raised {error.code}: {error}")
        self.place.steps = Steps(Round(()), self.trace, self.played.coverage)
        run.run_id = made.run_id or None
        run.sent = [sent for wire in wires for sent in wire.sent]
        for wire in wires:
            demand(wire.most_in_flight <= MAX_IN_FLIGHT, "no more requests in flight than allowed")

    def _note(self, run: PlayedRun) -> None:
        """Count what happened, so that the seeds can be shown to meet it."""
        coverage = self.played.coverage
        if run.report is not None:
            self.trace(f"report {run.report.document()}")
            coverage[f"status {run.report.status}"] += 1
            for operation, count in run.report.planned.items():
                coverage[f"planned {operation.value}"] += count
            coverage["plans not empty"] += any(run.report.planned.values())
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


def complaint(history: History, error: Exception) -> str:
    """Return what went wrong, with all that is needed to see it again."""
    command = f"python -m reverse_etl.testing.simulation --seed {history.seed} --shrink --trace"
    return f"{type(error).__name__}: {error}\n{history.text()}\nrerun: {command}"


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


def main(argv: list[str] | None = None) -> int:
    """Play seeds from the command line; return 1 when one goes wrong."""
    parser = argparse.ArgumentParser(prog="python -m reverse_etl.testing.simulation")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds", default="1-100", help="first-last")
    parser.add_argument("--url", help="a PostgreSQL database to play in; its schema ours is lost")
    parser.add_argument("--shrink", action="store_true")
    parser.add_argument("--trace", action="store_true")
    chosen = parser.parse_args(argv)
    first, _, last = chosen.seeds.partition("-")
    seeds = [chosen.seed] if chosen.seed is not None else range(int(first), int(last) + 1)
    coverage: Counter[str] = Counter()
    with Place(chosen.url) if chosen.url else duckdb_place() as place:
        wrong = sum(_look_at(seed, place, chosen, coverage) for seed in seeds)
    sys.stdout.write(f"{len(seeds)} seeds, {wrong} wrong\n")
    for name, count in sorted(coverage.items()):
        sys.stdout.write(f"{count:8} {name}\n")
    return 1 if wrong else 0


def _look_at(seed: int, place: Place, chosen: argparse.Namespace, coverage: Counter[str]) -> bool:
    """Play a seed and say what went wrong; return whether anything did."""
    history, played = generate(seed), Played()
    error = violation(history, place, played)
    coverage.update(played.coverage)
    if error is None:
        return False
    again = Played()
    if chosen.shrink:
        history = shrink(history, place)
        error = violation(history, place, again) or error
    sys.stdout.write(f"{complaint(history, error)}\n\n")
    if chosen.trace:
        sys.stdout.write("\n".join((again if chosen.shrink else played).trace) + "\n")
    sys.stdout.flush()
    return True


if __name__ == "__main__":
    raise SystemExit(main())

"""Recorded scenarios, and every step of them at which a process can die.

A scenario is a short history whose last round is worth being killed in. It is played once
undisturbed, to count its steps; then the process dies at each of them in turn, two clean runs
follow, and the promises are checked after each. Of the shortest, the repairing run dies too: at
each of its steps, for each step of the first.

On DuckDB the world forks at each step: the child dies there and is repaired, the parent goes on.
So what comes before is played once, and a child has whatever was in memory at that instant. On
PostgreSQL each death is played from the beginning::

    python -m reverse_etl.testing.scenarios --singles --jobs 2
    python -m reverse_etl.testing.scenarios --pairs
    python -m reverse_etl.testing.scenarios --scenario "first run" --step 17 --then 9 --trace
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from reverse_etl.testing.histories import Fault, History, HybridSend, Round, Row
from reverse_etl.testing.place import Crash, Place, Steps, duckdb_place
from reverse_etl.testing.simulation import Played, Player, play, violation

# --- the scenarios -------------------------------------------------------------------------


def row(
    key: int | None,
    email: str | None,
    user_id: str | None = None,
    plan: int | None = 1,
    tier: str | None = "s",
) -> Row:
    """Return a row of the source."""
    return Row(key, email, user_id, plan, tier)


def emails(*rounds: Round, by_name: bool = False) -> History:
    """Return a history of a list in an email project."""
    return History(1, "email", "both", by_name, rounds)


def hybrid(*rounds: Round, identity_alone: bool = False) -> History:
    """Return a history of a list in a hybrid project."""
    send: HybridSend = "identity" if identity_alone else "both"
    return History(1, "hybrid", send, by_name=False, rounds=rounds)


def profiles(*rounds: Round) -> History:
    """Return a history of profiles in a user_id project."""
    return History(1, "user_id", "both", by_name=False, rounds=rounds, object="user")


ADA, BOB, CYD = row(1, "a@x.test", "u1"), row(2, "b@x.test", "u2"), row(3, "c@x.test", "u3")
DAN, EVA, FAY = row(4, "d@x.test", "u4"), row(5, "e@x.test", "u5"), row(6, "f@x.test", "u6")
THREE = (ADA, BOB, CYD)
SIX = (*THREE, DAN, EVA, FAY)


def always(kind: str, first: int = 1) -> tuple[Fault, ...]:
    """Return a fault of every request from one on."""
    return (Fault(first, 99, kind),)


_ADA_2 = replace(ADA, plan=2)
_WANDERED = (row(1, "b@x.test", "u1"), row(2, "c@x.test", "u2"), row(3, "a@x.test", "u3"))
_SWAPPED = (row(1, "b@x.test", "u1"), row(2, "a@x.test", "u2"))

SCENARIOS: dict[str, History] = {
    "first run": emails(Round(THREE)),
    "one person": emails(Round((ADA,))),
    "changed value": emails(Round(THREE), Round((_ADA_2, BOB, CYD))),
    "removal": emails(Round(THREE), Round((ADA,))),
    "nobody left": emails(Round(THREE), Round(())),
    "changed e-mail": emails(Round((ADA, BOB)), Round((row(1, "d@x.test"), BOB))),
    "shared e-mail": emails(Round((ADA, row(2, " A@x.test"), CYD)), Round((ADA,))),
    "beyond one window": emails(Round((BOB,)), Round(SIX)),
    "refused and not found": emails(
        Round(THREE),
        Round(
            (_ADA_2, BOB, DAN, EVA),
            faults=(Fault(2, 1, "bucket_invalidData"), Fault(3, 1, "bucket_notFound")),
        ),
    ),
    "retry": emails(
        Round(THREE, faults=(Fault(2, 1, "bucket_notFound"),)), Round((_ADA_2, BOB, CYD))
    ),
    "retry switched off": emails(
        Round(THREE, faults=(Fault(2, 1, "bucket_notFound"),)), Round((ADA, DAN), retry=False)
    ),
    "unknown answers": emails(Round(THREE), Round((_ADA_2, DAN), faults=always("lost_after"))),
    "unknown delete": emails(Round(THREE), Round((ADA,), faults=always("lost_before"))),
    "unknown delete, then back": emails(
        Round(THREE), Round((ADA,), faults=always("lost_after")), Round((ADA, BOB))
    ),
    "unavailable": emails(Round((ADA,)), Round(SIX, faults=always("error_after"))),
    "one bad row": emails(Round((ADA,)), Round(SIX, poison=("d@x.test",))),
    "refused key": emails(Round((ADA,)), Round(SIX, faults=always("unauthorized", 2))),
    "rest of a refused key": emails(
        Round(SIX, faults=always("unauthorized", 3)), Round((ADA, BOB, EVA))
    ),
    "told to stop": emails(Round((ADA,)), Round(SIX, stop_after=1)),
    "rest of a stop": emails(Round(SIX, stop_after=2), Round((CYD, DAN, EVA))),
    "rest of a kill": emails(
        Round(SIX, killed_at="after deliver: request#2"), Round((ADA, DAN, EVA))
    ),
    "held": emails(Round(SIX), Round((ADA,), max_delete_percent=50)),
    "held, then let pass": emails(
        Round(SIX),
        Round((ADA,), max_delete_percent=50),
        Round((ADA,), max_delete_percent=50, allow_deletes=True),
    ),
    "full, with a refused delete": emails(
        Round(THREE),
        Round((ADA,), faults=always("bucket_invalidData")),
        Round((_ADA_2,), full=True),
    ),
    "list to be made": emails(Round((ADA,)), by_name=True),
    "invalid and duplicate rows": emails(
        Round((ADA, row(2, "nope"))),
        Round((row(1, None), row(2, "nope"), row(3, "c@x.test"), row(4, "C@x.test", plan=2))),
    ),
    "bad rows that are known": emails(
        Round((ADA, row(2, "nope"), row(3, " A@x.test", plan=5))),
        Round((_ADA_2, row(2, "nope"), row(3, " A@x.test", plan=5), row(4, "A@X.test", plan=6))),
    ),
    "only a row without identifier": emails(Round((ADA,)), Round((ADA, row(2, "nope")))),
    "upsert": emails(Round(THREE, mode="upsert"), Round((_ADA_2, DAN), mode="upsert")),
    "upsert, then mirror": emails(
        Round(THREE, mode="upsert"), Round((ADA,), mode="upsert"), Round((ADA, DAN))
    ),
    "upsert, then mirror with a brake": emails(
        Round(SIX, mode="upsert"),
        Round((ADA,), mode="upsert"),
        Round((ADA,), max_delete_percent=90),
    ),
    "retention": emails(
        Round((ADA,), snapshots_to_keep=1),
        Round((_ADA_2,), snapshots_to_keep=1),
        Round((ADA, BOB), snapshots_to_keep=1),
    ),
    "e-mails wander": hybrid(Round(THREE), Round(_WANDERED)),
    "e-mails are swapped": hybrid(Round((ADA, BOB)), Round(_SWAPPED, faults=always("lost_after"))),
    "e-mails wander, identity alone": hybrid(Round(THREE), Round(_WANDERED), identity_alone=True),
    "a row splits": hybrid(
        Round((ADA,)), Round((row(1, "b@x.test", "u1"), row(2, "a@x.test"))), Round((BOB,))
    ),
    "an e-mail is absorbed": hybrid(Round((row(2, "a@x.test"),)), Round((row(2, "a@x.test"), ADA))),
    "residue leaves": hybrid(Round((ADA,)), Round((row(2, "a@x.test"),)), Round((BOB,))),
    "profiles": profiles(Round(THREE, mapping="both")),
    "profiles are cleared": profiles(Round(THREE, mapping="both"), Round((ADA,), mapping="both")),
    "profiles are cleared of older fields": profiles(
        Round((ADA, BOB), mapping="both", faults=always("lost_after")),
        Round((ADA,), mapping="renamed"),
    ),
    "profiles are kept, then cleared": profiles(
        Round(THREE, mapping="both"),
        Round((ADA, BOB), mapping="both", on_delete="keep"),
        Round((ADA,), mapping="both"),
    ),
}

SHORTEST = ("one person", "list to be made", "nobody left", "profiles", "an e-mail is absorbed")
"""Whose repairing run is killed too."""


# --- dying everywhere ----------------------------------------------------------------------


@dataclass
class Deaths:
    """What came of killing a scenario at its steps.

    Attributes:
        scenario: Its name.
        steps: Kinds of the steps that it has, in order.
        died: How often it was killed at each kind of step.
        complaints: What went wrong, with the command to see it again.
    """

    scenario: str
    steps: list[str] = field(default_factory=list)
    died: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)

    def complain(self, error: Exception, name: str, step: int, then: int | None = None) -> None:
        """Keep what went wrong after a death."""
        self.complaints.append(_complaint(self.scenario, error, name, step, then))


def _complaint(scenario: str, error: Exception, name: str, step: int, then: int | None) -> str:
    command = f'python -m reverse_etl.testing.scenarios --scenario "{scenario}" --step {step}'
    command += f" --then {then}" if then else ""
    return f"{scenario}, killed {name}: {type(error).__name__}: {error}\nrerun: {command} --trace"


Watch = Callable[[int, str], None]
"""Told the number and the kind of each step before it is passed; may raise."""


class Watched(Place):
    """A place where somebody may watch the steps of the next process.

    Attributes:
        watch: Who watches it.
    """

    watch: Watch | None = None

    @property
    def steps(self) -> Steps:
        """The steps of the process that is running now."""
        return self._steps

    @steps.setter
    def steps(self, steps: Steps) -> None:
        self._steps = steps
        # The next process only: the checks after it pass steps too.
        watch, self.watch = self.watch, None
        if watch is not None:
            steps.step = partial(_watched, steps, watch, Counter())  # type: ignore[method-assign]


def _watched(steps: Steps, watch: Watch, count: Counter[str], name: str) -> None:
    if not steps.dead:
        count["steps"] += 1
        moment, _, what = name.partition(" ")
        try:
            watch(
                count["steps"],
                f"{moment} {steps.phase}: {what}" if what else f"{steps.phase}: {name}",
            )
        except Crash:
            steps.dead = True
            raise
    Steps.step(steps, name)


def dies_after(*words: str) -> Watch:
    """Return who kills a process at the step that follows steps with these words in their names.

    So a death is told by what happened before, whatever the numbers of the steps are.
    """
    left = list(words)

    def watch(_: int, name: str) -> None:
        if not left:
            raise Crash(name)
        if left[0] in name:
            left.pop(0)

    return watch


def with_death(history: History, step: int, then: int | None = None) -> History:
    """Return the history killed in its last round, and in the run that repairs it."""
    *before, last = history.rounds
    repair = [replace(last.calm(), killed_at=then)] if then else []
    return replace(history, rounds=(*before, replace(last, killed_at=step), *repair))


def kinds(history: History, place: Watched) -> list[str]:
    """Play a history undisturbed; return the kinds of the steps of its last round."""
    found: list[str] = []
    player = _played_before(history, place)
    place.watch = lambda _, name: found.append(name)
    player.play(history.rounds[-1])
    return found


def _played_before(history: History, place: Place) -> Player:
    """Play all but the last round."""
    place.empty()
    player = Player(history, place, Played())
    for each in history.rounds[:-1]:
        player.play(each)
    return player


# --- by playing again ----------------------------------------------------------------------


def singles(scenario: str, place: Watched, chosen: Collection[int]) -> Deaths:
    """Kill a scenario at some of its steps, each time from the beginning."""
    history = SCENARIOS[scenario]
    deaths = Deaths(scenario, kinds(history, place))
    for step in sorted(chosen):
        name = deaths.steps[step - 1]
        deaths.died[name] += 1
        error = violation(with_death(history, step), place)
        if error is not None:
            deaths.complain(error, name, step)
    return deaths


def pairs(scenario: str, place: Watched, chosen: Collection[int]) -> Deaths:
    """Kill a scenario at some of its steps, and then the repairing run at each of its own."""
    history = SCENARIOS[scenario]
    deaths = Deaths(scenario, kinds(history, place))
    for step in sorted(chosen):
        once = with_death(history, step)
        repair = replace(once, rounds=(*once.rounds, history.rounds[-1].calm()))
        for then, name in enumerate(kinds(repair, place), 1):
            deaths.died[name] += 1
            error = violation(with_death(history, step, then), place)
            if error is not None:
                deaths.complain(error, name, step, then)
    return deaths


# --- by forking the world ------------------------------------------------------------------


class Forks:
    """Forks the world at the steps of a run; in the child the process dies there."""

    def __init__(self, chosen: Callable[[int], bool]) -> None:
        """Die at the chosen steps."""
        self.dying_at: int | None = None
        self.heard: list[tuple[int, str, str]] = []
        self._chosen = chosen
        self._pipe = -1

    def watch(self, step: int, name: str) -> None:
        """Pass a step: the child dies here, the parent waits for what becomes of it."""
        if self.dying_at is not None or not self._chosen(step):
            return
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            self._pipe, self.dying_at = writing, step
            raise Crash(name)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            said = pipe.read()
        _, status = os.waitpid(child, 0)
        if status != 0:
            said += f"the child ended with status {status}"
        self.heard.append((step, name, said))

    def end_child(self, said: str) -> None:
        """Tell the parent, and be gone: nothing of the child's world is tidied up."""
        with os.fdopen(self._pipe, "w") as pipe:
            pipe.write(said)
        os._exit(0)


def forked_singles(scenario: str, place: Watched, chosen: Collection[int]) -> Deaths:
    """Kill a scenario at some of its steps, each time in a child of this process."""
    history = SCENARIOS[scenario]
    last = history.rounds[-1]
    deaths = Deaths(scenario, kinds(history, place))
    forks = Forks(lambda step: step in chosen)
    player = _played_before(history, place)
    _forked(player, last, forks, place, partial(player.finish, last.calm()))
    for step, name, said in forks.heard:
        deaths.died[name] += 1
        if said:
            deaths.complain(AssertionError(said), name, step)
    return deaths


def forked_pairs(scenario: str, place: Watched, chosen: Collection[int]) -> Deaths:
    """Do the same; and in each child, a child dies at each step of the repairing run."""
    history = SCENARIOS[scenario]
    last = history.rounds[-1]
    deaths = Deaths(scenario, kinds(history, place))
    forks = Forks(lambda step: step in chosen)
    player = _played_before(history, place)

    def repair() -> str:
        again = Forks(lambda _: True)
        _forked(player, last.calm(), again, place, partial(player.finish, last.calm()))
        return "\n".join(f"{step}\t{name}\t{_line(said)}" for step, name, said in again.heard)

    _forked(player, last, forks, place, repair)
    for step, name, said in forks.heard:
        for line in said.splitlines():
            then, kind, wrong = line.split("\t") if line.count("\t") == 2 else ("0", name, line)
            deaths.died[kind] += 1
            if wrong:
                deaths.complain(AssertionError(wrong), kind, step, int(then))
    return deaths


def _line(text: str) -> str:
    return " ".join(text.split())


def _forked(
    player: Player, last: Round, forks: Forks, place: Watched, repair: Callable[[], str | None]
) -> None:
    """Play a round; a child that died in it is repaired, and says what went wrong."""
    said = ""
    try:
        place.watch = forks.watch
        player.play(last)
        if forks.dying_at is not None:
            said = repair() or ""
    except Exception as error:
        if forks.dying_at is None:
            raise
        said = f"{type(error).__name__}: {error}"
    if forks.dying_at is not None:
        forks.end_child(said)


# --- many of them --------------------------------------------------------------------------


def spread(count: int, most: int, scenario: str) -> set[int]:
    """Return at most so many steps of a scenario, evenly; each scenario begins elsewhere."""
    every = max(-(-count // most), 1)
    offset = zlib.crc32(scenario.encode()) % every
    return {step for step in range(1, count + 1) if step % every == offset}


def kill(scenario: str, url: str | None, most: int, *, twice: bool) -> Deaths:
    """Kill a scenario at its steps, at most so many, in a place of its own."""
    with _watched_place(url) as place:
        count = len(kinds(SCENARIOS[scenario], place))
        chosen = spread(count, most, scenario)
        if url:
            return (pairs if twice else singles)(scenario, place, chosen)
        return (forked_pairs if twice else forked_singles)(scenario, place, chosen)


@contextmanager
def _watched_place(url: str | None) -> Iterator[Watched]:
    # In memory: a child's world is its own, down to the database.
    with Watched(url or f"duckdb:///:memory:watched{os.getpid()}") as place:
        yield place


def main(argv: list[str] | None = None) -> int:
    """Kill scenarios from the command line; return 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m reverse_etl.testing.scenarios")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--singles", action="store_true", help="kill at each step")
    what.add_argument("--pairs", action="store_true", help="and kill the repairing run too")
    what.add_argument("--step", type=int, help="play one death")
    parser.add_argument("--then", type=int, help="and one of the repairing run")
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="may be repeated")
    parser.add_argument("--most", type=int, default=1_000_000, help="steps of each scenario")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--url", help="a PostgreSQL database to play in; its schema ours is lost")
    parser.add_argument("--trace", action="store_true")
    chosen = parser.parse_args(argv)
    if chosen.step:
        return _one(chosen)
    names = chosen.scenario or (SHORTEST if chosen.pairs else tuple(SCENARIOS))
    if chosen.url and chosen.jobs > 1:
        parser.error("--jobs with --url would play two histories in one schema")
    return _all(names, chosen)


def _all(names: Collection[str], chosen: argparse.Namespace) -> int:
    work = partial(kill, url=chosen.url, most=chosen.most, twice=chosen.pairs)
    died: Counter[str] = Counter()
    wrong = 0
    started = time.monotonic()
    with ProcessPoolExecutor(chosen.jobs) as pool:
        for deaths in (pool.map if chosen.jobs > 1 else map)(work, names):
            total = sum(deaths.died.values())
            died += deaths.died
            wrong += len(deaths.complaints)
            _say(f"{total:6} deaths, {len(deaths.steps):4} steps: {deaths.scenario}")
            for complaint in deaths.complaints:
                _say(complaint)
    for name, count in sorted(died.items()):
        _say(f"{count:8} {name}")
    seconds = time.monotonic() - started
    _say(f"{len(names)} scenarios, {sum(died.values())} deaths, {wrong} wrong, {seconds:.0f} s")
    return 1 if wrong else 0


def _one(chosen: argparse.Namespace) -> int:
    (scenario,) = chosen.scenario
    history = with_death(SCENARIOS[scenario], chosen.step, chosen.then)
    played = Played()
    with Place(chosen.url) if chosen.url else duckdb_place() as place:
        try:
            play(history, place, played)
        except Exception as error:  # noqa: BLE001 - whatever the engine raises is a finding
            wrong: Exception | None = error
        else:
            wrong = None
    if chosen.trace:
        _say("\n".join(played.trace))
    _say(f"{scenario}: {wrong!r}" if wrong else f"{scenario}: every promise was kept")
    return 1 if wrong else 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())

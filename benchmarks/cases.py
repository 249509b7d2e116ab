"""The cases: each prepares a state of a database, measures ours and a yardstick in turns.

The states are ``start`` (the table), ``step_<kind>`` (everybody has sent it once), and
``changed_<kind>`` (one row in a hundred has changed since).
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import people
from benchmarks.figures import About, Figure
from benchmarks.measure import Cost
from benchmarks.stage import RIVALS, Play, Stage

KINDS = ("list", "user")
# Microseconds of our processor time for one person, of which DuckDB's own work is no part.
CPU_LIMIT = {"list": 8.0, "user": 15.0}
MB_LIMIT = {"postgresql": 120.0, "duckdb": 1024.0 + 150.0}


@dataclass(frozen=True)
class Case:
    """Something to measure.

    Attributes:
        name: For the command line, and the page.
        title: What it is, in words.
        engines: Where it makes sense.
        measure: Measures it.
    """

    name: str
    title: str
    engines: Sequence[str]
    measure: Callable[[Play, Stage], Iterator[Figure]]


# --- states --------------------------------------------------------------------------------


def make_start(play: Play, stage: Stage) -> None:
    """Make the table."""
    play.say(f"{stage.engine}: a table of {play.rows} people")
    with stage.changing("start") as database:
        for statement in people.create(stage.engine, play.rows):
            database.run(statement)


def make_in_step(play: Play, stage: Stage, kind: str) -> None:
    """Let everybody send the table once."""
    play.say(f"{stage.engine}, {kind}: everybody sends the table once")
    stage.copy("start", f"step_{kind}")
    stage.api.behave()
    for command in _rivals(stage, f"step_{kind}", kind).values():
        stage.cost_of(command)
    stage.copy(f"step_{kind}", f"changed_{kind}")
    with stage.changing(f"changed_{kind}") as database:
        for statement in people.change_a_hundredth(stage.engine, play.rows, kind):
            database.run(statement)


def _rivals(stage: Stage, state: str, kind: str) -> dict[str, list[str]]:
    return {
        "ours": stage.ours(state, kind),
        **{rival: stage.rival(rival, state, kind) for rival in RIVALS},
    }


def _in_turns(
    play: Play, stage: Stage, state: str, kind: str, *, once: Sequence[str] = ()
) -> dict[str, list[Cost]]:
    """Measure all in turns, each from the same state; some of them in the first turn alone."""
    costs: dict[str, list[Cost]] = {}
    for turn in range(play.repeats):
        for name in ("ours", *RIVALS):
            if turn and name in once:
                continue
            stage.copy(state, "run")
            stage.api.behave()
            cost = stage.cost_of(_rivals(stage, "run", kind)[name])
            play.say(f"  {turn + 1} {name:7} {cost.wall_s:7.2f} s, {cost.all_cpu_s:7.2f} s CPU")
            costs.setdefault(name, []).append(cost)
    return costs


def _ratios(ours: Sequence[Cost], others: Sequence[Cost], of: str) -> list[float]:
    return [getattr(a, of) / getattr(b, of) for a, b in zip(ours, others, strict=True)]


# --- whole runs ----------------------------------------------------------------------------


def first_run(play: Play, stage: Stage) -> Iterator[Figure]:
    """Everybody is new."""
    for kind in KINDS:
        about = About("first run", stage.engine, kind, play.rows)
        # The script has no part in a target here, and takes the longest.
        costs = _in_turns(play, stage, "start", kind, once=["script"])
        ours = costs["ours"]
        yield about.plain("seconds", [cost.wall_s for cost in ours])
        for rival in RIVALS:
            yield about.plain(f"seconds of the {rival}", [cost.wall_s for cost in costs[rival]])
        yield about.at_most("ratio to the floor", _ratios(ours, costs["floor"], "wall_s"), 1.5)
        micros = [cost.cpu_s / play.rows * 1e6 for cost in ours]
        if stage.engine == "postgresql":
            name = "microseconds of our processor time a person"
            yield about.at_most(name, micros, CPU_LIMIT[kind])
        else:
            yield about.plain("microseconds of processor time a person, DuckDB's too", micros)
        peaks = [cost.peak_mb for cost in ours]
        yield about.at_most("MB at most", peaks, MB_LIMIT[stage.engine])


def no_change(play: Play, stage: Stage) -> Iterator[Figure]:
    """Nothing has changed since the last run."""
    about = About("no change", stage.engine, "user", play.rows)
    ours, bare = [], []
    for _ in range(play.repeats):
        stage.copy("step_user", "run")
        ours.append(stage.cost_of(stage.ours("run", "user")).wall_s)
        stage.copy("start", "run")
        bare.append(_bare("query", stage)[0])
        play.say(f"  ours {ours[-1]:.2f} s, the query and a scan {bare[-1]:.2f} s")
    yield about.plain("seconds", ours)
    yield about.plain("seconds of the query into a table and a scan", bare)
    yield about.at_most("ratio", [a / b for a, b in zip(ours, bare, strict=True)], 1.3)


def empty(play: Play, stage: Stage) -> Iterator[Figure]:
    """The table has no row, and never had one."""
    stage.copy("start", "empty")
    with stage.changing("empty") as database:
        database.run("DELETE FROM people")
    stage.cost_of(stage.ours("empty", "list"))
    seconds = [stage.cost_of(stage.ours("empty", "list")).wall_s for _ in range(play.repeats)]
    yield About("empty", stage.engine, "list", 0).at_most("seconds, start included", seconds, 1.0)


def a_hundredth(play: Play, stage: Stage) -> Iterator[Figure]:
    """One row in a hundred has changed."""
    for kind in KINDS:
        about = About("1 % changed", stage.engine, kind, play.rows)
        costs = _in_turns(play, stage, f"changed_{kind}", kind)
        ours = costs["ours"]
        yield about.plain("seconds", [cost.wall_s for cost in ours])
        for rival in RIVALS:
            yield about.plain(f"seconds of the {rival}", [cost.wall_s for cost in costs[rival]])
        yield about.at_most("ratio to the script", _ratios(ours, costs["script"], "wall_s"), 1.3)
        # Within DuckDB's process its work cannot be told from ours.
        of = "server_cpu_s" if stage.engine == "postgresql" else "cpu_s"
        name = "processor time of the database, to the script's"
        yield about.at_most(name, _ratios(ours, costs["script"], of), 1.0)


def everything(play: Play, stage: Stage) -> Iterator[Figure]:
    """A value of every person has changed."""
    stage.copy("step_user", "all_user")
    with stage.changing("all_user") as database:
        for statement in people.change_all():
            database.run(statement)
    about = About("100 % changed", stage.engine, "user", play.rows)
    costs = _in_turns(play, stage, "all_user", "user", once=["script"])
    yield about.plain("seconds", [cost.wall_s for cost in costs["ours"]])
    for rival in RIVALS:
        turns = len(costs[rival])
        ratios = _ratios(costs["ours"][:turns], costs[rival], "wall_s")
        yield about.plain(f"ratio to the {rival}", ratios)


# --- pieces --------------------------------------------------------------------------------


def _bare(work: str, stage: Stage) -> tuple[float, float]:
    command = [sys.executable, "-m", "benchmarks.bare", work, "--url", stage.url("run")]
    wall, processor = json.loads(stage.cost_of(command).output)
    return wall, processor


def _phases(stage: Stage, kind: str) -> dict[str, Any]:
    config = stage.ours("run", kind)[-1]
    command = [sys.executable, "-m", "benchmarks.phases", "--config", config, "people"]
    # Python may still write about itself when it ends.
    first_line = stage.cost_of(command).output.splitlines()[0]
    found: dict[str, Any] = json.loads(first_line)
    return found


def plan_step(play: Play, stage: Stage) -> Iterator[Figure]:
    """The plan alone: one row in a hundred differs between two tables."""
    # DuckDB works in this process, so its processor time is known; of PostgreSQL, the clock.
    index, limit = (1, 2.2) if stage.engine == "duckdb" else (0, 5.0)
    about = About("plan step", stage.engine, "user", play.rows)
    ratios, joins = [], []
    for _ in range(play.repeats):
        stage.copy("changed_user", "run")
        ours = _phases(stage, "user")["statements"]["changes"][index]
        stage.copy("start", "run")
        bare = _bare("scan", stage)[index]
        play.say(f"  the plan {ours:.2f} s, a scan of both tables {bare:.2f} s")
        ratios.append(ours / bare)
        if stage.engine == "duckdb":
            stage.copy("start", "run")
            joins.append(_bare("join", stage)[index] / bare)
    yield about.at_most("ratio to a scan of both tables", ratios, limit)
    if joins:
        yield about.plain("ratio of a join of nothing but hashes to that scan", joins)


def profile(play: Play, stage: Stage) -> Iterator[Figure]:
    """Where the seconds of a run go; once."""
    for kind in KINDS:
        for title, state in (("first run", "start"), ("1 % changed", f"changed_{kind}")):
            stage.copy(state, "run")
            stage.api.behave()
            found = _phases(stage, kind)
            about = About(f"profile: {title}", stage.engine, kind, play.rows)
            planning = {
                f"plan: {table}": found["statements"][table][0]
                for table in ("snapshot", "contested", "changes")
            }
            phases = {name: seconds for name, (seconds, _) in found["phases"].items()}
            rest = phases.pop("plan") - sum(planning.values())
            spent = {"before": found["before_s"], **planning, "plan: the rest": rest, **phases}
            for name, seconds in spent.items():
                yield about.plain(f"seconds of {name}", [seconds])


def sync_log(play: Play, stage: Stage) -> Iterator[Figure]:
    """The lines of a first run, into the log."""
    ratios = []
    for _ in range(play.repeats):
        stage.copy("start", "run")
        ours = _phases(stage, "list")["statements"]["sync_log"][0]
        stage.copy("start", "run")
        bare = _bare("log", stage)[0]
        play.say(f"  the log {ours:.2f} s, a bare INSERT … SELECT {bare:.2f} s")
        ratios.append(ours / bare)
    about = About("sync log", stage.engine, "list", play.rows)
    yield about.at_most("ratio to a bare INSERT … SELECT", ratios, 1.3)


def failures(play: Play, stage: Stage) -> Iterator[Figure]:
    """A hundred thousand failures into the warehouse."""
    ratios = []
    for _ in range(play.repeats):
        stage.copy("start", "run")
        config = stage.ours("run", "list")[-1]
        command = [sys.executable, "-m", "benchmarks.uploads", "--config", config]
        found = json.loads(
            stage.cost_of([*command, "--url", stage.url("run")]).output.splitlines()[0]
        )
        play.say(f"  ours {found['ours']:.3f} s, bulk load alone {found['bare']:.3f} s")
        ratios.append(found["ours"] / found["bare"])
    about = About("failures", stage.engine, "", 100_000)
    yield about.at_most("ratio to the bulk load of what is ready", ratios, 1.5)


def sending(play: Play, stage: Stage) -> Iterator[Figure]:
    """Sending alone, without a database."""
    for kind in KINDS:
        ratios, ours, fixed = [], [], []
        for _ in range(play.repeats):
            stage.api.behave()
            command = [sys.executable, "-m", "benchmarks.sending", "--api", stage.api.url]
            command += ["--object", kind, "--people", str(min(play.rows, 1_000_000))]
            found = json.loads(stage.cost_of(command).output.splitlines()[0])
            ratios.append(found["ours"] / found["fixed"])
            ours.append(found["ours"])
            fixed.append(found["fixed"])
        about = About("sending", "", kind, play.rows)
        yield about.plain("people a second", ours)
        yield about.plain("people a second with one fixed body", fixed)
        yield about.at_least("ratio to one fixed body", ratios, 0.5)


# --- the wire ------------------------------------------------------------------------------


def _small(play: Play, stage: Stage, rows: int) -> None:
    stage.copy("start", "small")
    with stage.changing("small") as database:
        database.run(f"DELETE FROM people WHERE id > {min(rows, play.rows)}")  # noqa: S608


def latency(play: Play, stage: Stage) -> Iterator[Figure]:
    """100 ms to each answer."""
    rows, wait = 100_000, 0.1
    _small(play, stage, rows)
    ratios = []
    for _ in range(play.repeats):
        seconds = []
        for settings in ({"max_in_flight": 1}, {}):
            stage.copy("small", "run")
            stage.api.behave(latency_s=wait)
            stage.cost_of(stage.ours("run", "list", **settings))
            counts = stage.api.counts()
            seconds.append(counts["last_s"] - counts["first_s"] + wait)
        play.say(f"  one at a time {seconds[0]:.1f} s, by default {seconds[1]:.1f} s")
        ratios.append(seconds[0] / seconds[1])
    about = About("latency of 100 ms", stage.engine, "list", rows)
    yield about.at_least("times as fast as one request at a time", ratios, 4.0)


def allowed_rate(play: Play, stage: Stage) -> Iterator[Figure]:
    """Five requests a second are allowed, as by default."""
    rows = 200_000
    _small(play, stage, rows)
    stage.copy("small", "run")
    stage.api.behave(allowed_per_s=5.0)
    stage.cost_of(stage.ours("run", "list", requests_per_second=5))
    counts = stage.api.counts()
    done = counts["people"] / 1_000
    used = (done - 1) / ((counts["last_s"] - counts["first_s"]) * 5)
    about = About("allowed rate", stage.engine, "list", rows)
    yield about.at_least("part of the allowed requests that is used", [used], 0.99)
    yield about.at_most("part of the requests answered 429", [counts["too_many"] / done], 0.01)


def refused(play: Play, stage: Stage) -> Iterator[Figure]:
    """The API names one person in a hundred as invalid."""
    about = About("1 % refused", stage.engine, "list", play.rows)
    ratios = []
    for _ in range(play.repeats):
        seconds = []
        for suffix in ("00", ""):
            stage.copy("start", "run")
            stage.api.behave(refuse_suffix=suffix)
            codes = (3,) if suffix else (0,)
            seconds.append(stage.cost_of(stage.ours("run", "list"), codes).wall_s)
        play.say(f"  refused {seconds[0]:.2f} s, nobody refused {seconds[1]:.2f} s")
        ratios.append(seconds[0] / seconds[1])
    yield about.plain("ratio to a run in which nobody is refused", ratios)


def bad_rows(play: Play, stage: Stage) -> Iterator[Figure]:
    """A person for whom the API refuses whole requests, in each of them."""
    rows = 20_000
    _small(play, stage, rows)
    for suffix, named, limit in (("500", False, 20.0), ("500", True, 1.0), ("5", False, 59.0)):
        stage.copy("small", "run")
        stage.api.behave(reject_suffix=suffix, names_rejected=named)
        stage.cost_of(stage.ours("run", "list"), (3,))
        batches = rows / 1_000
        extra = (stage.api.counts()["requests"] - batches) / batches
        bad = "100 bad rows" if suffix == "5" else "one bad row"
        name = f"more requests a batch with {bad}, {'named' if named else 'not named'}"
        about = About("bad rows", stage.engine, "list", rows)
        # The list is looked up once.
        yield about.at_most(name, [extra - 1 / batches], limit)


def crash(play: Play, stage: Stage) -> Iterator[Figure]:
    """Killed when half of the people are sent, with 50 ms to each answer; then run again."""
    stage.copy("start", "run")
    stage.api.behave(latency_s=0.05)
    command = stage.ours("run", "list")
    with subprocess.Popen(  # noqa: S603 - our own
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None and stage.api.counts()["people"] < play.rows / 2:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    _let_the_lease_expire(stage)
    stage.cost_of(stage.ours("run", "list"))
    sent = stage.api.counts()["people"] / play.rows
    about = About("crash in the middle", stage.engine, "list", play.rows)
    yield about.at_most("people sent in all, to those there are", [sent], 1.02)


def _let_the_lease_expire(stage: Stage) -> None:
    """Make the dead run's lease old; on a DuckDB file the system's lock says that it is dead."""
    if stage.engine == "postgresql":
        with stage.changing("run") as database:
            database.run(
                "UPDATE reverse_etl.sync_state SET lease_expires_at = TIMESTAMP '2000-01-01'"
            )


# Ages in days of the runs in a long log: half of them are older than a log is kept.
AGES = range(26, 36)
KEPT_DAYS = 30


def retention(play: Play, stage: Stage) -> Iterator[Figure]:
    """A log of ten lines a person, of which half are old."""
    about = About("retention", stage.engine, "", play.rows)
    _make_long_log(play, stage)
    old = f"sync_finished_at < CAST(now() AS TIMESTAMP) - INTERVAL '{KEPT_DAYS} days'"
    ours, bare, idle, peaks = [], [], [], []
    for _ in range(play.repeats):
        stage.copy("logged", "run")
        retain = stage.retain("run")
        cost = stage.cost_of(retain)
        ours.append(cost.wall_s)
        peaks.append(cost.peak_mb)
        idle.append(stage.cost_of(retain).wall_s)
        stage.copy("logged", "run")
        with stage.changing("run") as database:
            began = time.monotonic()
            database.run(f"DELETE FROM reverse_etl.sync_log WHERE {old}")  # noqa: S608 - fixed
            bare.append(time.monotonic() - began)
        play.say(f"  ours {ours[-1]:.2f} s, a delete {bare[-1]:.2f} s, none old {idle[-1]:.2f} s")
    yield about.plain("seconds to drop five lines a person of ten", ours)
    yield about.plain("seconds of the bare delete", bare)
    yield about.plain("seconds where nothing is old", idle)
    yield about.plain("MB at most", peaks)


def _make_long_log(play: Play, stage: Stage) -> None:
    play.say(f"{stage.engine}: a log of {len(AGES) * play.rows} lines")
    stage.copy("start", "logged")
    stage.api.behave()
    stage.cost_of(stage.ours("logged", "list"))
    columns = "sync_name, primary_key, identity, operation, status, attempts"
    with stage.changing("logged") as database:
        for age in sorted(AGES, reverse=True):
            at = f"CAST(now() AS TIMESTAMP) - INTERVAL '{age} days'"
            database.run(
                f"INSERT INTO reverse_etl.sync_log ({columns}, sync_run_id, sync_started_at,"  # noqa: S608 - fixed
                " sync_finished_at) SELECT 'people', CAST(id AS VARCHAR), email, 'update',"
                f" 'succeeded', 1, {-age}, {at}, {at} FROM people"
            )
            database.run(
                "INSERT INTO reverse_etl.sync_runs (sync_name, sync_run_id, status, started_at,"  # noqa: S608 - fixed
                f" finished_at) VALUES ('people', {-age}, 'succeeded', {at}, {at})"
            )


def start_up(play: Play, stage: Stage) -> Iterator[Figure]:
    """What somebody waits for who only looks."""
    about = About("start-up", "", "", 0)
    config = stage.ours("start", "list")[-1]
    program = str(Path(sys.executable).with_name("reverse-etl"))
    for arguments, limit in ((["--help"], 0.3), (["validate", "--config", config], 0.6)):
        seconds = [stage.cost_of([program, *arguments]).wall_s for _ in range(play.repeats + 2)]
        yield about.at_most(f"seconds of {arguments[0]}", seconds, limit)


BOTH = ("duckdb", "postgresql")
CASES = (
    Case("start-up", "looking only", ("duckdb",), start_up),
    Case("sending", "sending alone", ("duckdb",), sending),
    Case("empty", "an empty table", BOTH, empty),
    Case("first-run", "everybody is new", BOTH, first_run),
    Case("no-change", "nothing has changed", BOTH, no_change),
    Case("hundredth", "one row in a hundred has changed", BOTH, a_hundredth),
    Case("everything", "a value of everybody has changed", BOTH, everything),
    Case("plan-step", "the plan alone", BOTH, plan_step),
    Case("profile", "where the seconds go", BOTH, profile),
    Case("sync-log", "the log alone", BOTH, sync_log),
    Case("failures", "failures on their way into the warehouse", BOTH, failures),
    Case("refused", "one person in a hundred is refused", BOTH, refused),
    Case("latency", "100 ms to each answer", ("duckdb",), latency),
    Case("allowed-rate", "five requests a second", ("duckdb",), allowed_rate),
    Case("bad-rows", "whole requests are refused", ("duckdb",), bad_rows),
    Case("crash", "killed in the middle", BOTH, crash),
    Case("retention", "a long log, half of it old", BOTH, retention),
)
NEEDS_STEP = re.compile("no-change|hundredth|everything|plan-step|profile")

"""Plays histories over the rules: a process that dies, and a destination in memory that fails."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from reverse_etl.testing.destination import Project
from reverse_etl.testing.rules import delivering, planning, settling
from reverse_etl.testing.rules.delivering import Answered, Batch
from reverse_etl.testing.rules.history import (
    UNSENDABLE_EMAIL,
    UNSENDABLE_PLAN,
    History,
    Round,
    generate,
    smaller,
)
from reverse_etl.testing.rules.planning import Held, Planned, Refused
from reverse_etl.testing.rules.promises import WINDOW, Broken, Witness, demand
from reverse_etl.testing.rules.tables import Change, Counts, Outcome, Settings, State

RECORDS, FLIGHTS = 2, 2

_STATUS = {"done": None, "interrupted": "interrupted", "failed": "failed"}
_GONE_ANYWAY = frozenset({"invalid", "notFound", "forgotten"})


class Dead(Exception):  # noqa: N818 - named for what happened
    """The process is dead."""


def play(history: History, coverage: Counter[str] | None = None) -> None:
    """Play a history, check the promises after every round, then let the faults stop.

    Raises:
        Broken: A promise was not kept.
    """
    player = Player(history, Counter() if coverage is None else coverage)
    for each in history.rounds:
        player.play(each)
    calm = history.rounds[-1].calm()
    if player.state.account not in {None, str(calm.account)}:
        calm = calm._replace(full=True)
    player.play(calm)
    player.witness.check_converged(player.state, calm)
    converged = player.state
    player.play(calm._replace(full=False))
    player.witness.check_quiet(converged, player.state, calm)


class Player:
    """Plays the rounds of one history.

    Attributes:
        state: What is durable.
        witness: Who watches.
    """

    def __init__(self, history: History, coverage: Counter[str]) -> None:
        """Begin with nothing but a foreign member."""
        self.history = history
        self.coverage = coverage
        self.state = State()
        self.witness = Witness(history)
        self._moments = 0
        self._round = Round()

    def play(self, played: Round) -> None:
        """Play one round: one run of one process."""
        self._round, self._moments = played, 0
        settings = self.history.settings(played)
        self.witness.begin(played, settings)
        if played.asks_again:
            self._ask_again()
        wire = Wire(self, settings)
        try:
            self._run(wire, settings)
        except Dead:
            wire.give_up()
        self.witness.check(self.state)

    def _ask_again(self) -> None:
        asked = planning.ask_again(self.state)
        permanent = [f for f in asked.failed.values() if f.asked and not f.retryable]
        self.coverage["asked for a permanent failure"] += bool(permanent)
        self.keep(asked)

    def moment(self, name: str) -> None:
        """Pass a moment at which the process may die."""
        self._moments += 1
        if self._moments == self._round.dies_at:
            self.coverage[f"died {name}"] += 1
            raise Dead

    def keep(self, state: State) -> None:
        """Make a state durable."""
        self.state = state

    def _run(self, wire: Wire, settings: Settings) -> None:
        played = self._round
        recovered = settling.recover(self.state)
        if recovered is not self.state:
            self.moment("before recovering")
            self.keep(recovered)
            self.moment("after recovering")
        state, run_id = settling.begin(self.state)
        self.keep(state)
        self.moment("while planning")
        planned = planning.plan(state, played.rows, settings, played.options())
        if isinstance(planned, Planned) and not wire.stops():
            self._commit(run_id, planned)
            self._deliver(wire, settings)
        else:
            self._end(run_id, planned)
        self.moment("at the end")

    def _end(self, run_id: int, planned: Planned | Held | Refused) -> None:
        self.coverage[f"ended: {type(planned).__name__}"] += 1
        if isinstance(planned, Held):
            self.keep(settling.hold(self.state, run_id, planned))
        elif isinstance(planned, Refused):
            self.keep(settling.end_unplanned(self.state, run_id, "failed", Counts()))
        else:
            self.keep(settling.end_unplanned(self.state, run_id, "interrupted", planned.counts))

    def _commit(self, run_id: int, planned: Planned) -> None:
        for change in planned.changes:
            self.coverage[change.operation] += 1
            self.coverage["retry"] += change.retry
            self.coverage["carried"] += change.carried
            self.coverage["takeover"] += change.phase >= 2
        self.coverage["residue"] += len(planned.residue)
        self.coverage["former"] += len(planned.former)
        self.coverage["another account"] += planned.fresh
        self.moment("before the commit point")
        self.witness.see_plan(self.state, planned, self._round)
        self.keep(settling.commit(self.state, run_id, planned, WINDOW))
        self.witness.see_commit(self.state)
        self.moment("after the commit point")

    def _deliver(self, wire: Wire, settings: Settings) -> None:
        delivery = delivering.deliver(
            self.state, wire, self.keep, window=WINDOW, records=RECORDS, flights=FLIGHTS
        )
        self.coverage[f"delivery {delivery.ended}"] += 1
        self.moment("before settling")
        self.keep(
            settling.settle(
                delivery.state,
                limit=settling.committed(delivery.state).position,
                status=_STATUS[delivery.ended],
                deletes=settings.deletes,
            )
        )
        self.moment("after settling")


class Wire:
    """Carries batches to the project, and lets things go wrong as the round says."""

    def __init__(self, player: Player, settings: Settings) -> None:
        """Carry the requests of one round."""
        self._player = player
        self._settings = settings
        self._round = player._round  # noqa: SLF001 - its own
        self._changes = dict(self._round.changes)
        self._requests = dict(self._round.requests)
        self._chance = self._round.chance
        self._started = self._sent = 0
        self._flying: dict[Batch, int] = {}

    @property
    def _project(self) -> Project:
        return self._player.witness.project

    def _bit(self) -> int:
        self._chance, bit = self._chance >> 1, self._chance & 1
        return bit

    def stops(self) -> bool:
        """Return whether the run is told to stop."""
        limit = self._round.stop_after
        return limit is not None and self._started >= limit

    def start(self, batch: Batch) -> None:
        """Put a request under way."""
        self._player.moment("before a request")
        self._started += 1
        self._flying[batch] = self._started
        self._player.witness.see_request(self._player.state, batch)
        self._player.moment("after a request")

    def is_late(self) -> bool:
        """Return whether it is time for a checkpoint."""
        return bool(self._bit() & self._bit())

    def between(self) -> None:
        """Pass the moment between the halves of a checkpoint."""
        self._player.moment("within a checkpoint")

    def give_up(self) -> None:
        """The process is dead: what is under way is applied now, or never."""
        for batch in self._flying:
            if self._bit():
                self._apply(batch)

    def answered(self, flying: Sequence[Batch], *, halted: bool) -> tuple[int, Answered]:
        """Answer one of the requests under way."""
        which = self._bit() % len(flying)
        batch = flying[which]
        accident = self._requests.get(self._flying[batch])
        answered = self._answer(batch, accident, halted=halted)
        self._player.moment("before an answer")
        return which, answered

    def _answer(self, batch: Batch, accident: str | None, *, halted: bool) -> Answered:
        if accident is None:
            del self._flying[batch]
            return Answered(self._apply(batch))
        self._player.coverage[f"request {accident}"] += 1
        del self._flying[batch]
        if accident == "fatal":
            self._player.witness.see_untried(batch)
            return Answered((), fatal=True)
        if accident == "lost_after":
            self._apply(batch)
        answer = "unavailable" if accident == "unavailable" else "unknown"
        outcomes = [self._outcome(change, self._refusal(change) or answer) for change in batch]
        return Answered(outcomes, settled=not halted)

    # --- single changes --------------------------------------------------------------------

    def _apply(self, batch: Batch) -> list[Outcome]:
        return [self._outcome(change, self._one(change)) for change in batch]

    def _outcome(self, change: Change, answer: str) -> Outcome:
        hybrid = self._settings.kind == "hybrid"
        return settling.outcome_of(answer, change.operation, hybrid=hybrid)

    def _one(self, change: Change) -> str:
        """Apply one change, or not; return the answer about it."""
        refusal = self._refusal(change)
        if refusal is not None:
            return refusal
        self._sent += 1
        answer = self._changes.get(self._sent, "confirmed")
        self._player.coverage[f"change {answer}"] += 1
        takes_away = change.operation == "delete"
        if answer != "confirmed" and not (takes_away and answer in _GONE_ANYWAY):
            return answer
        if takes_away and not self._settings.clears:
            self._project.unsubscribe(self._named(change))
            return answer
        write = self._project.update if self._settings.clears else self._project.subscribe
        return "conflict" if write(self._person(change)) else answer

    def _refusal(self, change: Change) -> str | None:
        """Return why nothing is sent, or None."""
        takes_away = change.operation == "delete"
        if takes_away and self._settings.clears and not change.before:
            return "invalid_value"  # nothing to clear: done without a request
        if change.identity.endswith(UNSENDABLE_EMAIL):
            return "invalid_identifier"
        if takes_away:
            return None
        values = self._values(change).values()
        return "invalid_value" if UNSENDABLE_PLAN in values else None

    def _values(self, change: Change) -> dict[str, Any]:
        if change.operation == "delete":
            return dict.fromkeys(change.before)
        base = settling.committed(self._player.state)
        values = base.snapshot.people[change.identity].values
        return {name: value for name, value in values.items() if value is not None}

    def _named(self, change: Change) -> dict[str, Any]:
        kind, _, value = change.identity.rpartition(":")
        if self._settings.kind == "user_id":
            kind = "userId"
        return {kind or "email": value}

    def _person(self, change: Change) -> dict[str, Any]:
        person = self._named(change)
        goes_along = self._settings.sends_alias and change.operation != "delete"
        if goes_along and change.alias not in {None, UNSENDABLE_EMAIL}:
            person["email"] = change.alias
        return {**person, "dataFields": self._values(change)}


# --- what goes wrong -----------------------------------------------------------------------


class Result(NamedTuple):
    """What many histories came to; the coverage also holds the ``seconds`` of processor time."""

    histories: int
    coverage: Counter[str]
    complaints: list[str]


def play_seeds(seeds: range) -> Result:
    """Play the histories of seeds, and say what goes wrong."""
    began = time.process_time()
    coverage: Counter[str] = Counter()
    complaints = []
    for seed in seeds:
        history = generate(seed)
        error = violation(history, coverage)
        if error is not None:
            complaints.append(complaint(history, error))
    seconds = time.process_time() - began
    coverage.update({"seconds": seconds})
    return Result(len(seeds), coverage, complaints)


def violation(history: History, coverage: Counter[str] | None = None) -> Broken | None:
    """Play a history; return which promise was not kept, or None."""
    try:
        play(history, coverage)
    except Broken as error:
        return error
    return None


def shrink(history: History) -> History:
    """Return the smallest history found that breaks the same promise."""
    promise = _promise(violation(history))
    while True:
        for candidate in smaller(history):
            if _promise(violation(candidate)) == promise:
                history = candidate
                break
        else:
            return history


def _promise(error: Broken | None) -> str:
    return "" if error is None else str(error).partition(":")[0]


def complaint(history: History, error: Broken) -> str:
    """Return what went wrong, the smallest history of it, and the command to see it again."""
    small = shrink(history)
    demand(violation(small), "a history that was made smaller goes wrong", small)
    command = f"python -m reverse_etl.testing.rules --seed {history.seed}"
    return f"seed {history.seed}: {error}\n{small!r}\n{violation(small)}\nrerun: {command}"

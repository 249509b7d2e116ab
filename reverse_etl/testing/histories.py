"""Histories: what the source said round by round, and what went wrong; seeded, plain values.

A history is data, so a failing one can be printed, made smaller piece by piece, and played again.
Faults are tied to the number of a request or step within its round, never to chance at play time.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any, Literal

ProjectType = Literal["email", "user_id", "hybrid"]
HybridSend = Literal["both", "identity"]
Mode = Literal["mirror", "upsert"]
Object = Literal["list", "user"]
OnDelete = Literal["clear_fields", "keep"]
PlanType = Literal["integer", "text", "double precision"]

MAPPINGS: dict[str, dict[str, str]] = {
    "plan": {"plan": "plan"},
    "both": {"plan": "plan", "tier": "tier"},
    "moved": {"plan": "tier"},
    "renamed": {"level": "plan"},
    "none": {},
}
"""Name of a mapping to its fields, destination field to column."""

UPSERT_BUCKETS = ("invalid", "notFound", "invalidData", "conflict", "forgotten")

FATAL_FAULTS = (
    *("unauthorized", "forbidden", "page_missing", "gone", "redirected"),
    *("unknown_list", "field_limit"),
)
"""Answers that end the run: nothing was applied, and nobody is to blame."""

REFUSALS = (
    *("bad_text", "bad_json", "named_index", "conflict_status", "too_large"),
    *("too_many", "too_many_wait", "too_many_absurd"),
)
"""Answers to a whole request that was not applied."""

DOUBTS = tuple(
    f"{kind}_{moment}"
    for kind in ("lost", "slow", "timed_out", "error", "gateway", "deadline", "garbage", "cut")
    for moment in ("before", "after")
)
"""No usable answer; ``before`` and ``after`` say whether the request was applied."""

LIES = ("counts_low", "counts_high", "fail_high", "stranger", "repeated", "several")
"""Answers with lists and counts that do not say what happened, or say it in an odd way."""

FAULTS = (
    *FATAL_FAULTS,
    *REFUSALS,
    *DOUBTS,
    "never_left",
    *LIES,
    *(f"bucket_{name}" for name in UPSERT_BUCKETS),
)
"""What may happen to a request."""

# Half of what the seeds meet is one of these: whatever ends the run hides what would come after.
_USUAL_FAULTS = (
    *("lost_before", "lost_after", "error_after", "bad_json", "named_index", "several", "repeated"),
    *(f"bucket_{name}" for name in UPSERT_BUCKETS),
)

EMAILS = (
    *("a@x.test", "b@x.test", "c@x.test", "d@x.test", "e@x.test", "f@x.test"),
    *(" A@x.test", "B@X.TEST ", "c@X.test", "nope", "", "d..d@x.test", None),
)
USER_IDS = ("u1", "u2", "u3", "u4", "u5", "U2", "u1", "u2", " u1", "", "u" * 53, None, None)

LIST_ID, OTHER_LIST_ID = 7, 8

ASKS_AGAIN = 0.12
"""Share of the rounds before which somebody asks for every failed record."""

When = int | str
"""A point of a run: its number, or its name and how often it is passed (``plan: commit#2``)."""


@dataclass(frozen=True)
class Row:
    """A row of the source; any value may be NULL."""

    id: int | None
    email: str | None
    user_id: str | None
    plan: int | None
    tier: str | None


@dataclass(frozen=True)
class Fault:
    """What happens to the requests ``first`` … ``first + count - 1`` of a round."""

    first: int
    count: int
    kind: str


@dataclass(frozen=True)
class Outage:
    """The warehouse fails the statements and commits ``first`` … ``first + count - 1``."""

    first: int
    count: int


@dataclass(frozen=True)
class Meanwhile:
    """What happens beside a run when it passes a point.

    Attributes:
        at: The point; a step as for ``Round.killed_at``. Never right before a request: between the
            last look at the lease and the start of a request nothing can be proven.
        pause: Seconds that the process stands still while the world goes on.
        jump: Seconds by which somebody sets the clock of its machine.
        rival: A whole run of the same sync meanwhile, in another process.
        same_process: Whether the rival is a thread of the same process instead.
    """

    at: When
    pause: float = 0
    jump: float = 0
    rival: Round | None = None
    same_process: bool = False


@dataclass(frozen=True)
class Round:
    """One run, and the world it runs in.

    Attributes:
        rows: What the query says.
        mode: Of the sync.
        on_delete: What becomes of profiles that are no longer wanted (object ``user`` only).
        mapping: Key of :data:`MAPPINGS`.
        retry: ``retry_failed_records``.
        retry_seconds: Of the account.
        max_delete_percent: The brake.
        full: ``--full``.
        allow_deletes: ``--allow-deletes``.
        stop_after: Requests after which the run is told to stop, or None.
        faults: What happens to single requests.
        poison: Identifiers whose presence makes the API refuse a whole request.
        killed_at: Step at which the process dies, or None.
        failed_at: Statement or commit that the warehouse fails, or None.
        outages: More of these.
        meanwhile: What happens beside the run.
        after: Seconds since the run before.
        plan_type: Type of the column ``plan``: ``integer``, ``text`` or ``double precision``.
        list_id: List in the config, where it is not given by name.
        snapshots_to_keep: Of the sync.
        retain_logs: Of the sync.
        asks_again: Whether somebody asks for every failed record before the run.
    """

    rows: tuple[Row, ...]
    mode: Mode = "mirror"
    on_delete: OnDelete = "clear_fields"
    mapping: str = "plan"
    retry: bool = True
    retry_seconds: float = 0
    max_delete_percent: float = 100
    full: bool = False
    allow_deletes: bool = False
    stop_after: int | None = None
    faults: tuple[Fault, ...] = ()
    poison: tuple[str, ...] = ()
    killed_at: When | None = None
    failed_at: When | None = None
    outages: tuple[Outage, ...] = ()
    meanwhile: tuple[Meanwhile, ...] = ()
    after: float = 3_600
    plan_type: PlanType = "integer"
    list_id: int = LIST_ID
    snapshots_to_keep: int = 3
    retain_logs: bool = True
    asks_again: bool = False

    @property
    def is_steady(self) -> bool:
        """Whether the warehouse does as it is told."""
        return self.failed_at is None and not self.outages

    def calm(self) -> Round:
        """Return the same world without faults, and with the brake let pass."""
        return Round(
            rows=self.rows,
            mode=self.mode,
            on_delete=self.on_delete,
            mapping=self.mapping,
            retry=self.retry,
            max_delete_percent=self.max_delete_percent,
            allow_deletes=True,
            plan_type=self.plan_type,
            list_id=self.list_id,
            snapshots_to_keep=self.snapshots_to_keep,
            retain_logs=self.retain_logs,
        )


@dataclass(frozen=True)
class History:
    """Several rounds of one sync.

    Attributes:
        seed: Also decides what the faults leave open (whom, in which order).
        project_type: Of the account.
        hybrid_send: Of a hybrid account.
        by_name: Whether the list is named in the config, and so looked up or made.
        rounds: In order; afterwards the last one is repeated without faults.
        object: What is synced.
    """

    seed: int
    project_type: ProjectType
    hybrid_send: HybridSend
    by_name: bool
    rounds: tuple[Round, ...]
    object: Object = "list"

    def text(self) -> str:
        """Return the history for a person: only what differs from the usual."""
        head = f"seed {self.seed}: {self.object}, {self.project_type}"
        head += f" ({self.hybrid_send})" if self.project_type == "hybrid" else ""
        head += ", list by name" if self.by_name else ""
        return "\n".join([head, *(_described(n, r) for n, r in enumerate(self.rounds, 1))])

    def code(self) -> str:
        """Return the history as Python code, to be kept as a test."""
        rounds = "".join(f"        {_code(each)},\n" for each in self.rounds)
        head = ", ".join(
            f"{f.name}={getattr(self, f.name)!r}" for f in fields(History) if f.name != "rounds"
        )
        return f"History(\n    {head},\n    rounds=(\n{rounds}    ),\n)"


def _code(value: Any) -> str:  # noqa: ANN401 - a value of a history
    """Return a value as code, without what is as usual anyway."""
    if isinstance(value, Row):
        return f"Row{(value.id, value.email, value.user_id, value.plan, value.tier)}"
    if isinstance(value, tuple):
        return "(" + "".join(f"{_code(each)}, " for each in value).rstrip() + ")"
    if not isinstance(value, Round | Fault | Outage | Meanwhile):
        return repr(value)
    said = [
        f"{each.name}={_code(getattr(value, each.name))}"
        for each in fields(value)
        if each.default is MISSING or getattr(value, each.name) != each.default
    ]
    return f"{type(value).__name__}({', '.join(said)})"


def _described(number: int, played: Round) -> str:
    usual = Round(())
    said = [
        f"{f.name}={_code(getattr(played, f.name))}"
        for f in fields(Round)
        if f.name != "rows" and getattr(played, f.name) != getattr(usual, f.name)
    ]
    rows = [f"    {(r.id, r.email, r.user_id, r.plan, r.tier)}" for r in played.rows]
    return "\n".join([f"  round {number}: {' '.join(said)}".rstrip(), *rows])


# --- making one ----------------------------------------------------------------------------


def generate(seed: int) -> History:
    """Return the history of a seed."""
    rng = random.Random(seed)
    synced: Object = rng.choice(("list", "user"))
    rounds: list[Round] = []
    for number in range(rng.randint(2, 6)):
        made = _round(rng, synced, rounds[-1] if rounds else None)
        # By chance of its own: what a seed meets else stays what it was before this was there.
        asks = random.Random(f"asks again {seed}/{number}").random() < ASKS_AGAIN
        rounds.append(replace(made, asks_again=asks))
    project_type: ProjectType = rng.choice(("email", "email", "user_id", "hybrid", "hybrid"))
    hybrid_send: HybridSend = rng.choice(("both", "identity"))
    by_name = synced == "list" and rng.random() < 0.5
    return History(seed, project_type, hybrid_send, by_name, tuple(rounds), synced)


def _round(rng: random.Random, synced: Object, before: Round | None) -> Round:
    calm = _settings(rng, synced, before)
    return replace(
        calm,
        retry_seconds=rng.choice((0, 0, 3)),
        full=rng.random() < 0.1 or (calm.list_id != LIST_ID and rng.random() < 0.5),
        allow_deletes=rng.random() < 0.1,
        stop_after=rng.randint(0, 4) if rng.random() < 0.1 else None,
        faults=tuple(_faults(rng)),
        poison=_poison(rng),
        killed_at=_step(rng) if rng.random() < 0.35 else None,
        failed_at=rng.randint(1, 120) if rng.random() < 0.08 else None,
        outages=tuple(_outages(rng)),
        meanwhile=tuple(_meanwhile(rng, synced, calm)),
        after=rng.choice((3_600, 3_600, 3_600, 20, 0)),
    )


def _settings(rng: random.Random, synced: Object, before: Round | None) -> Round:
    """The source and the config: what the round before had, with a change now and then."""
    mode: Mode = before.mode if before else rng.choice(("mirror", "mirror", "mirror", "upsert"))
    if rng.random() < 0.12:
        mode = "mirror" if mode == "upsert" else "upsert"
    mapping = before.mapping if before else "plan"
    if rng.random() < (0.15 if synced == "list" else 0.5):
        mapping = rng.choice(tuple(MAPPINGS))
    keeps = before is not None and rng.random() < 0.8
    plan_type: PlanType = before.plan_type if before else "integer"
    if rng.random() < 0.08:
        plan_type = rng.choice(("integer", "text", "double precision"))
    elsewhere = rng.random() < (0.5 if before and before.list_id != LIST_ID else 0.05)
    return Round(
        rows=_rows(rng, before.rows if before else ()),
        mode=mode,
        on_delete=_on_delete(rng, before) if synced == "user" else "clear_fields",
        mapping=mapping,
        retry=before.retry if before and keeps else rng.random() < 0.7,
        max_delete_percent=rng.choice((100, 100, 100, 50, 20)),
        plan_type=plan_type,
        list_id=OTHER_LIST_ID if elsewhere and synced == "list" else LIST_ID,
        snapshots_to_keep=rng.choice((3, 3, 1)),
        retain_logs=before.retain_logs if before else rng.random() < 0.9,
    )


def _step(rng: random.Random) -> int:
    """A step of a run; most have some two hundred, those with nothing to do fewer."""
    return rng.randint(1, 240)


def _outages(rng: random.Random) -> Iterator[Outage]:
    for _ in range(rng.choice((0,) * 15 + (1, 2))):
        yield Outage(rng.randint(1, 120), rng.choice((1, 1, 2, 5, 20)))


def _meanwhile(rng: random.Random, synced: Object, calm: Round) -> Iterator[Meanwhile]:
    for _ in range(rng.choice((0,) * 7 + (1, 1, 2))):
        kind = rng.choice(("jump", "pause", "rival", "rival", "overtaken", "overtaken"))
        same_process = kind == "rival" and rng.random() < 0.3
        yield Meanwhile(
            _step(rng),
            pause=rng.choice((40.0, 100.0)) if kind in {"pause", "overtaken"} else 0,
            jump=rng.choice((-86_400.0, 86_400.0, -7.0)) if kind == "jump" else 0,
            rival=_rival(rng, synced, calm) if kind in {"rival", "overtaken"} else None,
            same_process=same_process,
        )


def _rival(rng: random.Random, synced: Object, calm: Round) -> Round:
    """Another runner, perhaps with a source or config of a moment later."""
    same = rng.random() < 0.4
    return replace(
        calm if same else _settings(rng, synced, calm),
        faults=tuple(_faults(rng)) if rng.random() < 0.5 else (),
        killed_at=_step(rng) if rng.random() < 0.3 else None,
        full=rng.random() < 0.1,
        after=0,
    )


def _on_delete(rng: random.Random, before: Round | None) -> OnDelete:
    if before and rng.random() < 0.85:
        return before.on_delete
    return rng.choice(("clear_fields", "clear_fields", "clear_fields", "keep"))


def _rows(rng: random.Random, before: tuple[Row, ...]) -> tuple[Row, ...]:
    draw = rng.random()
    if before and draw < 0.1:
        return before
    if before and draw < 0.6:
        return _edited(rng, before)
    return tuple(_row(rng) for _ in range(rng.choice((0, 1, 2, 3, 5, 7, 9, 9))))


def _edited(rng: random.Random, before: tuple[Row, ...]) -> tuple[Row, ...]:
    rows = list(before)
    for _ in range(rng.randint(1, 3)):
        n = rng.randrange(len(rows)) if rows else 0
        draw = rng.random()
        if draw < 0.3 or not rows:
            rows.append(_row(rng))
        elif draw < 0.55:
            rows.pop(n)
        elif draw < 0.8:
            rows[n] = replace(rows[n], plan=rng.choice((1, 2, None)), tier=rng.choice(("s", "t")))
        else:
            rows[n] = replace(rows[n], email=rng.choice(EMAILS), user_id=rng.choice(USER_IDS))
    return tuple(rows)


def _row(rng: random.Random) -> Row:
    return Row(
        id=rng.choice((1, 2, 3, 4, 5, 1, 2, 3, 4, 5, None)),
        email=rng.choice(EMAILS),
        user_id=rng.choice(USER_IDS),
        plan=rng.choice((1, 2, 3, None)),
        tier=rng.choice(("s", "t", None)),
    )


def _faults(rng: random.Random) -> Iterator[Fault]:
    for _ in range(rng.choice((0, 1, 1, 2, 3, 4))):
        kind = rng.choice(_USUAL_FAULTS if rng.random() < 0.5 else FAULTS)
        yield Fault(rng.choice((1, 2, 2, 3, 3, 4, 5)), rng.choice((1, 1, 1, 2, 4)), kind)


def _poison(rng: random.Random) -> tuple[str, ...]:
    if rng.random() < 0.8:
        return ()
    return (rng.choice((*EMAILS[:4], *USER_IDS[:4])) or "",)


# --- making one smaller --------------------------------------------------------------------


def smaller(history: History) -> Iterator[History]:
    """Yield histories that are a little simpler, the boldest simplifications first."""
    rounds = history.rounds
    for n in range(len(rounds)):
        yield replace(history, rounds=rounds[:n] + rounds[n + 1 :])
    if history.by_name:
        yield replace(history, by_name=False)
    for n, played in enumerate(rounds):
        for simpler in _simpler(played):
            yield replace(history, rounds=(*rounds[:n], simpler, *rounds[n + 1 :]))


def _simpler(played: Round) -> Iterator[Round]:
    usual = Round(())
    for each in fields(Round):
        if each.name == "rows":
            continue
        plain = getattr(usual, each.name)
        if getattr(played, each.name) != plain:
            yield replace(played, **{each.name: plain})
    for name in ("faults", "outages", "meanwhile"):
        several = getattr(played, name)
        for n in range(len(several)):
            yield replace(played, **{name: several[:n] + several[n + 1 :]})
    yield from _simpler_beside(played)
    for n, fault in enumerate(played.faults):
        if fault.count > 1:
            less = replace(fault, count=1)
            yield replace(played, faults=(*played.faults[:n], less, *played.faults[n + 1 :]))
    for n, row in enumerate(played.rows):
        without = played.rows[:n] + played.rows[n + 1 :]
        yield replace(played, rows=without)
        for plain_row in _plainer(row):
            yield replace(played, rows=(*played.rows[:n], plain_row, *played.rows[n + 1 :]))


def _simpler_beside(played: Round) -> Iterator[Round]:
    for n, each in enumerate(played.meanwhile):
        simpler = [replace(each, jump=0)] if each.jump else []
        if each.rival is not None:
            simpler += [replace(each, rival=rival) for rival in _simpler(each.rival)]
        for one in simpler:
            beside = (*played.meanwhile[:n], one, *played.meanwhile[n + 1 :])
            yield replace(played, meanwhile=beside)


def _plainer(row: Row) -> Iterator[Row]:
    plainer = (
        replace(row, plan=1),
        replace(row, tier="s"),
        replace(row, user_id=None),
        replace(row, email=None),
    )
    yield from (each for each in plainer if each != row)
    if row.email and row.email != row.email.strip().lower():
        yield replace(row, email=row.email.strip().lower())

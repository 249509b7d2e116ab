"""Seeded histories over the rules: leaner than those of the whole engine, and with every fault.

A history is data. Faults are tied to the number of a change, request or moment within a round.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from reverse_etl.testing.histories import ASKS_AGAIN, MAPPINGS, Row
from reverse_etl.testing.rules.tables import Kind, Options, Settings

_T = TypeVar("_T")

UNSENDABLE_EMAIL = "d..d@x.test"
"""An address that SQL lets pass and the connector does not."""

UNSENDABLE_PLAN = -1
"""A value that the connector cannot send."""

EMAILS = ("a@x.test", "b@x.test", "c@x.test", " A@x.test", "nope", UNSENDABLE_EMAIL, None)
USER_IDS = ("u1", "u2", "u3", "u1", "u2", " u1", None, None)
PLANS = (1, 2, 1, 2, None, UNSENDABLE_PLAN)

BUCKETS = ("invalid", "notFound", "invalidData", "conflict", "forgotten", "unavailable")
"""What may become of one change."""

ACCIDENTS = ("lost_before", "lost_after", "unavailable", "fatal")
"""What may become of a whole request; ``before`` and ``after`` say whether it was applied."""

_TYPES = {"plan": "integer", "tier": "text"}
_FIELDS = {
    name: {field: (column, _TYPES[column]) for field, column in mapping.items()}
    for name, mapping in MAPPINGS.items()
}


class Round(NamedTuple):
    """One run, and the world it runs in.

    Attributes:
        rows: What the query says.
        mirror: The mode.
        keeps: ``on_delete: keep``.
        mapping: Key of :data:`MAPPINGS`.
        retry: ``retry_failed_records``.
        percent: The brake.
        full: ``--full``.
        allow_deletes: ``--allow-deletes``.
        account: Number of the list that is written to.
        changes: What becomes of a change, by its number among those sent.
        requests: What becomes of a request, by its number.
        chance: Bits that say which answer comes first, and when a checkpoint is due.
        stop_after: Requests after which the run is told to stop, or None.
        dies_at: Moment at which the process dies, or None.
        asks_again: Whether somebody asks for every failed record before the run.
    """

    rows: tuple[Row, ...] = ()
    mirror: bool = True
    keeps: bool = False
    mapping: str = "plan"
    retry: bool = True
    percent: float = 100
    full: bool = False
    allow_deletes: bool = False
    account: int = 1
    changes: tuple[tuple[int, str], ...] = ()
    requests: tuple[tuple[int, str], ...] = ()
    chance: int = 0
    stop_after: int | None = None
    dies_at: int | None = None
    asks_again: bool = False

    def calm(self) -> Round:
        """Return the same world without faults, and with the brake let pass."""
        return Round(
            self.rows,
            self.mirror,
            self.keeps,
            self.mapping,
            self.retry,
            account=self.account,
            allow_deletes=True,
        )

    def options(self) -> Options:
        """Return how the run differs from the usual."""
        return Options(self.full, self.allow_deletes)


class History(NamedTuple):
    """Several rounds of one sync; ``both`` is ``hybrid_send``, ``clears`` the object ``user``."""

    seed: int
    kind: Kind
    both: bool
    clears: bool
    rounds: tuple[Round, ...]

    def settings(self, played: Round) -> Settings:
        """Return the config of a round."""
        return Settings(
            self.kind,
            self.clears,
            self.kind == "hybrid" and self.both,
            played.mirror,
            self.clears and played.keeps,
            _FIELDS[played.mapping],
            played.retry,
            played.percent,
            str(played.account),
        )


# --- making one ----------------------------------------------------------------------------


class _Dice:
    """Chance, a little faster than :class:`random.Random` alone."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed).random

    def one_of(self, chosen: Sequence[_T]) -> _T:
        return chosen[int(self.draw() * len(chosen))]

    def number(self, first: int, last: int) -> int:
        return first + int(self.draw() * (last - first + 1))

    def happens(self, share: float) -> bool:
        return self.draw() < share


def generate(seed: int) -> History:
    """Return the history of a seed."""
    dice = _Dice(seed)
    kind: Kind = dice.one_of(("email", "user_id", "hybrid", "hybrid"))
    both, clears = dice.happens(0.6), dice.happens(0.5)
    rounds: list[Round] = []
    for number in range(dice.number(1, 4)):
        made = _round(dice, rounds[-1] if rounds else None, clears=clears)
        # By chance of its own: what a seed meets else stays what it was before this was there.
        asks = _Dice(10 * seed + number).happens(ASKS_AGAIN)
        rounds.append(made._replace(asks_again=asks))
    return History(seed, kind, both, clears, tuple(rounds))


def _round(dice: _Dice, before: Round | None, *, clears: bool) -> Round:
    mirror = before.mirror if before else dice.happens(0.8)
    keeps, mapping = (before.keeps, before.mapping) if before else (dice.happens(0.1), "plan")
    account = before.account if before else 1
    unusual = dice.number(0, 40)
    full = unusual in {0, 1, 2}
    if unusual in {3, 4, 5, 6}:
        mirror = not mirror
    if unusual == 7:
        keeps = not keeps
    if unusual in {2, 8}:
        account += 1
    if unusual in {9, 10, 11} or (clears and unusual > 32):
        mapping = dice.one_of(tuple(MAPPINGS))
    return Round(
        _rows(dice, before.rows if before else ()),
        mirror,
        keeps,
        mapping,
        before.retry if before and unusual != 12 else dice.happens(0.7),
        50 if unusual in {13, 14, 15, 16, 17} else 100,
        full,
        allow_deletes=unusual in {17, 18},
        account=account,
        changes=_faults(dice, BUCKETS, 6),
        requests=_faults(dice, ACCIDENTS, 4),
        chance=int(dice.draw() * 2**48),
        stop_after=dice.number(0, 3) if unusual in {19, 20, 21} else None,
        dies_at=dice.number(1, 16) if dice.happens(0.35) else None,
    )


def _faults(dice: _Dice, kinds: Sequence[str], last: int) -> tuple[tuple[int, str], ...]:
    count = int(dice.draw() * 6) - 2
    return tuple((dice.number(1, last), dice.one_of(kinds)) for _ in range(count))


def _rows(dice: _Dice, before: tuple[Row, ...]) -> tuple[Row, ...]:
    if not before or dice.happens(0.25):
        most = 9 if dice.happens(0.1) else 4
        return tuple(_row(dice) for _ in range(dice.number(0, most)))
    rows = list(before)
    for _ in range(dice.number(0, 2)):
        n = int(dice.draw() * len(rows))
        what = dice.number(0, 3) if rows else 0
        if what == 0:
            rows.append(_row(dice))
        elif what == 1:
            rows.pop(n)
        else:
            row = rows[n]
            email = dice.one_of(EMAILS) if what == 2 else row.email
            plan = dice.one_of(PLANS) if what == 3 else row.plan
            rows[n] = Row(row.id, email, row.user_id, plan, row.tier)
    return tuple(rows)


def _row(dice: _Dice) -> Row:
    return Row(
        dice.one_of((1, 2, 3, None)),
        dice.one_of(EMAILS),
        dice.one_of(USER_IDS),
        dice.one_of(PLANS),
        dice.one_of(("s", "t", None)),
    )


# --- making one smaller --------------------------------------------------------------------

_PLAIN = Round()


def smaller(history: History) -> Iterator[History]:
    """Yield histories that are a little simpler, the boldest simplifications first."""
    rounds = history.rounds
    for n in range(len(rounds)):
        if len(rounds) > 1:
            yield history._replace(rounds=rounds[:n] + rounds[n + 1 :])
    for n, played in enumerate(rounds):
        for simpler in _simpler(played):
            yield history._replace(rounds=(*rounds[:n], simpler, *rounds[n + 1 :]))


def _simpler(played: Round) -> Iterator[Round]:
    for name, plain in _PLAIN._asdict().items():
        now: Any = getattr(played, name)
        if name != "rows" and now != plain:
            yield played._replace(**{name: plain})
        if isinstance(now, tuple):
            for n in range(len(now)):
                fewer: Any = now[:n] + now[n + 1 :]
                yield played._replace(**{name: fewer})

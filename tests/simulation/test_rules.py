"""The rules of a run as pure functions, over many histories; see reverse_etl/testing/rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from reverse_etl.testing.histories import Row
from reverse_etl.testing.rules import delivering, planning, settling
from reverse_etl.testing.rules.__main__ import main
from reverse_etl.testing.rules.history import (
    ACCIDENTS,
    BUCKETS,
    UNSENDABLE_PLAN,
    History,
    Round,
    generate,
)
from reverse_etl.testing.rules.playing import play_seeds, shrink, violation
from reverse_etl.testing.rules.tables import NO_FIELDS, NOBODY, UPSERT_PHASE

CHUNK = 2_000
CHUNKS = [range(start, start + CHUNK) for start in range(1, 20_001, CHUNK)]

# What each chunk must have met, or it proves nothing.
MUST_HAPPEN = {
    **{f"change {bucket}": 40 for bucket in BUCKETS},
    **{f"request {accident}": 80 for accident in ACCIDENTS},
    **dict.fromkeys(("insert", "update", "delete", "retry", "residue"), 300),
    **dict.fromkeys(("carried", "former", "takeover", "another account"), 60),
    **dict.fromkeys(("ended: Held", "ended: Planned", "ended: Refused"), 5),
    **dict.fromkeys(("delivery done", "delivery failed", "delivery interrupted"), 8),
    **dict.fromkeys(("died before recovering", "died after recovering"), 3),
    "asked for a permanent failure": 40,
    "died while planning": 40,
    "died before the commit point": 40,
    "died after the commit point": 40,
    "died before a request": 40,
    "died after a request": 40,
    "died before an answer": 40,
    "died within a checkpoint": 10,
    "died before settling": 40,
    "died after settling": 40,
}


@pytest.mark.parametrize("seeds", CHUNKS, ids=lambda seeds: f"{seeds.start}-{seeds.stop - 1}")
def test_the_promises_hold_for_the_rules(seeds: range) -> None:
    result = play_seeds(seeds)
    assert not result.complaints, "\n\n".join(result.complaints)
    rare = {
        what: result.coverage[what] for what, n in MUST_HAPPEN.items() if result.coverage[what] < n
    }
    assert not rare


@pytest.mark.parametrize("seed", [499_567, 741_535])
def test_the_promises_are_judged_by_what_was_sent(seed: int) -> None:
    """A change that we refused ourselves, and one confirmed before those ahead of it."""
    assert violation(generate(seed)) is None


def test_a_seed_is_always_the_same_history() -> None:
    assert [generate(seed) for seed in range(50)] == [generate(seed) for seed in range(50)]
    first, second = play_seeds(range(50)).coverage, play_seeds(range(50)).coverage
    assert {**first, "seconds": 0} == {**second, "seconds": 0}


# --- the rules, changed --------------------------------------------------------------------


class Wrong(NamedTuple):
    """One rule changed: what stands in for a function, made from the right one.

    Random histories find it; or, where that takes more than a thousand, the example does.
    """

    what: str
    module: ModuleType
    name: str
    made: Callable[[Any], Any]
    example: History | None = None


def _without_deletes(right: Any) -> Any:
    return lambda *args, **kwargs: (
        each for each in right(*args, **kwargs) if each.operation != "delete"
    )


def _nobody_is_asked_for(right: Any) -> Any:
    def failures(state: Any, settings: Any, *, full: bool) -> Any:
        deaf = {i: record._replace(asked=False) for i, record in state.failed.items()}
        return right(state._replace(failed=deaf), settings, full=full)

    return failures


def _an_empty_plan_keeps_the_base(right: Any) -> Any:
    def commit(state: Any, run_id: int, planned: Any, window: int) -> Any:
        if state.base is not None and not planned.changes:
            planned = planned._replace(snapshot=state.base.snapshot)
        return right(state, run_id, planned, window)

    return commit


def _old_records_stay(right: Any) -> Any:
    return lambda state, *args, **kwargs: {**right(state, *args, **kwargs), **state.failed}


def _what_was_not_sent_never_was(right: Any) -> Any:
    def failure(run_id: int, change: Any, outcome: Any, old: Any) -> Any:
        record = right(run_id, change, outcome, old)
        return record if outcome.sent else record._replace(fields=NO_FIELDS)

    return failure


def _position_first(right: Any) -> Any:
    def checkpoint(state: Any, news: Any, position: int, window: int) -> Any:
        return settling.advance(state, position, window), right(state, news, position, window)[1]

    return checkpoint


def _nobody_under_way(right: Any) -> Any:
    def recover_run(state: Any, run_id: int, **how: Any) -> Any:
        if state.base is not None:
            state = state._replace(base=state.base._replace(limit=state.base.position))
        return right(state, run_id, **how)

    return recover_run


def _another_account_inherits(right: Any) -> Any:
    return lambda state, run_id, planned, window: right(
        state, run_id, planned._replace(fresh=False), window
    )


# --- where random histories rarely come ----------------------------------------------------

ADA, BOB = Row(1, "a@x.test", "u1", 1, "s"), Row(2, "a@x.test", None, 1, "s")
MOVED = Row(1, "b@x.test", "u1", 1, "s")
LOST = ((1, "lost_before"),)


def _hybrid(*rounds: Round) -> History:
    return History(0, "hybrid", both=True, clears=False, rounds=rounds)


HELD = _hybrid(Round((ADA,)), Round((BOB,), requests=LOST))
FORMERLY_HELD = _hybrid(Round((ADA,)), Round((MOVED,), requests=LOST), Round((BOB,), requests=LOST))
TAKEOVER = _hybrid(Round((ADA,)), Round((MOVED, BOB)))
WRITTEN_ELSEWHERE = _hybrid(Round((ADA,)), Round((MOVED, BOB), requests=LOST))
ONCE_SENT = History(
    0,
    "email",
    both=False,
    clears=True,
    rounds=(
        Round((ADA,), requests=((1, "lost_after"),)),
        Round((replace(ADA, plan=UNSENDABLE_PLAN),)),
        Round(),
    ),
)

WRONG = (
    Wrong("an interrupted plan is forgotten", planning, "unconfirmed", lambda _: lambda _: ()),
    Wrong("residue is ignored", planning, "left_as_residue", lambda _: lambda _: ()),
    Wrong("nobody stays as residue", planning, "residue_of", lambda _: lambda *_: {}),
    Wrong("who was asked for waits", planning, "failures", _nobody_is_asked_for),
    Wrong("failed deletes are not carried", planning, "failures", _without_deletes),
    Wrong(
        "doubt waits like a refusal",
        planning,
        "is_due",
        lambda _: lambda _, retryable, retry: retryable and retry,
    ),
    Wrong("nobody was under way at a kill", settling, "recover_run", _nobody_under_way),
    Wrong("an empty plan keeps the base", settling, "commit", _an_empty_plan_keeps_the_base),
    Wrong("who is held leaves at once", planning, "is_held", lambda _: lambda *_: False, HELD),
    Wrong(
        "former e-mails are forgotten",
        planning,
        "former_of",
        lambda _: lambda *_: frozenset(),
        FORMERLY_HELD,
    ),
    Wrong(
        "all upserts go at once", planning, "phase_of", lambda _: lambda *_: UPSERT_PHASE, TAKEOVER
    ),
    Wrong(
        "who was written elsewhere is not written again",
        planning,
        "written_elsewhere",
        lambda _: lambda *_, **__: NOBODY,
        WRITTEN_ELSEWHERE,
    ),
    Wrong(
        "only the fields of the base are cleared",
        planning,
        "fields_of",
        lambda _: lambda base, *_: frozenset(base.fields) if base else NO_FIELDS,
    ),
    Wrong(
        "what was not sent now never was",
        settling,
        "failure",
        _what_was_not_sent_never_was,
        ONCE_SENT,
    ),
    Wrong("the brake is off", planning, "brake", lambda _: lambda *_: None),
    Wrong("the position goes before the failures", delivering, "checkpoint", _position_first),
    Wrong("the send limit is ignored", delivering, "may_start", lambda _: lambda *_: True),
    Wrong("the position jumps over a gap", delivering, "confirmed", lambda _: lambda _, s: max(s)),
    Wrong("old failed records stay", settling, "renew", _old_records_stay),
    Wrong("another account inherits", settling, "commit", _another_account_inherits),
)


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.what)
def test_a_wrong_rule_is_caught(wrong: Wrong, monkeypatch: pytest.MonkeyPatch) -> None:
    example = wrong.example
    assert example is None or violation(example) is None
    right = getattr(wrong.module, wrong.name)
    monkeypatch.setattr(wrong.module, wrong.name, wrong.made(right))
    if example is not None:
        assert violation(example)
    else:
        assert any(violation(generate(seed)) for seed in range(1, 1_001))


def test_what_goes_wrong_is_made_small_and_can_be_seen_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--histories", "3", "--jobs", "1"]) == 0
    assert "3 histories, 0 wrong" in capsys.readouterr().out
    monkeypatch.setattr(planning, "unconfirmed", lambda _: ())
    result = play_seeds(range(1, 301))
    assert "rerun: python -m reverse_etl.testing.rules --seed" in result.complaints[0]
    seed = next(seed for seed in range(1, 301) if violation(generate(seed)))
    small = shrink(generate(seed))
    assert violation(small)
    assert len(small.rounds) <= 2


def test_coverage_counts_what_is_played() -> None:
    coverage: Counter[str] = Counter()
    assert violation(generate(1), coverage) is None
    assert coverage["delivery done"] >= 1

"""Seeded histories of the whole engine; see reverse_etl/testing/simulation.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from reverse_etl.testing.histories import (
    Fault,
    History,
    ProjectType,
    Round,
    Row,
    generate,
)
from reverse_etl.testing.place import Place, duckdb_place
from reverse_etl.testing.simulation import Played, complaint, violation

DUCKDB_SEEDS = range(31, 61)
POSTGRES_SEEDS = range(1_001, 1_017)

# What the seeds must have met, or they prove nothing. One seed more or less changes the numbers.
MUST_HAPPEN = {
    "plans not empty": 60,
    "planned insert": 100,
    "planned update": 20,
    "planned delete": 20,
    "profiles written": 60,
    "profiles cleared": 8,
    "older fields cleared": 3,
    "killed before commit": 3,
    "killed after commit": 3,
    "failed statement": 1,
    "fault lost_after": 1,
    "fault unauthorized": 1,
    "fault poison": 1,
    "status interrupted": 1,
}


@pytest.fixture(scope="module")
def duckdb() -> Iterator[Place]:
    with duckdb_place() as place:
        yield place


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Place]:
    with Place(postgres_url) as place:
        yield place


def _play(seeds: range, place: Place) -> Counter[str]:
    coverage: Counter[str] = Counter()
    complaints = []
    for seed in seeds:
        history, played = generate(seed), Played()
        error = violation(history, place, played)
        if error is not None:
            complaints.append(complaint(history, error))
        coverage.update(played.coverage)
    assert not complaints, "\n\n".join(complaints)
    return coverage


def test_promises_hold_on_duckdb(duckdb: Place) -> None:
    coverage = _play(DUCKDB_SEEDS, duckdb)
    rare = {what: coverage[what] for what, least in MUST_HAPPEN.items() if coverage[what] < least}
    assert not rare


def test_promises_hold_on_postgresql(postgres: Place) -> None:
    coverage = _play(POSTGRES_SEEDS, postgres)
    assert coverage["plans not empty"] > 30
    assert coverage["killed before commit"] + coverage["killed after commit"] > 3


@pytest.mark.parametrize("seed", [7, 8])
def test_same_seed_gives_the_same_trace(duckdb: Place, seed: int) -> None:
    first, second = Played(), Played()
    assert violation(generate(seed), duckdb, first) == violation(generate(seed), duckdb, second)
    assert first.trace
    assert first.digest() == second.digest()


# --- small histories that once went wrong --------------------------------------------------


def _row(key: int, email: str | None, user_id: str | None = None) -> Row:
    return Row(key, email, user_id, 1, "s")


@pytest.mark.parametrize("statement", range(50, 62))
def test_a_commit_that_went_unheard_keeps_its_base(duckdb: Place, statement: int) -> None:
    first = Round((_row(1, "a@x.test"),), failed_at=statement)
    history = History(
        1, "email", "both", by_name=False, rounds=(first, Round((_row(2, "c@x.test"),)))
    )
    error = violation(history, duckdb)
    assert error is None, complaint(history, error)


def test_a_column_of_constants_may_become_one_of_values(postgres: Place) -> None:
    rounds = (
        Round((_row(4, "nope"),)),
        Round((_row(3, "c@x.test", "u2"), _row(2, "d@x.test", "u3"))),
    )
    history = History(1, "hybrid", "identity", by_name=False, rounds=rounds)
    error = violation(history, postgres)
    assert error is None, complaint(history, error)


def test_an_address_that_may_still_be_linked_holds_its_person(duckdb: Place) -> None:
    rounds = (
        Round((_row(1, "a@x.test", "u1"),)),
        Round(
            (_row(1, "b@x.test", "u1"), _row(2, "a@x.test")),
            faults=(Fault(1, 1, "lost_before"),),
        ),
        Round((_row(2, "a@x.test"),)),
    )
    history = History(1, "hybrid", "both", by_name=False, rounds=rounds)
    error = violation(history, duckdb)
    assert error is None, complaint(history, error)


# --- profiles ------------------------------------------------------------------------------

ADA = (_row(1, "a@x.test", "u1"),)
LOST = Fault(1, 9, "lost_after")


@pytest.mark.parametrize(
    ("project_type", "rounds"),
    [
        ("email", (Round(ADA, mapping="both", faults=(LOST,)), Round((), mapping="renamed"))),
        (
            "email",
            (
                Round(ADA, mapping="both", faults=(LOST,)),
                Round(ADA, mapping="renamed", faults=(LOST,)),
                Round((), mapping="none"),
            ),
        ),
        (
            "user_id",
            (
                Round(ADA, mapping="both"),
                Round((), mapping="renamed", faults=(LOST,)),
                Round(ADA, mapping="renamed", faults=(LOST,)),
                Round((), mapping="renamed"),
            ),
        ),
        (
            "hybrid",
            (
                Round(ADA, mapping="both"),
                Round((), mapping="none", faults=(Fault(1, 9, "bucket_invalidData"),)),
                Round((), mapping="none", full=True),
            ),
        ),
        (
            "email",
            (
                Round(ADA, mapping="both", mode="upsert", faults=(LOST,)),
                Round((), mapping="none", mode="upsert"),
                Round((), mapping="renamed"),
            ),
        ),
        (
            "user_id",
            (
                Round(ADA, mapping="both", killed_at=31),
                Round((), mapping="none", killed_at=29),
                Round((), mapping="none"),
            ),
        ),
    ],
)
def test_what_was_sent_is_cleared_whatever_became_of_the_mapping(
    duckdb: Place, project_type: ProjectType, rounds: tuple[Round, ...]
) -> None:
    history = History(1, project_type, "identity", by_name=False, rounds=rounds, object="user")
    played = Played()
    error = violation(history, duckdb, played)
    assert error is None, complaint(history, error)
    assert played.coverage["older fields cleared"] > 0

"""Small histories that once went wrong, and what the player itself promises."""

from __future__ import annotations

import subprocess
import sys

import pytest

from reverse_etl.testing.histories import (
    Fault,
    History,
    ProjectType,
    Round,
    Row,
    generate,
    smaller,
)
from reverse_etl.testing.place import Place
from reverse_etl.testing.simulation import Played, complaint, main, violation

# --- the player ----------------------------------------------------------------------------

_TRACE = """
from reverse_etl.testing.histories import generate
from reverse_etl.testing.place import duckdb_place
from reverse_etl.testing.simulation import Played, violation
with duckdb_place() as place:
    played = Played()
    assert violation(generate({seed}), place, played) is None
    print(played.digest())
"""


@pytest.mark.parametrize("seed", [7, 8])
def test_same_seed_gives_the_same_trace_in_every_process(seed: int) -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", _TRACE.format(seed=seed)],
            env={"PYTHONHASHSEED": hash_seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(digests) == 1
    assert len(digests.pop().strip()) == 64


def test_a_history_printed_as_code_is_the_same_history() -> None:
    for seed in range(200):
        history = generate(seed)
        code = compile(history.code(), "history", "eval")
        assert eval(code, vars(sys.modules["reverse_etl.testing.histories"])) == history  # noqa: S307 - our own


def test_smaller_histories_are_smaller() -> None:
    for seed in range(20):
        history = generate(seed)
        assert all(len(each.text()) <= len(history.text()) + 8 for each in smaller(history))
        assert history not in list(smaller(history))


def test_a_complaint_names_the_command_that_repeats_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = complaint(generate(3), AssertionError("gone"))
    command = next(line for line in text.splitlines() if line.startswith("rerun: "))
    _, _, _, *arguments = command.removeprefix("rerun: ").split()
    assert main(arguments) == 0
    assert "1 seeds, 0 wrong" in capsys.readouterr().out


# --- small histories that once went wrong --------------------------------------------------


def _row(key: int, email: str | None, user_id: str | None = None) -> Row:
    return Row(key, email, user_id, 1, "s")


@pytest.mark.parametrize("said", ["plan: commit unheard#2", "plan: commit#2"])
def test_a_commit_that_went_unheard_keeps_its_base(duckdb: Place, said: str) -> None:
    first = Round((_row(1, "a@x.test"),), failed_at=said)
    history = History(
        1, "email", "both", by_name=False, rounds=(first, Round((_row(2, "c@x.test"),)))
    )
    played = Played()
    error = violation(history, duckdb, played)
    assert error is None, complaint(history, error)
    assert played.coverage[f"failed {said.partition('#')[0]}"] == 1


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
                Round(ADA, mapping="both", killed_at="after deliver: request"),
                Round((), mapping="none", killed_at="before deliver: request"),
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

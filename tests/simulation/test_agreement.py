"""The engine and the rules come to the same tables; see reverse_etl/testing/rules/agreement.py."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from reverse_etl.testing.histories import Fault, History, Round, Row, generate
from reverse_etl.testing.place import Place
from reverse_etl.testing.rules import planning, settling
from reverse_etl.testing.simulation import Played, complaint, violation

DUCKDB_SEEDS = range(61, 69)
POSTGRES_SEEDS = range(1_101, 1_107)


def _agreed(seeds: range, place: Place) -> Counter[str]:
    coverage: Counter[str] = Counter()
    for seed in seeds:
        history, played = generate(seed), Played()
        error = violation(history, place, played)
        assert error is None, complaint(history, error)
        coverage.update(played.coverage)
    return coverage


def test_the_engine_agrees_with_the_rules_on_duckdb(duckdb: Place) -> None:
    coverage = _agreed(DUCKDB_SEEDS, duckdb)
    assert coverage["agreed: plans"] >= 20
    assert coverage["agreed: changes"] >= 20
    assert coverage["agreed: recovered"] >= 1


def test_the_engine_agrees_with_the_rules_on_postgresql(postgres: Place) -> None:
    coverage = _agreed(POSTGRES_SEEDS, postgres)
    assert coverage["agreed: plans"] >= 15
    assert coverage["agreed: changes"] >= 15


# --- it can fail ---------------------------------------------------------------------------

ADA = Row(1, "a@x.test", None, 1, "s")
INTERRUPTED = Round((ADA,), faults=(Fault(1, 9, "unauthorized"),))
REFUSED = Round((ADA,), faults=(Fault(1, 9, "bucket_invalidData"),))
BRAKED = Round((), max_delete_percent=50)


@pytest.mark.parametrize(
    ("rounds", "module", "name", "wrong", "said"),
    [
        ((INTERRUPTED, Round((ADA,))), planning, "unconfirmed", (), "agreement: plan"),
        ((REFUSED, Round((ADA,))), settling, "renew", {}, "agreement: runs"),
        ((Round((ADA,)), BRAKED), planning, "brake", None, "agreement: the rules do not hold it"),
        ((REFUSED, Round((ADA,))), settling, "lines", (), "agreement: log"),
    ],
)
def test_a_disagreement_is_told(  # noqa: PLR0913, PLR0917 - one argument for each part of a case
    duckdb: Place,
    monkeypatch: pytest.MonkeyPatch,
    rounds: tuple[Round, ...],
    module: Any,
    name: str,
    wrong: Any,
    said: str,
) -> None:
    monkeypatch.setattr(module, name, lambda *_, **__: wrong)
    history = History(1, "email", "both", by_name=False, rounds=rounds)
    error = violation(history, duckdb)
    assert error is not None
    assert str(error).startswith(said)

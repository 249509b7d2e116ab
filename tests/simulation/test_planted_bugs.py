"""What finds each planted bug: a seed, which the unchanged engine passes, or a sentence alone.

``planted_seeds.json`` says which seed was the first to catch each bug. When the generator
changes, find them again::

    python -m reverse_etl.testing.planted --find --write tests/simulation/planted_seeds.json
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reverse_etl.testing.histories import generate
from reverse_etl.testing.place import Place
from reverse_etl.testing.planted import BUGS, MOST_SEEDS, Bug
from reverse_etl.testing.simulation import complaint, violation

HERE = Path(__file__).parent
SEEDS: dict[str, int] = json.loads((HERE / "planted_seeds.json").read_text())

# For these no seed is recorded; the pinned histories of test_sentences.py catch them.
BY_SENTENCE_ALONE = {
    "sending goes beyond the limit",
    "the lease is not checked before a request",
    "the position is confirmed before the failures",
}


def test_each_planted_bug_has_its_seed_or_is_named_as_one_without() -> None:
    assert SEEDS.keys() | BY_SENTENCE_ALONE == {bug.name for bug in BUGS}
    assert not SEEDS.keys() & BY_SENTENCE_ALONE
    assert max(SEEDS.values()) <= MOST_SEEDS
    assert len(SEEDS) >= 28


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_each_planted_bug_has_its_sentence(bug: Bug) -> None:
    assert f'"{bug.name}"' in (HERE / "test_sentences.py").read_text()


@pytest.mark.parametrize("bug", [b for b in BUGS if b.name in SEEDS], ids=lambda bug: bug.name)
def test_its_seed_catches_it_and_passes_without_it(duckdb: Place, bug: Bug) -> None:
    history = generate(SEEDS[bug.name])
    assert bug.caught(history, duckdb) is not None, f"not caught: {bug.broken}"
    error = violation(history, duckdb)
    assert error is None, complaint(history, error)

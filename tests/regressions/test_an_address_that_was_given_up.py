"""In hybrid projects an e-mail is given up only when another one has taken its place.

Ada's row loses its e-mail: nothing tells Iterable to forget it, so Bob, who has only that address,
lives in her profile. When she left in a later run, she took Bob off the list. The other way round,
an e-mail that was replaced, with success, kept her on the list for as long as anybody had it.
"""

from __future__ import annotations

import pytest

from reverse_etl.testing.histories import History, Round, Row
from reverse_etl.testing.place import Place
from reverse_etl.testing.simulation import Played, complaint, violation

ADA, BOB = Row(1, "a@x.test", "u1", 1, "s"), Row(2, "a@x.test", None, 1, "s")
WITHOUT, ELSEWHERE = Row(1, None, "u1", 1, "s"), Row(1, "b@x.test", "u1", 1, "s")


@pytest.mark.parametrize("quiet", [0, 1, 2])
@pytest.mark.parametrize(
    ("changed", "removed"), [(WITHOUT, 0), (ELSEWHERE, 1)], ids=["lost", "replaced"]
)
def test_who_leaves_takes_nobody_along_and_goes_when_it_can(
    place: Place, changed: Row, removed: int, quiet: int
) -> None:
    changes = [Round((ADA,)), *[Round((changed, BOB))] * (quiet + 1), Round((BOB,))]
    history = History(3, "hybrid", "both", by_name=False, rounds=tuple(changes))
    played = Played()
    error = violation(history, place, played)
    assert error is None, complaint(history, error)
    assert played.coverage["planned delete"] == removed

"""A run that was overtaken while it recovered dropped the tables of the other one (seed 2166).

It had read which run was committed, stood still, and then read which runs had not ended: the one
that had taken over was among them, looked like a planning that was killed, and lost its plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reverse_etl.testing.histories import generate
from reverse_etl.testing.simulation import complaint, violation

if TYPE_CHECKING:
    from reverse_etl.testing.place import Place


def test_who_takes_over_keeps_its_tables(place: Place) -> None:
    history = generate(2166)
    error = violation(history, place)
    assert error is None, complaint(history, error)

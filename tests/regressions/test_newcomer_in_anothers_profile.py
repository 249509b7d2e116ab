"""In hybrid projects somebody with nothing but an e-mail was lost without a word.

Ada's address moves to Bob, who has no user id. Iterable finds Bob by the address, so while Ada's
profile still has it, Bob is written there; when Ada's change comes through later, the address
moves on with nobody left behind it. That happened when Ada's change failed and was tried again,
when the run was cut short between the two, and when her address was free only after another one.
"""

from __future__ import annotations

import pytest

from reverse_etl.testing.histories import Fault, History, Round, Row
from reverse_etl.testing.place import Place
from reverse_etl.testing.simulation import Played, complaint, violation

ADA, BOB = Row(1, "a@x.test", "u1", 1, "s"), Row(2, "a@x.test", None, 1, "s")
MOVED = Row(1, "b@x.test", "u1", 1, "s")
EVE, EVE_MOVED = Row(3, "b@x.test", "u3", 1, "s"), Row(3, "c@x.test", "u3", 1, "s")


@pytest.mark.parametrize(
    "rounds",
    [
        (Round((ADA,)), Round((MOVED, BOB), faults=(Fault(1, 1, "lost_before"),))),
        (Round((ADA,)), Round((MOVED, BOB), faults=(Fault(1, 1, "unauthorized"),))),
        (Round((ADA, EVE)), Round((MOVED, BOB, EVE_MOVED))),
    ],
    ids=["refused at first", "cut short", "a chain"],
)
def test_who_has_only_an_address_is_not_lost_with_it(
    place: Place, rounds: tuple[Round, ...]
) -> None:
    history = History(2, "hybrid", "both", by_name=False, rounds=rounds)
    error = violation(history, place, Played())
    assert error is None, complaint(history, error)

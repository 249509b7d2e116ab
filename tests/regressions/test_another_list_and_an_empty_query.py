"""A check of the simulator took the change to another list for an emptied one (seed 2001).

Nobody of ours is on the other list yet, so nobody leaves it, and there is nothing for the brake to
hold. The check asked which list was the sync's when the run had changed that already.
"""

from __future__ import annotations

from dataclasses import replace

from reverse_etl.testing.histories import LIST_ID, OTHER_LIST_ID, History, Round, Row
from reverse_etl.testing.place import Place
from reverse_etl.testing.simulation import Played, complaint, violation

NOBODY_ELSEWHERE = Round((), max_delete_percent=20, full=True, list_id=OTHER_LIST_ID)
HISTORY = History(
    seed=2001,
    project_type="email",
    hybrid_send="both",
    by_name=False,
    rounds=(Round((Row(1, "e@x.test", None, 1, "s"),)), NOBODY_ELSEWHERE),
)


def played(history: History, place: Place) -> Played:
    found = Played()
    error = violation(history, place, found)
    assert error is None, complaint(history, error)
    return found


def test_on_another_list_nobody_leaves(place: Place) -> None:
    coverage = played(HISTORY, place).coverage
    assert coverage["planned delete"] == 0
    assert coverage["status held"] == 0


def test_on_the_same_list_the_brake_holds(place: Place) -> None:
    """Also with ``--full``, which does not pass it."""
    emptied = replace(NOBODY_ELSEWHERE, list_id=LIST_ID)
    coverage = played(replace(HISTORY, rounds=(HISTORY.rounds[0], emptied)), place).coverage
    assert coverage["status held"] >= 1

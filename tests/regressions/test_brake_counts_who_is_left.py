"""On PostgreSQL the brake held a run that removed two people of four.

A few deletes never hold a run unless nobody would be left. How many are left was added up from
the row count of an INSERT, which SQLAlchemy does not keep unless it is asked to: with two rows
that claim one person the sum came out as nobody.
"""

from __future__ import annotations

from reverse_etl.testing.histories import History, Round, Row
from reverse_etl.testing.place import Place
from reverse_etl.testing.simulation import Played, complaint, violation

HISTORY = History(
    seed=1,
    project_type="email",
    hybrid_send="both",
    by_name=False,
    rounds=(
        Round(tuple(Row(n, f"{name}@x.test", None, 1, "s") for n, name in enumerate("abcd"))),
        Round(
            (
                Row(0, "a@x.test", None, 1, "s"),
                Row(1, "b@x.test", None, 1, "s"),
                Row(2, "b@x.test", None, 1, "s"),
            ),
            max_delete_percent=20,
        ),
    ),
)


def test_two_of_four_people_leave_unhindered(place: Place) -> None:
    played = Played()
    error = violation(HISTORY, place, played)
    assert error is None, complaint(HISTORY, error)
    assert played.coverage["planned delete"] == 2
    assert played.coverage["status held"] == 0

"""Two runners, a paused process, and clocks that are set: played at the points that matter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reverse_etl.testing.histories import History, Meanwhile, Round, Row
from reverse_etl.testing.place import Place
from reverse_etl.testing.promises import BrokenPromiseError
from reverse_etl.testing.simulation import Played, complaint, violation
from reverse_etl.warehouse.lease import Lease

if TYPE_CHECKING:
    from sqlalchemy import Table, Update

ADA, BEN, EVA, DAN, FAY = (
    Row(n, f"{name}@x.test", None, 1, "s") for n, name in enumerate("abcde", 1)
)
BEFORE = Round((ADA, BEN, EVA))
LATER = Round((BEN, DAN, FAY), after=0)


def _history(*rounds: Round) -> History:
    return History(1, "email", "both", by_name=False, rounds=rounds)


def _beside(meanwhile: Meanwhile) -> History:
    return _history(BEFORE, Round((ADA, DAN, FAY), meanwhile=(meanwhile,)))


def _play(history: History, place: Place) -> Played:
    played = Played()
    error = violation(history, place, played)
    assert error is None, complaint(history, error)
    return played


@pytest.mark.parametrize(
    "at",
    [
        "after begin: commit",
        "after plan: create changes",
        "after plan: commit",
        "after deliver: request#2",
        "deliver: wait#2",
        "before retain: delete residue",
    ],
)
def test_who_is_paused_beyond_the_lease_does_nothing_more(postgres: Place, at: str) -> None:
    played = _play(_beside(Meanwhile(at, pause=100, rival=LATER)), postgres)
    assert played.coverage["lease lost"] == 1
    assert played.coverage["rival was busy"] == 0


def test_who_is_paused_with_a_transaction_open_lets_nobody_in(postgres: Place) -> None:
    """The server holds the row that both want until the paused process goes on."""
    at = "before settle: commit"
    played = _play(_beside(Meanwhile(at, pause=100, rival=LATER)), postgres)
    assert played.coverage["lease lost"] == 0
    assert played.coverage["raised warehouse_error"] == 1


@pytest.mark.parametrize("pause", [0, 25])
def test_while_the_lease_lasts_others_are_busy(postgres: Place, pause: float) -> None:
    at = "after deliver: request#2"
    played = _play(_beside(Meanwhile(at, pause=pause, rival=LATER)), postgres)
    assert played.coverage["rival was busy"] == 1
    assert played.coverage["lease lost"] == 0


@pytest.mark.parametrize("same_process", [False, True])
@pytest.mark.parametrize("at", ["after begin: commit", "after deliver: request#2"])
def test_on_a_file_others_are_busy_however_long_it_takes(
    duckdb: Place, at: str, *, same_process: bool
) -> None:
    meanwhile = Meanwhile(at, pause=100, rival=LATER, same_process=same_process)
    played = _play(_beside(meanwhile), duckdb)
    assert played.coverage["rival was busy"] == 1


def test_the_rival_may_die_as_well(postgres: Place) -> None:
    dying = Round(LATER.rows, after=0, killed_at="after deliver: request")
    meanwhile = Meanwhile("after deliver: request#2", pause=100, rival=dying)
    played = _play(_beside(meanwhile), postgres)
    assert played.coverage["lease lost"] == 1
    assert played.coverage["killed after deliver: request"] == 1


def test_a_killed_run_keeps_others_out_until_its_lease_has_expired(postgres: Place) -> None:
    killed = Round((ADA, DAN), killed_at="after deliver: request")
    played = _play(_history(BEFORE, killed, Round((DAN,), after=20)), postgres)
    assert played.coverage["raised busy"] == 1


@pytest.mark.parametrize("jump", [-86_400, 86_400])
@pytest.mark.parametrize("at", ["after begin: commit", "after deliver: request", 3])
def test_a_clock_that_is_set_changes_nothing(
    duckdb: Place, postgres: Place, at: int | str, jump: float
) -> None:
    history = _beside(Meanwhile(at, jump=jump))
    for place in (duckdb, postgres):
        assert _play(history, place).coverage["clock jump"] == 1


# --- the checks can fail -------------------------------------------------------------------


def _unchecked(*_: object) -> None:
    """Let everything pass."""


def _any_token(state: Table, sync_name: str, _token: int) -> Update:
    return state.update().where(state.c.sync_name == sync_name)


# The first request looks the list up; the next two go together.
FIRST_RUN = _history(
    Round(BEFORE.rows, meanwhile=(Meanwhile("after deliver: request#2", pause=100, rival=LATER),))
)


def test_of_two_requests_that_go_together_the_second_is_not_started(postgres: Place) -> None:
    assert _play(FIRST_RUN, postgres).coverage["lease lost"] == 1


def test_a_lease_that_is_not_checked_before_a_request_is_noticed(
    postgres: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lease, "check", _unchecked)
    error = violation(FIRST_RUN, postgres)
    assert isinstance(error, BrokenPromiseError)
    assert str(error).startswith("no request after the lease was lost")


def test_a_lease_that_fences_nothing_is_noticed(
    postgres: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reverse_etl.warehouse.statements.control._mine", _any_token)
    at = "after plan: create changes"
    error = violation(_beside(Meanwhile(at, pause=100, rival=LATER)), postgres)
    assert isinstance(error, BrokenPromiseError)

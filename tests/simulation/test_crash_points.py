"""A process dies at the steps of recorded scenarios; see reverse_etl/testing/scenarios.py.

Here each scenario dies at most so often, evenly spread and beginning elsewhere in each; every
step, and every pair of steps of the shortest, are for the command.
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from reverse_etl.testing.place import duckdb_place
from reverse_etl.testing.scenarios import (
    SCENARIOS,
    SHORTEST,
    Watched,
    kinds,
    singles,
    spread,
    with_death,
)
from reverse_etl.testing.simulation import Played, play

CHUNKS = 10
MOST_DEATHS = 5
ON_POSTGRESQL = (
    *("changed e-mail", "unknown delete", "refused key", "upsert, then mirror"),
    *("e-mails wander", "profiles are cleared of older fields"),
)
MOST_DEATHS_ON_POSTGRESQL = 6


def _die(*arguments: str) -> str:
    """Run the command; it forks, so it must be a process of its own."""
    command = [sys.executable, "-m", "reverse_etl.testing.scenarios", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def _deaths(said: str) -> int:
    found = re.search(r"(\d+) deaths, 0 wrong", said)
    assert found
    return int(found[1])


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_killed_at_its_steps_a_scenario_is_repaired_on_duckdb(chunk: int) -> None:
    names = sorted(SCENARIOS)[chunk::CHUNKS]
    chosen = [word for name in names for word in ("--scenario", name)]
    said = _die("--singles", "--most", str(MOST_DEATHS), *chosen)
    assert _deaths(said) >= 3 * len(names)


def test_killed_twice_it_is_repaired_on_duckdb() -> None:
    assert _deaths(_die("--pairs", "--most", "1", "--scenario", SHORTEST[0])) > 10


@pytest.mark.parametrize("scenario", ON_POSTGRESQL)
def test_killed_at_its_steps_a_scenario_is_repaired_on_postgresql(
    postgres_url: str, scenario: str
) -> None:
    with Watched(postgres_url) as place:
        count = len(kinds(SCENARIOS[scenario], place))
        deaths = singles(scenario, place, spread(count, MOST_DEATHS_ON_POSTGRESQL, scenario))
    assert not deaths.complaints, "\n".join(deaths.complaints)
    assert sum(deaths.died.values()) >= 5


def _kind(step: str) -> str:
    """Before or after it: the same kind of step."""
    return step.removeprefix("before ").removeprefix("after ")


def test_every_kind_of_step_is_died_at() -> None:
    """What the deaths above leave out, a process dies at here."""
    met: dict[str, tuple[str, int]] = {}
    died: set[str] = set()
    with Watched("duckdb:///:memory:kinds") as place:
        for name, history in SCENARIOS.items():
            steps = kinds(history, place)
            for number, step in enumerate(steps, 1):
                met.setdefault(_kind(step), (name, number))
            died |= {_kind(steps[step - 1]) for step in spread(len(steps), MOST_DEATHS, name)}
        for name, number in (met[kind] for kind in sorted(met.keys() - died)):
            deaths = singles(name, place, {number})
            assert not deaths.complaints, "\n".join(deaths.complaints)
            died |= {_kind(step) for step in deaths.died}
    assert died == set(met)
    assert {"plan: create changes", "settle: commit"} <= died


def test_a_death_in_a_fork_is_the_death_that_the_command_plays() -> None:
    """Both count the same steps, so that the command shows what the fork has found."""
    history = SCENARIOS["one person"]
    with duckdb_place() as place, Watched("duckdb:///:memory:counted") as watched:
        steps = kinds(history, watched)
        for step in (1, len(steps) // 2, len(steps)):
            played = Played()
            play(with_death(history, step), place, played)
            assert f"killed at step {step} ({steps[step - 1]})" in played.trace

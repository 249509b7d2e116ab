"""Seeds: histories that nobody has thought of, on both warehouses, and what they met.

The same seeds are played whatever the number of processes; each chunk is a test of its own, so
that they spread. More of them: ``python -m reverse_etl.testing.simulation --help``.
"""

from __future__ import annotations

from collections import Counter

import pytest

from reverse_etl.testing.histories import FAULTS, generate
from reverse_etl.testing.place import Place
from reverse_etl.testing.simulation import Played, complaint, violation

CHUNK = 25
CHUNKS = 12
LOOSE_CHUNKS = 2

# What every chunk must have met, or it proves nothing.
IN_EVERY_CHUNK = (
    *("planned insert", "planned update", "planned delete", "profiles written"),
    *("status succeeded", "status completed_with_failures", "status failed"),
    *("two runners", "rival was busy", "pause", "clock jump"),
)


def _play(first: int, place: Place) -> Counter[str]:
    coverage: Counter[str] = Counter()
    complaints = []
    for seed in range(first, first + CHUNK):
        history, played = generate(seed), Played()
        error = violation(history, place, played)
        if error is not None:
            complaints.append(complaint(history, error, place.url))
        coverage.update(played.coverage)
    assert not complaints, "\n\n".join(complaints)
    return coverage


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_promises_hold_on_duckdb(duckdb: Place, chunk: int) -> None:
    coverage = _play(1 + chunk * CHUNK, duckdb)
    assert not [what for what in IN_EVERY_CHUNK if not coverage[what]]
    assert coverage["plans not empty"] > 2 * CHUNK
    assert len([kind for kind in coverage if kind.startswith("killed ")]) > 10


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_promises_hold_on_postgresql(postgres: Place, chunk: int) -> None:
    coverage = _play(1_001 + chunk * CHUNK, postgres)
    assert not [what for what in (*IN_EVERY_CHUNK, "lease lost") if not coverage[what]]
    assert coverage["plans not empty"] > 2 * CHUNK
    assert len([kind for kind in coverage if kind.startswith("killed ")]) > 10


@pytest.mark.parametrize("chunk", range(LOOSE_CHUNKS))
def test_promises_hold_beside_a_control_database(loose: Place, chunk: int) -> None:
    """Where no statement is kept together with another, and nothing can be updated or deleted."""
    coverage = _play(301 + chunk * CHUNK, loose)
    assert not [what for what in IN_EVERY_CHUNK if not coverage[what]]
    assert coverage["plans not empty"] > 2 * CHUNK
    assert len([kind for kind in coverage if kind.startswith("killed ")]) > 10


def test_the_histories_of_the_seeds_hold_everything_that_can_go_wrong() -> None:
    """Told from the histories alone, so that no seed need be played."""
    histories = [generate(seed) for seed in range(1, 1 + CHUNKS * CHUNK)]
    rounds = [each for history in histories for each in history.rounds]
    kinds = Counter(fault.kind for each in rounds for fault in each.faults)
    assert not [kind for kind in FAULTS if kinds[kind] < 3]
    settings: dict[str, list[object]] = {
        "kills": [each.killed_at for each in rounds],
        "failing statements": [each.failed_at for each in rounds],
        "outages": [each.outages for each in rounds],
        "stops": [each.stop_after is not None for each in rounds],
        "full runs": [each.full for each in rounds],
        "other lists": [each.list_id == 8 for each in rounds],
        "runs within the lease": [each.after < 30 for each in rounds],
        "no logs": [not each.retain_logs for each in rounds],
        "one snapshot": [each.snapshots_to_keep == 1 for each in rounds],
        "other types": [each.plan_type != "integer" for each in rounds],
        "overtakings": [any(m.pause and m.rival for m in each.meanwhile) for each in rounds],
        "threads": [any(m.same_process for m in each.meanwhile) for each in rounds],
        "killed rivals": [
            any(m.rival and m.rival.killed_at for m in each.meanwhile) for each in rounds
        ],
    }
    assert not [name for name, met in settings.items() if sum(map(bool, met)) < 10]
    combined = {(h.object, h.project_type, h.hybrid_send, h.by_name) for h in histories}
    assert len(combined) == 3 * 2 * 3  # user, list, list by name; each project type; each sending

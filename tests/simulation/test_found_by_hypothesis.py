"""Histories that Hypothesis thinks of, and makes smaller when one goes wrong.

Built from the same parts as the seeds, but of any shape: Hypothesis looks for what the weights of
the generator never combine.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reverse_etl.testing.histories import (
    EMAILS,
    FAULTS,
    LIST_ID,
    MAPPINGS,
    USER_IDS,
    Fault,
    History,
    Meanwhile,
    Outage,
    Round,
    Row,
)
from reverse_etl.testing.place import Place
from reverse_etl.testing.simulation import complaint, violation

# More of them: HISTORIES=5000 pytest tests/simulation/test_found_by_hypothesis.py
EXAMPLES = int(os.environ.get("HISTORIES", "40"))

rows = st.builds(
    Row,
    id=st.sampled_from([1, 2, 3, None]),
    email=st.sampled_from(EMAILS),
    user_id=st.sampled_from(USER_IDS),
    plan=st.sampled_from([1, 2, None]),
    tier=st.sampled_from(["s", None]),
)
faults = st.builds(Fault, st.integers(1, 6), st.integers(1, 3), st.sampled_from(FAULTS))
steps = st.none() | st.integers(1, 240)


def rounds(meanwhile: st.SearchStrategy[tuple[Meanwhile, ...]]) -> st.SearchStrategy[Round]:
    return st.builds(
        Round,
        rows=st.lists(rows, max_size=6).map(tuple),
        mode=st.sampled_from(["mirror", "upsert"]),
        on_delete=st.sampled_from(["clear_fields", "keep"]),
        mapping=st.sampled_from(sorted(MAPPINGS)),
        retry=st.booleans(),
        retry_seconds=st.sampled_from([0, 3]),
        max_delete_percent=st.sampled_from([100, 50, 20]),
        full=st.booleans(),
        allow_deletes=st.booleans(),
        stop_after=st.none() | st.integers(0, 3),
        faults=st.lists(faults, max_size=3).map(tuple),
        poison=st.sampled_from([(), ("a@x.test",), ("u1",)]),
        killed_at=steps,
        outages=st.lists(st.builds(Outage, st.integers(1, 120), st.integers(1, 9)), max_size=1).map(
            tuple
        ),
        meanwhile=meanwhile,
        after=st.sampled_from([3_600, 20]),
        plan_type=st.sampled_from(["integer", "text", "double precision"]),
        list_id=st.just(LIST_ID),
        snapshots_to_keep=st.sampled_from([3, 1]),
    )


beside = st.lists(
    st.builds(
        Meanwhile,
        at=st.integers(1, 240),
        pause=st.sampled_from([0, 40]),
        jump=st.sampled_from([0, -86_400, 86_400]),
        rival=st.none() | rounds(st.just(())),
    ),
    max_size=1,
).map(tuple)

histories = st.builds(
    History,
    seed=st.integers(1, 9),
    project_type=st.sampled_from(["email", "user_id", "hybrid"]),
    hybrid_send=st.sampled_from(["both", "identity"]),
    by_name=st.booleans(),
    rounds=st.lists(rounds(beside), min_size=1, max_size=3).map(tuple),
    object=st.just("list"),
) | st.builds(
    History,
    seed=st.integers(1, 9),
    project_type=st.sampled_from(["email", "user_id", "hybrid"]),
    hybrid_send=st.sampled_from(["both", "identity"]),
    by_name=st.just(value=False),
    rounds=st.lists(rounds(beside), min_size=1, max_size=3).map(tuple),
    object=st.just("user"),
)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    # A whole history takes longer than what Hypothesis takes for one example.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(history=histories)
def test_promises_hold_for_any_history(duckdb: Place, history: History) -> None:
    error = violation(history, duckdb)
    assert error is None, f"{complaint(history, error)}\n{history.code()}"

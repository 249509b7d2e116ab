"""Batches: within records and bytes, in order, nothing lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.connector import SUCCEEDED, Limits, Operation, Outcome, Prepared, Target
from reverse_etl.delivery.batching import ENVELOPE_BYTES, Cutter, Stretch

if TYPE_CHECKING:
    from collections.abc import Mapping

INVALID = Outcome("invalid", "invalid_identifier", "no at sign")
REMARK = Outcome("succeeded", None, "never was there")


def prepared(bodies: list[bytes], outcomes: Mapping[int, Outcome] | None = None) -> Prepared:
    names = [f"id{i}" for i in range(len(bodies))]
    return Prepared(bodies, names, [None] * len(bodies), outcomes or {})


def cut(
    page: Prepared, records: int = 1000, room: int = 10_000, longest: int = 10_000
) -> list[Stretch]:
    limits = Limits(records, room + ENVELOPE_BYTES, {})
    return list(Cutter(Target("7"), limits, longest).cut(page, Operation.INSERT, 101))


def spans(stretches: list[Stretch]) -> list[tuple[int, int]]:
    return [(stretch.first_seq, stretch.last_seq) for stretch in stretches]


def test_a_page_is_cut_by_records() -> None:
    stretches = cut(prepared([b"{}"] * 7), records=3)

    assert spans(stretches) == [(101, 103), (104, 106), (107, 107)]
    first = stretches[0].batch
    assert first is not None
    assert (first.operation, first.target, first.identities) == (
        Operation.INSERT,
        Target("7"),
        ["id0", "id1", "id2"],
    )
    assert list(stretches[1].seqs) == [104, 105, 106]


def test_a_page_is_cut_by_bytes_with_one_for_each_comma() -> None:
    stretches = cut(prepared([b"x" * 10] * 6), room=32)

    assert spans(stretches) == [(101, 103), (104, 106)]
    assert spans(cut(prepared([b"x" * 10] * 6), room=31)) == [(101, 102), (103, 104), (105, 106)]


def test_commas_count_in_a_batch_that_records_would_fill() -> None:
    page = prepared([b"x" * 10] * 6)

    assert spans(cut(page, records=3, room=31)) == [(101, 102), (103, 104), (105, 106)]
    assert spans(cut(page, records=3, room=32)) == [(101, 103), (104, 106)]


def test_a_record_of_exactly_the_room_is_not_too_large_beside_an_empty_one() -> None:
    (stretch,) = cut(prepared([b"x" * 50, b""], {1: INVALID}), room=50)

    assert list(stretch.seqs) == [101]


def test_a_record_of_exactly_the_room_is_sent_alone() -> None:
    stretches = cut(prepared([b"x", b"x" * 50, b"x"]), room=50)

    assert spans(stretches) == [(101, 101), (102, 102), (103, 103)]
    assert all(stretch.batch for stretch in stretches)


def test_a_record_larger_than_a_request_is_refused_with_both_sizes() -> None:
    (stretch,) = cut(prepared([b"x", b"x" * 5001, b"x"]), room=5000)

    ((seq, outcome),) = stretch.unsent
    assert seq == 102
    assert (outcome.status, outcome.code, outcome.retryable) == ("invalid", "invalid_value", False)
    assert outcome.reason == "the encoded record has 5,001 bytes, a request has room for 5,000"
    assert list(stretch.seqs) == [101, 103]


def test_changes_without_a_body_are_settled_and_fill_no_batch() -> None:
    page = prepared([b"a", b"", b"b", b"", b"c"], {1: INVALID, 3: REMARK})

    first, second = cut(page, records=2)

    assert (first.first_seq, first.last_seq, first.unsent) == (
        101,
        104,
        [(102, INVALID), (104, REMARK)],
    )
    assert first.batch is not None
    assert first.batch.bodies == [b"a", b"b"]
    assert first.batch.identities == ["id0", "id2"]
    assert (list(second.seqs), second.unsent) == ([105], [])


def test_a_page_of_nothing_to_send_has_no_batch() -> None:
    (stretch,) = cut(prepared([b"", b""], {0: INVALID, 1: INVALID}))

    assert stretch.batch is None
    assert stretch.unsent == [(101, INVALID), (102, INVALID)]


def test_a_refused_change_is_not_sent_even_with_a_body() -> None:
    (stretch,) = cut(prepared([b"a", b"b"], {0: INVALID}))

    assert stretch.unsent == [(101, INVALID)]
    assert list(stretch.seqs) == [102]


def test_a_missing_body_without_outcome_is_neither_success_nor_lost() -> None:
    (stretch,) = cut(prepared([b"a", b""]))

    ((seq, outcome),) = stretch.unsent
    assert (seq, outcome.status, outcome.retryable) == (102, "unknown", True)


def test_remarks_travel_with_their_change() -> None:
    stretches = cut(prepared([b"a", b"", b"c", b"d"], {1: INVALID, 3: REMARK}), records=2)

    assert [dict(stretch.remarks) for stretch in stretches] == [{}, {0: REMARK}]


def test_a_stretch_never_covers_more_numbers_than_the_window() -> None:
    page = prepared([b""] * 5 + [b"a"] * 5, dict.fromkeys(range(5), INVALID))

    assert spans(cut(page, longest=4)) == [(101, 104), (105, 108), (109, 110)]


def test_an_empty_page_has_no_stretch() -> None:
    assert cut(prepared([])) == []


def test_lists_of_different_lengths_are_a_bug_of_the_connector() -> None:
    page = Prepared([b"a", b"b"], ["x"], [None, None], {})

    with pytest.raises(ValueError, match="different lengths"):
        cut(page)


@given(
    st.lists(st.tuples(st.integers(0, 60), st.sampled_from([None, INVALID, REMARK])), max_size=60),
    st.integers(1, 8),
    st.integers(1, 80),
    st.integers(1, 20),
)
def test_every_change_is_in_exactly_one_stretch(
    rows: list[tuple[int, Outcome | None]], records: int, room: int, longest: int
) -> None:
    bodies = [b"x" * size for size, _ in rows]
    outcomes = {i: outcome for i, (_, outcome) in enumerate(rows) if outcome}

    stretches = cut(prepared(bodies, outcomes), records, room, longest)

    covered = [seq for s in stretches for seq in range(s.first_seq, s.last_seq + 1)]
    assert covered == list(range(101, 101 + len(rows)))
    for stretch in stretches:
        assert stretch.last_seq - stretch.first_seq < longest
        unsent = [seq for seq, _ in stretch.unsent]
        assert sorted([*unsent, *stretch.seqs]) == list(
            range(stretch.first_seq, stretch.last_seq + 1)
        )
        assert (stretch.batch is None) == (not stretch.seqs)
        if stretch.batch is None:
            continue
        assert stretch.batch.bodies == [bodies[seq - 101] for seq in stretch.seqs]
        assert 1 <= len(stretch.batch) <= records
        assert sum(map(len, stretch.batch.bodies)) + len(stretch.batch) - 1 <= room
        for offset, seq in enumerate(stretch.seqs):
            assert stretch.remarks.get(offset, SUCCEEDED) == outcomes.get(seq - 101, SUCCEEDED)

"""Columns as sequences, and that nobody looks at a person where all is well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.iterable import IterableConnector
from connectors.iterable.settings import IterableAccount, UserSettings
from reverse_etl.columns import Records, Values, joined, picked, replaced, sizes
from reverse_etl.connector import FieldMapping, MappedField, Operation, Response, Target
from reverse_etl.delivery.batching import Cutter

TEXTS = st.lists(st.text('ab,"é', max_size=5), max_size=8)


@given(TEXTS, st.data())
def test_values_are_a_sequence_like_a_list(texts: list[str], data: st.DataObject) -> None:
    bodies = [text.encode() for text in texts]
    for values in (Records.of(ended(texts)), Values(pa.array(bodies, pa.binary()))):
        assert len(values) == len(bodies)
        assert list(values) == bodies == values
        assert joined(values) == joined(bodies) == b",".join(bodies)
        assert sizes(values).to_pylist() == sizes(bodies).to_pylist() == list(map(len, bodies))
        offsets = data.draw(st.lists(st.sampled_from(range(len(texts))))) if texts else []
        assert list(picked(values, offsets)) == list(picked(bodies, offsets))
        first, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(texts))] * 2)))
        assert picked(values, range(first, stop)) == bodies[first:stop]
        assert joined(picked(values, range(first, stop))) == b",".join(bodies[first:stop])


def ended(texts: Sequence[str]) -> pa.Array:
    return pa.array([f"{text}," for text in texts], pa.large_string())


def test_a_record_that_is_not_sent_has_no_comma() -> None:
    values = Records.of(pa.array(["", "a,", "", "b,c,"], pa.large_string()))
    assert list(values) == [b"", b"a", b"", b"b,c"]
    assert sizes(values).to_pylist() == [0, 1, 0, 3]
    assert joined(picked(values, [3, 1])) == b"b,c,a"
    assert joined(values[:1]) == joined(values[:0]) == b""


def test_texts_that_are_too_much_for_small_offsets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reverse_etl.columns.SMALL_LAYOUT_BYTES", 3)
    values = Records.of(ended(["abc", "", "d"]))
    assert values.array.type == pa.large_binary()
    assert joined(values[1:]) == b",d"


@given(TEXTS, st.data())
def test_other_values_at_some_offsets(texts: list[str], data: st.DataObject) -> None:
    there = st.sampled_from(range(len(texts))) if texts else st.nothing()
    others = data.draw(st.dictionaries(there, st.none() | st.text("xy")))
    expected = [others.get(offset, text) for offset, text in enumerate(texts)]
    assert replaced(pa.array(texts, pa.large_string()), others).to_pylist() == expected


def test_the_values_stay_out_of_messages() -> None:
    assert "ada" not in repr(Values(pa.array(["ada@example.com"])))


def test_where_all_is_well_no_person_becomes_an_object(monkeypatch: pytest.MonkeyPatch) -> None:
    account = IterableAccount.model_validate({"type": "iterable", "api_key": "k" * 20})
    settings = UserSettings.model_validate({"name": "prod", "object": "user"})
    fields = [MappedField(name, name) for name in ("plan", "score", "seen_at")]
    mapping = FieldMapping({"email": "email"}, [*fields, MappedField("o.visits", "visits")])
    made = IterableConnector().bind(account, settings, mapping, "mirror")
    count = 2_500
    page = pa.record_batch(
        {
            "_identity": pa.array([f"person{i}@example.com" for i in range(count)]),
            "_alias": pa.nulls(count, pa.string()),
            "plan": pa.array(["gold", None] * (count // 2)),
            "score": pa.array([i / 2 for i in range(count)]),
            "seen_at": pa.array(range(count), pa.timestamp("us")),
            "visits": pa.array(range(count)),
        }
    )

    def look(_self: object, *_index: Any) -> Any:
        pytest.fail("somebody was looked at")

    monkeypatch.setattr(Values, "__iter__", look)
    prepared = made.prepare(Operation.INSERT, page)
    cutter = Cutter(Target(""), made.limits, longest=10_000)
    for stretch in cutter.cut(prepared, Operation.INSERT, 1):
        assert stretch.batch is not None
        assert _sent(made.deliver(stretch.batch), len(stretch.seqs)) == len(stretch.seqs)


def _sent(conversation: Any, count: int) -> int:
    """Hold the conversation with an API to which all is well; return how many succeeded."""
    request = next(conversation)
    assert request.body.count(b'"email"') == count
    answer = Response(200, b'{"successCount":%d,"failCount":0}' % count, {})
    with pytest.raises(StopIteration) as end:
        conversation.send(answer)
    outcomes: Sequence[Any] = end.value.value.outcomes
    return sum(outcome.status == "succeeded" for outcome in outcomes)

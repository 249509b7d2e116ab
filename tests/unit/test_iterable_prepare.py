"""What the list object makes of a record batch."""

from __future__ import annotations

import datetime as dt
import json
import math
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.iterable import IterableConnector
from connectors.iterable.identifiers import fault_of_email
from connectors.iterable.settings import IterableAccount, ListSettings
from reverse_etl.connector import (
    DestinationObject,
    FieldMapping,
    MappedField,
    Operation,
    Outcome,
    Prepared,
)

UPSERTS = [Operation.INSERT, Operation.UPDATE]


def an_object(
    project_type: str = "email", *fields: MappedField, **account: Any
) -> DestinationObject:
    made = IterableAccount.model_validate(
        {"type": "iterable", "project_type": project_type, **account}
    )
    settings = ListSettings.model_validate({"name": "i", "object": "list", "list": {"id": 7}})
    names = {"email": ["email"], "user_id": ["userId"], "hybrid": ["email", "userId"]}
    mapping = FieldMapping({name: name for name in names[project_type]}, fields)
    return IterableConnector().bind(made, settings, mapping, "mirror")


def changes(
    identities: list[str], aliases: list[str | None] | None = None, **columns: Any
) -> pa.RecordBatch:
    return pa.record_batch(
        {
            "_identity": pa.array(identities, pa.string()),
            "_alias": pa.array(aliases or [None] * len(identities), pa.string()),
            **columns,
        }
    )


def records(prepared: Prepared) -> list[Any]:
    return [json.loads(body, parse_float=Decimal) if body else None for body in prepared.bodies]


# --- shape of the object -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("project_type", "names", "prefixed", "alias"),
    [
        ("email", ["email"], False, False),
        ("user_id", ["userId"], False, False),
        ("hybrid", ["userId", "email"], True, True),
    ],
)
def test_the_object_of_each_project_type(
    project_type: str, names: list[str], *, prefixed: bool, alias: bool
) -> None:
    made = an_object(project_type)
    assert [identifier.name for identifier in made.identifiers] == names
    assert (made.prefixed, made.sends_alias, made.deletes) == (prefixed, alias, True)
    assert (made.host, made.kind, made.target.id) == ("api.iterable.com", project_type, "7")


def test_hybrid_send_identity_sends_no_alias() -> None:
    made = an_object("hybrid", hybrid_send="identity")
    assert not made.sends_alias
    prepared = made.prepare(Operation.INSERT, changes(["userId:1"], ["a@example.com"]))
    assert records(prepared) == [{"userId": "1"}]
    assert list(prepared.aliases) == [None]


def test_limits() -> None:
    limits = an_object().limits
    assert (limits.records_per_request, limits.bytes_per_request) == (1000, 4_000_000)
    assert limits.requests_per_second == {
        "lists": 100,
        "lists/subscribe": 5,
        "lists/unsubscribe": 5,
    }
    own = an_object(requests_per_second=0, records_per_request=50, bytes_per_request=10_000).limits
    assert set(own.requests_per_second.values()) == {0}
    assert (own.records_per_request, own.bytes_per_request) == (50, 10_000)


# --- identifiers ---------------------------------------------------------------------------


@pytest.mark.parametrize("operation", UPSERTS)
def test_an_identifier_that_cannot_be_sent_is_invalid(operation: Operation) -> None:
    prepared = an_object().prepare(operation, changes(["a@example.com", "a..b@example.com"]))
    assert records(prepared) == [{"email": "a@example.com"}, None]
    outcome = prepared.outcomes[1]
    assert (outcome.status, outcome.code, outcome.retryable) == (
        "invalid",
        "invalid_identifier",
        False,
    )
    assert "'a..b@example.com'" in (outcome.reason or "")


def test_a_delete_of_an_unsendable_identifier_needs_no_request() -> None:
    batch = changes(["a@example.com", "a..b@example.com"])
    prepared = an_object().prepare(Operation.DELETE, batch)
    assert records(prepared) == [{"email": "a@example.com"}, None]
    assert prepared.outcomes[1].status == "succeeded"
    assert "nothing was sent" in (prepared.outcomes[1].reason or "")


def test_hybrid_sends_both_and_leaves_out_an_invalid_alias() -> None:
    batch = changes(
        ["userId:1", "email:b@example.com", "userId:3"],
        ["a@example.com", "b@example.com", "a..b@example.com"],
    )
    prepared = an_object("hybrid").prepare(Operation.UPDATE, batch)
    assert records(prepared) == [
        {"email": "a@example.com", "userId": "1"},
        {"email": "b@example.com"},
        {"userId": "3"},
    ]
    assert list(prepared.identities) == ["userId:1", "email:b@example.com", "userId:3"]
    assert list(prepared.aliases) == ["a@example.com", None, None]
    assert list(prepared.outcomes) == [2]
    remark = prepared.outcomes[2]
    assert (remark.status, remark.code) == ("succeeded", "alias_left_out")
    assert "a..b@example.com" in (remark.reason or "")


def test_hybrid_tells_of_an_identifier_that_sql_has_left_out() -> None:
    batch = changes(
        ["userId:1", "email:b@example.com", "userId:3", "userId:4", "email:e@example.com"],
        [None, None, None, "d@example.com", None],
        EMAIL=pa.array([" None", "b@example.com", "Taken@example.com", "D@example.com", "e"]),
        userId=pa.array(["1", "x" * 53, "3", "4", " "]),
    )
    prepared = an_object("hybrid").prepare(Operation.INSERT, batch)
    reasons = {offset: each.reason or "" for offset, each in prepared.outcomes.items()}
    # The third one's address is good: it goes with somebody else.
    assert reasons.keys() == {0, 1}
    assert reasons[0].startswith("email ' None' was left out: ")
    assert reasons[1].startswith(f"userId '{'x' * 53}' was left out: ")
    assert {each.status for each in prepared.outcomes.values()} == {"succeeded"}
    assert an_object("hybrid").prepare(Operation.DELETE, batch).outcomes == {}
    alone = an_object("hybrid", hybrid_send="identity").prepare(Operation.INSERT, batch)
    assert list(alone.outcomes) == [1]  # no address is ever sent beside a user id


def test_user_ids_that_are_numbers_are_none_to_be_left_out() -> None:
    batch = changes(["email:a@example.com"], [None], userId=pa.array([None], pa.int64()))
    assert an_object("hybrid").prepare(Operation.INSERT, batch).outcomes == {}


def test_a_delete_carries_the_identity_alone() -> None:
    field = MappedField("plan", "plan")
    batch = changes(["userId:1"], ["a@example.com"], plan=pa.array(["gold"]))
    prepared = an_object("hybrid", field).prepare(Operation.DELETE, batch)
    assert records(prepared) == [{"userId": "1"}]
    assert list(prepared.aliases) == [None]


# --- fields --------------------------------------------------------------------------------


def test_fields_become_data_fields() -> None:
    fields = [
        MappedField("Number of Purchases", "n"),
        MappedField("added", "added"),
        MappedField("source", constant="warehouse"),
        MappedField("code", "n", type="string"),
    ]
    batch = changes(
        ["a@example.com"],
        n=pa.array([3]),
        added=pa.array([dt.datetime(2020, 1, 2, tzinfo=dt.UTC)]),
    )
    assert records(an_object("email", *fields).prepare(Operation.INSERT, batch)) == [
        {
            "email": "a@example.com",
            "dataFields": {
                "Number of Purchases": 3,
                "added": "2020-01-02 00:00:00 +00:00",
                "source": "warehouse",
                "code": "3",
            },
        }
    ]


def test_null_skips_or_clears() -> None:
    fields = [MappedField("a", "a"), MappedField("b", "b", null="clear")]
    batch = changes(
        ["1@example.com", "2@example.com"], a=pa.array([None, 1]), b=pa.array([None, "x"])
    )
    assert records(an_object("email", *fields).prepare(Operation.INSERT, batch)) == [
        {"email": "1@example.com", "dataFields": {"b": None}},
        {"email": "2@example.com", "dataFields": {"a": 1, "b": "x"}},
    ]


def test_a_record_whose_fields_are_all_left_out_has_no_data_fields() -> None:
    batch = changes(["a@example.com"], a=pa.array([None], pa.string()))
    prepared = an_object("email", MappedField("a", "a")).prepare(Operation.INSERT, batch)
    assert records(prepared) == [{"email": "a@example.com"}]


def test_dotted_names_are_merged_into_objects() -> None:
    fields = [
        MappedField("prefs.color", "c"),
        MappedField("prefs.size", "s"),
        MappedField("x", "c"),
    ]
    batch = changes(["a@example.com"], c=pa.array(["red"]), s=pa.array([4]))
    assert records(an_object("email", *fields).prepare(Operation.INSERT, batch)) == [
        {
            "email": "a@example.com",
            "dataFields": {"prefs": {"color": "red", "size": 4}, "x": "red"},
            "mergeNestedObjects": True,
        }
    ]


def test_the_metadata_of_a_column_says_how_to_read_its_text() -> None:
    schema = pa.schema(
        [
            pa.field("_identity", pa.string()),
            pa.field("_alias", pa.string()),
            pa.field("j", pa.string(), metadata={"kind": "json"}),
            pa.field("n", pa.string(), metadata={"kind": "number"}),
        ]
    )
    batch = pa.record_batch([["a@example.com"], [None], ['{"k":[1]}'], ["1.10"]], schema)
    made = an_object("email", MappedField("j", "j"), MappedField("n", "n"))
    assert records(made.prepare(Operation.INSERT, batch)) == [
        {"email": "a@example.com", "dataFields": {"j": {"k": [1]}, "n": Decimal("1.1")}}
    ]


@pytest.mark.parametrize("operation", UPSERTS)
def test_a_value_that_cannot_be_sent_is_invalid_and_named(operation: Operation) -> None:
    fields = [MappedField("risk", "r"), MappedField("blob", "b")]
    batch = changes(
        ["1@example.com", "2@example.com", "3@example.com"],
        r=pa.array([0.5, math.nan, 0.1]),
        b=pa.array([None, None, b"\x00"]),
    )
    prepared = an_object("email", *fields).prepare(operation, batch)
    assert records(prepared) == [
        {"email": "1@example.com", "dataFields": {"risk": Decimal("0.5")}},
        None,
        None,
    ]
    assert prepared.outcomes == {
        1: Outcome(
            "invalid", "invalid_value", "field 'risk' is NaN or infinite, which JSON cannot hold"
        ),
        2: Outcome(
            "invalid",
            "invalid_value",
            "field 'blob' is of type binary, which Iterable cannot store; cast it in SQL",
        ),
    }


def test_a_bad_value_takes_the_place_of_a_remark_and_a_bad_identifier_of_both() -> None:
    batch = changes(
        ["userId:1", "userId: 2"], ["a..b@example.com", None], r=pa.array([math.nan, math.nan])
    )
    prepared = an_object("hybrid", MappedField("r", "r")).prepare(Operation.INSERT, batch)
    assert list(prepared.bodies) == [b"", b""]
    assert [prepared.outcomes[i].code for i in (0, 1)] == ["invalid_value", "invalid_identifier"]


def test_what_json_cannot_nest_is_named() -> None:
    deep: pa.DataType = pa.int64()
    value: Any = 1
    for _ in range(300):
        deep, value = pa.list_(deep), [value]
    batch = changes(["a@example.com"], ok=pa.array([1]), deep=pa.array([value], deep))
    made = an_object("email", MappedField("ok", "ok"), MappedField("deep", "deep"))
    prepared = made.prepare(Operation.INSERT, batch)
    assert list(prepared.bodies) == [b""]
    assert prepared.outcomes[0].code == "invalid_value"
    assert "field 'deep' cannot be written as JSON" in (prepared.outcomes[0].reason or "")


def test_prepare_is_pure_and_takes_empty_batches() -> None:
    made = an_object("hybrid", MappedField("a", "a"))
    batch = changes(["userId:1"], ["a@example.com"], a=pa.array([1]))
    assert made.prepare(Operation.INSERT, batch) == made.prepare(Operation.INSERT, batch)
    for operation in Operation:
        assert made.prepare(operation, batch.slice(0, 0)) == Prepared([], [], [], {})


# --- properties ----------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
EMAILS = st.one_of(st.emails(), st.builds("{}@{}".format, TEXT, TEXT), TEXT)
CELLS = st.one_of(st.none(), TEXT)


@given(
    st.lists(st.tuples(EMAILS, CELLS, st.one_of(st.none(), st.floats()))),
    st.sampled_from(Operation),
)
def test_what_is_prepared_can_be_read_back(
    rows: list[tuple[str, str | None, float | None]], operation: Operation
) -> None:
    made = an_object("email", MappedField("t", "t"), MappedField("f", "f", null="clear"))
    batch = changes(
        [row[0] for row in rows],
        t=pa.array([row[1] for row in rows], pa.string()),
        f=pa.array([row[2] for row in rows], pa.float64()),
    )
    prepared = made.prepare(operation, batch)
    assert len(prepared.bodies) == len(prepared.identities) == len(prepared.aliases) == len(rows)
    for offset, ((email, text, number), body) in enumerate(zip(rows, prepared.bodies, strict=True)):
        if not body:
            assert offset in prepared.outcomes
            continue
        record = json.loads(body)
        assert record.pop("email") == email
        assert fault_of_email(email) is None
        fields = record.pop("dataFields", {})
        assert record == {}
        if operation is Operation.DELETE:
            assert fields == {}
        else:
            assert fields.get("t") == text
            assert fields["f"] == number
            assert ("t" in fields) == (text is not None)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("userId"), TEXT, st.one_of(st.none(), EMAILS)),
            st.tuples(st.just("email"), EMAILS, st.none()),
        )
    )
)
def test_hybrid_people_can_be_read_back(rows: list[tuple[str, str, str | None]]) -> None:
    batch = changes([f"{kind}:{value}" for kind, value, _ in rows], [alias for *_, alias in rows])
    prepared = an_object("hybrid").prepare(Operation.UPDATE, batch)
    for offset, (kind, value, alias) in enumerate(rows):
        body = prepared.bodies[offset]
        if not body:
            assert prepared.outcomes[offset].status == "invalid"
            continue
        expected = {kind: value}
        if alias is not None and offset not in prepared.outcomes:
            expected["email"] = alias
        assert json.loads(body) == expected
        assert prepared.aliases[offset] == (
            expected["email"] if kind == "userId" and "email" in expected else None
        )

"""What the user object makes of a record batch."""

from __future__ import annotations

import datetime as dt
import json
import math
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.iterable import IterableConnector
from connectors.iterable.settings import IterableAccount, UserSettings
from reverse_etl.connector import (
    DestinationObject,
    FieldMapping,
    MappedField,
    Operation,
    Outcome,
    Prepared,
    Target,
)
from reverse_etl.errors import ConfigError

UPSERTS = [Operation.INSERT, Operation.UPDATE]
IDENTIFIERS = {"email": ["email"], "user_id": ["userId"], "hybrid": ["email", "userId"]}


def an_object(
    project_type: str = "email",
    *fields: MappedField,
    identifiers: list[str] | None = None,
    account: dict[str, Any] | None = None,
    **settings: Any,
) -> DestinationObject:
    made = IterableAccount.model_validate(
        {"type": "iterable", "project_type": project_type, **(account or {})}
    )
    chosen = UserSettings.model_validate({"name": "i", "object": "user", **settings})
    names = identifiers or IDENTIFIERS[project_type]
    mapping = FieldMapping({name: name for name in names}, fields)
    return IterableConnector().bind(made, chosen, mapping, "mirror")


def changes(
    identities: list[str],
    aliases: list[str | None] | None = None,
    fields: list[str | None] | None = None,
    **columns: Any,
) -> pa.RecordBatch:
    nothing = [None] * len(identities)
    return pa.record_batch(
        {
            "_identity": pa.array(identities, pa.string()),
            "_alias": pa.array(aliases or nothing, pa.string()),
            "_fields": pa.array(fields or nothing, pa.string()),
            **columns,
        }
    )


def records(prepared: Prepared) -> list[Any]:
    return [json.loads(body) if body else None for body in prepared.bodies]


# --- shape of the object -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("project_type", "identifiers", "prefixed", "alias", "kind"),
    [
        ("email", ["email"], False, False, "email"),
        ("email", ["userId"], False, False, "email/userId"),
        ("user_id", ["userId"], False, False, "user_id"),
        ("hybrid", ["userId", "email"], True, True, "hybrid"),
        ("hybrid", ["email"], True, True, "hybrid"),
    ],
)
def test_the_object_of_each_project_type(
    project_type: str, identifiers: list[str], kind: str, *, prefixed: bool, alias: bool
) -> None:
    made = an_object(project_type, identifiers=identifiers)
    assert [identifier.name for identifier in made.identifiers] == identifiers
    assert (made.prefixed, made.sends_alias) == (prefixed, alias)
    assert (made.host, made.kind, made.target) == ("api.iterable.com", kind, Target(""))
    assert made.whole_seconds


@pytest.mark.parametrize(("on_delete", "deletes"), [("keep", False), ("clear_fields", True)])
def test_fields_are_remembered_whatever_a_delete_does(on_delete: str, *, deletes: bool) -> None:
    made = an_object(on_delete=on_delete)
    assert (made.deletes, made.clears_fields) == (deletes, True)


def test_the_target_is_the_project_and_needs_no_request() -> None:
    conversation = an_object().find_target()
    with pytest.raises(StopIteration) as stop:
        next(conversation)
    assert stop.value.value == Target("")


def test_runs_call_bulk_update_only() -> None:
    limits = an_object().limits
    assert limits.requests_per_second == {"users/bulkUpdate": 5}
    assert (limits.records_per_request, limits.bytes_per_request) == (1000, 4_000_000)
    slow = an_object(account={"requests_per_second": 2}).limits
    assert slow.requests_per_second == {"users/bulkUpdate": 2}


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (None, {"lists/subscribe": 5, "users/bulkUpdate": 5, "lists": 100, "users/getFields": 3}),
        (8, {"lists/subscribe": 8, "users/bulkUpdate": 8, "lists": 8, "users/getFields": 3}),
        (0, {"lists/subscribe": 0, "users/bulkUpdate": 0, "lists": 0, "users/getFields": 0}),
    ],
)
def test_the_limits_of_an_account_cover_every_call(
    own: float | None, expected: dict[str, float]
) -> None:
    account = IterableAccount.model_validate({"type": "iterable", "requests_per_second": own})
    rates = IterableConnector().limits(account).requests_per_second
    assert {name: rates[name] for name in expected} == expected
    assert rates["lists/getUsers"] == (0 if own == 0 else 5 / 60)


# --- identifiers and flags -----------------------------------------------------------------

PLAN = MappedField("plan", "plan")
GOLD = pa.array(["gold"])


@pytest.mark.parametrize("operation", UPSERTS)
@pytest.mark.parametrize(
    ("project_type", "identifiers", "identity", "alias", "expected"),
    [
        ("email", ["email"], "a@example.com", None, {"email": "a@example.com"}),
        ("email", ["userId"], "42", None, {"userId": "42", "preferUserId": True}),
        ("user_id", ["userId"], "42", None, {"userId": "42"}),
        ("hybrid", None, "userId:42", None, {"userId": "42"}),
        ("hybrid", None, "email:a@example.com", None, {"email": "a@example.com"}),
        (
            "hybrid",
            None,
            "userId:42",
            "a@example.com",
            {"userId": "42", "email": "a@example.com"},
        ),
    ],
)
def test_identifiers_of_each_project_type(  # noqa: PLR0913, PLR0917 - a table of six columns
    project_type: str,
    identifiers: list[str] | None,
    identity: str,
    alias: str | None,
    expected: dict[str, Any],
    operation: Operation,
) -> None:
    made = an_object(project_type, PLAN, identifiers=identifiers)
    prepared = made.prepare(operation, changes([identity], [alias], plan=GOLD))
    assert records(prepared) == [
        expected | {"dataFields": {"plan": "gold"}, "mergeNestedObjects": True}
    ]
    assert (list(prepared.identities), list(prepared.aliases)) == ([identity], [alias])
    assert not prepared.outcomes


def test_hybrid_send_identity_sends_the_identity_alone() -> None:
    made = an_object("hybrid", PLAN, account={"hybrid_send": "identity"})
    batch = changes(["userId:42"], ["a@example.com"], plan=GOLD)
    (record,) = records(made.prepare(Operation.INSERT, batch))
    assert "email" not in record


def test_an_invalid_alias_is_left_out_with_a_remark() -> None:
    batch = changes(["userId:42"], ["a..b@example.com"], plan=GOLD)
    prepared = an_object("hybrid", PLAN).prepare(Operation.INSERT, batch)
    assert "email" not in records(prepared)[0]
    assert (prepared.outcomes[0].status, prepared.outcomes[0].code) == (
        "succeeded",
        "alias_left_out",
    )


@pytest.mark.parametrize(
    ("project_type", "identifiers", "identity"),
    [
        ("email", None, "a..b@example.com"),
        ("email", ["userId"], " 42"),
        ("user_id", None, "x" * 53),
        ("hybrid", None, "userId:"),
        ("hybrid", None, "email:nobody"),
    ],
)
def test_an_unusable_identifier_is_never_sent(
    project_type: str, identifiers: list[str] | None, identity: str
) -> None:
    made = an_object(project_type, PLAN, identifiers=identifiers)
    prepared = made.prepare(Operation.INSERT, changes([identity], plan=GOLD))
    assert list(prepared.bodies) == [b""]
    outcome = prepared.outcomes[0]
    assert (outcome.status, outcome.code) == ("invalid", "invalid_identifier")


@pytest.mark.parametrize(("merge", "flag"), [(True, {"mergeNestedObjects": True}), (False, {})])
def test_objects_are_merged_or_replaced(flag: dict[str, Any], *, merge: bool) -> None:
    made = an_object("email", MappedField("prefs", "p"), merge_nested_objects=merge)
    batch = changes(["a@example.com"], p=pa.array([{"size": 4, "color": None}]))
    assert records(made.prepare(Operation.UPDATE, batch)) == [
        {"email": "a@example.com", "dataFields": {"prefs": {"size": 4}}} | flag
    ]


def test_a_record_cannot_be_sent_with_a_value_that_json_cannot_hold() -> None:
    made = an_object("email", MappedField("risk", "r"), identifiers=["userId"])
    prepared = made.prepare(Operation.INSERT, changes(["1", "2"], r=pa.array([math.nan, 0.5])))
    assert [bool(body) for body in prepared.bodies] == [False, True]
    reason = "field 'risk' is NaN or infinite, which JSON cannot hold"
    assert prepared.outcomes == {0: Outcome("invalid", "invalid_value", reason)}


# --- fields --------------------------------------------------------------------------------


def test_the_fields_of_the_example() -> None:
    fields = [
        MappedField("subsetsExperimentId", "experiment_id"),
        MappedField("subsetsExperimentAddedAt", "added_at"),
        MappedField("subsetsSubscriberChurnRisk", "churn_risk", type="string"),
        MappedField("subsetsSource", constant="warehouse"),
        MappedField("subsets.group", "experiment_id", null="clear"),
    ]
    made = an_object("email", *fields, identifiers=["userId"])
    added = dt.datetime(2026, 1, 2, 3, 4, 5, 999_999, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    batch = changes(
        ["42", "43"],
        experiment_id=pa.array([7, None]),
        added_at=pa.array([added, None]),
        churn_risk=pa.array([0.25, None]),
    )
    assert records(made.prepare(Operation.INSERT, batch)) == [
        {
            "userId": "42",
            "dataFields": {
                "subsetsExperimentId": 7,
                "subsetsExperimentAddedAt": "2026-01-02 02:04:05 +00:00",
                "subsetsSubscriberChurnRisk": "0.25",
                "subsetsSource": "warehouse",
                "subsets": {"group": 7},
            },
            "mergeNestedObjects": True,
            "preferUserId": True,
        },
        {
            "userId": "43",
            "dataFields": {"subsetsSource": "warehouse", "subsets": {"group": None}},
            "mergeNestedObjects": True,
            "preferUserId": True,
        },
    ]


@pytest.mark.parametrize("operation", UPSERTS)
@pytest.mark.parametrize(
    ("identifiers", "expected"),
    [(["email"], {"email": "a@example.com"}), (["userId"], {"userId": "a", "preferUserId": True})],
)
def test_a_person_without_any_value_is_sent_so_that_the_profile_exists(
    identifiers: list[str], expected: dict[str, Any], operation: Operation
) -> None:
    made = an_object("email", PLAN, identifiers=identifiers)
    identity = str(expected.get("email") or expected.get("userId"))
    batch = changes([identity], plan=pa.array([None], pa.string()))
    assert records(made.prepare(operation, batch)) == [expected]
    without = an_object("email", identifiers=identifiers)
    assert records(without.prepare(operation, changes([identity]))) == [expected]


def test_a_place_by_the_name_of_its_field() -> None:
    made = an_object("email", MappedField("home_geo_location", "p"), MappedField("raw", "p"))
    batch = changes(["a@example.com"], p=pa.array([{"lat": 52, "lon": 13}]))
    (record,) = records(made.prepare(Operation.INSERT, batch))
    assert record["dataFields"] == {
        "home_geo_location": {"lat": 52.0, "lon": 13.0},
        "raw": {"lat": 52, "lon": 13},
    }
    assert isinstance(record["dataFields"]["home_geo_location"]["lat"], float)


def test_a_constant_place_is_checked_when_the_sync_is_bound() -> None:
    place = MappedField("home_geo_location", constant={"lat": 1, "lon": 2})
    made = an_object("email", place)
    (record,) = records(made.prepare(Operation.INSERT, changes(["a@example.com"])))
    assert record["dataFields"] == {"home_geo_location": {"lat": 1.0, "lon": 2.0}}
    with pytest.raises(ConfigError, match="field 'home_geo_location': the constant has a member"):
        an_object("email", MappedField("home_geo_location", constant={"lat": 1, "lng": 2}))


# --- clearing ------------------------------------------------------------------------------


def cleared(*texts: str | None, fields: tuple[MappedField, ...] = (PLAN,)) -> Prepared:
    made = an_object("email", *fields, on_delete="clear_fields")
    people = [f"p{number}@example.com" for number in range(len(texts))]
    return made.prepare(Operation.DELETE, changes(people, fields=list(texts)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('["a"]', {"dataFields": {"a": None}}),
        ('["b","a"]', {"dataFields": {"a": None, "b": None}}),
        ('\n["a"]\n\n["b","a"]\n', {"dataFields": {"a": None, "b": None}}),
        ('["with \\"quotes\\" and ü\u2028"]', {"dataFields": {'with "quotes" and ü\u2028': None}}),
        (
            '["p.a","p.b.c","x"]',
            {
                "dataFields": {"p": {"a": None, "b": {"c": None}}, "x": None},
                "mergeNestedObjects": True,
            },
        ),
        ('["p.a.b"]\n["p.a"]', {"dataFields": {"p": {"a": None}}, "mergeNestedObjects": True}),
        ('["p.a.b","p.c"]\n["p"]', {"dataFields": {"p": None}, "mergeNestedObjects": True}),
    ],
)
def test_the_fields_that_were_sent_are_cleared(text: str, expected: dict[str, Any]) -> None:
    prepared = cleared(text)
    assert records(prepared) == [{"email": "p0@example.com"} | expected]
    assert not prepared.outcomes


def test_without_a_record_of_what_was_sent_the_mapped_fields_are_cleared() -> None:
    fields = (PLAN, MappedField("p.a", "a"), MappedField("source", constant="x"))
    assert records(cleared(None, fields=fields)) == [
        {
            "email": "p0@example.com",
            "dataFields": {"plan": None, "p": {"a": None}, "source": None},
            "mergeNestedObjects": True,
        }
    ]


@pytest.mark.parametrize("text", ["[]", "", "\n[]\n"])
def test_where_no_field_was_sent_nothing_is_to_be_cleared(text: str) -> None:
    prepared = cleared('["a"]', text)
    assert records(prepared) == [{"email": "p0@example.com", "dataFields": {"a": None}}, None]
    assert {offset: outcome.status for offset, outcome in prepared.outcomes.items()} == {
        1: "succeeded"
    }


@pytest.mark.parametrize(
    ("project_type", "identifiers", "identity", "expected"),
    [
        ("email", ["userId"], "42", {"userId": "42"}),
        ("user_id", None, "42", {"userId": "42"}),
        ("hybrid", None, "userId:42", {"userId": "42"}),
        ("hybrid", None, "email:a@example.com", {"email": "a@example.com"}),
    ],
)
def test_clearing_carries_the_identity_alone_and_makes_no_placeholder(
    project_type: str, identifiers: list[str] | None, identity: str, expected: dict[str, Any]
) -> None:
    made = an_object(project_type, PLAN, identifiers=identifiers, on_delete="clear_fields")
    batch = changes([identity], ["other@example.com"], ['["a"]'])
    prepared = made.prepare(Operation.DELETE, batch)
    assert records(prepared) == [expected | {"dataFields": {"a": None}}]
    assert list(prepared.aliases) == [None]


def test_clearing_somebody_who_could_never_be_sent_is_done() -> None:
    made = an_object("email", PLAN, on_delete="clear_fields")
    prepared = made.prepare(Operation.DELETE, changes(["a..b@example.com"], fields=['["a"]']))
    assert list(prepared.bodies) == [b""]
    assert prepared.outcomes[0].status == "succeeded"
    assert "no such profile" in (prepared.outcomes[0].reason or "")


NAMES = st.lists(
    st.lists(st.sampled_from(["a", "b", "ü x"]), min_size=1, max_size=3).map(".".join), max_size=5
)


@given(st.lists(NAMES, max_size=4))
def test_clearing_names_every_field_or_an_object_around_it(sets: list[list[str]]) -> None:
    (record,) = records(cleared("\n".join(json.dumps(names) for names in sets)))
    names = {name for part in sets for name in part}
    if not names:
        assert record is None
        return
    nulls = set(_nulls("", record["dataFields"]))
    assert nulls <= names
    for name in names:
        segments = name.split(".")
        outer = {".".join(segments[:length]) for length in range(1, len(segments) + 1)}
        assert len(outer & nulls) == 1
    assert record.get("mergeNestedObjects", False) == any("." in name for name in names)


def _nulls(prefix: str, value: Any) -> list[str]:
    if value is None:
        return [prefix]
    inner = [(f"{prefix}.{key}" if prefix else key, member) for key, member in value.items()]
    return [name for key, member in inner for name in _nulls(key, member)]


def test_prepare_is_pure_and_takes_empty_batches() -> None:
    made = an_object("hybrid", PLAN, on_delete="clear_fields")
    batch = changes(["userId:1"], ["a@example.com"], ['["a"]'], plan=GOLD)
    for operation in Operation:
        assert made.prepare(operation, batch) == made.prepare(operation, batch)
        assert made.prepare(operation, batch.slice(0, 0)) == Prepared([], [], [], {})

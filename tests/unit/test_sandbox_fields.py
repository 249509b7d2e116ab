"""The profile fields of the sandbox: types, dates, limits, nested values."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.iterable.sandbox.fields import (
    Draft,
    FieldLimitError,
    FieldRegistry,
    format_time,
    read_date,
)


def registry(limit: int = 1000, *, adds: bool = True, **types: str) -> FieldRegistry:
    made = FieldRegistry(limit, adds_unrecognized=adds, list_field="emailListIds")
    made.declare(types)
    return made


def learn(fields: dict[str, Any], known: FieldRegistry | None = None) -> dict[str, str]:
    """Return the types that the fields of one person give a project."""
    known = known or registry()
    draft = known.draft()
    assert draft.read(fields) is not None, draft.mismatches
    draft.keep()
    return {key: known.types[key] for key in draft.created}


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("2020-08-19", "2020-08-19 00:00:00 +00:00"),
        ("2020-08-19 20:50:04", "2020-08-19 20:50:04 +00:00"),
        ("2020-08-19 20:50:04 +00:00", "2020-08-19 20:50:04 +00:00"),
        ("2020-08-19 20:50:04 -05:30", "2020-08-20 02:20:04 +00:00"),
        ("2020-08-19T20:50:04.000Z", "2020-08-19 20:50:04 +00:00"),
        ("2020-08-19T20:50:04.999+02:00", "2020-08-19 18:50:04 +00:00"),
        ("2020-08-19T20:50:04Z", "2020-08-19 20:50:04 +00:00"),
        ("2020-02-29 00:00:00 +00:00", "2020-02-29 00:00:00 +00:00"),
    ],
)
def test_dates_are_stored_in_utc_without_fractions(text: str, stored: str) -> None:
    assert read_date(text) == stored
    assert learn({"at": text}) == {"at": "date"}


@pytest.mark.parametrize(
    "text",
    [
        "2020-04-13 14:04:09.000",  # a fraction needs the T: refused by the API (iterable-go)
        "2020-02-30",
        "2021-02-29 00:00:00 +00:00",
        "2020-08-19 25:00:00 +00:00",
        "2020-08-19 20:50:04 +0000",
        "2020-08-19 20:50:04Z",
        "2020-8-19",
        "19.08.2020",
        "20200819",
        "1597870204",
        "0001-01-01T00:00:00+01:00",
        "",
        " 2020-08-19",
    ],
)
def test_what_is_no_date_stays_a_string(text: str) -> None:
    assert read_date(text) is None
    assert learn({"at": text}) == {"at": "string"}


def test_times_are_written_in_utc() -> None:
    assert format_time(1507173084.9) == "2017-10-05 03:11:24 +00:00"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("gold", "string"),
        (5, "long"),
        (5.0, "double"),
        (True, "boolean"),
        (["a", "b"], "string"),
        ([None, 5], "long"),
        ([1, 2.5], "double"),
        (["2020-08-19"], "date"),
        ([[1], [2]], "long"),
    ],
)
def test_the_first_value_gives_a_field_its_type(value: Any, kind: str) -> None:
    assert learn({"field": value}) == {"field": kind}


@pytest.mark.parametrize("value", [None, [], [None]])
def test_a_value_without_a_type_makes_no_field(value: Any) -> None:
    assert learn({"field": value}) == {}


def test_nested_keys_are_fields_under_their_path() -> None:
    value = {"mobile": True, "deep": {"a": 1}, "tags": ["x"], "things": [{"id": 1}, {"name": "y"}]}
    assert learn({"settings": value}) == {
        "settings": "object",
        "settings.mobile": "boolean",
        "settings.deep": "object",
        "settings.deep.a": "long",
        "settings.tags": "string",
        "settings.things": "object",
        "settings.things.id": "long",
        "settings.things.name": "string",
    }


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        ("home_geo_location", {"lat": 52.5, "lon": 13}, "geo_location"),
        ("home", {"lat": 52.5, "lon": 13}, "object"),
        ("home_geo_location", {"lat": "52.5", "lon": 13}, "object"),
        ("home_geo_location", {"lat": 52.5}, "object"),
    ],
)
def test_places_need_the_name_and_the_numbers(field: str, value: Any, kind: str) -> None:
    types = learn({field: value})
    assert types[field] == kind
    assert (len(types) == 1) == (kind == "geo_location")


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("string", ["", "2020-08-19", ["a", None], None]),
        ("long", [0, -5, 2**53 + 1, [1, 2], []]),
        ("double", [1.5, 1, [1, 1.5]]),
        ("boolean", [True, [False]]),
        ("date", ["2020-08-19", ["2020-08-19"]]),
        ("geo_location", [{"lat": 1, "lon": 2.5}, [{"lat": 1, "lon": 2.5}]]),
        ("object", [{}, {"a": 1}, [{"a": 1}]]),
    ],
)
def test_values_that_fit(kind: str, values: list[Any]) -> None:
    for value in values:
        draft = registry(field=kind).draft()
        assert draft.read({"field": value}) is not None, value


@pytest.mark.parametrize(
    ("kind", "value", "incoming"),
    [
        ("string", 5, ("long",)),
        ("string", True, ("boolean",)),
        ("string", {"a": 1}, ("object",)),
        ("long", "5", ("string", "keyword")),
        ("long", 5.0, ("double",)),
        ("long", True, ("boolean",)),
        ("double", "1.5", ("string", "keyword")),
        ("boolean", "true", ("string", "keyword")),
        ("boolean", 1, ("long",)),
        ("date", "soon", ("string", "keyword")),
        ("date", 1597870204000, ("long",)),
        ("geo_location", {"lat": 1}, ("object",)),
        ("object", "x", ("string", "keyword")),
        ("long", "2020-08-19", ("date",)),
    ],
)
def test_values_that_do_not_fit(kind: str, value: Any, incoming: tuple[str, ...]) -> None:
    draft = registry(field=kind).draft()
    assert draft.read({"field": value, "new": 1}) is None
    assert draft.mismatches == [("field", value, incoming, kind)]
    assert draft.created == {}  # who is refused makes no fields


def test_a_nested_value_that_does_not_fit_is_named_by_its_path() -> None:
    known = registry(a="object")
    known.declare({"a.b": "object", "a.b.c": "long"})
    draft = known.draft()
    assert draft.read({"a": {"b": {"c": "x"}}}) is None
    assert draft.mismatches == [("a.b.c", "x", ("string", "keyword"), "long")]


def test_one_element_of_an_array_that_does_not_fit() -> None:
    draft = registry(n="long").draft()
    assert draft.read({"n": [1, "x"]}) is None
    assert [each.value for each in draft.mismatches] == ["x"]


def test_the_first_person_of_a_request_decides_for_the_next_one() -> None:
    draft = registry().draft()
    assert draft.read({"n": 1}) == {"n": 1}
    assert draft.read({"n": "x"}) is None
    assert draft.read({"n": 2}) == {"n": 2}


def test_nothing_is_made_before_it_is_kept() -> None:
    known = registry()
    draft = known.draft()
    draft.read({"n": 1})
    assert "n" not in known.types
    draft.keep()
    assert known.types["n"] == "long"
    assert len(known) == 1


def dropped(draft: Draft, fields: dict[str, Any]) -> tuple[Any, set[str]]:
    return draft.read(fields), draft.dropped


@pytest.mark.parametrize(("adds", "create"), [(True, False), (False, False), (False, None)])
def test_unknown_fields_are_dropped_on_request(adds: bool, create: bool | None) -> None:  # noqa: FBT001 - a table
    known = registry(adds=adds, plan="string", at="object")
    given = {"plan": "gold", "new": 1, "at": {"x": 1}, "none": None}
    stored, names = dropped(known.draft(create=create), given)
    assert stored == {"plan": "gold", "at": {}, "none": None}
    assert names == {"new", "at.x"}
    assert given["new"] == 1  # the request itself is left alone


@pytest.mark.parametrize(("adds", "create"), [(True, None), (False, True)])
def test_unknown_fields_are_made_on_request(adds: bool, create: bool | None) -> None:  # noqa: FBT001 - a table
    draft = registry(adds=adds).draft(create=create)
    assert dropped(draft, {"new": 1}) == ({"new": 1}, set())
    assert draft.created == {"new": "long"}


def test_the_limit_counts_nested_fields_but_not_managed_ones() -> None:
    known = registry(limit=3)
    draft = known.draft()
    draft.read({"a": {"b": {"c": 1}}, "signupDate": "2020-08-19", "signupSource": "import"})
    draft.keep()
    assert len(known) == 3
    more = known.draft()
    more.read({"z": 1, "a": {"d": 1}})
    with pytest.raises(FieldLimitError) as caught:
        more.keep()
    assert (caught.value.limit, caught.value.requested_total) == (3, 5)
    assert caught.value.new_fields == ["a.d", "z"]
    assert "z" not in known.types
    known.draft().keep()  # a full project takes what needs no field


def test_identifiers_are_no_business_of_the_fields() -> None:
    assert registry().draft().read({"userId": 5, "email": None}) == {"userId": 5, "email": None}


def test_an_unknown_type_cannot_be_declared() -> None:
    with pytest.raises(ValueError, match="plan: 'text' is not one of string, long"):
        registry(plan="text")

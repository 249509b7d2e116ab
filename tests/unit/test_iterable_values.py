"""Arrow values as the JSON that Iterable takes."""

from __future__ import annotations

import datetime as dt
import json
import math
import uuid
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.iterable.json_text import joined, listed, written
from connectors.iterable.values import Column, constant, convert


def sent(array: pa.Array, **options: Any) -> list[Any]:
    """Return what a reader of the JSON sees, with the digits of its numbers."""
    column = convert(array, **options)
    texts, wrong = as_text(column)
    assert column.faults == wrong == {}
    return [text if text is None else exact(text) for text in texts]


def as_text(column: Column) -> tuple[list[str | None], dict[int, str]]:
    pieces, wrong = written(column)
    return joined(pieces).to_pylist(), wrong


def exact(text: str | bytes) -> Any:
    return json.loads(text, parse_float=Decimal)


def faults(array: pa.Array, **options: Any) -> dict[int, str]:
    column = convert(array, **options)
    values = column.to_list()
    assert all(values[offset] is None for offset in column.faults)
    return column.faults


D = Decimal
UTC_PLUS_2 = dt.timezone(dt.timedelta(hours=2))
MOMENT = dt.datetime(2020, 8, 19, 22, 50, 4, 999_999)  # noqa: DTZ001 - without a zone on purpose


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array(["a", "", None, "ü"]), ["a", "", None, "ü"]),
        (pa.array(["a", None], pa.large_string()), ["a", None]),
        (pa.array(["a", None], pa.string_view()), ["a", None]),
        (pa.array([True, False, None]), [True, False, None]),
        (pa.array([None, None]), [None, None]),
        (pa.array([1, -5, None], pa.int16()), [1, -5, None]),
        (pa.array([2**53, -(2**53)]), [2**53, -(2**53)]),
        (pa.array([2**53 + 1, 1]), ["9007199254740993", 1]),
        (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
        (pa.array([None], pa.int64()), [None]),
        (pa.array([0.1, 5.0, None]), [D("0.1"), D("5.0"), None]),
        (pa.array([0.1], pa.float32()), [D("0.1")]),
        (pa.array([0.5], pa.float16()), [D("0.5")]),
        (pa.array([D("0.3"), D("12.50")]), [D("0.3"), D("12.5")]),
        (pa.array([D(7), D(2**53 + 1)], pa.decimal128(38, 0)), [7, "9007199254740993"]),
        (
            pa.array([D("123456789012345678.12345")], pa.decimal128(38, 5)),
            [D("123456789012345678.12345")],
        ),
        (pa.array([D("0.1")], pa.decimal256(50, 20)), [D("0.1")]),
        (pa.array([dt.date(2020, 1, 2), None]), ["2020-01-02", None]),
        (pa.array([dt.date(999, 1, 2)]), ["0999-01-02"]),
        (pa.array([dt.date(2020, 1, 2)], pa.date64()), ["2020-01-02"]),
        (pa.array([MOMENT, None]), ["2020-08-19 22:50:04 +00:00", None]),
        (pa.array([MOMENT.replace(tzinfo=UTC_PLUS_2)]), ["2020-08-19 20:50:04 +00:00"]),
        (pa.array([-1], pa.timestamp("ns", tz="Europe/Berlin")), ["1969-12-31 23:59:59 +00:00"]),
        (pa.array([0], pa.timestamp("s")), ["1970-01-01 00:00:00 +00:00"]),
        (pa.array([dt.time(1, 2, 3)]), ["01:02:03.000000"]),
        (pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
        (pa.RunEndEncodedArray.from_arrays([2, 3], ["a", "b"]), ["a", "a", "b"]),
        (pa.array([[1, None], None, []]), [[1, None], None, []]),
        (pa.array([[1, 2], None], pa.list_(pa.int64(), 2)), [[1, 2], None]),
        (pa.array([[2**60]], pa.large_list(pa.int64())), [["1152921504606846976"]]),
        (pa.array([[MOMENT]]), [["2020-08-19 22:50:04 +00:00"]]),
        (
            pa.array([{"a": 1, "b": [dt.date(2020, 1, 2)]}, None, {"a": None, "b": None}]),
            [{"a": 1, "b": ["2020-01-02"]}, None, {}],
        ),
        (
            pa.array([[("a", D("1.5"))], None, []], pa.map_(pa.string(), pa.decimal128(5, 2))),
            [{"a": D("1.5")}, None, {}],
        ),
        (pa.array([[(1, "x")]], pa.map_(pa.int64(), pa.string())), [{"1": "x"}]),
    ],
)
def test_values(array: pa.Array, expected: list[Any]) -> None:
    assert sent(array) == expected


def test_sliced_columns() -> None:
    nested = pa.array([[1], [2, 3], None, [4]])
    assert sent(nested.slice(1, 2)) == [[2, 3], None]
    structs = pa.array([{"a": 1}, {"a": 2}, None])
    assert sent(structs.slice(1)) == [{"a": 2}, None]
    maps = pa.array([[("a", 1)], [("b", 2)]], pa.map_(pa.string(), pa.int64()))
    assert sent(maps.slice(1)) == [{"b": 2}]


def test_a_doubles_column_keeps_its_kind() -> None:
    assert as_text(convert(pa.array([5.0]))) == (["5.0"], {})


def test_uuids_and_json_of_arrow() -> None:
    value = uuid.UUID(int=5)
    assert sent(pa.array([value.bytes, None], pa.uuid())) == [str(value), None]
    assert sent(pa.array(['{"a":1}', None], pa.json_())) == [{"a": 1}, None]


def test_nulls_inside_objects_are_kept_where_they_clear() -> None:
    array = pa.array([{"a": 1, "b": None}])
    assert sent(array) == [{"a": 1}]
    assert sent(array, keep_nulls=True) == [{"a": 1, "b": None}]
    mapped = pa.array([[("a", None)]], pa.map_(pa.string(), pa.int64()))
    assert sent(mapped) == [{}]
    assert sent(mapped, keep_nulls=True) == [{"a": None}]


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (pa.array([1.0, math.nan]), "NaN or infinite"),
        (pa.array([1.0, -math.inf], pa.float32()), "NaN or infinite"),
        (pa.array([None, b"x"]), "type binary"),
        (pa.array([None, dt.timedelta(1)]), "type duration"),
        (pa.array(["ok", "nul\0"]), "NUL"),
        (pa.array([0, 2**63 - 1], pa.timestamp("us")), "years 1 to 9999"),
        (pa.array([0, 2**31 - 1], pa.int32()).cast(pa.date32()), "years 1 to 9999"),
        (pa.array([[1.0], [2.0, math.nan]]), "an element"),
        (pa.array([{"a": 1.0}, {"a": math.nan}]), "member 'a'"),
        (pa.array([[], [("a", math.nan)]], pa.map_(pa.string(), pa.float64())), "NaN"),
    ],
)
def test_values_that_cannot_be_sent(array: pa.Array, words: str) -> None:
    column = convert(array)
    assert list(column.faults) == [1]
    assert words in column.faults[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"b":[1,2.5,null,true,"x"]}', {"b": [1, D("2.5"), None, True, "x"]}),
        ("12345678901234567890", "12345678901234567890"),
        ("1.00000000000000000001", D("1.00000000000000000001")),
        ("null", None),
        ('"\\u00fc"', "ü"),
    ],
)
def test_json_text(text: str, expected: Any) -> None:
    assert sent(pa.array([text]), kind="json") == [expected]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not valid JSON"),
        ("{'a':1}", "not valid JSON"),
        ("[NaN]", "holds NaN"),
        ("-Infinity", "holds -Infinity"),
        ('{"a":"\\u0000"}', "NUL"),
        ('{"\\ud800":1}', "surrogate"),
        ("[" * 200 + "]" * 200, "deeper than 100"),
        ("[" * 200_000, "deeper than 100"),
        ("[1e999]", "too large"),
        ("9" * 5000, "not a number"),
    ],
)
def test_json_text_that_cannot_be_sent(text: str, words: str) -> None:
    assert words in faults(pa.array([text]), kind="json")[0]


def test_number_text() -> None:
    array = pa.array(["12", " -0.50 ", "1e3", "9007199254740993", "0.12345678901234567890", None])
    expected = [12, D("-0.5"), D("1000.0"), "9007199254740993", D("0.12345678901234567890"), None]
    assert sent(array, kind="number") == expected


@pytest.mark.parametrize("text", ["", "x", "1_000", "NaN", "Infinity", "\u0661", "1e999", "0x10"])
def test_number_text_that_is_none(text: str) -> None:
    assert list(faults(pa.array([text]), kind="number")) == [0]


@pytest.mark.parametrize(
    ("array", "wanted", "expected"),
    [
        (pa.array([1, 2**60]), "string", ["1", "1152921504606846976"]),
        (pa.array([5.0, 0.1]), "string", ["5.0", "0.1"]),
        (pa.array([True]), "string", ["true"]),
        (pa.array([D("12.50")]), "string", ["12.50"]),
        (pa.array([D("0.0000001")]), "string", ["0.0000001"]),
        (pa.array([{"a": [1]}]), "string", ['{"a":[1]}']),
        (pa.array([dt.date(2020, 1, 2)]), "string", ["2020-01-02"]),
        (pa.array([2**60, 1]), "long", [2**60, 1]),
        (pa.array([5.0]), "long", [5]),
        (pa.array(["42", " 7"]), "long", [42, 7]),
        (pa.array([D("5.00")]), "long", [5]),
        (pa.array([5]), "double", [D("5.0")]),
        (pa.array(["0.5"]), "double", [D("0.5")]),
        (pa.array([D("0.12345678901234567890")]), "double", [D("0.12345678901234567890")]),
        (pa.array([0, 1]), "boolean", [False, True]),
        (pa.array(["TRUE", "false", "1"]), "boolean", [True, False, True]),
        (pa.array(["2020-01-02"]), "date", ["2020-01-02"]),
        (pa.array(["2020-01-02T03:04:05.678+02:00"]), "date", ["2020-01-02 01:04:05 +00:00"]),
        (pa.array(["2020-01-02 03:04:05"]), "date", ["2020-01-02 03:04:05 +00:00"]),
        (pa.array(["2020-01-02 03:04:05 -05:00"]), "date", ["2020-01-02 08:04:05 +00:00"]),
        (pa.array([MOMENT]), "date", ["2020-08-19 22:50:04 +00:00"]),
        (pa.array(['{"a": 1}', None, "null"]), "object", [{"a": 1}, None, None]),
        (pa.array([{"a": MOMENT}]), "object", [{"a": "2020-08-19 22:50:04 +00:00"}]),
        (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())), "object", [{"k": 1}]),
        (
            pa.array([{"lat": 52.5, "lon": 13}, None]),
            "geo_location",
            [{"lat": D("52.5"), "lon": D("13.0")}, None],
        ),
        (
            pa.array(['{"lon": "-180", "lat": -90}']),
            "geo_location",
            [{"lat": D("-90.0"), "lon": D("-180.0")}],
        ),
        (
            pa.array([{"lat": D("52.123456789012345678"), "lon": D(0)}]),
            "geo_location",
            [{"lat": D("52.123456789012344"), "lon": D("0.0")}],
        ),
        (
            pa.array([{"lat": None, "lon": None}], pa.struct({"lat": "float", "lon": "float"})),
            "geo_location",
            [None],
        ),
    ],
)
def test_wanted_types(array: pa.Array, wanted: str, expected: list[Any]) -> None:
    assert sent(array, wanted=wanted) == expected


def test_the_text_of_json_and_number_columns_stays_as_it_is() -> None:
    assert sent(pa.array(['{"a": 1}']), kind="json", wanted="string") == ['{"a": 1}']
    assert sent(pa.array(["1.50"]), kind="number", wanted="string") == ["1.50"]


def test_a_double_is_written_with_a_point() -> None:
    assert as_text(convert(pa.array([5]), wanted="double")) == (["5.0"], {})


@pytest.mark.parametrize(
    ("array", "wanted"),
    [
        (pa.array([1.5]), "long"),
        (pa.array(["x"]), "long"),
        (pa.array([True]), "long"),
        (pa.array(["9" * 30]), "long"),
        (pa.array([[1]]), "double"),
        (pa.array(["1e999"]), "double"),
        (pa.array([2]), "boolean"),
        (pa.array([1.0]), "boolean"),
        (pa.array(["yes"]), "boolean"),
        (pa.array([20200102]), "date"),
        (pa.array(["yesterday"]), "date"),
        (pa.array(["0001-01-01T00:00:00+05:00"]), "date"),
        (pa.array([math.nan]), "string"),
        (pa.array(["[1]"]), "object"),
        (pa.array(["{"]), "object"),
        (pa.array([[1]]), "object"),
        (pa.array([5]), "object"),
        (pa.array(["52.5,13"]), "geo_location"),
        (pa.array([1.5]), "geo_location"),
    ],
)
def test_values_that_do_not_fit_the_wanted_type(array: pa.Array, wanted: str) -> None:
    assert list(faults(array, wanted=wanted)) == [0]


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ({"lat": 1.0}, "has no lon"),
        ({"lat": None, "lon": 1.0}, "has no lat"),
        ({"lat": 1.0, "lng": 1.0}, "has a member 'lng'"),
        ({"latitude": 1.0, "longitude": 1.0}, "has a member 'latitude'"),
        ({"lat": 1.0, "lon": 2.0, "alt": 3.0}, "has a member 'alt'"),
        ({"lat": 90.001, "lon": 1.0}, "has a lat outside -90 to 90: 90.001"),
        ({"lat": 1.0, "lon": -180.5}, "has a lon outside -180 to 180"),
        ({"lat": "north", "lon": 1.0}, "has a lat that is not a number: 'north'"),
        ({"lat": True, "lon": 1.0}, "has a lat that is not a number"),
    ],
)
@pytest.mark.parametrize("as_text", [True, False])
def test_places_that_cannot_be_sent(place: Any, words: str, *, as_text: bool) -> None:
    array = pa.array([json.dumps(place)]) if as_text else pa.array([place])
    assert words in faults(array, wanted="geo_location")[0]


def test_a_place_with_nan_cannot_be_sent() -> None:
    array = pa.array([{"lat": math.nan, "lon": 1.0}])
    assert "member 'lat'" in faults(array, wanted="geo_location")[0]


@pytest.mark.parametrize(
    ("value", "wanted", "expected"),
    [
        ("x", None, "x"),
        (5, None, 5),
        (2**70, None, str(2**70)),
        (1.5, None, D("1.5")),
        (True, None, True),
        (None, None, None),
        ({"a": [1, "x"]}, None, {"a": [1, "x"]}),
        (dt.date(2020, 1, 2), None, "2020-01-02"),
        (dt.datetime(2020, 1, 2, 3, 4, 5, tzinfo=dt.UTC), None, "2020-01-02 03:04:05 +00:00"),
        (5, "string", "5"),
        ("2020-01-02", "date", "2020-01-02"),
    ],
)
def test_constants(value: Any, wanted: str | None, expected: Any) -> None:
    assert exact(orjson.dumps(constant(value, wanted))) == expected


def test_a_constant_that_cannot_be_sent() -> None:
    with pytest.raises(ValueError, match="not a number"):
        constant("x", "long")


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**20)))
def test_decimals_keep_their_value(value: Decimal) -> None:
    if abs(value) < D(10) ** 30:
        assert sent(pa.array([value], pa.decimal128(38, 6))) == [value]


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_integers_keep_their_digits(values: list[int]) -> None:
    assert [int(value) for value in sent(pa.array(values, pa.int64()))] == values


@given(st.lists(st.datetimes(), min_size=1))
def test_timestamps_are_cut_to_seconds(values: list[dt.datetime]) -> None:
    expected = [f"{value.replace(microsecond=0).isoformat(' ')} +00:00" for value in values]
    assert sent(pa.array(values, pa.timestamp("us"))) == expected


# --- as text, column by column ---------------------------------------------------------------


@given(
    st.one_of(
        st.lists(st.none() | st.text()).map(lambda v: pa.array(v, pa.string())),
        st.lists(st.none() | st.text()).map(lambda v: pa.array(v, pa.large_string())),
        st.lists(st.none() | st.integers(-(2**53), 2**53)).map(lambda v: pa.array(v, pa.int64())),
        st.lists(st.none() | st.floats()).map(lambda v: pa.array(v, pa.float64())),
        st.lists(st.none() | st.booleans()).map(lambda v: pa.array(v, pa.bool_())),
    )
)
def test_a_column_as_text_is_what_its_values_are(array: pa.Array) -> None:
    column = convert(array)
    texts, wrong = as_text(column)
    assert wrong == column.faults
    for text, value in zip(texts, column.to_list(), strict=True):
        assert (text is None) == (value is None)
        if text is not None:
            read = json.loads(text)
            assert (type(read), repr(read)) == (type(value), repr(value))


@given(
    st.integers(1, 4).flatmap(
        lambda n: st.lists(st.tuples(*[st.none() | st.text("ab", min_size=1)] * n))
    )
)
def test_what_is_left_out_leaves_no_comma(rows: list[tuple[str | None, ...]]) -> None:
    columns = [pa.array(column, pa.large_string()) for column in zip(*rows, strict=True)]
    if columns:
        expected = [",".join(text for text in row if text is not None) for row in rows]
        pieces, may_be_empty = listed([column] for column in columns)
        assert joined(pieces).to_pylist() == expected
        assert may_be_empty or all(expected)

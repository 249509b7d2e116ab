"""Arrow columns as JSON values that Iterable takes, and reasons for the values it cannot take.

The rules, each with its source, are in the README. Conversion is by column wherever Arrow can do
it; nested columns are taken apart, so that a timestamp inside a list follows the same rule as one
in a column of its own.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NoReturn

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from reverse_etl.columns import replaced

INTEGER_MAX = 2**53
"""Largest integer below which a double holds every one; beyond it digits would be lost."""

_INT64 = range(-(2**63), 2**63)
_DAYS = range(-719_162, 2_932_897)
"""Days from 1970-01-01 of the years 1 to 9999."""
_SECONDS = (-62_135_596_800, 253_402_300_799)
"""Seconds from 1970-01-01 of the years 1 to 9999, both ends included."""
_JSON_DEPTH_MAX = 100
_TOO_DEEP = f"is JSON nested deeper than {_JSON_DEPTH_MAX} levels"
_NUMBER = re.compile(r"[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]{1,4})?")
_DIGITS_MAX = 1000
_DEGREES = {"lat": 90, "lon": 180}
_OBJECTS = ("object", "geo_location")
_DOUBLE_DIGITS = 15
"""Every decimal of so many digits survives the way into a double and back (IEEE 754)."""


@dataclass(frozen=True, slots=True)
class Column:
    """Converted values of one column.

    Attributes:
        values: JSON values as orjson writes them, None where the column is NULL or at fault; or
            the same as an Arrow array of text, whole numbers, doubles or booleans.
        faults: Offset to the reason why the value cannot be sent; reads well after a field name.
    """

    values: list[Any] | Any
    faults: dict[int, str]

    def to_list(self) -> list[Any]:
        """Return the values one by one."""
        values: list[Any] = self.values
        return values.to_pylist() if isinstance(values, pa.Array) else values


def convert(
    array: pa.Array, *, kind: str = "", wanted: str | None = None, keep_nulls: bool = False
) -> Column:
    """Convert a column.

    Args:
        array: Any Arrow array.
        kind: ``json`` or ``number`` when the column is text to be read as such, else empty.
        wanted: One of ``fields.FIELD_TYPES``, or None to follow the column.
        keep_nulls: Whether NULL members of structs are written as null or left out.
    """
    array, kind = _plain_array(array, kind)
    if wanted == "string":
        return _text_column(array, kind, keep_nulls=keep_nulls)
    if wanted in _OBJECTS and not kind and _is_text(array.type):
        kind = "json"  # text cannot be an object otherwise
    column = _by_type(array, kind, keep_nulls=keep_nulls)
    if wanted is None or _is_already(column, wanted):
        return column
    return _each(column.to_list(), _WANTED[wanted], column.faults)


def _is_already(column: Column, wanted: str) -> bool:
    """Whether every value has the type that is wanted."""
    is_type = _TYPE_OF.get(wanted)
    if is_type is None or not isinstance(column.values, pa.Array):
        return False
    return bool(is_type(column.values.type))


def constant(value: Any, wanted: str | None) -> Any:  # noqa: ANN401 - YAML in, JSON out
    """Return a constant of the config as a JSON value.

    Raises:
        ValueError: It cannot be sent.
    """
    if value is None:
        return None
    if isinstance(value, dict | list):
        array, kind = pa.array([json.dumps(value, default=str)]), "json"
    elif isinstance(value, int) and not isinstance(value, bool):
        array, kind = pa.array([str(value)]), "number"
    else:
        array, kind = pa.array([value]), ""
    column = convert(array, kind=kind, wanted=wanted)
    if column.faults:
        raise ValueError(column.faults[0])
    return column.to_list()[0]


# --- by Arrow type -------------------------------------------------------------------------


def _plain_array(array: pa.Array, kind: str) -> tuple[pa.Array, str]:
    """Unwrap extension, dictionary and run-length encodings."""
    if isinstance(array, pa.ExtensionArray):
        name = array.type.extension_name
        if name == "arrow.uuid":
            return pa.array([str(u) if u else None for u in _uuids(array.storage)], pa.string()), ""
        return _plain_array(array.storage, "json" if name == "arrow.json" else kind)
    if pa.types.is_dictionary(array.type):
        return _plain_array(array.dictionary_decode(), kind)
    if pa.types.is_run_end_encoded(array.type):
        return _plain_array(pc.run_end_decode(array), kind)
    return array, kind


def _uuids(storage: pa.Array) -> Iterator[uuid.UUID | None]:
    """Yield the UUIDs of 16-byte values."""
    for value in storage.to_pylist():
        yield None if value is None else uuid.UUID(bytes=value)


def _by_type(array: pa.Array, kind: str, *, keep_nulls: bool) -> Column:
    """Convert a column by its Arrow type."""
    if _is_text(array.type):
        return _texts(array, kind)
    for is_type, convert_flat in _FLAT:
        if is_type(array.type):
            return convert_flat(array)
    for is_type, convert_nested in _NESTED:
        if is_type(array.type):
            return convert_nested(array, keep_nulls=keep_nulls)
    return _refuse(array, f"is of type {array.type}, which Iterable cannot store; cast it in SQL")


def _is_text(kind: pa.DataType) -> bool:
    """Whether the type is text in any of its layouts."""
    types = pa.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_list(kind: pa.DataType) -> bool:
    """Whether the type is one of the list layouts that ``flatten`` knows."""
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _refuse(array: pa.Array, reason: str) -> Column:
    """Return a column in which every value that is not NULL is a fault."""
    valid = pc.indices_nonzero(array.is_valid()).to_pylist()
    return Column(pa.nulls(len(array)), dict.fromkeys(valid, reason))


def _mark(values: pa.Array, wrong: pa.Array, reason: str) -> Column:
    """Return the values with those at fault (true in ``wrong``) taken out."""
    faults = dict.fromkeys(pc.indices_nonzero(wrong).to_pylist(), reason)
    return Column(replaced(values, dict.fromkeys(faults)), faults)


def _each(
    values: Sequence[Any], change: Callable[[Any], Any], faults: dict[int, str] | None = None
) -> Column:
    """Change values one by one; a ValueError becomes a fault. NULLs and earlier faults stay."""
    changed: list[Any] = []
    found = dict(faults or {})
    for offset, value in enumerate(values):
        try:
            changed.append(None if value is None or offset in found else change(value))
        except ValueError as error:
            changed.append(None)
            found[offset] = str(error)
    return Column(changed, found)


def _texts(array: pa.Array, kind: str) -> Column:
    """Return text as it is, or read as JSON or as numbers."""
    if kind == "json":
        return _each(array.to_pylist(), read_json)
    if kind == "number":
        return _each(array.to_pylist(), read_number)
    text = array.cast(pa.string()) if array.type == pa.string_view() else array
    return _mark(text, pc.match_substring(text, "\0"), "holds a NUL character")


def _integers(array: pa.Array) -> Column:
    """Return integers as numbers, those beyond 2^53 as text."""
    if array.type.bit_width < 64 or array.null_count == len(array):  # noqa: PLR2004
        return Column(array, {})
    span = pc.min_max(array)
    if span["min"].as_py() >= -INTEGER_MAX and span["max"].as_py() <= INTEGER_MAX:
        return Column(array, {})
    return _each(array.to_pylist(), _integer)


def _integer(value: int) -> int | str:
    """Return the integer, as text when a double could not hold it."""
    return value if -INTEGER_MAX <= value <= INTEGER_MAX else str(value)


def _floats(array: pa.Array) -> Column:
    """Return doubles; a 32-bit 0.1 becomes 0.1, not 0.10000000149011612."""
    if array.type == pa.float16():
        array = array.cast(pa.float32())
    if array.type == pa.float32():
        array = array.cast(pa.string()).cast(pa.float64())
    wrong = pc.invert(pc.is_finite(array))
    return _mark(array, wrong, "is NaN or infinite, which JSON cannot hold")


def _decimals(array: pa.Array) -> Column:
    """Return decimals as numbers that keep their digits; without a scale they are integers."""
    if array.type.scale <= 0:
        return _each(array.to_pylist(), lambda value: _integer(int(value)))
    if array.type.precision <= _DOUBLE_DIGITS:
        # By way of text: Arrow's own cast multiplies by 0.1 and makes 0.30000000000000004 of 0.3.
        return Column(array.cast(pa.string()).cast(pa.float64()), {})
    return _each(array.to_pylist(), _decimal)


def _decimal(value: Decimal) -> float | orjson.Fragment:
    """Return a double when it holds all digits, else the digits themselves as JSON.

    Raises:
        ValueError: The number is beyond the range of a double.
    """
    double = float(value)
    if double in (float("inf"), float("-inf")):
        raise ValueError("is a number too large for a double")
    return double if Decimal(repr(double)) == value else orjson.Fragment(str(value).encode())


def _timestamps(array: pa.Array) -> Column:
    """Return ``yyyy-MM-dd HH:mm:ss +00:00``, cut to seconds, in UTC; without a zone it is UTC."""
    naive = array.cast(pa.timestamp(array.type.unit))
    seconds = pc.floor_temporal(naive, unit="second").cast(pa.timestamp("s"), safe=False)
    first, last = _SECONDS
    number = seconds.cast(pa.int64())
    wrong = pc.or_(pc.less(number, first), pc.greater(number, last))
    text = pc.binary_join_element_wise(seconds.cast(pa.string()), "+00:00", " ")
    return _mark(text, wrong, "is a timestamp outside the years 1 to 9999")


def _dates(array: pa.Array) -> Column:
    """Return ``yyyy-MM-dd``."""
    days = array.cast(pa.date32())
    number = days.cast(pa.int32())
    wrong = pc.or_(pc.less(number, _DAYS.start), pc.greater_equal(number, _DAYS.stop))
    return _mark(days.cast(pa.string()), wrong, "is a date outside the years 1 to 9999")


def _times(array: pa.Array) -> Column:
    """Return ``HH:mm:ss`` text: Iterable has no type for a time of day."""
    return Column(array.cast(pa.string()), {})


def _as_they_are(array: pa.Array) -> Column:
    """Return booleans and NULLs."""
    return Column(array, {})


# --- nested --------------------------------------------------------------------------------


def _structs(array: pa.Array, *, keep_nulls: bool) -> Column:
    """Return one object for each struct."""
    rows: list[dict[str, Any] | None] = [
        {} if valid else None for valid in array.is_valid().to_pylist()
    ]
    faults: dict[int, str] = {}
    for index, child in enumerate(array.flatten()):
        name = array.type.field(index).name
        column = convert(child, keep_nulls=keep_nulls)
        for offset, reason in column.faults.items():
            faults.setdefault(offset, f"(member {name!r}) {reason}")
        for row, value in zip(rows, column.to_list(), strict=True):
            if row is not None and (value is not None or keep_nulls):
                row[name] = value
    return Column(rows, faults)


def _spans(array: pa.Array) -> Iterator[tuple[int, int] | None]:
    """Yield where the values of each list begin and end in ``array.flatten()``."""
    end = 0
    for length in pc.list_value_length(array).to_pylist():
        if length is None:
            yield None
            continue
        yield end, end + length
        end += length


def _lists(array: pa.Array, *, keep_nulls: bool) -> Column:
    """Return one array for each list; NULL elements stay null."""
    inner = convert(array.flatten(), keep_nulls=keep_nulls)
    spans, elements = list(_spans(array)), inner.to_list()
    values = [None if span is None else elements[span[0] : span[1]] for span in spans]
    return Column(values, _faults_of_spans(spans, inner.faults))


def _faults_of_spans(
    spans: Sequence[tuple[int, int] | None], inner: dict[int, str]
) -> dict[int, str]:
    """Return the faults of elements as faults of their lists."""
    faults: dict[int, str] = {}
    for offset, span in enumerate(spans) if inner else ():
        wrong = next((i for i in range(*span or (0, 0)) if i in inner), None)
        if wrong is not None:
            faults[offset] = f"(an element) {inner[wrong]}"
    return faults


def _maps(array: pa.Array, *, keep_nulls: bool) -> Column:
    """Return one object for each map; keys become text."""
    entry = pa.struct(
        [pa.field("key", array.type.key_type), pa.field("value", array.type.item_type)]
    )
    lists = array.cast(pa.list_(entry))
    keys, items = lists.flatten().flatten()
    names = convert(keys, wanted="string")
    inner = convert(items, keep_nulls=keep_nulls)
    spans, texts, members = list(_spans(lists)), names.to_list(), inner.to_list()
    values = [
        None if span is None else _object(span, texts, members, keep_nulls=keep_nulls)
        for span in spans
    ]
    return Column(values, _faults_of_spans(spans, {**inner.faults, **names.faults}))


def _object(
    span: tuple[int, int], names: Sequence[str], values: Sequence[Any], *, keep_nulls: bool
) -> dict[str, Any]:
    """Return the entries of one map as an object."""
    return {names[i]: values[i] for i in range(*span) if values[i] is not None or keep_nulls}


_FLAT: Sequence[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], Column]]] = (
    (pa.types.is_integer, _integers),
    (pa.types.is_floating, _floats),
    (pa.types.is_decimal, _decimals),
    (pa.types.is_boolean, _as_they_are),
    (pa.types.is_null, _as_they_are),
    (pa.types.is_timestamp, _timestamps),
    (pa.types.is_date, _dates),
    (pa.types.is_time, _times),
)
_NESTED: Sequence[tuple[Callable[[pa.DataType], bool], Callable[..., Column]]] = (
    (pa.types.is_struct, _structs),
    (pa.types.is_map, _maps),
    (_is_list, _lists),
)


# --- text that is JSON or a number ---------------------------------------------------------


def read_json(text: str) -> Any:  # noqa: ANN401 - a JSON value
    """Read JSON text, keeping the digits of its numbers.

    Raises:
        ValueError: It is no JSON, or holds what cannot be sent.
    """
    try:
        value = json.loads(text, parse_int=read_number, parse_float=read_number, parse_constant=_no)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not valid JSON: {error.msg} at character {error.pos}") from error
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    _check_json(value, 0)
    return value


def _no(name: str) -> NoReturn:
    """Refuse the NaN and Infinity that Python's reader would take."""
    raise ValueError(f"holds {name}, which JSON cannot hold")


def _check_json(value: Any, depth: int) -> None:  # noqa: ANN401 - a JSON value
    """Refuse what orjson or Iterable could not take, at any depth."""
    if depth > _JSON_DEPTH_MAX:
        raise ValueError(_TOO_DEEP)
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, dict):
        for name, member in value.items():
            _check_text(name)
            _check_json(member, depth + 1)
    elif isinstance(value, list):
        for element in value:
            _check_json(element, depth + 1)


def _check_text(text: str) -> None:
    """Refuse NUL characters and halves of surrogate pairs."""
    if "\0" in text:
        raise ValueError("holds a NUL character")
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("holds half of a surrogate pair, which UTF-8 cannot hold")


def read_number(text: str) -> int | float | str | orjson.Fragment:
    """Read a number, keeping its digits; an integer beyond 2^53 stays text.

    Raises:
        ValueError: It is no number, or beyond the range of a double.
    """
    text = text.strip()
    if len(text) > _DIGITS_MAX or not _NUMBER.fullmatch(text):
        raise ValueError(f"is not a number: {text[:40]!r}")
    if text.lstrip("+-").isdigit():
        return _integer(int(text))
    return _decimal(Decimal(text))


# --- types asked for in the mapping --------------------------------------------------------


def _text_column(array: pa.Array, kind: str, *, keep_nulls: bool) -> Column:
    """Return every value as text: digits as they are in the warehouse, objects as JSON."""
    if _is_text(array.type):
        return _texts(array, "")
    if pa.types.is_decimal(array.type):
        return _each(array.to_pylist(), lambda value: format(value, "f"))
    column = _by_type(array, kind, keep_nulls=keep_nulls)
    return _each(column.to_list(), _to_text, column.faults)


def _to_text(value: Any) -> str:  # noqa: ANN401 - a JSON value
    """Return text as it is and everything else as JSON; 5.0 stays 5.0."""
    if isinstance(value, str):
        return value
    return repr(value) if isinstance(value, float) else orjson.dumps(value).decode()


def _to_long(value: Any) -> int:  # noqa: ANN401 - a JSON value
    """Return a whole number that fits into 64 bits."""
    number = _exact(value)
    if number != number.to_integral_value() or int(number) not in _INT64:
        raise ValueError(f"is not a whole number of 64 bits: {_shown(value)}")
    return int(number)


def _to_double(value: Any) -> float | orjson.Fragment:  # noqa: ANN401 - a JSON value
    """Return a number with a decimal point."""
    return value if isinstance(value, orjson.Fragment) else _decimal(_exact(value))


def _exact(value: Any) -> Decimal:  # noqa: ANN401 - a JSON value
    """Return the number, from a number or from its text.

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, orjson.Fragment):
        return Decimal(orjson.dumps(value).decode())
    if isinstance(value, str) and len(value) <= _DIGITS_MAX and _NUMBER.fullmatch(value.strip()):
        return Decimal(value.strip())
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Decimal(repr(value))
    raise ValueError(f"is not a number: {_shown(value)}")


_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


def _to_boolean(value: Any) -> bool:  # noqa: ANN401 - a JSON value
    """Return true or false, from a boolean, 0, 1, or their text."""
    found = _BOOLEANS.get(_shown(value).strip("'").lower()) if _is_scalar(value) else None
    if found is None:
        raise ValueError(f"is not true or false: {_shown(value)}")
    return found


def _is_scalar(value: Any) -> bool:  # noqa: ANN401 - a JSON value
    """Whether the value could stand for true or false."""
    return isinstance(value, bool | int | str)


def _to_date(value: Any) -> str:  # noqa: ANN401 - a JSON value
    """Return a date or timestamp in Iterable's form, from one or from ISO 8601 text."""
    if not isinstance(value, str):
        raise ValueError(f"is not a date: {_shown(value)}")  # noqa: TRY004 - one error for every value that cannot be sent
    text = value.strip().replace(" +", "+").replace(" -", "-")
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return _to_timestamp(text)


def _to_timestamp(text: str) -> str:
    """Return ISO 8601 text as ``yyyy-MM-dd HH:mm:ss +00:00``; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.astimezone(UTC) if moment.tzinfo else moment
    except (ValueError, OverflowError) as error:
        raise ValueError(f"is not a date: {_shown(text)}") from error
    return f"{moment.replace(tzinfo=None).isoformat(' ', 'seconds')} +00:00"


def _to_object(value: Any) -> dict[str, Any]:  # noqa: ANN401 - a JSON value
    """Return an object, from a struct, a map or JSON."""
    if not isinstance(value, dict):
        raise ValueError(f"is not an object: {_shown(value)}")  # noqa: TRY004 - as above
    return value


def _to_place(value: Any) -> dict[str, float] | None:  # noqa: ANN401 - a JSON value
    """Return ``{"lat": …, "lon": …}`` in degrees; None where both are NULL."""
    parts = _to_object(value)
    strange = [name for name in parts if name not in _DEGREES]
    if strange:
        raise ValueError(f"has a member {strange[0]!r}; a place has lat and lon only")
    if all(parts.get(name) is None for name in _DEGREES):
        return None
    return {name: _degrees(name, parts.get(name)) for name in _DEGREES}


def _degrees(name: str, value: Any) -> float:  # noqa: ANN401 - a JSON value
    """Return one coordinate."""
    if value is None:
        raise ValueError(f"has no {name}; a place needs lat and lon")
    try:
        degrees = float(_exact(value))
    except ValueError as error:
        raise ValueError(f"has a {name} that {error}") from error
    most = _DEGREES[name]
    if not -most <= degrees <= most:
        raise ValueError(f"has a {name} outside -{most} to {most}: {_shown(value)}")
    return degrees


def _shown(value: Any) -> str:  # noqa: ANN401 - a JSON value
    """Return the value for a message, cut short."""
    return repr(value)[:60]


_TYPE_OF: dict[str, Callable[[pa.DataType], bool]] = {
    "long": pa.types.is_integer,
    "double": pa.types.is_float64,
    "boolean": pa.types.is_boolean,
}

_WANTED: dict[str, Callable[[Any], Any]] = {
    "long": _to_long,
    "double": _to_double,
    "boolean": _to_boolean,
    "date": _to_date,
    "object": _to_object,
    "geo_location": _to_place,
}

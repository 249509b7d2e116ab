"""What the Thrift server sends, as Arrow: it sends columns, of which PyHive would make rows.

PyHive also reads each value by itself; here the compiled reader of the package ``thrift`` does it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Rows of a piece.
ROWS_FETCHED = 20_000

_WHOLE = ("TINYINT_TYPE", "SMALLINT_TYPE", "INT_TYPE", "BIGINT_TYPE")
# Types without an entry are sent as text. A time is, too; whose zone it has, the type does not say.
_TYPES = {
    **dict.fromkeys(_WHOLE, pa.int64()),
    "FLOAT_TYPE": pa.float64(),
    "DOUBLE_TYPE": pa.float64(),
    "BOOLEAN_TYPE": pa.bool_(),
    "BINARY_TYPE": pa.binary(),
    "DATE_TYPE": pa.date32(),
    "TIMESTAMP_TYPE": pa.timestamp("us"),
}
_SENT_AS_TEXT = (pa.date32(), pa.timestamp("us"))


def batches(cursor: Any, schema: pa.Schema) -> Iterator[pa.RecordBatch]:  # noqa: ANN401 - PyHive's
    """Yield what an executed statement found.

    Args:
        cursor: Of PyHive.
        schema: Names and types of the columns, see :func:`schema_of`.
    """
    types = importlib.import_module("TCLIService.ttypes")
    driver = importlib.import_module("pyhive.hive")
    request = types.TFetchResultsReq(
        operationHandle=cursor._operationHandle,
        orientation=types.TFetchOrientation.FETCH_NEXT,
        maxRows=ROWS_FETCHED,
    )
    while True:
        response = cursor._connection.client.FetchResults(request)
        driver._check_status(response)
        columns = [_sent(column) for column in response.results.columns]
        if not columns or not len(columns[0].values):
            return
        arrays = [_array(each, field.type) for each, field in zip(columns, schema, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def schema_of(description: Sequence[Sequence[Any]]) -> pa.Schema:
    """Return names and types of what a cursor describes; all times without zone."""
    return pa.schema([(each[0], _TYPES.get(each[1], pa.string())) for each in description])


def _sent(column: Any) -> Any:  # noqa: ANN401 - one of the protocol's kinds of columns
    return next(each for each in vars(column).values() if each is not None)


def _array(sent: Any, wanted: pa.DataType) -> pa.Array:  # noqa: ANN401 - the same
    values, is_text = sent.values, wanted in _SENT_AS_TEXT or pa.types.is_timestamp(wanted)
    found = pa.array(values, pa.string() if is_text else wanted)
    if any(sent.nulls):
        # One bit for each NULL, the last ones left out when there are no more.
        bits = sent.nulls.ljust(-(-len(values) // 8), b"\0")
        is_null = pa.BooleanArray.from_buffers(pa.bool_(), len(values), [None, pa.py_buffer(bits)])
        found = pc.if_else(is_null, pa.scalar(None, found.type), found)
    return of_type(found, wanted)


def of_type(column: Any, wanted: pa.DataType) -> Any:  # noqa: ANN401 - an array, or chunks of one
    """Return a column as another type; a time without zone is one of UTC."""
    if column.type == wanted:
        return column
    if pa.types.is_timestamp(wanted) and wanted.tz is not None and column.type == pa.string():
        column = column.cast(pa.timestamp("us"))
    return column.cast(wanted)


# --- the compiled reader --------------------------------------------------------------------


def read_faster(native: Any) -> None:  # noqa: ANN401 - PyHive's connection
    """Let the answers on a connection be read by compiled code, where there is any."""
    try:
        compiled = importlib.import_module("thrift.protocol.fastbinary")
    except ModuleNotFoundError:
        return
    known: dict[type, list[Any]] = {}

    def decode(target: Any, protocol: Any, described: Sequence[Any]) -> None:  # noqa: ANN401
        compiled.decode_binary(target, protocol, _in_lists(described, known))

    native.client._iprot._fast_decode = decode


def _in_lists(described: Sequence[Any], known: dict[type, list[Any]]) -> list[Any]:
    """Return a class and its fields as the reader wants them: PyHive's were made for an older one.

    Args:
        described: The class, and its fields.
        known: Those that were asked for before.
    """
    kind, fields = described
    if kind not in known:
        known[kind] = [
            kind,
            tuple(
                field and (*field[:3], _inner(field[1], field[3], known), *field[4:])
                for field in fields
            ),
        ]
    return known[kind]


def _inner(code: int, inside: Any, known: dict[type, list[Any]]) -> Any:  # noqa: ANN401 - nested
    codes = importlib.import_module("thrift.Thrift").TType
    if code == codes.STRUCT:
        return _in_lists(inside, known)
    if code in {codes.LIST, codes.SET}:
        return (inside[0], _inner(inside[0], inside[1], known), *inside[2:])
    if code == codes.MAP:
        key, value = (_inner(inside[at], inside[at + 1], known) for at in (0, 2))
        return (inside[0], key, inside[2], value, *inside[4:])
    return inside

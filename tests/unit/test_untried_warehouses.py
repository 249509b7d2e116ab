"""What can be known of the engines whose services were never asked, without them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from itertools import product
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import sqlalchemy as sa

from reverse_etl.errors import WarehouseError
from reverse_etl.testing.planner import EMAIL, USER_ID, StandingClock
from reverse_etl.warehouse import warehouse_at
from reverse_etl.warehouse.duckdb_dialect import DuckDBDialect
from reverse_etl.warehouse.redshift import RedshiftWarehouse
from reverse_etl.warehouse.rows import arrow_of
from reverse_etl.warehouse.shape import Kind
from reverse_etl.warehouse.spelling import java, posix

CANARY = "canary@secret.example"

DRIVERS = {
    "bigquery": ("sqlalchemy_bigquery", "bigquery://p?user_supplied_client=True"),
    "databricks": (
        "databricks.sqlalchemy",
        "databricks://token:t@localhost?http_path=/p&catalog=c",
    ),
    "redshift": ("sqlalchemy_redshift", "redshift://u:p@localhost/d"),
    "snowflake": ("snowflake.sqlalchemy", "snowflake://u:p@account/d"),
    "trino": ("trino", "trino://u@localhost/c"),
}


def is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of a package around it
        return False


def literally(*expressions: sa.ColumnElement[Any]) -> str:
    """Return a SELECT as Redshift would write it, over DuckDB's dialect."""
    dialect = DuckDBDialect()  # type: ignore[no-untyped-call]
    RedshiftWarehouse("redshift://u:p@localhost/d", "reverse_etl", StandingClock()).adapt(dialect)
    chosen = sa.select(*expressions)
    return str(chosen.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


def evaluated(*expressions: sa.ColumnElement[Any]) -> list[Any]:
    """Evaluate expressions in Redshift's words that DuckDB understands as well."""
    row = duckdb.execute(literally(*expressions)).fetchone()
    assert row is not None
    return list(row)


VALUES = [sa.cast(sa.null(), sa.String), sa.literal("a"), sa.literal("b")]


@pytest.mark.parametrize(("here", "there"), list(product(range(3), range(3))))
def test_redshifts_null_safe_comparison_is_true_or_false_and_never_null(
    here: int, there: int
) -> None:
    left, right = VALUES[here], VALUES[there]
    found = evaluated(left.is_distinct_from(right), left.is_not_distinct_from(right))
    assert found == [here != there, here == there]


@pytest.mark.parametrize("text", ["\\", "a\\b", "it's \\'", "\\\\n", "50%\\"])
def test_a_literal_for_redshift_means_itself_whatever_a_backslash_means(text: str) -> None:
    assert "\\" not in literally(sa.literal(text))
    assert evaluated(sa.literal(text)) == [text]


SAMPLES = [
    *("a@x.org", "a b@x.org", "a\tb@x.org", "a@x\n.org", "a@x.org\n", "\x01@x.org", "a\x7f@x.org"),
    *("é@x.org", "a@@x.org", "user-1", "user 1", " user", "user\n", "", "ü"),
]


@pytest.mark.parametrize("pattern", [EMAIL.pattern, EMAIL.plain, USER_ID.pattern])
def test_a_pattern_in_posix_classes_matches_the_same_texts(pattern: str) -> None:
    for text in SAMPLES:
        row = duckdb.execute(
            "select regexp_matches($1, $2), regexp_matches($1, $3)",
            [text, pattern, posix(pattern)],
        ).fetchone()
        assert row is not None
        assert row[0] == row[1], repr(text)


def test_a_pattern_that_has_no_posix_form_is_refused() -> None:
    with pytest.raises(ValueError, match="no POSIX form"):
        posix(r"^\d+$")


def test_a_pattern_for_java_ends_where_the_text_ends() -> None:
    assert java("^a$") == r"^a\z"
    assert java("^a") == "^a"


@pytest.mark.parametrize(
    ("kind", "value", "type_"),
    [
        (Kind.TEXT, "x", pa.string()),
        (Kind.INTEGER, 2**62, pa.int64()),
        (Kind.FLOAT, 1.5, pa.float64()),
        (Kind.BOOLEAN, True, pa.bool_()),
        (Kind.BINARY, b"\x00", pa.binary()),
        (Kind.DECIMAL, "1.50", pa.string()),
        (Kind.NESTED, "[1]", pa.string()),
    ],
)
@pytest.mark.parametrize("filled", [True, False])
def test_rows_become_arrow_with_the_types_of_their_kinds(
    kind: Kind, value: object, type_: pa.DataType, *, filled: bool
) -> None:
    rows = [(value,), (None,)] if filled else [(None,)]
    table = arrow_of(rows, ["v"], [kind])
    assert (table.schema.field("v").type, table.to_pydict()["v"]) == (type_, [r[0] for r in rows])
    assert arrow_of([], ["v"], [kind]).schema == table.schema


@pytest.mark.parametrize("engine", DRIVERS)
def test_an_engine_without_its_driver_names_the_extra(engine: str) -> None:
    module, url = DRIVERS[engine]
    if is_installed(module):
        pytest.skip(f"{module} is installed")
    with pytest.raises(WarehouseError, match=rf"reverse-etl\[{engine}\]"):
        warehouse_at(url, "reverse_etl", StandingClock()).make_engine()


# --- what may be repeated of an error --------------------------------------------------------


def of_snowflake(state: str) -> Exception:
    errors: Any = pytest.importorskip("snowflake.connector.errors")
    found: Exception = errors.ProgrammingError(f"about {CANARY}", errno=1, sqlstate=state)
    return found


def of_trino(name: str) -> Exception:
    errors: Any = pytest.importorskip("trino.exceptions")
    told = {"errorName": name, "errorType": "USER_ERROR", "message": f"about {CANARY}"}
    found: Exception = errors.TrinoUserError(told)
    return found


def of_redshift(state: str) -> Exception:
    errors: Any = pytest.importorskip("redshift_connector.error")
    found: Exception = errors.ProgrammingError({"C": state, "M": f"about {CANARY}"})
    return found


def of_databricks(state: str) -> Exception:
    errors: Any = pytest.importorskip("databricks.sql.exc")
    text = f"[NAMED] about {CANARY}. SQLSTATE: {state}"
    found: Exception = errors.ServerOperationError(text)
    return found


def of_bigquery(reason: str) -> Exception:
    api: Any = pytest.importorskip("google.api_core.exceptions")
    dbapi: Any = pytest.importorskip("google.cloud.bigquery.dbapi")
    inner = api.BadRequest("no", errors=[{"reason": reason, "message": f"about {CANARY}"}])
    found: Exception = dbapi.DatabaseError(inner)
    return found


@pytest.mark.parametrize(
    ("engine", "made", "about_the_statement", "about_a_row"),
    [
        ("snowflake", of_snowflake, "42000", "22018"),
        ("trino", of_trino, "COLUMN_NOT_FOUND", "INVALID_CAST_ARGUMENT"),
        ("redshift", of_redshift, "42P01", "22P02"),
        ("databricks", of_databricks, "42P01", "22018"),
        ("bigquery", of_bigquery, "notFound", "invalidQuery"),
    ],
)
def test_only_what_speaks_of_the_statement_is_repeated(
    engine: str, made: Callable[[str], Exception], about_the_statement: str, about_a_row: str
) -> None:
    warehouse = warehouse_at(DRIVERS[engine][1], "reverse_etl", StandingClock())
    assert CANARY in warehouse.plain_reason(made(about_the_statement))
    hidden = warehouse.plain_reason(made(about_a_row))
    assert CANARY not in hidden
    assert "the rest is hidden" in hidden

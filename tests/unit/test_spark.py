"""What can be known of Spark without a cluster; ``tests/warehouses`` has one."""

from __future__ import annotations

import importlib.util

import pytest
import sqlalchemy as sa

from reverse_etl.errors import WarehouseError
from reverse_etl.testing.planner import StandingClock
from reverse_etl.warehouse import warehouse_at
from reverse_etl.warehouse.spark_dialect import SparkDialect
from reverse_etl.warehouse.spark_sql import plain_text, quoted, text_literal

CANARY = "canary@secret.example"

# As a server of version 4.3 says it.
UNKNOWN_TABLE = """Error running query: [TABLE_OR_VIEW_NOT_FOUND] \
org.apache.spark.sql.AnalysisException: [TABLE_OR_VIEW_NOT_FOUND] The table or view `nosuch` \
cannot be found. Verify the spelling.
To tolerate the error on drop use DROP TABLE IF EXISTS. SQLSTATE: 42P01; line 1 pos 14;
'Project [*]
"""
WRONG_VALUE = f"""Error running query: [CAST_INVALID_INPUT] \
org.apache.spark.SparkNumberFormatException: [CAST_INVALID_INPUT] The value '{CANARY}' of the \
type "STRING" cannot be cast to "INT" because it is malformed. SQLSTATE: 22018
== SQL (line 1, position 8) ==
select cast('{CANARY}' as int)
"""
RAISED = f"[USER_RAISED_EXCEPTION] org.apache.spark.SparkRuntimeException: {CANARY} SQLSTATE: P0001"


def test_what_speaks_of_the_statement_is_told_on_one_line() -> None:
    assert plain_text(UNKNOWN_TABLE, "OperationalError") == (
        "[TABLE_OR_VIEW_NOT_FOUND] The table or view `nosuch` cannot be found. Verify the "
        "spelling. To tolerate the error on drop use DROP TABLE IF EXISTS."
    )


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (WRONG_VALUE, "CAST_INVALID_INPUT"),
        (RAISED, "USER_RAISED_EXCEPTION"),
        (f"java.lang.Exception: {CANARY} SQLSTATE: 42000", "OperationalError"),
        (f"[A] the value [B] {CANARY} SQLSTATE: 42000 SQLSTATE: 22018", "A"),
        (CANARY, "OperationalError"),
    ],
)
def test_what_may_quote_a_row_is_only_named(text: str, name: str) -> None:
    hidden = plain_text(text, "OperationalError")
    assert hidden == f"{name} (the rest is hidden, as it may quote a row)"


def test_a_literal_means_itself() -> None:
    assert text_literal("it's a \\ and\n'' %s") == "'it\\'s a \\\\ and\n\\'\\' %s'"
    assert quoted("a`b", None, "100%") == "`a``b`.`100%`"


def test_a_statement_goes_out_with_its_values() -> None:
    table = sa.table("t", sa.column("a%b", sa.String), sa.column("n", sa.BigInteger))
    chosen = sa.select(table).where(table.c["a%b"] == "it's 100%", table.c.n.in_([1, 2]))
    compiled = chosen.compile(
        dialect=SparkDialect(), compile_kwargs={"render_postcompile": True, "literal_binds": True}
    )
    assert " ".join(str(compiled).split()) == (
        "SELECT `t`.`a%b`, `t`.`n` FROM `t` WHERE `t`.`a%b` = 'it\\'s 100%' AND `t`.`n` IN (1, 2)"
    )


@pytest.mark.skipif(
    importlib.util.find_spec("pyhive") is not None, reason="the driver is installed"
)
def test_without_the_driver_the_extra_is_named() -> None:
    with pytest.raises(WarehouseError, match=r"reverse-etl\[spark\]"):
        warehouse_at("hive://u@localhost/default", "reverse_etl", StandingClock()).make_engine()

"""Spark SQL's words, which Spark itself and Databricks share.

Sources: spark.apache.org/docs, "Spark SQL Guide": "SQL Reference" and "Built-in Functions"; all but
what ``databricks.py`` adds was run by Spark 4.3.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

import sqlalchemy as sa

from reverse_etl.warehouse.shape import TIMES, Kind, SourceColumn
from reverse_etl.warehouse.spelling import Spelling, java
from reverse_etl.warehouse.sql import WHITE_SPACE, Expression, Sql

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.types import TypeEngine

# "Error Conditions": a name in brackets, and at the end the SQLSTATE. What begins with 42 speaks of
# the statement, never of a row.
_NAMED = re.compile(r"\[([A-Z][A-Z0-9_.]*)\]")
_STATE = re.compile(r"SQLSTATE: ([0-9A-Z]{5})")
_ABOUT_STATEMENTS = "42"

# Without zone: that of the session may be the user's business ("convert_timezone").
_UTC_NOW = "convert_timezone('UTC', CAST(current_timestamp() AS TIMESTAMP_NTZ))"

# A backslash begins an escape in a literal, and two quotes in a row are nothing or one, by version
# and setting ("Literals"; spark.sql.legacy.consecutiveStringLiterals.enabled).
_ESCAPED = str.maketrans({"\\": "\\\\", "'": "\\'"})


class SparkSpelling(Spelling):
    """Spark's words for what the statements use."""

    def render_literal_value(self, value: Any, type_: TypeEngine[Any]) -> str:  # noqa: ANN401
        """Write a text so that it means itself."""
        if isinstance(value, str) and isinstance(type_, sa.String):
            text = text_literal(value)
            return text.replace("%", "%%") if self.preparer._double_percents else text
        return super().render_literal_value(value, type_)

    def visit_strpos_func(self, fn: Any, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's visitors
        """Write ``instr`` ("instr function")."""
        return f"instr{self.function_argspec(fn, **kw)}"

    def visit_over(self, over: Any, **kw: Any) -> str:  # noqa: ANN401 - as above
        """Give row_number() the order that it must have ("row_number ranking window function")."""
        return self.ordered_window(over, "1", **kw)

    def time_literal(self, text: str) -> str:
        """Write a time without zone ("TIMESTAMP_NTZ type")."""
        return f"TIMESTAMP_NTZ '{text}'"


class SparkSql(Sql):
    """Spark's spelling."""

    tokenizer = "spark"
    types: ClassVar = {
        **dict.fromkeys(("string", "varchar", "char"), Kind.TEXT),
        **dict.fromkeys(("tinyint", "smallint", "int", "bigint", "byte", "short"), Kind.INTEGER),
        **dict.fromkeys(("integer", "long"), Kind.INTEGER),
        **dict.fromkeys(("decimal", "numeric"), Kind.DECIMAL),
        **dict.fromkeys(("float", "double", "real"), Kind.FLOAT),
        "boolean": Kind.BOOLEAN,
        "timestamp_ntz": Kind.TIMESTAMP,
        "timestamp": Kind.INSTANT,
        "date": Kind.DATE,
        "variant": Kind.JSON,
        **dict.fromkeys(("struct", "map", "array"), Kind.NESTED),
        "binary": Kind.BINARY,
    }
    # Nested values are stored as JSON, see stored().
    read_as: ClassVar = {**Sql.read_as, Kind.NESTED: "json"}

    def kind(self, type_name: str) -> Kind:
        """Return the kind; ``array<...>`` and the like are nested."""
        return super().kind(type_name.partition("<")[0].partition(" ")[0])

    def kind_in_tables(self, column: SourceColumn) -> Kind:
        """Return text for what is stored as JSON."""
        return Kind.TEXT if column.kind in {Kind.JSON, Kind.NESTED} else column.kind

    def text_of(self, expression: Expression, column: SourceColumn) -> Expression:
        """Return the text of an identifier; bytes and what is nested have one of their own."""
        if column.kind is Kind.BINARY:
            return sa.literal("\\x") + sa.func.lower(sa.func.hex(expression))
        if column.kind in {Kind.JSON, Kind.NESTED}:
            return _as_json(expression)
        return super().text_of(expression, column)

    def stored(self, expression: Expression, column: SourceColumn) -> Expression:
        """Store nested values as JSON text: maps cannot be compared ("MAP type")."""
        if column.kind in {Kind.JSON, Kind.NESTED}:
            return _as_json(expression)
        return super().stored(expression, column)

    def comparable(self, now: SourceColumn, before: SourceColumn) -> bool:
        """Compare what is stored as JSON with anything that is."""
        as_json = {Kind.JSON, Kind.NESTED}
        return {now.kind, before.kind} <= as_json or super().comparable(now, before)

    def read(self, expression: Expression, column: SourceColumn) -> Expression:
        """Read a number of 32 bits with the digits that it has as one of 64."""
        single = column.type_name.lower() == "float"
        return sa.cast(expression, sa.Double) if single else expression

    def whole_second(self, expression: Expression, column: SourceColumn) -> Expression:
        """Cut it: a zone changes nothing about its seconds."""
        del column
        return sa.func.date_trunc("second", expression)

    def trimmed(self, expression: Expression) -> Expression:
        """Remove white space from both ends."""
        return sa.func.btrim(expression, WHITE_SPACE)

    def matches(self, expression: Expression, pattern: str) -> Expression:
        """Match by Java's regular expressions ("regexp_like function")."""
        return sa.func.regexp_like(expression, java(pattern))

    def json_text(self, expression: Expression, column: SourceColumn) -> Expression:
        """Return a value as JSON text: what is inside an array of it ("to_json function")."""
        if column.kind in {*TIMES, Kind.OTHER}:
            # As JSON a time has three digits of its second, and not every type has a form.
            expression = sa.cast(expression, sa.String)
        listed = sa.func.to_json(sa.func.array(expression, type_=sa.String))
        return sa.func.substr(listed, 2, sa.func.length(listed) - 2)

    def sum_of_hashes(self, values: Sequence[Expression]) -> Expression:
        """Add up 64-bit hashes of the rows as JSON: over columns, a NULL leaves no trace."""
        # "xxhash64 function".
        row = sa.func.to_json(sa.func.array(*(sa.cast(each, sa.String) for each in values)))
        summed = sa.func.sum(sa.cast(sa.func.xxhash64(row), sa.Numeric(38, 0)))
        return sa.cast(summed, sa.String)


def _as_json(expression: Expression) -> Expression:
    """Return a nested value as JSON, where a field that is NULL stays ("JSON Files", options)."""
    options = sa.func.map("ignoreNullFields", "false", type_=sa.String)
    return sa.func.to_json(expression, options, type_=sa.String)


def text_literal(text: str) -> str:
    """Return a text as a literal."""
    return f"'{text.translate(_ESCAPED)}'"


def quoted(*names: str | None) -> str:
    """Return a dotted name ("Identifiers"); None parts are left out."""
    return ".".join("`" + name.replace("`", "``") + "`" for name in names if name is not None)


def utc_now() -> Expression:
    """Return the engine's clock, in UTC, without time zone."""
    return sa.literal_column(_UTC_NOW, sa.DateTime)


def utc_after_now(seconds: float) -> Expression:
    """Return the engine's clock plus some seconds ("INTERVAL type")."""
    later = f"{_UTC_NOW} + INTERVAL '{float(seconds)}' SECOND"
    return sa.literal_column(later, sa.DateTime)


def plain_text(text: str, otherwise: str) -> str:
    """Return an error's message on one line when it speaks of the statement, else its name.

    Args:
        text: As the engine says it.
        otherwise: Its name when the engine gives it none.
    """
    name, states = _NAMED.search(text), list(_STATE.finditer(text))
    # A value that is quoted may hold a state, too: none of them may be another's.
    if name and states and all(each[1].startswith(_ABOUT_STATEMENTS) for each in states):
        # The server says the name twice, around that of a class.
        told = text[: states[0].start()]
        return " ".join(told[told.rindex(name[0]) :].split())
    kind = name[1] if name else otherwise
    return f"{kind} (the rest is hidden, as it may quote a row)"

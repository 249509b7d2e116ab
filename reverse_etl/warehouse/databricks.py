"""Databricks SQL, from its documentation: the statements were compared as text, never executed.

A statement takes effect by itself. So leases, runs and failed records need a control database. Our
tables are Delta tables whose columns are mapped by name, so that they may be called anything.

Sources: docs.databricks.com, "SQL language reference"; the pages are named where they are used.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.sql.compiler import DDLCompiler

from reverse_etl.warehouse.capabilities import Capabilities
from reverse_etl.warehouse.shape import Kind, SourceColumn
from reverse_etl.warehouse.sql import Expression, Sql
from reverse_etl.warehouse.untried import (
    ROWS_FETCHED,
    Spelling,
    UntriedSql,
    UntriedWarehouse,
    java,
    run_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    from sqlalchemy.exc import DBAPIError

# "Error conditions": a name in brackets, and at the end the SQLSTATE. What begins with 42 speaks of
# the statement, never of a row.
_NAMED = re.compile(r"\[([A-Z][A-Z0-9_.]*)\]")
_STATE = re.compile(r"SQLSTATE: ([0-9A-Z]{5})")
_NO_RIGHT = re.compile(r"PERMISSION_DENIED|INSUFFICIENT_PERMISSIONS|SQLSTATE: 42501")

# Without zone: that of the session is the user's business ("convert_timezone").
_UTC_NOW = "convert_timezone('UTC', CAST(current_timestamp() AS TIMESTAMP_NTZ))"


_NAMED_COLUMNS = "USING DELTA TBLPROPERTIES('delta.columnMapping.mode' = 'name')"


class DatabricksSpelling(Spelling):
    """Databricks' words for what the statements use."""

    def visit_strpos_func(self, fn: Any, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's visitors
        """Write ``instr`` ("instr function")."""
        return f"instr{self.function_argspec(fn, **kw)}"

    def visit_over(self, over: Any, **kw: Any) -> str:  # noqa: ANN401 - as above
        """Give row_number() the order that it must have ("row_number ranking window function")."""
        return self.ordered_window(over, "1", **kw)

    def time_literal(self, text: str) -> str:
        """Write a time without zone ("TIMESTAMP_NTZ type")."""
        return f"TIMESTAMP_NTZ '{text}'"


class DatabricksTables(DDLCompiler):
    """What a new table has, mixed into the compiler of the dialect."""

    def post_create_table(self, table: Any) -> str:  # noqa: ANN401 - SQLAlchemy's Table
        """Allow any name for a column ("Delta Lake column mapping")."""
        del table
        return f" {_NAMED_COLUMNS}"

    def create_table_select_suffixes(self, element: Any, type_: str, **kw: Any) -> str:  # noqa: ANN401
        """Allow the same where a table is made from a SELECT."""
        if type_ == "create_table_as":
            return _NAMED_COLUMNS
        return super().create_table_select_suffixes(element, type_, **kw)


class DatabricksSql(UntriedSql):
    """Databricks' spelling."""

    tokenizer = "databricks"
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
        return super().kind(type_name.partition("<")[0])

    def stored(self, expression: Expression, column: SourceColumn) -> Expression:
        """Store nested values as JSON text: maps cannot be compared ("MAP type")."""
        if column.kind in {Kind.JSON, Kind.NESTED}:
            return sa.func.to_json(expression)
        return super().stored(expression, column)

    def matches(self, expression: Expression, pattern: str) -> Expression:
        """Match by Java's regular expressions ("regexp_like function")."""
        return sa.func.regexp_like(expression, java(pattern))

    def json_text(self, expression: Expression, column: SourceColumn) -> Expression:
        """Return a value as JSON text: what is inside an array of it ("to_json function")."""
        del column
        listed = sa.func.to_json(sa.func.array(expression, type_=sa.String))
        return sa.func.substr(listed, 2, sa.func.length(listed) - 2)

    def sum_of_hashes(self, values: Sequence[Expression]) -> Expression:
        """Add up 64-bit hashes of the rows as JSON: over columns, a NULL leaves no trace."""
        # "xxhash64 function".
        row = sa.func.to_json(sa.func.array(*(sa.cast(each, sa.String) for each in values)))
        summed = sa.func.sum(sa.cast(sa.func.xxhash64(row), sa.Numeric(38, 0)))
        return sa.cast(summed, sa.String)


class DatabricksWarehouse(UntriedWarehouse):
    """A schema in Unity Catalog: ``databricks://token:…@host?http_path=…&catalog=…&schema=…``."""

    service = "Databricks"
    extra = "databricks"
    sql = DatabricksSql()
    spelling = DatabricksSpelling
    inserts_literals = True  # "Parameter markers": no more than 256
    capabilities = Capabilities(
        # "ACID guarantees": of one table at a time.
        transactions=False,
        transactional_ddl=False,
        temporary_tables=False,
        # "Names": 255 characters.
        longest_name=255,
    )

    def adapt(self, dialect: sa.Dialect) -> None:
        """Teach the dialect its spelling, of new tables too."""
        super().adapt(dialect)
        dialect.ddl_compiler = type("DDL", (DatabricksTables, dialect.ddl_compiler), {})

    def columns_of(self, native: Any, query: str) -> list[tuple[str, str]]:  # noqa: ANN401
        """Let the engine analyse the query ("DESCRIBE QUERY")."""
        return [(row[0], row[1]) for row in run_text(native, f"DESCRIBE QUERY {query}")]

    def pieces(self, native: Any, statement: str) -> Iterator[pa.Table]:  # noqa: ANN401
        """Fetch Arrow ("Databricks SQL Connector for Python", fetchmany_arrow)."""
        cursor = native.cursor()
        try:
            cursor.execute(statement)
            piece = cursor.fetchmany_arrow(ROWS_FETCHED)
            yield piece
            while piece.num_rows:
                piece = cursor.fetchmany_arrow(ROWS_FETCHED)
                if piece.num_rows:
                    yield piece
        finally:
            cursor.close()

    def source_query(self, query: str | None, table: str | None, relation: str | None) -> str:
        """Return the SELECT of a source; a table is quoted with backticks here ("Names")."""
        if query is None and table is not None:
            parts = (f"`{part.replace('`', '``')}`" for part in table.split("."))
            return f"SELECT * FROM {'.'.join(parts)}"  # noqa: S608 - quoted
        return super().source_query(query, table, relation)

    def now_expression(self) -> Expression:
        """Return the service's clock."""
        return sa.literal_column(_UTC_NOW, sa.DateTime)

    def after_now(self, seconds: float) -> Expression:
        """Return the service's clock plus some seconds ("INTERVAL type")."""
        later = f"{_UTC_NOW} + INTERVAL '{float(seconds)}' SECOND"
        return sa.literal_column(later, sa.DateTime)

    def missing_rights(self, error: DBAPIError) -> str | None:
        """Name the statements that let this principal in ("Privileges and securable objects")."""
        if not _NO_RIGHT.search(str(error.orig)):
            return None
        catalog = f"`{self.url.query.get('catalog', '…')}`"
        schema = f"{catalog}.`{self.schema}`"
        return "\n".join(
            [
                f"  GRANT USE CATALOG ON CATALOG {catalog} TO `…`;",
                f"  CREATE SCHEMA IF NOT EXISTS {schema};",
                f"  GRANT USE SCHEMA, CREATE TABLE, SELECT, MODIFY ON SCHEMA {schema} TO `…`;",
                "and for each schema that the query reads:",
                f"  GRANT USE SCHEMA, SELECT ON SCHEMA {catalog}.`…` TO `…`;",
            ],
        )

    def plain_reason(self, error: BaseException | None) -> str:
        """Return the service's message when it speaks of the statement, else only its name."""
        text = str(error)
        name, state = _NAMED.search(text), _STATE.search(text)
        if state and state[1].startswith("42"):
            return " ".join(text.splitlines()[0].split())
        kind = name[1] if name else type(error).__name__
        return f"{kind} (the rest is hidden, as it may quote a row)"

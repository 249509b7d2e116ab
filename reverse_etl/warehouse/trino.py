"""Trino, from its documentation: the statements were compared as text, never executed.

A statement takes effect by itself, so leases, runs and failed records need a control database. Our
schema must lie in a catalog whose connector can make, change and delete from tables and has views:
Iceberg or Delta Lake.

Sources: trino.io/docs/current; the pages are named where they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.sql.compiler import GenericTypeCompiler

from reverse_etl.warehouse.capabilities import Capabilities
from reverse_etl.warehouse.shape import Kind, SourceColumn
from reverse_etl.warehouse.spelling import Spelling, java
from reverse_etl.warehouse.sql import Expression, Sql
from reverse_etl.warehouse.untried import UntriedSql, UntriedWarehouse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.exc import DBAPIError

_NO_RIGHT = "PERMISSION_DENIED"

# Names of errors whose messages speak of the statement, never of a row.
# Source: io.trino.spi.StandardErrorCode.
_ABOUT_STATEMENTS = frozenset(
    {
        *("AMBIGUOUS_NAME", "CATALOG_NOT_FOUND", "COLUMN_NOT_FOUND", "DUPLICATE_COLUMN_NAME"),
        *("EXPRESSION_NOT_AGGREGATE", "FUNCTION_NOT_FOUND", "MISSING_CATALOG_NAME"),
        *("MISSING_COLUMN_NAME", "MISSING_SCHEMA_NAME", "MISSING_TABLE", "NOT_SUPPORTED"),
        *("PERMISSION_DENIED", "SCHEMA_NOT_FOUND", "SYNTAX_ERROR", "TABLE_ALREADY_EXISTS"),
        *("TABLE_NOT_FOUND", "TYPE_MISMATCH"),
    },
)

_UTC_NOW = "CAST(current_timestamp AT TIME ZONE 'UTC' AS TIMESTAMP(6))"


class TrinoSpelling(Spelling):
    """Trino's words for what the statements use."""

    def visit_md5_func(self, fn: Any, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's visitors
        """Hash bytes: of a text there is no hash ("Binary functions and operators")."""
        (text,) = (self.process(each, **kw) for each in fn.clauses)
        return f"md5(to_utf8({text}))"

    def visit_btrim_func(self, fn: Any, **kw: Any) -> str:  # noqa: ANN401 - as above
        """Name the characters as the SQL standard does ("String functions and operators")."""
        text, characters = (self.process(each, **kw) for each in fn.clauses)
        return f"TRIM(BOTH {characters} FROM {text})"


class TrinoTypes(GenericTypeCompiler):
    """Trino's words for types, mixed into the compiler of its SQLAlchemy dialect."""

    def visit_DATETIME(self, type_: Any, **kw: Any) -> str:  # noqa: ANN401, N802 - SQLAlchemy's visitors
        """Keep microseconds: the default is three digits ("Data types")."""
        del type_, kw
        return "TIMESTAMP(6)"


class TrinoSql(UntriedSql):
    """Trino's spelling."""

    tokenizer = "trino"
    decimals_as_text = True
    types: ClassVar = {
        **dict.fromkeys(("varchar", "char"), Kind.TEXT),
        **dict.fromkeys(("tinyint", "smallint", "integer", "bigint"), Kind.INTEGER),
        "decimal": Kind.DECIMAL,
        **dict.fromkeys(("real", "double"), Kind.FLOAT),
        "boolean": Kind.BOOLEAN,
        "date": Kind.DATE,
        "json": Kind.JSON,
        **dict.fromkeys(("row", "array", "map"), Kind.NESTED),
        "varbinary": Kind.BINARY,
    }
    # Nested values are stored as JSON, see stored().
    read_as: ClassVar = {**Sql.read_as, Kind.NESTED: "json"}

    def kind(self, type_name: str) -> Kind:
        """Return the kind; a timestamp carries its precision inside."""
        if type_name.lower().startswith("timestamp"):
            zoned = type_name.lower().endswith("with time zone")
            return Kind.INSTANT if zoned else Kind.TIMESTAMP
        return super().kind(type_name)

    def stored(self, expression: Expression, column: SourceColumn) -> Expression:
        """Store nested values as JSON text ("JSON functions and operators")."""
        if column.kind is Kind.JSON:
            return sa.func.json_format(expression)
        if column.kind is Kind.NESTED:
            return _as_json(expression)
        return super().stored(expression, column)

    def matches(self, expression: Expression, pattern: str) -> Expression:
        """Match by Java's regular expressions ("Regular expression functions")."""
        return sa.func.regexp_like(expression, java(pattern))

    def json_text(self, expression: Expression, column: SourceColumn) -> Expression:
        """Return a value as JSON text."""
        del column
        return sa.func.coalesce(_as_json(expression), "null")

    def sum_of_hashes(self, values: Sequence[Expression]) -> Expression:
        """Let the engine hash the rows in any order ("Aggregate functions", checksum)."""
        return sa.func.to_hex(sa.func.checksum(sa.func.row(*values)))


def _as_json(expression: Expression) -> Expression:
    return sa.func.json_format(sa.cast(expression, sa.JSON))


class TrinoWarehouse(UntriedWarehouse):
    """A schema in a catalog: ``trino://user:password@host:443/catalog``."""

    service = "Trino"
    extra = "trino"
    sql = TrinoSql()
    spelling = TrinoSpelling
    inserts_literals = True  # a statement with parameters may travel in an HTTP header
    capabilities = Capabilities(
        # "START TRANSACTION": hardly a connector writes in one.
        transactions=False,
        transactional_ddl=False,
        temporary_tables=False,
        # What the metastores below it have room for.
        longest_name=128,
    )

    def adapt(self, dialect: sa.Dialect) -> None:
        """Teach the dialect its spelling, of types too."""
        super().adapt(dialect)
        types = type("Types", (TrinoTypes, type(dialect.type_compiler_instance)), {})
        dialect.type_compiler_instance = types(dialect)

    def columns_of(self, native: Any, query: str) -> list[tuple[str, str]]:  # noqa: ANN401
        """Let the engine analyse the query ("DESCRIBE OUTPUT")."""
        cursor = native.cursor()
        try:
            return [(column.name, column.type) for column in cursor.describe(query)]
        finally:
            cursor.close()

    def now_expression(self) -> Expression:
        """Return the coordinator's clock."""
        return sa.literal_column(_UTC_NOW, sa.DateTime)

    def after_now(self, seconds: float) -> Expression:
        """Return the coordinator's clock plus some seconds ("date_add")."""
        later = f"date_add('millisecond', {round(seconds * 1000)}, {_UTC_NOW})"
        return sa.literal_column(later, sa.DateTime)

    def missing_rights(self, error: DBAPIError) -> str | None:
        """Name the statements that let this user in ("GRANT privilege")."""
        if getattr(error.orig, "error_name", None) != _NO_RIGHT:
            return None
        user = f'"{self.url.username or "…"}"'
        schema = f'"{self.schema}"'
        return "\n".join(
            [
                f"  CREATE SCHEMA IF NOT EXISTS {schema};",
                f"  GRANT CREATE ON SCHEMA {schema} TO USER {user};",
                f'  GRANT SELECT, INSERT, DELETE ON TABLE {schema}."…" TO USER {user};',
                "and for each table that the query reads:",
                f'  GRANT SELECT ON TABLE "…"."…" TO USER {user};',
                "where the catalog is governed by access control rules, the same in its rules",
            ],
        )

    def plain_reason(self, error: BaseException | None) -> str:
        """Return the engine's message when it speaks of the statement, else only its name."""
        name = getattr(error, "error_name", None)
        if name in _ABOUT_STATEMENTS:
            return " ".join(str(getattr(error, "message", "")).split())
        kind = name or type(error).__name__
        return f"{kind} (the rest is hidden, as it may quote a row)"

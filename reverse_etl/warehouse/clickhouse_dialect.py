"""What our tables and statements need beside what the driver's SQLAlchemy dialect knows.

Mixed into its compilers. Every column can hold NULL, every value is written into the statement
(ClickHouse has no prepared ones, and the driver would look for its own parameters, ``{name:Type}``,
in the user's query), and tables are MergeTrees ordered by what they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.sql.compiler import DDLCompiler, GenericTypeCompiler, SQLCompiler

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

# What a table is asked for, the first that it has. Source: ClickHouse documentation, "MergeTree",
# ORDER BY; "MergeTree tables settings", allow_nullable_key.
_ORDERS = (
    ("_seq",),
    ("seq",),
    ("sync_name", "sync_run_id"),
    ("_identity",),
    ("_handle",),
)


class ClickHouseTypes(GenericTypeCompiler):
    """The names of types; all of them may be NULL."""

    def process(self, type_: Any, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's visitors
        """Let a value of the type be NULL, which is no matter of course here."""
        return f"Nullable({super().process(type_, **kw)})"

    def visit_VARCHAR(self, type_: Any, **kw: Any) -> str:  # noqa: ANN401, N802 - as above
        """Write a text: of any length, of any bytes."""
        del type_, kw
        return "String"

    visit_CHAR = visit_TEXT = visit_CLOB = visit_BLOB = visit_VARCHAR  # noqa: N815 - as above

    def visit_BIGINT(self, type_: Any, **kw: Any) -> str:  # noqa: ANN401, N802 - as above
        """Write an integer of 64 bits."""
        del type_, kw
        return "Int64"

    def visit_INTEGER(self, type_: Any, **kw: Any) -> str:  # noqa: ANN401, N802 - as above
        """Write an integer of 32 bits."""
        del type_, kw
        return "Int32"

    def visit_DOUBLE(self, type_: Any, **kw: Any) -> str:  # noqa: ANN401, N802 - as above
        """Write a double."""
        del type_, kw
        return "Float64"

    visit_FLOAT = visit_DOUBLE_PRECISION = visit_DOUBLE  # noqa: N815 - as above

    def visit_NUMERIC(self, type_: Any, **kw: Any) -> str:  # noqa: ANN401, N802 - as above
        """Write a decimal; one without a precision has all that there is."""
        del kw
        precision, scale = type_.precision or 76, 30 if type_.precision is None else type_.scale
        return f"Decimal({precision}, {scale or 0})"

    def visit_BOOLEAN(self, type_: Any, **kw: Any) -> str:  # noqa: ANN401, N802 - as above
        """Write a boolean."""
        del type_, kw
        return "Bool"

    def visit_DATE(self, type_: Any, **kw: Any) -> str:  # noqa: ANN401, N802 - as above
        """Write a date: one of 32 bits begins in 1900, and not in 1970."""
        del type_, kw
        return "Date32"

    def visit_DATETIME(self, type_: Any, **kw: Any) -> str:  # noqa: ANN401, N802 - as above
        """Write a time: an instant, shown in UTC. There is none without zone."""
        del type_, kw
        return "DateTime64(6, 'UTC')"

    visit_TIMESTAMP = visit_DATETIME  # noqa: N815 - as above


class ClickHouseSpelling(SQLCompiler):
    """ClickHouse's words for what the statements use."""

    def visit_bindparam(self, *args: Any, **kw: Any) -> Any:  # noqa: ANN401 - as above
        """Write every value into the statement."""
        return super().visit_bindparam(*args, **{**kw, "literal_binds": True})  # type: ignore[no-untyped-call]

    def render_literal_value(self, value: Any, type_: Any) -> str:  # noqa: ANN401 - as above
        """Write a time as an instant in UTC."""
        if value is not None and isinstance(type_, sa.DateTime):
            return f"toDateTime64('{value.isoformat(' ', 'microseconds')}', 6, 'UTC')"
        if isinstance(type_, sa.types.NullType):
            # Of a name, for one: SQLAlchemy has a class of its own for those.
            type_ = sa.String() if isinstance(value, str) else sa.literal(value).type
        return super().render_literal_value(value, type_)

    def visit_length_func(self, fn: Any, **kw: Any) -> str:  # noqa: ANN401 - as above
        """Count characters: ``length`` counts bytes."""
        return f"lengthUTF8{self.function_argspec(fn, **kw)}"

    def visit_strpos_func(self, fn: Any, **kw: Any) -> str:  # noqa: ANN401 - as above
        """Find a text in another."""
        return f"position{self.function_argspec(fn, **kw)}"

    def visit_md5_func(self, fn: Any, **kw: Any) -> str:  # noqa: ANN401 - as above
        """Write a digest."""
        return f"MD5{self.function_argspec(fn, **kw)}"


class ClickHouseTables(DDLCompiler):
    """How our tables are made."""

    def visit_create_schema(self, create: Any, **kw: Any) -> str:  # noqa: ANN401 - as above
        """Make a database, unless it is there."""
        del kw
        return f"CREATE DATABASE IF NOT EXISTS {self.preparer.quote(create.element)}"

    def visit_create_table(self, create: Any, **kw: Any) -> str:  # noqa: ANN401 - as above
        """Make an empty table."""
        del kw
        table, types = create.element, self.dialect.type_compiler_instance
        columns = ", ".join(
            f"{self.preparer.quote(column.name)} {types.process(column.type)}"
            for column in table.columns
        )
        unless = "IF NOT EXISTS " if create.if_not_exists else ""
        place = self.preparer.format_table(table)
        kept = self._kept(column.name for column in table.columns)
        return f"CREATE TABLE {unless}{place} ({columns}) {kept}"

    def create_table_select_suffixes(self, element: Any, type_: str, **kw: Any) -> str:  # noqa: ANN401
        """Say how a table is kept that is made from a SELECT."""
        if type_ != "create_table_as":
            return str(super().create_table_select_suffixes(element, type_, **kw))
        return self._kept(column.name for column in element.selectable.selected_columns)

    def _kept(self, names: Iterable[str]) -> str:
        known = set(names)
        order = next((order for order in _ORDERS if known.issuperset(order)), ())
        by = ", ".join(map(self.preparer.quote, order))
        nullable = " SETTINGS allow_nullable_key = 1" if by else ""
        return (
            f"ENGINE = MergeTree ORDER BY ({by}){nullable}"
            if by
            else ("ENGINE = MergeTree ORDER BY tuple()")
        )


def quoted(*names: str | None) -> str:
    """Return a dotted name as ClickHouse reads it ("Syntax", identifiers).

    Args:
        names: Its parts; None parts are left out.
    """
    parts = (name.replace("\\", "\\\\").replace("`", "\\`") for name in names if name is not None)
    return ".".join(f"`{part}`" for part in parts)


def adapt(dialect: Any) -> None:  # noqa: ANN401 - the driver's dialect, which has no types
    """Teach the driver's SQLAlchemy dialect all of this."""
    dialect.statement_compiler = type(
        "Compiler", (ClickHouseSpelling, dialect.statement_compiler), {}
    )
    dialect.ddl_compiler = type("DDL", (ClickHouseTables, dialect.ddl_compiler), {})
    dialect.type_compiler_instance = ClickHouseTypes(dialect)
    # The driver's leaves a name alone that begins and ends with a quote of its own.
    dialect.identifier_preparer.quote_identifier = quoted
    # The driver's list views among the tables, and fail where there is no such database.
    dialect.get_table_names = _table_names
    dialect.has_table = _has_table


_TABLES = sa.table(
    "tables", sa.column("database"), sa.column("name"), sa.column("engine"), schema="system"
)


def _table_names(connection: Connection, schema: str | None = None, **kw: object) -> list[str]:
    del kw
    chosen = sa.select(_TABLES.c.name).where(
        _TABLES.c.database == schema, sa.not_(_TABLES.c.engine.endswith("View"))
    )
    return [name for (name,) in connection.execute(chosen)]


def _has_table(
    connection: Connection, table_name: str, schema: str | None = None, **kw: object
) -> bool:
    return table_name in _table_names(connection, schema, **kw)

"""Amazon Redshift, from its documentation: the statements were compared as text, never executed.

It comes from PostgreSQL 8, and is not it: no ``IS DISTINCT FROM`` is documented, a text without a
length has room for 256 bytes, and a backslash in a literal may be an escape. Its transactions are
serializable and hold DDL too, so it needs no control database; of two that change one table at once
the later one waits, and may then be refused.

Sources: docs.aws.amazon.com/redshift/latest/dg; the pages are named where they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.sql.compiler import GenericTypeCompiler

from reverse_etl.warehouse.base import quoted
from reverse_etl.warehouse.capabilities import Capabilities
from reverse_etl.warehouse.shape import TIMES, Kind, SourceColumn
from reverse_etl.warehouse.spelling import Spelling, posix
from reverse_etl.warehouse.sql import Expression
from reverse_etl.warehouse.untried import UntriedSql, UntriedWarehouse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    from sqlalchemy import Connection, TableClause
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.types import TypeEngine

# Bytes; more than that no text has ("Character types").
_LONGEST_TEXT = 65_535

_NO_RIGHT = "42501"

# Classes of SQLSTATE whose messages speak of the statement or the server, never of a row.
_ABOUT_STATEMENTS = ("08", "25", "28", "3D", "3F", "40", "42", "53", "55", "57")

# "GETDATE": in the zone of the session, which is the user's business.
_UTC_NOW = "CAST(GETDATE() AS TIMESTAMPTZ) AT TIME ZONE 'UTC'"


class RedshiftSpelling(Spelling):
    """Redshift's words for what the statements use."""

    def visit_is_distinct_from_binary(self, binary: Any, _operator: Any, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's visitors
        """Compare so that two NULLs are equal; the answer is never NULL."""
        left, right = self.process(binary.left, **kw), self.process(binary.right, **kw)
        # With a NULL on either side the comparison is NULL, and then only who is NULL matters.
        return f"coalesce({left} <> {right}, ({left} IS NULL) <> ({right} IS NULL))"

    def visit_is_not_distinct_from_binary(self, binary: Any, _operator: Any, **kw: Any) -> str:  # noqa: ANN401 - as above
        """Compare so that two NULLs are equal; the answer is never NULL."""
        left, right = self.process(binary.left, **kw), self.process(binary.right, **kw)
        return f"coalesce({left} = {right}, ({left} IS NULL) = ({right} IS NULL))"

    def render_literal_value(self, value: Any, type_: TypeEngine[Any]) -> str:  # noqa: ANN401 - as above
        r"""Write a backslash as ``CHR(92)``, which is the same whatever it means in a literal.

        "POSIX operators" doubles it, so there it is an escape; nothing says so of literals.
        """
        if not (isinstance(value, str) and "\\" in value):
            return super().render_literal_value(value, type_)
        parts = (
            super(RedshiftSpelling, self).render_literal_value(part, type_)
            for part in value.split("\\")
        )
        return f"({' || CHR(92) || '.join(parts)})"


class RedshiftTypes(GenericTypeCompiler):
    """Redshift's words for types, mixed into the compiler of its SQLAlchemy dialect."""

    def visit_VARCHAR(self, type_: Any, **kw: Any) -> str:  # noqa: ANN401, N802 - SQLAlchemy's visitors
        """Give a text all the room there is: the default is 256 bytes ("Character types")."""
        if type_.length is None:
            return f"VARCHAR({_LONGEST_TEXT})"
        return super().visit_VARCHAR(type_, **kw)

    visit_TEXT = visit_VARCHAR  # noqa: N815 - as above; TEXT is VARCHAR(256) here


class RedshiftSql(UntriedSql):
    """Redshift's spelling."""

    tokenizer = "redshift"
    decimals_as_text = True
    # The driver's names (redshift_connector.utils.oids), then those of information_schema.
    types: ClassVar = {
        **dict.fromkeys(("string", "bpchar", "text", "char", "name", "unknown"), Kind.TEXT),
        **dict.fromkeys(("character varying", "character"), Kind.TEXT),
        **dict.fromkeys(("smallint", "integer", "bigint"), Kind.INTEGER),
        "numeric": Kind.DECIMAL,
        **dict.fromkeys(("real", "float", "double precision"), Kind.FLOAT),
        "boolean": Kind.BOOLEAN,
        "date": Kind.DATE,
        **dict.fromkeys(("timestamp", "timestamp without time zone"), Kind.TIMESTAMP),
        **dict.fromkeys(("timestamptz", "timestamp with time zone"), Kind.INSTANT),
        "super": Kind.JSON,
        **dict.fromkeys(("varbyte", "bytes"), Kind.BINARY),
    }

    def text_of(self, expression: Expression, column: SourceColumn) -> Expression:
        """Return a value as text; no CAST turns a boolean into one ("Type compatibility")."""
        if column.kind is Kind.BOOLEAN:
            return sa.case((expression, "true"), (~expression, "false"))
        return super().text_of(expression, column)

    def stored(self, expression: Expression, column: SourceColumn) -> Expression:
        """Store SUPER as JSON text ("JSON_SERIALIZE")."""
        if column.kind is Kind.JSON:
            return sa.func.json_serialize(expression)
        return super().stored(expression, column)

    def matches(self, expression: Expression, pattern: str) -> Expression:
        """Match with POSIX classes, one line.

        "POSIX operators" says of ``$`` both that it is the end of a line and that of the string.
        """
        one_line = sa.func.strpos(expression, sa.func.chr(10)) == 0
        return sa.and_(one_line, expression.regexp_match(posix(pattern)))

    def json_text(self, expression: Expression, column: SourceColumn) -> Expression:
        """Return a value as JSON text: what is inside an array of it ("ARRAY function")."""
        if column.kind in {Kind.DATE, *TIMES}:  # not into SUPER, says the same page
            expression = sa.cast(expression, sa.String)
        listed = sa.func.json_serialize(sa.func.array(expression, type_=sa.String))
        return sa.func.substring(listed, 2, sa.func.length(listed) - 2)

    def sum_of_hashes(self, values: Sequence[Expression]) -> Expression:
        """Add up 64-bit hashes, each seeded with the one before ("FNV_HASH")."""
        hashed: Expression | None = None
        for value in values:
            text = sa.func.coalesce(sa.literal("=") + sa.cast(value, sa.String), "")
            hashed = sa.func.fnv_hash(text) if hashed is None else sa.func.fnv_hash(text, hashed)
        return sa.cast(sa.func.sum(sa.cast(hashed, sa.Numeric(38, 0))), sa.String)


class RedshiftWarehouse(UntriedWarehouse):
    """A database in Redshift: ``redshift://user:password@host:5439/database``."""

    service = "Redshift"
    extra = "redshift"
    sql = RedshiftSql()
    spelling = RedshiftSpelling
    # "Names and identifiers": 127 bytes.
    capabilities = Capabilities(longest_name=127)

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as the base
        """Read the URL; a bare ``redshift://`` means the driver of Amazon."""
        super().__init__(*args, **kwargs)
        if self.url.drivername == "redshift":
            self.url = self.url.set(drivername="redshift+redshift_connector")

    def adapt(self, dialect: sa.Dialect) -> None:
        """Teach the dialect its spelling, of types too."""
        super().adapt(dialect)
        types = type("Types", (RedshiftTypes, type(dialect.type_compiler_instance)), {})
        # Under both names: its own code uses the old one.
        dialect.type_compiler = dialect.type_compiler_instance = types(dialect)

    def columns_of(self, native: Any, query: str) -> list[tuple[str, str]]:  # noqa: ANN401
        """Ask for no rows and read the types of the columns."""
        wrapped = f"SELECT * FROM (\n{query}\n) described LIMIT 0"  # noqa: S608 - the user's own
        cursor = native.cursor()
        try:
            cursor.execute(_doubled(wrapped))
            found = [(str(column[0]), _type_name(column[1])) for column in cursor.description]
        finally:
            cursor.close()
        return found

    def pieces(self, native: Any, statement: str) -> Iterator[pa.Table]:  # noqa: ANN401
        """Fetch rows: the driver reads percent signs also without parameters."""
        return super().pieces(native, _doubled(statement))

    def kind_of(self, type_code: Any) -> Kind:  # noqa: ANN401 - a number
        """Return the kind of a column of a result."""
        return self.sql.kind(_type_name(type_code))

    def finish_table(self, connection: Connection, table: TableClause, *, by: str | None) -> None:
        """Gather statistics ("ANALYZE")."""
        del by
        connection.exec_driver_sql(f"ANALYZE {_doubled(quoted(table.schema, table.name))}")

    def now_expression(self) -> Expression:
        """Return the server's clock, which goes on inside a transaction."""
        return sa.literal_column(_UTC_NOW, sa.DateTime)

    def after_now(self, seconds: float) -> Expression:
        """Return the server's clock plus some seconds ("DATEADD")."""
        later = f"DATEADD(millisecond, {round(seconds * 1000)}, {_UTC_NOW})"
        return sa.literal_column(later, sa.DateTime)

    def missing_rights(self, error: DBAPIError) -> str | None:
        """Name the statements that let this user in ("GRANT")."""
        if _told(error.orig).get("C") != _NO_RIGHT:
            return None
        user, database = quoted(self.url.username or "…"), quoted(self.url.database or "…")
        schema = quoted(self.schema)
        return "\n".join(
            [
                f"  CREATE SCHEMA IF NOT EXISTS {schema};",
                f"  GRANT USAGE, CREATE ON SCHEMA {schema} TO {user};",
                f"  GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {user};",
                f"  GRANT TEMPORARY ON DATABASE {database} TO {user};",
                "and for each schema that the query reads:",
                f'  GRANT USAGE ON SCHEMA "…" TO {user};',
                f'  GRANT SELECT ON ALL TABLES IN SCHEMA "…" TO {user};',
            ],
        )

    def plain_reason(self, error: BaseException | None) -> str:
        """Return the server's message when it speaks of the statement, else only its SQLSTATE."""
        told = _told(error)
        state = str(told.get("C", ""))
        if state.startswith(_ABOUT_STATEMENTS):
            return " ".join(str(told.get("M", "")).split())
        kind = type(error).__name__
        return f"{kind}, SQLSTATE {state or '?'} (the rest is hidden, as it may quote a row)"


def _doubled(statement: str) -> str:
    return statement.replace("%", "%%")


def _type_name(oid: int) -> str:
    """Return the driver's name of a type."""
    known = import_module("redshift_connector.utils.oids").RedshiftOID
    return str(known(oid).name).lower() if oid in set(known) else f"type {oid}"


def _told(error: BaseException | None) -> dict[str, Any]:
    """Return what the server told, by the letters of PostgreSQL's protocol."""
    first = error.args[0] if error is not None and error.args else None
    return first if isinstance(first, dict) else {}

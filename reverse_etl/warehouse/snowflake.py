"""Snowflake, from its documentation: the statements were compared as text, and on an emulator.

Every name of ours is quoted and stays in small letters; of the user's columns the engine says how
they are spelled. Every statement that makes or drops a table commits what was open before it, so
nothing that has to take effect together is kept here: a control database is needed.

Sources: docs.snowflake.com, "SQL command reference" and "SQL function reference"; the pages are
named where they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import sqlalchemy as sa

from reverse_etl.warehouse.base import quoted
from reverse_etl.warehouse.capabilities import Capabilities
from reverse_etl.warehouse.shape import Kind, SourceColumn
from reverse_etl.warehouse.spelling import Spelling, posix
from reverse_etl.warehouse.sql import WHITE_SPACE, Expression
from reverse_etl.warehouse.untried import UntriedSql, UntriedWarehouse

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from sqlalchemy import Connection, Engine
    from sqlalchemy.exc import DBAPIError

# "Insufficient privileges to operate on ...". What one may not see "does not exist or not
# authorized", which says enough of itself.
_NO_RIGHT = 3001

# Parameters of the driver that its SQLAlchemy dialect does not take from a URL, lest somebody else
# has a say in it; ours is the config's. Source: snowflake.connector.connect, parameters.
_HANDED_ON = ("private_key_file", "protocol", "token_file_path")

# SQLSTATE classes whose messages speak of the statement or the connection, never of a row.
_ABOUT_STATEMENTS = ("08", "42", "57")


class SnowflakeSpelling(Spelling):
    """Snowflake's words for functions that the statements use."""

    def visit_strpos_func(self, fn: Any, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's visitors
        """Write ``CHARINDEX``, whose arguments are the other way round ("CHARINDEX")."""
        text, part = (self.process(each, **kw) for each in fn.clauses)
        return f"CHARINDEX({part}, {text})"

    def visit_over(self, over: Any, **kw: Any) -> str:  # noqa: ANN401 - as above
        """Give row_number() the order that it must have ("ROW_NUMBER")."""
        return self.ordered_window(over, "NULL", **kw)

    def time_literal(self, text: str) -> str:
        """Name the type: a bare TIMESTAMP is whatever the account says ("Date & time")."""
        return f"CAST('{text}' AS TIMESTAMP_NTZ)"


class SnowflakeSql(UntriedSql):
    """Snowflake's spelling."""

    tokenizer = "snowflake"
    # The driver's names of types (snowflake.connector.constants.FIELD_ID_TO_NAME), then those of
    # information_schema.
    types: ClassVar = {
        "text": Kind.TEXT,
        "varchar": Kind.TEXT,
        "real": Kind.FLOAT,
        "float": Kind.FLOAT,
        "double": Kind.FLOAT,
        "boolean": Kind.BOOLEAN,
        "date": Kind.DATE,
        "timestamp_ntz": Kind.TIMESTAMP,
        "timestamp_ltz": Kind.INSTANT,
        "timestamp_tz": Kind.INSTANT,
        **dict.fromkeys(("variant", "object", "array", "map"), Kind.JSON),
        "binary": Kind.BINARY,
        # information_schema tells the scale elsewhere; what this is asked of there is our own.
        "number": Kind.INTEGER,
    }

    def kind(self, type_name: str) -> Kind:
        """Return the kind; a number without digits after its point is an integer."""
        if type_name.lower().startswith("fixed"):
            return Kind.INTEGER if type_name.endswith(",0)") else Kind.DECIMAL
        return super().kind(type_name)

    def stored(self, expression: Expression, column: SourceColumn) -> Expression:
        """Store semi-structured values as JSON text ("TO_JSON")."""
        if column.kind is Kind.JSON:
            return _as_json(expression)
        return super().stored(expression, column)

    def trimmed(self, expression: Expression) -> Expression:
        """Remove white space from both ends ("TRIM")."""
        return sa.func.trim(expression, WHITE_SPACE)

    def matches(self, expression: Expression, pattern: str) -> Expression:
        """Match with POSIX classes, the only ones that are documented inside brackets.

        Source: "String functions (regular expressions)", "General usage notes".
        """
        return sa.func.regexp_like(expression, posix(pattern))

    def json_text(self, expression: Expression, column: SourceColumn) -> Expression:
        """Return a value as JSON text."""
        del column
        return sa.func.coalesce(_as_json(expression), "null")

    def sum_of_hashes(self, values: Sequence[Expression]) -> Expression:
        """Let the engine hash the rows in any order ("HASH_AGG")."""
        return sa.cast(sa.func.hash_agg(*values), sa.String)


def _as_json(expression: Expression) -> Expression:
    return sa.func.to_json(sa.func.to_variant(expression))


class SnowflakeWarehouse(UntriedWarehouse):
    """A schema in Snowflake: ``snowflake://user@account/database?warehouse=…&private_key_file=…``."""

    service = "Snowflake"
    extra = "snowflake"
    sql = SnowflakeSql()
    spelling = SnowflakeSpelling
    capabilities = Capabilities(
        # "Transactions": a DDL statement, CREATE TABLE AS among them, commits the open one.
        transactions=False,
        transactional_ddl=False,
        # They would lie in the schema of the session, which is the user's business.
        temporary_tables=False,
        # "Identifier requirements": 255 characters.
        longest_name=255,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as the base
        """Read the URL; take out of it what the dialect refuses there, to be handed on."""
        super().__init__(*args, **kwargs)
        query = dict(self.url.query)
        self._handed_on = {name: query.pop(name) for name in _HANDED_ON if name in query}
        self.url = self.url.set(query=query)

    def make_engine(self) -> Engine:
        """Return the engine."""
        engine = super().make_engine()
        sa.event.listen(engine, "do_connect", self._hand_on)
        return engine

    def _hand_on(self, _dialect: object, _record: object, _args: object, named: Any) -> None:  # noqa: ANN401 - a dict
        named.update(self._handed_on)

    def adapt(self, dialect: sa.Dialect) -> None:
        """Quote every name, so that each means just its letters ("Identifier requirements")."""
        super().adapt(dialect)
        # On the object: the dialect's helpers for names keep a reference to it.
        setattr(dialect.identifier_preparer, "_requires_quotes", lambda _name: True)  # noqa: B010

    def columns_of(self, native: Any, query: str) -> list[tuple[str, str]]:  # noqa: ANN401
        """Let the driver describe the query ("Using the Python connector", cursor.describe)."""
        names = import_module("snowflake.connector.constants").FIELD_ID_TO_NAME
        cursor = native.cursor()
        try:
            found = cursor.describe(query)
        finally:
            cursor.close()
        return [(column.name, _type_name(names[column.type_code], column)) for column in found]

    def pieces(self, native: Any, statement: str) -> Iterator[pa.Table]:  # noqa: ANN401
        """Fetch Arrow ("Python connector API", fetch_arrow_batches)."""
        cursor = native.cursor()
        try:
            cursor.execute(statement)
            fetched = False
            for piece in cursor.fetch_arrow_batches():
                fetched = True
                yield _widened(piece)
            if not fetched:
                yield _widened(cursor.fetch_arrow_all(force_return_table=True))
        finally:
            cursor.close()

    def create_schema(self, connection: Connection) -> None:
        """Make our schema, unless it is there."""
        # The dialect's list of schemas folds names that are in capitals only.
        if self.schema not in sa.inspect(connection).get_schema_names():
            connection.execute(sa.schema.CreateSchema(self.schema, if_not_exists=True))

    def layout(self, connection: Connection, names: Collection[str]) -> dict[str, dict[str, str]]:
        """Return the columns of some of our tables; the view's own names are not quoted."""
        chosen = sa.text(
            "SELECT table_name, column_name, data_type FROM information_schema.columns"
            " WHERE table_schema = :schema"
        )
        found: dict[str, dict[str, str]] = {}
        for table_name, column_name, type_name in connection.execute(
            chosen, {"schema": self.schema}
        ):
            if table_name in names:
                found.setdefault(table_name, {})[column_name] = type_name
        return found

    def now_expression(self) -> Expression:
        """Return the service's clock ("SYSDATE": in UTC, without zone)."""
        return sa.literal_column("SYSDATE()", sa.DateTime)

    def after_now(self, seconds: float) -> Expression:
        """Return the service's clock plus some seconds ("DATEADD")."""
        later = f"DATEADD(millisecond, {round(seconds * 1000)}, SYSDATE())"
        return sa.literal_column(later, sa.DateTime)

    def missing_rights(self, error: DBAPIError) -> str | None:
        """Name the statements that let this role in ("Access control privileges")."""
        if getattr(error.orig, "errno", None) != _NO_RIGHT:
            return None
        database = quoted((self.url.database or "…").partition("/")[0])
        schema = f"{database}.{quoted(self.schema)}"
        role = quoted(str(self.url.query.get("role", "…")))
        return "\n".join(
            [
                f'  GRANT USAGE ON WAREHOUSE "…" TO ROLE {role};',
                f"  GRANT USAGE ON DATABASE {database} TO ROLE {role};",
                f"  CREATE SCHEMA IF NOT EXISTS {schema};",
                f"  GRANT USAGE, CREATE TABLE, CREATE VIEW ON SCHEMA {schema} TO ROLE {role};",
                "and for each schema that the query reads:",
                f'  GRANT USAGE ON SCHEMA {database}."…" TO ROLE {role};',
                f'  GRANT SELECT ON ALL TABLES IN SCHEMA {database}."…" TO ROLE {role};',
            ],
        )

    def plain_reason(self, error: BaseException | None) -> str:
        """Return the service's message when it speaks of the statement, else only its numbers."""
        number, state = getattr(error, "errno", None), str(getattr(error, "sqlstate", None) or "")
        text = str(getattr(error, "raw_msg", None) or error or type(error).__name__)
        if state.startswith(_ABOUT_STATEMENTS):
            return " ".join(text.split())
        return (
            f"error {number}, SQLSTATE {state or '?'} (the rest is hidden, as it may quote a row)"
        )


def _type_name(name: str, column: Any) -> str:  # noqa: ANN401 - the driver's ResultMetadata
    return f"{name}({column.precision},{column.scale})" if name == "FIXED" else str(name)


def _widened(table: pa.Table) -> pa.Table:
    """Return a piece with wide integers: the driver takes the narrowest for each piece."""
    for place, field in enumerate(table.schema):
        if pa.types.is_integer(field.type):
            wide = table.column(place).cast(pa.int64())
            table = table.set_column(place, field.with_type(pa.int64()), wide)
    return table

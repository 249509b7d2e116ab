"""Databricks SQL, from its documentation: the statements were compared as text, never executed.

A statement takes effect by itself. So leases, runs and failed records need a control database. Our
tables are Delta tables whose columns are mapped by name, so that they may be called anything.

What it shares with Spark (``spark_sql.py``) was run by Spark.

Sources: docs.databricks.com, "SQL language reference"; the pages are named where they are used.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlalchemy.sql.compiler import DDLCompiler

from reverse_etl.warehouse.capabilities import Capabilities
from reverse_etl.warehouse.spark_sql import (
    SparkSpelling,
    SparkSql,
    plain_text,
    quoted,
    utc_after_now,
    utc_now,
)
from reverse_etl.warehouse.untried import ROWS_FETCHED, UntriedWarehouse, run_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    import sqlalchemy as sa
    from sqlalchemy.exc import DBAPIError

    from reverse_etl.warehouse.sql import Expression

# "Error conditions": what begins with 42 speaks of the statement.
_NO_RIGHT = re.compile(r"PERMISSION_DENIED|INSUFFICIENT_PERMISSIONS|SQLSTATE: 42501")

_NAMED_COLUMNS = "USING DELTA TBLPROPERTIES('delta.columnMapping.mode' = 'name')"


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


class DatabricksSql(SparkSql):
    """Databricks' spelling: Spark's."""

    tokenizer = "databricks"


class DatabricksWarehouse(UntriedWarehouse):
    """A schema in Unity Catalog: ``databricks://token:…@host?http_path=…&catalog=…&schema=…``."""

    service = "Databricks"
    extra = "databricks"
    sql = DatabricksSql()
    spelling = SparkSpelling
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
            return super().source_query(None, None, quoted(*table.split(".")))
        return super().source_query(query, table, relation)

    def now_expression(self) -> Expression:
        """Return the service's clock."""
        return utc_now()

    def after_now(self, seconds: float) -> Expression:
        """Return the service's clock plus some seconds ("INTERVAL type")."""
        return utc_after_now(seconds)

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
        return plain_text(str(error), type(error).__name__)

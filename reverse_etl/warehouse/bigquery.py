"""BigQuery, from its documentation: the statements were compared as text, never executed.

A statement takes effect by itself; two that change one row at once may both fail. So leases, runs
and failed records need a control database. Our schema is a data set, made in the default location
of the project unless it is there already: make it where the data is.

Sources: cloud.google.com/bigquery/docs, "GoogleSQL reference"; the pages are named where they are
used.
"""

from __future__ import annotations

import io
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import sqlalchemy as sa
from pyarrow import parquet

from reverse_etl.errors import WarehouseError
from reverse_etl.warehouse.capabilities import Capabilities
from reverse_etl.warehouse.rows import arrow_of
from reverse_etl.warehouse.shape import Kind, SourceColumn
from reverse_etl.warehouse.spelling import Spelling
from reverse_etl.warehouse.sql import Expression, Sql
from reverse_etl.warehouse.untried import UntriedWarehouse

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from sqlalchemy import Connection, Engine, TableClause
    from sqlalchemy.exc import DBAPIError

_FORBIDDEN = 403

# Reasons of errors whose messages speak of the statement or the project, never of a row.
# Source: "Error messages". ``invalidQuery`` is not among them: it also is a value that no cast
# could read, with the value.
_ABOUT_STATEMENTS = frozenset(
    {
        *("accessDenied", "backendError", "billingNotEnabled", "billingTierLimitExceeded"),
        *("duplicate", "internalError", "notFound", "quotaExceeded", "rateLimitExceeded"),
        *("resourcesExceeded", "responseTooLarge", "tableUnavailable"),
    },
)
_UNREADABLE = ("Syntax error", "Unrecognized name", "Function not found", "No matching signature")

_KINDS = {sa.BigInteger: Kind.INTEGER, sa.Integer: Kind.INTEGER, sa.Boolean: Kind.BOOLEAN}


class BigQuerySpelling(Spelling):
    """BigQuery's words for what the statements use."""

    def time_literal(self, text: str) -> str:
        """Write a time without zone, which is a DATETIME ("Lexical structure and syntax")."""
        return f"DATETIME '{text}'"


class BigQuerySql(Sql):
    """BigQuery's spelling."""

    tokenizer = "bigquery"
    # As the service names them in a schema, and as information_schema does.
    types: ClassVar = {
        "string": Kind.TEXT,
        "integer": Kind.INTEGER,
        "int64": Kind.INTEGER,
        **dict.fromkeys(("numeric", "bignumeric"), Kind.DECIMAL),
        **dict.fromkeys(("float", "float64"), Kind.FLOAT),
        **dict.fromkeys(("boolean", "bool"), Kind.BOOLEAN),
        "datetime": Kind.TIMESTAMP,
        "timestamp": Kind.INSTANT,
        "date": Kind.DATE,
        "json": Kind.JSON,
        **dict.fromkeys(("record", "struct", "array", "range"), Kind.NESTED),
        **dict.fromkeys(("bytes",), Kind.BINARY),
    }
    # Nested values are stored as JSON, see stored().
    read_as: ClassVar = {**Sql.read_as, Kind.NESTED: "json"}

    def kind(self, type_name: str) -> Kind:
        """Return the kind; ``ARRAY<...>`` and ``STRUCT<...>`` are nested."""
        return super().kind(type_name.partition("<")[0])

    def stored(self, expression: Expression, column: SourceColumn) -> Expression:
        """Store nested values as JSON text: they cannot be compared ("Data types", groupable)."""
        if column.kind in {Kind.JSON, Kind.NESTED}:
            return sa.func.to_json_string(expression)
        if column.type_name.lower() == "geography":
            return sa.func.st_astext(expression)  # no CAST knows it ("Conversion rules")
        return super().stored(expression, column)

    def whole_second(self, expression: Expression, column: SourceColumn) -> Expression:
        """Cut it ("DATETIME_TRUNC", "TIMESTAMP_TRUNC")."""
        second: Expression = sa.literal_column("SECOND")
        if column.kind is Kind.INSTANT:
            return sa.func.timestamp_trunc(expression, second)
        return sa.func.datetime_trunc(expression, second)

    def json_text(self, expression: Expression, column: SourceColumn) -> Expression:
        """Return a value as JSON text ("TO_JSON_STRING"; NULL is ``null``)."""
        del column
        return sa.func.to_json_string(expression)

    def sum_of_hashes(self, values: Sequence[Expression]) -> Expression:
        """Add up 64-bit fingerprints ("FARM_FINGERPRINT"), which NUMERIC holds for any table."""
        row = sa.func.to_json_string(sa.func.struct(*values))
        return sa.cast(sa.func.sum(sa.cast(sa.func.farm_fingerprint(row), sa.Numeric)), sa.String)


class BigQueryWarehouse(UntriedWarehouse):
    """A data set of a project: ``bigquery://project``."""

    service = "BigQuery"
    extra = "bigquery"
    sql = BigQuerySql()
    spelling = BigQuerySpelling
    capabilities = Capabilities(
        # "Multi-statement transactions" need a session, and allow no DDL of permanent tables.
        transactions=False,
        transactional_ddl=False,
        # "Temporary tables" live in a session or a script only.
        temporary_tables=False,
        # "Table naming": 1,024 bytes.
        longest_name=1_024,
    )

    def make_engine(self) -> Engine:
        """Return the engine.

        Raises:
            WarehouseError: The drivers are not installed, or there are no credentials.
        """
        try:
            refused = import_module("google.auth.exceptions").GoogleAuthError
        except ImportError:
            return super().make_engine()  # which says what is missing
        try:
            return super().make_engine()
        except refused:
            raise WarehouseError(
                "there are no credentials for BigQuery: set GOOGLE_APPLICATION_CREDENTIALS, or add "
                '?credentials_path=FILE to the URL (Google Cloud, "Application Default '
                'Credentials")',
            ) from None

    def columns_of(self, native: Any, query: str) -> list[tuple[str, str]]:  # noqa: ANN401
        """Let the service plan the query, which costs nothing ("Dry run queries")."""
        bigquery = import_module("google.cloud.bigquery")
        asked = bigquery.QueryJobConfig(dry_run=True, use_query_cache=False)
        job = _client(native).query(query, job_config=asked)
        return [(field.name, _type_name(field)) for field in job.schema]

    def pieces(self, native: Any, statement: str) -> Iterator[pa.Table]:  # noqa: ANN401
        """Fetch Arrow ("Python client", RowIterator.to_arrow_iterable)."""
        rows = _client(native).query_and_wait(statement)
        fetched = False
        for batch in rows.to_arrow_iterable():
            fetched = True
            yield pa.Table.from_batches([batch])
        if not fetched:
            yield rows.to_arrow()

    def driver_errors(self) -> tuple[type[Exception], ...]:
        """Return what the driver and the client below it raise."""
        api = import_module("google.api_core.exceptions")
        return (*super().driver_errors(), api.GoogleAPIError)

    def upload(self, connection: Connection, table: TableClause, rows: pa.RecordBatch) -> None:
        """Append the rows by a load job, as Parquet ("Loading Parquet data")."""
        bigquery = import_module("google.cloud.bigquery")
        columns = rows.to_pydict()
        kinds = [_kind(table.c[name].type) for name in columns]
        values = list(zip(*columns.values(), strict=True))
        file = io.BytesIO()
        parquet.write_table(arrow_of(values, list(columns), kinds), file)
        file.seek(0)
        client = _client(connection.connection.driver_connection)
        appended = bigquery.LoadJobConfig(source_format="PARQUET", write_disposition="WRITE_APPEND")
        place = f"{self.url.host or client.project}.{table.schema}.{table.name}"
        try:
            client.load_table_from_file(file, place, job_config=appended).result()
        except self.driver_errors() as error:
            # As the driver would have raised it.
            raise connection.dialect.loaded_dbapi.DatabaseError(error) from None

    def layout(self, connection: Connection, names: Collection[str]) -> dict[str, dict[str, str]]:
        """Return the columns of some of our tables: each data set has a view of its own."""
        # "COLUMNS view".
        view = f"`{self.schema}`.INFORMATION_SCHEMA.COLUMNS"
        rows = connection.exec_driver_sql(
            f"SELECT table_name, column_name, data_type FROM {view}",  # noqa: S608 - quoted
        )
        found: dict[str, dict[str, str]] = {}
        for table_name, column_name, type_name in rows:
            if table_name in names:
                found.setdefault(table_name, {})[column_name] = type_name
        return found

    def source_query(self, query: str | None, table: str | None, relation: str | None) -> str:
        """Return the SELECT of a source; a table is quoted with backticks here."""
        if query is None and table is not None:
            return f"SELECT * FROM `{table.replace('`', '')}`"  # noqa: S608 - quoted
        return super().source_query(query, table, relation)

    def now_expression(self) -> Expression:
        """Return the service's clock ("CURRENT_DATETIME")."""
        return sa.literal_column("CURRENT_DATETIME('UTC')", sa.DateTime)

    def after_now(self, seconds: float) -> Expression:
        """Return the service's clock plus some seconds ("DATETIME_ADD")."""
        length = f"INTERVAL {round(seconds * 1000)} MILLISECOND"
        return sa.literal_column(f"DATETIME_ADD(CURRENT_DATETIME('UTC'), {length})", sa.DateTime)

    def missing_rights(self, error: DBAPIError) -> str | None:
        """Name the roles that are needed ("BigQuery IAM roles and permissions")."""
        if getattr(_cause(error.orig), "code", None) != _FORBIDDEN:
            return None
        project = self.url.host or "…"
        schema, member = f"`{project}`.`{self.schema}`", '"serviceAccount:…"'
        return "\n".join(
            [
                f"  CREATE SCHEMA IF NOT EXISTS {schema};",
                f"  GRANT `roles/bigquery.dataEditor` ON SCHEMA {schema} TO {member};",
                "and for each data set that the query reads:",
                f"  GRANT `roles/bigquery.dataViewer` ON SCHEMA `{project}`.`…` TO {member};",
                "and, in the project that pays for the queries:",
                f"  GRANT `roles/bigquery.jobUser` ON PROJECT `{project}` TO {member};",
            ],
        )

    def plain_reason(self, error: BaseException | None) -> str:
        """Return the service's message when it speaks of the statement, else only its reason."""
        cause = _cause(error)
        first = (getattr(cause, "errors", None) or [{}])[0]
        reason, text = str(first.get("reason", "?")), str(first.get("message", cause))
        if reason in _ABOUT_STATEMENTS or text.startswith(_UNREADABLE):
            return " ".join(text.split())
        return f"{type(cause).__name__}, {reason} (the rest is hidden, as it may quote a row)"


def _client(native: Any) -> Any:  # noqa: ANN401 - the driver's connection, and what it wraps
    return native._client


def _cause(error: BaseException | None) -> BaseException | None:
    """Return the error of the client that the driver has wrapped."""
    inner = error.args[0] if error is not None and error.args else None
    return inner if isinstance(inner, BaseException) else error


def _kind(type_: sa.types.TypeEngine[Any]) -> Kind:
    if isinstance(type_, sa.DateTime):
        return Kind.TIMESTAMP
    return next((kind for known, kind in _KINDS.items() if isinstance(type_, known)), Kind.TEXT)


def _type_name(field: Any) -> str:  # noqa: ANN401 - the client's SchemaField
    return f"ARRAY<{field.field_type}>" if field.mode == "REPEATED" else str(field.field_type)

"""Builds the sample warehouse and lets its life go on.

    build(run, dialect)            three tables of messy story data
    evolve(run, dialect, step=1)   about one percent of the customers change
    summary(run)                   counts to print

``run`` executes one SQL statement on one connection: ``duckdb.connect(path).execute`` and
``psycopg.connect(url).execute`` fit as they are. Nothing here commits; the caller does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, cast

from reverse_etl.errors import ReverseEtlError
from sample_warehouse import statements

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import duckdb
    import psycopg

Dialect: TypeAlias = Literal["duckdb", "postgresql"]

DEFAULT_PEOPLE = 20_000
MOST_PEOPLE = 10_000_000
VIP_VALUE = 1000
"""Lifetime value, in money, above which a customer is a VIP: 29.9 percent of them are."""

TABLES = ("customers", "experiment_assignments", "orders")
_DEFAULT_SCHEMAS: dict[Dialect, str] = {"duckdb": "main", "postgresql": "public"}
_SCHEMA_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_STORY_END = datetime(2026, 1, 1)  # noqa: DTZ001 - the columns are timestamps without a zone
_LAST_STEP = 10_000


class SampleWarehouseError(ReverseEtlError):
    """The sample warehouse cannot be built or changed where it was asked to be."""

    code = "sample_warehouse"


class _Result(Protocol):
    """What both drivers return for a query."""

    def fetchall(self) -> Sequence[Sequence[object]]:
        """Return all rows."""
        ...


@dataclass(frozen=True)
class Summary:
    """Counts for a demo.

    Attributes:
        customers: Rows of ``customers``, second rows of one customer included.
        people: Different ``customer_id``.
        vips: Rows with a lifetime value above ``VIP_VALUE``.
        missing_emails: Rows whose e-mail is NULL, empty or blank.
        shared_addresses: Addresses, trimmed and in lower case, of more than one ``customer_id``.
        experiment_assignments: Rows of ``experiment_assignments``.
        orders: Rows of ``orders``.
    """

    customers: int
    people: int
    vips: int
    missing_emails: int
    shared_addresses: int
    experiment_assignments: int
    orders: int


def audience_query(above: int | None = VIP_VALUE, schema: str | None = None) -> str:
    """Return the source query of an audience.

    Args:
        above: Lifetime value, in money, that a member exceeds; None takes everybody.
        schema: Schema of the tables; None leaves it to the connection's search path.

    Raises:
        SampleWarehouseError: ``schema`` is not a plain name.
    """
    condition = "" if above is None else f" where lifetime_value > {above:d}"
    (query,) = statements.render("audience", {"prefix": _prefix(schema), "condition": condition})
    return query


def _prefix(schema: str | None) -> str:
    """Return what stands before a table name."""
    return "" if schema is None else f"{_quoted(schema)}."


def _quoted(schema: str) -> str:
    """Return the schema name in double quotes, or refuse one that is not a plain name."""
    if not _SCHEMA_NAME.fullmatch(schema):
        message = f"schema is {schema!r}; use letters, digits and underscores, 63 at most."
        raise SampleWarehouseError(message)
    return f'"{schema}"'


VIP_QUERY = audience_query()
ALL_QUERY = audience_query(None)


def build(
    run: Callable[[str], object],
    dialect: Dialect,
    people: int = DEFAULT_PEOPLE,
    schema: str | None = None,
    *,
    replace: bool = False,
) -> None:
    """Create and fill the three tables. The same arguments give the same rows, on either engine.

    Args:
        run: Executes one statement.
        dialect: ``duckdb`` or ``postgresql``.
        people: Number of customers, 1 to 10,000,000; shares of mess are exact for whole thousands.
        schema: Where the tables go, made if it is not there; None is ``main`` on DuckDB and
            ``public`` on PostgreSQL.
        replace: Drop tables of these names first. Without it the engine refuses to touch them.

    Raises:
        SampleWarehouseError: ``people``, ``dialect`` or ``schema`` is out of bounds; nothing ran.
    """
    if not 1 <= people <= MOST_PEOPLE:
        message = f"people is {people}; give a number from 1 to {MOST_PEOPLE:,}."
        raise SampleWarehouseError(message)
    values = _first_values(people, _schema(dialect, schema))
    # PostgreSQL asks for the right to create schemas even where the schema is there already.
    if schema is not None and schema != _DEFAULT_SCHEMAS[dialect]:
        run(f"CREATE SCHEMA IF NOT EXISTS {values['schema']}")
    names = ["tables", "customers", "experiment_assignments", "orders", "analyze"]
    for name in ["drop", *names] if replace else names:
        _run_file(run, name, values)


def _first_values(people: int, schema: str) -> dict[str, str]:
    """Return the placeholders of a first build."""
    signed_up_at = "TIMESTAMP '2019-01-01 00:00:00' + signed_up_seconds * INTERVAL '1 second'"
    return {
        **statements.customer_columns(),
        **statements.other_columns(),
        "schema": schema,
        "numbers": statements.render("numbers", {"people": str(people)})[0],
        "signed_up_at": signed_up_at,
        "updated_at": f"{signed_up_at} + updated_seconds * INTERVAL '1 second'",
        "who": "TRUE",
        "added_from": "2025-09-01 00:00:00",
        "added_limit": "7700000",
    }


def evolve(
    run: Callable[[str], object],
    dialect: Dialect,
    step: int,
    percent: float = 1.0,
    schema: str | None = None,
) -> None:
    """Let life go on by one day: a function of the tables, ``step`` and ``percent``, nothing else.

    A third of ``percent`` joins, a third leaves, a third changes plan or lifetime value; a
    twentieth of it changes address, and of the pairs with one address five times ``percent`` lose
    one of the two. Call it once per step, in rising order.

    Args:
        run: Executes one statement.
        dialect: ``duckdb`` or ``postgresql``.
        step: 1, 2, 3 …; the day after 2026-01-01 on which the changes happen.
        percent: How much changes, above 0 to 100.
        schema: As for ``build``.

    Raises:
        SampleWarehouseError: An argument is out of bounds; nothing ran.
    """
    if not 1 <= step <= _LAST_STEP:
        message = f"step is {step}; give a number from 1 to {_LAST_STEP:,}."
        raise SampleWarehouseError(message)
    if not 0 < percent <= 100:  # noqa: PLR2004 - percent
        message = f"percent is {percent}; give a number above 0, at most 100."
        raise SampleWarehouseError(message)
    values = _step_values(step, percent, _schema(dialect, schema))
    values["numbers"] = statements.render("newcomers", values)[0]
    # Who joins comes first: the numbers then count on from the highest one ever used.
    for name in ("customers", "change", "experiment_assignments"):
        _run_file(run, name, values)


def _step_values(step: int, percent: float, schema: str) -> dict[str, str]:
    """Return the placeholders of one step, all but the numbers of the new customers."""
    start = _STORY_END + timedelta(days=step)
    signed_up_at = f"TIMESTAMP '{start}' + mod(signed_up_seconds, 86400) * INTERVAL '1 second'"
    return {
        **statements.customer_columns(),
        **statements.other_columns(),
        **_shares(percent),
        "schema": schema,
        "step": str(step),
        "step_start": str(start),
        "position": statements.position(step),
        "sharer_position": statements.position(step, 414_213, 732_051),
        "changed_at": f"TIMESTAMP '{start}' + {statements.seconds('changed', 86_400)}",
        "signed_up_at": signed_up_at,
        "updated_at": signed_up_at,
        "who": f"signed_up_at >= TIMESTAMP '{start}'",
        "added_from": str(start + timedelta(days=1)),
        "added_limit": "3600",
    }


def _shares(percent: float) -> dict[str, str]:
    """Return where each kind of change ends on the line of positions."""
    third = round(percent / 300 * statements.POSITIONS)
    return {
        "leave_to": str(third),
        "plan_to": str(third + third // 2),
        "value_to": str(2 * third),
        "email_to": str(2 * third + round(percent / 2000 * statements.POSITIONS)),
        "sharer_to": str(round(percent / 20 * statements.POSITIONS)),
    }


def summary(run: Callable[[str], object], schema: str | None = None) -> Summary:
    """Count what is there.

    Args:
        run: Executes one statement and returns something with ``fetchall()``.
        schema: Schema of the tables; None leaves it to the connection's search path.

    Raises:
        SampleWarehouseError: ``schema`` is not a plain name.
    """
    values = {"prefix": _prefix(schema), "vip_value": str(VIP_VALUE)}
    (statement,) = statements.render("summary", values)
    (counts,) = cast("_Result", run(statement)).fetchall()
    return Summary(*(cast("int", count) for count in counts))


def build_duckdb(
    path: str | Path,
    people: int = DEFAULT_PEOPLE,
    schema: str | None = None,
    *,
    replace: bool = False,
) -> None:
    """Build in a DuckDB file, all or nothing; the file and its folder are made if needed.

    Args:
        path: The file; closed again when this returns.
        people: As for ``build``.
        schema: As for ``build``.
        replace: As for ``build``.

    Raises:
        SampleWarehouseError: The file cannot be opened, or holds such tables and ``replace`` is
            off, or an argument is out of bounds.
    """
    with connect_duckdb(path) as connection:
        connection.execute("BEGIN")
        _build_where_free(connection.execute, "duckdb", people, schema, replace=replace)
        connection.execute("COMMIT")


def build_postgresql(
    url: str,
    people: int = DEFAULT_PEOPLE,
    schema: str | None = None,
    *,
    replace: bool = False,
) -> None:
    """Build in a PostgreSQL database, in one transaction.

    Args:
        url: ``postgresql://…`` or, as SQLAlchemy writes it, ``postgresql+psycopg://…``.
        people: As for ``build``.
        schema: As for ``build``.
        replace: As for ``build``.

    Raises:
        SampleWarehouseError: The server cannot be reached, or the schema holds such tables and
            ``replace`` is off, or an argument is out of bounds.
        psycopg.Error: A statement failed; nothing was kept.
    """
    with connect_postgresql(url) as connection:
        _build_where_free(connection.execute, "postgresql", people, schema, replace=replace)


def connect_duckdb(path: str | Path) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB file, making its folder.

    Raises:
        SampleWarehouseError: Another process holds the file, or it is no DuckDB file.
    """
    import duckdb  # noqa: PLC0415 - only who builds on DuckDB needs the driver

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    try:
        return duckdb.connect(str(path))
    except duckdb.Error as error:
        message = f"DuckDB could not open {path}: {error}. Close what uses it, or name another."
        raise SampleWarehouseError(message) from error


def connect_postgresql(url: str) -> psycopg.Connection:
    """Connect with psycopg; leaving the ``with`` block commits, an exception rolls back.

    Raises:
        SampleWarehouseError: The URL cannot be read or the server not be reached. The message
            never holds the URL, because a password may be in it.
    """
    import psycopg  # noqa: PLC0415 - only who builds on PostgreSQL needs the driver
    from psycopg import conninfo  # noqa: PLC0415

    address = url.replace("postgresql+psycopg://", "postgresql://", 1)
    try:
        conninfo.conninfo_to_dict(address)
    except psycopg.ProgrammingError:
        message = (
            "The PostgreSQL URL cannot be read. Write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
            " and percent-encode special characters of the password."
        )
        raise SampleWarehouseError(message) from None  # the cause would quote the password
    try:
        return psycopg.connect(address)
    except psycopg.OperationalError as error:
        message = f"PostgreSQL could not be reached: {error}. Check host, port, database and user."
        raise SampleWarehouseError(message) from error


def _build_where_free(
    run: Callable[[str], object],
    dialect: Dialect,
    people: int,
    schema: str | None,
    *,
    replace: bool,
) -> None:
    """Build, but say which tables are in the way instead of letting the engine refuse."""
    taken = _taken_tables(run, schema or _DEFAULT_SCHEMAS[dialect])
    if taken and not replace:
        message = (
            f"There are tables named {', '.join(taken)} already. Choose another schema or database,"
            " or ask for replacement (--replace) if they may be dropped."
        )
        raise SampleWarehouseError(message)
    build(run, dialect, people, schema, replace=replace)


def _taken_tables(run: Callable[[str], object], schema: str) -> list[str]:
    """Return which of our table names the schema holds."""
    _quoted(schema)
    (query,) = statements.render("tables_there", {"name": schema})
    names = {str(row[0]) for row in cast("_Result", run(query)).fetchall()}
    return [table for table in TABLES if table in names]


def require_built(
    run: Callable[[str], object], dialect: Dialect, schema: str | None = None
) -> None:
    """Make sure that the three tables are there to be changed.

    Raises:
        SampleWarehouseError: One of them is missing.
    """
    there = _taken_tables(run, schema or _DEFAULT_SCHEMAS[dialect])
    missing = [table for table in TABLES if table not in there]
    if missing:
        message = f"There is no table {', '.join(missing)}. Build first, without --step."
        raise SampleWarehouseError(message)


def _run_file(run: Callable[[str], object], name: str, values: dict[str, str]) -> None:
    """Run the statements of one SQL file in order."""
    for statement in statements.render(name, values):
        run(statement)


def _schema(dialect: Dialect, schema: str | None) -> str:
    """Return the quoted schema, the dialect's own when none is given."""
    if dialect not in _DEFAULT_SCHEMAS:
        message = f"dialect is {dialect!r}; the sample warehouse knows duckdb and postgresql."
        raise SampleWarehouseError(message)
    return _quoted(schema or _DEFAULT_SCHEMAS[dialect])

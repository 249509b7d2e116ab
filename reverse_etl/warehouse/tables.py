"""Names and columns of our own tables.

Control tables exist once per schema; run tables exist once per committed run and carry the sync
and the run in their name. ``sync_runs``, ``sync_log``, ``failed_records``, the snapshots and the
changes are a promise to users' dashboards: columns are added, never renamed. The others
(``sync_state``, ``residue``, ``former_aliases``, ``refused_…``, ``outcomes_…``,
``schema_version``) are ours alone.

    sync_state      one row per sync: the lease, and the pointer to the last committed run
    residue         identities that left the source but may still be at the destination
    former_aliases  e-mails that people may still have there: what replaced them is unconfirmed
    snapshot_S_N    what the query said at run N, one row per identity
    refused_S_N     rows that run N could not use: no identifier, or an identity lost to another
    changes_S_N     the plan of run N, in the order of ``_seq``
    outcomes_S_N    the changes of run N that were not plain successes

``snapshot_rows`` and ``changes_rows`` are how many rows the committed run left in its snapshot and
in its plan: a table that has another number of rows was changed by hand (``damage.py``).

``moved_to`` is where the tables that count are, when these are not (``move.py``).

``due_after`` is the tick that was served last, or the moment at which a scheduler first saw the
sync: it is due when a later tick has come (``due.py``). ``alerts`` is what each webhook was told
last (``alerts``). ``sync_log_retention_days`` is what the config of the last committed run says,
so that the log of a sync that is in no config any more still goes in time (``retention.py``).

``retry_requested_at`` is when somebody asked for a failed record to be planned again, until a run
has tried it (``retrying.py``).

``fields`` and ``_fields`` are the destination fields that a person may hold from us, for
destinations where a delete clears them: *field sets* (``statements/field_sets.py``), else NULL.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Integer,
    MetaData,
    String,
    Table,
    cast,
    column,
    false,
    null,
    select,
    table,
)
from sqlalchemy.sql.elements import quoted_name
from sqlalchemy.types import TypeEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from sqlalchemy import ColumnClause, TableClause

    from reverse_etl.warehouse.sql import Chosen

# A change of the control tables, or of run tables that are read later, is a step of migrations.py.
SCHEMA_VERSION = 6

RUN_TABLES = ("snapshot", "refused", "changes", "outcomes")


class ControlTables:
    """The tables that exist once per schema.

    Attributes:
        ledgers: Those whose lines each belong to one run: they are added, and go with their run.
            They lie beside the run tables; the others may lie in a control database.
    """

    def __init__(self, schema: str, control_schema: str) -> None:
        """Describe the tables.

        Args:
            schema: Where the ledgers are.
            control_schema: Where the others are, perhaps in another database.
        """
        self.metadata = MetaData()
        self._schema = control_schema
        self.version = Table(
            "schema_version", self.metadata, Column("version", Integer), schema=control_schema
        )
        self.state = self._table(
            "sync_state",
            text="sync_name lease_owner account_host account_kind account_object target_id"
            " target_name mapping moved_to alerts",
            number="lease_token last_run_id committed_run_id position send_limit requests_sent"
            " snapshot_rows changes_rows sync_log_retention_days",
            time="lease_expires_at target_created_at due_after",
        )
        self.runs = self._table(
            "sync_runs",
            text="sync_name trigger sync_type status error_code error_reason",
            number="sync_run_id rows_read rows_invalid rows_duplicate inserts_planned"
            " inserts_succeeded inserts_failed updates_planned updates_succeeded updates_failed"
            " deletes_planned deletes_succeeded deletes_failed retries_planned"
            " failed_records_open requests_sent",
            time="scheduled_for started_at finished_at",
            order="sync_name sync_run_id trigger sync_type status scheduled_for started_at"
            " finished_at rows_read rows_invalid rows_duplicate inserts_planned"
            " inserts_succeeded inserts_failed updates_planned updates_succeeded updates_failed"
            " deletes_planned deletes_succeeded deletes_failed retries_planned"
            " failed_records_open requests_sent error_code error_reason",
        )
        self.failed = self._table(
            "failed_records",
            text="sync_name identity primary_key operation error_code error_reason alias fields",
            number="attempts first_failed_run_id last_failed_run_id",
            time="first_failed_at last_failed_at retry_requested_at",
            flag="retryable unidentified",
            order="sync_name identity primary_key operation error_code error_reason retryable"
            " attempts first_failed_run_id last_failed_run_id first_failed_at last_failed_at"
            " alias unidentified fields retry_requested_at",
        )
        self._schema = schema
        self.log = self._table(
            "sync_log",
            text="sync_name primary_key identity operation status error_code error_reason",
            number="sync_run_id attempts",
            time="sync_started_at sync_finished_at",
            order="sync_name sync_run_id primary_key identity operation status error_code"
            " error_reason attempts sync_started_at sync_finished_at",
        )
        self.residue = self._table(
            "residue", text="sync_name identity alias primary_key fields", number="sync_run_id"
        )
        self.former = self._table(
            "former_aliases", text="sync_name identity alias", number="sync_run_id"
        )
        self.ledgers = (self.log, self.residue, self.former)

    def _table(  # noqa: PLR0913 - one argument per column type reads like a table
        self,
        name: str,
        *,
        text: str = "",
        number: str = "",
        time: str = "",
        flag: str = "",
        order: str = "",
    ) -> Table:
        kinds: list[tuple[str, type[TypeEngine[Any]]]] = [
            *((word, String) for word in text.split()),
            *((word, BigInteger) for word in number.split()),
            *((word, DateTime) for word in time.split()),
            *((word, Boolean) for word in flag.split()),
        ]
        types = dict(kinds)
        names = order.split() or [word for word, _ in kinds]
        columns = (Column(word, types[word]) for word in names)
        return Table(name, self.metadata, *columns, schema=self._schema)


@cache
def control_tables(schema: str, control_schema: str) -> ControlTables:
    """Return the control tables of a schema, always the same objects.

    SQLAlchemy knows a statement that it has compiled by the tables in it.
    """
    return ControlTables(schema, control_schema)


def exact(name: str) -> quoted_name:
    """Return a name that is always quoted, so that it means just these letters."""
    return quoted_name(name, quote=True)


def run_table_name(kind: str, sync_name: str, run_id: int) -> str:
    """Return ``snapshot_vip_3``; sync names never end in ``_`` and digits, so it is unique."""
    return f"{kind}_{sync_name}_{run_id}"


def run_of_table(kind: str, sync_name: str, table_name: str) -> int | None:
    """Return the run in a run table's name, or None when it is not one of this sync."""
    found = re.fullmatch(rf"{kind}_{re.escape(sync_name)}_(\d+)", table_name)
    return int(found[1]) if found else None


def scratch_name(name: str, mark: str) -> str:
    """Return the name of a table for the time of one transaction, where nothing is temporary.

    Args:
        name: What it would be called if nobody else saw it.
        mark: The day and a word that no other process has.
    """
    return f"scratch_{mark}_{name}"


def is_scratch(table_name: str) -> bool:
    """Return whether a table has the name of a scratch table."""
    return day_of_scratch(table_name) is not None


def day_of_scratch(table_name: str) -> str | None:
    """Return the day a scratch table was made, as ``20300102``; None for another table."""
    found = re.match(r"scratch_(\d{8})_[0-9a-f]{8}_", table_name)
    return found[1] if found else None


def is_run_table(table_name: str) -> bool:
    """Return whether a table has the name of a run table, of any sync."""
    return re.fullmatch(rf"({'|'.join(RUN_TABLES)})_\w+_\d+", table_name) is not None


def runs_of_tables(sync_name: str, table_names: Collection[str]) -> dict[str, list[int]]:
    """Return, by kind of run table, the runs of a sync that have one, the newest first."""
    return {
        kind: sorted(
            (run for name in table_names if (run := run_of_table(kind, sync_name, name))),
            reverse=True,
        )
        for kind in RUN_TABLES
    }


def clause(
    name: str,
    columns: Iterable[str | tuple[str, type[TypeEngine[Any]]]],
    schema: str | None,
) -> TableClause:
    """Return a light table; a bare column name is text, ours or the user's, always quoted."""
    return table(name, *(_column(given) for given in columns), schema=schema)


def _column(given: str | tuple[str, type[TypeEngine[Any]]]) -> ColumnClause[object]:
    name, kind = (given, String) if isinstance(given, str) else given
    return column(exact(name), kind)


Columns = tuple[str | tuple[str, type[TypeEngine[Any]]], ...]


def columns_of(table: Table) -> Columns:
    """Return names and types of a control table's columns, to make a table like it."""
    return tuple((column.name, type(column.type)) for column in table.columns)


IDENTITY_COLUMNS = ("_identity", "_alias", "_primary_key")

REFUSED_COLUMNS: Columns = (
    "_identity",
    "_primary_key",
    "_alias",
    "_kind",
    "_error_code",
    "_error_reason",
    ("_rows", BigInteger),
    ("_differs", Boolean),
    ("_new", Boolean),
)

CHANGE_COLUMNS: Columns = (
    ("_seq", BigInteger),
    ("_phase", Integer),
    "_operation",
    "_identity",
    "_alias",
    "_primary_key",
    ("_retry", Boolean),
    ("_carried", Boolean),
    "_fields",
)

PENDING_COLUMNS: Columns = (
    "_identity",
    "_alias",
    "_primary_key",
    "_operation",
    "_origin",
    ("_due", Boolean),
    "_fields",
)

AUDITED_COLUMNS: Columns = ("_identity", "_alias", "_primary_key", "_operation")

OUTCOME_COLUMNS: Columns = (
    ("seq", BigInteger),
    "status",
    "outcome",
    "error_code",
    "error_reason",
    ("retryable", Boolean),
    ("attempts", BigInteger),
)


class RunTables:
    """The tables of one run.

    Attributes:
        snapshot: One row per identity; the source columns beside our three.
        refused: Rows that could not be used.
        changes: The plan.
        outcomes: The changes that were not plain successes.
    """

    def __init__(  # noqa: PLR0913 - a table name has these parts
        self,
        sync_name: str,
        run_id: int,
        schema: str,
        columns: Iterable[str],
        plan_columns: Iterable[str],
        *,
        scratch: Callable[[str, Columns], TableClause] | None = None,
    ) -> None:
        """Name the tables.

        Args:
            sync_name: The sync.
            run_id: The run.
            schema: Where they are.
            columns: The source columns of the snapshot.
            plan_columns: Those of the plan.
            scratch: Places a table that is only for now; the tables are then all like that.
        """
        self.sync_name = sync_name
        self.run_id = run_id

        def named(kind: str, columns: Columns) -> TableClause:
            name = run_table_name(kind, sync_name, run_id)
            return scratch(name, columns) if scratch else clause(name, columns, schema)

        self.snapshot = named("snapshot", (*IDENTITY_COLUMNS, *columns))
        self.refused = named("refused", REFUSED_COLUMNS)
        self.changes = named("changes", (*CHANGE_COLUMNS, *plan_columns))
        self.outcomes = named("outcomes", OUTCOME_COLUMNS)


def empty(columns: Columns) -> Chosen:
    """Return a SELECT of no rows with these columns, to make an empty table from."""
    typed = [(given, String) if isinstance(given, str) else given for given in columns]
    return select(*(cast(null(), kind).label(name) for name, kind in typed)).where(false())

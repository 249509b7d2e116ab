"""Our tables as older versions made them, brought to the present version.

The steps run forward only, in one transaction with the new number in ``schema_version``: a
program that is killed in between leaves the old version whole. Changing that number is also the
lock: of two programs that start at once the second waits, and finds the work done.

A run of an older program under way would write what the present version does not expect, so
nothing is migrated while a lease is held. It is refused, not waited for: a killed run's lease
expires by itself, and who starts runs (cron, a scheduler) tries again anyway.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, DateTime, String

from reverse_etl.errors import Busy, WarehouseError
from reverse_etl.warehouse.statements import control
from reverse_etl.warehouse.tables import SCHEMA_VERSION, clause, run_table_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from reverse_etl.warehouse.base import Transaction


@dataclass(frozen=True)
class Migration:
    """One step forward.

    Attributes:
        version: The version that the tables have afterwards.
        what: What it changes, in words.
        apply: Changes it.
    """

    version: int
    what: str
    apply: Callable[[Transaction], None]


def _remember_fields(tx: Transaction) -> None:
    tables = tx.warehouse.tables
    # The first programs of version 1 did not have it yet.
    tables.former.create(tx.connection, checkfirst=True)
    for table in (tables.failed, tables.residue):
        tx.add_column(table, "fields", String())
    for sync_name, run_id in tx.rows(control.committed_runs(tables.state)):
        changes = clause(run_table_name("changes", sync_name, run_id), (), tx.warehouse.schema)
        if tx.has_table(changes):
            tx.add_column(changes, "_fields", String())


def _count_rows(tx: Transaction) -> None:
    # Left NULL, "not known", until the next run commits: today's number may be of damaged tables.
    for name in ("snapshot_rows", "changes_rows"):
        tx.add_column(tx.warehouse.tables.state, name, BigInteger())


def _let_move(tx: Transaction) -> None:
    tx.add_column(tx.warehouse.tables.state, "moved_to", String())


def _run_by_itself(tx: Transaction) -> None:
    state = tx.warehouse.tables.state
    tx.add_column(state, "alerts", String())
    tx.add_column(state, "sync_log_retention_days", BigInteger())
    tx.add_column(state, "due_after", DateTime())


def _let_ask_for_retries(tx: Transaction) -> None:
    tx.add_column(tx.warehouse.tables.failed, "retry_requested_at", DateTime())


MIGRATIONS = (
    Migration(2, "which fields were sent is remembered", _remember_fields),
    Migration(3, "the rows of snapshot and plan are counted", _count_rows),
    Migration(4, "a sync can move to another warehouse", _let_move),
    Migration(5, "ticks, alerts and the log's retention are remembered", _run_by_itself),
    Migration(6, "a failed record can be asked for again", _let_ask_for_retries),
)


def read_version(tx: Transaction) -> int | None:
    """Return the version of the tables; None where nothing says it."""
    found: int | None = tx.scalar(control.read_version(tx.warehouse.tables.version))
    return found


def migrate(tx: Transaction) -> None:
    """Bring older tables to the present version; do nothing where they have it.

    Raises:
        Busy: A run of an older program holds a lease; nothing was changed.
        WarehouseError: The tables are newer than this program, or may not be changed.
    """
    version = read_version(tx)
    while version is not None and version < SCHEMA_VERSION:
        # Before anything else: who waits here must not hold what the first one is to change.
        number = tx.warehouse.tables.version
        if tx.run(control.change_version(number, version, SCHEMA_VERSION)):
            _refuse_held_leases(tx, version)
            for migration in MIGRATIONS:
                if migration.version > version:
                    migration.apply(tx)
            # Again: one may have been taken while this waited for the tables.
            _refuse_held_leases(tx, version)
        version = read_version(tx)
    refuse_newer(tx.warehouse.schema, version)


def refuse_newer(schema: str, version: int | None) -> None:
    """Raise a WarehouseError when the tables are those of a newer program."""
    if version is not None and version > SCHEMA_VERSION:
        raise WarehouseError(
            f"the tables in schema {schema} have version {version}, this program needs "
            f"{SCHEMA_VERSION} and cannot go back. Nothing was changed. Use the newer reverse-etl "
            f"that made them (one whose tables have version {version}), or another schema.",
            code="newer_tables",
        )


def refuse_older(schema: str, version: int | None) -> None:
    """Raise a WarehouseError when the tables are older: looking at them changes nothing."""
    if version is not None and version < SCHEMA_VERSION:
        raise WarehouseError(
            f"the tables in schema {schema} have version {version}, this program reads version "
            f"{SCHEMA_VERSION}. The next run (reverse-etl run-sync SYNC) brings them there and "
            "loses nothing; a command that only looks changes nothing.",
            code="older_tables",
        )


def _refuse_held_leases(tx: Transaction, version: int) -> None:
    if tx.warehouse.capabilities.lock_proves_lease:
        return
    held = control.held_leases(tx.warehouse.tables.state, tx.warehouse.now_expression())
    for sync_name, owner, until in tx.rows(held):
        raise Busy(
            f"the tables in schema {tx.warehouse.schema} have version {version} and must be "
            f"brought to version {SCHEMA_VERSION} first, but {owner} is running sync {sync_name} "
            f"with them and holds the lease until {until} UTC. Nothing was changed; try again "
            "when that run has ended.",
        )

"""Outcomes into the log, the failed records and the run's row; then what is old goes.

Settling is one transaction, fenced by the lease: a crash leaves either none of it, and the next
run does it, or all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from reverse_etl.connector import Operation
from reverse_etl.errors import WarehouseError
from reverse_etl.report import by_operation
from reverse_etl.warehouse.statements import control, retention
from reverse_etl.warehouse.statements.changes import count_rows
from reverse_etl.warehouse.statements.settle import (
    SETTLED_COLUMNS,
    SettleStatements,
    add_failures,
    clear_failures,
)
from reverse_etl.warehouse.tables import (
    RUN_TABLES,
    RunTables,
    clause,
    columns_of,
    day_of_scratch,
    run_table_name,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from reverse_etl.config import ObservabilityConfig
    from reverse_etl.delivery.sender import Settled
    from reverse_etl.warehouse.base import Transaction, Warehouse
    from reverse_etl.warehouse.lease import Lease


# How long a scratch table may belong to somebody who is still at work.
SCRATCH_KEPT = timedelta(days=2)


@dataclass
class Totals:
    """What a settled run came to.

    Attributes:
        succeeded: Changes confirmed, by operation.
        failed: Changes tried and not confirmed, by operation.
        failed_records_open: Failed records of the sync now.
    """

    succeeded: dict[Operation, int]
    failed: dict[Operation, int]
    failed_records_open: int = 0


@dataclass(frozen=True)
class Ending:
    """How a run ends.

    Attributes:
        position: Every change at or below it is settled.
        window: No change above it was sent.
        requests_sent: Requests of the run.
        status: Of the run, or None to let the totals decide (succeeded or with failures).
        newly_invalid: Rows newly found invalid: they, too, make it end with failures.
        error_code: What stopped it, else None.
        error_reason: The same in words.
    """

    position: int
    window: int
    requests_sent: int
    status: str | None = None
    newly_invalid: int = 0
    error_code: str | None = None
    error_reason: str | None = None


def record_outcomes(tx: Transaction, tables: RunTables, settled: Sequence[Settled]) -> None:
    """Write down the changes that were not plain successes."""
    if settled:
        names = ("seq", "status", "outcome", "error_code", "error_reason", "retryable", "attempts")
        columns = [pa.array(list(map(itemgetter(n), settled))) for n in range(len(names))]
        tx.upload(tables.outcomes, pa.RecordBatch.from_arrays(columns, names))


def settle(  # noqa: PLR0913 - the parts of a settling, each by name
    tx: Transaction,
    lease: Lease,
    tables: RunTables,
    *,
    started_at: datetime,
    ending: Ending,
    retain_logs: bool,
    deletes: bool,
    field_set: str | None,
) -> tuple[str, Totals]:
    """Write log, failed records and counts of a run; return its status and totals.

    Args:
        tx: The transaction.
        lease: Under which the run is settled.
        tables: Of the run.
        started_at: Of the run, in UTC without time zone.
        ending: How it ends.
        retain_logs: Whether the sync log is kept.
        deletes: Whether people who left can be removed (or cleared).
        field_set: Which fields its upserts send, where that must be known.

    Raises:
        LeaseLost: Another run has taken over; nothing of this was written.
    """
    control_tables = tx.warehouse.tables
    statements = SettleStatements(
        tables.sync_name,
        tables.run_id,
        tables.changes,
        tables.outcomes if tx.scalar(count_rows(tables.outcomes)) else None,
        tables.refused,
        tables.snapshot,
        control_tables.log,
        tx.reach(control_tables.failed, tables.sync_name),
        control_tables.residue,
        ending.position,
        ending.window,
        field_set,
    )
    finished = tx.now()
    totals = _count(tx, statements)
    if retain_logs:
        if tx.control is not tx:
            # Written by itself: what an earlier attempt left of it goes first, but not of whoever
            # has settled this run meanwhile.
            lease.confirm(tx)
            tx.warehouse.forget_run(tx, control_tables.log, tables.sync_name, tables.run_id)
        for statement in statements.write_log(started_at, finished):
            tx.run(statement)
    _renew_failures(tx, statements, finished, deletes=deletes)
    totals.failed_records_open = tx.control.scalar(
        control.count_open(control_tables.failed, tables.sync_name),
    )
    status = ending.status or _status(totals, ending.newly_invalid)
    values = _run_values(totals, ending, status, finished)
    tx.control.run(control.change_run(control_tables.runs, tables.sync_name, tables.run_id, values))
    lease.confirm(tx)
    return status, totals


def _count(tx: Transaction, statements: SettleStatements) -> Totals:
    totals = Totals(by_operation(), by_operation())
    for operation, status, count in tx.rows(statements.count()):
        counts = totals.succeeded if status == "succeeded" else totals.failed
        counts[Operation(operation)] += count
    return totals


def _renew_failures(
    tx: Transaction, statements: SettleStatements, finished: datetime, *, deletes: bool
) -> None:
    name, failed = statements.sync_name, tx.warehouse.tables.failed
    # Collected first, because a record that fails again keeps the date of its first failure.
    fresh = tx.scratch(f"failures_{name}", columns_of(failed))
    tx.create(fresh, statements.collect_failures(finished))
    settled = tx.scratch(f"settled_{name}", SETTLED_COLUMNS)
    tx.create(settled, statements.collect_settled(deletes=deletes))
    tx.control.run(clear_failures(failed, name, tx.hand_over(settled)))
    tx.control.run(add_failures(failed, tx.hand_over(fresh)))
    tx.drop(settled)
    tx.drop(fresh)


def _status(totals: Totals, newly_invalid: int) -> str:
    failed = any(totals.failed.values()) or newly_invalid
    return "completed_with_failures" if failed else "succeeded"


def _run_values(totals: Totals, ending: Ending, status: str, finished: datetime) -> dict[str, Any]:
    values: dict[str, Any] = {
        "status": status,
        "finished_at": finished,
        "requests_sent": ending.requests_sent,
        "failed_records_open": totals.failed_records_open,
        "error_code": ending.error_code,
        "error_reason": ending.error_reason,
    }
    for operation in Operation:
        values[f"{operation.value}s_succeeded"] = totals.succeeded[operation]
        values[f"{operation.value}s_failed"] = totals.failed[operation]
    return values


# --- retention -----------------------------------------------------------------------------


def retain(
    warehouse: Warehouse,
    lease: Lease,
    sync_name: str,
    committed_run: int,
    rules: ObservabilityConfig,
) -> list[str]:
    """Drop what is older than the rules say; return warnings about what could not be dropped.

    Only what is older than the committed run is ever dropped: it is the base of the next run,
    and a newer one belongs to whoever has taken the lease meanwhile.

    Raises:
        LeaseLost: Another run has taken over; nothing was dropped.
    """
    with warehouse.transaction() as tx:
        forget_log(tx, sync_name, rules.sync_log_retention_days)
        # Only what the committed run left open still counts.
        for kept in (warehouse.tables.residue, warehouse.tables.former):
            warehouse.forget_earlier(tx, kept, sync_name, committed_run)
        old = _old_runs(tx, sync_name, committed_run, rules.snapshots_to_keep)
        lost = _lost_scratch(tx)
        lease.confirm(tx)
    names = [run_table_name(kind, sync_name, run) for kind, run in old]
    return drop_tables(warehouse, [*names, *lost])


def forget_log(tx: Transaction, sync_name: str, days: int) -> None:
    """Drop the log lines of the runs that finished so many days ago."""
    tables = tx.warehouse.tables
    oldest = tx.now() - timedelta(days=days)
    last = tx.control.scalar(retention.last_run_before(tables.runs, sync_name, oldest))
    if last is not None:
        tx.warehouse.forget_earlier(tx, tables.log, sync_name, last + 1, oldest)


def drop_run(warehouse: Warehouse, sync_name: str, run_id: int) -> list[str]:
    """Drop what a run made before it ended without committing; return warnings."""
    names = [run_table_name(kind, sync_name, run_id) for kind in RUN_TABLES]
    return drop_tables(warehouse, names)


def drop_tables(warehouse: Warehouse, names: Sequence[str]) -> list[str]:
    """Drop tables of ours; return what could not be dropped."""
    warnings = []
    for name in names:
        try:
            with warehouse.transaction() as tx:
                tx.drop(clause(name, (), warehouse.schema))
        except WarehouseError as error:
            # A view of the user's may stand on it; that is no reason to fail a run.
            warnings.append(f"could not drop {warehouse.schema}.{name}: {error}")
    return warnings


def _lost_scratch(tx: Transaction) -> list[str]:
    """Return the scratch tables that killed processes left: no transaction lasts for days."""
    if tx.warehouse.capabilities.temporary_tables and tx.warehouse.capabilities.row_deletes:
        return []  # none was ever made
    oldest = f"{tx.now() - SCRATCH_KEPT:%Y%m%d}"
    days = ((name, day_of_scratch(name)) for name in tx.table_names())
    return [name for name, day in days if day is not None and day < oldest]


def _old_runs(
    tx: Transaction, sync_name: str, committed_run: int, keep: int
) -> list[tuple[str, int]]:
    # Only a committed run has outcomes: a snapshot without them is what a killed planning left.
    found = tx.runs_with_tables(sync_name)
    committed = [run for run in found["outcomes"] if run <= committed_run]
    kept = {*committed[:keep], committed_run}
    return [
        (kind, run)
        for kind in RUN_TABLES
        for run in found[kind]
        if run < committed_run and run not in kept
    ]

"""What is dropped, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Delete, delete, func, select

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Table

    from reverse_etl.warehouse.sql import Chosen


def last_run_before(runs: Table, sync_name: str, moment: datetime) -> Chosen:
    """The newest run of a sync that finished before a moment; NULL for none."""
    row = runs.c
    return select(func.max(row.sync_run_id)).where(
        row.sync_name == sync_name, row.finished_at < moment
    )


def noted_rules(state: Table) -> Chosen:
    """Read for how many days each sync keeps its log, as its last committed run noted it."""
    row = state.c
    return select(row.sync_name, row.sync_log_retention_days).order_by(row.sync_name)


def has_lines_before(log: Table, sync_name: str, run_id: int, moment: datetime) -> Chosen:
    """Look for one line of what :func:`forget_earlier` would drop."""
    row = log.c
    old = [
        row.sync_name == sync_name,
        row.sync_run_id < run_id,
        row.sync_finished_at < moment,
    ]
    return select(func.count()).select_from(select(row.sync_name).where(*old).limit(1).subquery())


def forget_run(ledger: Table, sync_name: str, run_id: int) -> Delete:
    """Drop the lines of one run."""
    row = ledger.c
    return delete(ledger).where(row.sync_name == sync_name, row.sync_run_id == run_id)


def forget_earlier(
    ledger: Table, sync_name: str, run_id: int, finished_before: datetime | None = None
) -> Delete:
    """Drop the lines of the runs before one.

    Args:
        ledger: ``sync_log``, ``residue`` or ``former_aliases``.
        sync_name: The sync.
        run_id: The first run whose lines stay.
        finished_before: When those runs had finished, as far as lines say it: an index goes by it.
    """
    row = ledger.c
    gone = delete(ledger).where(row.sync_name == sync_name, row.sync_run_id < run_id)
    return gone if finished_before is None else gone.where(row.sync_finished_at < finished_before)

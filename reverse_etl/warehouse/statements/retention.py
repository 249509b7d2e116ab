"""What is dropped, and when."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Delete, delete

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Table


def forget_log(log: Table, sync_name: str, now: datetime, days: int) -> Delete:
    """Drop the log lines of runs that finished more than ``days`` days ago."""
    before = now - timedelta(days=days)
    return delete(log).where(log.c.sync_name == sync_name, log.c.sync_finished_at < before)


def forget_run(log: Table, sync_name: str, run_id: int) -> Delete:
    """Drop the log lines of one run."""
    return delete(log).where(log.c.sync_name == sync_name, log.c.sync_run_id == run_id)


def forget_earlier(kept: Table, sync_name: str, committed_run: int) -> Delete:
    """Drop residue or former aliases of earlier runs; the committed run's is all that counts."""
    row = kept.c
    return delete(kept).where(row.sync_name == sync_name, row.sync_run_id < committed_run)

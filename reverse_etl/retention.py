"""What is older than the rules say goes, also of syncs that have not run for long, or are gone.

After each run a sync forgets what is old of its own (``settle.py``). Here all syncs of a schema
do, whether they ran or not: one that is held or paused, and one that is in no config any more,
whose last run noted how long its log is to be kept. Only the log goes by age. Snapshots and plans
go by count when a run adds to them, and what a next run needs is never dropped.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from reverse_etl.errors import Busy, LeaseLost
from reverse_etl.settle import forget_log
from reverse_etl.warehouse import warehouse_of
from reverse_etl.warehouse.lease import Heartbeat, Lease
from reverse_etl.warehouse.statements import retention

if TYPE_CHECKING:
    from reverse_etl.config import Config
    from reverse_etl.ports import Ports
    from reverse_etl.warehouse.base import Warehouse

_logger = logging.getLogger("reverse_etl")


def forget_old_logs(config: Config, warehouse_name: str, ports: Ports) -> list[str]:
    """Drop the lines of ``sync_log`` that are older than the rules say.

    Args:
        config: A loaded config; its rules win over those that a last run noted.
        warehouse_name: A warehouse of it.
        ports: Time.

    Returns:
        The syncs whose log is shorter now; one that is running forgets what is old itself.

    Raises:
        ReverseEtlError: The warehouse cannot be opened, or was lost.
    """
    found: list[str] = []
    warehouse = warehouse_of(config, warehouse_name, ports.clock)
    with warehouse.looking() as tx:
        # Nothing of ours is made for this, least of all a file with a mistyped name.
        if not tx.control.has_table(warehouse.tables.state):
            return found
    with warehouse:
        warehouse.prepare_schema()
        for name, days in _rules(config, warehouse).items():
            if not _has_old_lines(warehouse, name, days):
                continue
            try:
                _forget(config, warehouse, name, days, ports)
            except (Busy, LeaseLost):
                continue  # its run forgets what is old, when it ends
            found.append(name)
            _logger.info(
                "%s: log lines older than %d days dropped", name, days, extra={"sync": name}
            )
    return found


def _rules(config: Config, warehouse: Warehouse) -> dict[str, int]:
    """Return for how many days each sync keeps its log, where anybody knows."""
    with warehouse.control.transaction() as tx:
        noted = dict(tx.rows(retention.noted_rules(warehouse.tables.state)))
        tx.abandon()
    said = {
        name: config.syncs[name].observability.sync_log_retention_days
        for name in noted
        if name in config.syncs
    }
    return {name: days for name, days in (noted | said).items() if days is not None}


def _has_old_lines(warehouse: Warehouse, name: str, days: int) -> bool:
    tables = warehouse.tables
    with warehouse.transaction() as tx:
        oldest = tx.now() - timedelta(days=days)
        # As forget_log: lines of a run that has no end yet stay, however old they are.
        last = tx.control.scalar(retention.last_run_before(tables.runs, name, oldest))
        found = last is not None and tx.scalar(
            retention.has_lines_before(tables.log, name, last + 1, oldest)
        )
        tx.abandon()
    return bool(found)


def _forget(config: Config, warehouse: Warehouse, name: str, days: int, ports: Ports) -> None:
    engine = config.engine
    lease = Lease(warehouse.control, name, seconds=engine.lease_seconds, clock=ports.clock)
    lease.take()
    try:
        with Heartbeat(lease, warehouse.control, engine.heartbeat), warehouse.transaction() as tx:
            forget_log(tx, name, days)
            lease.confirm(tx)
    finally:
        lease.give_back()

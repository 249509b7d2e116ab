"""Which syncs are due: what the schedules say, held against the ticks that were served.

What was served is in the warehouse of each sync, in ``sync_state.due_after``, so any number of
schedulers agree. A sync that no scheduler has seen before is due at its next tick, not at once.
The tick itself is served, and noted, by the run (``run.py``).

What a run has planned and could not send does not wait for the next tick: the sync is due once
more, soon, and such a run serves no tick.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from reverse_etl.errors import WarehouseError
from reverse_etl.schedule import EPOCH, Manual, Tick, due_tick, last_tick, wait_after
from reverse_etl.warehouse import warehouse_of
from reverse_etl.warehouse.shape import has_rest
from reverse_etl.warehouse.statements import control

if TYPE_CHECKING:
    from collections.abc import Collection

    from reverse_etl.config import Config
    from reverse_etl.ports import Ports
    from reverse_etl.schedule import Schedule
    from reverse_etl.warehouse.base import Warehouse


_AT_ONCE = EPOCH.replace(tzinfo=None)


@dataclass(frozen=True)
class Standing:
    """Where a sync stands with its schedule; times are in UTC, without time zone.

    Attributes:
        due_after: The tick that was served last, or when a scheduler first saw the sync.
        has_committed: Whether a run of it ever planned what to send.
        rest_due_at: When to send what the last plan has left, because a run failed, was stopped or
            died; None when nothing is left, or somebody has to decide first whether it may be sent.
        failed_records: Open after the newest run that has ended; None when none has.
        succeeded_at: When a run last ended having delivered what it had planned, failed records
            or not; None when none has.
        began_at: When its first run began; None when none has.
    """

    due_after: datetime
    has_committed: bool = False
    rest_due_at: datetime | None = None
    failed_records: int | None = None
    succeeded_at: datetime | None = None
    began_at: datetime | None = None

    @property
    def in_step_since(self) -> datetime:
        """Return since when the sync has not succeeded again; or since when it is known."""
        return self.succeeded_at or self.began_at or self.due_after


def scheduled(config: Config) -> list[str]:
    """Return the syncs that have a schedule."""
    return [name for name, sync in config.syncs.items() if sync.schedule != Manual()]


def look(
    config: Config, warehouse_name: str, names: Collection[str], ports: Ports
) -> dict[str, Standing]:
    """Ask a warehouse where syncs stand; one that nobody has seen before is seen now.

    Args:
        config: A loaded config.
        warehouse_name: A warehouse of it.
        names: Syncs that read from it.
        ports: Time.

    Raises:
        Busy: A DuckDB file is open elsewhere, or our tables are older and in use.
        ReverseEtlError: The warehouse cannot be opened, or our tables cannot be made.
    """
    now = naive(ports.clock.now()).replace(microsecond=0)
    with warehouse_of(config, warehouse_name, ports.clock) as warehouse:
        warehouse.prepare_schema()
        found = {name: _look(warehouse, name, now) for name in names}
        with warehouse.control.transaction() as tx:
            runs, of = warehouse.tables.runs, list(names)
            successes = {row.sync_name: row for row in tx.rows(control.last_successes(runs, of))}
            endings = {row.sync_name: row for row in tx.rows(control.last_endings(runs, of))}
            tx.abandon()
        # Where a lock proves the lease nobody else is running: the file could be opened.
        proven = warehouse.control.capabilities.lock_proves_lease
    return {
        name: _standing(row, successes.get(name), endings.get(name), is_free=proven)
        for name, row in found.items()
    }


def _standing(row: Any, success: Any, ending: Any, *, is_free: bool) -> Standing:  # noqa: ANN401 - rows of ours
    failures = row.last_run_id - ((success.succeeded_run_id if success else None) or 0)
    return Standing(
        row.due_after,
        has_committed=row.committed_run_id is not None,
        rest_due_at=_rest_due_at(row, ending, failures, is_free=is_free) if has_rest(row) else None,
        failed_records=ending.failed_records_open if ending else None,
        succeeded_at=success.succeeded_at if success else None,
        began_at=success.began_at if success else None,
    )


def _rest_due_at(row: Any, ending: Any, failures: int, *, is_free: bool) -> datetime | None:  # noqa: ANN401 - as above
    """Return when to send what a plan has left.

    It waits longer after each failure: each try evaluates the query once more.
    """
    if ending is not None and ending.status == "held":
        return None
    if row.lease_expires_at is not None and not is_free:
        return row.lease_expires_at  # type: ignore[no-any-return]  # a run is at work, or died there
    if ending is not None and ending.status == "failed":
        return ending.finished_at + wait_after(failures)  # type: ignore[no-any-return]  # as above
    return _AT_ONCE


def find_tick(
    schedule: Schedule, standing: Standing, now: datetime, *, at_once: bool = False
) -> Tick | None:
    """Return the tick that a sync is due for, or None.

    Between ticks a sync is due as well when something of its last plan is to be sent.

    Args:
        schedule: Of the sync.
        standing: Where it stands.
        now: Aware.
        at_once: Whether a sync that never planned anything is due whatever it waits for.
    """
    tick = due_tick(schedule, standing.due_after.replace(tzinfo=UTC), now)
    if tick is None and at_once and not standing.has_committed:
        tick = last_tick(schedule, now)
    if tick is not None:
        return Tick(naive(tick), standing.due_after)
    rest = standing.rest_due_at
    return Tick(None, standing.due_after) if rest is not None and rest <= naive(now) else None


def naive(moment: datetime) -> datetime:
    """Return an aware moment as our tables hold it: in UTC, without time zone."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def _look(warehouse: Warehouse, name: str, now: datetime) -> Any:  # noqa: ANN401 - a row of sync_state
    try:
        return _see(warehouse, name, now)
    except WarehouseError:
        return _see(warehouse, name, now)  # another scheduler saw it in the same moment


def _see(warehouse: Warehouse, name: str, now: datetime) -> Any:  # noqa: ANN401 - a row of sync_state
    state = warehouse.tables.state
    read = control.read_state(state, name)
    with warehouse.control.transaction() as tx:
        rows = tx.rows(read)
        if rows and rows[0].due_after is not None:
            tx.abandon()
            return rows[0]
        tx.run(control.know_sync(state, name))
        tx.run(control.see_sync(state, name, now))
        return tx.rows(read)[0]

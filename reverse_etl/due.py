"""Which syncs are due: what the schedules say, held against the ticks that were served.

What was served is in the warehouse of each sync, in ``sync_state.due_after``, so any number of
schedulers agree. A sync that no scheduler has seen before is due at its next tick, not at once.
The tick itself is served, and noted, by the run (``run.py``).

What a run has planned and could not send need not wait for the next tick: the sync is due at once,
and such a run serves no tick.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from reverse_etl.errors import WarehouseError
from reverse_etl.schedule import Manual, Tick, due_tick, last_tick
from reverse_etl.warehouse import warehouse_of
from reverse_etl.warehouse.shape import has_rest
from reverse_etl.warehouse.statements import control

if TYPE_CHECKING:
    from collections.abc import Collection

    from reverse_etl.config import Config
    from reverse_etl.ports import Ports
    from reverse_etl.schedule import Schedule
    from reverse_etl.warehouse.base import Warehouse


@dataclass(frozen=True)
class Standing:
    """Where a sync stands with its schedule; times are in UTC, without time zone.

    Attributes:
        due_after: The tick that was served last, or when a scheduler first saw the sync.
        has_committed: Whether a run of it ever planned what to send.
        has_rest: Whether the last plan was not sent to its end: a run failed, was stopped or died.
        is_leased: Whether a run holds its lease, dead or alive.
        is_held: Whether the brake held the newest run.
        failed_records: Open after the newest run that has ended; None when none has.
        succeeded_at: When a run last ended having delivered what it had planned, failed records
            or not; None when none has.
        began_at: When its first run began; None when none has.
    """

    due_after: datetime
    has_committed: bool = False
    has_rest: bool = False
    is_leased: bool = False
    is_held: bool = False
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
            moment = tx.now()
            tx.abandon()
        # Where a lock proves the lease nobody else is running: the file could be opened.
        proven = warehouse.control.capabilities.lock_proves_lease
    standings = {
        name: _standing(row, successes.get(name), endings.get(name)) for name, row in found.items()
    }
    return {
        name: replace(standing, is_leased=not proven and _is_leased(found[name], moment))
        for name, standing in standings.items()
    }


def _is_leased(row: Any, now: datetime) -> bool:  # noqa: ANN401 - a row of sync_state
    return row.lease_expires_at is not None and row.lease_expires_at > now


def _standing(row: Any, success: Any, ending: Any) -> Standing:  # noqa: ANN401 - rows of ours
    return Standing(
        row.due_after,
        has_committed=row.committed_run_id is not None,
        has_rest=has_rest(row),
        is_held=ending is not None and ending.status == "held",
        failed_records=ending.failed_records_open if ending else None,
        succeeded_at=success.succeeded_at if success else None,
        began_at=success.began_at if success else None,
    )


def find_tick(
    schedule: Schedule, standing: Standing, now: datetime, *, at_once: bool = False
) -> Tick | None:
    """Return the tick that a sync is due for, or None.

    Between ticks a sync is due as well while its last plan was not sent to its end, unless somebody
    has to decide first whether it may be.

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
    return Tick(None, standing.due_after) if standing.has_rest and not standing.is_held else None


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

"""What the commands share that only look into the tables of a sync."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from reverse_etl.cli.output import moment

if TYPE_CHECKING:
    from reverse_etl.clock import Clock
    from reverse_etl.config import Config, SyncConfig
    from reverse_etl.warehouse.base import Transaction


@contextmanager
def reading(config: Config, warehouse_name: str, clock: Clock) -> Iterator[Transaction]:
    """Open a warehouse to look into it."""
    from reverse_etl.warehouse import warehouse_of  # noqa: PLC0415 - loads SQLAlchemy

    with warehouse_of(config, warehouse_name, clock).looking() as tx:
        yield tx


def next_tick_of(sync: SyncConfig, now: datetime) -> datetime | None:
    """Return when the schedule asks for the next run, or None where runs are started by hand."""
    from reverse_etl.schedule import next_tick  # noqa: PLC0415 - loads croniter

    return next_tick(sync.schedule, now)


def document_of(row: Any, leave_out: Sequence[str] = ()) -> dict[str, Any]:  # noqa: ANN401 - a Row
    """Return a row of ours as JSON values, by column, without the sync's name."""
    hidden = {"sync_name", *leave_out}
    return {
        name: moment(value) if isinstance(value, datetime) else value
        for name, value in row._mapping.items()  # noqa: SLF001 - how SQLAlchemy names it
        if name not in hidden
    }

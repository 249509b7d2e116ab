"""Failed records that somebody asks for: planned again by the next run, whatever their kind.

A refusal that is permanent waits until the row's values change. Whoever has put the cause right at
the destination (a field's type, a person who was forgotten by mistake) says so here. The request
is a time in ``failed_records``: it stays until a run has tried the record, also over kills.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reverse_etl.clock import Clock, SystemClock
from reverse_etl.warehouse import warehouse_of
from reverse_etl.warehouse.statements import control

if TYPE_CHECKING:
    from reverse_etl.config import Config
    from reverse_etl.warehouse.base import Transaction
    from reverse_etl.warehouse.sql import Expression


@dataclass(frozen=True)
class Requested:
    """What was asked for.

    Attributes:
        by_code: Failed records that the next run plans again, by error code.
        without_identifier: Rows that match too, but that nothing can be sent for.
    """

    by_code: dict[str, int] = field(default_factory=dict)
    without_identifier: int = 0

    @property
    def count(self) -> int:
        """Return how many failed records the next run plans again."""
        return sum(self.by_code.values())


def request_retry(  # noqa: PLR0913 - which records, in the words of the command
    config: Config,
    sync_name: str,
    *,
    error_code: str | None = None,
    primary_key: str | None = None,
    identity: str | None = None,
    clock: Clock | None = None,
) -> Requested:
    """Let the next run of a sync plan failed records again; all, where nothing is named.

    No lease is taken: a run that is under way keeps what it has planned, and what it tries and
    fails again is then a failure of that run.

    Args:
        config: A loaded config.
        sync_name: The sync.
        error_code: Only those with this code.
        primary_key: Only those of this row.
        identity: Only this person.
        clock: Time, for tests.

    Raises:
        ConfigError: There is no such sync.
        Busy: The DuckDB file stayed locked.
        WarehouseError: The warehouse cannot be reached or written, or the sync has moved.
    """
    sync = config.sync(sync_name)
    name = sync.source.warehouse
    warehouse = warehouse_of(config, name, clock or SystemClock())
    with warehouse.looking() as tx:
        # Nothing of ours is made for this, least of all a file with a mistyped name.
        if not tx.control.has_table(warehouse.tables.state):
            return Requested()
    with warehouse:
        warehouse.prepare_schema()
        with warehouse.transaction() as tx:
            tx.state(sync.name)  # refuses a sync that has moved
            chosen = control.choose_failures(
                warehouse.tables.failed,
                sync.name,
                error_code=error_code,
                primary_key=None if primary_key is None else sync.source.stored_key(primary_key),
                identity=identity,
            )
            return ask_again(tx, chosen)


def ask_again(tx: Transaction, chosen: list[Expression]) -> Requested:
    """Note in a transaction that some failed records are asked for.

    Args:
        tx: The transaction.
        chosen: Conditions on ``failed_records``.
    """
    failed = tx.warehouse.tables.failed
    by_code: dict[str, int] = {}
    without = 0
    for code, unidentified, count in tx.control.rows(control.matching_failures(failed, chosen)):
        if unidentified:
            without += count
        else:
            by_code[code] = count
    if by_code:
        tx.control.run(control.request_retry(failed, chosen, tx.now()))
    return Requested(by_code, without)

"""A first look into a warehouse that no config names yet, to propose a sync of one of its tables.

Nothing is changed there: its sessions are read-only where the engine has such sessions.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from reverse_etl.errors import ConfigError, SourceError
from reverse_etl.warehouse import warehouse_at
from reverse_etl.warehouse.browse import TableFacts, look_at_table, visible_tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reverse_etl.clock import Clock
    from reverse_etl.warehouse.base import Warehouse

_ALIKE = 3
"""Names that are suggested for one that is not there."""


@dataclass(frozen=True, slots=True)
class FirstLook:
    """What was seen.

    Attributes:
        tables: All tables and views that this role sees, as a config can say them; empty where
            one was asked for and found.
        facts: The table that was asked for.
        needs_control: Whether the engine needs a control database beside it.
    """

    tables: tuple[str, ...] = ()
    facts: TableFacts | None = None
    needs_control: bool = False


def first_look(url: str, schema: str, table: str | None, clock: Clock) -> FirstLook:
    """Look at one table of a warehouse, or at the names of all.

    Args:
        url: A SQLAlchemy URL, with its secrets.
        schema: Of our own tables; not looked at.
        table: ``name`` or ``schema.name``, or None for the names.
        clock: Time.

    Raises:
        ConfigError: The URL cannot be used, or there is no such table; with the closest ones.
        Busy: The DuckDB file stayed locked.
        RunError: The warehouse cannot be reached or read, or its driver is not installed.
    """
    with _only_read(warehouse_at(url, schema, clock)) as warehouse:
        if table is None:
            return FirstLook(tables=_tables(warehouse))
        try:
            with warehouse.transaction() as tx:
                facts = look_at_table(tx, table)
                tx.abandon()
        except SourceError as error:
            _refuse_unknown(warehouse, table)
            raise error from None
    return FirstLook(facts=facts, needs_control=not warehouse.capabilities.transactions)


@contextmanager
def _only_read(warehouse: Warehouse) -> Iterator[Warehouse]:
    warehouse.is_only_read = True
    with warehouse.opened_to_look():
        yield warehouse


def _tables(warehouse: Warehouse) -> tuple[str, ...]:
    with warehouse.transaction() as tx:
        found = visible_tables(tx)
        tx.abandon()
    return tuple(found)


def _refuse_unknown(warehouse: Warehouse, table: str) -> None:
    """Raise a ConfigError when a table is not there; one that is there failed otherwise."""
    known = _tables(warehouse)
    if table in known:
        return
    # People leave out a schema, or write a name in other letters.
    names = {word.lower(): name for name in known for word in (name, _bare(name))}
    alike = [
        match
        for word in (table, _bare(table))
        for match in get_close_matches(word.lower(), names, _ALIKE)
    ]
    found = list(dict.fromkeys(names[each] for each in alike))[:_ALIKE]
    if not known:
        hint = "this role sees no table there at all; look at the database in the URL"
    elif found:
        hint = f"did you mean {' or '.join(found)}?"
    else:
        hint = "without --table all are listed"
    raise ConfigError([f"there is no table {table} in the warehouse; {hint}"])


def _bare(table: str) -> str:
    return table.rpartition(".")[2]

"""What an engine can do, as data: the rest of the code asks, and never compares names.

What only decides how an expression is written is in ``Sql`` (``full_join``, ``read_as``).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one engine can do, and where it is peculiar.

    The defaults are those of a database that has everything.

    Attributes:
        transactions: Whether several statements that change rows take effect together, and two
            that change one row at once notice each other. Without it, what is changed row by row
            (leases, runs, failed records) has to be kept in a control database.
        transactional_ddl: Whether making and dropping tables takes part in a transaction.
        row_deletes: Whether single rows can be deleted.
        temporary_tables: Whether a table can be made that nobody else sees and that goes by
            itself.
        lock_proves_lease: Whether opening it for writing proves that no other process runs.
        deletes_rewrite_new_tables: Whether a delete from a table that the same transaction made
            costs as much as making it.
        longest_name: Bytes that the name of a table may have.
    """

    transactions: bool = True
    transactional_ddl: bool = True
    row_deletes: bool = True
    temporary_tables: bool = True
    lock_proves_lease: bool = False
    deletes_rewrite_new_tables: bool = False
    longest_name: int = 63

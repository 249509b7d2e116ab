"""Which fields a person may hold from us, as text: the destination fields of one or more mappings.

One line for each mapping, a JSON array of names (:func:`reverse_etl.warehouse.shape.field_set`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import case, func, literal

if TYPE_CHECKING:
    from reverse_etl.warehouse.sql import Expression


def with_set(known: Expression, more: str) -> Expression:
    """Return the field sets together with one more; ``known`` may be NULL."""
    # JSON has [" only where an array begins: in a name the quote is escaped. So a text that holds
    # the array holds it as a line of its own (or the array is empty, and nothing is missed).
    there = func.strpos(known, more) > 0
    return case(
        (known.is_(None), literal(more)),
        (there, known),
        else_=known + literal("\n") + literal(more),
    )

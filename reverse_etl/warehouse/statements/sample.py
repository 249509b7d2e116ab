"""The first rows of a query, counted column by column: what a proposal of a sync rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Integer, case, func, literal, select

from reverse_etl.warehouse.statements.snapshot import query_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reverse_etl.warehouse.shape import SourceColumn
    from reverse_etl.warehouse.sql import Chosen, Expression, Sql

# Something, an @, a domain with a dot: enough to tell a column of addresses from any other.
_ADDRESS = "%_@_%._%"


def count_sample(
    query: str, names: Sequence[str], columns: Sequence[SourceColumn], sql: Sql, rows: int
) -> Chosen:
    """Count the first rows of a query, and what is in some of its columns.

    Args:
        query: One SELECT, checked.
        names: All its columns.
        columns: Those to look at: of types that have a text.
        sql: The engine's expressions.
        rows: How many rows are looked at; which ones is up to the engine.

    Returns:
        One row: the number of rows, and then for each column how many of them are neither NULL
        nor blank, how many different texts there are, and how many look like an e-mail address.
    """
    source = query_source(query, list(names))
    texts = [
        func.nullif(sql.trimmed(sql.text_of(source.c[column.name], column)), "").label(f"text_{n}")
        for n, column in enumerate(columns)
    ]
    first = select(literal(1).label("row_"), *texts).select_from(source).limit(rows)
    sample = first.subquery("first_rows")
    counts = [each for n in range(len(texts)) for each in _counts(sample.c[f"text_{n}"])]
    return select(func.count(), *counts).select_from(sample)


def _counts(text: Expression) -> list[Expression]:
    addresses = func.sum(case((text.like(_ADDRESS), 1), else_=0))
    return [
        func.count(text),
        func.count(text.distinct()),
        func.coalesce(addresses, literal(0, Integer)),
    ]

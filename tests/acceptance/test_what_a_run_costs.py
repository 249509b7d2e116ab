"""What a run costs, counted: statements, requests, rows that come back. Seconds are for benchmarks.

The warehouse does the set work, so what comes out of it is the people who are to be sent, once,
and as columns; everything else that is read has a size that the table does not know.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from reverse_etl.warehouse.base import Transaction
from reverse_etl.warehouse.duckdb import DuckDBWarehouse
from reverse_etl.warehouse.postgresql import PostgreSQLWarehouse

if TYPE_CHECKING:
    import pyarrow as pa
    import pytest

    from tests.world import World

FEW, MANY = 300, 2_700
# The rows that a run looks at one by one: of our own small tables, and counts by operation.
MOST_OBJECTS = 50


@dataclass
class Cost:
    """What a run has cost.

    Attributes:
        statements: That SQLAlchemy sent.
        objects: Rows that became Python objects.
        pages: Columns that were read of the plan.
    """

    statements: int = 0
    objects: int = 0
    pages: list[pa.Table] = field(default_factory=list)

    @property
    def people(self) -> int:
        """Rows of all pages."""
        return sum(page.num_rows for page in self.pages)


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cost]:
    """Count until the block ends."""
    cost = Cost()

    def count(*_: Any) -> None:
        cost.statements += 1

    rows = Transaction.rows

    def noted_rows(self: Transaction, statement: Any) -> Any:
        found = rows(self, statement)
        cost.objects += len(found)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(Transaction, "rows", noted_rows)
        for warehouse in (DuckDBWarehouse, PostgreSQLWarehouse):
            read = warehouse.read_arrow

            def noted_page(self: Any, statement: str, read: Any = read) -> pa.Table:
                cost.pages.append(read(self, statement))
                return cost.pages[-1]

            patched.setattr(warehouse, "read_arrow", noted_page)
        sa.event.listen(sa.Engine, "before_cursor_execute", count)
        try:
            yield cost
        finally:
            sa.event.remove(sa.Engine, "before_cursor_execute", count)


def fill(world: World, people: int) -> None:
    """Let the source hold so many people."""
    world.sql("DELETE FROM people")
    world.sql(
        "INSERT INTO people SELECT g, NULL, 'person' || g || '@x.com', 'gold', 'Oslo', g / 4.0"  # noqa: S608
        f" FROM generate_series(1, {people}) AS t(g)"
    )


def costs(world: World, monkeypatch: pytest.MonkeyPatch, *, full: bool = False) -> Cost:
    """Run, and count."""
    with counted(monkeypatch) as cost:
        world.run(full=full)
    return cost


def grow_old(world: World) -> None:
    """Run until each run drops the tables of an older one, as it will from then on."""
    for _ in range(4):
        world.run()


def test_everybody_is_read_once_and_only_what_is_sent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(world, FEW)
    grow_old(world)
    few = costs(world, monkeypatch, full=True)
    fill(world, MANY)
    many = costs(world, monkeypatch, full=True)
    assert (few.people, many.people) == (FEW, MANY)
    # The source has other columns, too; an alias is NULL here, and costs an offset.
    assert {name for page in many.pages for name in page.column_names} == {
        "_identity",
        "_alias",
        "plan",
    }
    assert sum(page.nbytes for page in many.pages) < MANY * 60
    # Those who are new in three requests, those who were there before in one.
    deliveries = [sent for sent in world.sent if sent.path.endswith("/subscribe")]
    assert [len(sent.people) for sent in deliveries] == [1_000, 1_000, MANY - FEW - 2_000, FEW]
    assert few.statements == many.statements
    assert max(few.objects, many.objects) < MOST_OBJECTS


def test_a_run_without_a_change_reads_nobody(
    profiles: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for people in (FEW, MANY):
        fill(profiles, people)
        grow_old(profiles)
        found.append(costs(profiles, monkeypatch))
        assert (found[-1].people, profiles.sent) == (0, [])
    assert found[0].statements == found[1].statements
    assert found[0].objects == found[1].objects < MOST_OBJECTS


def test_a_run_reads_those_who_changed(profiles: World, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(profiles, MANY)
    profiles.run()
    profiles.sql("UPDATE people SET plan = 'silver' WHERE id % 100 = 0")
    cost = costs(profiles, monkeypatch)
    assert cost.people == MANY // 100
    assert [len(sent.people) for sent in profiles.sent] == [MANY // 100]
    assert cost.objects < MOST_OBJECTS

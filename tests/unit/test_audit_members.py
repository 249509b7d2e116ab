"""The comparison of a hybrid list with the base, against people whose identifiers are known.

The destination is made up: people with a user id, an e-mail address, or both, each on one line of
each reading. So the test knows which lines belong together, and the statements do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.iterable.auditing import parse_members
from connectors.iterable.identifiers import EMAIL, USER_ID
from reverse_etl.audit import Auditor, _Members
from reverse_etl.clock import SystemClock
from reverse_etl.report import AuditReport
from reverse_etl.warehouse.base import Transaction, Warehouse
from reverse_etl.warehouse.duckdb import DuckDBWarehouse
from reverse_etl.warehouse.shape import Base
from reverse_etl.warehouse.tables import (
    PENDING_COLUMNS,
    RunTables,
    clause,
)

SYNC = "vip"
BASE = Base(2, 0, 0, 0, (), {})


class Person(NamedTuple):
    """Somebody with one identifier or two."""

    user_id: str | None
    email: str | None

    @property
    def handles(self) -> set[str]:
        named = (("userId", self.user_id), ("email", self.email))
        return {f"{name}:{value}" for name, value in named if value}

    @property
    def identity(self) -> str:
        return f"userId:{self.user_id}" if self.user_id else f"email:{self.email}"


class Audience(NamedTuple):
    """What is there, what is believed, and what this sync once added."""

    members: list[Person]
    base: list[Person]
    added: list[Person]


@st.composite
def audiences(draw: st.DrawFn) -> Audience:
    """Draw people; the base, and what was once added, may know only a part of them."""
    shapes = st.sampled_from(["user id", "email", "both"])
    people = [
        Person(
            f"u{n}" if shape != "email" else None,
            f"e{n}@x.com" if shape != "user id" else None,
        )
        for n, shape in enumerate(draw(st.lists(shapes, max_size=7)))
    ]

    def some(share: st.SearchStrategy[bool]) -> list[Person]:
        return [person for person in people if draw(share)]

    def partly(person: Person) -> Person:
        if person.user_id and person.email and draw(st.booleans()):
            return person._replace(**{draw(st.sampled_from(["user_id", "email"])): None})
        return person

    half = st.booleans()
    return Audience(
        members=some(half), base=list(map(partly, some(half))), added=list(map(partly, some(half)))
    )


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    path = tmp_path_factory.mktemp("audit") / "warehouse.duckdb"
    with DuckDBWarehouse(f"duckdb:///{path}", "reverse_etl", SystemClock()) as opened:
        opened.prepare_schema()
        yield opened


def fill(tx: Transaction, table: sa.TableClause, rows: Sequence[Any]) -> None:
    tx.create_empty(table)
    if rows:
        names = [column.name for column in table.c]
        columns = map(pa.array, zip(*rows, strict=True))
        tx.upload(table, pa.RecordBatch.from_arrays(list(columns), names))


def rows_of(people: Sequence[Person]) -> list[tuple[str, str | None, str]]:
    return [(person.identity, person.email, "1") for person in people]


def compared(
    warehouse: Warehouse, audience: Audience, folder: Path
) -> tuple[AuditReport, dict[str, set[str]]]:
    """Compare; return the report and who is wrong, by operation."""
    readings = [
        [person.user_id or person.email for person in audience.members],
        [person.email or person.user_id for person in audience.members],
    ]
    paths = []
    for n, lines in enumerate(readings):
        paths.append(folder / f"reading-{n}")
        paths[-1].write_text("".join(f"{line}\n" for line in lines))
    report = AuditReport(SYNC, "members")
    with warehouse.transaction() as tx:
        tables = RunTables(SYNC, 2, warehouse.schema, (), ())
        older = RunTables(SYNC, 1, warehouse.schema, (), ())
        fill(tx, tables.snapshot, rows_of(audience.base))
        added = [
            (seq, 1, "insert", *row, False, False, None)
            for seq, row in enumerate(rows_of(audience.added), 1)
        ]
        fill(tx, older.changes, added)
        for each in (tables, older):
            tx.create_empty(each.outcomes)
        ended = {"sync_name": SYNC, "sync_run_id": 1, "status": "succeeded"}
        tx.run(warehouse.tables.runs.insert().values(ended))
        left_open = clause(f"left_open_{SYNC}", PENDING_COLUMNS, None)
        tx.create_empty(left_open)
        destination = SimpleNamespace(
            identifiers=(USER_ID, EMAIL),
            prefixed=True,
            sends_alias=True,
            parse_members=lambda lines: parse_members(lines, (USER_ID, EMAIL)),
        )
        auditor = SimpleNamespace(
            destination=destination, sync=SimpleNamespace(name=SYNC), deletes=True
        )
        comparing = _Members(cast("Auditor", auditor), tx, BASE, tables, left_open, report)
        wrong = comparing.compare(paths)
        found: dict[str, set[str]] = {"update": set(), "delete": set()}
        for identity, operation in tx.rows(sa.select(wrong.c["_identity"], wrong.c["_operation"])):
            found[operation].add(identity)
        tx.abandon()
    return report, found


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(audience=audiences())
def test_an_audit_knows_what_it_can_and_is_never_wrong_about_ours(
    warehouse: Warehouse, tmp_path: Path, audience: Audience
) -> None:
    report, wrong = compared(warehouse, audience, tmp_path)
    believed = set().union(*(person.handles for person in audience.base))
    there = set().union(*(person.handles for person in audience.members))
    missing = {person.identity for person in audience.base if not person.handles & there}
    strangers = [person for person in audience.members if not person.handles & believed]
    may_go = set().union(*(person.handles for person in strangers))

    assert wrong["update"] == missing
    assert wrong["delete"] <= may_go & {person.identity for person in audience.added}
    assert report.counts["members"] == len(audience.members)
    assert report.counts["missing"] == len(missing)
    assert report.counts["in_step"] == len(audience.base) - len(missing)
    ours, others = report.counts["extra_ours"], report.counts["extra_others"]
    assert ours == len(wrong["delete"])
    assert ours + others == len(strangers)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(audience=audiences())
def test_without_doubt_everybody_whom_we_added_is_found(
    warehouse: Warehouse, tmp_path: Path, audience: Audience
) -> None:
    """There is none when both identifiers of everyone in the base are known."""
    whole = audience._replace(base=audience.members[::2])
    _, wrong = compared(warehouse, whole, tmp_path)
    strangers = [person for person in whole.members if person not in whole.base]
    may_go = set().union(*(person.handles for person in strangers))
    assert wrong["delete"] == may_go & {person.identity for person in whole.added}

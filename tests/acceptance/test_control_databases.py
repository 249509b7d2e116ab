"""A warehouse that keeps no two statements together, beside a database that does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from connectors.iterable.sandbox import Fault
from reverse_etl.check import check
from reverse_etl.preview import preview

if TYPE_CHECKING:
    from tests.world import Beside, World

pytestmark = pytest.mark.parametrize("database", ["beside control"], indirect=True)


def control_file(database: Beside) -> Path:
    return Path(database.control.url.removeprefix("duckdb:///"))


def test_before_the_first_run_a_look_needs_no_control_database(
    world: World, database: Beside
) -> None:
    world.put_emails("ada", "bob")
    database.release()
    assert preview(world.config(), "vip").report.planned == world.changes(insert=2)
    assert not control_file(database).exists()
    (checked,) = check(world.config(), ["vip"])
    assert {finding.verdict for finding in checked.findings} <= {"ok", "warning", "unproven"}


def test_a_refused_person_is_known_in_both(world: World) -> None:
    world.put_emails("ada", "bob")
    world.faults = [Fault("refuse", identifiers=("bob@x.com",), bucket="notFound", times=1)]
    world.run()
    assert set(world.failed()) == {"bob@x.com"}
    assert world.run().planned == world.changes(insert=1)
    assert world.members() == {"ada@x.com", "bob@x.com"}
    assert world.failed() == {}
    world.quiet()


def test_nothing_of_a_run_stays_but_its_tables(world: World) -> None:
    world.put({"id": 1, "email": "ada@x.com"}, {"id": 2, "email": "ADA@x.com"}, {"id": 3})
    world.run()
    world.quiet()
    assert not [name for name in world.tables() if name.startswith("scratch_")]


def test_what_a_killed_process_had_made_for_the_moment_goes_when_it_is_old(world: World) -> None:
    world.put_emails("ada")
    world.run()
    today = world.clock.now()
    names = {
        f"scratch_20010203_0123abcd_pending_{world.last_run()['sync_name']}": False,
        f"scratch_{today:%Y%m%d}_0123abcd_pending": True,
        "scratch_of_mine": True,
    }
    for name in names:
        world.sql(f"CREATE TABLE reverse_etl.{name} (a INTEGER)")
    world.quiet()
    assert {name: name in world.tables() for name in names} == names


def test_a_run_that_dies_at_any_statement_is_repaired_by_the_next(world: World) -> None:
    world.put_emails("ada", "bob")
    world.run()
    world.put_emails("bob", "cy")
    moment = 1
    while world.die_at(moment):
        world.run()
        assert world.members() == {"bob@x.com", "cy@x.com"}
        world.put_emails("ada", "bob")
        world.run()
        world.put_emails("bob", "cy")
        moment += 9
    assert world.members() == {"bob@x.com", "cy@x.com"}

"""The tables of a sync move to another place; nobody is sent again, and nobody is forgotten."""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from connectors.iterable.sandbox import Fault
from reverse_etl.cli import app
from reverse_etl.errors import ConfigError, WarehouseError
from reverse_etl.move import move
from tests import documents
from tests.world import SYNC, Apart, Database, Kept, Killed, killed_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.world import World

ZOO = {
    "n": "42",
    "d": "cast(1.50 as numeric(9, 2))",
    "x": "cast(0.1 as double precision)",
    "z": "cast('-0.0' as double precision)",
    "t": "'a''b \\ 🙂'",
    "f": "true",
    "day": "date '2026-01-02'",
    "ts": "timestamp '2026-01-02 03:04:05.678901'",
    "tz": "timestamp with time zone '2026-01-02 03:04:05+02'",
    "e": "cast(null as integer)",
    "s": "plan",
}


@pytest.fixture
def places(postgres_url: str, duckdb_url: str, tmp_path: Path) -> Iterator[Mapping[str, Database]]:
    """Yield where the same source may be worked on; the table is in PostgreSQL."""
    known = {
        "here": Database(postgres_url),
        "workspace": Apart(postgres_url, duckdb_url),
        "control": Kept(postgres_url, f"duckdb:///{tmp_path / 'control.duckdb'}"),
    }
    yield known
    for place in known.values():
        place.release()


def enter(world: World, place: Database) -> None:
    """Let the config lead to a place."""
    world.database.release()
    world.database, world.beside = place, {}


def name_beside(world: World, place: Database) -> None:
    """Let the config know the place as the warehouse ``next``."""
    blocks = place.warehouses()
    others = {name: block for name, block in blocks.items() if name != "local"}
    world.beside = {"next": blocks["local"], **others}


def go(world: World, place: Database) -> None:
    """Move there, and let the config follow."""
    name_beside(world, place)
    world.database.release()
    place.release()
    move(world.config(), SYNC, "next")
    enter(world, place)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("left", "entered"),
    [
        ("workspace", "here"),
        ("here", "workspace"),
        ("workspace", "control"),
        ("control", "workspace"),
    ],
)
def test_nothing_is_sent_again(
    world: World, places: Mapping[str, Database], left: str, entered: str
) -> None:
    """Whatever the types are; what is refused stays refused, and a change is one."""
    enter(world, places[left])
    chosen = ", ".join(f"{value} as {name}" for name, value in ZOO.items())
    world.sync["source"]["query"] = f"select id, email, {chosen} from people"  # noqa: S608
    world.sync["fields"] = {name: name for name in ZOO}
    people = [{"email": f"{name}@x.com", "plan": "gold"} for name in ("ada", "bob", "cy")]
    world.put(*people, {"plan": "nobody"})
    world.faults = [Fault("refuse", identifiers=("cy@x.com",), bucket="invalid")]
    world.run()
    runs, log, failed = world.runs(), world.log(), world.failed()
    assert "cy@x.com" in failed

    go(world, places[entered])
    assert (world.runs(), world.log(), world.failed()) == (runs, log, failed)
    world.quiet()
    world.put(people[0] | {"plan": "basic"}, people[1], {"plan": "nobody"})
    report = world.run()
    assert report.planned == world.changes(update=1, delete=1)
    assert world.fields("ada@x.com")["s"] == "basic"

    enter(world, places[left])
    with pytest.raises(WarehouseError, match=r"vip has moved: .*move vip --to"):
        world.run()
    assert world.sent == []


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_there_and_back_again(world: World, places: Mapping[str, Database]) -> None:
    """The place that was left is entered again as if it were new."""
    enter(world, places["workspace"])
    world.put_emails("ada", "bob")
    world.run()
    go(world, places["here"])
    world.put_emails("ada", "cy")
    world.run()
    log = world.log()
    go(world, places["workspace"])
    assert world.log() == log
    world.quiet()
    assert world.members() == {"ada@x.com", "cy@x.com"}


@pytest.mark.parametrize("database", ["duckdb"], indirect=True)
def test_out_of_the_users_file_and_back(world: World, tmp_path: Path) -> None:
    """The file is then open for its tables, and looked at as a source."""
    inside = world.database
    beside = Apart(inside.url, f"duckdb:///{tmp_path / 'ours.duckdb'}")
    world.put_emails("ada", "bob")
    world.run()
    for place in (beside, inside):
        go(world, place)
        world.quiet()
    world.put_emails("bob")
    assert world.run().planned == world.changes(delete=1)


# What dies between the making of a cursor and its statement closes neither.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_move_that_dies_at_any_statement_is_finished_by_the_next(
    world: World, places: Mapping[str, Database]
) -> None:
    """And in between the place that is left runs as before, or refuses to."""
    enter(world, places["here"])
    world.put_emails("ada", "bob")
    world.run()
    stays = places["here"], places["workspace"]
    moment = 1
    while True:
        left, entered = stays
        name_beside(world, entered)
        world.database.release()
        died = True
        try:
            with killed_at(moment):
                move(world.config(), SYNC, "next")
                died = False
        except Killed:
            for place in stays:
                enter(world, place)
                world.bury()
            gc.collect()  # here, and not in somebody else's test
        if not died:
            break
        enter(world, left)
        with contextlib.suppress(WarehouseError):  # it has moved, or is where it was
            world.quiet()
        assert world.sent == []
        name_beside(world, entered)
        world.database.release()
        move(world.config(), SYNC, "next")
        enter(world, entered)
        world.quiet()
        stays = entered, left
        moment += 9
    enter(world, stays[1])
    world.quiet()
    assert moment > 20


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_the_command_says_what_it_moved_and_what_to_do_next(
    world: World,
    places: Mapping[str, Database],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In words, and as JSON; no password in either."""
    enter(world, places["here"])
    world.put_emails("ada", "bob")
    world.run()
    password = sa.make_url(world.database.url).password or ""
    monkeypatch.setenv("WAREHOUSE_URL", world.database.url)
    monkeypatch.setenv("ITERABLE_API_KEY", world.key)
    stays = ["here", "workspace", "here"]
    for left, entered, option in zip(stays, stays[1:], ([], ["--json"]), strict=False):
        enter(world, places[left])
        name_beside(world, places[entered])
        world.config()
        world.database.release()
        config = ["--config", str(world.folder / "config.yaml")]
        assert app.run(["move", SYNC, "--to", "next", *option, *config]) == 0
        said = capsys.readouterr()
        assert password not in said.out + said.err
        if option:
            assert documents.read(["move"], said.out)["rows"]["sync_log"] == len(world.log())
        else:
            assert "let syncs.vip.source.warehouse be next" in said.out


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_what_would_lose_something_is_refused(world: World, places: Mapping[str, Database]) -> None:
    """With what to do; nothing is changed."""
    here, workspace = places["here"], places["workspace"]
    enter(world, here)
    world.put_emails("ada", "bob")
    name_beside(world, workspace)
    world.database.release()
    with pytest.raises(WarehouseError, match="there is nothing to move"):
        move(world.config(), SYNC, "next")
    with pytest.raises(ConfigError, match="no warehouse nowhere"):
        move(world.config(), SYNC, "nowhere")
    with pytest.raises(ConfigError, match="are already"):
        move(world.config(), SYNC, "local")

    world.one_by_one()
    world.die(before=1)
    world.beside = {}
    name_beside(world, workspace)
    world.database.release()
    with pytest.raises(WarehouseError, match="has not confirmed its whole plan"):
        move(world.config(), SYNC, "next")
    world.run()

    world.sync["fields"] = {"plan": "plan", "city": "city"}
    world.database.release()
    with pytest.raises(WarehouseError, match="the mapping of sync vip is not the one"):
        move(world.config(), SYNC, "next")
    world.sync["fields"] = {"plan": "plan"}

    enter(world, workspace)
    world.run()
    enter(world, here)
    name_beside(world, workspace)
    world.database.release()
    with pytest.raises(WarehouseError, match="two histories cannot become one"):
        move(world.config(), SYNC, "next")
    world.quiet()

"""``reverse_etl.run_sync`` as a program of a user's calls it: real runs over HTTP."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

import reverse_etl
from connectors.iterable.sandbox import Fault
from reverse_etl import Operation
from tests.world import LIST, SYNC, address, at_work

if TYPE_CHECKING:
    from pathlib import Path

    from tests.world import World

SUBSCRIBE = "/api/lists/subscribe"


@pytest.fixture
def path(world: World, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the config of a world whose variables are in the environment."""
    monkeypatch.setenv("ITERABLE_API_KEY", world.key)
    monkeypatch.setenv("WAREHOUSE_URL", world.database.url)
    world.put_emails("ada", "bob")
    world.config()
    world.database.release()
    return world.folder / "config.yaml"


def test_a_path_is_enough(world: World, path: Path) -> None:
    summary = reverse_etl.run_sync(path, SYNC)
    summary.raise_for_status()
    assert (summary.status, summary.run_id, summary.exit_code) == ("succeeded", 1, 0)
    assert summary.succeeded == world.changes(insert=2)
    assert set(summary.seconds) == {"prepare", "plan", "deliver", "settle"}
    assert all(spent >= 0 for spent in summary.seconds.values())
    # Two of them: the list is looked up, and made.
    assert sum(summary.answers.values()) == summary.requests
    assert set(summary.answers) == {200}
    assert world.members() == {address("ada"), address("bob")}
    again = reverse_etl.run_sync(str(path), SYNC)
    assert (again.planned, again.requests, again.answers) == (world.changes(), 0, {})
    full = reverse_etl.run_sync(reverse_etl.load_config(path), SYNC, full=True)
    assert full.succeeded[Operation.UPDATE] == 2
    assert [row["trigger"] for row in world.runs()] == ["manual"] * 3


def test_what_cannot_be_run_is_a_config_error(path: Path) -> None:
    with pytest.raises(reverse_etl.ConfigError, match="did you mean vip"):
        reverse_etl.run_sync(path, "vib")
    with pytest.raises(reverse_etl.ConfigError, match="cannot be read"):
        reverse_etl.run_sync(path.with_name("nowhere.yaml"), SYNC)
    os.environ.pop("ITERABLE_API_KEY")
    with pytest.raises(reverse_etl.ConfigError, match="ITERABLE_API_KEY"):
        reverse_etl.run_sync(path, SYNC)


def test_a_busy_sync_is_a_status_until_it_is_asked_for_an_exception(
    world: World, path: Path
) -> None:
    reverse_etl.run_sync(path, SYNC).raise_for_status()
    before = world.runs()
    world.database.release()
    with at_work(world, SYNC):
        busy = reverse_etl.run_sync(path, SYNC)
    assert (busy.status, busy.exit_code, busy.run_id) == ("busy", 5, None)
    assert busy.sentence().startswith(f"{SYNC}: busy: ")
    with pytest.raises(reverse_etl.Busy) as caught:
        busy.raise_for_status()
    assert caught.value.code == "busy"
    assert world.runs() == before
    reverse_etl.run_sync(path, SYNC).raise_for_status()


def test_a_run_that_fails_says_why(world: World, path: Path) -> None:
    world.faults = [Fault("status", match="/api/lists", status=401)]
    failed = reverse_etl.run_sync(path, SYNC)
    assert (failed.status, failed.exit_code) == ("failed", 1)
    assert failed.answers == {401: failed.requests}, "also where the list could not be looked up"
    with pytest.raises(reverse_etl.RunError) as caught:
        failed.raise_for_status()
    assert caught.value.code == failed.error_code == world.last_run()["error_code"]
    assert world.key not in failed.sentence()


def test_a_run_that_some_failed_in_is_not_silent(world: World, path: Path) -> None:
    world.put_emails("ada", "nobody@")
    summary = reverse_etl.run_sync(path, SYNC)
    assert (summary.status, summary.exit_code) == ("completed_with_failures", 3)
    with pytest.raises(reverse_etl.RunError) as caught:
        summary.raise_for_status()
    assert caught.value.code == "completed_with_failures"


def test_a_held_run_passes_once_it_is_told_to(world: World, path: Path) -> None:
    world.sync["max_delete_percent"] = 10
    world.put_emails(*"abcdefghij")
    world.config()
    world.database.release()
    reverse_etl.run_sync(path, SYNC).raise_for_status()
    world.put_emails("a")
    world.database.release()
    held = reverse_etl.run_sync(path, SYNC)
    assert (held.status, held.exit_code) == ("held", 4)
    assert "@x.com" in str(held.error), "the user is shown who"
    assert "@x.com" not in held.sentence(), "the log is not"
    with pytest.raises(reverse_etl.RunError, match="vip: run 2 held"):
        held.raise_for_status()
    reverse_etl.run_sync(path, SYNC, allow_deletes=True).raise_for_status()
    assert world.members(LIST) == {address("a")}

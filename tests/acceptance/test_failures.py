"""``failures``: by reason, with samples; as CSV; and what a run says of the rest of its plan."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from connectors.iterable.sandbox import Fault
from reverse_etl.cli.app import run
from tests.world import SYNC

if TYPE_CHECKING:
    from tests.world import World

duckdb_only = pytest.mark.parametrize("database", ["duckdb"], indirect=True)


@pytest.fixture
def call(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return what runs a command on the world's config, and returns what it says."""

    def called(*words: str, code: int = 0) -> str:
        path = world.config().path
        world.database.release()
        monkeypatch.setenv("ITERABLE_API_KEY", world.key)
        monkeypatch.setenv("WAREHOUSE_URL", world.database.url)
        capsys.readouterr()
        assert run([*words, "--config", str(path)]) == code
        return capsys.readouterr().out

    return called


@duckdb_only
def test_one_code_of_two_kinds(world: World, call: Any) -> None:
    """Of a request that is refused for many, those named are permanent, the rest may pass later."""
    names = [f"p{n:03}" for n in range(400)]
    bad = tuple(f"{name}@x.com" for name in names[:100])
    world.faults = [Fault("reject_index", identifiers=bad)]
    world.put_emails(*names)
    world.run()
    by_code = json.loads(call("failures", SYNC, "--json"))["by_code"]
    kinds = [(one["error_code"], one["retryable"], len(one["samples"])) for one in by_code]
    assert sorted(kinds) == [("rejected", False, 5), ("rejected", True, 5)]
    shown = call("failures", SYNC)
    assert shown.count("identity: reason") == 2
    assert "retry vip --reason rejected" in shown


@duckdb_only
def test_rows_without_identifier_are_promised_no_retry(world: World, call: Any) -> None:
    world.put({"email": "ada@x.com"}, {"email": "no address"})
    world.run()
    shown = call("failures", SYNC)
    assert "waits until its values change in the source\n" in shown
    assert "retry" not in shown


@duckdb_only
def test_csv_is_whole_and_harmless(world: World, call: Any) -> None:
    world.sync["source"] = {**world.sync["source"], "primary_key": "city"}
    keys = [
        "=1+1",
        "+1",
        "-1",
        "@sum",
        "\t=1",
        "a\r=1+1",
        'quo"te',
        "5;=1+1",
        "two\nlines",
        "plain",
    ]
    world.put(*({"email": f"nobody {n}", "city": key} for n, key in enumerate(keys)))
    world.run()
    text = call("failures", SYNC, "--csv")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    found = {row["primary_key"] for row in rows}
    dangerous = ("=", "+", "-", "@", "\t", "\r", "\n")
    assert found == {f"'{key}" if key.startswith(dangerous) else key for key in keys}
    assert {row["error_code"] for row in rows} == {"invalid_identifier"}
    assert all(f'"{value}"' in text for value in ("a\r=1+1", "5;=1+1", "plain"))


@duckdb_only
def test_csv_and_json_are_not_asked_for_together(world: World, call: Any) -> None:
    world.put_emails("ada")
    call("failures", SYNC, "--csv", "--json", code=2)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_run_that_cannot_settle_does_not_say_that_nothing_was_sent(world: World) -> None:
    world.put_emails("ada", "bob")
    world.run()
    world.sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql "
        "AS $$ BEGIN RAISE EXCEPTION 'no room'; END $$"
    )
    world.sql(
        "CREATE TRIGGER full_disk BEFORE INSERT ON reverse_etl.sync_log "
        "FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    world.put_emails("ada", "bob", "cid")
    report = world.run_unchecked(lambda: False, {})
    assert (report.status, report.aftermath) == ("failed", None)
    assert "What was sent is counted by the next run" in (report.error or "")
    assert "cid@x.com" in world.members()


def test_what_is_left_of_a_plan_is_told(world: World) -> None:
    world.one_by_one()
    world.put_emails("ada", "bob", "cid")
    report = world.run(stop=lambda: len(world.sent) >= 5)
    assert report.status == "interrupted"
    done = sum(report.succeeded.values())
    left = 3 - done
    assert 0 < left < 3
    changes = f"{left} change{'' if left == 1 else 's'} of the plan"
    assert (report.aftermath or "").startswith(changes)
    assert str(report.aftermath) in "\n".join(report.lines())
    assert world.run().aftermath is None


def test_a_run_that_could_not_plan_says_that_nothing_was_sent(world: World) -> None:
    world.put_emails("ada")
    world.sync["source"] = {**world.sync["source"], "query": "select * from nowhere_at_all"}
    world.sync["source"].pop("table", None)
    report = world.run()
    assert (report.status, world.sent) == ("failed", [])
    assert (report.aftermath or "").startswith("Nothing was sent")

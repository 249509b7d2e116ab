"""Our own tables: upgraded from older versions, damaged by hand, owned by somebody else."""

from __future__ import annotations

import secrets
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from reverse_etl.cli import app
from reverse_etl.config import load_config
from reverse_etl.errors import Busy, RightsError, WarehouseError
from reverse_etl.report import RunSummary
from reverse_etl.run import Options, run_sync
from reverse_etl.testing.site import Site
from reverse_etl.warehouse.migrations import MIGRATIONS
from reverse_etl.warehouse.tables import SCHEMA_VERSION

DATA = Path(__file__).parents[1] / "data"
OLDER = range(1, SCHEMA_VERSION)

Command = Callable[..., tuple[int, str]]

# Source states of the damage tests: id to address and plan.
FIRST = {1: ("ann@x.org", "one"), 2: ("ben@x.org", "one"), 3: ("cat@x.org", "one")}
FIRST |= {4: ("dan@x.org", "one"), 5: ("eva@x.org", "one")}
SECOND = {**FIRST, 1: ("ann@x.org", "two")}
del SECOND[5]
# dan leaves and fay joins, and no run has seen it yet.
NOW = {**SECOND, 6: ("fay@x.org", "one")}
del NOW[4]
WANTED = {"ann@x.org", "ben@x.org", "cat@x.org", "fay@x.org"}


@pytest.fixture
def command(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Return what runs a command on the site: its exit code, and all that it said."""
    for name, value in site.variables.items():
        monkeypatch.setenv(name, value)

    def run(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        code = app.run([*words, "--config", str(site.write_config())])
        said = capsys.readouterr()
        assert "Traceback" not in said.err + said.out
        return code, " ".join((said.err + said.out).split())

    return run


def run(site: Site, **options: Any) -> RunSummary:
    """Run the sync in this process; the recorder holds what this run sent."""
    site.destination.recorder.clear()
    config = load_config(site.write_config(), site.variables)
    return run_sync(config, site.name, Options(**options))


def looks(site: Site) -> list[list[str]]:
    """Return the commands that only look."""
    return [["status"], *([word, site.name] for word in ("runs", "failures", "plan", "audit"))]


def sent(site: Site) -> set[tuple[str, str]]:
    """Return what was sent since the last run began: the call and the person."""
    return {
        (each.path.rpartition("/")[2], each.identity) for each in site.destination.recorder.applied
    }


def members(site: Site) -> set[str]:
    return site.destination.state()[0]


def tables(site: Site) -> set[tuple[Any, ...]]:
    """Return the columns of all tables of ours: table, column, type."""
    return set(
        site.rows(
            "select table_name, column_name, data_type from information_schema.columns"
            " where table_schema = 'reverse_etl'"
        )
    )


def contents(site: Site) -> dict[str, list[str]]:
    """Return all rows of all tables of ours, but for the lease."""
    names = {row[0] for row in tables(site)} - {"sync_state"}
    return {
        name: sorted(map(str, site.rows(f'select * from reverse_etl."{name}"')))  # noqa: S608
        for name in names
    }


# --- versions --------------------------------------------------------------------------------


def upgrade_to_be(site: Site, version: int) -> None:
    """Let the tables and the list be as a program of an older version left them."""
    left = ("ann", "dan", "eva", "fay", "gus")
    site.fill({n: (f"{name}@x.org", "one") for n, name in enumerate(left)})
    run(site)
    (target,) = site.rows("select target_id from reverse_etl.sync_state")[0]
    site.execute("drop schema reverse_etl cascade")
    engine = sa.make_url(site.url).get_backend_name()
    script = (DATA / f"tables_version_{version}_{engine}.sql").read_text(encoding="utf-8")
    text = "\n".join(line for line in script.splitlines() if not line.startswith("--"))
    site.execute(*text.replace("{list}", target).rstrip(";\n").split(";\n"))
    # Meanwhile gus left again, hal stayed, and ivy is new.
    names = ("eva", "fay", "hal", "ivy")
    rows = {n: (f"{name}@x.org", "one") for n, name in enumerate(names, 5)}
    two = {6: ("fay@x.org", "two"), 7: ("hal@x.org", "two")}
    site.fill({1: ("ann@x.org", "two"), 4: ("dan@x.org", "one"), **rows, **two})


@pytest.mark.parametrize("version", OLDER)
def test_an_upgrade_in_mid_delivery_loses_nothing_and_repeats_only_the_window(
    site: Site, version: int
) -> None:
    upgrade_to_be(site, version)
    report = run(site)
    assert report.status == "succeeded"
    people = {"ann", "dan", "eva", "fay", "hal", "ivy"}
    assert members(site) == {f"{name}@x.org" for name in people}
    # dan and eva were settled before the kill; ben and cat may not have been.
    assert {(call, who.partition("@")[0]) for call, who in sent(site)} == {
        *(("unsubscribe", name) for name in ("ben", "cat", "gus")),
        *(("subscribe", name) for name in ("ann", "fay", "hal", "ivy")),
    }
    log = site.rows("select identity from reverse_etl.sync_log where sync_run_id = 2")
    assert len(log) == 6, "what the killed run may have sent is in the log"
    again = run(site)
    assert (again.status, sent(site)) == ("succeeded", set())


@pytest.mark.parametrize("version", OLDER)
def test_upgraded_tables_are_those_of_a_new_schema(site: Site, version: int) -> None:
    site.fill(FIRST)
    run(site)
    control = {"sync_state", "sync_runs", "sync_log", "failed_records", "residue"}
    control |= {"former_aliases", "schema_version"}
    new = {row for row in tables(site) if row[0] in control}
    site.execute("drop schema reverse_etl cascade")
    upgrade_to_be(site, version)
    run(site)
    assert {row for row in tables(site) if row[0] in control} == new
    assert site.rows("select version from reverse_etl.schema_version") == [(SCHEMA_VERSION,)]


def test_every_version_has_its_step() -> None:
    assert [migration.version for migration in MIGRATIONS] == list(range(2, SCHEMA_VERSION + 1))


@pytest.mark.parametrize("version", OLDER)
def test_a_look_at_older_tables_says_so_and_changes_nothing(
    site: Site, command: Command, version: int
) -> None:
    upgrade_to_be(site, version)
    before = contents(site), tables(site)
    for words in looks(site):
        code, said = command(*words)
        assert code == 1, words
        assert f"have version {version}, this program reads version {SCHEMA_VERSION}" in said
        assert "The next run" in said
    assert (contents(site), tables(site)) == before


def test_a_check_tries_the_upgrade_and_takes_it_back(site: Site, command: Command) -> None:
    upgrade_to_be(site, 1)
    before = contents(site), tables(site)
    code, said = command("check", site.name)
    assert code == 0, said
    assert "version 1" in said
    assert (contents(site), tables(site)) == before


def test_tables_of_a_newer_program_are_left_alone(site: Site, command: Command) -> None:
    site.fill(FIRST)
    run(site)
    site.execute("update reverse_etl.schema_version set version = 999")
    before = contents(site)
    for words in (*looks(site), ["check", site.name], ["run-sync", site.name]):
        code, said = command(*words)
        assert code == 1, words
        assert "have version 999" in said
        assert f"needs {SCHEMA_VERSION}" in said
    assert contents(site) == before


class Killed(BaseException):
    """The process dies here: no handler of the engine catches it."""


@contextmanager
def killed_at(number: int) -> Iterator[None]:
    """Kill at a statement, counted from 1; a commit counts as one, and is not reached."""
    said = 0

    def hear(*_: Any) -> None:
        nonlocal said
        said += 1
        if said == number:
            raise Killed

    sa.event.listen(sa.Engine, "before_cursor_execute", hear)
    sa.event.listen(sa.Engine, "commit", hear)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", hear)
        sa.event.remove(sa.Engine, "commit", hear)


def test_an_upgrade_killed_at_any_statement_leaves_the_older_tables_whole(site: Site) -> None:
    upgrade_to_be(site, 1)  # which takes every step
    before = contents(site), tables(site)
    died = 0
    for number in range(1, 100):
        try:
            with site.warehouse() as warehouse, killed_at(number):
                warehouse.prepare_schema()
            break
        except Killed:
            died += 1
            assert (contents(site), tables(site)) == before
    assert died > 5
    assert run(site).status == "succeeded"
    assert site.rows("select version from reverse_etl.schema_version") == [(SCHEMA_VERSION,)]


# Runs our command, which is killed for good when it has migrated and is about to commit.
DIES_BEFORE_COMMIT = """
import os, signal, sys
import sqlalchemy as sa
from reverse_etl.cli import main
def die(connection):
    os.kill(os.getpid(), signal.SIGKILL)
sa.event.listen(sa.Engine, "commit", die)
sys.argv[0] = "reverse-etl"
sys.exit(main())
"""


def test_an_upgrade_that_was_really_killed_is_done_by_the_next_start(site: Site) -> None:
    upgrade_to_be(site, 1)
    before = contents(site), tables(site)
    site.write_config()
    with site.start(("-c", DIES_BEFORE_COMMIT)) as started:
        assert started.end() == -signal.SIGKILL
    assert (contents(site), tables(site)) == before
    with site.start() as started:
        assert started.end() == 0, started.stderr
    assert site.rows("select version from reverse_etl.schema_version") == [(SCHEMA_VERSION,)]


def test_of_many_that_start_at_once_one_upgrades(site: Site) -> None:
    upgrade_to_be(site, 1)
    together = threading.Barrier(6)

    def prepare(_: int) -> None:
        with site.warehouse() as warehouse:
            together.wait()
            warehouse.prepare_schema()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(prepare, range(6)))
    assert site.rows("select version from reverse_etl.schema_version") == [(SCHEMA_VERSION,)]
    assert run(site).status == "succeeded"


def test_a_run_of_an_older_program_is_not_disturbed(on_postgresql: Site) -> None:
    site = on_postgresql
    upgrade_to_be(site, 2)
    site.execute(
        "update reverse_etl.sync_state set lease_owner = 'host-a:1:aa',"
        " lease_expires_at = timestamp '2999-01-01'"
    )
    before = contents(site), tables(site)
    with pytest.raises(Busy, match=r"version 2 .* host-a:1:aa is running sync people") as caught:
        run(site)
    assert "try again when that run has ended" in str(caught.value)
    assert (contents(site), tables(site)) == before
    site.execute("update reverse_etl.sync_state set lease_expires_at = timestamp '2001-01-01'")
    assert run(site).status == "succeeded"


def test_a_dead_lease_in_a_file_does_not_hinder_an_upgrade(on_duckdb: Site) -> None:
    """Nobody else can have the file open."""
    upgrade_to_be(on_duckdb, 2)
    on_duckdb.execute("update reverse_etl.sync_state set lease_expires_at = timestamp '2999-01-01'")
    assert run(on_duckdb).status == "succeeded"


# --- damage ----------------------------------------------------------------------------------

# What somebody did, and words of the message.
MENDED = {
    "snapshot gone": (
        ["drop view reverse_etl.snapshot_people", "drop table reverse_etl.snapshot_people_2"],
        "snapshot_people_2 is gone",
    ),
    "plan gone": (["drop table reverse_etl.changes_people_2"], "changes_people_2 is gone"),
    "outcomes gone": (["drop table reverse_etl.outcomes_people_2"], "outcomes_people_2 is gone"),
    "refused gone": (["drop table reverse_etl.refused_people_2"], "refused_people_2 is gone"),
    "all of the run gone": (
        [
            "drop view reverse_etl.snapshot_people",
            *(
                f"drop table reverse_etl.{kind}_people_2"
                for kind in ("snapshot", "changes", "outcomes", "refused")
            ),
        ],
        "snapshot_people_2 is gone",
    ),
    "pointer NULL": (
        ["update reverse_etl.sync_state set committed_run_id = null"],
        "names no committed run of it, but run 2 was committed",
    ),
    "pointer to an earlier run": (
        ["update reverse_etl.sync_state set committed_run_id = 1"],
        "points to run 1, but run 2 was committed later",
    ),
    "pointer to a run that never was": (
        ["update reverse_etl.sync_state set committed_run_id = 77"],
        "snapshot_people_77 is gone",
    ),
    "position beyond the plan": (
        ["update reverse_etl.sync_state set position = 900"],
        "position in sync_state is 900, but changes_people_2 has 2 rows",
    ),
    "position negative": (
        ["update reverse_etl.sync_state set position = -1"],
        "position in sync_state is -1",
    ),
    "position NULL": (
        ["update reverse_etl.sync_state set position = null"],
        "position in sync_state is None",
    ),
    "number of runs set back": (
        ["update reverse_etl.sync_state set last_run_id = 0"],
        "counts 0 runs, but there is a run 2",
    ),
    "mapping emptied": (
        ["update reverse_etl.sync_state set mapping = '{'"],
        "mapping in sync_state cannot be read",
    ),
    "rows of the snapshot deleted": (
        ["delete from reverse_etl.snapshot_people_2 where _identity in ('dan@x.org', 'ben@x.org')"],
        "snapshot_people_2 has 2 rows, the run left 4",
    ),
    "the snapshot emptied": (
        ["delete from reverse_etl.snapshot_people_2"],
        "snapshot_people_2 has 0 rows, the run left 4",
    ),
    "rows of the plan deleted": (
        ["delete from reverse_etl.changes_people_2 where _operation = 'delete'"],
        "changes_people_2 has 1 rows, the run left 2",
    ),
    "failed_records gone": (
        ["drop table reverse_etl.failed_records"],
        "of failed_records nothing is left",
    ),
    "sync_runs gone": (["drop table reverse_etl.sync_runs"], "of sync_runs nothing is left"),
    "sync_log gone": (["drop table reverse_etl.sync_log"], "of sync_log nothing is left"),
    "residue gone": (["drop table reverse_etl.residue"], "of residue nothing is left"),
    "former_aliases gone": (
        ["drop table reverse_etl.former_aliases"],
        "of former_aliases nothing is left",
    ),
    "schema_version gone": (
        ["drop table reverse_etl.schema_version"],
        "of schema_version nothing is left",
    ),
    "schema_version empty": (
        ["delete from reverse_etl.schema_version"],
        "of schema_version nothing is left",
    ),
}

# The account is not known any more, so nobody is taken off.
ACCOUNT_LOST = {
    "row of sync_state deleted": (
        ["delete from reverse_etl.sync_state"],
        "names no committed run of it, but run 2 was committed",
    ),
    "sync_state gone": (["drop table reverse_etl.sync_state"], "of sync_state nothing is left"),
    "the books gone": (
        [f"drop table reverse_etl.{name}" for name in ("sync_state", "sync_runs", "sync_log")],
        "nothing is left",
    ),
}

# What a full run cannot mend by itself: what somebody did, words of the message, the remedy.
IN_THE_WAY = {
    "a table in place of the view": (
        [
            "drop view reverse_etl.snapshot_people",
            "create table reverse_etl.snapshot_people (note text)",
        ],
        "snapshot_people is a table and not the view",
        ["alter table reverse_etl.snapshot_people rename to mine"],
    ),
    "a column of failed_records dropped": (
        ["alter table reverse_etl.failed_records drop column alias"],
        "failed_records has no column alias",
        ["alter table reverse_etl.failed_records rename to failed_records_before"],
    ),
    "a column of sync_runs retyped": (
        [
            "drop index if exists reverse_etl.sync_runs_run",
            "alter table reverse_etl.sync_runs alter column rows_read type varchar",
        ],
        "column rows_read of sync_runs is",
        [
            (
                "alter table reverse_etl.sync_runs alter column rows_read type bigint using"
                " cast(rows_read as bigint)"
            )
        ],
    ),
    "a column of the plan dropped": (
        ["alter table reverse_etl.changes_people_2 drop column _carried"],
        "changes_people_2 has no column _carried",
        ["drop table reverse_etl.changes_people_2"],
    ),
    "a column of the snapshot dropped": (
        [
            "drop view reverse_etl.snapshot_people",
            "alter table reverse_etl.snapshot_people_2 drop column plan",
        ],
        "snapshot_people_2 has no column plan",
        ["drop table reverse_etl.snapshot_people_2"],
    ),
    "a column of the snapshot retyped": (
        [
            "drop view reverse_etl.snapshot_people",
            "alter table reverse_etl.snapshot_people_2 alter column id type varchar",
        ],
        "column id of snapshot_people_2 is",
        ["drop table reverse_etl.snapshot_people_2"],
    ),
}


@pytest.fixture
def lived(site: Site) -> Site:
    """Return a site after two runs, with a member of others' and changes that no run has seen."""
    for people in (FIRST, SECOND):
        site.fill(people)
        assert run(site).status == "succeeded"
    add_stranger(site)
    site.fill(NOW)
    return site


def add_stranger(site: Site) -> None:
    """Let somebody else put a member on the list."""
    (target,) = site.rows("select target_id from reverse_etl.sync_state")[0]
    import httpx  # noqa: PLC0415

    body = {"listId": int(target), "subscribers": [{"email": "zoe@x.org"}]}
    headers = {"Api-Key": site.variables["ITERABLE_API_KEY"]}
    url = f"{site.destination.relay.url}/api/lists/subscribe"
    assert httpx.post(url, json=body, headers=headers).status_code == 200


def refused(site: Site, **options: Any) -> str:
    """Run and return why it was refused; nothing was sent and nothing was written."""
    before = contents(site)
    with pytest.raises(WarehouseError) as caught:
        run(site, **options)
    assert caught.value.code == "damaged_tables"
    assert sent(site) == set()
    assert contents(site) == before
    return str(caught.value)


@pytest.mark.parametrize("damage", MENDED)
def test_damage_is_refused_and_a_full_run_is_the_way_out(lived: Site, damage: str) -> None:
    statements, words = MENDED[damage]
    lived.execute(*statements)
    message = refused(lived)
    assert words in message
    assert "--full" in message
    assert refused(lived) == message, "a refusal changes nothing"
    report = run(lived, full=True)
    assert report.status == "succeeded", report.error
    assert members(lived) == WANTED | {"zoe@x.org"}
    assert ("unsubscribe", "zoe@x.org") not in sent(lived)
    assert (run(lived).status, sent(lived)) == ("succeeded", set())
    ids = [row[0] for row in lived.rows("select sync_run_id from reverse_etl.sync_runs")]
    assert len(ids) == len(set(ids)), "no number is given twice"


@pytest.mark.parametrize("damage", ACCOUNT_LOST)
def test_without_the_account_nobody_is_removed(lived: Site, damage: str) -> None:
    statements, words = ACCOUNT_LOST[damage]
    lived.execute(*statements)
    assert words in refused(lived)
    assert run(lived, full=True).status == "succeeded"
    assert members(lived) == WANTED | {"dan@x.org", "zoe@x.org"}
    assert {call for call, _ in sent(lived)} == {"subscribe"}
    assert (run(lived).status, sent(lived)) == ("succeeded", set())
    ids = [row[0] for row in lived.rows("select sync_run_id from reverse_etl.sync_runs")]
    assert len(ids) == len(set(ids)), "no number is given twice"


@pytest.mark.parametrize("damage", IN_THE_WAY)
def test_what_a_full_run_cannot_mend_it_leaves_alone(lived: Site, damage: str) -> None:
    statements, words, remedy = IN_THE_WAY[damage]
    lived.execute(*statements)
    assert words in refused(lived)
    assert words in refused(lived, full=True)
    lived.execute(*remedy)
    assert run(lived, full=True).status == "succeeded"
    assert members(lived) == WANTED | {"zoe@x.org"}
    assert (run(lived).status, sent(lived)) == ("succeeded", set())


def test_a_look_at_damaged_tables_says_what_is_wrong(lived: Site, command: Command) -> None:
    lived.execute("delete from reverse_etl.snapshot_people_2")
    for word in ("plan", "audit", "check"):
        code, said = command(word, lived.name)
        assert code == 1, word
        assert "snapshot_people_2 has 0 rows, the run left 4" in said
    lived.execute("drop table reverse_etl.sync_runs")
    for words in (*looks(lived), ["check", lived.name]):
        code, said = command(*words)
        assert code == 1, words
        assert "of sync_runs nothing is left" in said


def test_rows_that_share_a_person_are_counted_as_one(site: Site) -> None:
    """Few deletes never hold a run while somebody is left; the count of rows said nobody is."""
    site.fill({1: ("ann@x.org", "one"), 2: ("ben@x.org", "one")})
    run(site)
    site.fill({1: ("ann@x.org", "one"), 2: (" ANN@x.org", "two")})
    text = site.write_config().read_text(encoding="utf-8")
    site.config_path.write_text(text.replace("percent: 100", "percent: 10"), encoding="utf-8")
    report = run_sync(load_config(site.config_path, site.variables), site.name)
    assert (report.status, members(site)) == ("succeeded", {"ann@x.org"})
    counted = "select snapshot_rows, changes_rows from reverse_etl.sync_state"
    assert site.rows(counted) == [(1, 1)]


# --- tables of somebody else -----------------------------------------------------------------


@pytest.fixture
def guest(on_postgresql: Site) -> Iterator[Site]:
    """Return the same site as a role that may read the source, and nothing else."""
    role, password = f"guest_{secrets.token_hex(4)}", secrets.token_hex(8)
    url = sa.make_url(on_postgresql.url)
    on_postgresql.execute(f"create role {role} login password '{password}'")
    own = url.set(username=role, password=password).render_as_string(hide_password=False)
    yield replace(on_postgresql, url=own)
    on_postgresql.execute(f"drop owned by {role} cascade", f"drop role {role}")


def grant(owner: Site, guest: Site, *rights: str) -> None:
    role = sa.make_url(guest.url).username
    owner.execute(*(f"grant {right} to {role}" for right in rights))


READING = (
    "usage on schema public",
    "select on all tables in schema public",
    "usage on schema reverse_etl",
    "select on all tables in schema reverse_etl",
)
WRITING = ("create on schema reverse_etl", "all on all tables in schema reverse_etl")


def test_a_role_that_may_only_read_can_look_and_not_run(
    on_postgresql: Site, guest: Site, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_postgresql.fill(FIRST)
    run(on_postgresql)
    grant(on_postgresql, guest, *READING)
    monkeypatch.setenv("WAREHOUSE_URL", guest.url)
    for words in (["status"], ["runs", guest.name], ["failures", guest.name]):
        assert command(*words)[0] == 0
    with pytest.raises(RightsError, match="permission denied for table sync_state") as caught:
        run(guest)
    role = sa.make_url(guest.url).username
    assert f'GRANT ALL ON ALL TABLES IN SCHEMA "reverse_etl" TO "{role}";' in str(caught.value)


def test_without_any_right_on_one_table_it_is_not_taken_for_lost(
    on_postgresql: Site, guest: Site
) -> None:
    """A new one would hide what the other role's table knows."""
    on_postgresql.fill(FIRST)
    run(on_postgresql)
    grant(on_postgresql, guest, *READING, *WRITING)
    role = sa.make_url(guest.url).username
    on_postgresql.execute(f"revoke all on reverse_etl.failed_records from {role}")
    for full in (False, True):
        with pytest.raises(RightsError, match="permission denied for table failed_records"):
            run(guest, full=full)


def test_an_upgrade_of_another_roles_tables_names_the_membership_it_needs(
    on_postgresql: Site, guest: Site
) -> None:
    upgrade_to_be(on_postgresql, 1)
    before = contents(on_postgresql), tables(on_postgresql)
    grant(on_postgresql, guest, *READING, *WRITING)
    with pytest.raises(RightsError, match="must be owner of table") as caught:
        run(guest)
    role = sa.make_url(guest.url).username
    assert f'GRANT "…" TO "{role}";' in str(caught.value)
    assert (contents(on_postgresql), tables(on_postgresql)) == before
    owner = sa.make_url(on_postgresql.url).username
    grant(on_postgresql, guest, str(owner))
    assert run(guest).status == "succeeded"


def test_a_lost_table_is_asked_about_by_every_sync(on_duckdb: Site) -> None:
    """What one sync's full run made anew knows nothing of the others."""
    one, other = on_duckdb, replace(on_duckdb, name="others")
    for site in (one, other):
        site.fill(FIRST)
        run(site)
    one.execute("drop table reverse_etl.failed_records")
    assert run(one, full=True).status == "succeeded"
    assert "made anew, and no full run has been committed since" in refused(other)
    assert run(other, full=True).status == "succeeded"
    for site in (one, other):
        assert (run(site).status, sent(site)) == ("succeeded", set())


def test_the_brake_holds_a_full_run_that_starts_over_from_the_log(on_duckdb: Site) -> None:
    site = on_duckdb
    many = {n: (f"person{n}@x.org", "one") for n in range(12)}
    site.fill(many)
    run(site)
    site.fill({n: many[n] for n in range(6)})
    site.execute("delete from reverse_etl.snapshot_people_1")
    text = site.write_config().read_text(encoding="utf-8")
    site.config_path.write_text(text.replace("percent: 100", "percent: 10"), encoding="utf-8")
    config = load_config(site.config_path, site.variables)
    site.destination.recorder.clear()
    report = run_sync(config, site.name, Options(full=True))
    assert (report.status, sent(site)) == ("held", set())
    assert "6 of 12 people" in (report.error or "")
    with pytest.raises(WarehouseError, match="made anew, and no full run has been committed"):
        run_sync(config, site.name)
    report = run_sync(config, site.name, Options(full=True, allow_deletes=True))
    assert report.status == "succeeded"
    assert members(site) == {f"person{n}@x.org" for n in range(6)}

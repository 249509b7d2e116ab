"""A disk that is full while a run writes: a clear end, and nothing lost when there is room again.

A file that may not grow beyond a limit stands for the disk: the process and the database get
the same kind of error from the operating system, at the same places.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from reverse_etl.config import load_config
from reverse_etl.report import RunSummary
from reverse_etl.run import run_sync
from reverse_etl.testing.site import PATIENCE_SECONDS, Site
from tests import documents

# The command, in a process whose files may not grow beyond a limit: the first argument, in bytes.
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)), resource.RLIM_INFINITY))
from reverse_etl.cli import main
sys.exit(main())
"""

PEOPLE = 2_000


def people(state: int) -> dict[int, tuple[str, str]]:
    """Return a source state: some leave, some join, and the plan of everybody changes."""
    first = state * 50
    return {n: (f"person{n}@x.org", f"plan {state}") for n in range(first, first + PEOPLE)}


def addresses(state: int) -> set[str]:
    return {email for email, _ in people(state).values()}


def members(site: Site) -> set[str]:
    return site.destination.state()[0]


def document(text: str, command: str = "run-sync") -> dict[str, Any]:
    """Return the document of a command, which says nothing of any person."""
    assert "@x.org" not in text
    return documents.read([command], text)


def last_status(site: Site) -> str:
    rows = site.rows("select status from reverse_etl.sync_runs order by sync_run_id desc limit 1")
    status: str = rows[0][0]
    return status


def converges(site: Site, state: int) -> None:
    """With room again one clean run makes the list right, and a second one plans nothing."""
    with site.start() as started:
        assert started.end() == 0, started.stderr
    assert members(site) == addresses(state)
    with site.start() as started:
        assert started.end() == 0, started.stderr
    assert sum(document(started.stdout)["planned"].values()) == 0


# --- a DuckDB file ---------------------------------------------------------------------------


def test_a_full_disk_ends_a_run_in_any_step_and_the_next_one_goes_on(on_duckdb: Site) -> None:
    """In planning, in settling, and in settling what the run before has left."""
    site = on_duckdb
    site.fill(people(0))
    site.write_config()
    with site.start() as started:
        assert started.end() == 0, started.stderr
    ended: set[str] = set()
    state = 0
    for limit in range(40_000, 2_000_000, 80_000):
        state += 1
        site.fill(people(state))
        with site.start(("-c", LIMITED, str(limit))) as started:
            code = started.end()
        found = document(started.stdout)
        assert "Traceback" not in started.stderr
        if code == 0 or ended >= {"failed", "delivering"}:
            break
        assert (code, found["error_code"]) == (1, "warehouse_error")
        assert "File too large" in found["error"]
        assert "@x.org" not in started.stderr
        # "failed": nothing was committed. "delivering": the next run settles what was sent.
        ended.add(last_status(site))
    assert ended >= {"failed", "delivering"}
    converges(site, state)
    assert last_status(site) == "succeeded"


def test_a_database_file_that_cannot_grow_keeps_its_changes_beside_it(on_duckdb: Site) -> None:
    """What was committed is in the write-ahead log until there is room in the file."""
    site = on_duckdb
    site.fill(people(0))
    site.write_config()
    with site.start() as started:
        assert started.end() == 0, started.stderr
    site.fill(people(1))
    path = Path(site.url.removeprefix("duckdb:///"))
    with site.start(("-c", LIMITED, str(path.stat().st_size + 150_000))) as started:
        assert started.end() == 0, started.stderr
    assert path.with_suffix(".duckdb.wal").exists(), "else the limit was never met"
    site.destination.recorder.clear()
    converges(site, 1)
    assert site.destination.recorder.applied == []


@pytest.mark.parametrize("words", [["audit"], ["audit", "--repair"]])
def test_an_answer_that_finds_no_room_ends_an_audit(on_duckdb: Site, words: list[str]) -> None:
    """The members of a list are kept in a temporary file while they are compared."""
    site = on_duckdb
    site.fill(people(0))
    config = site.write_config()
    with site.start() as started:
        assert started.end() == 0, started.stderr
    command = [*words, site.name, "--config", str(config), "--json"]
    temporary = site.folder / "temporary"
    temporary.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, "20000", *command],
        env={**os.environ, **site.variables, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 1
    found = document(done.stdout, "audit")
    assert "could not be kept" in found["error"]
    assert str(temporary) in found["error"]
    assert "Traceback" not in done.stderr
    assert list(temporary.iterdir()) == []
    converges(site, 0)


# --- PostgreSQL ------------------------------------------------------------------------------

WIDE_ROWS = 11_000
# Some 1,900 characters each, just too few to be compressed: together more than 16 MiB.
WIDE = (
    "create view people as select n as id, 'person' || n || '@x.org' as email,"
    " repeat(md5(n::text), 59) as plan from generate_series(1, {rows}) n"
)
# A server needs whole segments of its write-ahead log, so its files may not be smaller.
SEGMENT = 16 * 1024 * 1024


@contextmanager
def small_files(site: Site) -> Iterator[None]:
    """Let no file of the server's new connections grow beyond a segment of its log."""
    with psycopg.connect(site.url.replace("+psycopg", "")) as connection:
        row = connection.execute("select pg_read_file('postmaster.pid')").fetchone()
    assert row is not None
    server = row[0].splitlines()[0]
    # As the user whose process it is: a container's root may not change others' limits.
    owner = Path(f"/proc/{server}").stat()
    runner: dict[str, Any] = {}
    if os.geteuid() == 0:
        runner = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": ()}

    def limit(size: str) -> None:
        subprocess.run(["prlimit", f"--pid={server}", f"--fsize={size}:"], check=True, **runner)

    limit(str(SEGMENT))
    try:
        yield
    finally:
        limit("unlimited")


def run(site: Site) -> RunSummary:
    """Run the sync in this process."""
    site.destination.recorder.clear()
    return run_sync(load_config(site.write_config(), site.variables), site.name)


def test_a_snapshot_that_finds_no_room_commits_nothing(on_postgresql: Site) -> None:
    site = on_postgresql
    site.execute(WIDE.format(rows=50))
    assert run(site).status == "succeeded"
    site.execute("drop view people", WIDE.format(rows=WIDE_ROWS))
    with small_files(site):
        report = run(site)
    assert (report.status, report.exit_code) == ("failed", 1)
    assert "could not extend file" in (report.error or "")
    assert "person" not in (report.error or "")
    assert site.destination.recorder.applied == []
    assert last_status(site) == "failed"
    # All but a few of the new rows leave again: what is compared is the snapshot of the first run.
    site.execute("drop view people", WIDE.format(rows=60))
    assert run(site).status == "succeeded"
    assert len(site.destination.recorder.applied) == 10
    assert members(site) == {f"person{n}@x.org" for n in range(1, 61)}


def test_a_query_that_spills_too_much_fails_the_run(on_postgresql: Site) -> None:
    site = on_postgresql
    site.execute(WIDE.format(rows=2_000))
    database = site.url.rpartition("/")[2]
    for setting in ("temp_file_limit = '64kB'", "work_mem = '64kB'"):
        site.execute(f"alter database {database} set {setting}")
    report = run(site)
    assert (report.status, report.exit_code) == ("failed", 1)
    assert "temporary file size exceeds" in (report.error or "")
    site.execute(f"alter database {database} reset all")
    assert run(site).status == "succeeded"
    assert len(members(site)) == 2_000


# Where the server says that its disk is full.
FULL_AT = {
    "checkpoint": "update on reverse_etl.sync_state for each row"
    " when (new.position > old.position)",
    "log": "insert on reverse_etl.sync_log for each statement",
    "failed records": "insert or delete on reverse_etl.failed_records for each statement",
    "end": "update of finished_at on reverse_etl.sync_runs for each statement",
}


@pytest.mark.parametrize("step", FULL_AT)
def test_a_full_server_ends_a_run_and_the_next_one_settles_it(
    on_postgresql: Site, step: str
) -> None:
    """The server refuses with its own code for a full disk; a trigger lets it do so here."""
    site = on_postgresql
    site.fill(people(0))
    assert run(site).status == "succeeded"
    site.execute(
        "create function full_disk() returns trigger language plpgsql as $$ begin"
        " raise exception 'could not extend file \"base/1/2\": No space left on device'"
        " using errcode = 'disk_full'; end $$",
        f"create trigger full_disk before {FULL_AT[step]} execute function full_disk()",
    )
    site.fill(people(1))
    report = run(site)
    assert (report.status, report.exit_code) == ("failed", 1)
    assert "No space left on device" in (report.error or "")
    assert last_status(site) == "delivering", "the next run settles it"
    site.execute("drop function full_disk cascade")
    assert run(site).status == "succeeded"
    assert members(site) == addresses(1)
    killed = site.rows("select count(*) from reverse_etl.sync_log where sync_run_id = 2")[0][0]
    assert killed > 0, "what was sent is in the log"
    assert run(site).status == "succeeded"
    assert site.destination.recorder.applied == []

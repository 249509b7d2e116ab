"""A DuckDB file: who may open it, when, and what is said when it cannot be opened."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

from reverse_etl.errors import Busy, WarehouseError
from reverse_etl.testing.planner import Planner, StandingClock
from reverse_etl.warehouse import warehouse_at
from reverse_etl.warehouse.base import Warehouse

HOLD = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1], read_only=len(sys.argv) > 2)
print("ready", flush=True)
sys.stdin.read()
"""


class WatchedClock(StandingClock):
    """Calls back while it waits."""

    def __init__(self, while_waiting: Callable[[], None]) -> None:
        super().__init__()
        self._while_waiting = while_waiting

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self._while_waiting()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "shop.duckdb"
    duckdb.connect(path).close()
    return path


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    yield from hold(path)


@pytest.fixture
def reading_holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    yield from hold(path, "read only")


def hold(path: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


def let_go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.wait(timeout=30)


def at(path: Path, clock: StandingClock | None = None) -> Warehouse:
    return warehouse_at(f"duckdb:///{path}", "reverse_etl", clock or StandingClock())


def test_another_process_is_named_after_five_seconds(
    path: Path, holder: subprocess.Popen[str]
) -> None:
    clock = StandingClock()
    with pytest.raises(Busy) as caught:
        at(path, clock).open()
    assert f"held by process {holder.pid}:" in str(caught.value)
    assert str(path) in str(caught.value)
    assert sum(clock.waits) == pytest.approx(5, abs=0.11)
    assert max(clock.waits) <= 0.1


def test_a_reading_process_is_in_the_way_of_a_writing_one(
    path: Path, reading_holder: subprocess.Popen[str]
) -> None:
    with pytest.raises(Busy, match=f"process {reading_holder.pid}"):
        at(path).open()


def test_two_processes_may_read(path: Path, reading_holder: subprocess.Popen[str]) -> None:
    warehouse = at(path)
    warehouse.open(read_only=True)
    with warehouse.transaction() as tx:
        assert tx.connection.exec_driver_sql("select 1").scalar() == 1
    warehouse.close()
    assert reading_holder.poll() is None


def test_it_opens_as_soon_as_the_other_lets_go(path: Path, holder: subprocess.Popen[str]) -> None:
    clock = WatchedClock(lambda: let_go(holder))
    with at(path, clock) as warehouse:
        warehouse.prepare_schema()
    assert len(clock.waits) == 1


def test_a_look_of_this_process_is_waited_for(path: Path) -> None:
    """The scheduler looks at one sync while it is about to run another."""
    look = at(path)
    look.open(read_only=True)
    clock = WatchedClock(look.close)
    with at(path, clock) as warehouse:
        warehouse.prepare_schema()
    assert len(clock.waits) == 1


def test_a_look_of_this_process_that_does_not_end_is_told_after_five_seconds(path: Path) -> None:
    look, clock = at(path), StandingClock()
    look.open(read_only=True)
    with pytest.raises(Busy, match="held by this process, which looks at it"):
        at(path, clock).open()
    look.close()
    assert sum(clock.waits) == pytest.approx(5, abs=0.11)


def test_a_look_does_not_wait_for_a_run_of_this_process(path: Path) -> None:
    with at(path) as running:
        running.prepare_schema()
        clock = StandingClock()
        with at(path, clock).looking() as tx:
            assert tx.connection.exec_driver_sql("select 1").scalar() == 1
        assert clock.waits == []


def test_a_closed_file_is_free(path: Path) -> None:
    warehouse = at(path)
    with warehouse:
        Planner(warehouse).run("select 1 as id, 'a@x.org' as email")
    command = [sys.executable, "-c", HOLD, str(path)]
    done = subprocess.run(
        command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("ready\n", "")
    with warehouse:
        assert Planner(warehouse).run("select 1 as id, 'a@x.org' as email").counts == (0, 0, 0)


def test_a_read_only_file_cannot_be_changed(path: Path) -> None:
    warehouse = at(path)
    warehouse.open(read_only=True)
    with pytest.raises(WarehouseError, match="Invalid Input"):
        warehouse.prepare_schema()
    with warehouse.transaction() as tx:
        assert not warehouse.is_prepared(tx)
        assert tx.state("people").base is None
    warehouse.close()


def test_a_missing_file_is_made_for_writing_but_not_for_reading(tmp_path: Path) -> None:
    warehouse = at(tmp_path / "new.duckdb")
    with pytest.raises(WarehouseError, match=r"there is no DuckDB file .*new\.duckdb"):
        warehouse.open(read_only=True)
    with warehouse:
        warehouse.prepare_schema()
    assert (tmp_path / "new.duckdb").exists()


@pytest.mark.parametrize("folder", ["missing", "warlock/Could not", "lock"])
def test_a_missing_folder_is_no_lock(tmp_path: Path, folder: str) -> None:
    clock = StandingClock()
    with pytest.raises(WarehouseError, match=r"cannot open the DuckDB file .*a\.duckdb"):
        at(tmp_path / folder / "a.duckdb", clock).open()
    assert clock.waits == []


@pytest.mark.parametrize("content", [b"not a database", b"\0" * 20_000, b"x" * 20_000])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "lock.duckdb"
    path.write_bytes(content)
    clock = StandingClock()
    with pytest.raises(WarehouseError, match="cannot open the DuckDB file") as caught:
        at(path, clock).open()
    assert str(path) in str(caught.value)
    assert clock.waits == []
    assert path.read_bytes() == content


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="cannot open the DuckDB file"):
        at(tmp_path).open()


def test_a_setting_that_duckdb_does_not_know_is_refused(path: Path) -> None:
    warehouse = warehouse_at(f"duckdb:///{path}?no_such_setting=1", "reverse_etl", StandingClock())
    with pytest.raises(WarehouseError, match="no_such_setting"):
        warehouse.open()


@pytest.mark.parametrize(
    ("setting", "limit"), [("", "953.6 MiB"), ("?memory_limit=2GB", "1.8 GiB")]
)
def test_memory_is_limited(path: Path, setting: str, limit: str) -> None:
    with warehouse_at(f"duckdb:///{path}{setting}", "s", StandingClock()) as warehouse:
        assert Planner(warehouse).scalar("select current_setting('memory_limit')") == limit


def test_an_unopened_warehouse_says_so(path: Path) -> None:
    with pytest.raises(RuntimeError, match="not open"), at(path).transaction():
        pass
    at(path).close()


@pytest.mark.parametrize("ending", ["", "warehouse.close()"])
def test_a_program_ends_in_silence(path: Path, ending: str) -> None:
    program = f"""
from reverse_etl.testing.planner import Planner, StandingClock
from reverse_etl.warehouse import warehouse_at
warehouse = warehouse_at("duckdb:///{path}", "reverse_etl", StandingClock())
warehouse.open()
print(Planner(warehouse).run("select 1 as id, 'a@x.org' as email").counts)
{ending}
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("(1, 0, 0)\n", "", 0)


@pytest.mark.parametrize(
    "ending", ["raise SystemExit(3)", "import sys; sys.exit(3)", "kept = error"]
)
def test_a_program_ends_in_silence_after_an_error_too(path: Path, ending: str) -> None:
    program = f"""
from reverse_etl.errors import SourceError
from reverse_etl.testing.planner import Planner, StandingClock
from reverse_etl.warehouse import warehouse_at
with warehouse_at("duckdb:///{path}", "reverse_etl", StandingClock()) as warehouse:
    try:
        Planner(warehouse).run("select 1 as id, 'a@x.org' as email, cast('x' || 1 as integer) as v",
            fields=["v"])
    except SourceError as error:
        {ending}
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("", "")
    assert done.returncode == (0 if "kept" in ending else 3)


# --- compression ---------------------------------------------------------------------------


def compressions(path: Path) -> set[str]:
    """Return how the texts of a snapshot are compressed, in a file that was closed."""
    with duckdb.connect(path, read_only=True) as database:
        rows = database.execute(
            "select distinct compression from pragma_storage_info('reverse_etl.snapshot_people_1')"
            " where segment_type = 'VARCHAR' and column_name = '_identity'"
        ).fetchall()
    return {row[0] for row in rows}


def plan_many(path: Path) -> None:
    with warehouse_at(f"duckdb:///{path}", "reverse_etl", StandingClock()) as warehouse:
        planner = Planner(warehouse)
        query = "select range as id, 'p' || range || '@x.org' as email from range(20000)"
        assert planner.run(query).counts == (20_000, 0, 0)


def test_texts_are_compressed_with_zstd(path: Path) -> None:
    plan_many(path)
    assert compressions(path) == {"ZSTD"}


def test_in_an_older_format_duckdb_chooses(tmp_path: Path) -> None:
    path = tmp_path / "old.duckdb"
    with duckdb.connect() as memory:
        memory.execute(f"attach '{path}' as old (storage_version 'v1.0.0')")
        memory.execute("create table old.t as select 1 as a")
        memory.execute("detach old")
    plan_many(path)
    assert "ZSTD" not in compressions(path)
    assert "Uncompressed" not in compressions(path)


def test_the_url_may_choose(path: Path) -> None:
    url = f"duckdb:///{path}?force_compression=uncompressed"
    with warehouse_at(url, "reverse_etl", StandingClock()) as warehouse:
        query = "select range as id, 'p' || range || '@x.org' as email from range(20000)"
        Planner(warehouse).run(query)
    assert compressions(path) == {"Uncompressed"}

"""A DuckDB file that several threads of one process open, beside another process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb

# Each opens the file, commits a row, and closes it again, over and over: as a scheduler with two
# syncs does, beside a user's own program.
WORK = """
import os, random, sys, threading
from reverse_etl.clock import SystemClock
from reverse_etl.errors import Busy
from reverse_etl.warehouse import warehouse_at

url, threads, commits = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
done, lock, clock = [0], threading.Lock(), SystemClock()

def work():
    for _ in range(commits):
        try:
            with warehouse_at(url, "reverse_etl", clock) as warehouse:
                with warehouse.transaction() as tx:
                    tx.connection.exec_driver_sql(f"insert into written values ({os.getpid()})")
        except Busy:
            continue
        with lock:
            done[0] += 1
        clock.sleep(random.random() / 100)

working = [threading.Thread(target=work) for _ in range(threads)]
for thread in working:
    thread.start()
for thread in working:
    thread.join()
print(os.getpid(), done[0])
"""
COMMITS = 80


def test_no_commit_is_lost_while_several_threads_and_processes_take_turns(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table written (by_process integer)")
    command = [sys.executable, "-W", "error", "-c", WORK, f"duckdb:///{path}"]
    working = [
        subprocess.Popen(
            [*command, str(threads), str(COMMITS)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for threads in (3, 2)
    ]
    said = [process.communicate(timeout=120) for process in working]
    assert [err for _, err in said] == ["", ""], "no thread ended with an error"
    done = [tuple(map(int, out.split())) for out, _ in said]
    with duckdb.connect(str(path)) as connection:
        kept = connection.execute("select by_process, count(*) from written group by 1").fetchall()
    assert sorted(kept) == sorted(done)
    assert sum(count for _, count in done) > COMMITS

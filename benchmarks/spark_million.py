"""A sync of a million rows in a Spark cluster of two workers: how long, and who works meanwhile.

Starts a cluster and the sandbox, each with processes of their own, makes a table, and runs the
same sync three times: everything is new, nothing has changed, one row in a hundred has changed::

    python -m benchmarks.spark_million [ROWS]

It prints, for each run, the seconds of each phase by the clock and of this process's processor
time. Needs what ``reverse_etl.testing.spark`` needs.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from benchmarks.phases import TimedRun
from reverse_etl.config import Config, load_config
from reverse_etl.ports import Ports
from reverse_etl.run import Options
from reverse_etl.testing.spark import SparkCluster, running_cluster

ROWS = 1_000_000
KEY = "sandbox-key"
SYNC = "customers"

# One core of a worker each; and eight tasks, so that none is large.
SERVER_MEMORY = EXECUTOR_MEMORY = "2g"

PEOPLE = """
SELECT id, concat('person', id, '@example.org') AS email,
       concat('Name ', id % 50021) AS first_name,
       CASE id % 4 WHEN 0 THEN 'gold' WHEN 1 THEN 'silver' ELSE 'none' END AS plan,
       id % 1000 / 10.0D AS score,
       timestamp_seconds(1700000000 + id) AS seen_at
FROM range(1, {rows} + 1, 1, 8)
"""
CHANGED = """
SELECT id, email, first_name, plan,
       CASE WHEN id % 100 = 7 THEN score + 1 ELSE score END AS score, seen_at
FROM ({people})
"""


@contextmanager
def running_sandbox() -> Iterator[str]:
    """Run the sandbox in a process of its own; yield its URL."""
    command = [sys.executable, "-m", "connectors.iterable.sandbox", "--port", "0"]
    with subprocess.Popen([*command, "--api-key", KEY], stdout=subprocess.PIPE) as process:  # noqa: S603 - our own
        try:
            said = process.stdout.readline().decode() if process.stdout else ""
            found = re.search(r"http://[\d.]+:\d+", said)
            if found is None:
                message = f"the sandbox does not say where it is: {said}"
                raise RuntimeError(message)
            yield found[0]
        finally:
            process.terminate()


def configured(cluster: SparkCluster, sandbox: str, folder: Path) -> Config:
    """Return the config of the sync."""
    fields = {name: name for name in ("first_name", "plan", "score", "seen_at")}
    document = {
        "warehouses": {
            "spark": {"url": cluster.url(), "schema": "reverse_etl", "control": "control"},
            "control": {"url": f"duckdb:///{folder}/control.duckdb"},
        },
        "destinations": {
            "iterable": {
                "type": "iterable",
                "api_key": "${ITERABLE_API_KEY}",
                "base_url": sandbox,
                "project_type": "email",
                "requests_per_second": 0,
            }
        },
        "syncs": {
            SYNC: {
                "source": {"warehouse": "spark", "table": "people", "primary_key": "id"},
                "destination": {"name": "iterable", "object": "list", "list": {"name": SYNC}},
                "identifiers": {"email": "email"},
                "fields": fields,
            }
        },
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return load_config(path, {"ITERABLE_API_KEY": KEY})


def timed_run(config: Config, name: str) -> None:
    """Run the sync once and print what it took."""
    run = TimedRun(config, SYNC, Options(), Ports())
    wall, processor = time.perf_counter(), time.process_time()
    report = run.execute()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    planned = {str(operation): count for operation, count in report.planned.items()}
    say(f"\n{name}: {report.status}, planned {planned}, {report.requests} requests")
    if report.error:
        say(f"  {report.error}")
    for phase, (seconds, ours) in {
        **run.phases,
        "whole run": (wall, processor),
    }.items():
        say(f"  {phase:10} {seconds:7.1f} s, this process {ours:6.1f} s ({ours / seconds:.0%})")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    say(f"  peak memory of this process {peak:.0f} MB")


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(argv: list[str]) -> int:
    """Run the three runs."""
    rows = int(argv[0]) if argv else ROWS
    say(f"{rows} rows, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the beginning")
    people = PEOPLE.format(rows=rows)
    memory = {"server_memory": SERVER_MEMORY, "executor_memory": EXECUTOR_MEMORY}
    with (
        tempfile.TemporaryDirectory() as folder,
        running_cluster(**memory) as cluster,
        running_sandbox() as sandbox,
    ):
        config = configured(cluster, sandbox, Path(folder))
        cluster.execute(f"CREATE TABLE people USING PARQUET AS {people}")
        timed_run(config, "everything is new")
        timed_run(config, "nothing has changed")
        changed = CHANGED.format(people=people)
        cluster.execute(f"INSERT OVERWRITE people {changed}")
        timed_run(config, "one row in a hundred has changed")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

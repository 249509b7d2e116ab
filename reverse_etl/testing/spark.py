"""A Spark cluster of one's own: a master, two workers, and the Thrift server that speaks SQL.

The programs come from the wheel ``pyspark``, and need Java 17 (Debian:
``openjdk-17-jre-headless``); the driver is PyHive (the extra ``spark``). Everything listens on
127.0.0.1 only, keeps to a folder of its own, and ends with the process that started it. The Thrift
server asks nobody for a password: while it runs, whoever works on this machine can use it.

Run as a program it runs a command, and puts the URL of the cluster where the command says
``{url}``::

    python -m reverse_etl.testing.spark COMMAND... {url}
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reverse_etl.testing.server_process import folder_for, free_port, running, who_runs

# Four programs start on a machine that may be busy.
START_SECONDS = 180.0

WORKERS = 2

# Of the master and each worker, of the Thrift server, and of each worker's executor.
DAEMON_MEMORY = "256m"
SERVER_MEMORY = "1g"
EXECUTOR_MEMORY = "1g"

_MASTER = "org.apache.spark.deploy.master.Master"
_WORKER = "org.apache.spark.deploy.worker.Worker"
# What there is to know of tables, kept in memory: files would be flushed with every statement.
_METASTORE = "jdbc:derby:memory:metastore;create=true"
_SERVER = "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2"


@dataclass(frozen=True)
class SparkCluster:
    """A running cluster.

    Attributes:
        port: TCP port of the Thrift server on 127.0.0.1.
    """

    port: int

    def url(self, database: str = "default") -> str:
        """Return the SQLAlchemy URL of one database."""
        return f"hive://tester@127.0.0.1:{self.port}/{database}"

    def execute(self, *statements: str) -> None:
        """Run statements, each by itself."""
        with closing(self._connect()) as connection, closing(connection.cursor()) as cursor:
            for statement in statements:
                cursor.execute(statement)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Read the rows of a statement."""
        with closing(self._connect()) as connection, closing(connection.cursor()) as cursor:
            cursor.execute(statement)
            return [tuple(row) for row in cursor.fetchall()]

    def named_rows(self, statement: str) -> list[dict[str, Any]]:
        """Read the rows of a statement by the names of their columns."""
        with closing(self._connect()) as connection, closing(connection.cursor()) as cursor:
            cursor.execute(statement)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def _connect(self) -> Any:  # noqa: ANN401 - the driver's connection
        driver = importlib.import_module("pyhive.hive")
        # A test's ${…} are what it says.
        settings = {"set:hiveconf:spark.sql.variable.substitute": "false"}
        return driver.connect(
            host="127.0.0.1", port=self.port, username="tester", configuration=settings
        )


def what_is_missing() -> str | None:
    """Return what a cluster of one's own would need and is not installed, or None."""
    for module, package in (("pyspark", "pyspark"), ("pyhive", "PyHive"), ("thrift", "thrift")):
        if importlib.util.find_spec(module) is None:
            return f"the package {package} is not installed"
    return None if shutil.which("java") else "Java is not installed"


@contextmanager
def running_cluster(
    *, server_memory: str = SERVER_MEMORY, executor_memory: str = EXECUTOR_MEMORY
) -> Iterator[SparkCluster]:
    """Run a cluster in a folder of its own, until the block ends.

    Args:
        server_memory: Of the Thrift server, as Java writes it.
        executor_memory: Of each worker's executor.

    Raises:
        RuntimeError: A program is missing, or the cluster does not answer.
    """
    missing = what_is_missing()
    if missing is not None:
        raise RuntimeError(missing)
    with folder_for("spark") as folder, ExitStack() as started:
        runner = who_runs(folder)
        programs = _Programs(folder, runner, started)
        place = f"spark://127.0.0.1:{programs.start_master()}"
        for number in range(WORKERS):
            programs.start_worker(number, place, executor_memory)
        cluster = SparkCluster(free_port())
        log = programs.start_server(cluster.port, place, server_memory, executor_memory)
        _await_cluster(cluster, log)
        yield cluster


class _Programs:
    """The programs of a cluster, each with a folder of its own."""

    def __init__(self, folder: Path, runner: dict[str, Any], started: ExitStack) -> None:
        self._folder, self._runner, self._started = folder, runner, started
        package = importlib.util.find_spec("pyspark")
        if package is None or package.origin is None:
            message = "the package pyspark is not installed"
            raise RuntimeError(message)
        self._home = Path(package.origin).parent
        self._environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(folder),
            "SPARK_HOME": str(self._home),
            "SPARK_CONF_DIR": str(self._folder_of("conf")),
            "SPARK_LOCAL_IP": "127.0.0.1",
            # Otherwise it listens on a port of its own choice for programs to run.
            "SPARK_MASTER_OPTS": "-Dspark.master.rest.enabled=false",
            **({"JAVA_HOME": os.environ["JAVA_HOME"]} if "JAVA_HOME" in os.environ else {}),
        }

    def start_master(self) -> int:
        """Start the master; return its port."""
        port = free_port()
        self._start("master", "spark-class", _MASTER, "--port", str(port))
        return port

    def start_worker(self, number: int, place: str, memory: str) -> None:
        """Start a worker with one core, whose executor has some memory."""
        name = f"worker_{number}"
        work = self._folder_of(f"{name}_work")
        room = ("--cores", "1", "--memory", memory, "--work-dir", str(work))
        self._start(name, "spark-class", _WORKER, *room, place)

    def start_server(self, port: int, place: str, memory: str, executor_memory: str) -> Path:
        """Start the Thrift server; return its log."""
        options = {
            "spark.executor.memory": executor_memory,
            "spark.executor.cores": "1",
            "spark.local.dir": str(self._folder_of("local")),
            "spark.ui.enabled": "false",
            "spark.sql.warehouse.dir": str(self._folder_of("warehouse")),
            "spark.hadoop.javax.jdo.option.ConnectionURL": _METASTORE,
            # As many as there are cores: two hundred would be for a cluster of a hundred.
            "spark.sql.shuffle.partitions": str(WORKERS),
            # No job of a test is so long that it should wait for the better place.
            "spark.locality.wait": "0s",
        }
        given = [part for name, value in options.items() for part in ("--conf", f"{name}={value}")]
        hive = {
            "hive.server2.thrift.bind.host": "127.0.0.1",
            "hive.server2.thrift.port": str(port),
            "hive.exec.scratchdir": str(self._folder_of("scratch")),
        }
        said = [part for name, value in hive.items() for part in ("--hiveconf", f"{name}={value}")]
        return self._start(
            "server",
            "spark-submit",
            *("--master", place, "--class", _SERVER, *given, "spark-internal", *said),
            memory=memory,
        )

    def _start(self, name: str, program: str, *arguments: str, memory: str = DAEMON_MEMORY) -> Path:
        folder = self._folder_of(name)
        command = [str(self._home / "bin" / program), *arguments]
        if program == "spark-class":
            command[2:2] = ["--host", "127.0.0.1", "--webui-port", "0"]
        environment = self._environment | {"SPARK_DAEMON_MEMORY": memory}
        runner = self._runner | {"cwd": folder, "env": environment}
        return self._started.enter_context(running(command, folder, runner, "TERM"))

    def _folder_of(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        os.chown(folder, self._runner.get("user", -1), self._runner.get("group", -1))
        return folder


def _await_cluster(cluster: SparkCluster, log: Path) -> None:
    """Wait until the cluster answers a question that its executors have to work for.

    Raises:
        RuntimeError: It does not answer within ``START_SECONDS``; with the end of the log.
    """
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            # The driver itself would write to standard error about every refusal.
            socket.create_connection(("127.0.0.1", cluster.port), timeout=1).close()
        except OSError as error:
            if time.monotonic() > deadline:
                end = log.read_text(errors="replace")[-8000:]
                message = f"Spark does not answer: {error}\n{end}"
                raise RuntimeError(message) from error
            time.sleep(0.1)
        else:
            break
    cluster.rows("SELECT count(*) FROM range(0, 100, 1, 2)")


def main(argv: list[str]) -> int:
    """Run a command with the URL of a cluster that lives as long as it; return its exit code."""
    with running_cluster() as cluster:
        command = [part.replace("{url}", cluster.url()) for part in argv]
        return subprocess.run(command, check=False).returncode  # noqa: S603 - as it was asked for


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

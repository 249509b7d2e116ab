"""What a command costs: seconds by the clock, processor time (its own, the server's) and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_LAUNCHER = Path(__file__).with_name("launcher.py")
_TICKS = os.sysconf("SC_CLK_TCK")
_STAT_AFTER_NAME = {
    "parent": 1,
    "user": 11,
    "system": 12,
    "children_user": 13,
    "children_system": 14,
}


@dataclass(frozen=True)
class Cost:
    """What one run of a command cost.

    Attributes:
        wall_s: Seconds by the clock, start of the process included.
        cpu_s: Processor seconds of the command.
        server_cpu_s: Processor seconds of the database server meanwhile; 0 without one.
        peak_mb: Most memory that the command had resident.
        output: What it printed.
    """

    wall_s: float
    cpu_s: float
    server_cpu_s: float
    peak_mb: float
    output: str

    @property
    def all_cpu_s(self) -> float:
        """Processor seconds of the command and the server together."""
        return self.cpu_s + self.server_cpu_s


class CommandFailedError(Exception):
    """A command of a benchmark did not end as it should; its figures would mean nothing."""


def cost_of(
    command: Sequence[str | Path],
    server_cpu: Callable[[], float] = float,
    *,
    exit_codes: Sequence[int] = (0,),
) -> Cost:
    """Run a command and say what it cost.

    Args:
        command: The program and its arguments.
        server_cpu: The processor seconds that the database server has used so far.
        exit_codes: Of a command that did what it should.

    Raises:
        CommandFailedError: It ended with another exit code; with what it printed.
    """
    before = server_cpu()
    with tempfile.NamedTemporaryFile() as report:
        launched = subprocess.run(  # noqa: S603 - our own commands
            [sys.executable, "-S", _LAUNCHER, report.name, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
        )
        wall, processor, peak_kb, code = json.loads(report.read())
    if code not in exit_codes:
        raise CommandFailedError(f"{' '.join(map(str, command))}: {code}\n{launched.stdout}")
    return Cost(wall, processor, server_cpu() - before, peak_kb / 1024, launched.stdout)


def processor_seconds(server: int) -> float:
    """Return the processor seconds of a process and all that it started.

    Args:
        server: Its process id.
    """
    ticks = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            # The name of the program, in brackets, may hold spaces.
            numbers = (process / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile; its parent has its time
        is_server = int(process.name) == server
        if is_server or int(numbers[_STAT_AFTER_NAME["parent"]]) == server:
            ended = ("children_user", "children_system") if is_server else ()
            names = ("user", "system", *ended)
            ticks += sum(int(numbers[_STAT_AFTER_NAME[name]]) for name in names)
    return ticks / _TICKS


def parent_of(process: int) -> int:
    """Return the process id of who started a process."""
    stat = Path(f"/proc/{process}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[_STAT_AFTER_NAME["parent"]])

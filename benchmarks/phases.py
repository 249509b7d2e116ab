"""One run of ours in this process, with what each phase and each large statement cost.

    python -m benchmarks.phases --config FILE SYNC

prints one JSON document: seconds by the clock and processor seconds of this process, DuckDB's
threads among them; the server's are not.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from reverse_etl.config import load_config
from reverse_etl.ports import Ports
from reverse_etl.run import Options, Run

# What a statement makes, by its beginning.
_MADE = re.compile(
    r"^(?:CREATE (?:TEMP\w* )?TABLE|INSERT INTO) \S*?(snapshot|contested|changes|sync_log)"
)


class TimedRun(Run):
    """A run that notes how long its phases take.

    Attributes:
        phases: Name of the phase to (seconds by the clock, processor seconds of this process).
    """

    def __init__(self, *args: Any) -> None:  # noqa: ANN401 - as the run has them
        """Get ready."""
        super().__init__(*args)
        self.phases: dict[str, tuple[float, float]] = {}

    def note(self, phase: str, work: Callable[[], Any]) -> Any:  # noqa: ANN401 - what it returns
        """Do some work and note what it took."""
        wall, processor = time.perf_counter(), time.process_time()
        try:
            return work()
        finally:
            spent = (time.perf_counter() - wall, time.process_time() - processor)
            self.phases[phase] = spent

    def examine(self) -> None:
        """Note looking for damage."""
        self.note("examine", super().examine)

    def recover(self) -> None:
        """Note what was left to settle."""
        self.note("recover", super().recover)

    def plan(self, reply: Any) -> Any:  # noqa: ANN401 - as the run has it
        """Note planning and committing."""
        inner = super().plan
        return self.note("plan", lambda: inner(reply))

    def deliver(self, plan: Any) -> Any:  # noqa: ANN401 - the same
        """Note sending."""
        inner = super().deliver
        return self.note("deliver", lambda: inner(plan))

    def settle(self, plan: Any, delivery: Any) -> None:  # noqa: ANN401 - the same
        """Note settling."""
        inner = super().settle
        self.note("settle", lambda: inner(plan, delivery))

    def retain(self) -> None:
        """Note dropping what is old."""
        self.note("retain", super().retain)


class Statements:
    """What the statements that make or fill a large table take."""

    def __init__(self) -> None:
        """Listen to every engine of this process."""
        self.spent: dict[str, tuple[float, float]] = {}
        self._begun: dict[int, tuple[float, float]] = {}
        sa.event.listen(sa.Engine, "before_cursor_execute", self._before)
        sa.event.listen(sa.Engine, "after_cursor_execute", self._after)

    def _before(self, _connection: object, cursor: object, *_rest: object) -> None:
        self._begun[id(cursor)] = (time.perf_counter(), time.process_time())

    def _after(self, _connection: object, cursor: object, statement: str, *_rest: object) -> None:
        wall, processor = self._begun.pop(id(cursor))
        found = _MADE.match(statement)
        if found:
            before = self.spent.get(found[1], (0.0, 0.0))
            now = (time.perf_counter() - wall, time.process_time() - processor)
            self.spent[found[1]] = (before[0] + now[0], before[1] + now[1])


def main() -> int:
    """Run the sync; print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("sync")
    options = parser.parse_args()
    statements = Statements()
    config = load_config(options.config, dict(os.environ))
    run = TimedRun(config, options.sync, Options(), Ports())
    # Nothing has waited for anything so far, so processor time is time.
    before = time.process_time()
    report = run.execute()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    document = {
        "status": report.status,
        "error": report.error,
        "before_s": before,
        "phases": run.phases,
        "statements": statements.spent,
        "peak_mb": peak,
    }
    print(json.dumps(document))  # noqa: T201 - a program
    return 0 if report.status == "succeeded" else 1


if __name__ == "__main__":
    sys.exit(main())

"""What a benchmark found: figures beside their targets, and the machine they are from."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("reverse-etl", "duckdb", "pyarrow", "sqlalchemy", "httpx", "psycopg")


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        case: What was done.
        engine: ``duckdb``, ``postgresql``, or empty where it does not matter.
        kind: ``list``, ``user``, or empty.
        rows: In the table.
        name: What was measured, with its unit.
        value: The median.
        spread: The smallest and the largest measurement.
        target: What it should be, as a text; empty where there is none.
        met: Whether it is; None without a target.
    """

    case: str
    engine: str
    kind: str
    rows: int
    name: str
    value: float
    spread: tuple[float, float]
    target: str = ""
    met: bool | None = None


@dataclass(frozen=True)
class About:
    """What the figures of one case are about.

    Attributes:
        case: See :class:`Figure`.
        engine: The same.
        kind: The same.
        rows: The same.
    """

    case: str
    engine: str
    kind: str
    rows: int

    def plain(self, name: str, values: Sequence[float]) -> Figure:
        """Return a figure without a target."""
        return self._figure(name, values)

    def at_most(self, name: str, values: Sequence[float], limit: float) -> Figure:
        """Return a figure that should not be larger."""
        met = statistics.median(values) <= limit
        return self._figure(name, values, f"at most {limit:g}", met=met)

    def at_least(self, name: str, values: Sequence[float], limit: float) -> Figure:
        """Return a figure that should not be smaller."""
        met = statistics.median(values) >= limit
        return self._figure(name, values, f"at least {limit:g}", met=met)

    def _figure(
        self, name: str, values: Sequence[float], target: str = "", *, met: bool | None = None
    ) -> Figure:
        middle, spread = statistics.median(values), (min(values), max(values))
        return Figure(
            self.case, self.engine, self.kind, self.rows, name, middle, spread, target, met
        )


def machine() -> dict[str, Any]:
    """Say what the figures were measured on, and with what."""
    model = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "when": datetime.now(UTC).strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "processor": model[0].partition(":")[2].strip() if model else platform.processor(),
        "memory_gb": round(memory / 2**30),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in _PACKAGES},
    }


def save(path: Path, figures: Sequence[Figure], about: dict[str, Any]) -> None:
    """Write figures as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"about": about, "figures": [asdict(figure) for figure in figures]}
    path.write_text(json.dumps(document, indent=1) + "\n")


def load(path: Path) -> tuple[list[Figure], dict[str, Any]]:
    """Read figures that were saved."""
    document = json.loads(path.read_text())
    return [Figure(**each) for each in document["figures"]], document["about"]

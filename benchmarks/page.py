"""The page about speed, made from figures that were measured before.

    python -m benchmarks.page

reads ``benchmarks/results/*.json`` and puts their figures into ``benchmarks/page.md``: that is
``docs/performance.md``, with its plots. Needs matplotlib, which nothing else does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.figures import Figure, load

HERE = Path(__file__).parent
RESULTS = HERE / "results"
DOCS = HERE.parent / "docs"
PLOTS = DOCS / "performance"
WORDS = HERE / "page.md"

_VERDICT = {None: "", True: "yes", False: "**no**"}
_PROFILE = "profile: "
# What is measured with fewer rows is for the plots: there a run is mostly the start of Python.
_LEAST_ROWS = 1_000_000


class Results(NamedTuple):
    """What one file holds.

    Attributes:
        rows: In the large table.
        figures: All of them.
        machine: Where they were measured.
    """

    rows: int
    figures: list[Figure]
    machine: dict[str, Any]


def results() -> list[Results]:
    """Read all files, the smallest table first."""
    found = [load(path) for path in RESULTS.glob("*.json")]
    sized = [
        Results(max(figure.rows for figure in figures), figures, machine)
        for figures, machine in found
    ]
    return sorted(sized, key=lambda each: each.rows)


# --- tables --------------------------------------------------------------------------------


def _rows(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _number(value: float) -> str:
    whole = 100
    return f"{value:,.0f}" if abs(value) >= whole else f"{value:.3g}"


def _measured(figure: Figure) -> list[str]:
    low, high = (_number(value) for value in figure.spread)
    case = " ".join(filter(None, (figure.case, figure.kind)))
    rows = f"{figure.rows:,}" if figure.rows else ""
    spread = "" if low == high else f"{low} to {high}"
    return [case, figure.engine, rows, figure.name, _number(figure.value), spread]


def targets(every: Sequence[Results]) -> str:
    """Return the figures that have a target, with it."""
    header = ("case", "engine", "rows", "figure", "median", "spread", "target", "met")
    rows = [
        [*_measured(figure), figure.target, _VERDICT[figure.met]]
        for each in every
        for figure in each.figures
        if figure.target
    ]
    return _rows(header, rows)


def profiles(every: Sequence[Results]) -> str:
    """Return where the seconds of runs go: a table for each size, a column for each run."""
    parts = []
    for each in every:
        columns = _profiles_of(each.figures)
        if columns:
            steps = list(next(iter(columns.values())))
            rows = [[step, *(f"{run[step]:.2f}" for run in columns.values())] for step in steps]
            total = ["**all**", *(f"**{sum(run.values()):.2f}**" for run in columns.values())]
            table = _rows(["seconds", *columns], [*rows, total])
            parts.append(f"{each.rows:,} rows:\n\n{table}")
    return "\n\n".join(parts)


def _profiles_of(figures: Iterable[Figure]) -> dict[str, dict[str, float]]:
    """Return run to step to seconds."""
    runs: dict[str, dict[str, float]] = {}
    for figure in figures:
        if figure.case.startswith(_PROFILE):
            title = f"{figure.engine}, {figure.kind}: {figure.case.removeprefix(_PROFILE)}"
            step = figure.name.removeprefix("seconds of ")
            runs.setdefault(title, {})[step] = figure.value
    return runs


def others(every: Sequence[Results]) -> str:
    """Return the figures without a target, a table for each size."""
    header = ("case", "engine", "rows", "figure", "median", "spread")
    parts = []
    for each in every:
        rows = [
            _measured(figure)
            for figure in each.figures
            if not figure.target and not figure.case.startswith(_PROFILE)
        ]
        parts.append(f"### {each.rows:,} rows\n\n{_about(each.machine)}\n\n{_rows(header, rows)}")
    return "\n\n".join(parts)


def _about(machine: dict[str, Any]) -> str:
    """Say where figures are from."""
    versions = ", ".join(
        f"{name} {machine[name]}"
        for name in machine
        if name not in ("when", "cores", "processor", "memory_gb")
    )
    return (
        f"{machine['when']}, {machine['cores']} cores ({machine['processor']}),"
        f" {machine['memory_gb']} GB; {versions}."
    )


# --- plots ---------------------------------------------------------------------------------


def plots(every: Sequence[Results]) -> str:
    """Draw memory and time over rows; return the images."""
    figures = [figure for each in every for figure in each.figures]
    PLOTS.mkdir(exist_ok=True)
    images = []
    for name, file, title, unit in (
        ("MB at most", "memory", "Memory of our process in a first run", "MB"),
        ("seconds", "time", "Time of a first run", "seconds"),
    ):
        plot(PLOTS / f"{file}.svg", title, unit, _over_rows(figures, name))
        images.append(f"![{title}, over rows](performance/{file}.svg)")
    return "\n\n".join(images)


def _over_rows(figures: Sequence[Figure], name: str) -> dict[str, list[tuple[int, float]]]:
    lines: dict[str, list[tuple[int, float]]] = {}
    for figure in figures:
        if (figure.case, figure.name) == ("first run", name):
            key = f"{figure.engine}, {figure.kind}"
            lines.setdefault(key, []).append((figure.rows, figure.value))
    return lines


def plot(path: Path, title: str, unit: str, lines: dict[str, list[tuple[int, float]]]) -> None:
    """Draw values over rows, those in powers of ten; times as well, since they grow with them."""
    import matplotlib as mpl  # noqa: PLC0415 - needed only here

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "the same bytes each time"
    from matplotlib import pyplot as plt  # noqa: PLC0415 - the same

    figure, axes = plt.subplots(figsize=(7, 4))
    for name, points in sorted(lines.items()):
        axes.plot(*zip(*sorted(points), strict=True), marker="o", label=name)
    axes.set(xscale="log", title=title, xlabel="rows", ylabel=unit)
    if unit == "seconds":
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


_TABLES: dict[str, Callable[[Sequence[Results]], str]] = {
    "targets": targets,
    "profiles": profiles,
    "others": others,
}


def main() -> None:
    """Write the page."""
    every = results()
    page = WORDS.read_text().replace("<!-- plots -->", plots(every))
    large = [each for each in every if each.rows >= _LEAST_ROWS]
    for name, part in _TABLES.items():
        page = page.replace(f"<!-- {name} -->", part(large))
    (DOCS / "performance.md").write_text(page)


if __name__ == "__main__":
    main()

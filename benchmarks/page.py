"""The page about speed, made from figures that were measured before.

    python -m benchmarks.page

reads ``benchmarks/results/*.json`` and writes ``docs/performance.md`` and its plots. Needs
matplotlib, which nothing else does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, load

HERE = Path(__file__).parent
RESULTS = HERE / "results"
DOCS = HERE.parent / "docs"
PLOTS = DOCS / "performance"
WORDS = HERE / "page.md"

_VERDICT = {None: "", True: "yes", False: "**no**"}


def table(figures: Iterable[Figure]) -> str:
    """Return figures as a table of Markdown."""
    lines = ["| case | engine | figure | median | smallest, largest | target | met |"]
    lines.append("|---|---|---|---|---|---|---|")
    for figure in figures:
        low, high = (_number(value) for value in figure.spread)
        cells = (
            " ".join(filter(None, (figure.case, figure.kind))),
            figure.engine,
            figure.name,
            _number(figure.value),
            f"{low}, {high}",
            figure.target,
            _VERDICT[figure.met],
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _number(value: float) -> str:
    whole = 100
    return f"{value:,.0f}" if abs(value) >= whole else f"{value:.3g}"


def about(machine: dict[str, Any]) -> str:
    """Say where figures are from."""
    versions = ", ".join(
        f"{name} {machine[name]}" for name in machine if name not in ("when", "cores", "processor")
    )
    return f"{machine['when']}, {machine['cores']} cores ({machine['processor']}); {versions}."


def plot(path: Path, title: str, unit: str, lines: dict[str, list[tuple[int, float]]]) -> None:
    """Draw values over rows, both in powers of ten."""
    import matplotlib as mpl  # noqa: PLC0415 - needed only here

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "the same bytes each time"
    from matplotlib import pyplot as plt  # noqa: PLC0415 - the same

    figure, axes = plt.subplots(figsize=(7, 4))
    for name, points in sorted(lines.items()):
        axes.plot(*zip(*sorted(points), strict=True), marker="o", label=name)
    axes.set(xscale="log", title=title, xlabel="rows", ylabel=unit)
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _over_rows(figures: Sequence[Figure], name: str) -> dict[str, list[tuple[int, float]]]:
    lines: dict[str, list[tuple[int, float]]] = {}
    for figure in figures:
        if (figure.case, figure.name) == ("first run", name):
            key = f"{figure.engine}, {figure.kind}"
            lines.setdefault(key, []).append((figure.rows, figure.value))
    return lines


def main() -> None:
    """Write the page."""
    runs = sorted((load(path) for path in RESULTS.glob("*.json")), key=lambda run: run[0][-1].rows)
    parts = [WORDS.read_text().rstrip()]
    for figures, machine in runs:
        rows = max(figure.rows for figure in figures)
        parts.append(f"## {rows:,} rows\n\n{about(machine)}\n\n{table(figures)}")
    (DOCS / "performance.md").write_text("\n\n".join(parts) + "\n")
    everything = [figure for figures, _ in runs for figure in figures]
    PLOTS.mkdir(exist_ok=True)
    for name, title, unit in (
        ("MB at most", "Memory of our process in a first run", "MB"),
        ("seconds", "Time of a first run", "seconds"),
    ):
        plot(PLOTS / f"{unit.lower()}.svg", title, unit, _over_rows(everything, name))


if __name__ == "__main__":
    main()

"""Measure the cases, and write their figures down.

python -m benchmarks --people 1000000 --json benchmarks/results/1000000.json
python -m benchmarks --people 100000 --only first-run --engine duckdb --repeats 1
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.cases import CASES, KINDS, NEEDS_STEP, make_in_step, make_start
from benchmarks.figures import Figure, machine, save
from benchmarks.stage import Play, running_api, stages


def main() -> int:
    """Measure; the exit code is 0 whatever the figures are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--engine", action="append", choices=("duckdb", "postgresql"))
    parser.add_argument("--only", action="append", choices=[case.name for case in CASES])
    parser.add_argument("--json", type=Path, help="where the figures go")
    options = parser.parse_args()
    engines = options.engine or ["duckdb", "postgresql"]
    chosen = [case for case in CASES if not options.only or case.name in options.only]
    play = Play(options.people, options.repeats, say)
    figures: list[Figure] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        running_api() as api,
        stages(Path(folder), api, engines) as opened,
    ):
        for stage in opened:
            make_start(play, stage)
            if any(NEEDS_STEP.fullmatch(case.name) for case in chosen):
                for kind in KINDS:
                    make_in_step(play, stage, kind)
            for case in chosen:
                if stage.engine not in case.engines:
                    continue
                began = time.monotonic()
                say(f"{stage.engine}: {case.title}")
                for figure in case.measure(play, stage):
                    figures.append(figure)
                    say(shown(figure))
                say(f"  ({time.monotonic() - began:.0f} s)")
                if options.json:
                    save(options.json, figures, machine())
    missed = [figure for figure in figures if figure.met is False]
    say(f"{len(figures)} figures, {len(missed)} miss their target")
    for figure in missed:
        say(shown(figure))
    return 0


def shown(figure: Figure) -> str:
    """Return a figure as a line."""
    verdict = {None: "", True: "met", False: "MISSED"}[figure.met]
    what = " ".join(filter(None, (figure.case, figure.engine, figure.kind)))
    low, high = figure.spread
    value = f"{figure.value:.3g} ({low:.3g}-{high:.3g})"
    return f"= {what}: {figure.name} {value} {figure.target} {verdict}".rstrip()


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

"""Plays histories over the rules, on as many processors as are asked for."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from reverse_etl.testing.rules.playing import play_seeds

_CHUNK = 2_000
_SAY_EVERY_S = 60


def _chunks(first: int, count: int) -> Iterator[range]:
    for start in range(first, first + count, _CHUNK):
        yield range(start, min(start + _CHUNK, first + count))


def main(argv: list[str] | None = None) -> int:
    """Play histories from the command line; return 1 when one goes wrong."""
    parser = argparse.ArgumentParser(prog="python -m reverse_etl.testing.rules")
    parser.add_argument("--seed", type=int, default=1, help="of the first history")
    parser.add_argument("--histories", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    chosen = parser.parse_args(argv)
    began = said = time.monotonic()
    coverage: Counter[str] = Counter()
    played = wrong = 0
    with ProcessPoolExecutor(chosen.jobs) as pool:
        for result in pool.map(play_seeds, _chunks(chosen.seed, chosen.histories)):
            coverage.update(result.coverage)
            played, wrong = played + result.histories, wrong + len(result.complaints)
            sys.stdout.writelines(f"{complaint}\n\n" for complaint in result.complaints)
            if time.monotonic() > said + _SAY_EVERY_S:
                said = time.monotonic()
                sys.stdout.write(f"{played} histories, {wrong} wrong\n")
            sys.stdout.flush()
    rate = played / (time.monotonic() - began)
    busy = played / max(coverage.pop("seconds"), 0.001)
    sys.stdout.write(
        f"{played} histories, {wrong} wrong, {rate:,.0f} a second ({busy:,.0f} for each second of"
        f" processor time)\n"
    )
    for name, count in sorted(coverage.items()):
        sys.stdout.write(f"{count:10,} {name}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())

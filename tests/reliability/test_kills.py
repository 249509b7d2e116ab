"""The real command, killed with SIGKILL, on a DuckDB file and on PostgreSQL.

More of it: ``python -m reverse_etl.testing.kills --help``.
"""

from __future__ import annotations

import sys

import pytest

from reverse_etl.testing.kills import WINDOW, Kills
from reverse_etl.testing.site import Object, Site

# Of the members of a list, and as many of profiles.
KILLS = 10


@pytest.mark.parametrize("kind", ["list", "user"])
def test_killed_again_and_again_the_next_run_repairs(site: Site, kind: Object) -> None:
    """And sends one window of people again at most; the checks are in ``Kills``."""
    site.object = kind
    kills = Kills(site, seed=4)
    kills.play(KILLS)
    figures = kills.figures
    sys.stdout.write(f"{figures.line()}\n")  # shown by pytest -rP
    assert figures.kills == KILLS
    assert figures.stages["delivering"] > 0
    assert figures.most_sent_again <= WINDOW

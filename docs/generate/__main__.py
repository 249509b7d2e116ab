"""Writes all the pages that are made of the code: ``python docs/generate``."""

from __future__ import annotations

import runpy
from pathlib import Path

for script in sorted(Path(__file__).parent.glob("[!_]*.py")):
    runpy.run_path(str(script), run_name="__main__")

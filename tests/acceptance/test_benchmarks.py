"""The benchmarks still run; what they find is no test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_case_and_its_yardsticks_send_everybody(tmp_path: Path) -> None:
    results = tmp_path / "results" / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "--people", "3000", "--repeats", "1"]
    command += ["--engine", "duckdb", "--only", "first-run", "--json", str(results)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(results.read_text())
    cases = {(figure["case"], figure["kind"], figure["name"]) for figure in found["figures"]}
    for kind in ("list", "user"):
        assert ("first run", kind, "ratio to the floor") in cases
        assert ("first run", kind, "seconds of the script") in cases
    assert all(figure["value"] > 0 for figure in found["figures"])

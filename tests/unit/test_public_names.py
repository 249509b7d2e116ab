"""What ``import reverse_etl`` gives a program of a user's, and what it does not load for that."""

from __future__ import annotations

import subprocess
import sys

import pytest

import reverse_etl

HEAVY = {"sqlalchemy", "duckdb", "pyarrow", "pydantic", "httpcore", "typer", "reverse_etl.run"}


def test_the_names_for_users() -> None:
    """Add, never rename: programs of users depend on them."""
    assert reverse_etl.__all__ == [
        "Busy",
        "Config",
        "ConfigError",
        "Operation",
        "ReverseEtlError",
        "RunError",
        "RunSummary",
        "load_config",
        "run_sync",
    ]


@pytest.mark.parametrize("name", reverse_etl.__all__)
def test_each_name_is_there(name: str) -> None:
    found = getattr(reverse_etl, name)
    assert found.__name__ == name
    assert found.__module__.startswith("reverse_etl.")


def test_all_of_them_at_once() -> None:
    names: dict[str, object] = {}
    exec("from reverse_etl import *", names)  # noqa: S102 - what a user may write
    assert set(names) - {"__builtins__"} == set(reverse_etl.__all__)


def test_another_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="module 'reverse_etl' has no attribute 'run_synk'"):
        reverse_etl.run_synk  # noqa: B018 - what is looked at


def loaded(code: str) -> set[str]:
    """Return which heavy modules a fresh process has loaded."""
    show = f"{code}\nimport sys; print(*sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_an_import_loads_nothing_heavy() -> None:
    assert loaded("import reverse_etl") == set()
    assert loaded("from reverse_etl import Busy, ConfigError, RunError") == set()


def test_a_first_use_loads_what_it_needs() -> None:
    assert "reverse_etl.run" in loaded("from reverse_etl import run_sync")

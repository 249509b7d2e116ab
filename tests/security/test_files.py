"""What is written to disk: who may read it, and that nobody can guess where it will be."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from connectors.iterable import IterableConnector
from reverse_etl.config import load_config
from tests.security.conftest import KEY

if TYPE_CHECKING:
    from tests.security.conftest import Place

UMASKS = [0o000, 0o022]
OTHERS = stat.S_IRWXG | stat.S_IRWXO

WITH_UMASK = "import os; os.umask({umask})"


def others_may(path: Path) -> int:
    """Return what everybody but the owner may do with a file or folder."""
    return path.stat().st_mode & OTHERS


@pytest.mark.parametrize("umask", UMASKS)
@pytest.mark.parametrize("place", ["duckdb"], indirect=True)
def test_a_warehouse_that_a_run_makes_is_for_its_owner_only(place: Place, umask: int) -> None:
    path = place.folder / "new.duckdb"
    place.write(
        url=f'"duckdb:///{path}"', source="query: select 1 as id, 'a@b.com' as email, 'x' as plan"
    )

    done = place.run("run-sync", "people", program=WITH_UMASK.format(umask=umask))

    assert done.code == 0, done.err
    assert others_may(path) == 0


@pytest.mark.parametrize("place", ["duckdb"], indirect=True)
def test_a_warehouse_that_its_owner_shares_stays_shared(place: Place) -> None:
    path = place.folder / "warehouse.duckdb"
    path.chmod(0o664)
    assert place.run("run-sync", "people").code == 3
    assert others_may(path) == 0o064


@pytest.mark.parametrize("umask", UMASKS)
@pytest.mark.parametrize("place", ["duckdb"], indirect=True)
def test_a_plan_file_is_for_its_owner_only(place: Place, umask: int) -> None:
    program = WITH_UMASK.format(umask=umask)
    words = ("plan", "people", "--out", "plan.json")

    assert place.run(*words, program=program).code == 0

    assert others_may(place.folder / "plan.json") == 0
    (place.folder / "plan.json").chmod(0o644)
    assert place.run(*words, program=program).code == 0
    assert others_may(place.folder / "plan.json") == 0o044, "who opened it up meant it"


@pytest.mark.parametrize("place", ["duckdb"], indirect=True)
def test_a_plan_file_is_not_written_through_somebody_elses_link(place: Place) -> None:
    target = place.folder / "target"
    (place.folder / "plan.json").symlink_to(target)
    assert place.run("plan", "people", "--out", "plan.json").code == 0
    assert others_may(target) == 0


@pytest.mark.parametrize("umask", UMASKS)
@pytest.mark.parametrize("place", ["duckdb"], indirect=True)
def test_the_folder_of_the_demo_is_for_its_owner_only(place: Place, umask: int) -> None:
    program = f"""
import os
os.umask({umask})
from reverse_etl.cli import demo
demo.PEOPLE = 1000
story = demo._Story
story._changes = story._refusals = story._retry = lambda *_: None
"""

    done = place.run("demo", program=program)

    assert done.code == 0, done.err
    folder = place.folder / "reverse-etl-demo"
    assert others_may(folder) == 0
    assert others_may(folder / ".env") == 0
    assert list((place.folder / "tmp").iterdir()) == []


@pytest.mark.parametrize("place", ["duckdb"], indirect=True)
def test_long_answers_are_kept_where_only_we_may_look_and_under_names_of_chance(
    place: Place,
) -> None:
    assert place.run("run-sync", "people").code == 3
    seen = place.folder / "seen"
    program = f"""
import os, tempfile
os.umask(0)
real = os.mkdir
def mkdir(path, mode=0o777, **more):
    real(path, mode, **more)
    with open({str(seen)!r}, "a") as file:
        file.write(f"{{os.stat(path).st_mode & 0o777:o}} {{path}}\\n")
os.mkdir = mkdir
"""
    for _ in range(2):
        assert place.run("audit", "people", program=program).code in {0, 1}
    lines = [line.split(" ", 1) for line in seen.read_text().splitlines()]
    spools = [(mode, path) for mode, path in lines if "reverse-etl-" in path]
    assert len(spools) == len({path for _, path in spools}) == 2
    assert {mode for mode, _ in spools} == {"700"}
    assert list((place.folder / "tmp").iterdir()) == []


# --- the config ----------------------------------------------------------------------------

CONFIG = """\
warehouses: {{local: {{url: "{url}"}}}}
destinations:
  iterable:
    type: iterable
    {key}
syncs: {{}}
"""

READABLE = "others on this machine may read"


@pytest.mark.parametrize(
    ("mode", "key", "url", "expected"),
    [
        (0o600, f"api_key: {KEY}", "duckdb:///x.duckdb", False),
        (0o640, f"api_key: {KEY}", "duckdb:///x.duckdb", True),
        (0o604, f"api_key: {KEY}", "duckdb:///x.duckdb", True),
        (0o644, "api_key: ${KEY}", "duckdb:///x.duckdb", False),
        (0o644, "api_key: ${KEY}", "postgresql://u:${KEY}@h/d", False),
        (0o644, "api_key: ${KEY}", f"postgresql://u:{KEY}@h/d", True),
        (0o600, "api_key: ${KEY}", f"postgresql://u:{KEY}@h/d", False),
    ],
)
def test_a_config_with_a_secret_in_it_that_others_may_read_is_warned_of(
    tmp_path: Path,
    mode: int,
    key: str,
    url: str,
    expected: bool,  # noqa: FBT001
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.format(key=key, url=url))
    path.chmod(mode)
    config = load_config(path, {"KEY": KEY}, {"iterable": IterableConnector})
    found = [line for line in config.warnings if READABLE in line]
    assert bool(found) is expected
    assert all(f"chmod 600 {path}" in line for line in found)


def test_the_tests_can_tell_modes_apart(tmp_path: Path) -> None:
    path = tmp_path / "file"
    before = os.umask(0)
    try:
        path.touch()
    finally:
        os.umask(before)
    assert others_may(path) == 0o066

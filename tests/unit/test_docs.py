"""What the documents name is there: files, tests, commands, make targets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from connectors.iterable import IterableConnector
from reverse_etl.cli import app
from reverse_etl.config import load_config

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for folder in (".", "connectors", "docs", "examples", "sample_warehouse")
    for page in (ROOT / folder).glob("*.md" if folder == "." else "**/*.md")
)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


@pytest.fixture(params=PAGES, ids=NAMES)
def page(request: pytest.FixtureRequest) -> Path:
    """One document after the other."""
    found: Path = request.param
    return found


@pytest.fixture(scope="module")
def commands() -> set[str]:
    """The commands of the command line."""
    group: Any = typer.main.get_command(app._app())
    return set(group.commands)


def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not leads(page, link)] == []


def leads(page: Path, link: str) -> bool:
    """Whether there is such a file, and such a heading in it."""
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    if not (anchor and target.is_file()):
        return target.exists()
    headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
    return anchor in {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


def test_commands_exist(page: Path, commands: set[str]) -> None:
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"(?:^\$ |`|^)reverse-etl ([a-z][a-z-]+)", text, re.MULTILINE)
    assert set(named) <= commands


def test_make_targets_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^|`)make ([a-z][a-z-]+)", text, re.MULTILINE))
    declared = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert named <= set(" ".join(declared).split())


def test_every_row_of_a_table_has_the_same_cells(page: Path) -> None:
    blocks = re.findall(r"(?:^\|.*\n)+", page.read_text(encoding="utf-8"), re.MULTILINE)
    for block in blocks:
        # A bar within code, such as `a | b`, is escaped.
        cells = {len(re.split(r"(?<!\\)\|", row)) for row in block.splitlines()}
        assert len(cells) == 1, block


def test_the_comparison_names_tests_that_exist_and_sources_that_are_listed() -> None:
    text = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    assert len(named) > 40
    code = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("*.py"))
    assert [name for name in sorted(named) if f"def {name}(" not in code] == []
    body, sources = text.split("\n## Sources\n")
    listed = set(re.findall(r"^\| ([RS]\d) \|", sources, re.MULTILINE))
    assert set(re.findall(r"\b[RS]\d\b", body)) == listed


def test_the_config_of_the_readme_loads(tmp_path: Path) -> None:
    """The second piece, a sync of profiles, stands below the first one."""
    blocks = re.findall(r"```yaml\n(.+?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    path = tmp_path / "config.yaml"
    path.write_text("\n".join(blocks), encoding="utf-8")
    variables = {"ITERABLE_API_KEY": "a" * 32, "PGPASSWORD": "secret"}
    config = load_config(path, variables, {"iterable": IterableConnector})
    assert list(config.syncs) == ["vip_customers", "experiments"]
    assert config.warnings == []

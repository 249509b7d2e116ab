"""What docs/architecture.md and its drawings name is there, and nothing of it is left out."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from reverse_etl.warehouse.tables import control_tables

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "reverse_etl"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
IMAGES = ROOT / "docs" / "images"
DRAWINGS = ("layers", "run-states", "failed-record")
SVG = "{http://www.w3.org/2000/svg}"

STATES = {
    *("planning", "delivering", "succeeded", "completed_with_failures"),
    *("held", "failed", "interrupted"),
}


def section(title: str) -> str:
    """Return the part of the page below a heading."""
    _, _, rest = PAGE.partition(f"\n## {title}\n")
    return rest.partition("\n## ")[0]


def first_cells(text: str) -> list[str]:
    return re.findall(r"^\| ([^|]+?) \|", text, re.MULTILINE)


def texts(drawing: str) -> list[str]:
    # No file of a stranger's.
    tree = ET.parse(IMAGES / f"{drawing}.svg")  # noqa: S314
    return [element.text or "" for element in tree.iter(f"{SVG}text")]


def test_the_tests_that_it_names_exist() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 30
    code = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("*.py"))
    assert [name for name in sorted(named) if f"def {name}(" not in code] == []


def test_every_module_is_in_its_table() -> None:
    found = (path for path in PACKAGE.iterdir() if (path / "__init__.py").exists())
    children = {path.stem for path in (*PACKAGE.glob("*.py"), *found)}
    named = re.findall(r"^\| `(\w+)` \|", section("The house"), re.MULTILINE)
    assert sorted(named) == sorted(children - {"__init__"})


def test_the_drawing_of_the_layers_is_the_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = (each["layers"] for each in contracts["contracts"] if each["type"] == "layers")
    wanted = [" · ".join(re.split(r" \| ", layer)) for layer in layers if "(" not in layer]
    assert [text for text in texts("layers") if text in wanted] == wanted


def functions() -> dict[str, set[str]]:
    """Return what each module and each class of the package defines, by its bare name."""
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(tree := ast.parse(path.read_text(encoding="utf-8"))):
            if node is tree or isinstance(node, ast.ClassDef):
                owner = node.name if isinstance(node, ast.ClassDef) else path.stem
                body = getattr(node, "body", [])
                names = {each.name for each in body if isinstance(each, ast.FunctionDef)}
                found.setdefault(owner, set()).update(names)
    return found


def test_the_functions_that_it_names_exist() -> None:
    known = functions()
    named = re.findall(r"`([A-Za-z]+)\.(_?[a-z_]+)`", PAGE)
    assert len(named) > 25
    tables = control_tables("ours", "ours")
    known["sync_state"] = {column.name for column in tables.state.columns}
    files = {"py", "toml", "md", "yaml"}
    missing = [n for n in named if n[1] not in known.get(n[0], set()) and n[1] not in files]
    assert [name for name in missing if name != ("tx", "control")] == []


def test_the_files_that_it_names_exist() -> None:
    paths = re.findall(r"`((?:tests|reverse_etl|connectors|examples)/[a-z_/]+(?:\.\w+)?)`", PAGE)
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("drawing", DRAWINGS)
def test_a_drawing_says_what_it_shows_and_minds_a_dark_page(drawing: str) -> None:
    text = (IMAGES / f"{drawing}.svg").read_text(encoding="utf-8")
    assert re.search(r'aria-labelledby="title desc"', text)
    assert re.search(r'<title id="title">.+</title>\s*<desc id="desc">.{80,}</desc>', text)
    assert "@media (prefers-color-scheme: dark)" in text
    assert re.search(rf"!\[.{{40,}}\]\(images/{drawing}\.svg\)", PAGE)


@pytest.mark.parametrize(
    ("drawing", "title"),
    [
        ("run-states", "The states of a run"),
        ("failed-record", "The life of a failed record"),
    ],
)
def test_each_arrow_has_its_row(drawing: str, title: str) -> None:
    marks = [text for text in texts(drawing) if text.isdecimal()]
    rows = [cell for cell in first_cells(section(title)) if cell.isdecimal()]
    assert rows == [str(number) for number in range(1, len(rows) + 1)]
    assert sorted(marks, key=int) == rows
    # And its head in the drawing.
    text = (IMAGES / f"{drawing}.svg").read_text(encoding="utf-8")
    assert text.count('marker-end="url(#tip)"') == len(rows)


def test_the_states_are_those_of_the_code() -> None:
    assert set(texts("run-states")) >= STATES
    told = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    (row,) = re.findall(r"^\| `status` \| (.+) \|$", told, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", row)) == STATES


def test_the_commands_that_repeat_a_failure_take_these_options() -> None:
    told = section("Where to look when something is wrong")
    (block,) = re.findall(r"```sh\n(.+?)```", told, re.DOTALL)
    asked: dict[str, set[str]] = {}
    for line in block.splitlines():
        *_, module, rest = re.split(r"-m (reverse_etl\.testing\.\w+)", line)
        asked.setdefault(module, set()).update(w for w in shlex.split(rest) if w.startswith("--"))
    assert len(asked) > 3
    for module, options in asked.items():
        command = [sys.executable, "-m", module, "--help"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert options <= set(re.findall(r"--\w+", done.stdout)), module

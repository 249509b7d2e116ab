"""What is installed, and what is promised about all of it."""

from __future__ import annotations

import ast
import re
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PINS = sorted((ROOT / "requirements").glob("*.txt"))
SOURCES = [
    path
    for folder in ("reverse_etl", "connectors", "sample_warehouse")
    for path in sorted((ROOT / folder).rglob("*.py"))
]

PINNED = re.compile(
    r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==[^ ;]+( ;[^#]+?)?( --hash=sha256:[0-9a-f]{64})+"
)

# Calls that run a text as code or as a command, or read one that can hold code.
FORBIDDEN = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill", "telnetlib", "xml"}
# The simulators start processes to kill them.
STARTS_PROCESSES = "reverse_etl/testing/"


@pytest.mark.parametrize("path", PINS, ids=[path.name for path in PINS])
def test_every_requirement_has_one_version_and_a_hash_and_no_address(path: Path) -> None:
    text = re.sub(r" \\\n\s*", " ", path.read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert len(lines) > 20
    assert [line for line in lines if not PINNED.fullmatch(line.strip())] == []
    assert "://" not in text


def test_what_runs_is_pinned_to_the_same_versions_as_what_is_tested() -> None:
    run, dev = (
        dict(re.findall(r"^([A-Za-z0-9._-]+)(?:\[.*?\])?==(\S+)", path.read_text(), re.MULTILINE))
        for path in (ROOT / "requirements/run.txt", ROOT / "requirements/dev.txt")
    )
    assert {name: dev.get(name) for name in run} == run


def test_only_wheels_whose_hashes_are_known_are_installed() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "--require-hashes --only-binary :all:" in makefile


def test_no_source_file_runs_text_as_code() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {ast.unparse(node)}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if _calls(node) in FORBIDDEN
        or _imports(node) & FORBIDDEN_MODULES
        or ("subprocess" in _imports(node) and STARTS_PROCESSES not in str(path))
    ]
    assert found == []


def _calls(node: ast.AST) -> str | None:
    """Return the plain name of the function that a node calls."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id
    return None


def _imports(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom) and not node.level:
        return {(node.module or "").partition(".")[0]}
    return set()


def test_the_only_code_that_is_loaded_by_name_are_connectors() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert list(project["entry-points"]) == ["reverse_etl.connectors"]
    ours = {entry.name for entry in entry_points(group="reverse_etl.connectors")}
    assert "iterable" in ours


# --- the promises --------------------------------------------------------------------------


def test_each_promise_of_the_security_page_names_a_test_that_exists() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    assert len(named) > 20
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    assert [name for name in sorted(named) if f"def {name}(" not in code] == []


def test_every_rule_of_the_security_page_has_a_test() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?!rule|---)(.+) \| (.+) \|$", text, re.MULTILINE)
    assert len(rows) > 15
    assert [rule for rule, tests in rows if "`test_" not in tests] == []

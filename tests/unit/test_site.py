"""The site of the documents: it is whole, and loads nothing from elsewhere."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ELSEWHERE = re.compile(r"(?:https?:)?//")
LOADS = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src"}


def build(root: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Build a site as ``make docs`` does."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", "")
    (said,) = re.findall(r"python (-m sphinx .+)", makefile)
    places = {"docs": ROOT / "docs", "build/docs": f"{out}-trees", ".": root, "$(SITE)": out}
    command = [sys.executable, *(str(places.get(word, word)) for word in shlex.split(said))]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of our documents."""
    out = tmp_path_factory.mktemp("docs") / "site"
    done = build(ROOT, out)
    assert done.returncode == 0, done.stderr
    return out


def test_every_document_is_a_page(site: Path) -> None:
    folders = ("docs", "connectors", "examples", "sample_warehouse")
    documents = {
        *ROOT.glob("*.md"),
        *(file for each in folders for file in ROOT.glob(f"{each}/**/*.md")),
    }
    pages = {str(document.relative_to(ROOT).with_suffix(".html")) for document in documents}
    assert len(pages) > 50
    assert pages - {str(page.relative_to(site)) for page in site.rglob("*.html")} == set()


def test_the_readme_is_in_front(site: Path) -> None:
    assert (site / "index.html").read_bytes() == (site / "README.html").read_bytes()


class Loaded(HTMLParser):
    """What a browser loads with a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name == LOADS.get(tag)]


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    for page in pages:
        loaded = Loaded()
        loaded.feed(page.read_text(encoding="utf-8"))
        assert len(loaded.found) > 3, page
        assert [each for each in loaded.found if ELSEWHERE.match(each)] == [], page


@pytest.mark.parametrize(("ending", "at_least"), [("css", 3), ("svg", 2)])
def test_no_style_is_loaded_from_elsewhere(ending: str, at_least: int, site: Path) -> None:
    files = list(site.rglob(f"*.{ending}"))
    assert len(files) >= at_least
    loading = re.compile(r"(?:url\(|@import\s|href=)\s*['\"]?([^'\")]+)")
    for file in files:
        named = loading.findall(file.read_text(encoding="utf-8"))
        assert [each for each in named if ELSEWHERE.match(each)] == [], file


# --- what fails a build --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[there](faq.md#a-question)", None),
        ("[not there](nowhere.md)", "nowhere.md"),
        ("[no such heading](faq.md#an-answer)", "an-answer"),
        ("![no such picture](nothing.svg)", "nothing.svg"),
    ],
)
def test_a_broken_link_fails_it(text: str, complaint: str | None, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("# Front\n")
    (tmp_path / "docs" / "faq.md").write_text("# FAQ\n\n## A question\n")
    (tmp_path / "docs" / "tables.md").write_text(f"# Tables\n\n{text}\n")
    done = build(tmp_path, tmp_path / "site")
    assert (done.returncode == 0) == (complaint is None)
    assert (complaint or "") in done.stderr


def test_a_page_without_a_place_fails_it(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("# Front\n")
    (tmp_path / "docs" / "unknown.md").write_text("# Unknown\n")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode != 0
    assert re.search(r"unknown\.md: WARNING: document isn't included", done.stderr)

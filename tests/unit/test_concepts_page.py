"""The drawings of docs/concepts.md: small, for both themes, told to those who do not see them."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

DOCS = Path(__file__).parents[2] / "docs"
SHOWN = re.findall(r"!\[([^\]]+)\]\((\S+)\)", (DOCS / "concepts.md").read_text(encoding="utf-8"))
DRAWINGS = [DOCS / name for _, name in SHOWN]
SVG = "{http://www.w3.org/2000/svg}"
MOST_BYTES = 8_000


@pytest.fixture(params=DRAWINGS, ids=[drawing.stem for drawing in DRAWINGS])
def drawing(request: pytest.FixtureRequest) -> Path:
    """One drawing after the other."""
    found: Path = request.param
    return found


def test_a_drawing_is_told_in_words(drawing: Path) -> None:
    root = ET.parse(drawing).getroot()  # noqa: S314 - a file of ours
    told = [root.find(f"{SVG}{name}") for name in ("title", "desc")]
    words = [(each.get("id"), each.text or "") for each in told if each is not None]
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == " ".join(str(name) for name, _ in words)
    assert [len(text.split()) > 1 for _, text in words] == [True, True]


def test_a_drawing_stands_alone_and_is_small(drawing: Path) -> None:
    """No address, no script: it is shown as an image, from a file as from a site."""
    text = drawing.read_text(encoding="utf-8")
    assert len(text.encode()) < MOST_BYTES
    assert re.findall(r"https?://\S+?(?=\")", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"<script|\son\w+=|@import|<image|<use|foreignObject", text)


def test_a_drawing_can_be_read_in_the_dark(drawing: Path) -> None:
    """Whatever is drawn in a colour has another one for dark pages; so does its background."""
    text = drawing.read_text(encoding="utf-8")
    light, dark = text.split("@media (prefers-color-scheme: dark)")
    coloured = re.compile(r"^\s+([.\w ]+?) \{[^}]*(?:#\w{6})", re.MULTILINE)
    assert set(coloured.findall(light)) <= set(coloured.findall(dark.split("</style>")[0]))
    assert ".card" in dark


def test_each_drawing_has_words_in_its_place() -> None:
    assert len(SHOWN) == len({name for _, name in SHOWN}) == 4
    assert [words for words, _ in SHOWN if len(words.split()) < 12] == []

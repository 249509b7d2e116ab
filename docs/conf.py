"""How `make docs` builds the site: Sphinx with MyST, of the Markdown files as they are.

The pages lie where they belong in the repository, and the links between them work there too. So
the source folder of the site is the root of the repository, and only this file is told to Sphinx
by ``-c docs``. Why these tools: ``docs/decisions/0027-a-site-of-the-documents.md``.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "reverse-etl"
html_title = project
extensions = ["myst_parser"]
root_doc = "README"

include_patterns = [
    "*.md",
    "docs/*.md",
    "docs/*/*.md",
    "connectors/*/*.md",
    "connectors/*/*/*.md",
    "examples/*/*.md",
    "sample_warehouse/*.md",
]
# Not looked into.
exclude_patterns = [".*", "build", "dist", "mutants", "site", "tests"]

# Plain Markdown stays plain: what MyST adds to it would look odd where the files are read as such.
myst_disable_syntax = [
    "colon_fence",
    "myst_block_break",
    "myst_line_comment",
    "myst_role",
    "myst_target",
]
# Headings get the anchors that they have where the files are read as such.
myst_heading_anchors = 6

nitpicky = True
suppress_warnings = [
    "misc.highlighting_failure",  # an example may leave something out with …
]

# Nothing is loaded from elsewhere: the theme brings its own files and uses the fonts of the system.
html_theme = "furo"
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
html_use_index = False

NAVIGATION = {
    "Begin": {
        "Getting started": "docs/getting-started",
        "Concepts": "docs/concepts",
        "Example: an audience": "examples/audience/README",
        "Example: profiles": "examples/profiles/README",
    },
    "Look up": {
        "Configuration": "docs/configuration",
        "Commands": "docs/commands",
        "Tables": "docs/tables",
        "Sources": "docs/sources",
        "Check": "docs/check",
        "Audit": "docs/audit",
    },
    "Operate": {
        "Operation": "docs/operation",
        "Alerts": "docs/alerts",
        "Orchestrators": "docs/orchestrators",
        "Security": "SECURITY",
    },
    "Both ends": {
        "Warehouses": "docs/warehouses/README",
        "Iterable": "connectors/iterable/README",
    },
    "Promises": {
        "Reliability": "docs/reliability",
        "Performance": "docs/performance",
        "Comparison": "docs/comparison",
    },
    "Help": {
        "FAQ": "docs/faq",
        "Coming from another tool": "docs/coming-from",
        "Errors": "docs/errors",
        "JSON documents": "docs/json",
    },
    "Inside": {
        "Architecture": "docs/architecture",
        "Example: a connector": "examples/connector/README",
        "Decisions": "docs/decisions/README",
        "Tour": "docs/tour",
        "Sample data": "sample_warehouse/README",
        "Contributing": "CONTRIBUTING",
        "Changes": "CHANGELOG",
    },
}
"""The pages, by part of the site and title. The build fails when a page is in no part."""

BELOW = {
    "docs/decisions/README": "docs/decisions/0*.md",
    "docs/warehouses/README": "docs/warehouses/[!R]*.md",
    "docs/sources": "examples/sqlite_warehouse/*.md",
    "connectors/iterable/README": "connectors/iterable/sandbox/*.md",
}
"""Which pages are below another one."""


def setup(app: Sphinx) -> None:
    """Put the navigation into the pages, and the README in front."""
    app.connect("source-read", _add_navigation)
    app.connect("build-finished", _put_readme_in_front)


def _add_navigation(app: Sphinx, page: str, source: list[str]) -> None:
    source[0] += "".join(_trees(app.srcdir, page))


def _trees(root: Path, page: str) -> Iterator[str]:
    """Yield what tells Sphinx which pages are below one; it is shown at the side, not there."""
    if page == root_doc:
        for part, pages in NAVIGATION.items():
            there = {name: each for name, each in pages.items() if (root / f"{each}.md").is_file()}
            entries = [f"{name} </{each}>" for name, each in there.items()]
            yield from _tree([f":caption: {part}"], entries)
    if page in BELOW:
        found = [path.relative_to(root) for path in sorted(root.glob(BELOW[page]))]
        yield from _tree([], [f"/{path.with_suffix('').as_posix()}" for path in found])


def _tree(options: list[str], entries: list[str]) -> Iterator[str]:
    lines = ["\n", "```{toctree}", ":hidden:", *options, "", *entries, "```"]
    yield from (f"{line}\n" for line in lines)


def _put_readme_in_front(app: Sphinx, error: Exception | None) -> None:
    if error is None:
        shutil.copyfile(app.outdir / f"{root_doc}.html", app.outdir / "index.html")

"""The pages that are made of the code are those that the code makes, and leave nothing out."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.iterable import IterableConnector
from reverse_etl.cli import app
from reverse_etl.config.document import parse
from reverse_etl.config.editor_schema import json_schema

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "docs" / "generate").glob("[!_]*.py"))
EXAMPLE = (ROOT / "config.example.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("script", SCRIPTS, ids=[script.stem for script in SCRIPTS])
def test_the_page_is_what_its_script_makes(script: Path) -> None:
    makes = runpy.run_path(str(script))
    committed = makes["PAGE"].read_text(encoding="utf-8")
    assert committed == makes["page"](), "run: make docs-pages"


# --- the options ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def configuration() -> str:
    """The reference of the options."""
    return (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def options() -> dict[str, dict[str, Any]]:
    """The options by model and name; a name of the user's choice is none."""
    models = json_schema({"iterable": IterableConnector})["$defs"]
    return {name: model["properties"] for name, model in models.items() if "properties" in model}


def test_every_option_has_a_row(configuration: str, options: dict[str, dict[str, Any]]) -> None:
    # The model that connectors build upon adds nothing to theirs.
    del options["DestinationSettings"]
    rows = re.findall(r"^\| `(\w+)` \|", configuration, re.MULTILINE)
    assert sorted(rows) == sorted(name for model in options.values() for name in model)


def test_every_option_is_described(options: dict[str, dict[str, Any]]) -> None:
    undescribed = [
        f"{model}.{name}"
        for model, properties in options.items()
        for name, option in properties.items()
        # An option with a model of its own may be described there.
        if not (option.get("description") or "$ref" in option)
    ]
    assert undescribed == []


def test_every_key_of_the_example_occurs(configuration: str) -> None:
    commented_out = re.findall(r"^ *# +(?:- )?(\w+): ", EXAMPLE, re.MULTILINE)
    keys = {*_keys(parse(EXAMPLE, {}).value), *commented_out}
    # Of the syncs and fields, two of each show all that there is to show.
    assert len(keys) > 70
    words = set(re.findall(r"\w+", configuration))
    assert keys - words == set()


def _keys(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from _keys(inner)


def test_every_option_is_in_the_example(options: dict[str, dict[str, Any]]) -> None:
    for name in {name for model in options.values() for name in model}:
        assert re.search(rf"\b{name}:", EXAMPLE), name


# --- the commands --------------------------------------------------------------------------


def test_every_command_has_a_section() -> None:
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## ([\w-]+)\n\n```text\nreverse-etl \1\b", text, re.MULTILINE)
    assert sections == [command.name for command in app._app().registered_commands]

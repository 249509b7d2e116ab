"""The schemas of the JSON documents are what their definitions make, and say what the code says.

That real documents are like them is for ``tests/acceptance/test_json_documents.py``.
"""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from reverse_etl import error_codes, life
from reverse_etl.connector import DestinationObject, Finding, Operation
from reverse_etl.report import EXIT_CODES, FORMAT_VERSION, RunSummary
from reverse_etl.warehouse.tables import control_tables
from tests import documents

SCRIPT = Path(__file__).parents[2] / "docs" / "generate" / "json_documents.py"

Schema = dict[str, Any]


@pytest.fixture(scope="module")
def made() -> dict[Path, str]:
    """The text of each schema, as the script makes it."""
    found: dict[Path, str] = runpy.run_path(str(SCRIPT))["schemas"]()
    return found


@pytest.fixture(scope="module")
def parts(made: dict[Path, str]) -> dict[str, Schema]:
    """Every part of every document, by its name."""
    schemas = [json.loads(text) for text in made.values()]
    return {name: part for schema in schemas for name, part in schema.get("$defs", {}).items()}


def test_the_schemas_are_what_the_script_makes(made: dict[Path, str]) -> None:
    committed = {path: path.read_text(encoding="utf-8") for path in made}
    assert committed == made, "run: make docs-pages"
    assert {path.name for path in made} == {f"{name}.schema.json" for name in documents.NAMES}


def test_every_key_is_described_and_there(parts: dict[str, Schema]) -> None:
    for name, part in parts.items():
        properties = part.get("properties", {})
        assert list(properties) == part.get("required", []), name
        for key, value in properties.items():
            assert value.get("description"), f"{name}.{key}"


def test_every_document_may_gain_keys(parts: dict[str, Schema]) -> None:
    objects = [part for part in parts.values() if "properties" in part]
    assert len(objects) > 50
    assert all(part["additionalProperties"] is True for part in objects)


def test_where_values_are_listed_they_are_those_of_the_code(parts: dict[str, Schema]) -> None:
    def listed(part: str, key: str) -> set[str]:
        return set(_enum(parts[part]["properties"][key]))

    run = {status for status in EXIT_CODES if status not in {"planned", "busy", "skipped"}}
    assert listed("Run", "status") == set(EXIT_CODES)
    assert listed("RunRow", "status") == {*run, "planning", "delivering"}
    assert listed("Believed", "state") == set(life.STATES)
    assert listed("ErrorCode", "places") == set(get_args(error_codes.Place))
    assert listed("LogLine", "operation") == set(Operation)
    assert listed("Finding", "verdict") == set(get_args(get_type_hints(Finding)["verdict"]))
    audits, _ = get_args(get_type_hints(DestinationObject)["audits"])
    assert listed("Audit", "audits") == set(get_args(audits))
    assert set(parts["Counts"]["properties"]) == set(Operation)


def _enum(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value.get("enum", [])
        for inner in value.values():
            yield from _enum(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _enum(inner)


def test_a_row_of_a_table_has_its_columns(parts: dict[str, Schema]) -> None:
    tables = control_tables("reverse_etl", "reverse_etl")
    ours = {"sync_name", "alias", "fields"}
    runs, failed = (
        [column.name for column in table.columns if column.name not in ours]
        for table in (tables.runs, tables.failed)
    )
    assert list(parts["RunRow"]["properties"]) == runs
    assert set(failed) <= parts["FailedRecord"]["properties"].keys()


def test_a_run_has_the_keys_that_it_reports(parts: dict[str, Schema]) -> None:
    assert list(parts["Run"]["properties"]) == list(RunSummary("vip").document())


def test_the_version_is_one_that_the_schemas_allow() -> None:
    document = {"format_version": FORMAT_VERSION, "version": "1"}
    assert documents.valid("version", document) == document
    assert not documents.validator("version").is_valid({**document, "format_version": "2.0"})

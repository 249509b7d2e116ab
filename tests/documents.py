"""What ``--json`` prints, held against the schemas in ``docs/json`` by somebody else's validator.

A schema allows keys that it does not name, since documents may gain some. Here it does not: a key
that is new must be described.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

FOLDER = Path(__file__).parents[1] / "docs" / "json"
NAMES = sorted(path.name.removesuffix(".schema.json") for path in FOLDER.glob("*.schema.json"))


def read(words: Sequence[str], text: str) -> dict[str, Any]:
    """Return the one document that a command wrote, when it is as the schema says.

    Args:
        words: The command line, without the program.
        text: Its standard output.
    """
    return valid(name_of(words), json.loads(text))


def valid(name: str, document: dict[str, Any]) -> dict[str, Any]:
    """Return the same document, when it is as the schema of that name says."""
    wrong = list(validator(name).iter_errors(document))
    assert not wrong, f"{name}: {'; '.join(map(_said, _of_the_closest_form(wrong)))}"
    return document


def _of_the_closest_form(wrong: list[ValidationError]) -> list[ValidationError]:
    """Return what is wrong with the form that has the fewest faults, where there are several."""
    if wrong[0].validator != "anyOf":
        return wrong
    of_each = groupby(wrong[0].context, key=lambda error: error.schema_path[0])
    return min((list(errors) for _, errors in of_each), key=len)


def _said(error: ValidationError) -> str:
    return f"{error.json_path}: {error.message}"


def name_of(words: Sequence[str]) -> str:
    """Return which schema the document of a command line is of."""
    given = ["version" if word == "--version" else word for word in words]
    return next((word for word in given if word in NAMES), "error")


def forms(name: str) -> dict[str, Draft202012Validator]:
    """Return what looks for each form that a document may have, by the form's name."""
    whole = schema(name)
    if "anyOf" not in whole:
        return {whole["title"]: validator(name)}
    return {
        each["$ref"].rpartition("/")[2]: Draft202012Validator({**each, "$defs": whole["$defs"]})
        for each in whole["anyOf"]
    }


@cache
def validator(name: str, *, is_open: bool = False) -> Draft202012Validator:
    """Return what looks at documents."""
    return Draft202012Validator(schema(name, is_open=is_open))


@cache
def schema(name: str, *, is_open: bool = False) -> dict[str, Any]:
    """Return a schema.

    Args:
        name: Of the document.
        is_open: Whether it allows keys that it does not name: as it is published.
    """
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(found)
    return found if is_open else _closed(found)


def _closed(schema: Any) -> Any:
    """Return a schema that allows no keys but those it names."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _closed(value) for key, value in schema.items()}
    return found | {"additionalProperties": False} if "properties" in schema else found

"""The JSON files that dbt writes, as far as they are alike.

Source: https://docs.getdbt.com/reference/artifacts/dbt-artifacts (every file has ``metadata`` with
``dbt_schema_version``, ``dbt_version`` and ``invocation_id``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SCHEMA = re.compile(r"/dbt/(?P<kind>[a-z-]{1,40})/v(?P<version>[0-9]{1,6})\.json\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of file.

    Attributes:
        name: As ``dbt_schema_version`` has it.
        oldest: The first version of its layout that is read; later ones only add to it.
        since: The version of dbt that began to write it.
        remedy: What to do when there is no such file.
    """

    name: str
    oldest: int
    since: str
    remedy: str


def read_artifact(path: Path, kind: Kind) -> Mapping[str, Any]:
    """Return the content of a file.

    Raises:
        ValueError: It cannot be read, or is no such file, or too old; the text has the next step.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise ValueError(f"cannot read {path} ({error.strerror}); {kind.remedy}") from None
    except (ValueError, RecursionError):  # ValueError covers bad UTF-8 and bad JSON
        raise ValueError(f"{path} is not JSON; {kind.remedy}") from None
    metadata = mapping(mapping(content).get("metadata"))
    schema = _SCHEMA.search(text(metadata.get("dbt_schema_version")))
    if schema is None or schema["kind"] != kind.name:
        found = f"it is {schema['kind']}" if schema else "it names no dbt_schema_version"
        raise ValueError(f"{path} is not the {kind.name} of dbt: {found}; {kind.remedy}")
    if int(schema["version"]) < kind.oldest:
        raise ValueError(
            f"{path} has the layout v{schema['version']} of an old dbt; v{kind.oldest} and later "
            f"are read: use dbt {kind.since} or later"
        )
    return mapping(content)


def mapping(value: object) -> Mapping[str, Any]:
    """Return a JSON object, an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[Any]:
    """Return a JSON array, an empty one for anything else."""
    return value if isinstance(value, list) else []


def text(value: object) -> str:
    """Return a JSON string, an empty one for anything else."""
    return value if isinstance(value, str) else ""

"""The table behind a dbt model, read from the ``manifest.json`` that dbt writes.

Source of the layout: https://docs.getdbt.com/reference/artifacts/manifest-json (``nodes`` by
unique id, each with ``resource_type``, ``name``, ``package_name`` and ``relation_name``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reverse_etl.config.schema import did_you_mean

_REBUILD = "run `dbt compile` in the dbt project, or set dbt_manifest to the file"


class Manifests:
    """Reads each manifest once."""

    def __init__(self) -> None:
        self._models: dict[Path, dict[str, Mapping[str, Any]]] = {}

    def relation(self, path: Path, model: str) -> str:
        """Return the SQL name of a model's table, quoted as dbt quotes it.

        Args:
            path: The manifest.
            model: ``name``, or ``package.name`` when two packages have it.

        Raises:
            ValueError: There is no such file, model or table; the text has the next step.
        """
        if path not in self._models:
            self._models[path] = _read_models(path)
        models = self._models[path]
        found = {key: node for key, node in models.items() if model in _names(node)}
        if not found:
            known = sorted({str(node.get("name")) for node in models.values()})
            raise ValueError(f"{path} has no such model; {did_you_mean(model, known[:20])}")
        if len(found) > 1:
            choices = ", ".join(sorted(_names(node)[1] for node in found.values()))
            raise ValueError(f"is in several packages; write one of: {choices}")
        relation = next(iter(found.values())).get("relation_name")
        if not isinstance(relation, str) or not relation:
            raise ValueError("has no table: it is ephemeral; use a model that dbt materializes")
        return relation


def _names(node: Mapping[str, Any]) -> tuple[str, str]:
    """Return the name of a model without and with its package."""
    return str(node.get("name")), f"{node.get('package_name')}.{node.get('name')}"


def _read_models(path: Path) -> dict[str, Mapping[str, Any]]:
    """Return the models of a manifest by unique id."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise ValueError(f"cannot read {path} ({error.strerror}); {_REBUILD}") from None
    except (ValueError, RecursionError):  # ValueError covers bad UTF-8 and bad JSON
        raise ValueError(f"{path} is not JSON; {_REBUILD}") from None
    nodes = content.get("nodes") if isinstance(content, dict) else None
    if not isinstance(nodes, dict):  # a fault of the file, not of the caller
        raise ValueError(f"{path} is not a dbt manifest: it has no nodes; {_REBUILD}")  # noqa: TRY004
    return {
        key: node
        for key, node in nodes.items()
        if isinstance(node, dict) and node.get("resource_type") == "model"
    }

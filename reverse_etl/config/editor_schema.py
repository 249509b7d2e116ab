"""The JSON Schema of a config file, for completion and checks in an editor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import JsonSchemaMode, models_json_schema

from reverse_etl.config.registry import Registry
from reverse_etl.config.schema import (
    SYNC_NAME,
    EngineConfig,
    NotificationConfig,
    SyncConfig,
    WarehouseConfig,
)
from reverse_etl.connector import Connector

if TYPE_CHECKING:
    from pydantic import BaseModel

Schema = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MODE: JsonSchemaMode = "validation"
_VARIABLE: Schema = {"type": "string", "pattern": r"\$\{[A-Za-z_]"}
_NOT_TEXT = ("integer", "number", "boolean")


def json_schema(connectors: Mapping[str, type[Connector]] | None = None) -> Schema:
    """Return the JSON Schema (draft 2020-12) of the whole file.

    Args:
        connectors: Replaces the installed connectors.

    Raises:
        UnusableConnectorError: An installed connector is broken.
    """
    registry = Registry(connectors)
    known = {name: registry.get(name) for name in registry.names()}
    references, definitions = _definitions(known)
    shared = _shared(known, references, definitions)
    schema: Schema = _with_variables(
        {
            "$schema": _DIALECT,
            "title": "reverse-etl config",
            "type": "object",
            "additionalProperties": False,
            "required": ["warehouses", "destinations", "syncs"],
            "properties": shared,
            "$defs": definitions,
        }
    )
    return schema


def _definitions(
    known: Mapping[str, type[Connector]],
) -> tuple[dict[type[BaseModel], Schema], dict[str, Schema]]:
    """Return a reference to each model, and the definitions they refer to."""
    models: list[type[BaseModel]] = [
        EngineConfig,
        NotificationConfig,
        SyncConfig,
        WarehouseConfig,
        *(connector.account for connector in known.values()),
        *(model for connector in known.values() for model in connector.objects.values()),
    ]
    unique = [(model, _MODE) for model in dict.fromkeys(models)]
    references, schema = models_json_schema(unique, by_alias=True)
    return {model: references[model, _MODE] for model, _ in unique}, schema["$defs"]


def _shared(
    known: Mapping[str, type[Connector]],
    references: Mapping[type[BaseModel], Schema],
    definitions: dict[str, Schema],
) -> Schema:
    """Return the sections, with the models of the connectors put into them."""
    accounts = [_tagged(references[c.account], {"type": name}) for name, c in known.items()]
    objects = [
        _tagged(references[model], {"object": name})
        for connector in known.values()
        for name, model in connector.objects.items()
    ]
    sync = definitions["SyncConfig"]
    # The name of a sync is its key in the file.
    del sync["properties"]["name"]
    sync["required"].remove("name")
    described = sync["properties"]["destination"]["description"]
    sync["properties"]["destination"] = {"description": described, "anyOf": objects}
    return {
        "warehouses": _named(references[WarehouseConfig]),
        "destinations": _named({"anyOf": accounts}),
        "engine": references[EngineConfig],
        "notifications": {"type": "array", "items": references[NotificationConfig]},
        "syncs": {
            **_named(references[SyncConfig]),
            "minProperties": 0,
            "propertyNames": {"pattern": f"^{SYNC_NAME.pattern}$", "not": {"pattern": "_[0-9]+$"}},
        },
    }


def _named(entry: Schema) -> Schema:
    """Return the schema of a mapping from names of the user's choice."""
    return {"type": "object", "additionalProperties": entry, "minProperties": 1}


def _tagged(reference: Schema, tag: Mapping[str, str]) -> Schema:
    """Return a model that applies only where a key has a certain value."""
    return {**reference, "properties": {key: {"const": value} for key, value in tag.items()}}


def _with_variables(schema: Any) -> Any:  # noqa: ANN401 - any part of a schema
    """Return the schema with ``${NAME}`` accepted wherever a number or a boolean is."""
    if isinstance(schema, list):
        return [_with_variables(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") in _NOT_TEXT:  # a tuple, for a property may be named type
        described = {
            key: schema[key] for key in ("title", "description", "default") if key in schema
        }
        strict = {key: value for key, value in schema.items() if key not in described}
        return {**described, "anyOf": [strict, _VARIABLE]}
    return {key: _with_variables(part) for key, part in schema.items()}

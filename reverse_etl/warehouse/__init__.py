"""Warehouses: where the data is, and where this tool keeps what it knows."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import sqlalchemy as sa

from reverse_etl.errors import ConfigError, NotYet

if TYPE_CHECKING:
    from reverse_etl.clock import Clock
    from reverse_etl.config import Config
    from reverse_etl.warehouse.base import Warehouse

_DIALECTS = {
    "duckdb": ("reverse_etl.warehouse.duckdb", "DuckDBWarehouse"),
    "postgresql": ("reverse_etl.warehouse.postgresql", "PostgreSQLWarehouse"),
    "postgres": ("reverse_etl.warehouse.postgresql", "PostgreSQLWarehouse"),
}


def warehouse_at(url: str, schema: str, clock: Clock) -> Warehouse:
    """Return the warehouse behind a SQLAlchemy URL, still closed.

    Raises:
        ConfigError: The URL cannot be read, or its engine is not supported.
    """
    try:
        backend = sa.make_url(url).get_backend_name()
    except sa.exc.ArgumentError:
        raise ConfigError(["a warehouse url is not a SQLAlchemy URL"]) from None
    if backend not in _DIALECTS:
        known = ", ".join(sorted(set(_DIALECTS) - {"postgres"}))
        raise ConfigError([f"no warehouse dialect for {backend}: this version knows {known}"])
    module, name = _DIALECTS[backend]
    found: type[Warehouse] = getattr(import_module(module), name)
    return found(url, schema, clock)


def warehouse_of(config: Config, name: str, clock: Clock) -> Warehouse:
    """Return a warehouse of the config, still closed.

    Raises:
        ConfigError: Its URL cannot be used, or it asks for what this version does not do.
    """
    found = config.warehouses[name]
    if found.workspace or found.control:
        key = "workspace" if found.workspace else "control"
        raise NotYet(
            [f"{config.path}: warehouses.{name}.{key} is not part of this version yet"],
        )
    return warehouse_at(found.url.get_secret_value(), found.schema_name, clock)

"""Warehouses: where the data is, and where this tool keeps what it knows."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import sqlalchemy as sa

from reverse_etl.errors import ConfigError

if TYPE_CHECKING:
    from reverse_etl.clock import Clock
    from reverse_etl.config import Config
    from reverse_etl.warehouse.base import Warehouse

# Backend name of a URL, to the module and class that know the engine.
DIALECTS = {
    "bigquery": ("reverse_etl.warehouse.bigquery", "BigQueryWarehouse"),
    "chdb": ("reverse_etl.warehouse.clickhouse", "ClickHouseWarehouse"),
    "clickhousedb": ("reverse_etl.warehouse.clickhouse", "ClickHouseWarehouse"),
    "databricks": ("reverse_etl.warehouse.databricks", "DatabricksWarehouse"),
    "duckdb": ("reverse_etl.warehouse.duckdb", "DuckDBWarehouse"),
    "hive": ("reverse_etl.warehouse.spark", "SparkWarehouse"),
    "mariadb": ("reverse_etl.warehouse.mariadb", "MariaDBWarehouse"),
    "postgresql": ("reverse_etl.warehouse.postgresql", "PostgreSQLWarehouse"),
    "postgres": ("reverse_etl.warehouse.postgresql", "PostgreSQLWarehouse"),
    "redshift": ("reverse_etl.warehouse.redshift", "RedshiftWarehouse"),
    "snowflake": ("reverse_etl.warehouse.snowflake", "SnowflakeWarehouse"),
    "trino": ("reverse_etl.warehouse.trino", "TrinoWarehouse"),
}

# Where an installed package offers an engine of its own: the backend name of a URL, and its class.
OFFERED = "reverse_etl.warehouses"


def warehouse_at(url: str, schema: str, clock: Clock) -> Warehouse:
    """Return the warehouse behind a SQLAlchemy URL, still closed.

    Raises:
        ConfigError: The URL cannot be read, or its engine is not supported.
    """
    try:
        backend = sa.make_url(url).get_backend_name()
    except sa.exc.ArgumentError:
        raise ConfigError(["a warehouse url is not a SQLAlchemy URL"]) from None
    return _class_for(backend)(url, schema, clock)


def _class_for(backend: str) -> type[Warehouse]:
    """Return the class that knows an engine: one of ours, or one of an installed package."""
    if backend in DIALECTS:
        module, name = DIALECTS[backend]
        ours: type[Warehouse] = getattr(import_module(module), name)
        return ours
    for offered in entry_points(group=OFFERED, name=backend):
        theirs: type[Warehouse] = offered.load()
        return theirs
    known = ", ".join(sorted(set(DIALECTS) - {"postgres"}))
    text = (
        f"no warehouse dialect for {backend}: this version knows {known}, and no installed package "
        f"offers it (entry points {OFFERED})"
    )
    raise ConfigError([text])


def warehouse_of(config: Config, name: str, clock: Clock) -> Warehouse:
    """Return where the syncs of a warehouse of the config work, still closed.

    That is the warehouse itself, or its workspace; it knows its control database and its source.

    Raises:
        ConfigError: Its URL cannot be used, or it lacks a control database that it needs.
    """
    settings = config.warehouses[name]
    if settings.workspace:
        home = warehouse_of(config, settings.workspace, clock)
        home.read_from(_located(config, name, clock))
        return home
    found = _located(config, name, clock)
    if settings.control:
        control = _located(config, settings.control, clock)
        _refuse_weak(config, settings.control, control, f"as the control database of {name}")
        found.keep_control_in(control)
    else:
        _refuse_weak(config, name, found, "alone")
    return found


def _located(config: Config, name: str, clock: Clock) -> Warehouse:
    settings = config.warehouses[name]
    return warehouse_at(settings.url.get_secret_value(), settings.schema_name, clock)


def _refuse_weak(config: Config, name: str, warehouse: Warehouse, role: str) -> None:
    if warehouse.capabilities.transactions:
        return
    engine = warehouse.url.get_backend_name()
    text = (
        f"{config.path}: warehouses.{name}: {engine} cannot change single rows safely, so it "
        f"cannot be used {role}. Name a PostgreSQL or DuckDB warehouse for leases, runs and failed "
        f"records: warehouses.{name}.control"
    )
    raise ConfigError([text])

"""Warehouses: where the data is, and where this tool keeps what it knows."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, NamedTuple

from reverse_etl.errors import ConfigError

if TYPE_CHECKING:
    from reverse_etl.clock import Clock
    from reverse_etl.config import Config
    from reverse_etl.warehouse.base import Warehouse


class Dialect(NamedTuple):
    """What is known of an engine before it is loaded.

    Attributes:
        module: Where its class is.
        name: Of the class.
        transactions: As in its capabilities.
    """

    module: str
    name: str
    transactions: bool = True


# Backend name of a URL, to who knows the engine.
DIALECTS = {
    "bigquery": Dialect("reverse_etl.warehouse.bigquery", "BigQueryWarehouse", transactions=False),
    "chdb": Dialect("reverse_etl.warehouse.clickhouse", "ClickHouseWarehouse", transactions=False),
    "clickhousedb": Dialect(
        "reverse_etl.warehouse.clickhouse", "ClickHouseWarehouse", transactions=False
    ),
    "databricks": Dialect(
        "reverse_etl.warehouse.databricks", "DatabricksWarehouse", transactions=False
    ),
    "duckdb": Dialect("reverse_etl.warehouse.duckdb", "DuckDBWarehouse"),
    "hive": Dialect("reverse_etl.warehouse.spark", "SparkWarehouse", transactions=False),
    "mariadb": Dialect("reverse_etl.warehouse.mariadb", "MariaDBWarehouse"),
    "postgresql": Dialect("reverse_etl.warehouse.postgresql", "PostgreSQLWarehouse"),
    "postgres": Dialect("reverse_etl.warehouse.postgresql", "PostgreSQLWarehouse"),
    "redshift": Dialect("reverse_etl.warehouse.redshift", "RedshiftWarehouse"),
    "snowflake": Dialect(
        "reverse_etl.warehouse.snowflake", "SnowflakeWarehouse", transactions=False
    ),
    "trino": Dialect("reverse_etl.warehouse.trino", "TrinoWarehouse", transactions=False),
}

# Where an installed package offers an engine of its own: the backend name of a URL, and its class.
OFFERED = "reverse_etl.warehouses"

_BACKEND = re.compile(r"(\w+)(\+\w+)?://")


def warehouse_at(url: str, schema: str, clock: Clock) -> Warehouse:
    """Return the warehouse behind a SQLAlchemy URL, still closed.

    Raises:
        ConfigError: The URL cannot be read, or its engine is not supported.
    """
    found = _class_for(_backend(url))
    import sqlalchemy as sa  # noqa: PLC0415 - the class has loaded it

    try:
        sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        # Not its text: it may quote a part of the password.
        raise ConfigError([_UNREADABLE]) from None
    return found(url, schema, clock)


_UNREADABLE = "a warehouse url is not a SQLAlchemy URL"


def _backend(url: str) -> str:
    """Return which engine a URL names."""
    found = _BACKEND.match(url)
    if found is None:
        raise ConfigError([_UNREADABLE])
    return found[1]


def _class_for(backend: str) -> type[Warehouse]:
    """Return the class that knows an engine: one of ours, or one of an installed package."""
    if backend in DIALECTS:
        dialect = DIALECTS[backend]
        ours: type[Warehouse] = getattr(import_module(dialect.module), dialect.name)
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
    refuse_unusable(config, name)
    settings = config.warehouses[name]
    if settings.workspace:
        home = warehouse_of(config, settings.workspace, clock)
        home.read_from(_located(config, name, clock))
        return home
    found = _located(config, name, clock)
    if settings.control:
        found.keep_control_in(_located(config, settings.control, clock))
    return found


def _located(config: Config, name: str, clock: Clock) -> Warehouse:
    settings = config.warehouses[name]
    return warehouse_at(settings.url.get_secret_value(), settings.schema_name, clock)


def refuse_unusable(config: Config, name: str) -> None:
    """Make sure that the syncs of a warehouse can work; loads none of our own engines.

    Raises:
        ConfigError: An engine is not supported, or lacks a control database that it needs.
    """
    settings = config.warehouses[name]
    transactions = _has_transactions(config, name)
    if settings.workspace:
        refuse_unusable(config, settings.workspace)
    elif settings.control:
        if not _has_transactions(config, settings.control):
            _refuse_weak(config, settings.control, f"as the control database of {name}")
    elif not transactions:
        _refuse_weak(config, name, "alone")


def _has_transactions(config: Config, name: str) -> bool:
    backend = _backend(config.warehouses[name].url.get_secret_value())
    if backend in DIALECTS:
        return DIALECTS[backend].transactions
    return _class_for(backend).capabilities.transactions


def _refuse_weak(config: Config, name: str, role: str) -> None:
    engine = _backend(config.warehouses[name].url.get_secret_value())
    text = (
        f"{config.path}: warehouses.{name}: {engine} cannot change single rows safely, so it "
        f"cannot be used {role}. Name a PostgreSQL or DuckDB warehouse for leases, runs and failed "
        f"records: warehouses.{name}.control"
    )
    raise ConfigError([text])

"""Where a warehouse of the config keeps what: in itself, beside a control database, elsewhere."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from reverse_etl.clock import SystemClock
from reverse_etl.config import Config, load_config
from reverse_etl.errors import ConfigError, WarehouseError
from reverse_etl.testing import loose
from reverse_etl.warehouse import DIALECTS, warehouse_of
from reverse_etl.warehouse.base import Warehouse

loose.make_known()


def config(folder: Path, warehouses: str) -> Config:
    path = folder / "config.yaml"
    path.write_text(
        f"warehouses: {{{warehouses}}}\n"
        "destinations: {d: {type: iterable, api_key: key-of-a-test, project_type: email}}\n"
        "syncs:\n"
        "  s:\n"
        "    source: {warehouse: w, table: t, primary_key: id}\n"
        "    destination: {name: d, object: list, list: {name: people}}\n"
        "    identifiers: {email: email}\n"
    )
    return load_config(path, {})


def test_alone_everything_is_in_one_place(tmp_path: Path) -> None:
    found = warehouse_of(config(tmp_path, 'w: {url: "duckdb:///w.db"}'), "w", SystemClock())
    assert found.control is found
    assert found.source is found
    assert {table.schema for table in found.own_tables} == {"reverse_etl"}


def test_beside_a_control_database_only_the_ledgers_are_here(tmp_path: Path) -> None:
    text = 'w: {url: "loose:///w.db", control: c}, c: {url: "duckdb:///c.db", schema: ours}'
    found = warehouse_of(config(tmp_path, text), "w", SystemClock())
    names = {table.name for table in found.own_tables}
    assert names == {"sync_log", "residue", "former_aliases"}
    assert found.tables.state.schema == "ours"
    assert found.tables.log.schema == "reverse_etl"
    assert found.control.control is found.control


def test_the_default_workspace_is_a_file_beside_the_config(tmp_path: Path) -> None:
    loaded = config(tmp_path, 'w: {url: "postgresql://h/d", workspace: default}')
    found = warehouse_of(loaded, "w", SystemClock())
    assert found.url.database == str(tmp_path / "reverse_etl_workspace.duckdb")
    named = 'w: {url: "postgresql://h/d", workspace: default}, default: {url: "duckdb:///x.db"}'
    found = warehouse_of(config(tmp_path, named), "w", SystemClock())
    assert found.url.database == str(tmp_path / "x.db")


@pytest.mark.parametrize("file", ["reverse_etl.duckdb", "Reverse_ETL.old.db", "reverse_etl"])
def test_a_file_called_like_our_schema_is_refused_and_not_made(tmp_path: Path, file: str) -> None:
    found = warehouse_of(config(tmp_path, f'w: {{url: "duckdb:///{file}"}}'), "w", SystemClock())
    with pytest.raises(WarehouseError, match="have one name"), found:
        pass
    assert not (tmp_path / file).exists()


def test_of_a_warehouse_that_is_only_read_the_workspace_works(tmp_path: Path) -> None:
    text = (
        'w: {url: "postgresql://h/d", workspace: x}, x: {url: "loose:///x.db", control: c}, '
        'c: {url: "duckdb:///c.db"}'
    )
    found = warehouse_of(config(tmp_path, text), "w", SystemClock())
    assert found.url.get_backend_name() == "loose"
    assert found.source.url.get_backend_name() == "postgresql"
    assert found.source.is_only_read
    assert found.control.url.get_backend_name() == "duckdb"


@pytest.mark.parametrize(
    ("warehouses", "named", "role"),
    [
        ('w: {url: "loose:///w.db"}', "w", "alone"),
        ('w: {url: "loose:///w.db", control: c}, c: {url: "loose:///c.db"}', "c", "as the control"),
    ],
)
def test_an_engine_without_transactions_needs_one_that_has_them(
    tmp_path: Path, warehouses: str, named: str, role: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        warehouse_of(config(tmp_path, warehouses), "w", SystemClock())
    (problem,) = caught.value.problems
    assert f"warehouses.{named}: loose cannot change single rows safely" in problem
    assert role in problem
    assert "warehouses." in problem
    assert ".control" in problem


@pytest.mark.parametrize("backend", sorted(DIALECTS))
def test_what_is_known_of_an_engine_before_it_is_loaded_is_true(backend: str) -> None:
    dialect = DIALECTS[backend]
    found: type[Warehouse] = getattr(import_module(dialect.module), dialect.name)
    assert found.capabilities.transactions is dialect.transactions

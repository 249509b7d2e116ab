"""What ``dbt_model`` stands for, by manifests that dbt itself wrote (``tests/data/dbt``)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connectors.iterable import IterableConnector
from reverse_etl.config import Config, SourceConfig, load_config
from reverse_etl.config.dbt.manifest import Manifest
from reverse_etl.errors import ConfigError

DATA = Path(__file__).parents[1] / "data" / "dbt"
VERSIONS = ("v9", "v10", "v11", "v12")
CONFIG = """\
warehouses:
  local: {url: "duckdb:///warehouse.duckdb"}
  other: {url: "postgresql://somebody@localhost/db"}
destinations:
  iterable: {type: iterable, api_key: "${API_KEY}"}
syncs:
  vips:
    source: {warehouse: local, dbt_model: vip, primary_key: customer_id}
    destination: {name: iterable, object: list, list: {name: VIP}}
    identifiers: {email: email}
"""
AT_MODEL = ":8:43: syncs.vips.source.dbt_model: "
AT_MANIFEST = ":8:62: syncs.vips.source.dbt_manifest: "

Change = Callable[[dict[str, Any]], None]


def written(version: str = "v12") -> dict[str, Any]:
    """Return what dbt wrote."""
    found: dict[str, Any] = json.loads((DATA / f"manifest_{version}.json").read_bytes())
    return found


def load(folder: Path, model: str, manifest: object = None, text: str = CONFIG) -> Config:
    """Load a config whose one sync reads the model, beside a manifest."""
    (folder / "target").mkdir(exist_ok=True)
    content = json.dumps(written() if manifest is None else manifest)
    (folder / "target" / "manifest.json").write_text(content)
    path = folder / "config.yaml"
    path.write_text(text.replace("dbt_model: vip", f"dbt_model: {model}"))
    return load_config(path, {"API_KEY": "a" * 32}, {"iterable": IterableConnector})


def source(folder: Path, model: str, manifest: object = None) -> SourceConfig:
    return load(folder, model, manifest).sync("vips").source


def problem(folder: Path, model: str, manifest: object = None, text: str = CONFIG) -> str:
    """Return the one problem of the config, without the name of the file."""
    with pytest.raises(ConfigError) as caught:
        load(folder, model, manifest, text)
    (line,) = caught.value.problems
    return line.removeprefix(str(folder / "config.yaml"))


# --- names ---------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("model", "relation"),
    [
        ("vip", '"warehouse"."main"."vip"'),
        ("shop.vip", '"warehouse"."main"."vip"'),
        ("model.shop.vip", '"warehouse"."main"."vip"'),
        ("customers", '"warehouse"."main"."customers"'),  # a seed
        ("customers_over_time", '"warehouse"."main"."customers_over_time"'),  # a snapshot
        ("renamed", '"warehouse"."main_Odd schema"."Gold plan"'),
        ("people", '"warehouse"."main"."people_v2"'),
        ("shop.people", '"warehouse"."main"."people_v2"'),
        ("people.v1", '"warehouse"."main"."people_v1"'),
        ("shop.people.v1", '"warehouse"."main"."people_v1"'),
        ("model.shop.people.v2", '"warehouse"."main"."people_v2"'),
    ],
)
def test_a_name_stands_for_the_table_that_dbt_built(
    tmp_path: Path, version: str, model: str, relation: str
) -> None:
    found = source(tmp_path, model, written(version))
    assert found.relation == relation
    assert found.dbt_manifest == tmp_path / "target" / "manifest.json"


@pytest.mark.parametrize("version", ["v10", "v11", "v12"])
def test_a_name_in_two_packages_needs_its_package(tmp_path: Path, version: str) -> None:
    told = problem(tmp_path, "twice", written(version))
    assert told == f"{AT_MODEL}is in several packages; write one of: crm.twice, shop.twice"
    assert source(tmp_path, "crm.twice", written(version)).relation == (
        '"warehouse"."main_crm"."twice"'
    )


def test_names_that_only_the_type_tells_apart_are_told_with_it(tmp_path: Path) -> None:
    manifest = written()
    manifest["nodes"]["snapshot.shop.vip"] = {
        **manifest["nodes"]["model.shop.vip"],
        "resource_type": "snapshot",
    }
    told = problem(tmp_path, "vip", manifest)
    assert told.endswith("write one of: model.shop.vip, snapshot.shop.vip")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("ghost", "has no table: it is ephemeral; use a model that dbt materializes"),
        ("retired", "is disabled in the dbt project; enable it, or use another model"),
        (
            "raw.events",
            "is a source, which dbt reads and does not build; write table: landed.events_2026",
        ),
    ],
)
def test_what_dbt_does_not_build_is_refused_with_the_reason(
    tmp_path: Path, version: str, model: str, reason: str
) -> None:
    assert problem(tmp_path, model, written(version)) == AT_MODEL + reason


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        ("vipp", ", got 'vipp'; did you mean vip?"),
        ("crm.twise", ", got 'crm.twise'; did you mean crm.twice?"),
        ("people.v3", ", got 'people.v3'; did you mean people.v1?"),
        (
            "checked",
            ", got 'checked'; use one of: after_vip, customers, customers_over_time, ghost,",
        ),
        ("${MODEL}", " (from ${MODEL}); use one of: "),
    ],
)
def test_an_unknown_model_is_told_with_the_closest_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, hint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("MODEL=vipp\n")
    told = problem(tmp_path, f'"{model}"')
    manifest = tmp_path / "target" / "manifest.json"
    assert told.startswith(f"{AT_MODEL}there is no such dbt model in {manifest}{hint}")


def test_a_big_project_is_not_listed_as_a_whole(tmp_path: Path) -> None:
    manifest = written()
    node = manifest["nodes"]["model.shop.vip"]
    manifest["nodes"] = {f"model.shop.m{n:03}": {**node, "name": f"m{n:03}"} for n in range(200)}
    told = problem(tmp_path, "unlike", manifest)
    assert told.endswith("m028, m029 and 170 more")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_tests_of_a_table_are_those_written_for_it(tmp_path: Path, version: str) -> None:
    def names(model: str) -> list[str]:
        node = source(tmp_path, model, written(version)).dbt_node
        assert node is not None
        return sorted(test.split(".")[2] for test in node.tests)

    assert names("vip") == [
        "accepted_values_vip_plan__silver",
        "all_have_an_address",
        "not_null_vip_email",
        "relationships_vip_email__email__ref_customers_",
    ]
    assert names("customers") == []  # a relationship is a promise of the other table
    assert names("after_vip") == (["after_vip"] if version == "v12" else [])  # its unit test


# --- relations -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "relation",
    ['"a"."b c"."d""e"', "`a-b`.`c`.`d`", "PROD.MART.VIP", "my-project.mart.vip", "[a].[b]", "vip"],
)
def test_a_relation_is_used_as_dbt_wrote_it(tmp_path: Path, relation: str) -> None:
    manifest = written()
    manifest["nodes"]["model.shop.vip"]["relation_name"] = relation
    assert source(tmp_path, "vip", manifest).relation == relation


@pytest.mark.parametrize(
    "relation",
    [
        "vip; drop table people",
        'vip" where true',
        "(select 1)",
        "vip -- rest",
        "vip--rest",
        "a.",
        r"`a\`.`b; drop table people -- `",
        '"a\nb"',
        '"a\ud800"',
        "read_csv('people.csv')",
    ],
)
def test_a_relation_that_is_no_name_is_refused(tmp_path: Path, relation: str) -> None:
    manifest = written()
    manifest["nodes"]["model.shop.vip"]["relation_name"] = relation
    told = problem(tmp_path, "vip", manifest)
    assert told.startswith(f"{AT_MODEL}has a relation_name in ")
    assert relation not in told


def test_relation_is_not_a_key_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"source\.relation: unknown key"):
        load(tmp_path, "vip, relation: x")


# --- the file ------------------------------------------------------------------------------


def of_schema(kind: str) -> dict[str, Any]:
    manifest = written()
    manifest["metadata"]["dbt_schema_version"] = f"https://schemas.getdbt.com/dbt/{kind}.json"
    return manifest


REBUILD = "; run `dbt build` in the dbt project, or set dbt_manifest to the file"


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ([], "is not the manifest of dbt: it names no dbt_schema_version" + REBUILD),
        ({"nodes": {}}, "is not the manifest of dbt: it names no dbt_schema_version" + REBUILD),
        (of_schema("run-results/v6"), "is not the manifest of dbt: it is run-results" + REBUILD),
        (
            of_schema("manifest/v8"),
            "has the layout v8 of an old dbt; v9 and later are read: use dbt 1.5 or later",
        ),
    ],
)
def test_a_file_that_is_no_manifest_of_today_is_told_at_its_key(
    tmp_path: Path, manifest: object, message: str
) -> None:
    path = tmp_path / "target" / "manifest.json"
    assert problem(tmp_path, "vip", manifest) == f"{AT_MODEL}{path} {message}"
    named = CONFIG.replace("dbt_model: vip", "dbt_model: vip, dbt_manifest: target/manifest.json")
    assert problem(tmp_path, "vip", manifest, named) == f"{AT_MANIFEST}{path} {message}"


@pytest.mark.parametrize("content", [b"", b'{"metadata": ', b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_cut_short_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other.json").write_bytes(content)
    named = CONFIG.replace("dbt_model: vip", "dbt_model: vip, dbt_manifest: other.json")
    told = problem(tmp_path, "vip", None, named)
    assert told == f"{AT_MANIFEST}{tmp_path / 'other.json'} is not JSON{REBUILD}"


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    named = CONFIG.replace("dbt_model: vip", "dbt_model: vip, dbt_manifest: other.json")
    told = problem(tmp_path, "vip", None, named)
    missing = tmp_path / "other.json"
    assert told == f"{AT_MANIFEST}cannot read {missing} (No such file or directory){REBUILD}"


def test_a_later_layout_and_unknown_keys_are_read(tmp_path: Path) -> None:
    manifest = of_schema("manifest/v21")
    manifest["metadata"]["novelty"] = manifest["novelties"] = [{"a": 1}]
    manifest["nodes"]["novelty.shop.vip"] = {"resource_type": "novelty", "name": "vip"}
    manifest["nodes"]["model.shop.vip"]["novelty"] = {"a": None}
    assert source(tmp_path, "vip", manifest).relation == '"warehouse"."main"."vip"'


def garble(*path: str, value: object) -> Change:
    """Return a change that puts a value of another type where dbt has something else."""

    def change(manifest: dict[str, Any]) -> None:
        place = manifest
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        garble("disabled", value=None),
        garble("disabled", "model.shop.retired", value={}),
        garble("sources", value=[]),
        garble("unit_tests", value={"unit_test.shop.vip.x": None}),
        garble("nodes", "test.shop.all_have_an_address", "depends_on", value=[]),
        garble("nodes", "test.shop.all_have_an_address", "depends_on", value={"nodes": [{}]}),
        garble("nodes", "model.shop.after_vip", value="text"),
        garble("nodes", "model.shop.vip", "config", value=None),
        garble("metadata", "adapter_type", value=None),
    ],
)
def test_what_is_not_needed_may_have_any_form(tmp_path: Path, change: Change) -> None:
    manifest = written()
    change(manifest)
    assert source(tmp_path, "vip", manifest).relation == '"warehouse"."main"."vip"'


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (garble("nodes", value=[]), "there is no such dbt model"),
        (garble("nodes", "model.shop.vip", value=None), "there is no such dbt model"),
        (garble("nodes", "model.shop.vip", "relation_name", value=None), "has no relation_name"),
        (garble("nodes", "model.shop.vip", "relation_name", value=7), "has no relation_name"),
    ],
)
def test_what_is_needed_is_missed_in_words(tmp_path: Path, change: Change, message: str) -> None:
    manifest = written()
    change(manifest)
    assert problem(tmp_path, "vip", manifest).startswith(AT_MODEL + message)


# --- the engine ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("adapter", "backend", "fits"),
    [
        ("duckdb", "duckdb", True),
        ("postgres", "postgresql", True),
        ("mysql", "mariadb", True),
        ("spark", "databricks", True),
        ("snowflake", "snowflake", True),
        ("", "duckdb", True),
        ("snowflake", "duckdb", False),
        ("duckdb", "postgresql", False),
        ("an_adapter_of_somebody", "trino", False),
    ],
)
def test_whether_dbt_names_tables_as_the_warehouse_does(
    tmp_path: Path, adapter: str, backend: str, *, fits: bool
) -> None:
    manifest = written()
    manifest["metadata"]["adapter_type"] = adapter
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(manifest))
    assert Manifest(path).is_for(backend) is fits


def test_a_manifest_of_another_engine_is_a_warning(tmp_path: Path) -> None:
    assert load(tmp_path, "vip").warnings == []
    text = CONFIG.replace("warehouse: local", "warehouse: other")
    config = load(tmp_path, "vip", None, text)
    manifest = tmp_path / "target" / "manifest.json"
    (line,) = config.warnings
    assert line == (
        f"{tmp_path / 'config.yaml'}{AT_MODEL}{manifest} was written for duckdb, and warehouse "
        "other is postgresql; name the warehouse that dbt builds in"
    )
    assert config.sync("vips").source.relation == '"warehouse"."main"."vip"'

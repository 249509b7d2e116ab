"""``--if-dbt-succeeded``, by results that dbt itself wrote (``tests/data/dbt``)."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from reverse_etl.cli.app import run
from reverse_etl.cli.dbt_outcome import skipped_by_dbt
from reverse_etl.cli.output import Output
from reverse_etl.cli.session import Session
from reverse_etl.config import load_config
from reverse_etl.config.dbt.manifest import Manifest
from reverse_etl.config.dbt.results import RunResults, read_run_results
from reverse_etl.config.schema import DbtNode
from tests import documents

DATA = Path(__file__).parents[1] / "data" / "dbt"
VIP = "model.shop.vip"
CONFIG = """\
warehouses:
  local: {url: "duckdb:///w.duckdb"}
destinations:
  iterable: {type: iterable, api_key: "${API_KEY}"}
syncs:
  vips:
    source: {warehouse: local, dbt_model: vip, primary_key: customer_id}
    destination: {name: iterable, object: list, list: {name: VIP}}
    identifiers: {email: email}
"""


def node(name: str, version: str = "v12") -> DbtNode:
    found = Manifest(DATA / f"manifest_{version}.json").find(name)
    assert found is not None
    return found


def results(name: str) -> RunResults:
    return read_run_results(DATA / f"run_results_{name}.json")


def altered(folder: Path, **changes: Any) -> RunResults:
    """Return the results of a good build, changed."""
    content = json.loads((DATA / "run_results_v6_build.json").read_bytes())
    path = folder / "run_results.json"
    path.write_text(json.dumps({**content, **changes}))
    return read_run_results(path)


# --- what became of a model ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("manifest", "name"),
    [("v9", "v4"), ("v11", "v5"), ("v12", "v6_build"), ("v12", "v6_run")],
)
def test_a_model_that_was_built_may_be_sent_though_a_test_warned(manifest: str, name: str) -> None:
    assert results(name).trouble(node("vip", manifest)) is None


@pytest.mark.parametrize(
    ("name", "model", "reason"),
    [
        ("build_broken", "vip", "model.shop.vip ended with 'error' in "),
        ("build_broken", "after_vip", "model.shop.after_vip ended with 'skipped' in "),
        (
            "build_failing",
            "vip",
            "model.shop.vip was built, but test.shop.all_have_an_address ended with 'fail' in ",
        ),
        ("run_others", "vip", "model.shop.vip is not among what was built in "),
        ("run", "customers", "seed.shop.customers is not among what was built in "),
        ("test", "vip", "is of `dbt test`, which builds no table"),
        ("compile", "vip", "is of `dbt compile`, which builds no table"),
        ("docs", "vip", "is of `dbt docs generate`, which builds no table"),
        ("show", "vip", "is of `dbt show`, which builds no table"),
        ("empty", "vip", "is of a call with --empty, which leaves out rows"),
        ("sample", "vip", "is of a call with --sample, which leaves out rows"),
    ],
)
def test_a_model_that_must_not_be_sent_is_told_with_the_reason(
    name: str, model: str, reason: str
) -> None:
    told = results(f"v6_{name}").trouble(node(model))
    assert told is not None
    assert reason in told
    assert str(DATA / f"run_results_v6_{name}.json") in told


def test_what_failed_elsewhere_does_not_count() -> None:
    broken, failing = results("v6_build_broken"), results("v6_build_failing")
    for name in ("customers", "people", "people.v1", "shop.twice", "crm.twice"):
        assert broken.trouble(node(name)) is None
        assert failing.trouble(node(name)) is None


@pytest.mark.parametrize("status", ["error", "partial success", "no-op", "a word of later", "", 7])
def test_only_words_that_mean_a_good_end_count_as_one(tmp_path: Path, status: object) -> None:
    ended = altered(tmp_path, results=[{"unique_id": VIP, "status": status}])
    assert ended.trouble(node("vip")) is not None


def test_a_table_that_dbt_reused_is_good(tmp_path: Path) -> None:
    ended = altered(tmp_path, results=[{"unique_id": VIP, "status": "reused"}])
    assert ended.trouble(node("vip")) is None


@pytest.mark.parametrize("status", ["fail", "error", "skipped", "runtime error"])
def test_each_bad_end_of_a_test_counts_and_few_are_named(tmp_path: Path, status: str) -> None:
    tests = [{"unique_id": test, "status": status} for test in node("vip").tests]
    ended = altered(tmp_path, results=[{"unique_id": VIP, "status": "success"}, *tests])
    told = ended.trouble(node("vip"))
    assert told is not None
    assert told.count(f"ended with '{status}'") == 3
    assert ", and 1 more in " in told


@pytest.mark.parametrize("changes", [{"args": {}}, {"args": None}, {"args": {"which": None}}])
def test_results_that_do_not_say_their_command_are_taken_at_their_word(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    assert altered(tmp_path, **changes).trouble(node("vip")) is None


@pytest.mark.parametrize("found", [None, {}, [None], [[]], [{"unique_id": {}, "status": []}]])
def test_results_of_any_form_build_nothing(tmp_path: Path, found: object) -> None:
    told = altered(tmp_path, results=found).trouble(node("vip"))
    assert told is not None
    assert "is not among what was built" in told


def test_which_call_of_dbt_wrote_them() -> None:
    assert results("v6_build").is_of(node("vip"))
    assert not results("v6_run").is_of(node("vip"))
    unknown = DbtNode(unique_id=VIP, relation="vip")
    assert results("v6_run").is_of(unknown)


# --- the command ---------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("API_KEY", "k" * 32)
    monkeypatch.delenv("REVERSE_ETL_CONFIG", raising=False)
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "target").mkdir()
    shutil.copy(DATA / "manifest_v12.json", tmp_path / "target" / "manifest.json")
    return tmp_path


def put_results(folder: Path, name: str) -> str:
    shutil.copy(DATA / f"run_results_{name}.json", folder / "target" / "run_results.json")
    return "--if-dbt-succeeded=target/run_results.json"


def test_a_skipped_sync_touches_nothing_and_is_no_failure(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    option = put_results(folder, "v6_build_broken")
    assert run(["run-sync", "vips", option, "--json"]) == 0
    captured = capsys.readouterr()
    document = documents.read(["run-sync"], captured.out)
    told = (
        "model.shop.vip ended with 'error' in target/run_results.json; nothing was sent, run this "
        "again after a `dbt build` that succeeds"
    )
    assert document["status"] == "skipped"
    assert document["run_id"] is None
    assert document["error_code"] == "dbt_not_succeeded"
    assert document["error"] == told
    assert document["planned"] == {"insert": 0, "update": 0, "delete": 0}
    assert [one["status"] for one in document["syncs"]] == ["skipped"]
    assert not (folder / "w.duckdb").exists()
    assert run(["run-sync", "--all", option]) == 0
    assert capsys.readouterr().out == f"vips: skipped\n  {told}\n"


def test_results_of_another_call_than_the_manifest_are_told_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = CONFIG + CONFIG[CONFIG.index("  vips:") :].replace("vips", "again").replace(
        "VIP", "Again"
    )
    (folder / "config.yaml").write_text(text)
    assert run(["run-sync", "--all", put_results(folder, "v6_run_others")]) == 0
    captured = capsys.readouterr()
    manifest = folder / "target" / "manifest.json"
    assert captured.err == (
        f"warning: target/run_results.json and {manifest} are of two calls of dbt\n"
    )
    assert captured.out.splitlines()[-1] == "2 syncs: 2 skipped"


def test_a_sync_of_no_dbt_model_runs_with_a_word(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    option = put_results(folder, "v6_build_broken")
    path = folder / "config.yaml"
    plain = CONFIG[CONFIG.index("  vips:") :].replace("vips", "plain")
    path.write_text(CONFIG + plain.replace("dbt_model: vip", "table: vip"))
    config = load_config(path, os.environ)
    results_file = Path(option.partition("=")[2])
    skipped = skipped_by_dbt(Session(Output()), config, ["plain", "vips"], results_file)
    assert list(skipped) == ["vips"]
    assert "plain reads no dbt model: it runs, however dbt ended\n" in capsys.readouterr().err
    assert skipped_by_dbt(Session(Output()), config, ["plain", "vips"], None) == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read target/r.json (No such file or directory)"),
        ("{", "target/r.json is not JSON"),
        ("{}", "target/r.json is not the run-results of dbt: it names no dbt_schema_version"),
        (
            (DATA / "manifest_v12.json").read_text(encoding="utf-8"),
            "target/r.json is not the run-results of dbt: it is manifest",
        ),
    ],
)
def test_a_file_that_holds_no_results_is_an_error_of_usage(
    folder: Path, capsys: pytest.CaptureFixture[str], content: str | None, message: str
) -> None:
    if content is not None:
        (folder / "target" / "r.json").write_text(content)
    assert run(["run-sync", "vips", "--if-dbt-succeeded", "target/r.json"]) == 2
    assert capsys.readouterr().err == (
        f"--if-dbt-succeeded: {message}; name the run_results.json that `dbt build` wrote\n"
    )
    assert not (folder / "w.duckdb").exists()

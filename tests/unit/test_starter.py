"""The texts that ``init`` writes, and how they get into a folder."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from reverse_etl.cli import starter
from reverse_etl.cli.new_files import new_files
from reverse_etl.config import load_config
from reverse_etl.config.schema import check_sync_name
from reverse_etl.errors import ConfigError
from reverse_etl.proposal import Guess, Proposal

VARIABLES = {"SANDBOX_API_KEY": "sandbox-key"}

# --- the config ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ("customers", "customers"),
        ("analytics.VIP Customers", "vip_customers"),
        ("catalog.schema.t-1", "t1"),
        ("users_2024_06", "users202406"),
        ("2024_users", "sync_2024_users"),
        ("2024", "sync2024"),
        ("_", "sync"),
        ("Ünïcode", "n_code"),
        ("a" * 80, "a" * 40),
        ("a" * 38 + "_2024", "a" * 38 + "2"),
    ],
)
def test_a_sync_is_called_like_its_table(table: str, name: str) -> None:
    assert check_sync_name(starter.sync_name_for(table)) == name


ODD = [
    "a: b",
    "on",
    "No",
    "null",
    "12",
    "1e3",
    "#x",
    "- x",
    "{x}",
    "[x]",
    "${x}",
    "$${x}",
    '"',
    "é",
]


@pytest.mark.parametrize("name", ["plan", *ODD])
def test_columns_of_any_name_are_written_so_that_they_are_read(tmp_path: Path, name: str) -> None:
    proposal = Proposal(
        Guess((name, "nr"), "odd"), Guess((name,), "odd"), Guess((name,), "odd"), (name, "city")
    )
    text = starter.proposed_config(
        "people", "shop.people", "duckdb:///w.duckdb", proposal, needs_control=False
    )
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    sync = load_config(path, VARIABLES).sync("people")
    assert sync.source.primary_key == (name, "nr")
    assert dict(sync.identifiers) == {"email": name}
    assert {field: config.column for field, config in sync.fields.items()} == {
        name: name,
        "city": "city",
    }
    # An editor has words of an older YAML.
    assert list(yaml.safe_load(text)["syncs"]["people"]["fields"]) == [name, "city"]


def test_a_table_of_any_name_cannot_get_out_of_its_comment(tmp_path: Path) -> None:
    table = "people\nsyncs: {}"
    proposal = Proposal(Guess(("id",), "odd"), None, Guess(("id",), "odd"), ())
    text = starter.proposed_config(
        "people", table, "duckdb:///w.duckdb", proposal, needs_control=False
    )
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="must not contain control characters or line breaks"):
        load_config(path, VARIABLES)


def test_an_engine_that_needs_a_control_database_gets_one(tmp_path: Path) -> None:
    proposal = Proposal(Guess(("id",), "odd"), None, Guess(("id",), "odd"), ("plan",))
    path = tmp_path / "config.yaml"
    text = starter.proposed_config(
        "people", "people", "clickhousedb://u@localhost/d", proposal, needs_control=True
    )
    path.write_text(text, encoding="utf-8")
    config = load_config(path, VARIABLES)
    assert config.warehouses["warehouse"].control == "control"
    assert "control.duckdb" in config.warehouses["control"].url.get_secret_value()
    assert config.destinations["iterable"].model_dump()["project_type"] == "user_id"
    assert list(config.sync("people").fields) == ["plan"]


def test_a_table_of_people_and_nothing_else_needs_no_fields(tmp_path: Path) -> None:
    proposal = Proposal(
        Guess(("id",), "odd"), Guess(("mail",), "odd"), None, (), {"photo": "bytes"}
    )
    path = tmp_path / "config.yaml"
    text = starter.proposed_config(
        "people", "people", "duckdb:///w.duckdb", proposal, needs_control=False
    )
    path.write_text(text, encoding="utf-8")
    assert load_config(path, VARIABLES).sync("people").fields == {}
    assert '# not "photo": bytes' in text


# --- the files -----------------------------------------------------------------------------


def make(folder: Path, *names: str, meanwhile: Callable[[], object] = lambda: None) -> None:
    with new_files(folder, names) as workshop:
        for name in names:
            (workshop / name).write_text(f"the {name}")
        meanwhile()


def interrupt() -> None:
    raise KeyboardInterrupt


def test_all_are_made(tmp_path: Path) -> None:
    folder = tmp_path / "some" / "where"
    make(folder, "a", "b")
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "a": "the a",
        "b": "the b",
    }


@pytest.mark.parametrize("kind", ["file", "folder", "link that leads nowhere"])
def test_what_is_there_is_not_touched(tmp_path: Path, kind: str) -> None:
    taken = tmp_path / "b"
    if kind == "file":
        taken.write_text("mine")
    elif kind == "folder":
        taken.mkdir()
    else:
        taken.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="b is there already; nothing was written: move it away"):
        make(tmp_path, "a", "b")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert not (tmp_path / "elsewhere").exists()


def test_what_somebody_makes_in_the_meantime_is_not_touched_either(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="b is there already"):
        make(tmp_path, "a", "b", "c", meanwhile=lambda: (tmp_path / "b").write_text("mine"))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"b": "mine"}


@pytest.mark.parametrize("was_there", [True, False])
def test_an_error_leaves_nothing(tmp_path: Path, *, was_there: bool) -> None:
    folder = tmp_path / "new"
    if was_there:
        folder.mkdir()
    with pytest.raises(KeyboardInterrupt):
        make(folder, "a", meanwhile=interrupt)
    assert folder.exists() is was_there
    assert [path for path in tmp_path.rglob("*") if path != folder] == []


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "in"):
        with pytest.raises(ConfigError, match=r"nothing can be made there .*--folder"):
            make(folder, "a")


def test_a_file_system_without_links_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with new_files(tmp_path, ["a", "b"]) as workshop:
        (workshop / "a").write_text("the a")
        (workshop / "b").touch(0o600)
    assert (tmp_path / "a").read_text() == "the a"
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o600
    with pytest.raises(ConfigError, match="a, b are there already"):
        make(tmp_path, "a", "b")

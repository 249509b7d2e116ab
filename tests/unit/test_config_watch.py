"""When a config counts as changed: real files, as editors, dbt and Kubernetes change them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.iterable import IterableConnector
from reverse_etl.config import Config, load_config
from reverse_etl.config.watch import WatchedConfig
from reverse_etl.errors import ConfigError

DATA = Path(__file__).parents[1] / "data"
TEXT = """\
warehouses:
  local: {url: "duckdb:///warehouse.duckdb"}
destinations:
  iterable: {type: iterable, api_key: "${API_KEY}"}
syncs:
  vips:
    source: {warehouse: local, SOURCE, primary_key: id}
    destination: {name: iterable, object: list, list: {name: VIP}}
    identifiers: {email: email}
    max_delete_percent: PERCENT
"""


class Place:
    """A folder with a config, and what watches it.

    Attributes:
        path: The config.
        reads: How often it was read.
        during: What happens while it is read, once.
    """

    def __init__(self, folder: Path, *, source: str = "table: people", watch: bool = True) -> None:
        self.path = folder / "config.yaml"
        self.source = source
        self.reads = 0
        self.during: Callable[[], None] | None = None
        self._ticks = 0
        if watch:
            self.write(10)
            self.write_file(folder / ".env", "API_KEY=first-key-of-a-server")
            self.start()

    def start(self) -> None:
        self.watched = WatchedConfig(self.load(), self.load)
        self.reads = 0

    def load(self) -> Config:
        self.reads += 1
        config = load_config(self.path, {}, {"iterable": IterableConnector})
        during, self.during = self.during, None
        if during is not None:
            during()
        return config

    def write(self, percent: int | str) -> None:
        self.write_file(self.path, self.text(percent))

    def text(self, percent: int | str) -> str:
        return TEXT.replace("SOURCE", self.source).replace("PERCENT", str(percent))

    def write_file(self, path: Path, text: str) -> None:
        """Write, each time a second later: no test depends on how fine the clock of the disk is."""
        path.write_text(text, encoding="utf-8")
        self._ticks += 1
        os.utime(path, (1_800_000_000 + self._ticks,) * 2)

    def looked(self, times: int = 1) -> list[float | str | None]:
        """Look so many times; return what each found: a percentage, a problem, or nothing."""
        found: list[float | str | None] = []
        for _ in range(times):
            try:
                config = self.watched.changed()
            except ConfigError as error:
                found.append(error.problems[0])
            else:
                found.append(config.sync("vips").max_delete_percent if config else None)
        return found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_what_has_not_changed_is_not_read(place: Place) -> None:
    assert place.looked(3) == [None] * 3
    assert place.reads == 0


def test_a_change_is_taken_once_it_has_stayed_the_same_between_two_looks(place: Place) -> None:
    place.write(20)
    assert place.looked(3) == [None, 20, None]
    assert place.reads == 1
    place.write(30)
    place.looked()
    place.write(40)
    assert place.looked(3) == [None, 40, None], "somebody was still writing at the first look"
    assert place.reads == 2


def test_a_half_written_file_is_never_read(place: Place) -> None:
    whole = place.text(20)
    for end in (1, len(whole) // 2, len(whole) - 3):
        place.write_file(place.path, whole[:end])
        assert place.looked() == [None]
    place.write_file(place.path, whole)
    assert place.looked(2) == [None, 20]


def test_what_cannot_be_used_is_told_once_for_each_change(place: Place) -> None:
    place.write("much")
    first, second, *rest = place.looked(5)
    assert first is None
    assert "max_delete_percent" in str(second)
    assert rest == [None] * 3
    assert place.reads == 1
    place.write("more")
    found = place.looked(3)
    assert (found[0], found[2]) == (None, None)
    assert "max_delete_percent" in str(found[1])
    place.write(50)
    assert place.looked(3) == [None, 50, None]


def test_a_change_that_was_taken_back_before_it_was_read_is_none(place: Place) -> None:
    before = place.path.stat().st_mtime
    text = place.path.read_text(encoding="utf-8")
    place.write(20)
    assert place.looked() == [None]
    place.path.write_text(text, encoding="utf-8")
    os.utime(place.path, (before, before))
    assert place.looked(2) == [None, None]
    assert place.reads == 0


def test_the_env_file_counts(place: Place) -> None:
    env = place.path.parent / ".env"
    place.write_file(env, "API_KEY=second-key-of-a-server")
    assert place.looked(3) == [None, 10, None]
    env.unlink()
    found = place.looked(3)
    assert "API_KEY" in str(found[1])
    place.write_file(env, "API_KEY=second-key-of-a-server")
    assert place.looked(2) == [None, 10]


def test_a_key_file_counts(tmp_path: Path) -> None:
    place = Place(tmp_path, watch=False)
    key = tmp_path / "keys" / "iterable"
    key.parent.mkdir()
    place.write_file(key, "first-key-of-a-server")
    by_file = place.text(10).replace('api_key: "${API_KEY}"', "api_key_file: keys/iterable")
    place.write_file(place.path, by_file)
    place.start()
    place.write_file(key, "second-key-of-a-server")
    assert place.watched.changed() is None
    config = place.watched.changed()
    assert config is not None
    given = config.account("iterable").api_key
    assert given is not None
    assert given.get_secret_value() == "second-key-of-a-server"


def test_a_file_that_vanishes_is_told_and_taken_when_it_returns(place: Place) -> None:
    aside = place.path.with_name("aside.yaml")
    place.path.rename(aside)
    first, second, third = place.looked(3)
    assert (first, third) == (None, None)
    assert "cannot be read" in str(second)
    aside.rename(place.path)
    assert place.looked(3) == [None, 10, None], "the very same file is a change, too"


def test_a_file_replaced_by_another_of_the_same_age_and_size_counts(place: Place) -> None:
    """As `mv` of a copy: `cp -p`, an editor that writes beside and renames."""
    other = place.path.with_name("other.yaml")
    other.write_text(place.text(99), encoding="utf-8")
    shutil.copystat(place.path, other)
    assert other.stat().st_size == place.path.stat().st_size
    other.replace(place.path)
    assert place.looked(2) == [None, 99]


def test_a_config_map_that_kubernetes_swaps_counts(tmp_path: Path) -> None:
    """Its file is a link into ``..data``, itself a link to a folder that goes with the swap."""
    place = Place(tmp_path, watch=False)
    place.write_file(tmp_path / ".env", "API_KEY=first-key-of-a-server")

    def publish(folder: str, percent: int) -> None:
        (tmp_path / folder).mkdir()
        place.write_file(tmp_path / folder / "config.yaml", place.text(percent))
        (tmp_path / "..new").symlink_to(folder)
        (tmp_path / "..new").replace(tmp_path / "..data")

    publish("..2026_01", 10)
    place.path.symlink_to(Path("..data") / "config.yaml")
    place.start()
    assert place.looked(2) == [None, None]
    publish("..2026_02", 20)
    shutil.rmtree(tmp_path / "..2026_01")
    assert place.looked(3) == [None, 20, None]


def write_manifest(place: Place, name: str = "manifest.json", **changes: str) -> None:
    """Write what dbt writes; ``changes`` are of the text."""
    text = (DATA / "dbt" / "manifest_v12.json").read_text(encoding="utf-8")
    for old, new in changes.items():
        text = text.replace(old, new)
    (place.path.parent / "target").mkdir(exist_ok=True)
    place.write_file(place.path.parent / "target" / name, text)


@pytest.fixture
def built(tmp_path: Path) -> Place:
    """Return a config of a dbt model."""
    place = Place(tmp_path, source="dbt_model: vip", watch=False)
    place.write_file(tmp_path / ".env", "API_KEY=first-key-of-a-server")
    place.write(10)
    write_manifest(place)
    place.start()
    return place


def test_what_dbt_has_built_anew_counts(built: Place) -> None:
    assert built.looked(2) == [None, None]
    manifest = built.path.parent / "target" / "manifest.json"
    document = json.loads(manifest.read_text(encoding="utf-8"))
    document["nodes"]["model.shop.vip"]["relation_name"] = '"warehouse"."later"."vip"'
    built.write_file(manifest, json.dumps(document))
    assert built.watched.changed() is None
    config = built.watched.changed()
    assert config is not None
    assert config.sync("vips").source.relation == '"warehouse"."later"."vip"'


def test_files_that_a_changed_config_names_are_watched_and_others_no_more(built: Place) -> None:
    write_manifest(built, "other.json")
    assert built.looked(2) == [None, None], "nobody names it"
    built.source = "dbt_model: vip, dbt_manifest: target/other.json"
    built.write(20)
    assert built.looked(3) == [None, 20, None]
    write_manifest(built)
    assert built.looked(2) == [None, None]
    write_manifest(built, "other.json")
    assert built.looked(3) == [None, 20, None]


def test_a_change_made_while_the_config_is_read_is_not_lost(place: Place) -> None:
    place.write(20)
    place.during = lambda: place.write(30)
    assert place.looked(2) == [None, 20]
    assert place.looked(3) == [None, 30, None]

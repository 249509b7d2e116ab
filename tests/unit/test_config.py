"""What a valid config becomes, and how the file, the environment and the connectors are found."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import time, timedelta
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from pydantic import BaseModel, ConfigDict, SecretStr

from connectors.iterable import IterableConnector
from reverse_etl.config import Config, NotificationConfig, find_config, load_config
from reverse_etl.config.editor_schema import json_schema
from reverse_etl.config.load import absolute_url
from reverse_etl.connector import (
    AccountSettings,
    Connector,
    DestinationObject,
    DestinationSettings,
    FieldMapping,
    MappedField,
    Problem,
)
from reverse_etl.errors import ConfigError
from reverse_etl.schedule import Basic, Cron, Manual

ROOT = Path(__file__).parents[2]


class Account(AccountSettings):
    region: Literal["north", "south"] = "north"

    def headers(self) -> Mapping[str, str]:
        return {"key": self.api_key.get_secret_value() if self.api_key else ""}


class Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: int


class GroupSettings(DestinationSettings):
    group: Group


class BindingError(Exception):
    """Carries what the connector was asked to bind."""


class SmallConnector(Connector):
    account: ClassVar[type[AccountSettings]] = Account
    objects: ClassVar[Mapping[str, type[DestinationSettings]]] = {"group": GroupSettings}

    def check(
        self,
        account: AccountSettings,
        settings: DestinationSettings,
        mapping: FieldMapping,
        mode: str,
    ) -> list[Problem]:
        del account, settings, mapping, mode
        return []

    def bind(
        self,
        account: AccountSettings,
        settings: DestinationSettings,
        mapping: FieldMapping,
        mode: str,
    ) -> DestinationObject:
        raise BindingError(account, settings, mapping, mode)


CONNECTORS = {"small": SmallConnector}
KEY = {"SMALL_KEY": "k-123456789"}

MINIMAL = """\
warehouses:
  local: {url: "duckdb:///data/wh.duckdb"}
destinations:
  crm: {type: small, api_key: "${SMALL_KEY}"}
syncs:
  vips:
    source: {warehouse: local, table: vip, primary_key: id}
    destination: {name: crm, object: group, group: {id: 7}}
    identifiers: {email: email}
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def inner(text: str, name: str = "config.yaml") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode())
        return path

    return inner


def load(path: Path, environ: Mapping[str, str] = KEY) -> Config:
    return load_config(path, environ, CONNECTORS)


def test_the_example_loads_and_shows_every_option(tmp_path: Path) -> None:
    """Commented options count: each key of each model stands in the file."""
    text = (ROOT / "config.example.yaml").read_text(encoding="utf-8")
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    config = load_config(path, {"ITERABLE_API_KEY": "a" * 32}, {"iterable": IterableConnector})
    assert list(config.syncs) == ["vip_customers", "experiment_profiles"]
    assert config.warnings == []
    schema = json_schema({"iterable": IterableConnector})
    options = {
        key for definition in schema["$defs"].values() for key in definition.get("properties", {})
    }
    # The schema is that of this tool alone, so each option is a word followed by a colon.
    assert {key for key in options if f"{key}:" not in text} == set()


def test_the_notifications_of_the_example_load(tmp_path: Path) -> None:
    """They are commented out as a whole, so they are tried as a whole."""
    text = (ROOT / "config.example.yaml").read_text(encoding="utf-8")
    head, _, rest = text.partition("# notifications:\n")
    block, _, tail = rest.partition("\nsyncs:")
    lines = [line.removeprefix("# ") for line in block.splitlines()]
    path = tmp_path / "config.yaml"
    path.write_text("\n".join((f"{head}notifications:", *lines, f"\nsyncs:{tail}")))
    variables = {"ITERABLE_API_KEY": "a" * 32, "SLACK_WEBHOOK": "https://hooks.example.com/x"}
    config = load_config(path, variables, {"iterable": IterableConnector})
    (found,) = config.notifications
    assert found.model_fields_set == set(NotificationConfig.model_fields)


def test_who_is_told_of_what_by_default(write: Write) -> None:
    path = write(f"notifications: [{{url: https://hooks.example.com/x}}]\n{MINIMAL}")
    (found,) = load(path).notifications
    assert found.on == ("failed", "held", "recovered")
    assert (found.format, found.failed_percent, found.stale_hours) == ("json", 5, 24)


def test_the_example_loads_with_each_comment_taken_away(tmp_path: Path) -> None:
    """Every option that is commented out is valid where it stands, one at a time."""
    lines = (ROOT / "config.example.yaml").read_text(encoding="utf-8").splitlines()
    exclusive = {"table:", "dbt_model:", "api_key_file:", "workspace:", "control:", "schedule:"}
    # Only where another line is another one too.
    exclusive |= {"hybrid_send:"}
    tried = 0
    for number, line in enumerate(lines):
        bare = line.lstrip()
        word = bare.removeprefix("# ").split(" ", 1)[0]
        if not line.startswith("    # ") or not word.endswith(":") or word in exclusive:
            continue
        if not word[:-1].replace("_", "").islower() or " " not in bare.removeprefix("# "):
            continue
        changed = [*lines]
        changed[number] = line.replace("# ", "", 1)
        path = tmp_path / f"config-{number}.yaml"
        path.write_text("\n".join(changed), encoding="utf-8")
        load_config(path, {"ITERABLE_API_KEY": "a" * 32}, {"iterable": IterableConnector})
        tried += 1
    assert tried >= 8


def test_defaults(write: Write) -> None:
    config = load(write(MINIMAL))
    sync = config.sync("vips")
    assert sync.mode == "mirror"
    assert sync.schedule == Manual()
    assert sync.retry_failed_records is True
    assert sync.max_delete_percent == 50
    assert sync.observability.retain_sync_logs is True
    assert sync.observability.sync_log_retention_days == 30
    assert sync.observability.snapshots_to_keep == 3
    assert sync.source.primary_key == ("id",)
    assert sync.mapping == FieldMapping({"email": "email"}, ())
    assert config.warehouses["local"].schema_name == "reverse_etl"
    assert config.engine.model_dump() == {
        "lease_seconds": 30,
        "heartbeat_seconds": None,
        "checkpoint_seconds": 5,
        "max_parallel_syncs": 4,
        "shutdown_seconds": 30,
    }
    assert config.engine.heartbeat == 10
    assert config.notifications == ()
    assert config.warnings == []


def test_every_key_reaches_its_attribute(write: Write) -> None:
    config = load(
        write("""\
warehouses:
  local: {url: "postgresql+psycopg://u:p@h/db", schema: own, control: other}
  other: {url: "postgresql://h/db"}
destinations:
  crm: {type: small, api_key: "${SMALL_KEY}", region: south, request_timeout_seconds: 19.5}
engine:
  {lease_seconds: 20, heartbeat_seconds: 4.5, checkpoint_seconds: 0.5, max_parallel_syncs: 2,
   shutdown_seconds: 0}
notifications:
  - {url: "https://hooks.example.com/x", format: slack, on: [failed]}
  - url: "https://hooks.example.com/y?sig=%2F"
    on: [failures, stale]
    failed_percent: 2.5
    stale_hours: 0.5
syncs:
  vips:
    source: {warehouse: local, query: select 1, primary_key: [a, b]}
    destination: {name: crm, object: group, group: {id: 7}}
    identifiers: {email: mail}
    fields:
      plain: one
      long: {column: two, type: string, null: clear}
      same: {value: {nested: [1, x, true]}}
    mode: upsert
    schedule: {type: basic, every: 1 hour, at: 12:30}
    observability: {retain_sync_logs: no, sync_log_retention_days: 7, snapshots_to_keep: 1}
    retry_failed_records: off
    max_delete_percent: 12.5
  crons:
    source: {warehouse: local, query: select 1, primary_key: a}
    destination: {name: crm, object: group, group: {id: 7}}
    identifiers: {email: mail}
    schedule: {type: cron, expression: "*/15 * * * *"}
""")
    )
    sync = config.sync("vips")
    assert config.warehouses["local"].control == "other"
    assert config.warehouses["local"].url.get_secret_value() == "postgresql+psycopg://u:p@h/db"
    assert config.engine.checkpoint_seconds == 0.5
    assert config.engine.heartbeat == config.engine.heartbeat_seconds == 4.5
    first, second = config.notifications
    assert (first.on, first.failed_percent, first.stale_hours) == (("failed",), 5, 24)
    assert first.format == "slack"
    assert (second.on, second.format) == (("failures", "stale"), "json")
    assert (second.failed_percent, second.stale_hours) == (2.5, 0.5)
    assert second.url.get_secret_value() == "https://hooks.example.com/y?sig=%2F"
    assert sync.source.primary_key == ("a", "b")
    assert sync.schedule == Basic(timedelta(hours=1), time(12, 30))
    assert config.sync("crons").schedule == Cron("*/15 * * * *")
    assert sync.observability.retain_sync_logs is False
    assert sync.retry_failed_records is False
    assert sync.max_delete_percent == 12.5
    assert sync.mapping == FieldMapping(
        {"email": "mail"},
        (
            MappedField("plain", "one"),
            MappedField("long", "two", type="string", null="clear"),
            MappedField("same", None, {"nested": [1, "x", True]}),
        ),
    )


def test_bind_hands_the_connector_its_own_models(write: Write) -> None:
    config = load(write(MINIMAL))
    with pytest.raises(BindingError) as caught:
        config.bind("vips")
    account, settings, mapping, mode = caught.value.args
    assert isinstance(account, Account)
    assert account.headers() == {"key": "k-123456789"}
    assert isinstance(settings, GroupSettings)
    assert settings.group.id == 7
    assert (mapping, mode) == (config.sync("vips").mapping, "mirror")
    assert isinstance(config.connector("crm"), SmallConnector)


def test_unknown_names_have_a_suggestion(write: Write) -> None:
    path = write(MINIMAL)
    config = load(path)
    with pytest.raises(ConfigError) as caught:
        config.sync("vip")
    assert str(caught.value) == f"{path}: there is no sync 'vip'; did you mean vips?"
    with pytest.raises(ConfigError, match="there is no destination 'x'; use one of: crm"):
        config.request_timeout_seconds("x")


@pytest.mark.parametrize(
    ("lease", "explicit", "expected"),
    [(30, None, 20), (300, None, 30), (6, None, 4), (30, 29, 29)],
)
def test_request_timeout(write: Write, lease: int, explicit: int | None, expected: float) -> None:
    """30 seconds, or two thirds of the lease if that is less."""
    text = f"engine: {{lease_seconds: {lease}}}\n{MINIMAL}"
    if explicit is not None:
        text = text.replace("type: small", f"type: small, request_timeout_seconds: {explicit}")
    assert load(write(text)).request_timeout_seconds("crm") == pytest.approx(expected)


# --- environment ---------------------------------------------------------------------------


def load_value(write: Write, value: str, environ: Mapping[str, str]) -> Any:
    """Return what ``value`` becomes as a constant field."""
    config = load(write(f"{MINIMAL}    fields: {{x: {{value: {value}}}}}\n"), {**KEY, **environ})
    return config.sync("vips").fields["x"].value


@pytest.mark.parametrize(
    ("value", "environ", "expected"),
    [
        ('"${A}"', {"A": "1"}, "1"),
        ('"a ${A} b ${B}"', {"A": "x", "B": "y"}, "a x b y"),
        ('"${A:-d}"', {}, "d"),
        ('"${A:-d}"', {"A": ""}, "d"),
        ('"${A:-d}"', {"A": "set"}, "set"),
        ('"${A:-}"', {}, ""),
        ('"${A:-http://h:1/x-y}"', {}, "http://h:1/x-y"),
        ('"${A}"', {"A": ""}, ""),
        ('"$${A}"', {"A": "1"}, "${A}"),
        ('"$$${A}"', {"A": "1"}, "$${A}"),
        ('"$A $$ $(A) { }"', {"A": "1"}, "$A $$ $(A) { }"),
        # What comes out of a variable is not looked at again …
        ('"${A}"', {"A": "${B}", "B": "no"}, "${B}"),
        # … and cannot add keys.
        ('"${A}"', {"A": 'x"}, y: {value: "z'}, 'x"}, y: {value: "z'),
        ('"${A}"', {"A": "a\nb: c"}, "a\nb: c"),
    ],
)
def test_variables(write: Write, value: str, environ: Mapping[str, str], expected: str) -> None:
    assert load_value(write, value, environ) == expected


def test_variables_can_be_numbers_and_booleans(write: Write) -> None:
    text = f"""{MINIMAL}    retry_failed_records: ${{B}}
    max_delete_percent: ${{F}}
    observability: {{snapshots_to_keep: "${{I}}"}}
"""
    text = text.replace("id: 7", 'id: "${I}"')
    sync = load(write(text), {**KEY, "B": "false", "F": "7.5", "I": "9"}).sync("vips")
    assert sync.retry_failed_records is False
    assert sync.max_delete_percent == 7.5
    assert sync.observability.snapshots_to_keep == 9
    assert sync.destination.model_dump()["group"] == {"id": 9}


def test_env_file_beside_the_config_and_environment_wins(write: Write) -> None:
    write('A="from file"\nB=also file\n# c\nexport C=$A\nD\n', ".env")
    assert load_value(write, '"${A}|${B}|${C}"', {"B": "real"}) == "from file|real|$A"
    with pytest.raises(ConfigError, match="D is not set"):
        load_value(write, '"${D}"', {})


def test_env_file_that_cannot_be_read(tmp_path: Path, write: Write) -> None:
    (tmp_path / ".env").write_bytes(b"A=\xff\n")
    with pytest.raises(ConfigError, match=r"\.env: is not UTF-8; save it as UTF-8"):
        load(write(MINIMAL))


# --- files ---------------------------------------------------------------------------------


def test_find_config() -> None:
    environ = {"REVERSE_ETL_CONFIG": "from-env.yaml"}
    assert find_config(Path("option.yaml"), environ) == Path("option.yaml")
    assert find_config(None, environ) == Path("from-env.yaml")
    assert find_config(None, {"REVERSE_ETL_CONFIG": ""}) == Path("config.yaml")
    assert find_config(None, {}) == Path("config.yaml")


def test_relative_duckdb_path_is_relative_to_the_config(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(MINIMAL)
    monkeypatch.chdir(tmp_path.parent)
    for given in (path, Path(tmp_path.name) / path.name):
        url = load(given).warehouses["local"].url.get_secret_value()
        assert url == f"duckdb:///{tmp_path}/data/wh.duckdb"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("duckdb:///x.duckdb", "duckdb:////f/x.duckdb"),
        ("duckdb:///../x.duckdb?threads=2", "duckdb:////f/../x.duckdb?threads=2"),
        ("duckdb:////abs/x.duckdb", "duckdb:////abs/x.duckdb"),
        ("duckdb:///a%20b%3Fc.duckdb", "duckdb:////f/a b%3Fc.duckdb"),
        ("duckdb:///md:my_db", "duckdb:///md:my_db"),
        ("postgresql://u:p@h/x.duckdb", "postgresql://u:p@h/x.duckdb"),
    ],
)
def test_absolute_url(url: str, expected: str) -> None:
    assert absolute_url(url, Path("/f")) == expected


def test_absolute_url_survives_sqlalchemy() -> None:
    """A folder with % and ? in its name comes back out of the URL."""
    from sqlalchemy import make_url  # noqa: PLC0415

    url = absolute_url("duckdb:///x.duckdb?a=b", Path("/f/100% ?"))
    assert make_url(url).database == "/f/100% ?/x.duckdb"
    assert make_url(url).query == {"a": "b"}


def test_api_key_file(write: Write) -> None:
    write("  k-from-file\n", "key.txt")
    text = MINIMAL.replace('api_key: "${SMALL_KEY}"', "api_key_file: key.txt")
    config = load(write(text), {})
    assert config.account("crm").api_key == SecretStr("k-from-file")
    assert config.warnings == []


# --- connectors ----------------------------------------------------------------------------


def install(folder: Path, name: str, module: str, entry: str, distribution: str) -> None:
    """Put a package with one connector into a folder, as an installer would."""
    (folder / f"{entry.partition(':')[0]}.py").write_text(module, encoding="utf-8")
    info = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[reverse_etl.connectors]\n{name} = {entry}\n")


WORKING = """
from reverse_etl.connector import AccountSettings, Connector, DestinationSettings
class Account(AccountSettings):
    def headers(self):
        return {}
class Found(Connector):
    account = Account
    objects = {"thing": DestinationSettings}
    def check(self, account, settings, mapping, mode):
        return []
    def bind(self, account, settings, mapping, mode):
        raise NotImplementedError
class Newer(Found):
    api_version = 99
class Other:
    pass
"""


def plugin_config(kind: str) -> str:
    return f"""\
warehouses: {{w: {{url: "duckdb:///x"}}}}
destinations: {{d: {{type: {kind}}}}}
syncs:
  s:
    source: {{warehouse: w, table: t, primary_key: id}}
    destination: {{name: d, object: thing}}
    identifiers: {{email: email}}
"""


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    install(folder, "found", WORKING, "plug_found:Found", "plug-found")
    install(folder, "broken", "raise RuntimeError('k-123456789')", "plug_broken:X", "plug-broken")
    install(folder, "newer", WORKING, "plug_newer:Newer", "plug-newer")
    install(folder, "other", WORKING, "plug_other:Other", "plug-other")
    install(folder, "double", WORKING, "plug_double_a:Found", "plug-double-a")
    install(folder, "double", WORKING, "plug_double_b:Found", "plug-double-b")
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.mark.usefixtures("plugins")
def test_an_installed_connector_is_found(write: Write) -> None:
    """A broken neighbour does no harm."""
    config = load_config(write(plugin_config("found")), {})
    assert type(config.connector("d")).__name__ == "Found"


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "broken",
            (
                "the connector broken of plug-broken cannot be used (RuntimeError); install a "
                "version of it that fits"
            ),
        ),
        (
            "newer",
            (
                "the connector newer of plug-newer cannot be used (it is for version 99 of the "
                "contract, not for ours); install a version of it that fits"
            ),
        ),
        (
            "other",
            (
                "the connector other of plug-other cannot be used (its entry point is no Connector "
                "class); install a version of it that fits"
            ),
        ),
        (
            "double",
            (
                "the connector double is installed by plug-double-a, plug-double-b; uninstall all "
                "but one"
            ),
        ),
        ("fuond", "there is no such connector, got 'fuond'; did you mean found?"),
    ],
)
def test_an_unusable_connector_is_named(write: Write, kind: str, message: str) -> None:
    path = write(plugin_config(kind))
    with pytest.raises(ConfigError) as caught:
        load_config(path, {})
    assert caught.value.problems == [f"{path}:2:26: destinations.d.type: {message}"]


# --- package -------------------------------------------------------------------------------


def test_importing_config_loads_nothing_heavy() -> None:
    """``reverse-etl --help`` and ``validate`` stay fast."""
    code = (
        "import sys, reverse_etl.config; "
        "print([m for m in ('sqlalchemy', 'duckdb', 'pyarrow', 'httpx') if m in sys.modules])"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=True
    )
    assert done.stdout.strip() == "[]"


def test_json_schema_knows_sections_connectors_and_variables() -> None:
    schema = json_schema(CONNECTORS)
    json.dumps(schema)
    definitions = schema["$defs"]
    assert set(schema["properties"]) == {
        "warehouses",
        "destinations",
        "engine",
        "notifications",
        "syncs",
    }
    assert "schema" in definitions["WarehouseConfig"]["properties"]
    assert "name" not in definitions["SyncConfig"]["properties"]
    assert definitions["SyncConfig"]["additionalProperties"] is False
    assert definitions["SyncConfig"]["properties"]["destination"]["anyOf"] == [
        {"$ref": "#/$defs/GroupSettings", "properties": {"object": {"const": "group"}}}
    ]
    lease = definitions["EngineConfig"]["properties"]["lease_seconds"]
    assert lease["default"] == 30
    assert lease["anyOf"] == [
        {"type": "number", "minimum": 1, "maximum": 3600},
        {"type": "string", "pattern": r"\$\{[A-Za-z_]"},
    ]


TWO_LISTS = """\
warehouses:
  local: {{url: "duckdb:///w.duckdb"}}
destinations:
  iterable: {{type: iterable, api_key: "${{SMALL_KEY}}"}}
  twin: {{type: iterable, api_key: "{key}", data_center: {center}}}
syncs:
  first:
    source: {{warehouse: local, table: vip, primary_key: id}}
    destination: {{name: iterable, object: list, list: {{name: VIP}}}}
    identifiers: {{email: email}}
    mode: {first}
  second:
    source: {{warehouse: local, table: vip, primary_key: id}}
    destination: {{name: {account}, object: list, list: {{name: {name}}}}}
    identifiers: {{email: email}}
    mode: {mode}
"""


@pytest.mark.parametrize(
    ("changes", "rivals"),
    [
        ({}, True),
        ({"account": "twin"}, True),
        ({"account": "twin", "center": "eu"}, False),
        ({"name": "Others"}, False),
        ({"account": "twin", "key": "${OTHER_KEY}"}, False),
        ({"mode": "upsert"}, True),
        ({"mode": "upsert", "first": "upsert"}, False),
    ],
)
def test_two_syncs_that_mirror_one_list_are_told(
    write: Write, changes: dict[str, str], *, rivals: bool
) -> None:
    usual = {
        "account": "iterable",
        "center": "us",
        "name": "VIP",
        "mode": "mirror",
        "first": "mirror",
        "key": "${SMALL_KEY}",
    }
    path = write(TWO_LISTS.format(**(usual | changes)))
    told = (
        "syncs.second.destination.list: the sync first writes to the same list ('VIP'): one in "
        "mode: mirror takes off whom it has added, though the other one wants them. Write one "
        "query for both, or use mode: upsert in both"
    )
    variables = {"SMALL_KEY": "a" * 32, "OTHER_KEY": "b" * 32}
    warnings = load_config(path, variables).warnings
    assert [re.sub(r"^.*config\.yaml:14:\d+: ", "", line) for line in warnings] == [told] * rivals


def test_a_sync_knows_where_its_keys_stand(write: Write) -> None:
    path = write(MINIMAL)
    sync = load(path).sync("vips")
    assert sync.place("source.table") == f"{path}:7:39"
    assert sync.place("fields.plan", "identifiers.email") == f"{path}:9:26"
    assert sync.place("fields.plan") is None

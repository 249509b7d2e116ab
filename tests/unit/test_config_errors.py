# ruff: noqa: E501 - the expected sentences stand in one piece where they can
"""Bad configs: each problem is a whole sentence at an exact place, and all come at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from reverse_etl.config import load_config
from reverse_etl.connector import (
    AccountSettings,
    Connector,
    DestinationObject,
    DestinationSettings,
    FieldMapping,
    Problem,
)
from reverse_etl.errors import ConfigError


class Account(AccountSettings):
    region: Literal["north", "south"] = "north"

    def headers(self) -> Mapping[str, str]:
        if self.api_key is None:
            raise ConfigError(["no key"])
        return {}


class Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: int | None = Field(default=None, ge=1)
    label: str | int = "x"


class GroupSettings(DestinationSettings):
    group: Group
    strict: bool = False


class SmallConnector(Connector):
    account: ClassVar[type[AccountSettings]] = Account
    objects: ClassVar[Mapping[str, type[DestinationSettings]]] = {
        "group": GroupSettings,
        "person": DestinationSettings,
    }

    def check(
        self,
        account: AccountSettings,
        settings: DestinationSettings,
        mapping: FieldMapping,
        mode: str,
    ) -> list[Problem]:
        del account, settings, mode
        return [
            Problem(("identifiers", name), f"{name} finds nobody; use email")
            for name in mapping.identifiers
            if name != "email"
        ]

    def bind(
        self,
        account: AccountSettings,
        settings: DestinationSettings,
        mapping: FieldMapping,
        mode: str,
    ) -> DestinationObject:
        raise NotImplementedError


CONFIG = """\
warehouses:
  local: {url: "duckdb:///x.duckdb"}
destinations:
  crm:
    type: small
    api_key: ${KEY}
syncs:
  vips:
    source:
      warehouse: local
      table: vip
      primary_key: id
    destination:
      name: crm
      object: group
      group: {id: 7}
    identifiers:
      email: email
"""


def problems(
    folder: Path, content: str | bytes, environ: Mapping[str, str] | None = None
) -> list[str]:
    """Return the problem lines of a config, without the path in front; [] when it is valid."""
    path = folder / "config.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    found: ConfigError | None = None
    try:
        load_config(path, {"KEY": "k-1", **(environ or {})}, {"small": SmallConnector})
    except ConfigError as error:
        found = error
    if found is None:
        return []
    assert str(found) == "\n".join(found.problems)
    # Nothing that quotes the file may hang on the error.
    assert found.__cause__ is None
    assert found.__context__ is None
    assert all(line.startswith(str(path)) for line in found.problems)
    return [line.removeprefix(str(path)) for line in found.problems]


def changed(old: str, new: str) -> str:
    """Return the valid config with one piece replaced."""
    assert CONFIG.count(old) == 1
    return CONFIG.replace(old, new)


def test_the_starting_point_is_valid(tmp_path: Path) -> None:
    assert problems(tmp_path, CONFIG) == []


@pytest.mark.parametrize("content", [CONFIG.replace("\n", "\r\n"), "\ufeff" + CONFIG])
def test_windows_files_are_fine(tmp_path: Path, content: str) -> None:
    assert problems(tmp_path, content) == []


def test_positions_count_windows_lines_once_and_skip_the_bom(tmp_path: Path) -> None:
    content = "\ufeff" + changed("table: vip", "tabel: vip").replace("\n", "\r\n")
    assert any(
        line.startswith(":11:7: syncs.vips.source.tabel: unknown key; did you mean table?")
        for line in problems(tmp_path, content)
    )


NEEDS = "it needs warehouses, destinations, engine, notifications, syncs"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", f":1:1: the config is empty; {NEEDS} (`reverse-etl init` writes one)"),
        (b"# only\n", f":1:1: the config is empty; {NEEDS} (`reverse-etl init` writes one)"),
        (
            b"- a\n",
            (f":1:1: the config is not a mapping of keys; {NEEDS} (`reverse-etl init` writes "
            "one)"),
        ),
        (
            b"text",
            (f":1:1: the config is not a mapping of keys; {NEEDS} (`reverse-etl init` writes "
            "one)"),
        ),
        (b"a: 1\nb: \xff\n", ":2:4: the file is not UTF-8 from here on; save it as UTF-8"),
        ("a: 1".encode("utf-16"), ":1:1: the file is saved as UTF-16; save it as UTF-8"),
        (
            b"a: 1\nb: x\x00y\n",
            ":2:5: this character is not allowed in YAML; write it as an escape in double quotes",
        ),
        (b"a:\n\tb: 1\n", ":2:1: a tab cannot indent; use spaces"),
        (b"a: 'x\n", ":2:1: a quote is opened and never closed"),
        (b"a: b\n c: d\n", (":2:3: a colon is not allowed here; put the value in quotes, or check "
         "the indentation and the space after the colon of the key before")),
        (b"a:\n  b: 1\n c: 2\n", ":3:2: the indentation differs from that of the lines above"),
        (b"a: {url: ${X}}\n", (":1:11: a comma or a closing bracket is missing; inside {…} "
         "and […], put a value with braces, such as ${NAME}, in quotes")),
        (b"a: *x\n", ":1:4: this alias (*) has no anchor (&); put a value with * in quotes"),
        (b"a: &x 1\nb: &x 2\n", (":2:4: this anchor (&) is defined a second time; give it another "
         "name")),
        (b"a: @x\n", ":1:4: this character cannot start a value; put the value in quotes"),
        (b'a: "\\q"\n', ":1:6: this escape is unknown in double quotes; use single quotes"),
        (b"a: 1\n---\nb: 2\n", ":2:1: a second document starts here; a config is one document"),
        (b"%YAML 3.0\n---\na: 1\n", (":1:1: this is not valid YAML; look at this line and the one "
         "before")),
        (b"[" * 60 + b"]" * 60, ":1:52: values are nested more than 50 deep"),
        (b"[" * 900_000, ":1:52: values are nested more than 50 deep"),
        (b"a: &a [*a]\n", ":1:4: values are nested more than 50 deep"),
        (b"a: &a {<<: *a}\n", ":1:8: values are nested more than 50 deep"),
    ],
)  # fmt: skip
def test_unreadable_files(tmp_path: Path, content: bytes, expected: str) -> None:
    assert problems(tmp_path, content) == [expected]


def test_no_file(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    with pytest.raises(ConfigError) as caught:
        load_config(path, {}, {})
    assert caught.value.problems == [
        (
            f"{path}: cannot be read (No such file or directory); `reverse-etl init` "
            "writes one to begin with, or name yours with --config PATH or REVERSE_ETL_CONFIG"
        )
    ]


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read \\(Is a directory\\)"):
        load_config(tmp_path, {}, {})


def test_aliases_and_merges_within_reason_are_fine(tmp_path: Path) -> None:
    content = (
        CONFIG
        + """\
  more:
    source: &base {warehouse: local, table: more, primary_key: id}
    destination: {name: crm, object: person}
    identifiers: {email: email}
  most:
    source: {<<: *base, table: most}
    destination: {name: crm, object: person}
    identifiers: {email: email}
"""
    )
    assert problems(tmp_path, content) == []


TAG = "a YAML tag (!) is not accepted; remove it, or put the value in quotes"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # --- YAML that is more than a config needs
        ("table: vip", "table: !!python/object/apply:os.system [x]",
         ":11:14: syncs.vips.source.table: " + TAG),
        ("table: vip", "table: !x vip", ":11:14: syncs.vips.source.table: " + TAG),
        ("table: vip", "table: !!binary aGk=", ":11:14: syncs.vips.source.table: " + TAG),
        ("table: vip", "table: !!int vip", ":11:14: syncs.vips.source.table: " + TAG),
        ("table: vip", "table: vip\n      table: other",
         ":12:7: syncs.vips.source.table: this key is in line 11 already; remove one of the two"),
        ("syncs:", "syncs: {}\nsyncs:",
         ":8:1: syncs: this key is in line 7 already; remove one of the two"),
        ("email: email", "email: email\n  vips: {}",
         ":19:3: syncs.vips: this key is in line 8 already; remove one of the two"),
        ("table: vip", "table: vip\n      ? [a]\n      : b",
         ":12:9: syncs.vips.source: a key must be plain text"),
        ("table: vip", "table: vip\n      <<: 3",
         ":12:11: syncs.vips.source: << takes a mapping or a list of mappings, such as *name"),
        # --- keys
        ("warehouses:", "warehuoses: {}\nwarehouses:",
         ":1:1: warehuoses: unknown key; did you mean warehouses?"),
        ("warehouses:", "zzz: {}\nwarehouses:", (":1:1: zzz: unknown key; use one of: warehouses, "
         "destinations, engine, notifications, syncs")),
        ("warehouses:", "engine: {lease_second: 3}\nwarehouses:",
         ":1:10: engine.lease_second: unknown key; did you mean lease_seconds?"),
        ('url: "duck', 'shcema: x, url: "duck',
         ":2:11: warehouses.local.shcema: unknown key; did you mean schema?"),
        ('url: "duck', 'schema_name: x, url: "duck',
         ":2:11: warehouses.local.schema_name: unknown key; did you mean schema?"),
        ("type: small", "type: small\n    regoin: x",
         ":6:5: destinations.crm.regoin: unknown key; did you mean region?"),
        ("table: vip", "table: vip\n      primry_key: x",
         ":12:7: syncs.vips.source.primry_key: unknown key; did you mean primary_key?"),
        ("    identifiers", "    name: x\n    identifiers",
         ":17:5: syncs.vips.name: unknown key; the name of a sync is its key under syncs"),
        ("    identifiers", "    identifier: x\n    identifiers",
         ":17:5: syncs.vips.identifier: unknown key; did you mean identifiers?"),
        ("{id: 7}", "{ids: 7}",
         ":16:15: syncs.vips.destination.group.ids: unknown key; did you mean id?"),
        ("    identifiers", "    schedule: {type: cron, expression: 0 0 * * *, evry: x}\n    identifiers",
         ":17:51: syncs.vips.schedule.evry: unknown key; use one of: expression, type"),
        ("    identifiers", "    fields: {a: {colunm: x, value: 1}}\n    identifiers",
         ":17:18: syncs.vips.fields.a.colunm: unknown key; did you mean column?"),
        # --- missing keys
        ("      primary_key: id\n", "", ":9:5: syncs.vips.source.primary_key: this key is required"),
        ("    identifiers:\n      email: email\n", "",
         ":8:3: syncs.vips.identifiers: this key is required"),
        ("      object: group\n", "", ":13:5: syncs.vips.destination.object: this key is required"),
        ("      group: {id: 7}\n", "", ":13:5: syncs.vips.destination.group: this key is required"),
        ("    type: small\n", "",
         ":4:3: destinations.crm.type: this key is required; connectors: small"),
        ("    api_key: ${KEY}\n", "", (":4:3: destinations.crm.api_key: an API key is required: "
         "write api_key: ${NAME}, or api_key_file: PATH")),
        ('{url: "duckdb:///x.duckdb"}', "{}", ":2:3: warehouses.local.url: this key is required"),
        # --- wrong types
        ('{url: "duckdb:///x.duckdb"}', "text",
         ":2:10: warehouses.local: must be a mapping of keys to values"),
        ("table: vip", "table: 5",
         ":11:14: syncs.vips.source.table: must be text, got 5; put it in quotes"),
        ("table: vip", "table: true",
         ":11:14: syncs.vips.source.table: must be text, got true; put it in quotes"),
        ("table: vip", "table: [a]", ":11:7: syncs.vips.source.table: must be text, got a list"),
        ("primary_key: id", "primary_key: [a, 5]",
         ":12:24: syncs.vips.source.primary_key[1]: must be text, got 5; put it in quotes"),
        ("primary_key: id", "primary_key: {a: b}",
         ":12:7: syncs.vips.source.primary_key: must be a list, got a mapping"),
        ("primary_key: id", "primary_key: []",
         ":12:7: syncs.vips.source.primary_key: must not be empty"),
        ("primary_key: id", "primary_key: [a, a]",
         ":12:7: syncs.vips.source.primary_key: must not list a column twice"),
        ("{id: 7}", "{id: x}",
         ":16:19: syncs.vips.destination.group.id: must be a whole number, got 'x'"),
        ("{id: 7}", "{id: 0}", ":16:19: syncs.vips.destination.group.id: must be at least 1, got 0"),
        ("{id: 7}", "{label: []}", (":16:15: syncs.vips.destination.group.label: must be text or a whole number, "
         "got a list")),
        ("object: group", "object: [x]", (":15:7: syncs.vips.destination.object: must be text; put it "
         "in quotes")),
        ("    identifiers:\n      email: email", "    identifiers: {}",
         ":17:5: syncs.vips.identifiers: must not be empty"),
        ("    identifiers:\n      email: email", "    identifiers: email",
         ":17:18: syncs.vips.identifiers: must be a mapping of keys to values, got 'email'"),
        ("      email: email", '      email: "a\\nb"',
         (":18:14: syncs.vips.identifiers.email: must not contain control characters or line breaks, "
         "got 'a\\nb'")),
        ("warehouses:", "engine: {max_parallel_syncs: true}\nwarehouses:",
         ":1:30: engine.max_parallel_syncs: must be a number, got true"),
        ("warehouses:", "engine: {lease_seconds: .inf}\nwarehouses:",
         ":1:25: engine.lease_seconds: must be a number, got '.inf'"),
        ("warehouses:", "engine: {lease_seconds: nan}\nwarehouses:",
         ":1:25: engine.lease_seconds: must be a finite number, got 'nan'"),
        ("warehouses:", "engine: {lease_seconds: 0}\nwarehouses:",
         ":1:25: engine.lease_seconds: must be at least 1, got 0"),
        ("warehouses:", "engine: {heartbeat_seconds: 0}\nwarehouses:",
         ":1:29: engine.heartbeat_seconds: must be more than 0, got 0"),
        ("warehouses:", "engine: {heartbeat_seconds: true}\nwarehouses:",
         ":1:29: engine.heartbeat_seconds: must be a number, got true"),
        ("warehouses:", "engine: {heartbeat_seconds: 15}\nwarehouses:",
         (":1:29: engine.heartbeat_seconds: must be less than half of engine.lease_seconds (30), "
          "got 15")),
        ("warehouses:", "engine: {heartbeat_seconds: 5, lease_seconds: 9}\nwarehouses:",
         (":1:29: engine.heartbeat_seconds: must be less than half of engine.lease_seconds (9), "
          "got 5")),
        ("warehouses:", "engine: [1]\nwarehouses:",
         ":1:1: engine: must be a mapping of keys to values"),
        ("warehouses:", "notifications: {url: x}\nwarehouses:",
         ":1:1: notifications: must be a list: write - before each entry"),
        ("warehouses:", "notifications: [{url: 'https://h/x', on: [fialed]}]\nwarehouses:",
         (":1:43: notifications[0].on[0]: must be failed or held or failures or stale or recovered, got "
         "'fialed'; did you mean failed?")),
        ("warehouses:", "notifications: [{url: 'https://h/x', on: [recovered]}]\nwarehouses:",
         (":1:17: notifications[0]: recovered alone is never sent: add what a sync recovers from to on")),
        ("warehouses:", "notifications: [{url: 'https://h/x', failed_percent: 5}]\nwarehouses:",
         (":1:17: notifications[0]: failed_percent has no effect: add failures to its on, or remove the "
          "key")),
        ("warehouses:", "notifications: [{url: 'https://h/x', on: [failures], stale_hours: 24}]\nwarehouses:",
         ":1:17: notifications[0]: stale_hours has no effect: add stale to its on, or remove the key"),
        ("warehouses:", "notifications: [{url: 'https://h/x', on: [failures], failed_percent: 101}]\nwarehouses:",
         ":1:70: notifications[0].failed_percent: must be at most 100, got 101"),
        ("warehouses:", "notifications: [{url: 'https://h/x', on: [failures], failed_percent: -1}]\nwarehouses:",
         ":1:70: notifications[0].failed_percent: must be at least 0, got -1"),
        ("warehouses:", "notifications: [{url: 'https://h/x', on: [stale], stale_hours: 0}]\nwarehouses:",
         ":1:64: notifications[0].stale_hours: must be more than 0, got 0"),
        ("warehouses:", "notifications: [{url: 'https://h/x'}, {url: 'https://h/x'}]\nwarehouses:",
         ":1:45: notifications[1].url: is that of notifications[0]: put all events of it there"),
        *(("warehouses:", f"notifications: [{{url: 'https://{rest}'}}]\nwarehouses:",
           (":1:23: notifications[0].url: must be ASCII without spaces, and without a user name, a "
            "fragment (#) and a port that is none"))
          for rest in ("h/ä", "h/a b", "user:word@h/x", "h/x#y", "h:x/y", "h:99999/y")),
        ("warehouses:", "notifications: [{url: 'http://h/x'}]\nwarehouses:",
         (":1:23: notifications[0].url: must be an https URL (plain http is accepted for loopback "
         "only)")),
        ("    identifiers", "    mode: miror\n    identifiers",
         ":17:11: syncs.vips.mode: must be mirror or upsert, got 'miror'; did you mean mirror?"),
        ("    identifiers", "    retry_failed_records: maybe\n    identifiers",
         ":17:27: syncs.vips.retry_failed_records: must be true or false, got 'maybe'"),
        ("    identifiers", "    max_delete_percent: 101\n    identifiers",
         ":17:25: syncs.vips.max_delete_percent: must be at most 100, got 101"),
        ("    identifiers", "    observability: {snapshots_to_keep: 0}\n    identifiers",
         ":17:40: syncs.vips.observability.snapshots_to_keep: must be at least 1, got 0"),
        ("    identifiers", "    fields: {a: {column: x, value: 1}}\n    identifiers",
         (":17:14: syncs.vips.fields.a: must be a column name, or have either column or value")),
        ("    identifiers", "    fields: {a: {value: }}\n    identifiers",
         (":17:14: syncs.vips.fields.a: must be a column name, or have either column or value")),
        ("    identifiers", "    fields: {a: {value: 1, null: skip}}\n    identifiers",
         (":17:14: syncs.vips.fields.a: type and null belong to a column, not to a constant value")),
        ("table: vip", "table: analytics..vip",
         (":11:14: syncs.vips.source.table: has an empty part between its dots; write schema.table, "
          "got 'analytics..vip'")),
        ("table: vip", "query: select 1\n      table: vip",
         (":9:5: syncs.vips.source: must have exactly one of query, table and dbt_model")),
        ("      table: vip\n", "",
         (":9:5: syncs.vips.source: must have exactly one of query, table and dbt_model")),
        # --- schedules
        ("    identifiers", "    schedule: {type: basic, every: 4 minutes}\n    identifiers",
         ":17:36: syncs.vips.schedule.every: must be at least 5 minutes, got '4 minutes'"),
        ("    identifiers", "    schedule: {type: basic, every: 1 day, at: 24:00}\n    identifiers",
         (":17:47: syncs.vips.schedule.at: must be a UTC time of day as HH:MM, from 00:00 to 23:59, "
         "got '24:00'")),
        ("    identifiers", "    schedule: {type: basic}\n    identifiers",
         ":17:5: syncs.vips.schedule.every: this key is required"),
        ("    identifiers", "    schedule: {type: cron, expression: 60 * * * *}\n    identifiers",
         (":17:40: syncs.vips.schedule.expression: the minute field has a number outside 0 to 59, got "
         "'60 * * * *'")),
        ("    identifiers", "    schedule: {type: cron, expression: '@reboot'}\n    identifiers",
         (":17:40: syncs.vips.schedule.expression: names that begin with @ are @yearly, @annually, "
         "@monthly, @weekly, @daily, @midnight, @hourly, got '@reboot'")),
        ("    identifiers", "    schedule: {type: cron, expression: 0 0 */2 * 1}\n    identifiers",
         (":17:40: syncs.vips.schedule.expression: has a step on * in one of the two fields that choose "
         "days, and a choice in the other: cron programs disagree on whether one match is enough; "
         "write the days as numbers, got '0 0 */2 * 1'")),
        ("    identifiers", "    schedule: {type: crno, expression: 0 0 * * *}\n    identifiers",
         (":17:22: syncs.vips.schedule.type: must be basic or cron or manual, got 'crno'; did you mean "
         "cron?")),
        ("    identifiers", "    schedule: {every: 1 hour}\n    identifiers",
         ":17:5: syncs.vips.schedule: needs the key type"),
        # --- references
        ("warehouse: local", "warehouse: lcoal",
         (":10:18: syncs.vips.source.warehouse: there is no such warehouse, got 'lcoal'; did you mean "
         "local?")),
        ("name: crm", "name: crmm",
         (":14:13: syncs.vips.destination.name: there is no such destination, got 'crmm'; did you mean "
         "crm?")),
        ("object: group", "object: list",
         (":15:15: syncs.vips.destination.object: there is no such object, got 'list'; use one of: "
         "group, person")),
        ("type: small", "type: samll",
         ":5:11: destinations.crm.type: there is no such connector, got 'samll'; did you mean small?"),
        ("type: small", "type: [small]", ":5:5: destinations.crm.type: must be text"),
        ('url: "duckdb:///x.duckdb"', 'url: "duckdb:///x.duckdb", workspace: x',
         ":2:49: warehouses.local.workspace: there is no such warehouse, got 'x'; use one of: local"),
        ('url: "duckdb:///x.duckdb"', 'url: "duckdb:///x.duckdb", control: local',
         ":2:47: warehouses.local.control: names the warehouse itself; remove the key"),
        ('local: {url: "duckdb:///x.duckdb"}',
         ('local: {url: "duckdb:///x", workspace: b}\n  b: {url: "duckdb:///b", workspace: c}\n'
         '  c: {url: "duckdb:///c"}'),
         (":2:42: warehouses.local.workspace: names a warehouse that has a workspace itself; name that "
         "one")),
        # --- sense
        ("email: email", "mail: email",
         ":18:13: syncs.vips.identifiers.mail: mail finds nobody; use email"),
        ("type: small", "type: small\n    request_timeout_seconds: 30",
         (":6:30: destinations.crm.request_timeout_seconds: request_timeout_seconds must be less than "
         "engine.lease_seconds (30); lower it or raise the lease")),
        ("duckdb:///x.duckdb", "duckdb:///:memory:",
         (":2:16: warehouses.local.url: a DuckDB in memory forgets what was delivered; name a file, "
         "such as duckdb:///warehouse.duckdb")),
        ("duckdb:///x.duckdb", "duckdb://",
         (":2:16: warehouses.local.url: a DuckDB in memory forgets what was delivered; name a file, "
         "such as duckdb:///warehouse.duckdb")),
        ("duckdb:///x.duckdb", "duckdb://x.duckdb",
         ":2:16: warehouses.local.url: a DuckDB path follows three slashes: duckdb:///warehouse.duckdb"),
        ("duckdb:///x.duckdb", "duckdb:///~/x.duckdb",
         (":2:16: warehouses.local.url: ~ is not expanded here; write the whole path of the DuckDB "
         "file")),
        ("duckdb:///x.duckdb", "x.duckdb",
         ":2:16: warehouses.local.url: must be a SQLAlchemy URL such as duckdb:///warehouse.duckdb"),
        # --- names of syncs
        ("  vips:", "  Vips:", (":8:3: syncs.Vips: a sync name starts with a-z and has at most 40 "
         "characters out of a-z, 0-9 and _")),
        ("  vips:", "  a/b:", (":8:3: syncs.a/b: a sync name starts with a-z and has at most 40 "
         "characters out of a-z, 0-9 and _")),
        ("  vips:", "  vips_12:", (":8:3: syncs.vips_12: a sync name must not end in _ and digits: "
         "snapshot_NAME would be mistaken for a snapshot of another sync")),
        # --- variables
        ("table: vip", "table: ${NOPE}",
         (":11:14: syncs.vips.source.table: the environment variable NOPE is not set; set it, or write "
         "it into a file .env beside the config")),
        ("table: vip", "table: ${A-b}", (":11:14: syncs.vips.source.table: write a variable as ${NAME} "
         "or ${NAME:-default}, and a literal ${ as $${")),
        ("table: vip", 'table: "x ${A"', (":11:14: syncs.vips.source.table: write a variable as "
         "${NAME} or ${NAME:-default}, and a literal ${ as $${")),
        ("{id: 7}", '{id: "${NOPE}"}',
         (":16:19: syncs.vips.destination.group.id: the environment variable NOPE is not set; set it, "
         "or write it into a file .env beside the config")),
        ("type: small", "type: ${NOPE}",
         (":5:11: destinations.crm.type: the environment variable NOPE is not set; set it, or write it "
         "into a file .env beside the config")),
        ("    identifiers", '    schedule: {type: "${NOPE}"}\n    identifiers',
         (":17:22: syncs.vips.schedule.type: the environment variable NOPE is not set; set it, or "
         "write it into a file .env beside the config")),
    ],
)  # fmt: skip
def test_one_problem(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert problems(tmp_path, changed(old, new)) == [expected]


@pytest.mark.parametrize("name", ["a" * 40, "a", "a_1b", "a1", "v2_vips"])
def test_good_sync_names(tmp_path: Path, name: str) -> None:
    assert problems(tmp_path, changed("  vips:", f"  {name}:")) == []


@pytest.mark.parametrize("name", ["a" * 41, "a" * 200, "_a", "1a", "ä", "a-b", "a b", "vips_1"])
def test_bad_sync_names(tmp_path: Path, name: str) -> None:
    (line,) = problems(tmp_path, changed("  vips:", f"  {name}:"))
    assert line.startswith(":8:3: ")
    assert "a sync name" in line


@pytest.mark.parametrize("section", ["engine", "notifications"])
def test_an_optional_section_may_be_empty(tmp_path: Path, section: str) -> None:
    """Its lines are commented out, most likely."""
    assert problems(tmp_path, f"{section}:\n{CONFIG}") == []


def test_an_optional_key_may_be_empty(tmp_path: Path) -> None:
    extra = "    fields:\n    schedule:\n    observability:\n    mode:\n    max_delete_percent:\n"
    assert problems(tmp_path, CONFIG + extra) == []


def test_missing_sections(tmp_path: Path) -> None:
    assert problems(tmp_path, "destinations:\n") == [
        ":1:1: destinations: must not be empty",
        ":1:1: syncs: this key is required",
        ":1:1: warehouses: this key is required",
    ]


def test_a_config_without_syncs_warns(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"{CONFIG.partition('syncs:')[0]}syncs:\n", encoding="utf-8")
    config = load_config(path, {"KEY": "k-1"}, {"small": SmallConnector})
    assert config.warnings == [f"{path}:7:1: syncs: there is no sync yet"]


def test_all_problems_come_at_once_in_file_order(tmp_path: Path) -> None:
    content = """\
enginee: {}
warehouses:
  local: {url: nonsense, schmea: x}
destinations:
  crm: {type: small, region: west, max_in_flight: 0}
  bad: {type: nothing, api_key: "${NOPE}"}
syncs:
  Vips:
    source: {warehouse: other, table: t, query: q}
    destination: {name: crm, object: group, group: {id: x}, strict: perhaps}
    identifiers: {}
    mode: both
    mode: mirror
  fine:
    source: {warehouse: local, table: t, primary_key: id}
    destination: {name: nobody, object: group}
    identifiers: {email: email}
    schedule: {type: cron, expression: 0 0 31 2 *}
"""
    found = problems(tmp_path, content)
    assert [line.split(": ")[0] + " " + line.split(": ")[1] for line in found] == [
        ":1:1 enginee",
        ":3:16 warehouses.local.url",
        ":3:26 warehouses.local.schmea",
        ":5:30 destinations.crm.region",
        ":5:51 destinations.crm.max_in_flight",
        ":6:15 destinations.bad.type",
        ":6:33 destinations.bad.api_key",
        ":8:3 syncs.Vips",
        ":9:5 syncs.Vips.source.primary_key",
        ":9:25 syncs.Vips.source.warehouse",
        ":10:57 syncs.Vips.destination.group.id",
        ":10:69 syncs.Vips.destination.strict",
        ":11:5 syncs.Vips.identifiers",
        ":13:5 syncs.Vips.mode",
        ":16:25 syncs.fine.destination.name",
        ":18:40 syncs.fine.schedule.expression",
    ]


def test_long_values_are_cut(tmp_path: Path) -> None:
    (line,) = problems(
        tmp_path, changed("    identifiers", f"    mode: {'x' * 500}\n    identifiers")
    )
    assert len(line) < 200
    assert line.endswith("…")


SNIPPETS = st.sampled_from(
    [
        *": {}[]-\n\t'\"|>&*!%@`#,?~<$",
        "  ",
        "\n  ",
        "null",
        "${",
        "${A}",
        "${A:-x}",
        "*a",
        "&a ",
        "<<: ",
    ]
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    edits=st.lists(st.tuples(st.integers(0, len(CONFIG)), st.integers(0, 8), SNIPPETS), max_size=4)
)
def test_any_damage_is_a_config_error(tmp_path: Path, edits: list[tuple[int, int, str]]) -> None:
    content = CONFIG
    for start, length, snippet in edits:
        content = content[:start] + snippet + content[start + length :]
    for line in problems(tmp_path, content, {"A": "a"}):
        assert "\n" not in line
        assert len(line) < 600


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.binary(max_size=200))
def test_any_bytes_are_a_config_error(tmp_path: Path, content: bytes) -> None:
    assert problems(tmp_path, content) != []

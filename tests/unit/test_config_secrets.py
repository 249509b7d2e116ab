"""A canary key, put wherever a key may end up, never comes out of the loader."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from pydantic import SecretStr, field_validator

from reverse_etl.config import Config, load_config
from reverse_etl.connector import (
    AccountSettings,
    Connector,
    DestinationObject,
    DestinationSettings,
    FieldMapping,
    Problem,
)
from reverse_etl.errors import ConfigError

CANARY = "3f9aCANARYc0ffee1234567890abcdef"


class Account(AccountSettings):
    region: Literal["north", "south"] = "north"
    second_secret: SecretStr | None = None
    zone: str = "a"

    @field_validator("zone")
    @classmethod
    def _careless(cls, zone: str) -> str:
        """Repeat the value, as a connector of somebody else may do."""
        if len(zone) > 1:
            raise ValueError(f"the zone {zone} is too long")
        return zone

    def headers(self) -> Mapping[str, str]:
        if self.api_key is None:
            raise ConfigError(["no key"])
        return {"key": self.api_key.get_secret_value()}


class SmallConnector(Connector):
    account: ClassVar[type[AccountSettings]] = Account
    objects: ClassVar[Mapping[str, type[DestinationSettings]]] = {"person": DestinationSettings}

    def check(
        self,
        account: AccountSettings,
        settings: DestinationSettings,
        mapping: FieldMapping,
        mode: str,
    ) -> list[Problem]:
        del account, settings, mode
        return [
            Problem(("identifiers", name), f"{column} is no column for {name}")
            for name, column in mapping.identifiers.items()
            if column != "email"
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
  local:
    url: "duckdb:///x.duckdb"
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
      object: person
    identifiers:
      email: email
"""


def load(folder: Path, content: str, environ: Mapping[str, str] | None = None) -> Config:
    path = folder / "config.yaml"
    path.write_text(content, encoding="utf-8")
    path.chmod(0o600)
    return load_config(path, {"KEY": "k-1", **(environ or {})}, {"small": SmallConnector})


def everything(error: BaseException) -> str:
    """Return all that could be printed of an error."""
    return "\n".join([repr(error), str(error), *traceback.format_exception(error)])


IN_THE_FILE = [
    # the key itself, malformed
    ("api_key: ${KEY}", f"api_key: {CANARY} x"),
    ("api_key: ${KEY}", f'api_key: "{CANARY}\\nx"'),
    ("api_key: ${KEY}", f'api_key: "{CANARY}\\0"'),
    ("api_key: ${KEY}", f'api_key: "{CANARY}é"'),
    ("api_key: ${KEY}", f"api_key: [{CANARY}]"),
    ("api_key: ${KEY}", f"api_key: {{{CANARY}: 1}}"),
    ("api_key: ${KEY}", f"api_key: !{CANARY}"),
    ("api_key: ${KEY}", f"api_key: !!{CANARY} x"),
    ("api_key: ${KEY}", f"api_key: !{CANARY}!x y"),
    ("api_key: ${KEY}", f"api_key: *{CANARY}"),
    ("api_key: ${KEY}", f"api_key: &{CANARY} 1\n    region: &{CANARY} north"),
    ("api_key: ${KEY}", f"api_key: @{CANARY}"),
    ("api_key: ${KEY}", f"api_key: %{CANARY}"),
    ("api_key: ${KEY}", f"api_key: '{CANARY}"),
    ("api_key: ${KEY}", f'api_key: "{CANARY}\\q"'),
    ("api_key: ${KEY}", f"api_key: a: {CANARY}"),
    ("api_key: ${KEY}", f"api_key:{CANARY}"),
    ("api_key: ${KEY}", f"api_key={CANARY}"),
    ("api_key: ${KEY}", f"api_key: |{CANARY}"),
    ("api_key: ${KEY}", f"api_key: {CANARY}\n  bad: indent"),
    ("api_key: ${KEY}", f"\tapi_key: {CANARY}"),
    ("api_key: ${KEY}", f"api_key: {CANARY}\n    api_key: {CANARY}"),
    ("api_key: ${KEY}", f"api_key: {CANARY}\n    api_key_file: x"),
    ("api_key: ${KEY}", f"api_key: ${{{CANARY}"),
    ("api_key: ${KEY}", f"api_key: ${{{CANARY}}}"),
    ("api_key: ${KEY}", f"api_key: ${{KEY:-{CANARY} x}}{CANARY} y"),
    # a slip in the key's name, or in its place
    ("api_key: ${KEY}", f"api_kye: {CANARY}"),
    ("api_key: ${KEY}", f"Api-Key: {CANARY}"),
    ("api_key: ${KEY}", f"auth: {{token: {CANARY}}}"),
    ("api_key: ${KEY}", f"? {CANARY}\n    : x"),
    ("api_key: ${KEY}", f"? [{CANARY}]\n    : x"),
    ("api_key: ${KEY}", f"<<: {CANARY}"),
    ("api_key: ${KEY}", f"api_key: k\n    second_secret: [{CANARY}]"),
    ("api_key: ${KEY}", f"api_key: k\n    second_secret: {{a: {CANARY}}}"),
    ("api_key: ${KEY}", f"api_key: k\n    base_url: [{CANARY}]"),
    ("    type: small\n    api_key: ${KEY}", f"    {{type: small, api_key:{CANARY}}}"),
    ("    type: small\n    api_key: ${KEY}", f"    {CANARY}"),
    ("    type: small\n    api_key: ${KEY}", f"    - {CANARY}"),
    ("    type: small", f"    type: samll\n    second_secret: {CANARY}"),
    # passwords in URLs
    ('"duckdb:///x.duckdb"', f"postgresql//u:{CANARY}@h/db"),
    ('"duckdb:///x.duckdb"', f"duckdb://u:{CANARY}@h/db"),
    ('"duckdb:///x.duckdb"', f"[postgresql://u:{CANARY}@h/db]"),
    ('"duckdb:///x.duckdb"', f"postgresql://u:{CANARY}@h/db\n    shcema: {CANARY}"),
    ("warehouses:", f"notifications:\n  - url: http://hooks.example.com/{CANARY}\nwarehouses:"),
    ("warehouses:", f"notifications:\n  - url: http://[{CANARY}\nwarehouses:"),
    ("warehouses:", f"notifications:\n  - url: https://h/{CANARY} x\nwarehouses:"),
    (
        "warehouses:",
        f"notifications: [{{url: https://h/{CANARY}}}, {{url: https://h/{CANARY}}}]\nwarehouses:",
    ),
    (
        "warehouses:",
        f"notifications:\n  - {{url: https://h/{CANARY}, stale_hours: 2}}\nwarehouses:",
    ),
    ("warehouses:", f"notifications:\n  - {CANARY}\nwarehouses:"),
    ("warehouses:", f"notifications: {CANARY}\nwarehouses:"),
]


@pytest.mark.parametrize(("old", "new"), IN_THE_FILE)
def test_a_secret_in_the_file_is_never_shown(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    old: str,
    new: str,
) -> None:
    assert CONFIG.count(old) == 1
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, CONFIG.replace(old, new))
    captured = capsys.readouterr()
    shown = everything(caught.value) + caplog.text + captured.out + captured.err
    assert CANARY not in shown
    # Not a piece of it either: a message may have been cut.
    assert "CANARY" not in shown


IN_THE_ENVIRONMENT = [
    "    mode: ${X}\n",
    "    retry_failed_records: ${X}\n",
    "    max_delete_percent: ${X}\n",
    "    observability: {snapshots_to_keep: '${X}'}\n",
    "    observability: '${X}'\n",
    "    fields: {a: {null: '${X}', column: b}}\n",
    "    fields: ${X}\n",
    "    schedule: {type: '${X}'}\n",
    "    schedule: {type: basic, every: '${X}'}\n",
    "    schedule: {type: basic, every: 1 day, at: '${X}'}\n",
    "    schedule: {type: cron, expression: '${X}'}\n",
    "engine: {lease_seconds: '${X}'}\n",
    "engine: ${X}\n",
    "notifications: ['${X}']\n",
    "notifications: [{url: '${X}'}]\n",
    "notifications: [{url: 'https://h/', on: ['${X}']}]\n",
    "notifications: [{url: 'https://h/', format: '${X}'}]\n",
    "notifications: [{url: 'https://h/', on: [failures], failed_percent: '${X}'}]\n",
]


@pytest.mark.parametrize("value", [CANARY, "miror", "every 1 CANARY", "CANARY"])
@pytest.mark.parametrize("extra", IN_THE_ENVIRONMENT)
def test_a_value_from_the_environment_is_never_shown(
    tmp_path: Path, extra: str, value: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, CONFIG + extra, {"X": value})
    assert value not in everything(caught.value)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "warehouse: local",
            "warehouse: ${X}",
            (
                "syncs.vips.source.warehouse: there is no such warehouse (from ${X}); "
                "use one of: local"
            ),
        ),
        (
            "name: crm",
            "name: ${X}",
            (
                "syncs.vips.destination.name: there is no such destination (from ${X}); "
                "use one of: crm"
            ),
        ),
        (
            "type: small",
            "type: ${X}",
            "destinations.crm.type: there is no such connector (from ${X}); use one of: small",
        ),
        (
            "object: person",
            "object: ${X}",
            (
                "syncs.vips.destination.object: there is no such object (from ${X}); "
                "use one of: person"
            ),
        ),
        (
            "type: small",
            "type: small\n    region: ${X}",
            "destinations.crm.region: must be north or south (from ${X})",
        ),
        # what a connector says of it is cleaned
        (
            "type: small",
            "type: small\n    zone: ${X}",
            "destinations.crm.zone: the zone ${X} is too long (from ${X})",
        ),
        (
            "email: email",
            "email: ${X}",
            "syncs.vips.identifiers.email: ${X} is no column for email",
        ),
    ],
)
@pytest.mark.parametrize("value", [CANARY, "xy", "smal"])
def test_messages_name_the_variable_instead(
    tmp_path: Path, value: str, old: str, new: str, expected: str
) -> None:
    assert CONFIG.count(old) == 1
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, CONFIG.replace(old, new), {"X": value})
    (line,) = caught.value.problems
    assert line.split(": ", 1)[1] == expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("", "the API key is empty (from ${KEY}); set it"),
        ("  \n", "the API key is empty (from ${KEY}); set it"),
        (
            f"{CANARY} {CANARY}",
            "the API key has white space or characters outside ASCII (from ${KEY}); copy it again",
        ),
        (
            f"{CANARY}\u2028",
            "the API key has white space or characters outside ASCII (from ${KEY}); copy it again",
        ),
        (
            f"{CANARY}\x7f",
            "the API key has white space or characters outside ASCII (from ${KEY}); copy it again",
        ),
    ],
)
def test_bad_keys_from_the_environment(tmp_path: Path, key: str, expected: str) -> None:
    if key.endswith("\u2028"):
        key += "x"  # else it would be stripped as white space
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, CONFIG, {"KEY": key})
    assert caught.value.problems == [
        f"{tmp_path / 'config.yaml'}:7:14: destinations.crm.api_key: {expected}"
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, ("cannot be read (No such file or directory); check the path, relative to the "
         "config, got 'key.txt'")),
        (b"", "the API key is empty; set it"),
        (b" \r\n", "the API key is empty; set it"),
        (f"{CANARY}\n{CANARY}\n".encode(), ("the API key has white space or characters outside "
         "ASCII; copy it again")),
        (CANARY.encode("utf-16"), ("the API key has white space or characters outside ASCII; copy "
         "it again")),
        (b"a" * 70_000 + b" ", "the API key is too long"),
    ],
    # The name of a test is in its paths, which must be free of the canary.
    ids=["missing", "empty", "blank", "two lines", "UTF-16", "huge"],
)  # fmt: skip
def test_bad_key_files(tmp_path: Path, content: bytes | None, expected: str) -> None:
    if content is not None:
        (tmp_path / "key.txt").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, CONFIG.replace("api_key: ${KEY}", "api_key_file: key.txt"))
    assert caught.value.problems == [
        f"{tmp_path / 'config.yaml'}:7:19: destinations.crm.api_key_file: {expected}"
    ]
    assert "CANARY" not in everything(caught.value)


def test_a_folder_is_no_key_file(tmp_path: Path) -> None:
    (tmp_path / "key.txt").mkdir()
    with pytest.raises(ConfigError, match=r"cannot be read \(Is a directory\)"):
        load(tmp_path, CONFIG.replace("api_key: ${KEY}", "api_key_file: key.txt"))


@pytest.mark.parametrize("literal", [CANARY, f"${{NONE:-{CANARY}}}"])
def test_a_literal_key_works_and_warns(tmp_path: Path, literal: str) -> None:
    config = load(tmp_path, CONFIG.replace("${KEY}", literal))
    assert config.account("crm").headers() == {"key": CANARY}
    assert config.warnings == [
        (
            f"{tmp_path / 'config.yaml'}:7:14: destinations.crm.api_key: the key is written in the "
            "config; use ${NAME} or api_key_file, so that the file can be shared"
        )
    ]


def test_a_key_is_stripped(tmp_path: Path) -> None:
    config = load(tmp_path, CONFIG, {"KEY": f" {CANARY}\r\n"})
    assert config.account("crm").headers() == {"key": CANARY}
    assert config.warnings == []


def test_a_valid_config_does_not_show_its_secrets(tmp_path: Path) -> None:
    content = (
        CONFIG.replace('"duckdb:///x.duckdb"', f"postgresql://u:{CANARY}@h/db")
        + f"notifications: [{{url: 'https://h/{CANARY}'}}]\n"
    )
    config = load(tmp_path, content, {"KEY": CANARY})
    assert config.account("crm").headers() == {"key": CANARY}
    shown: list[Any] = [config, config.warehouses, config.destinations, config.notifications]
    shown += [config.account("crm").model_dump_json(), config.warehouses["local"].model_dump()]
    assert all(CANARY not in f"{value!r} {value!s}" for value in shown)


def test_env_file_with_a_secret_and_bad_lines(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for content in (f"'{CANARY}\nOTHER={CANARY}\n".encode(), f"A={CANARY}\xff".encode("latin-1")):
        (tmp_path / ".env").write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            load(tmp_path, CONFIG)
        assert CANARY not in everything(caught.value) + caplog.text

"""Reads a config file: YAML, environment, key files, connectors, cross references.

:func:`load_config` reports everything that is wrong at once. Nothing is contacted.
"""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

from dotenv.parser import parse_stream
from pydantic import BaseModel, SecretStr, ValidationError

from reverse_etl.config.dbt.manifest import Manifest, Manifests
from reverse_etl.config.document import Document, KeyPath, UnreadableError, decode, parse
from reverse_etl.config.explain import Problems, show_value, show_variables
from reverse_etl.config.registry import Registry, UnusableConnectorError
from reverse_etl.config.schema import (
    DEFAULT_FILE,
    DEFAULT_WORKSPACE,
    Config,
    EngineConfig,
    NotificationConfig,
    SyncConfig,
    WarehouseConfig,
    did_you_mean,
)
from reverse_etl.connector import AccountSettings, Connector, DestinationSettings
from reverse_etl.errors import ConfigError

PATH_VARIABLE = "REVERSE_ETL_CONFIG"
SECTIONS = ("warehouses", "destinations", "engine", "notifications", "syncs")

_MAX_KEY_CHARACTERS = 4_096  # of an API key; a header may not be much longer
_API_KEY = re.compile(r"[!-~]+", re.ASCII)
_URL_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9_]*)(?:\+[A-Za-z0-9_]+)?://", re.ASCII)
_DUCKDB_URL = re.compile(r"(?P<scheme>[^:]+)://(?P<host>[^/?]*)(?:/(?P<path>[^?]*))?(?P<query>.*)")
# As SQLAlchemy reads it: a password ends at the first @.
_SERVER_URL = re.compile(
    r"[^:]+://(?:[^:/]*(?::(?P<password>[^@]*))?@)?(?P<host>\[[^\]/?@]*\]|[^\[/:?@]*)(?::(?P<port>[0-9]*))?"
    r"(?:/[^?@]*)?(?:[?].*)?",
    re.DOTALL,
)

M = TypeVar("M", bound=BaseModel)


def find_config(option: Path | None, environ: Mapping[str, str]) -> Path:
    """Return the config file to use.

    That is ``--config``, else ``REVERSE_ETL_CONFIG``, else ``config.yaml`` here.
    """
    return option or Path(environ.get(PATH_VARIABLE) or DEFAULT_FILE)


def load_config(
    path: Path | str,
    environ: Mapping[str, str] = os.environ,
    connectors: Mapping[str, type[Connector]] | None = None,
) -> Config:
    """Read and check a config file, without contacting anything.

    Args:
        path: The file.
        environ: The environment; it wins over a ``.env`` beside the file.
        connectors: Replaces the installed connectors.

    Raises:
        ConfigError: The file cannot be used; the error has one line for each problem.
    """
    path = Path(path)
    variables = {**read_env_file(path.parent / ".env"), **environ}
    document = _read_document(path, variables)
    return _Load(path, document, Registry(connectors)).config()


def _read_document(path: Path, variables: Mapping[str, str]) -> Document:
    """Return the values of the file, or raise with the one reason why there are none."""
    try:
        document = parse(decode(path.read_bytes()), variables)
    except OSError as error:
        line = (
            f"{path}: cannot be read ({error.strerror}); `reverse-etl init` writes one to begin "
            f"with, or name yours with --config PATH or {PATH_VARIABLE}"
        )
    except UnreadableError as error:
        where = error.position
        line = f"{path}:{where.line}:{where.column}: {error}" if where else f"{path}: {error}"
    else:
        if isinstance(document.value, dict) or document.faults:
            return document
        is_empty = document.value is None
        what = "the config is empty" if is_empty else "the config is not a mapping of keys"
        sections = ", ".join(SECTIONS)
        line = f"{path}:1:1: {what}; it needs {sections} (`reverse-etl init` writes one)"
    raise ConfigError([line])


def read_env_file(path: Path) -> dict[str, str]:
    """Return the variables of a ``.env`` file, none when there is no file.

    Raises:
        ConfigError: It cannot be read; one line for each line that is wrong, without a word of it.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except OSError as error:
        line = f"{path}: cannot be read ({error.strerror}); make it readable or remove it"
    except UnicodeDecodeError:
        line = f"{path}: is not UTF-8; save it as UTF-8"
    else:
        return _env_variables(path, text)
    raise ConfigError([line])


def _env_variables(path: Path, text: str) -> dict[str, str]:
    """Return the variables of the text of a ``.env`` file."""
    variables, problems = dict[str, str](), list[str]()
    for found in parse_stream(io.StringIO(text)):
        if found.error:
            # The empty lines before it count as the beginning of a statement.
            statement = found.original.string
            above = statement[: len(statement) - len(statement.lstrip())].count("\n")
            problems.append(
                f"{path}:{found.original.line + above}: must be NAME=VALUE: no space in the name, "
                "each quote closed, and after a closing quote nothing but a comment (#)"
            )
        elif found.key is not None and found.value is not None:
            variables[found.key] = found.value
    if problems:
        raise ConfigError(problems)
    return variables


class _Load:
    """One reading of one file: section by section, then what needs several of them."""

    def __init__(self, path: Path, document: Document, registry: Registry) -> None:
        self._path = path
        self._folder = path.absolute().parent
        self._document = document
        self._registry = registry
        self._problems = Problems(str(path), document)
        self._manifests = Manifests()
        self._warnings: list[str] = []
        self._literals: list[KeyPath] = []
        self._connectors: dict[str, Connector] = {}
        for variables in document.variables.values():
            for name, value in variables.items():
                self._problems.hide(value, f"${{{name}}}")

    def config(self) -> Config:
        """Return the config, or raise with all problems."""
        self._check_sections()
        warehouses = self._warehouses()
        destinations = self._destinations()
        engine = self._engine()
        notifications = self._notifications()
        syncs = self._syncs(destinations)
        self._check_timeouts(destinations, engine)
        lines = self._problems.lines()
        if lines:
            raise ConfigError(lines)
        self._warn_of_readers()
        self._warn_of_rivals(destinations, syncs)
        return Config(
            path=self._path,
            warehouses=warehouses,
            destinations=destinations,
            engine=engine,
            notifications=notifications,
            syncs=syncs,
            warnings=self._warnings,
            connectors=self._connectors,
        )

    # --- sections ---------------------------------------------------------------------------

    def _check_sections(self) -> None:
        """Note unknown and missing keys at the top of the file."""
        top = self._mapping(())
        for key in top:
            if key not in SECTIONS:
                message = f"unknown key; {did_you_mean(key, SECTIONS)}"
                self._problems.add((key,), message, on_key=True)
        for key in ("warehouses", "destinations", "syncs"):
            if key not in top:
                self._problems.add((key,), "this key is required")
            elif top[key] is None and key != "syncs":
                self._problems.add((key,), "must not be empty")
        if "syncs" in top and not top["syncs"]:
            self._warnings.append(self._problems.line(("syncs",), "there is no sync yet"))

    def _warehouses(self) -> dict[str, WarehouseConfig]:
        """Return the warehouses that are valid, with the workspace that need not be named."""
        found = {}
        names = self._mapping(("warehouses",))
        for name, path in self._entries("warehouses"):
            raw = self._mapping(path)
            self._check_url(raw, (*path, "url"))
            warehouse = self._validate(WarehouseConfig, raw, path)
            for key in ("workspace", "control"):
                self._check_other_warehouse(name, raw.get(key), (*path, key), names)
            if warehouse is not None:
                found[name] = warehouse
        if any(warehouse.workspace == DEFAULT_WORKSPACE for warehouse in found.values()):
            url = absolute_url("duckdb:///reverse_etl_workspace.duckdb", self._folder)
            found.setdefault(DEFAULT_WORKSPACE, WarehouseConfig(url=SecretStr(url)))
        return found

    def _check_url(self, raw: dict[str, Any], path: KeyPath) -> None:
        """Check the form of a warehouse URL and make a DuckDB path absolute, in place."""
        url = raw.get("url")
        if not isinstance(url, str):
            return
        if "@" in url:  # a user name, and most likely a password
            self._problems.hide(url, "(the URL)")
        written = _SERVER_URL.fullmatch(self._document.templates.get(path, url).strip())
        if written is not None and written["password"] and "${" not in written["password"]:
            self._literals.append(path)
        try:
            raw["url"] = absolute_url(url.strip(), self._folder)
        except ValueError as error:
            self._problems.add(path, str(error))

    def _check_other_warehouse(
        self, name: str, other: object, path: KeyPath, names: Mapping[str, Any]
    ) -> None:
        """Check that ``workspace`` or ``control`` names a warehouse that keeps its own tables."""
        needs_no_block = path[-1] == "workspace" and other == DEFAULT_WORKSPACE != name
        if not isinstance(other, str) or (needs_no_block and other not in names):
            return
        if other == name:
            self._problems.add(path, "names the warehouse itself; remove the key")
        elif self._check_reference(path, other, names, "warehouse"):
            target = names[other]
            if isinstance(target, dict) and target.get(path[-1]) is not None:
                message = f"names a warehouse that has a {path[-1]} itself; name that one"
                self._problems.add(path, message)

    def _destinations(self) -> dict[str, AccountSettings]:
        """Return the accounts that are valid."""
        accounts = ((name, self._account(path)) for name, path in self._entries("destinations"))
        return {name: account for name, account in accounts if account is not None}

    def _account(self, path: KeyPath) -> AccountSettings | None:
        """Return the account at the path, validated by its connector."""
        raw = self._mapping(path)
        connector = self._connector(path, raw)
        self._read_api_key(path, raw)
        account = None if connector is None else self._validate(connector.account, raw, path)
        if account is not None and account.api_key is None and account.api_key_file is None:
            self._check_keyless(path, account)
        return account

    def _connector(self, path: KeyPath, raw: Mapping[str, Any]) -> Connector | None:
        """Return the connector that the destination at the path asks for."""
        kind = raw.get("type")
        path = (*path, "type")
        if kind is None:
            installed = ", ".join(self._registry.names()) or "none is installed"
            self._problems.add(path, f"this key is required; connectors: {installed}")
        elif not isinstance(kind, str):
            self._problems.add(path, "must be text")
        elif self._check_reference(path, kind, self._registry.names(), "connector"):
            try:
                return self._connectors.setdefault(kind, self._registry.get(kind)())
            except UnusableConnectorError as error:
                self._problems.add(path, str(error))
        return None

    def _engine(self) -> EngineConfig:
        """Return the engine settings, the defaults where they are invalid."""
        return self._validate(EngineConfig, self._mapping(("engine",)), ("engine",)) or (
            EngineConfig()
        )

    def _notifications(self) -> tuple[NotificationConfig, ...]:
        """Return the notifications that are valid."""
        raw = self._document.at(("notifications",))
        if raw is not None and not isinstance(raw, list):
            self._problems.add(("notifications",), "must be a list: write - before each entry")
            return ()
        found = []
        for index, value in enumerate(raw or []):
            path: KeyPath = ("notifications", index)
            if isinstance(value, dict):
                found.append(self._validate(NotificationConfig, value, path))
            else:
                self._problems.add(path, "must be a mapping of keys to values")
        self._check_each_url_once(raw or [])
        return tuple(notification for notification in found if notification is not None)

    def _check_each_url_once(self, notifications: list[Any]) -> None:
        """Check that no two entries have one URL: what it was told last is known by its URL."""
        first: dict[str, int] = {}
        for index, value in enumerate(notifications):
            url = value.get("url") if isinstance(value, dict) else None
            if isinstance(url, str) and first.setdefault(url, index) != index:
                message = f"is that of notifications[{first[url]}]: put all events of it there"
                self._problems.add(("notifications", index, "url"), message)

    def _syncs(self, destinations: Mapping[str, AccountSettings]) -> dict[str, SyncConfig]:
        """Return the syncs that are valid."""
        syncs = (
            (name, self._sync(name, path, destinations)) for name, path in self._entries("syncs")
        )
        return {name: sync for name, sync in syncs if sync is not None}

    # --- one sync ---------------------------------------------------------------------------

    def _sync(
        self, name: str, path: KeyPath, destinations: Mapping[str, AccountSettings]
    ) -> SyncConfig | None:
        """Return one sync, checked by itself, against the other sections and by its connector."""
        raw = self._mapping(path)
        if "name" in raw:
            message = "unknown key; the name of a sync is its key under syncs"
            self._problems.add((*path, "name"), message, on_key=True)
        settings = self._settings((*path, "destination"))
        if raw.get("destination") is not None:
            # A faulty destination is reported by now; the rest is checked with a stand-in.
            raw["destination"] = settings or DestinationSettings(name="-", object="-")
        self._check_source_warehouse((*path, "source", "warehouse"))
        sync = self._validate(SyncConfig, {**raw, "name": name}, path)
        if sync is None or settings is None:
            return None
        account = destinations.get(settings.name)
        if account is not None:
            self._check_by_connector(path, account, sync)
        return self._resolve_dbt_model(path, sync).placed(self._places(path))

    def _places(self, path: KeyPath) -> dict[str, str]:
        """Return where the keys of a sync stand, by their path below it."""
        found = {}
        for key in self._keys_by_sync.get(path, ()):
            where = self._document.position(key)
            name = ".".join(map(str, key[len(path) :]))
            found[name] = f"{self._path}:{where.line}:{where.column}"
        return found

    @cached_property
    def _keys_by_sync(self) -> dict[KeyPath, list[KeyPath]]:
        """Return the paths of the file by the sync that they are below, looked through once."""
        found: dict[KeyPath, list[KeyPath]] = {}
        for key in self._document.positions:
            sync = key[:2]
            if len(key) > len(sync) and sync[0] == "syncs":
                found.setdefault(sync, []).append(key)
        return found

    def _settings(self, path: KeyPath) -> DestinationSettings | None:
        """Return the destination of a sync, validated by the model of its object."""
        if self._document.at(path) is None:
            return None  # reported as missing with the other keys of the sync
        raw = self._mapping(path)
        if not self._has_keys(path, raw, ("name", "object")):
            return None
        accounts = self._document.at(("destinations",))
        known = accounts if isinstance(accounts, dict) else {}
        if not self._check_reference((*path, "name"), raw["name"], known, "destination"):
            return None
        kind = self._document.at(("destinations", raw["name"], "type"))
        connector = self._connectors.get(kind) if isinstance(kind, str) else None
        if connector is None:
            return None  # reported at the destination
        objects = connector.objects
        if not self._check_reference((*path, "object"), raw["object"], objects, "object"):
            return None
        return self._validate(objects[raw["object"]], raw, path)

    def _has_keys(self, path: KeyPath, raw: Mapping[str, Any], keys: Sequence[str]) -> bool:
        """Whether these keys hold text; note those that do not."""
        complete = True
        for key in keys:
            if raw.get(key) is None:
                self._problems.add((*path, key), "this key is required")
            elif not isinstance(raw[key], str):
                self._problems.add((*path, key), "must be text; put it in quotes")
            complete = complete and isinstance(raw.get(key), str)
        return complete

    def _check_source_warehouse(self, path: KeyPath) -> None:
        """Check that the warehouse of a source exists."""
        name = self._document.at(path)
        known = self._document.at(("warehouses",))
        if isinstance(name, str) and isinstance(known, dict):
            self._check_reference(path, name, known, "warehouse")

    def _check_by_connector(
        self, path: KeyPath, account: AccountSettings, sync: SyncConfig
    ) -> None:
        """Note what the connector says of the settings taken together."""
        connector = self._connectors[account.type]
        for problem in connector.check(account, sync.destination, sync.mapping, sync.mode):
            self._problems.add_foreign((*path, *problem.path), problem.message)

    def _resolve_dbt_model(self, path: KeyPath, sync: SyncConfig) -> SyncConfig:
        """Return the sync with the table of its dbt model filled in."""
        source = sync.source
        if source.dbt_model is None:
            return sync
        file = self._folder / source.dbt_manifest
        place = (*path, "source", "dbt_model")
        try:
            manifest = self._manifests.at(file)
        except ValueError as error:
            self._problems.add(self._place_of_manifest(path), str(error))
            return sync
        try:
            node = manifest.find(source.dbt_model)
        except ValueError as error:
            self._problems.add(place, str(error))
            return sync
        if node is None:
            known = manifest.like(source.dbt_model)
            self._add_unknown(place, source.dbt_model, known, f"dbt model in {file}")
            return sync
        self._warn_of_adapter(path, source.warehouse, manifest)
        return sync.model_copy(update={"source": source.resolved(node, file)})

    def _place_of_manifest(self, path: KeyPath) -> KeyPath:
        """Return which key of a sync says where the manifest is."""
        place = (*path, "source", "dbt_manifest")
        return place if place in self._document.positions else (*path, "source", "dbt_model")

    def _warn_of_adapter(self, path: KeyPath, warehouse: str, manifest: Manifest) -> None:
        """Warn when dbt built the model in another engine than the one it is read from.

        No error: a DuckDB that dbt runs in may well write into a PostgreSQL.
        """
        url = self._document.at(("warehouses", warehouse, "url"))
        scheme = _URL_SCHEME.match(url.strip()) if isinstance(url, str) else None
        if scheme is not None and not manifest.is_for(scheme[1]):
            message = (
                f"{manifest.path} was written for {manifest.adapter}, and warehouse {warehouse} is "
                f"{scheme[1]}; name the warehouse that dbt builds in"
            )
            self._warnings.append(self._problems.line(self._place_of_manifest(path), message))

    # --- secrets ----------------------------------------------------------------------------

    def _read_api_key(self, path: KeyPath, raw: dict[str, Any]) -> None:
        """Put the API key of an account into ``raw``, stripped and checked."""
        key, file = raw.get("api_key"), raw.get("api_key_file")
        source = (*path, "api_key")
        if key is not None and file is not None:
            self._problems.add(source, "is given twice; remove it or api_key_file")
        elif isinstance(file, str):
            source = (*path, "api_key_file")
            raw["api_key_file"] = str(self._folder / file)
            key = self._read_key_file(source, self._folder / file)
        elif isinstance(key, str) and not self._document.variables.get(source):
            message = (
                "the key is written in the config; use ${NAME} or api_key_file, so that the "
                "file can be shared"
            )
            self._warnings.append(self._problems.line(source, message))
            self._literals.append(source)
        if isinstance(key, str):
            raw["api_key"] = self._checked_key(source, key.strip())

    def _warn_of_readers(self) -> None:
        """Warn once when a secret stands in a file that not only its owner may read."""
        if self._literals and self._path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
            message = (
                "others on this machine may read this file, and the secret in it; "
                f"run: chmod 600 {self._path}"
            )
            self._warnings.append(self._problems.line(min(self._literals), message))

    def _warn_of_rivals(
        self, destinations: Mapping[str, AccountSettings], syncs: Mapping[str, SyncConfig]
    ) -> None:
        """Warn of two syncs that keep one thing equal to two queries."""
        first: dict[tuple[str, ...], SyncConfig] = {}
        for name, sync in syncs.items():
            whole = sync.destination.whole()
            if whole is None:
                continue
            account = destinations[sync.destination.name]
            # Two projects may each have a list of that name; a key is of one project.
            key = account.api_key.get_secret_value() if account.api_key else ""
            other = first.setdefault((account.type, account.url(), key, *whole), sync)
            if other is not sync and "mirror" in {sync.mode, other.mode}:
                message = (
                    f"the sync {other.name} writes to the same {whole[0]} ({whole[1]}): one in "
                    "mode: mirror takes off whom it has added, though the other one wants them. "
                    "Write one query for both, or use mode: upsert in both"
                )
                path = ("syncs", name, "destination", whole[0])
                self._warnings.append(self._problems.line(path, message))

    def _check_keyless(self, path: KeyPath, account: AccountSettings) -> None:
        """Note a missing key, where the connector cannot do without one."""
        try:
            account.headers()
        except ConfigError:
            message = "an API key is required: write api_key: ${NAME}, or api_key_file: PATH"
            self._problems.add((*path, "api_key"), message)

    def _read_key_file(self, path: KeyPath, file: Path) -> str | None:
        """Return the text of a key file, or None when it has none."""
        try:
            with file.open("rb") as stream:
                data = stream.read(_MAX_KEY_CHARACTERS + 1)
        except OSError as error:
            message = f"cannot be read ({error.strerror}); check the path, relative to the config"
            self._problems.add(path, message + show_value(self._document, path))
            return None
        except ValueError:  # a NUL in the path
            self._problems.add(path, "is no path")
            return None
        # Bytes that are not ASCII become characters that the check of the key refuses.
        return data.decode("latin-1")

    def _checked_key(self, path: KeyPath, key: str) -> str:
        """Check that a key can stand in an HTTP header; never repeat any of it."""
        self._problems.hide(key, "(the API key)")
        origin = show_variables(self._document, path)
        if not key:
            self._problems.add(path, f"the API key is empty{origin}; set it")
        elif len(key) > _MAX_KEY_CHARACTERS:
            self._problems.add(path, f"the API key is too long{origin}")
        elif not _API_KEY.fullmatch(key):
            message = f"the API key has white space or characters outside ASCII{origin}"
            self._problems.add(path, f"{message}; copy it again")
        return key

    # --- over several sections --------------------------------------------------------------

    def _check_timeouts(
        self, destinations: Mapping[str, AccountSettings], engine: EngineConfig
    ) -> None:
        """A request must be over before another run can take the lease."""
        for name, account in destinations.items():
            timeout = account.request_timeout_seconds
            if timeout is not None and timeout >= engine.lease_seconds:
                message = (
                    "request_timeout_seconds must be less than engine.lease_seconds "
                    f"({engine.lease_seconds:g}); lower it or raise the lease"
                )
                self._problems.add(("destinations", name, "request_timeout_seconds"), message)

    # --- pieces -----------------------------------------------------------------------------

    def _mapping(self, path: KeyPath) -> dict[str, Any]:
        """Return a copy of the mapping at the path; note when it is something else."""
        value = self._document.at(path)
        if isinstance(value, dict):
            return dict(value)
        if value is not None:
            self._problems.add(path, "must be a mapping of keys to values")
        return {}

    def _entries(self, section: str) -> list[tuple[str, KeyPath]]:
        """Return name and path of each entry of a section; note those that are no mappings."""
        entries: list[tuple[str, KeyPath]] = []
        for name, value in self._mapping((section,)).items():
            path = (section, name)
            if isinstance(value, dict):
                entries.append((name, path))
            else:
                self._problems.add(path, "must be a mapping of keys to values")
        return entries

    def _validate(self, model: type[M], raw: Mapping[str, Any], path: KeyPath) -> M | None:
        """Return the section as a model, or None when it is invalid."""
        try:
            return model.model_validate(dict(raw))
        except ValidationError as error:
            details = error.errors(include_input=False, include_url=False)
        self._problems.add_details(model, details, path)
        return None

    def _check_reference(
        self, path: KeyPath, name: str, known: Mapping[str, Any] | Sequence[str], kind: str
    ) -> bool:
        """Whether ``name`` is one of the known ones; note the closest one when it is not."""
        if name in known:
            return True
        self._add_unknown(path, name, known, kind)
        return False

    def _add_unknown(self, path: KeyPath, name: str, known: Iterable[str], kind: str) -> None:
        """Note that there is no such thing, and the closest one."""
        shown = show_value(self._document, path)
        # A value from the environment is not shown, so neither is what it resembles.
        hint = did_you_mean(name if shown.startswith(",") else "", known)
        self._problems.add(path, f"there is no such {kind}{shown}; {hint}")


def absolute_url(url: str, folder: Path) -> str:
    """Return a warehouse URL with the path of a DuckDB file made absolute.

    Args:
        url: SQLAlchemy URL.
        folder: Where a relative path starts.

    Raises:
        ValueError: It is no URL, names no server, or a DuckDB that lives in memory only; the
            text has no part of the URL, which may hold a password.
    """
    scheme = _URL_SCHEME.match(url)
    if scheme is None:
        raise ValueError("must be a SQLAlchemy URL such as duckdb:///warehouse.duckdb")
    if scheme[1] != "duckdb":
        if _SERVER_URL.fullmatch(url) is None:
            # Else the rest of the password would be taken for a host, and shown as one.
            raise ValueError(
                "must be SCHEME://USER:PASSWORD@HOST:PORT/DATABASE, with special characters of "
                "the password percent-encoded: @ is %40, : is %3A, / is %2F"
            )
        return url
    match = _DUCKDB_URL.fullmatch(url)
    if match is None or match["host"]:
        raise ValueError("a DuckDB path follows three slashes: duckdb:///warehouse.duckdb")
    name = unquote(match["path"] or "")
    if not name or name.startswith(":memory:"):
        raise ValueError(
            "a DuckDB in memory forgets what was delivered; name a file, "
            "such as duckdb:///warehouse.duckdb"
        )
    if name.startswith(("md:", "motherduck:")):
        return url
    if name.startswith("~"):
        raise ValueError("~ is not expanded here; write the whole path of the DuckDB file")
    # SQLAlchemy 2.1 decodes %XX in the path, and a bare ? would start the options.
    path = str(folder / name).replace("%", "%25").replace("?", "%3F")
    return f"{match['scheme']}:///{path}{match['query']}"

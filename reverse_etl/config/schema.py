"""The models of the config file: every key, its type, its default.

The models check one section at a time and know nothing of files or of the environment; what
needs either, or a second section, is checked in ``load``. Validators never repeat their input
in a message: it may be a secret or come from the environment.
"""

from __future__ import annotations

import difflib
import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    SerializeAsAny,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from reverse_etl import schedule as ticks
from reverse_etl.connector import (
    AccountSettings,
    Connector,
    DestinationObject,
    DestinationSettings,
    FieldMapping,
    MappedField,
)
from reverse_etl.errors import ConfigError

DEFAULT_REQUEST_TIMEOUT_SECONDS = 30.0
SYNC_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
_ENDS_LIKE_A_RUN = re.compile(r"_[0-9]+\Z", re.ASCII)
_LISTED = 30  # words that a message names; a dbt project has more models than anyone reads
_URL_LETTERS = re.compile(r"[!-~]+", re.ASCII)
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

T = TypeVar("T")

DEFAULT_FILE = "config.yaml"


def closest(word: str, words: Iterable[str]) -> str | None:
    """Return the word most like ``word``, or None when none is close."""
    lowered = {candidate.lower(): candidate for candidate in words}
    found = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=0.6)
    return lowered[found[0]] if found else None


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """Return the next step after an unknown word: the closest one, else what there is."""
    known = list(words)
    suggestion = closest(word, known)
    if suggestion is not None:
        return f"did you mean {suggestion}?"
    more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
    return f"use one of: {', '.join(known[:_LISTED])}{more}" if known else "none is configured"


def check_sync_name(name: str) -> str:
    """Return the name of a sync.

    Raises:
        ValueError: It breaks the naming rule, or would make two table names the same.
    """
    if not SYNC_NAME.fullmatch(name):
        raise ValueError(
            "a sync name starts with a-z and has at most 40 characters out of a-z, 0-9 and _"
        )
    if _ENDS_LIKE_A_RUN.search(name):
        raise ValueError(
            "a sync name must not end in _ and digits: snapshot_NAME would be mistaken "
            "for a snapshot of another sync"
        )
    return name


def _one_line(text: str) -> str:
    """Refuse control characters: no name of a database object has any."""
    if any(ord(character) < ord(" ") or character == "\x7f" for character in text):
        raise ValueError("must not contain control characters or line breaks")
    return text


Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255, strip_whitespace=True),
    AfterValidator(_one_line),
]


def _no_truth(value: object) -> object:
    """Refuse ``true`` where a number belongs; pydantic would read it as 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("number_type", "must be a number")
    return value


Whole = Annotated[int, BeforeValidator(_no_truth)]
Number = Annotated[float, BeforeValidator(_no_truth)]


class _Model(BaseModel):
    """What all sections share."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_is_unset(cls, data: Any) -> Any:  # noqa: ANN401 - anything a file may hold
        """Treat ``key:`` without a value as absent: its lines are commented out, most likely."""
        if not isinstance(data, dict):
            return data
        known = {info.alias or name for name, info in cls.model_fields.items()}
        return {key: value for key, value in data.items() if value is not None or key not in known}


# What `workspace` may name without a block of its own.
DEFAULT_WORKSPACE = "default"


class WarehouseConfig(_Model):
    """A warehouse: where it is, and where this tool's own tables live."""

    url: SecretStr = Field(
        description="Any supported SQLAlchemy URL; a relative DuckDB path is relative to this file."
    )
    schema_name: Name = Field(
        default="reverse_etl",
        alias="schema",
        description="Schema of our own tables; created on first use. Needed rights: read on the "
        "data, all on this schema.",
    )
    workspace: Name | None = Field(
        default=None,
        description="This warehouse is only read: the query's rows are streamed into that one, "
        "which holds all our tables. 'default' is the DuckDB file reverse_etl_workspace.duckdb "
        "beside this one.",
    )
    control: Name | None = Field(
        default=None,
        description="Warehouse in which lease, runs and failed records live, where this engine "
        "cannot update single rows safely.",
    )


class EngineConfig(_Model):
    """How runs behave, whatever the sync; all durations in seconds."""

    lease_seconds: Number = Field(
        default=30,
        ge=1,
        le=3600,
        description="How long a run keeps its sync to itself after its last sign of life.",
    )
    heartbeat_seconds: Annotated[float, Field(gt=0), BeforeValidator(_no_truth)] | None = Field(
        default=None,
        description="How often a run gives a sign of life; less than half of the lease. Default: "
        "a third of it.",
    )
    checkpoint_seconds: Number = Field(
        default=5,
        gt=0,
        le=600,
        description="How often a run writes down how far it got: what a crash can send twice.",
    )
    max_parallel_syncs: Whole = Field(
        default=4, ge=1, le=64, description="Syncs that run at the same time."
    )
    shutdown_seconds: Number = Field(
        default=30,
        ge=0,
        le=3600,
        description="How long a stopped run waits for the requests on the wire.",
    )

    @field_validator("heartbeat_seconds")
    @classmethod
    def _twice_within_lease(cls, heartbeat: float | None, info: ValidationInfo) -> float | None:
        """Let one renewal fail without losing the lease."""
        lease = info.data.get("lease_seconds")  # None when it is refused itself
        if lease is not None and heartbeat is not None and heartbeat >= lease / 2:
            raise ValueError(f"must be less than half of engine.lease_seconds ({lease:g})")
        return heartbeat

    @property
    def heartbeat(self) -> float:
        """Seconds between two renewals of a lease."""
        return self.heartbeat_seconds or self.lease_seconds / 3


NotificationEvent = Literal["failed", "held", "failures", "stale", "recovered"]


class NotificationConfig(_Model):
    """Where to tell somebody, in which form, on which events."""

    url: SecretStr = Field(description="A secret: the address of the webhook, https.")
    format: Literal["slack", "json"] = Field(default="json", description="Form of the message.")
    on: tuple[NotificationEvent, ...] = Field(
        default=("failed", "held", "recovered"),
        min_length=1,
        description="failed: a run failed. held: by the brake. failures: many changes of a run "
        "failed. stale: no run has succeeded for long. recovered: all is well again.",
    )
    failed_percent: Number = Field(
        default=5,
        ge=0,
        le=100,
        description="For failures: more than this share of the changes that a run tried; 0 for "
        "any.",
    )
    stale_hours: Number = Field(
        default=24,
        gt=0,
        le=87_600,
        description="For stale: so long no run has succeeded; told by the scheduler, of syncs "
        "that have a schedule.",
    )

    @field_validator("url")
    @classmethod
    def _encrypted(cls, url: SecretStr) -> SecretStr:
        """Refuse to send run details in clear text over a network."""
        if not _is_safe_url(url.get_secret_value()):
            raise ValueError("must be an https URL (plain http is accepted for loopback only)")
        return url

    @field_validator("url")
    @classmethod
    def _plain(cls, url: SecretStr) -> SecretStr:
        """Refuse what a request line cannot carry, or would leave out."""
        if not _is_plain_url(url.get_secret_value()):
            raise ValueError(
                "must be ASCII without spaces, and without a user name, a fragment (#) and a port "
                "that is none"
            )
        return url

    @model_validator(mode="after")
    def _heeded(self) -> Self:
        """Refuse what would have no effect: somebody waits for a message that never comes."""
        for key, event in (("failed_percent", "failures"), ("stale_hours", "stale")):
            if key in self.model_fields_set and event not in self.on:
                raise ValueError(f"{key} has no effect: add {event} to its on, or remove the key")
        if set(self.on) == {"recovered"}:
            raise ValueError("recovered alone is never sent: add what a sync recovers from to on")
        return self


def _is_safe_url(url: str) -> bool:
    """Whether the URL is https, or http to this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:  # e.g. an unbalanced bracket in the host
        return False
    return bool(host) and (
        parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)
    )


def _is_plain_url(url: str) -> bool:
    """Whether all of the URL can be sent as it is written."""
    try:
        parts = urlsplit(url)
        has_user, _ = parts.username is not None, parts.port
    except ValueError:  # e.g. a port of letters
        return False
    return _URL_LETTERS.fullmatch(url) is not None and not (has_user or parts.fragment)


def _as_list(value: Any) -> Any:  # noqa: ANN401 - anything a file may hold
    """Let one column stand for a list of one."""
    return [value] if isinstance(value, str) else value


_COLUMNS_SCHEMA = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
    ]
}


@dataclass(frozen=True, slots=True)
class DbtNode:
    """What a manifest says of the model, seed or snapshot that ``dbt_model`` names.

    Attributes:
        unique_id: How dbt names it in all its files, such as ``model.shop.vip``.
        relation: The SQL name of its table, quoted by dbt.
        tests: Unique ids of the tests that speak of it.
        invocation_id: Which call of dbt wrote the manifest; empty when it does not say.
    """

    unique_id: str
    relation: str
    tests: frozenset[str] = frozenset()
    invocation_id: str = ""


class SourceConfig(_Model):
    """A warehouse, what to read from it, and the columns that name a row."""

    warehouse: Name = Field(description="A warehouse of this file.")
    query: Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)] | None = Field(
        default=None, description="The rows; exactly one of query, table and dbt_model is needed."
    )
    table: Name | None = Field(
        default=None, description="All rows of a table or view, such as analytics.vip."
    )
    dbt_model: Name | None = Field(
        default=None,
        description="All rows of a model, seed or snapshot of dbt: vip; package.vip when two "
        "packages have it; vip.v2 for a version, else the latest.",
    )
    dbt_manifest: Path = Field(
        default=Path("target/manifest.json"),
        description="Where dbt wrote its manifest, relative to this file.",
    )
    primary_key: Annotated[
        tuple[Name, ...],
        Field(
            min_length=1,
            description="A column or a list of columns: names the row in logs and reports.",
        ),
        BeforeValidator(_as_list),
        WithJsonSchema(_COLUMNS_SCHEMA),
    ]
    _dbt_node: DbtNode | None = PrivateAttr(default=None)

    @field_validator("table")
    @classmethod
    def _whole(cls, table: str | None) -> str | None:
        """Refuse a name with a dot too many."""
        if table is not None and not all(table.split(".")):
            raise ValueError("has an empty part between its dots; write schema.table")
        return table

    @field_validator("primary_key")
    @classmethod
    def _distinct(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse a column that is listed twice."""
        if len(set(columns)) != len(columns):
            raise ValueError("must not list a column twice")
        return columns

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        """Exactly one of the three ways to name the rows."""
        if sum(way is not None for way in (self.query, self.table, self.dbt_model)) != 1:
            raise ValueError("must have exactly one of query, table and dbt_model")
        return self

    @property
    def dbt_node(self) -> DbtNode | None:
        """What ``dbt_model`` stands for; None without it."""
        return self._dbt_node

    @property
    def relation(self) -> str | None:
        """The SQL name of the dbt model's table, already quoted; None without ``dbt_model``."""
        return self._dbt_node.relation if self._dbt_node else None

    def stored_key(self, text: str) -> str:
        """Return a primary key as our tables have it: one of several columns is compact JSON."""
        if len(self.primary_key) == 1:
            return text
        try:
            parts = json.loads(text)
        except ValueError:
            return text
        return json.dumps(parts, separators=(",", ":"), ensure_ascii=False)

    def resolved(self, node: DbtNode, manifest: Path) -> SourceConfig:
        """Return a copy that knows what was found for ``dbt_model``, and in which file."""
        copy = self.model_copy(update={"dbt_manifest": manifest})
        copy._dbt_node = node  # noqa: SLF001 - its own class; no key of the file may set it
        return copy


class FieldConfig(_Model):
    """Where the value of a destination field comes from: a column or a constant."""

    column: Name | None = Field(default=None, description="A column of the query.")
    type: Name | None = Field(
        default=None,
        description="Wanted type at the destination; Iterable has string, long, double, boolean, "
        "date, geo_location and object.",
    )
    null: Literal["skip", "clear"] = Field(
        default="skip",
        description="What a NULL does: skip leaves the field as it is, clear removes it.",
    )
    value: Any = Field(
        default=None, description="The same value for everybody, instead of a column."
    )

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, data: Any) -> Any:  # noqa: ANN401 - anything a file may hold
        """Read a bare string as the name of a column."""
        return {"column": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _column_or_value(self) -> Self:
        """A column or a constant; the other keys belong to a column."""
        if (self.column is None) == (self.value is None):
            raise ValueError("must be a column name, or have either column or value")
        if self.column is None and self.model_fields_set & {"type", "null"}:
            raise ValueError("type and null belong to a column, not to a constant value")
        return self

    def mapped(self, name: str) -> MappedField:
        """Return the field as a connector sees it."""
        return MappedField(
            name=name, column=self.column, constant=self.value, type=self.type, null=self.null
        )


class BasicScheduleConfig(_Model):
    """Every so often, from a time of day on (UTC)."""

    type: Literal["basic"] = Field(description="Every so often.")
    every: str = Field(description="5 minutes or more, such as 30 minutes, 1 hour, 1 day, 2 weeks.")
    at: str = Field(
        default="00:00",
        description="UTC time of day as HH:MM; ticks are this plus whole multiples of every.",
    )

    @field_validator("every")
    @classmethod
    def _interval(cls, every: str) -> str:
        ticks.parse_every(every)
        return every

    @field_validator("at")
    @classmethod
    def _time_of_day(cls, at: str) -> str:
        ticks.parse_at(at)
        return at

    def ticks(self) -> ticks.Schedule:
        """Return the schedule as a value."""
        return ticks.Basic(ticks.parse_every(self.every), ticks.parse_at(self.at))


class CronScheduleConfig(_Model):
    """A cron expression with five fields (UTC)."""

    type: Literal["cron"] = Field(description="By a cron expression.")
    expression: str = Field(description="Five fields, at least 5 minutes apart, or @daily.")

    @field_validator("expression")
    @classmethod
    def _five_fields(cls, expression: str) -> str:
        ticks.parse_cron(expression)
        return expression

    def ticks(self) -> ticks.Schedule:
        """Return the schedule as a value."""
        return ticks.parse_cron(self.expression)


class ManualScheduleConfig(_Model):
    """Runs are started by hand only."""

    type: Literal["manual"] = Field(description="By hand.")

    def ticks(self) -> ticks.Schedule:
        """Return the schedule as a value."""
        return ticks.Manual()


ScheduleConfig = Annotated[
    BasicScheduleConfig | CronScheduleConfig | ManualScheduleConfig, Field(discriminator="type")
]


class ObservabilityConfig(_Model):
    """What is kept of past runs, and for how long."""

    retain_sync_logs: bool = Field(
        default=True,
        description="One row per change in sync_log; false keeps counters and failed records only.",
    )
    sync_log_retention_days: Whole = Field(
        default=30, ge=1, le=36_500, description="Lines of sync_log older than this are dropped."
    )
    snapshots_to_keep: Whole = Field(
        default=3,
        ge=1,
        le=1_000,
        description="For how many runs that committed a plan the snapshot and the plan are kept; "
        "never fewer than correctness needs.",
    )


class SyncConfig(_Model):
    """One sync: from which rows, to which object, with which mapping, when."""

    name: Annotated[str, AfterValidator(check_sync_name)]
    source: SourceConfig = Field(description="Which rows.")
    destination: SerializeAsAny[DestinationSettings] = Field(
        description="Which object of which destination; the keys beside name and object are those "
        "of the connector."
    )
    identifiers: dict[Name, Name] = Field(
        min_length=1,
        description="Destination identifier: warehouse column. Iterable has email and userId.",
    )
    fields: dict[Name, FieldConfig] = Field(
        default_factory=dict, description="Destination field: warehouse column, or the long form."
    )
    mode: Literal["mirror", "upsert"] = Field(
        default="mirror",
        description="mirror: inserts, updates, deletes. upsert: nothing is ever removed.",
    )
    schedule_config: ScheduleConfig = Field(
        default=ManualScheduleConfig(type="manual"),
        alias="schedule",
        description="When run-due and serve run the sync; all times are UTC.",
    )
    observability: ObservabilityConfig = Field(
        default=ObservabilityConfig(),
        description="What is kept of past runs, and for how long.",
    )
    retry_failed_records: bool = Field(
        default=True,
        description="Plan what was refused, and may be accepted later, again in the next run.",
    )
    max_delete_percent: Number = Field(
        default=50,
        ge=0,
        le=100,
        description="The brake: a run that would remove more than this share of the people is "
        "held. 100 switches it off.",
    )

    # Where its keys stand, by their path below the sync: "source.query" to "config.yaml:9:14".
    _places: Mapping[str, str] = PrivateAttr(default_factory=dict)

    def placed(self, places: Mapping[str, str]) -> SyncConfig:
        """Return the sync, knowing where its keys stand in the file."""
        self._places = places
        return self

    def place(self, *keys: str) -> str | None:
        """Return where the first of some keys stands that the file has, ``file:line:column``."""
        return next((self._places[key] for key in keys if key in self._places), None)

    @property
    def schedule(self) -> ticks.Schedule:
        """The schedule as ``reverse_etl.schedule`` takes it."""
        return self.schedule_config.ticks()

    @property
    def mapping(self) -> FieldMapping:
        """Identifiers and fields as a connector sees them."""
        return FieldMapping(
            identifiers=dict(self.identifiers),
            fields=tuple(config.mapped(name) for name, config in self.fields.items()),
        )


@dataclass(frozen=True, slots=True)
class Config:
    """A whole config, valid and with its secrets read.

    Attributes:
        path: The file it was read from.
        warehouses: By name; relative DuckDB paths are absolute by now.
        destinations: By name; each is the account model of its connector, with the key in it.
        engine: Settings of the engine.
        notifications: Whom to tell.
        syncs: By name, in file order.
        warnings: One finished line each, in the form of an error line.
        connectors: Connector by the ``type`` of a destination; only those in use.
    """

    path: Path
    warehouses: dict[str, WarehouseConfig]
    destinations: dict[str, AccountSettings]
    engine: EngineConfig
    notifications: tuple[NotificationConfig, ...]
    syncs: dict[str, SyncConfig]
    warnings: list[str]
    connectors: Mapping[str, Connector] = field(default_factory=dict)

    @property
    def option(self) -> str:
        """Return what a command needs behind it to find this config, with a blank before it."""
        return "" if str(self.path) == DEFAULT_FILE else f" --config {shlex.quote(str(self.path))}"

    def sync(self, name: str) -> SyncConfig:
        """Return the sync.

        Raises:
            ConfigError: There is none of that name; the text has the closest one.
        """
        return _named("sync", name, self.syncs, self.path)

    def account(self, destination_name: str) -> AccountSettings:
        """Return the account of a destination.

        Raises:
            ConfigError: There is none of that name; the text has the closest one.
        """
        return _named("destination", destination_name, self.destinations, self.path)

    def connector(self, destination_name: str) -> Connector:
        """Return the connector of a destination; raise ConfigError when there is none."""
        return self.connectors[self.account(destination_name).type]

    def request_timeout_seconds(self, destination_name: str) -> float:
        """Return how long one request may take.

        The default stays below the lease, so that a request of a run that lost its lease is
        over before the next run starts (the one assumption of the invariant).
        """
        explicit = self.account(destination_name).request_timeout_seconds
        if explicit is not None:
            return explicit
        return min(DEFAULT_REQUEST_TIMEOUT_SECONDS, 2 / 3 * self.engine.lease_seconds)

    def bind(
        self, sync_name: str, fields: Sequence[MappedField] | None = None
    ) -> DestinationObject:
        """Return the object that a sync writes to; may import pyarrow.

        Args:
            sync_name: The sync.
            fields: Its mapped fields, with the columns spelled as a page has them: the query may
                spell them in another case than the config. None while the query is not known.
        """
        sync = self.sync(sync_name)
        mapping = sync.mapping if fields is None else replace(sync.mapping, fields=fields)
        account = self.account(sync.destination.name)
        connector = self.connector(sync.destination.name)
        return connector.bind(account, sync.destination, mapping, sync.mode)


def _named(kind: str, name: str, known: Mapping[str, T], path: Path) -> T:
    """Return the value of that name, or raise ConfigError with the closest name."""
    if name not in known:
        raise ConfigError([f"{path}: there is no {kind} {name!r}; {did_you_mean(name, known)}"])
    return known[name]

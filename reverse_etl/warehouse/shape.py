"""What SQL has to know of a sync and of its last committed run: plain values, no SQL."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from reverse_etl.connector import MappedField

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from reverse_etl.connector import Identifier


class Kind(StrEnum):
    """What a column's values are, whatever the engine calls the type.

    ``INSTANT`` is a time with a zone. It is not a ``TIMESTAMP``: to compare the two, an engine
    would put the zone of its session in, which is none of ours.
    """

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    FLOAT = "float"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"
    INSTANT = "instant"
    DATE = "date"
    JSON = "json"
    NESTED = "nested"
    BINARY = "binary"
    OTHER = "other"


NUMBERS = frozenset({Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT})
TIMES = frozenset({Kind.TIMESTAMP, Kind.INSTANT})


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """A column of the query's result.

    Attributes:
        name: Exactly as the engine spells it.
        type_name: The engine's own name of the type.
        kind: See :class:`Kind`.
    """

    name: str
    type_name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Shape:
    """A sync as the planning statements see it.

    Attributes:
        sync_name: Name of the sync.
        query: One SELECT, checked.
        primary_key: Columns that name a row; all exist in ``columns``.
        identifiers: In order of precedence, each with its column.
        alias_name: The second identifier, when it is mapped (hybrid projects).
        prefixed: Whether an identity is written ``name:value``.
        sends_alias: Whether the second identifier is sent with the first.
        deletes: Whether people who left are removed (mirror, and the object can).
        upsert: Whether the mode is upsert: who left stays as residue.
        fields: Mapped fields.
        columns: The columns used, in the order of the query, by name.
        clears_fields: Whether a delete clears the fields that were sent, so that which ones must
            be known.
        whole_seconds: Whether times are sent cut to seconds.
    """

    sync_name: str
    query: str
    primary_key: tuple[str, ...]
    identifiers: tuple[tuple[Identifier, str], ...]
    alias_name: str | None
    prefixed: bool
    sends_alias: bool
    deletes: bool
    upsert: bool
    fields: tuple[MappedField, ...]
    columns: dict[str, SourceColumn]
    clears_fields: bool = False
    whole_seconds: bool = False

    @property
    def field_columns(self) -> tuple[str, ...]:
        """Return the columns behind the fields, each once, in config order."""
        return tuple(dict.fromkeys(field.column for field in self.fields if field.column))

    @property
    def plan_columns(self) -> tuple[str, ...]:
        """Return the columns that the plan carries: the mapped ones."""
        mapped = [name for _, name in self.identifiers]
        return tuple(dict.fromkeys([*mapped, *self.field_columns]))

    @property
    def page_columns(self) -> tuple[str, ...]:
        """Return the columns that a connector needs beside identity and alias.

        Where there is one identifier, the identity says all of it.
        """
        return self.plan_columns if len(self.identifiers) > 1 else self.field_columns

    @property
    def field_set(self) -> str | None:
        """Return the fields that its upserts send, or None where nobody has to know."""
        return field_set(self.fields) if self.clears_fields else None

    def mapping(self) -> str:
        """Return fields and column types as JSON, to be kept with the committed run."""
        columns = {name: [c.type_name, c.kind.value] for name, c in self.columns.items()}
        fields = [asdict(field) for field in self.fields]
        return json.dumps({"columns": columns, "fields": fields}, default=str)


@dataclass(frozen=True, slots=True)
class Base:
    """The last committed run: what the next one is compared with.

    Attributes:
        run_id: Its number, part of its tables' names.
        position: Every change at or below it is settled.
        send_limit: No change above it was sent, if the run was killed.
        requests_sent: As of its last checkpoint.
        fields: Its mapped fields.
        columns: Its columns.
    """

    run_id: int
    position: int
    send_limit: int
    requests_sent: int
    fields: tuple[MappedField, ...]
    columns: dict[str, SourceColumn]


@dataclass(frozen=True, slots=True)
class State:
    """The row of ``sync_state``: the pointer and the account; None where nothing is known yet."""

    base: Base | None
    account_host: str | None
    account_kind: str | None
    account_object: str | None
    target_id: str | None
    target_name: str | None
    target_created_at: datetime | None


def has_rest(row: Any) -> bool:  # noqa: ANN401 - a row of sync_state
    """Return whether the last plan of a sync was not sent to its end, for all that is known."""
    return row.changes_rows is not None and row.position < row.changes_rows


def field_set(fields: Iterable[MappedField]) -> str:
    """Return the names of destination fields as our tables keep them: a JSON array, one line."""
    return json.dumps(sorted(field.name for field in fields))


def read_mapping(text: str) -> tuple[tuple[MappedField, ...], dict[str, SourceColumn]]:
    """Read what :meth:`Shape.mapping` wrote."""
    known = json.loads(text)
    columns = {
        name: SourceColumn(name, type_name, Kind(kind))
        for name, (type_name, kind) in known["columns"].items()
    }
    return tuple(MappedField(**field) for field in known["fields"]), columns

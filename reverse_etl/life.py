"""One person's life: what the query says, what the destination holds, what was tried, what is next.

What is next is not guessed: the whole run is planned as ``plan`` does it, in temporary tables, and
the person's change is looked up in it. Everything else is read from our tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from reverse_etl.errors import RunError
from reverse_etl.planning import base_tables
from reverse_etl.ports import Ports
from reverse_etl.preview import Previewing, Sample, Seen, field_values, mapped_of, plain
from reverse_etl.warehouse import warehouse_of
from reverse_etl.warehouse.statements import looks
from reverse_etl.warehouse.statements.looks import Mapped

if TYPE_CHECKING:
    from reverse_etl.config import Config, SyncConfig
    from reverse_etl.connector import DestinationObject
    from reverse_etl.planning import Plan
    from reverse_etl.warehouse.base import Transaction
    from reverse_etl.warehouse.shape import Base


@dataclass(frozen=True)
class SourceRow:
    """A row of the query, as it is now.

    Attributes:
        identity: Whom it names; of a row that cannot be used, how our tables name it.
        primary_key: Which row.
        values: The columns that the sync uses, where the row is used.
        refused: Why it is not used, else None.
        error_code: The same as a code.
    """

    identity: str
    primary_key: str | None
    values: Mapping[str, Any] = field(default_factory=dict)
    refused: str | None = None
    error_code: str | None = None


@dataclass(frozen=True)
class LogLine:
    """A line of ``sync_log``."""

    run_id: int
    identity: str
    primary_key: str | None
    operation: str
    status: str
    attempts: int
    finished_at: datetime
    error_code: str | None = None
    error_reason: str | None = None


@dataclass(frozen=True)
class FailedRecord:
    """A row of ``failed_records``."""

    operation: str
    error_code: str
    error_reason: str | None
    retryable: bool
    unidentified: bool
    attempts: int
    first_failed_run_id: int
    last_failed_run_id: int
    retry_requested_at: datetime | None

    @property
    def state(self) -> str:
        """Return what the destination is believed to hold of such a person."""
        if self.error_code == "unknown":
            return "unsure"
        return {"insert": "not_there", "update": "outdated", "delete": "there"}[self.operation]


@dataclass(frozen=True)
class Person:
    """What is known of one identity.

    Attributes:
        identity: Who.
        values: Fields as the last committed run had them; None for somebody it did not know.
        base_run_id: That run.
        is_residue: Whether the person left the query and stays for a reason of their own.
        unconfirmed: The operation that run planned and nobody has confirmed, else None.
        failed: The open failed record, or None.
        log: Lines of this identity, in order.
        planned: What the next run would do, or None.
    """

    identity: str
    values: Mapping[str, Any] | None = None
    base_run_id: int | None = None
    is_residue: bool = False
    unconfirmed: str | None = None
    failed: FailedRecord | None = None
    log: tuple[LogLine, ...] = ()
    planned: Sample | None = None

    @property
    def last_success(self) -> LogLine | None:
        """Return the newest line that was confirmed."""
        return next((line for line in reversed(self.log) if line.status == "succeeded"), None)

    @property
    def joined(self) -> LogLine | None:
        """Return the line by which the person came to the destination, for as far as is logged."""
        found = None
        for line in self.log:
            if line.status == "succeeded":
                found = line if line.operation == "insert" else found
                found = None if line.operation == "delete" else found
        return found

    @property
    def state(self) -> str:
        """Return what the destination is believed to hold: see :data:`STATES`."""
        if self.unconfirmed is not None:
            return "unsure"
        if self.failed is not None:
            return self.failed.state
        if self.values is not None or self.is_residue:
            return "there"
        last = self.last_success
        was_there = last is not None and last.operation != "delete"
        return "outdated" if was_there else "not_there"


STATES = {
    "there": "has this person",
    "outdated": "has this person, with older values",
    "unsure": "is not known: a change was sent and not confirmed, or is still to be sent",
    "not_there": "does not have this person from this sync",
}


@dataclass(frozen=True)
class Life:
    """Everything about a row, or a person.

    Attributes:
        sync: The sync.
        rows: What the query says now.
        people: Everybody that the row has ever named, or the one who was asked for.
        source_error: Why the query could not be asked, else None: then nobody knows what is next.
        held_reason: Why the brake would hold the next run, else None.
    """

    sync: str
    rows: Sequence[SourceRow] = ()
    people: Sequence[Person] = ()
    source_error: str | None = None
    held_reason: str | None = None


def explain(
    config: Config,
    sync_name: str,
    *,
    primary_key: str | None = None,
    identity: str | None = None,
    ports: Ports | None = None,
) -> Life:
    """Tell the life of one row, or of one person.

    Args:
        config: A loaded config.
        sync_name: The sync.
        primary_key: The row, as ``sync_log.primary_key`` has it.
        identity: The person, as the tables name them; an e-mail or user id as the source writes it
            will do.
        ports: Time, for tests.

    Raises:
        ConfigError: There is no such sync, or its config cannot be used.
        Busy: The DuckDB file stayed locked.
        RunError: The warehouse cannot be asked, or its tables cannot be read. A query that fails
            is no error: what is known without it is told.
    """
    sync = config.sync(sync_name)
    destination = config.bind(sync_name)
    warehouse = warehouse_of(config, sync.source.warehouse, (ports or Ports()).clock)
    asked = _Asked(primary_key, spellings(destination, identity) if identity else ())
    try:
        with warehouse.looking() as tx:
            now = _plan_now(tx, sync, destination, asked)
    except RunError as error:
        now = _Now(error=str(error))
    with warehouse.looking() as tx:
        people = list(_Telling(tx, sync, asked, now).people())
    return Life(sync.name, now.rows, people, now.error, now.held_reason)


def spellings(destination: DestinationObject, identity: str) -> tuple[str, ...]:
    """Return how the tables may name somebody whom a user names by an e-mail or a user id."""
    found = [identity]
    for known in destination.identifiers:
        bare = identity.removeprefix(f"{known.name}:")
        value = bare.strip() if known.trim else bare
        value = value.lower() if known.lower else value
        found.append(f"{known.name}:{value}" if destination.prefixed else value)
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class _Asked:
    """Who or what was asked for."""

    primary_key: str | None
    identities: tuple[str, ...]


@dataclass(frozen=True)
class _Now:
    """What the query says, and what a run would do with it."""

    rows: Sequence[SourceRow] = ()
    planned: Mapping[str, Sample] = field(default_factory=dict)
    error: str | None = None
    held_reason: str | None = None


def _plan_now(
    tx: Transaction, sync: SyncConfig, destination: DestinationObject, asked: _Asked
) -> _Now:
    plan = Previewing(tx, sync, destination, full=False).plan()
    rows = [*_used_rows(tx, plan, asked), *_refused_rows(tx, plan, asked)]
    identities = {*asked.identities, *(row.identity for row in rows)}
    identities |= _known_under(tx, sync, asked)
    seen = Seen(plan, tx.warehouse.schema)
    found = tx.rows(looks.find_in_plan(seen.plan, seen.before, sorted(identities)))
    samples = [seen.sample(row) for row in found]
    return _Now(
        rows,
        {sample.identity: sample for sample in samples},
        held_reason=plan.held_reason(sync.max_delete_percent),
    )


def _used_rows(tx: Transaction, plan: Plan, asked: _Asked) -> Iterator[SourceRow]:
    columns = {name: column.kind for name, column in plan.shape.columns.items()}
    mapped = Mapped(plan.tables.snapshot, columns)
    chosen = looks.find_in_snapshot(mapped, asked.identities, asked.primary_key)
    for identity, primary_key, *values in tx.rows(chosen):
        row = dict(zip(columns, map(plain, values), strict=True))
        yield SourceRow(identity, primary_key, row)


def _refused_rows(tx: Transaction, plan: Plan, asked: _Asked) -> Iterator[SourceRow]:
    chosen = looks.find_refused(plan.tables.refused, asked.identities, asked.primary_key)
    for identity, primary_key, code, reason in tx.rows(chosen):
        yield SourceRow(identity, primary_key, refused=reason, error_code=code)


def _known_under(tx: Transaction, sync: SyncConfig, asked: _Asked) -> set[str]:
    """Return whom our tables know under a primary key."""
    key = asked.primary_key
    if key is None or not tx.warehouse.is_prepared(tx):
        return set()
    tables, found = tx.warehouse.tables, set[str]()
    for row in tx.rows(looks.log_of(tables.log, sync.name, (), key)):
        found.add(row.identity)
    for row in tx.control.rows(looks.failed_records_of(tables.failed, sync.name, (), key)):
        found.add(row.identity)
    base = tx.state(sync.name).base
    if base is not None:
        snapshot = mapped_of(base, base_tables(sync.name, base, tx.warehouse.schema))
        found |= {row[0] for row in tx.rows(looks.find_in_snapshot(snapshot, (), key))}
    return found


class _Telling:
    """What our tables say of some people."""

    def __init__(self, tx: Transaction, sync: SyncConfig, asked: _Asked, now: _Now) -> None:
        self._tx, self._sync, self._now = tx, sync, now
        self._is_known = tx.warehouse.is_prepared(tx)
        self._base = tx.state(sync.name).base
        identities = dict.fromkeys([row.identity for row in now.rows])
        identities |= dict.fromkeys(sorted(_known_under(tx, sync, asked)))
        identities |= dict.fromkeys(asked.identities)
        self._identities = list(identities)

    def people(self) -> Iterator[Person]:
        """Yield everybody of whom anything is known."""
        people = [self._person(identity) for identity in self._identities]
        known = [one for one in people if one != Person(one.identity, base_run_id=one.base_run_id)]
        named = {row.identity for row in self._now.rows}
        yield from known or [one for one in people if one.identity in named]

    def _person(self, identity: str) -> Person:
        planned = self._now.planned.get(identity)
        if not self._is_known:
            return Person(identity, planned=planned)
        base = self._base
        return Person(
            identity,
            values=self._values(base, identity) if base else None,
            base_run_id=base.run_id if base else None,
            is_residue=self._is_residue(base, identity) if base else False,
            unconfirmed=self._unconfirmed(base, identity) if base else None,
            failed=self._failed(identity),
            log=tuple(self._log(identity)),
            planned=planned,
        )

    def _values(self, base: Base, identity: str) -> dict[str, Any] | None:
        snapshot = mapped_of(base, base_tables(self._sync.name, base, self._tx.warehouse.schema))
        for _, _, *values in self._tx.rows(looks.find_in_snapshot(snapshot, [identity])):
            return field_values(base.fields, dict(zip(snapshot.columns, values, strict=True)))
        return None

    def _is_residue(self, base: Base, identity: str) -> bool:
        residue = self._tx.warehouse.tables.residue
        chosen = looks.residue_of(residue, self._sync.name, base.run_id, [identity])
        return bool(self._tx.rows(chosen))

    def _unconfirmed(self, base: Base, identity: str) -> str | None:
        tables = base_tables(self._sync.name, base, self._tx.warehouse.schema)
        chosen = looks.unconfirmed_of(tables.changes, tables.outcomes, base.position, [identity])
        rows = self._tx.rows(chosen)
        return str(rows[0][1]) if rows else None

    def _failed(self, identity: str) -> FailedRecord | None:
        failed = self._tx.warehouse.tables.failed
        chosen = looks.failed_records_of(failed, self._sync.name, [identity], None)
        for row in self._tx.control.rows(chosen):
            names = FailedRecord.__dataclass_fields__
            return FailedRecord(**{name: getattr(row, name) for name in names})
        return None

    def _log(self, identity: str) -> Iterator[LogLine]:
        lines = looks.log_of(self._tx.warehouse.tables.log, self._sync.name, [identity], None)
        for row in self._tx.rows(lines):
            yield LogLine(
                row.sync_run_id,
                row.identity,
                row.primary_key,
                row.operation,
                row.status,
                row.attempts,
                row.sync_finished_at,
                row.error_code,
                row.error_reason,
            )

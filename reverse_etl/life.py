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
from reverse_etl.warehouse.statements import control, looks
from reverse_etl.warehouse.statements.looks import Mapped

if TYPE_CHECKING:
    from reverse_etl.config import Config, SyncConfig
    from reverse_etl.connector import DestinationObject
    from reverse_etl.planning import Plan
    from reverse_etl.warehouse.base import Transaction
    from reverse_etl.warehouse.shape import Base
    from reverse_etl.warehouse.tables import RunTables


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


@dataclass(frozen=True)
class OpenChange:
    """A change of the last committed plan that is in no log and no failed record yet.

    Attributes:
        operation: What was planned.
        status: ``succeeded`` or ``failed``, when there is a trustworthy answer; else None.
        error_code: Of a failure.
    """

    operation: str
    status: str | None = None
    error_code: str | None = None

    @property
    def state(self) -> str:
        """Return what the destination is believed to hold of such a person."""
        if self.status == "succeeded":
            return "not_there" if self.operation == "delete" else "there"
        return _state_after_failure(self.operation, self.error_code or "unknown")


def _state_after_failure(operation: str, error_code: str) -> str:
    if error_code == "unknown":
        return "unsure"
    return {"insert": "not_there", "update": "outdated", "delete": "there"}[operation]


@dataclass(frozen=True)
class Person:
    """What is known of one identity.

    Attributes:
        identity: Who.
        values: Fields as the last committed run had them; None for somebody it did not know.
        base_run_id: That run.
        is_residue: Whether the person left the query and stays for a reason of their own.
        open: What that run planned, where it is not settled, else None.
        failed: The open failed record, or None.
        log: Lines of this identity, in order.
        planned: What the next run would do, or None.
    """

    identity: str
    values: Mapping[str, Any] | None = None
    base_run_id: int | None = None
    is_residue: bool = False
    open: OpenChange | None = None
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
        if self.open is not None:
            return self.open.state
        if self.failed is not None:
            return _state_after_failure(self.failed.operation, self.failed.error_code)
        if self.values is not None or self.is_residue:
            return "there"
        last = self.last_success
        return "former" if last is not None and last.operation != "delete" else "not_there"


STATES = {
    "there": "has this person",
    "outdated": "has this person, with older values",
    "unsure": "is not known: a change was sent and not confirmed, or is still to be sent",
    "former": "had this person, as the log says; the last committed run did not",
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
        unfinished_run_id: A run that is under way, or was killed and not settled yet, else None.
        is_cut: Whether the key names more rows or people than are told.
    """

    sync: str
    rows: Sequence[SourceRow] = ()
    people: Sequence[Person] = ()
    source_error: str | None = None
    held_reason: str | None = None
    unfinished_run_id: int | None = None
    is_cut: bool = False


# Rows and people that are told: a key may repeat, and then it names nobody in particular.
MOST = 20


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
    if primary_key is not None:
        primary_key = sync.source.stored_key(primary_key)
    named = spellings(destination, identity) if identity else ()
    # Opened anew for each part: where the query fails, an engine may do nothing else afterwards.
    with warehouse.looking() as tx:
        identities = [*named, *_known_under(tx, sync, primary_key)]
        unfinished = _unfinished_run(tx, sync)
    try:
        with warehouse.looking() as tx:
            now = _plan_now(tx, sync, destination, _Asked(primary_key, identities))
    except RunError as error:
        now = _Now(error=str(error))
    identities = list(dict.fromkeys([*identities, *(row.identity for row in now.rows)]))
    with warehouse.looking() as tx:
        people = _people(tx, sync, identities[:MOST], now)
    is_cut = len(identities) > MOST or len(now.rows) > MOST
    return Life(
        sync.name, now.rows[:MOST], people, now.error, now.held_reason, unfinished, is_cut=is_cut
    )


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
    """A row, and everybody whom it has named for as far as is known, or a person."""

    primary_key: str | None
    identities: Sequence[str]


@dataclass(frozen=True)
class _Now:
    """What the query says, and what a run would do with it."""

    rows: Sequence[SourceRow] = ()
    planned: Mapping[str, Sample] = field(default_factory=dict)
    error: str | None = None
    held_reason: str | None = None


def _known_under(tx: Transaction, sync: SyncConfig, key: str | None) -> list[str]:
    """Return whom our tables know under a primary key."""
    if key is None or not tx.warehouse.is_prepared(tx):
        return []
    tables, most = tx.warehouse.tables, MOST + 1
    found = [*tx.rows(looks.known_under(tables.log, sync.name, key, most))]
    found += tx.control.rows(looks.known_under(tables.failed, sync.name, key, most))
    base = tx.state(sync.name).base
    if base is not None:
        snapshot = base_tables(sync.name, base, tx.warehouse.schema).snapshot
        found += tx.rows(looks.known_under(snapshot, None, key, most))
    return list(dict.fromkeys(row[0] for row in found))[:most]


def _unfinished_run(tx: Transaction, sync: SyncConfig) -> int | None:
    if not tx.warehouse.is_prepared(tx):
        return None
    runs = tx.control.rows(control.unfinished_runs(tx.warehouse.tables.runs, sync.name))
    return int(runs[-1].sync_run_id) if runs else None


def _plan_now(
    tx: Transaction, sync: SyncConfig, destination: DestinationObject, asked: _Asked
) -> _Now:
    plan = Previewing(tx, sync, destination, full=False).plan()
    rows = [*_used_rows(tx, plan, asked), *_refused_rows(tx, plan, asked)]
    identities = {*asked.identities, *(row.identity for row in rows)}
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
    chosen = looks.find_in_snapshot(mapped, asked.identities, asked.primary_key, MOST + 1)
    for identity, primary_key, *values in tx.rows(chosen):
        row = dict(zip(columns, map(plain, values), strict=True))
        yield SourceRow(identity, primary_key, row)


def _refused_rows(tx: Transaction, plan: Plan, asked: _Asked) -> Iterator[SourceRow]:
    refused = plan.tables.refused
    chosen = looks.find_refused(refused, asked.identities, asked.primary_key, MOST + 1)
    for identity, primary_key, code, reason in tx.rows(chosen):
        yield SourceRow(identity, primary_key, refused=reason, error_code=code)


# --- what our tables say -------------------------------------------------------------------


def _people(
    tx: Transaction, sync: SyncConfig, identities: Sequence[str], now: _Now
) -> list[Person]:
    """Return everybody of whom the query or our tables know anything."""
    known = _Known(tx, sync, identities)
    people = [
        Person(
            identity,
            values=known.values.get(identity),
            base_run_id=known.base.run_id if known.base else None,
            is_residue=identity in known.residue,
            open=known.open.get(identity),
            failed=known.failed.get(identity),
            log=tuple(known.log.get(identity, ())),
            planned=now.planned.get(identity),
        )
        for identity in identities
    ]
    named = {row.identity for row in now.rows}
    return [one for one in people if one.identity in named or _is_known(one)]


def _is_known(person: Person) -> bool:
    return person != Person(person.identity, base_run_id=person.base_run_id)


class _Known:
    """What our tables say of some people, each table asked once."""

    def __init__(self, tx: Transaction, sync: SyncConfig, identities: Sequence[str]) -> None:
        self._tx, self._name, self._identities = tx, sync.name, identities
        self.base = tx.state(sync.name).base
        self.values: dict[str, dict[str, Any]] = {}
        self.residue: set[str] = set()
        self.open: dict[str, OpenChange] = {}
        self.failed: dict[str, FailedRecord] = {}
        self.log: dict[str, list[LogLine]] = {}
        if not identities or not tx.warehouse.is_prepared(tx):
            return
        self._read_log()
        self._read_failed()
        if self.base is not None:
            self._read_base(self.base)

    def _read_log(self) -> None:
        lines = looks.log_of(self._tx.warehouse.tables.log, self._name, self._identities)
        for row in self._tx.rows(lines):
            line = LogLine(
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
            self.log.setdefault(row.identity, []).append(line)

    def _read_failed(self) -> None:
        failed, names = self._tx.warehouse.tables.failed, FailedRecord.__dataclass_fields__
        chosen = looks.failed_records_of(failed, self._name, self._identities)
        for row in self._tx.control.rows(chosen):
            record = {name: getattr(row, name) for name in names}
            self.failed[row.identity] = FailedRecord(**record)

    def _read_base(self, base: Base) -> None:
        tables = base_tables(self._name, base, self._tx.warehouse.schema)
        snapshot = mapped_of(base, tables)
        most = len(self._identities)
        for identity, _, *values in self._tx.rows(
            looks.find_in_snapshot(snapshot, self._identities, None, most)
        ):
            row = dict(zip(snapshot.columns, values, strict=True))
            self.values[identity] = field_values(base.fields, row)
        left = self._tx.warehouse.tables.residue
        residue = looks.residue_of(left, self._name, base.run_id, self._identities)
        self.residue = {row.identity for row in self._tx.rows(residue)}
        self._read_open(base, tables)

    def _read_open(self, base: Base, tables: RunTables) -> None:
        """Read what the log does not say yet: all of a run that is not settled, else its rest."""
        runs = self._tx.control.rows(
            control.unfinished_runs(self._tx.warehouse.tables.runs, self._name)
        )
        is_settled = base.run_id not in {run.sync_run_id for run in runs}
        chosen = looks.planned_of(tables.changes, tables.outcomes, self._identities)
        for identity, seq, operation, status, error_code in self._tx.rows(chosen):
            confirmed = seq <= base.position or status is not None
            if is_settled and confirmed:
                continue
            told = status or ("succeeded" if confirmed else None)
            self.open[identity] = OpenChange(operation, told, error_code)

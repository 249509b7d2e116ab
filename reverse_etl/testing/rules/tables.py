"""What is kept from run to run, as the rules see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

Operation = Literal["delete", "insert", "update"]
Kind = Literal["email", "user_id", "hybrid"]

NOBODY: frozenset[str] = frozenset()
NO_FIELDS: frozenset[str] = frozenset()

OPERATIONS: tuple[Operation, ...] = ("insert", "update", "delete")

DELETE_PHASE, UPSERT_PHASE, TAKEOVER_PHASE, BY_ALIAS_PHASE = 0, 1, 2, 3


# --- what a run is told --------------------------------------------------------------------


class Settings(NamedTuple):
    """What the config says of a sync.

    Attributes:
        kind: What identifies people in the project.
        clears: Whether a delete clears the fields that were sent (object ``user``).
        sends_alias: Whether a hybrid person is sent with both identifiers.
        mirror: Whether people who left are removed (mode ``mirror``).
        keeps: Whether profiles of people who left are kept (``on_delete: keep``).
        fields: Destination field to the column its value comes from, and the type of that.
        retry: ``retry_failed_records``.
        max_delete_percent: The brake.
        account: The destination's account, with its list.
    """

    kind: Kind = "email"
    clears: bool = False
    sends_alias: bool = False
    mirror: bool = True
    keeps: bool = False
    fields: Mapping[str, tuple[str, str]] = {}
    retry: bool = True
    max_delete_percent: float = 100
    account: str = "account"

    @property
    def deletes(self) -> bool:
        """Return whether people who left can be removed (or cleared)."""
        return self.mirror and not self.keeps


class Options(NamedTuple):
    """How one run differs from the usual: ``--full`` and ``--allow-deletes``."""

    full: bool = False
    allow_deletes: bool = False


# --- what the query said -------------------------------------------------------------------


class Person(NamedTuple):
    """One identity of a snapshot; the values are by destination field."""

    identity: str
    alias: str | None
    primary_key: str | None
    values: Mapping[str, Any]


class Unusable(NamedTuple):
    """Rows of one primary key without any usable identifier."""

    identity: str
    primary_key: str | None
    code: str
    why: str
    rows: int
    new: bool


class Duplicate(NamedTuple):
    """A row that lost its identity to another one."""

    identity: str
    primary_key: str | None
    alias: str | None
    differs: bool
    new: bool


class Snapshot(NamedTuple):
    """What the query said at one run."""

    people: Mapping[str, Person]
    unusable: Mapping[str, Unusable]
    duplicates: tuple[Duplicate, ...]
    rows_read: int

    @property
    def rows_invalid(self) -> int:
        """Return the rows without any usable identifier."""
        return sum(each.rows for each in self.unusable.values())

    @property
    def rows_newly_invalid(self) -> int:
        """Return those of them that the base had not refused for the same reason."""
        return sum(each.rows for each in self.unusable.values() if each.new)

    def aliases(self) -> frozenset[str]:
        """Return every e-mail that a row with an identity holds, whoever won it."""
        held = {person.alias for person in self.people.values()}
        held.update(row.alias for row in self.duplicates)
        return frozenset(alias for alias in held if alias is not None)


# --- what was planned ----------------------------------------------------------------------


class Change(NamedTuple):
    """One planned operation on one identity.

    Attributes:
        seq: Place in the order of sending, from 1.
        phase: Deletes; upserts; those that take an e-mail over from somebody else; last, where
            both identifiers are sent, those who have nothing but an e-mail: they would be
            written into a profile that still has it, and be lost when that moves on.
        operation: What it does.
        identity: To whom.
        alias: Their e-mail, in hybrid projects.
        primary_key: Of their row.
        retry: Whether an earlier run left it open.
        carried: Whether it is a delete that passed the brake in an earlier run.
        before: Fields that the person may hold from us before it: what a delete clears.
        sends: Fields that it sends.
    """

    seq: int
    phase: int
    operation: Operation
    identity: str
    alias: str | None
    primary_key: str | None
    retry: bool = False
    carried: bool = False
    before: frozenset[str] = NO_FIELDS
    sends: frozenset[str] = NO_FIELDS


class Left(NamedTuple):
    """Residue: who left the source, and may still be at the destination."""

    identity: str
    alias: str | None
    primary_key: str | None
    fields: frozenset[str]


class Outcome(NamedTuple):
    """What became of one change; ``sent`` is False when we refused it ourselves."""

    succeeded: bool
    code: str | None = None
    retryable: bool = False
    sent: bool = True
    attempts: int = 1


class Base(NamedTuple):
    """The last committed run.

    Attributes:
        run_id: Its number.
        snapshot: What its query said.
        fields: Its mapping.
        plan: Its changes, by ``seq``.
        residue: Who left, and was not planned.
        former: E-mails that people may still have: what replaced them is unconfirmed.
        position: Every change at or below it is settled.
        limit: Nothing above it was sent.
        outcomes: By ``seq``, of the changes that were not plain successes.
    """

    run_id: int
    snapshot: Snapshot
    fields: Mapping[str, tuple[str, str]]
    plan: tuple[Change, ...]
    residue: Mapping[str, Left]
    former: frozenset[tuple[str, str]]
    position: int
    limit: int
    outcomes: Mapping[int, Outcome]


# --- what is written down ------------------------------------------------------------------


class Failure(NamedTuple):
    """A failed record; ``why`` tells rows without identifier apart, ``asked`` is a request."""

    identity: str
    primary_key: str | None
    operation: Operation
    code: str | None
    why: str
    retryable: bool
    attempts: int
    first_run: int
    last_run: int
    alias: str | None = None
    fields: frozenset[str] = NO_FIELDS
    unidentified: bool = False
    asked: bool = False


class Line(NamedTuple):
    """A line of the sync log."""

    identity: str
    primary_key: str | None
    operation: Operation
    succeeded: bool
    code: str | None
    attempts: int


class Counts(NamedTuple):
    """What a run read and planned."""

    rows_read: int = 0
    rows_invalid: int = 0
    rows_duplicate: int = 0
    inserts: int = 0
    updates: int = 0
    deletes: int = 0
    retries: int = 0


class Run(NamedTuple):
    """A row of ``sync_runs``; ``succeeded`` and ``failed`` are by operation."""

    status: str
    counts: Counts = Counts()
    succeeded: tuple[int, int, int] = (0, 0, 0)
    failed: tuple[int, int, int] = (0, 0, 0)
    failed_records_open: int = 0


class State(NamedTuple):
    """All tables of one sync.

    Attributes:
        account: Of the last committed run, or None before the first.
        base: The last committed run, or None.
        failed: ``failed_records``, by identity.
        log: ``sync_log``, by run.
        runs: ``sync_runs``, by number.
    """

    account: str | None = None
    base: Base | None = None
    failed: Mapping[str, Failure] = {}
    log: Mapping[int, tuple[Line, ...]] = {}
    runs: Mapping[int, Run] = {}

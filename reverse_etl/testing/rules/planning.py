"""What is planned for whom (design §6.3.3), and the brake (§6.4).

An identity is planned when it differs from the base, or when an earlier run left it open; either
way from the *current* source: there, an upsert with today's values; gone, a delete.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Literal, NamedTuple

from reverse_etl.testing.histories import Row
from reverse_etl.testing.rules.source import snapshot_of
from reverse_etl.testing.rules.tables import (
    BY_ALIAS_PHASE,
    DELETE_PHASE,
    NO_FIELDS,
    NOBODY,
    OPERATIONS,
    TAKEOVER_PHASE,
    UPSERT_PHASE,
    Base,
    Change,
    Counts,
    Left,
    Operation,
    Options,
    Person,
    Settings,
    Snapshot,
    State,
)

FEW_DELETES = 5
"""Fewer deletes never hold a run, unless nobody would be left."""


class Planned(NamedTuple):
    """A plan, not yet committed; ``account`` is where it goes, ``fresh`` that it is another one."""

    snapshot: Snapshot
    changes: tuple[Change, ...]
    residue: Mapping[str, Left]
    former: frozenset[tuple[str, str]]
    counts: Counts
    settings: Settings
    fresh: bool


class Held(NamedTuple):
    """The brake: so many of so many people would newly leave."""

    leaving: int
    believed: int
    counts: Counts


class Refused(NamedTuple):
    """The account is another one, and nobody said ``--full``."""

    account: str


def plan(
    state: State, rows: Sequence[Row], settings: Settings, options: Options
) -> Planned | Held | Refused:
    """Plan a run; nothing is changed by it."""
    fresh = state.account is not None and state.account != settings.account
    if fresh and not options.full:
        return Refused(settings.account)
    base = None if fresh else state.base
    snapshot = snapshot_of(rows, settings, base.snapshot if base else None)
    left_open = {} if fresh else pending(state, settings, full=options.full)
    changes = numbered(difference(snapshot, base, left_open, settings, full=options.full))
    counts = count(snapshot, changes)
    if not options.allow_deletes:
        held = brake(snapshot, base, changes, counts, settings)
        if held is not None:
            return held
    planned = {change.identity for change in changes}
    residue = residue_of(snapshot, base, left_open, planned, settings)
    former = former_of(base, left_open, changes, settings)
    return Planned(snapshot, changes, residue, former, counts, settings, fresh)


# --- what earlier runs left open -----------------------------------------------------------


class Pending(NamedTuple):
    """Somebody whom an earlier run left open.

    Attributes:
        identity: Who.
        alias: Their e-mail.
        primary_key: Of their row.
        operation: What was to be done.
        origin: The unconfirmed plan, else a failed record, else residue.
        due: Whether it is planned again although nothing differs.
        fields: Fields that they may hold from us.
    """

    identity: str
    alias: str | None
    primary_key: str | None
    operation: Operation
    origin: Literal["plan", "failed", "residue"]
    due: bool
    fields: frozenset[str]

    @property
    def was_planned(self) -> bool:
        """Return whether an earlier run had planned it, so that a delete passed the brake."""
        return self.origin != "residue"

    @property
    def is_open_insert(self) -> bool:
        """Return whether it is an insert that nobody confirmed."""
        return self.was_planned and self.operation == "insert"


def pending(state: State, settings: Settings, *, full: bool) -> dict[str, Pending]:
    """Return what is open, by identity; the unconfirmed plan counts more than a record of it."""
    found = {left.identity: left for left in left_as_residue(state.base)}
    found |= {each.identity: each for each in failures(state, settings, full=full)}
    found |= {each.identity: each for each in unconfirmed(state.base)}
    return found


def unconfirmed(base: Base | None) -> Iterator[Pending]:
    """Changes of the last plan above its position, but for those known to have succeeded."""
    if base is None or base.position >= len(base.plan):
        return
    for change in base.plan[base.position :]:
        outcome = base.outcomes.get(change.seq)
        if outcome is None or not outcome.succeeded:
            yield Pending(
                change.identity,
                change.alias,
                change.primary_key,
                change.operation,
                "plan",
                due=True,
                fields=change.before | change.sends,
            )


def failures(state: State, settings: Settings, *, full: bool) -> Iterator[Pending]:
    """Failed records; those of rows without identifier are no change of anybody."""
    for record in state.failed.values():
        if not record.unidentified:
            due = is_due(record.code, retryable=record.retryable, retry=settings.retry)
            due = due or full or record.asked
            yield Pending(
                record.identity,
                record.alias,
                record.primary_key,
                record.operation,
                "failed",
                due=due,
                fields=record.fields,
            )


def ask_again(state: State) -> State:
    """Ask for every failed record that something can be sent for."""
    asked = {i: f._replace(asked=not f.unidentified) for i, f in state.failed.items()}
    return state._replace(failed=asked)


def is_due(code: str | None, *, retryable: bool, retry: bool) -> bool:
    """Doubt is always cleared; a refusal is tried again when it may pass and the config says so."""
    return code == "unknown" or (retryable and retry)


def left_as_residue(base: Base | None) -> Iterator[Pending]:
    """Who left earlier, and could not be deleted then."""
    for left in base.residue.values() if base else ():
        yield Pending(
            left.identity,
            left.alias,
            left.primary_key,
            "delete",
            "residue",
            due=True,
            fields=left.fields,
        )


# --- the difference ------------------------------------------------------------------------


def difference(
    snapshot: Snapshot,
    base: Base | None,
    left_open: Mapping[str, Pending],
    settings: Settings,
    *,
    full: bool,
) -> Iterator[Change]:
    """Return a change for everybody who differs, or was left open and is due."""
    before = base.snapshot.people if base else {}
    every_row = full or is_remapped(settings, base)
    holders = holders_of(base) if settings.sends_alias else {}
    moving = written_elsewhere(snapshot, base, left_open, settings, every_row=every_row)
    theirs = still_theirs(base, left_open) if base else set()
    held: frozenset[str] | None = None
    for identity in {**before, **snapshot.people, **left_open}:
        now, was = snapshot.people.get(identity), before.get(identity)
        left = left_open.get(identity)
        due = left is not None and left.due
        if now is not None:
            due = due or every_row or (left is None and now.identity in moving)
            if was is None or due or differs(now, was, settings):
                yield upsert(now, base, was, left, settings, holders)
        elif (was is not None or due) and settings.deletes:
            if held is None:
                held = snapshot.aliases()
            gone = known_as(was, left)
            if not is_held(gone, held, theirs, settings):
                yield delete(gone, base, was, left, settings)


def is_remapped(settings: Settings, base: Base | None) -> bool:
    """Whether a field is new, or its values cannot be compared with those before."""
    if base is None:
        return False
    types = {name: kind for name, (_, kind) in base.fields.items()}
    return any(types.get(name) != kind for name, (_, kind) in settings.fields.items())


def differs(now: Person, was: Person, settings: Settings) -> bool:
    """Whether what would be sent differs; another primary key alone sends nothing."""
    if settings.sends_alias and now.alias != was.alias:
        return True
    return any(now.values[name] != was.values.get(name) for name in settings.fields)


def holders_of(base: Base | None) -> dict[str | None, frozenset[str]]:
    """Return who may have each e-mail: as the base said, or because its loss is unconfirmed."""
    found: dict[str | None, frozenset[str]] = {}
    if base is not None:
        people = ((p.identity, p.alias) for p in base.snapshot.people.values() if p.alias)
        for identity, alias in (*people, *base.former):
            found[alias] = found.get(alias, NOBODY) | {identity}
    return found


def written_elsewhere(
    snapshot: Snapshot,
    base: Base | None,
    left_open: Mapping[str, Pending],
    settings: Settings,
    *,
    every_row: bool,
) -> frozenset[str]:
    """Who was written into a profile that moves on only now.

    Whoever is known by nothing but an e-mail is written into the profile that has it. Had
    somebody's loss of it failed before, the profile was theirs, and takes its place on the list
    along when they get their own e-mail.
    """
    if base is None or not settings.sends_alias:
        return NOBODY
    found = set()
    left_with = {(each.identity, each.alias) for each in left_open.values() if each.alias}
    for identity, alias in base.former | left_with:
        now, was = snapshot.people.get(identity), base.snapshot.people.get(identity)
        left = left_open.get(identity)
        if now is None or left is None or now.alias == alias:
            continue
        if left.due or every_row or was is None or differs(now, was, settings):
            found.add(f"email:{alias}")
    return frozenset(found)


def is_known_by_alias(person: Person) -> bool:
    """Whether somebody is known by nothing but an e-mail."""
    return person.identity == f"email:{person.alias}"


def upsert(  # noqa: PLR0913, PLR0917 - all that may be known of one person
    now: Person,
    base: Base | None,
    was: Person | None,
    left: Pending | None,
    settings: Settings,
    holders: Mapping[str | None, frozenset[str]],
) -> Change:
    """An insert until it is confirmed, then an update."""
    is_insert = was is None or (left is not None and left.is_open_insert)
    return Change(
        0,
        phase_of(now, settings, holders),
        "insert" if is_insert else "update",
        now.identity,
        now.alias,
        now.primary_key,
        retry=left is not None and left.due and left.was_planned,
        before=fields_of(base, was, left) if left is not None and settings.clears else NO_FIELDS,
        sends=frozenset(settings.fields) if settings.clears else NO_FIELDS,
    )


def phase_of(now: Person, settings: Settings, holders: Mapping[str | None, frozenset[str]]) -> int:
    """Who takes an e-mail over goes late; who has nothing but an e-mail goes last."""
    if settings.sends_alias and is_known_by_alias(now):
        return BY_ALIAS_PHASE
    return TAKEOVER_PHASE if holders.get(now.alias, NOBODY) - {now.identity} else UPSERT_PHASE


def delete(
    gone: Left, base: Base | None, was: Person | None, left: Pending | None, settings: Settings
) -> Change:
    """Who left is taken away by what the base knew, else by what was left open."""
    return Change(
        0,
        DELETE_PHASE,
        "delete",
        gone.identity,
        gone.alias,
        gone.primary_key,
        retry=left is not None and left.due and left.was_planned,
        carried=left is not None and left.operation == "delete" and left.was_planned,
        before=fields_of(base, was, left) if settings.clears else NO_FIELDS,
    )


def known_as(was: Person | None, left: Pending | None) -> Left:
    """Return by what names somebody is known who is gone."""
    known = was if was is not None else left
    assert known is not None
    return Left(known.identity, known.alias, known.primary_key, NO_FIELDS)


def fields_of(base: Base | None, was: Person | None, left: Pending | None) -> frozenset[str]:
    """Return the fields that somebody may hold from us who is gone, or was left open."""
    left_open = left.fields if left is not None else NO_FIELDS
    if was is None or base is None:
        return left_open
    if left is not None and left.is_open_insert:
        # Of somebody never confirmed the base knows only what was to be sent.
        return left_open
    return left_open | frozenset(base.fields)


def is_held(
    gone: Left, held: frozenset[str], former: AbstractSet[tuple[str, str]], settings: Settings
) -> bool:
    """Whether a current row holds an identifier of somebody; until none does, they stay."""
    if settings.kind != "hybrid":
        return False
    if not settings.sends_alias:
        # The user id went alone, so an e-mail holds only somebody who is known by it.
        return gone.alias in held and gone.identity == f"email:{gone.alias}"
    if gone.alias in held:
        return True
    return any(alias in held for identity, alias in former if identity == gone.identity)


def numbered(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Number the plan in the order of sending: by phase, and one kind of operation after another.

    The contract leaves the order within these open.
    """
    ordered = sorted(changes, key=lambda change: (change.phase, change.operation))
    return tuple(change._replace(seq=n) for n, change in enumerate(ordered, 1))


def count(snapshot: Snapshot, changes: Iterable[Change]) -> Counts:
    """Count what was read and planned."""
    planned = dict.fromkeys(OPERATIONS, 0)
    retries = 0
    for change in changes:
        planned[change.operation] += 1
        retries += change.retry
    read = (snapshot.rows_read, snapshot.rows_invalid, len(snapshot.duplicates))
    return Counts(*read, planned["insert"], planned["update"], planned["delete"], retries)


# --- who stays -----------------------------------------------------------------------------


def residue_of(
    snapshot: Snapshot,
    base: Base | None,
    left_open: Mapping[str, Pending],
    planned: set[str],
    settings: Settings,
) -> dict[str, Left]:
    """Who left and is not planned: in upsert mode everybody, else who is held by a current row.

    Where profiles are kept nobody stays: who left is no longer ours. In mirror mode a refused
    delete that waits is no residue: it stays in the failed records.
    """
    if settings.mirror and (settings.keeps or settings.kind != "hybrid"):
        return {}
    before = base.snapshot.people if base else {}
    found = {}
    for identity in {**before, **left_open}:
        was, left = before.get(identity), left_open.get(identity)
        waits = settings.mirror and was is None and left is not None and not left.due
        if identity not in snapshot.people and identity not in planned and not waits:
            fields = fields_of(base, was, left) if settings.clears else NO_FIELDS
            found[identity] = known_as(was, left)._replace(fields=fields)
    return found


def still_theirs(base: Base, left_open: Mapping[str, Pending]) -> set[tuple[str, str]]:
    """Return the former e-mails that people may still have.

    An e-mail is given up when another one has taken its place, for certain: not while something of
    the person is left open, and never when their row has no e-mail any more.
    """
    before = base.snapshot.people
    return {
        (identity, alias)
        for identity, alias in base.former
        if identity in left_open or (identity in before and before[identity].alias is None)
    }


def former_of(
    base: Base | None,
    left_open: Mapping[str, Pending],
    changes: Iterable[Change],
    settings: Settings,
) -> frozenset[tuple[str, str]]:
    """E-mails that this plan takes from people, and those that are still theirs."""
    if not settings.sends_alias or base is None:
        return frozenset()
    found = still_theirs(base, left_open)
    for change in changes:
        was = base.snapshot.people.get(change.identity)
        if was is not None and was.alias is not None and was.alias != change.alias:
            found.add((was.identity, was.alias))
    return frozenset(found)


# --- the brake -----------------------------------------------------------------------------


def brake(
    snapshot: Snapshot,
    base: Base | None,
    changes: Iterable[Change],
    counts: Counts,
    settings: Settings,
) -> Held | None:
    """Hold a run that would newly remove too many of those believed to be there.

    That is the base with its residue. Deletes carried over passed the brake when they were new.
    """
    leaving = sum(c.operation == "delete" and not c.carried for c in changes)
    believed = len(base.snapshot.people) + len(base.residue) if base else 0
    if leaving == 0 or believed == 0 or (leaving < FEW_DELETES and snapshot.people):
        return None
    if leaving * 100 <= settings.max_delete_percent * believed:
        return None
    return Held(leaving, believed, counts)

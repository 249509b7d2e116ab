"""Snapshot against base: the plan of a run.

Changes are computed between sets of identities. An identity is planned when it differs from the
base, or when an earlier run left it open: a failed record that is due, or a row of the last plan
that nobody confirmed (*pending*). Either way it is planned from the *current* source: there, an
upsert with today's values; gone, a delete. Who may not be deleted yet stays as *residue*.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Insert,
    Integer,
    String,
    and_,
    case,
    cast,
    exists,
    false,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    true,
    union,
    union_all,
)

from reverse_etl.warehouse.shape import field_set
from reverse_etl.warehouse.sql import Comparison
from reverse_etl.warehouse.statements.field_sets import with_set
from reverse_etl.warehouse.tables import empty, exact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import CompoundSelect, FromClause, Subquery, Table, TableClause

    from reverse_etl.connector import MappedField
    from reverse_etl.warehouse.shape import Base, Shape, SourceColumn
    from reverse_etl.warehouse.sql import Chosen, Expression, Sql

DELETE_PHASE, UPSERT_PHASE, TAKEOVER_PHASE, BY_ALIAS_PHASE = 0, 1, 2, 3

# Where what is pending comes from: in these an earlier run had planned it, and its deletes have
# passed the brake. The others are residue, and what an audit found wrong.
_PLANNED_BEFORE = ("plan", "failed")


@dataclass(frozen=True)
class PendingStatements:
    """What earlier runs left open, as one temporary table with one row per identity.

    Attributes:
        sync_name: The sync.
        failed: ``failed_records``.
        residue: ``residue``.
        base: The last committed run, or None.
        base_changes: Its plan, or None.
        base_outcomes: Its outcomes, or None.
        retry: Whether retryable failures are due.
        full: Whether everything is due.
        clears_fields: Whether it must be known which fields were sent.
        audited: Temporary table of what an audit found wrong, or None.
    """

    sync_name: str
    failed: FromClause
    residue: Table
    base: Base | None
    base_changes: TableClause | None
    base_outcomes: TableClause | None
    retry: bool
    full: bool
    clears_fields: bool = False
    audited: TableClause | None = None

    def collect(self) -> Chosen | CompoundSelect[Any]:
        """Unconfirmed changes, else failed records, residue, audit, of each identity."""
        failed = self._failed()
        if self.base is None:
            return failed
        unconfirmed = self._unconfirmed(self.base).subquery("unconfirmed")
        failures = failed.subquery("failures")
        left = self._residue(self.base).subquery("residues")
        parts = [unconfirmed, failures, left]
        if self.audited is not None:
            parts.append(self._audited(self.audited).subquery("audited"))
        return union_all(
            *(
                select(*part.c).where(*(~_named(earlier, part) for earlier in parts[:n]))
                for n, part in enumerate(parts)
            )
        )

    def _audited(self, rows: TableClause) -> Chosen:
        return select(
            rows.c["_identity"],
            rows.c["_alias"],
            rows.c["_primary_key"],
            rows.c["_operation"],
            literal("audit").label("_origin"),
            true().label("_due"),
            cast(null(), String).label("_fields"),
        )

    def _unconfirmed(self, base: Base) -> Chosen:
        changes, outcomes = self.base_changes, self.base_outcomes
        if changes is None or outcomes is None:
            message = "a committed run has a plan and outcomes"
            raise AssertionError(message)
        confirmed = exists().where(
            outcomes.c["seq"] == changes.c["_seq"],
            outcomes.c["status"] == "succeeded",
        )
        return select(
            changes.c["_identity"],
            changes.c["_alias"],
            changes.c["_primary_key"],
            changes.c["_operation"],
            literal("plan").label("_origin"),
            true().label("_due"),
            self._planned_fields(changes, base).label("_fields"),
        ).where(changes.c["_seq"] > base.position, ~confirmed)

    def _planned_fields(self, changes: TableClause, base: Base) -> Expression:
        if not self.clears_fields:
            return cast(null(), String)
        return func.coalesce(changes.c["_fields"], field_set(base.fields))

    def _failed(self) -> Chosen:
        rows = self.failed.c
        due: Expression = true()
        if not self.full:
            due = or_(
                rows.error_code == "unknown",
                and_(rows.retryable, _constant(self.retry)),
                rows.retry_requested_at.is_not(None),
            )
        return select(
            rows.identity.label("_identity"),
            rows.alias.label("_alias"),
            rows.primary_key.label("_primary_key"),
            rows.operation.label("_operation"),
            literal("failed").label("_origin"),
            cast(due, Boolean).label("_due"),
            rows.fields.label("_fields"),
        ).where(rows.sync_name == self.sync_name, ~rows.unidentified)

    def _residue(self, base: Base) -> Chosen:
        rows = self.residue.c
        return select(
            rows.identity.label("_identity"),
            rows.alias.label("_alias"),
            rows.primary_key.label("_primary_key"),
            literal("delete").label("_operation"),
            literal("residue").label("_origin"),
            true().label("_due"),
            rows.fields.label("_fields"),
        ).where(rows.sync_name == self.sync_name, rows.sync_run_id == base.run_id)


@dataclass(frozen=True)
class ChangesStatements:
    """The plan.

    Attributes:
        shape: The sync.
        sql: The engine's expressions.
        now: The new snapshot.
        refused: Its refused rows, which may still hold somebody's e-mail.
        previous: The base snapshot, or None on a first run.
        base: The base run, or None.
        former: ``former_aliases``.
        pending: The temporary table of :class:`PendingStatements`, or None when it is empty.
        full: Whether every current row is sent again.
    """

    shape: Shape
    sql: Sql
    now: TableClause
    refused: TableClause
    previous: TableClause | None
    base: Base | None
    former: Table
    pending: TableClause | None
    full: bool

    def plan(self) -> Chosen:
        """Every change, numbered in the order of sending."""
        if self._is_first and not self.shape.sends_alias:
            # All inserts: numbering them as they come spares a sort of the whole table. Not around
            # it: DuckDB numbers the rows of a table on all cores, those of a query on one (2.0).
            first = self._first_load()
            return first.with_only_columns(_numbered(), *first.selected_columns)
        changes = self._changes().subquery("planned")
        return select(_numbered(changes.c["_phase"], changes.c["_operation"]), *changes.c)

    @property
    def _is_first(self) -> bool:
        return self.previous is None and self.pending is None

    def _changes(self) -> Chosen:
        return self._first_load() if self._is_first else self._difference()

    def _first_load(self) -> Chosen:
        now = self.now
        phase: Expression = cast(UPSERT_PHASE, Integer)
        if self.shape.sends_alias:
            phase = case((self._known_by_alias(), BY_ALIAS_PHASE), else_=UPSERT_PHASE)
        return select(
            phase.label("_phase"),
            literal("insert").label("_operation"),
            now.c["_identity"],
            now.c["_alias"],
            now.c["_primary_key"],
            false().label("_retry"),
            false().label("_carried"),
            cast(null(), String).label("_fields"),
            *(now.c[name] for name in self.shape.plan_columns),
        )

    def _difference(self) -> Chosen:
        now, base = self.now, self._base_or_nothing()
        joined, differs = self.sql.pairs(now, base, self._comparison(now, base), self.pending)
        there = now.c["_identity"].is_not(None)
        takeover, joined = self._takeover(joined)
        may_be_deleted, joined = self._may_be_deleted(base, joined)
        return (
            select(
                case(
                    (~there, DELETE_PHASE),
                    *takeover,
                    else_=UPSERT_PHASE,
                ).label("_phase"),
                self._operation(base).label("_operation"),
                self._person(base, "_identity"),
                self._person(base, "_alias"),
                self._person(base, "_primary_key"),
                self._retry().label("_retry"),
                self._carried().label("_carried"),
                self._fields(base).label("_fields"),
                *(self._value(base, name) for name in self.shape.plan_columns),
            )
            .select_from(joined)
            .where(differs, or_(there, may_be_deleted))
        )

    def _base_or_nothing(self) -> FromClause:
        """The base snapshot; without one, a table of its form that is empty."""
        if self.previous is not None:
            return self.previous.alias("base")
        return select(*self.now.c).where(false()).subquery("base")

    # --- what differs ----------------------------------------------------------------------

    def _comparison(self, now: FromClause, base: FromClause) -> Comparison:
        return Comparison(
            self._compared(now, base),
            every_row=self.full or self._mapping_changed(),
            same_types=self._same_types(),
        )

    def _base_field(self, name: str) -> MappedField | None:
        fields = self.base.fields if self.base else ()
        return next((field for field in fields if field.name == name), None)

    def _mapping_changed(self) -> bool:
        """Whether a field is new, or its value now comes from elsewhere, for every row."""
        if self.base is None:
            return False
        return any(not self._same_origin(field) for field in self.shape.fields)

    def _same_origin(self, field: MappedField) -> bool:
        before = self._base_field(field.name)
        if before is None:
            return False
        same = _as_sent(field) == _as_sent(before)
        return same and self._comparable(field, before.column)

    def _comparable(self, field: MappedField, before: str | None) -> bool:
        if field.column is None or before is None:
            return field.column is before
        known = self.base.columns.get(before) if self.base else None
        if known is None:
            return False
        column = self.shape.columns[field.column]
        # As text, the integer 42 and the double 42.0 are two values.
        same = field.type != "string" or column.kind is known.kind
        return same and self.sql.comparable(column, known)

    def _same_types(self) -> bool:
        pairs = ((field, self._base_field(field.name)) for field in self.shape.fields)
        return all(
            self.shape.columns[field.column].type_name == self.base.columns[before.column].type_name
            for field, before in pairs
            if self.base and field.column and before and before.column in self.base.columns
        )

    def _compared(self, now: FromClause, base: FromClause) -> list[tuple[Expression, Expression]]:
        pairs: list[tuple[Expression, Expression]] = []
        if self.shape.sends_alias:
            pairs.append((now.c["_alias"], base.c["_alias"]))
        if self._mapping_changed():
            return pairs
        for field in self.shape.fields:
            before = self._base_field(field.name)
            if self.base and field.column and before and before.column:
                columns = self.shape.columns[field.column], self.base.columns[before.column]
                here, there = now.c[columns[0].name], base.c[columns[1].name]
                pairs.append(
                    (self._sent(field, here, columns[0]), self._sent(field, there, columns[1]))
                )
        return pairs

    def _sent(self, field: MappedField, value: Expression, column: SourceColumn) -> Expression:
        return self.sql.sent(
            value,
            column,
            as_text=field.type == "string",
            whole_seconds=self.shape.whole_seconds,
        )

    # --- what is planned -------------------------------------------------------------------

    def _operation(self, base: FromClause) -> Expression:
        gone = (self.now.c["_identity"].is_(None), literal("delete"))
        joined = (base.c["_identity"].is_(None), literal("insert"))
        if self.pending is None:
            return case(gone, joined, else_=literal("update"))
        # An insert stays an insert until it is confirmed, whatever the base says.
        open_insert = and_(
            self.pending.c["_operation"] == "insert",
            self.pending.c["_origin"] != "residue",
        )
        return case(gone, joined, (open_insert, literal("insert")), else_=literal("update"))

    def _retry(self) -> Expression:
        if self.pending is None:
            return false()
        due = and_(self.pending.c["_due"], self.pending.c["_origin"].in_(_PLANNED_BEFORE))
        return cast(func.coalesce(due, false()), Boolean)

    def _carried(self) -> Expression:
        """Whether a delete passed the brake in an earlier run."""
        if self.pending is None:
            return false()
        passed = and_(
            self.pending.c["_operation"] == "delete",
            self.pending.c["_origin"].in_(_PLANNED_BEFORE),
        )
        return cast(func.coalesce(passed, false()), Boolean)

    def _fields(self, base: FromClause) -> Expression:
        """Which fields a person may hold from us once this change was tried.

        NULL for an upsert means those that it sends, and no others.
        """
        nothing, sent = cast(null(), String), self.shape.field_set
        if sent is None:
            return nothing
        there = self.now.c["_identity"].is_not(None)
        if self.pending is None:
            return case((there, nothing), else_=self._fields_in_base())
        left_open = self.pending.c["_fields"]
        return case(
            (and_(there, left_open.is_(None)), nothing),
            (and_(there, base.c["_identity"].is_not(None)), with_set(self._fields_in_base(), sent)),
            (there, with_set(left_open, sent)),
            (base.c["_identity"].is_not(None), self._fields_in_base()),
            else_=left_open,
        )

    def _fields_in_base(self) -> Expression:
        """Which fields somebody who is in the base may hold from us, with what was left open."""
        left_open = cast(null(), String) if self.pending is None else self.pending.c["_fields"]
        if self.base is None:
            return left_open
        sent = field_set(self.base.fields)
        if self.pending is None:
            return literal(sent)
        # An insert is one until it is confirmed: of such a person the base knows only what was
        # to be sent, what was left open knows what perhaps was.
        unconfirmed = and_(
            self.pending.c["_operation"] == "insert",
            self.pending.c["_origin"].in_(_PLANNED_BEFORE),
        )
        perhaps = func.coalesce(left_open, field_set(()))
        return case((unconfirmed, perhaps), else_=with_set(left_open, sent))

    def _person(self, base: FromClause, name: str) -> Expression:
        """Who it is: as the source says now, else as the base said, else as was left open."""
        known: Expression = base.c[name]
        if self.pending is not None:
            there = base.c["_identity"].is_not(None)
            known = case((there, known), else_=self.pending.c[name])
        now = self.now.c
        return case((now["_identity"].is_not(None), now[name]), else_=known).label(name)

    def _value(self, base: FromClause, name: str) -> Expression:
        """A mapped value: today's, or for a delete what the base held."""
        now = self.now.c
        before: Expression = null()
        known = self.base.columns.get(name) if self.base else None
        if known == self.shape.columns[name] and name in base.c:
            before = base.c[name]
        value = case((now["_identity"].is_not(None), now[name]), else_=before)
        return value.label(exact(name))

    # --- who may leave ---------------------------------------------------------------------

    def _may_be_deleted(
        self,
        base: FromClause,
        joined: FromClause,
    ) -> tuple[Expression, FromClause]:
        """A person leaves only when no current row holds any of their identifiers."""
        if not self.shape.deletes:
            return false(), joined
        if not self.shape.alias_name:
            return true(), joined
        alias: Expression = base.c["_alias"]
        identity: Expression = base.c["_identity"]
        if self.pending is not None:
            there = base.c["_identity"].is_not(None)
            alias = case((there, alias), else_=self.pending.c["_alias"])
            identity = func.coalesce(identity, self.pending.c["_identity"])
        held = self._held().subquery("held")
        joined = joined.outerjoin(held, held.c["_alias"] == self._handle(identity, alias))
        if self.base is None or not self.shape.sends_alias:
            return held.c["_alias"].is_(None), joined
        formerly = self._formerly_held(self.base)
        joined = joined.outerjoin(formerly, formerly.c["identity"] == identity)
        return and_(held.c["_alias"].is_(None), formerly.c["identity"].is_(None)), joined

    def _formerly_held(self, base: Base) -> Subquery:
        """People who may still have an e-mail of a current row."""
        held, theirs = self._held().subquery("held_now"), self._still_theirs(base)
        joined = theirs.join(held, held.c["_alias"] == theirs.c["alias"])
        return select(theirs.c["identity"]).select_from(joined).distinct().subquery("formerly")

    def _still_theirs(self, base: Base) -> Subquery:
        """Former e-mails that people may still have.

        An e-mail is given up when another one has taken its place, for certain. Until then
        something of the person is left open; and for good when their row has no e-mail any more,
        because nothing tells the destination to forget the one it has.
        """
        rows = self.former.c
        joined: FromClause = self.former
        reasons: list[Expression] = []
        if self.pending is not None:
            left_open = self.pending.alias("still_open")
            joined = joined.outerjoin(left_open, left_open.c["_identity"] == rows.identity)
            reasons.append(left_open.c["_identity"].is_not(None))
        if self.previous is not None:
            before = self.previous.alias("as_before")
            joined = joined.outerjoin(before, before.c["_identity"] == rows.identity)
            known = before.c["_identity"].is_not(None)
            reasons.append(and_(known, before.c["_alias"].is_(None)))
        mine = [rows.sync_name == self.shape.sync_name, rows.sync_run_id == base.run_id]
        chosen = select(rows.identity, rows.alias).select_from(joined)
        return chosen.where(*mine, or_(false(), *reasons)).subquery("still_theirs")

    def keep_former(self, changes: TableClause, run_id: int) -> Insert:
        """Remember the e-mails that this plan takes from people, and those still theirs."""
        sources: list[Chosen] = []
        if self.previous is not None:
            before, now = self.previous.c, changes.c
            replaced = self.previous.join(changes, before["_identity"] == now["_identity"])
            other = before["_alias"].is_distinct_from(now["_alias"])
            chosen = select(before["_identity"].label("identity"), before["_alias"].label("alias"))
            sources.append(
                chosen.select_from(replaced).where(before["_alias"].is_not(None), other),
            )
        if self.base is not None:
            theirs = self._still_theirs(self.base).c
            sources.append(select(theirs["identity"], theirs["alias"]))
        names = ["sync_name", "sync_run_id", "identity", "alias"]
        found = union(*sources) if sources else empty(("identity", "alias"))
        kept = found.subquery("kept")
        key: list[Expression] = [literal(self.shape.sync_name), literal(run_id)]
        rows_kept = select(*key, kept.c["identity"], kept.c["alias"])
        return insert(self.former).from_select(names, rows_kept)

    def write_again(self, pending: TableClause, base: Base) -> Insert:
        """Plan those again who were written into a profile that moves on only now.

        Whoever is known by nothing but an e-mail is written into the profile that has it. Had
        somebody's loss of it failed before, the profile was theirs, and takes its place on the
        list along when they get their own e-mail.
        """
        rows, open_ = self._losing(pending, base).c, pending.alias("left_open")
        now, before = self.now.alias("holder"), self._base_or_nothing().alias("holder_before")
        known = self.now.alias("known_by_alias")
        joined = (
            open_.join(rows.identity.table, open_.c["_identity"] == rows.identity)
            .join(now, now.c["_identity"] == rows.identity)
            .outerjoin(before, before.c["_identity"] == rows.identity)
            .join(known, known.c["_identity"] == self._name_of(rows.alias))
        )
        chosen = (
            select(
                known.c["_identity"],
                known.c["_alias"],
                known.c["_primary_key"],
                literal("update").label("_operation"),
                literal("moved").label("_origin"),
                true().label("_due"),
                cast(null(), String).label("_fields"),
            )
            .select_from(joined)
            .where(
                now.c["_alias"].is_distinct_from(rows.alias),
                or_(open_.c["_due"], self.sql.differs(now, before, self._comparison(now, before))),
                ~_named(pending, known),
            )
            .distinct()
        )
        return insert(pending).from_select([column.name for column in pending.c], chosen)

    def _losing(self, pending: TableClause, base: Base) -> Subquery:
        """The e-mails of those who were left open: as they left, and still unconfirmed ones."""
        rows, left = self.former.c, pending.c
        mine = [rows.sync_name == self.shape.sync_name, rows.sync_run_id == base.run_id]
        former = select(rows.identity, rows.alias).where(*mine)
        as_left = select(left["_identity"], left["_alias"]).where(left["_alias"].is_not(None))
        return union(former, as_left).subquery("losing")

    def _known_by_alias(self) -> Expression:
        """Whether somebody is known by nothing but an e-mail."""
        return self.now.c["_identity"] == self._name_of(self.now.c["_alias"])

    def _name_of(self, alias: Expression) -> Expression:
        return literal(f"{self.shape.alias_name}:") + alias

    def _handle(self, identity: Expression, alias: Expression) -> Expression:
        """The e-mail by which a current row may still hold this person, or an empty text."""
        if self.shape.sends_alias:
            return func.coalesce(alias, "")
        # The user id went alone, so an e-mail holds only somebody who is known by it.
        by_alias = identity == self._name_of(alias)
        return case((by_alias, alias), else_=literal(""))

    def _held(self) -> CompoundSelect[Any]:
        now, refused = self.now.c["_alias"], self.refused.c["_alias"]
        return union(
            select(now).where(now.is_not(None)),
            select(refused).where(refused.is_not(None)),
        )

    def _takeover(self, joined: FromClause) -> tuple[list[Any], FromClause]:
        """Upserts that take an e-mail over from somebody else go late.

        Last go those who have nothing but an e-mail: while a profile that is to move on still has
        it, they would be written there.
        """
        if not (self.shape.sends_alias and self.previous is not None):
            return [], joined
        holder, now = self.previous.alias("holder"), self.now.c
        elsewhere = and_(
            holder.c["_alias"] == now["_alias"], holder.c["_identity"] != now["_identity"]
        )
        joined = joined.outerjoin(holder, elsewhere)
        taken: Expression = holder.c["_identity"].is_not(None)
        if self.base is not None:
            former = self._former_holders(self.base)
            elsewhere = and_(
                former.c["alias"] == now["_alias"],
                or_(former.c["first"] != now["_identity"], former.c["last"] != now["_identity"]),
            )
            joined = joined.outerjoin(former, elsewhere)
            taken = or_(taken, former.c["alias"].is_not(None))
        return [(self._known_by_alias(), BY_ALIAS_PHASE), (taken, TAKEOVER_PHASE)], joined

    def _former_holders(self, base: Base) -> Subquery:
        """Who may still have an e-mail because losing it is unconfirmed: one row for each."""
        rows = self.former.c
        first, last = func.min(rows.identity), func.max(rows.identity)
        chosen = select(rows.alias, first.label("first"), last.label("last"))
        mine = [rows.sync_name == self.shape.sync_name, rows.sync_run_id == base.run_id]
        return chosen.where(*mine).group_by(rows.alias).subquery("former_holders")

    def keep_residue(self, residue: Table, changes: TableClause, run_id: int) -> Insert:
        """Remember who left the source, is not planned, and may still be at the destination."""
        sources = []
        if self.previous is not None:
            sources.append(self._gone_from_base(self.previous, changes))
        if self.pending is not None:
            sources.append(self._still_open(self.pending, changes))
        names = ("identity", "alias", "primary_key", "fields")
        gone = (union_all(*sources) if sources else empty(names)).subquery("gone")
        key: list[Expression] = [literal(self.shape.sync_name), literal(run_id)]
        rows = select(*key, *gone.c)
        return insert(residue).from_select(["sync_name", "sync_run_id", *names], rows)

    def _gone_from_base(self, base: TableClause, changes: TableClause) -> Chosen:
        if not self.shape.clears_fields:
            return self._gone(base, changes, cast(null(), String))
        chosen = self._gone(base, changes, self._fields_in_base())
        if self.pending is None:
            return chosen
        same = self.pending.c["_identity"] == base.c["_identity"]
        return chosen.select_from(base.outerjoin(self.pending, same))

    def _still_open(self, pending: TableClause, changes: TableClause) -> Chosen:
        """Who left before the base run: of an identity in both, the base knows better."""
        chosen = self._gone(pending, changes, pending.c["_fields"])
        if self.previous is not None:
            chosen = chosen.where(~_named(self.previous, pending))
        # A refused delete that waits is named in failed_records, and stays there.
        return chosen.where(pending.c["_due"]) if self.shape.deletes else chosen

    def _gone(self, rows: TableClause, changes: TableClause, fields: Expression) -> Chosen:
        names = ("_identity", "_alias", "_primary_key")
        chosen = select(*(rows.c[name].label(name[1:]) for name in names), fields.label("fields"))
        return chosen.where(~_named(self.now, rows), ~_named(changes, rows))


def _numbered(*order: Expression) -> Expression:
    return cast(func.row_number().over(order_by=order or None), BigInteger).label("_seq")


def _as_sent(field: MappedField) -> tuple[object, ...]:
    """Return what else than a column decides what is sent."""
    # As JSON: to Python 1 and true are equal.
    constant = json.dumps(field.constant, default=str)
    return constant, field.type, field.null, field.column is None


def _named(rows: FromClause, others: FromClause) -> Any:  # noqa: ANN401 - an EXISTS
    return exists().where(rows.c["_identity"] == others.c["_identity"])


def _constant(value: bool) -> Expression:  # noqa: FBT001 - it is the value itself
    return true() if value else false()


def count_rows(table: FromClause) -> Chosen:
    """Count the rows of a table."""
    return select(func.count()).select_from(table)


def count_plan(changes: TableClause) -> Chosen:
    """Count the plan by phase, operation, whether it is a retry, and whether a delete is carried.

    With the first and the last place of each, since a phase's operation is in one piece.
    """
    by = [changes.c[name] for name in ("_phase", "_operation", "_retry", "_carried")]
    seq = changes.c["_seq"]
    return select(*by, func.count(), func.min(seq), func.max(seq)).group_by(*by)


def count_residue(residue: Table, sync_name: str, run_id: int) -> Chosen:
    """Count who left the source before this run and may still be at the destination."""
    rows = residue.c
    mine = [rows.sync_name == sync_name, rows.sync_run_id == run_id]
    return select(func.count()).select_from(residue).where(*mine)


def plan_range(changes: TableClause, first: int, last: int, columns: Sequence[Any]) -> Chosen:
    """A page of the plan, by its place in the order of sending."""
    seq = changes.c["_seq"]
    return select(*columns).where(seq >= first, seq <= last).order_by(seq)


def sample_deletes(changes: TableClause, count: int) -> Chosen:
    """Some of the people who would newly leave."""
    chosen = select(changes.c["_identity"]).where(changes.c["_operation"] == "delete")
    return chosen.where(~changes.c["_carried"]).order_by(changes.c["_identity"]).limit(count)


def digest(sql: Sql, changes: TableClause, columns: Sequence[str]) -> Chosen:
    """A number that is the same for the same changes, in any order."""
    return select(sql.sum_of_hashes([changes.c[name] for name in columns]))

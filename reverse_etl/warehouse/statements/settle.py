"""Outcomes into the sync log and the failed records: set work over the stored plan.

A change of a run is one of these, by its place in the plan:

    at or below the position     settled: its outcome, or a plain success when it has none
    above, with an outcome       settled out of order: its outcome
    above, within the window     perhaps sent when the run was killed: failed, unknown
    above the window             not tried: no line; the next run plans it again
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Boolean,
    DateTime,
    Delete,
    Insert,
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
    union_all,
)
from sqlalchemy import delete as sql_delete

from reverse_etl.warehouse.shape import field_set

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import FromClause, Subquery, Table, TableClause

    from reverse_etl.warehouse.sql import Chosen, Expression
    from reverse_etl.warehouse.tables import Columns

UNKNOWN = "unknown"
KILLED = "the run was killed while this change may have been on its way"

PERSON = ("_operation", "_identity", "_alias", "_primary_key")

SETTLED_COLUMNS: Columns = ("identity", ("unidentified", Boolean))

FAILED_COLUMNS = (
    "sync_name",
    "identity",
    "primary_key",
    "operation",
    "error_code",
    "error_reason",
    "retryable",
    "attempts",
    "first_failed_run_id",
    "last_failed_run_id",
    "first_failed_at",
    "last_failed_at",
    "alias",
    "unidentified",
    "fields",
    "retry_requested_at",
)


# Whoever was asked for has been tried by now.
_NOT_ASKED = cast(null(), DateTime).label("retry_requested_at")


@dataclass(frozen=True)
class SettleStatements:
    """The statements that settle one run.

    Attributes:
        sync_name: The sync.
        run_id: The run.
        changes: Its plan.
        outcomes: Its outcomes, or None when there are none: then all that was settled succeeded.
        refused: Its refused rows.
        snapshot: Its snapshot.
        log: ``sync_log``.
        failed: ``failed_records``, or a copy of what it says of this sync.
        residue: ``residue``.
        position: Every change at or below it is settled.
        window: No change above it was sent (the position itself in an orderly end).
        field_set: Which fields its upserts send, where that must be known.
    """

    sync_name: str
    run_id: int
    changes: TableClause
    outcomes: TableClause | None
    refused: TableClause
    snapshot: TableClause
    log: Table
    failed: FromClause
    residue: Table
    position: int
    window: int
    field_set: str | None = None

    def tried(self) -> Subquery:
        """The changes that were tried, each with what became of it."""
        if self.outcomes is None:
            return self._tried_alike().subquery("tried")
        seq, outcome = self.changes.c["_seq"], self.outcomes.c
        settled = outcome["seq"].is_not(None)
        doubtful = and_(~settled, seq > self.position)
        return (
            select(
                *(self.changes.c[name] for name in PERSON),
                case(
                    (settled, outcome["status"]),
                    (doubtful, literal("failed")),
                    else_=literal("succeeded"),
                ).label("status"),
                case((doubtful, literal(UNKNOWN)), else_=outcome["error_code"]).label("error_code"),
                case((doubtful, literal(KILLED)), else_=outcome["error_reason"]).label(
                    "error_reason",
                ),
                func.coalesce(outcome["retryable"], doubtful).label("retryable"),
                func.coalesce(outcome["attempts"], 1).label("attempts"),
                # What we refused ourselves was not sent.
                self._fields(unsent=outcome["outcome"] == "invalid").label("fields"),
            )
            .select_from(self.changes.outerjoin(self.outcomes, outcome["seq"] == seq))
            .where(or_(seq <= max(self.position, self.window), settled))
            .subquery("tried")
        )

    def _tried_alike(self) -> Chosen:
        """The same without a join, of a run in which each answer so far was a plain success."""
        seq, nothing = self.changes.c["_seq"], cast(null(), String)

        def told(doubtful: Expression, settled: Expression) -> Expression:
            if self.window <= self.position:
                return settled
            return case((seq > self.position, doubtful), else_=settled)

        def word(text: str) -> Expression:
            # Redshift gives a bare literal of a query within a query no type, and groups by none.
            return cast(literal(text), String)

        return select(
            *(self.changes.c[name] for name in PERSON),
            told(word("failed"), word("succeeded")).label("status"),
            told(word(UNKNOWN), nothing).label("error_code"),
            told(word(KILLED), nothing).label("error_reason"),
            told(true(), false()).label("retryable"),
            literal(1).label("attempts"),
            self._fields().label("fields"),
        ).where(seq <= max(self.position, self.window))

    def _fields(self, unsent: Expression | None = None) -> Expression:
        """Which fields the person may hold from us now; the plan knows what was open before."""
        if self.field_set is None:
            return cast(null(), String)
        before = self.changes.c["_fields"]
        sent = func.coalesce(before, self.field_set)
        if unsent is None:
            return sent
        return case((unsent, func.coalesce(before, field_set(()))), else_=sent)

    def count(self) -> Chosen:
        """How many changes were tried, by operation and status."""
        tried = self.tried()
        by = [tried.c["_operation"], tried.c["status"]]
        return select(*by, func.count()).group_by(*by)

    def write_log(self, started: datetime, finished: datetime) -> list[Insert]:
        """One line for each change that was tried, and for each row newly refused."""
        names = [column.name for column in self.log.columns]
        times: list[Expression] = [literal(started), literal(finished)]
        key: list[Expression] = [literal(self.sync_name), literal(self.run_id)]
        tried, refused = self.tried(), self.refused.c
        lines = select(
            *key,
            tried.c["_primary_key"],
            tried.c["_identity"],
            tried.c["_operation"],
            tried.c["status"],
            tried.c["error_code"],
            tried.c["error_reason"],
            tried.c["attempts"],
            *times,
        )
        unsent = select(
            *key,
            refused["_primary_key"],
            refused["_identity"],
            literal("insert"),
            literal("failed"),
            refused["_error_code"],
            refused["_error_reason"],
            literal(0),
            *times,
        ).where(refused["_new"], or_(refused["_kind"] == "invalid", refused["_differs"]))
        return [insert(self.log).from_select(names, chosen) for chosen in (lines, unsent)]

    # --- failed records --------------------------------------------------------------------

    def collect_failures(self, finished: datetime) -> Chosen:
        """The failed records of this run: new ones, and old ones brought up to date."""
        return select(
            *union_all(self._failures(finished), self._unidentified(finished)).subquery("both").c,
        )

    def _failures(self, finished: datetime) -> Chosen:
        tried, old = self.tried(), self.failed.alias("old")
        same = and_(
            old.c.sync_name == self.sync_name,
            old.c.identity == tried.c["_identity"],
            ~old.c.unidentified,
        )
        chosen = select(
            literal(self.sync_name).label("sync_name"),
            tried.c["_identity"].label("identity"),
            tried.c["_primary_key"].label("primary_key"),
            tried.c["_operation"].label("operation"),
            tried.c["error_code"],
            tried.c["error_reason"],
            cast(tried.c["retryable"], Boolean).label("retryable"),
            *self._history(old, finished),
            tried.c["_alias"].label("alias"),
            false().label("unidentified"),
            tried.c["fields"],
            _NOT_ASKED,
        )
        joined = tried.outerjoin(old, same)
        return chosen.select_from(joined).where(tried.c["status"] == "failed")

    def _history(self, old: Any, finished: datetime) -> list[Expression]:  # noqa: ANN401
        return [
            (func.coalesce(old.c.attempts, 0) + 1).label("attempts"),
            func.coalesce(old.c.first_failed_run_id, self.run_id).label("first_failed_run_id"),
            literal(self.run_id).label("last_failed_run_id"),
            func.coalesce(old.c.first_failed_at, literal(finished)).label("first_failed_at"),
            literal(finished).label("last_failed_at"),
        ]

    def _unidentified(self, finished: datetime) -> Chosen:
        rows, old = self.refused, self.failed.alias("known")
        same = and_(
            old.c.sync_name == self.sync_name,
            old.c.identity == rows.c["_identity"],
            old.c.unidentified,
        )
        history = self._history(old, finished)
        # A row that is refused as before keeps its dates: nothing happened to it in this run.
        unchanged = and_(
            old.c.error_code == rows.c["_error_code"],
            old.c.error_reason == rows.c["_error_reason"],
        )
        names = FAILED_COLUMNS[7:12]
        kept = [
            case((unchanged, old.c[name]), else_=column).label(name)
            for name, column in zip(names, history, strict=True)
        ]
        return (
            select(
                literal(self.sync_name).label("sync_name"),
                rows.c["_identity"].label("identity"),
                rows.c["_primary_key"].label("primary_key"),
                literal("insert").label("operation"),
                rows.c["_error_code"].label("error_code"),
                rows.c["_error_reason"].label("error_reason"),
                false().label("retryable"),
                *kept,
                cast(null(), String).label("alias"),
                literal(True).label("unidentified"),  # noqa: FBT003
                cast(null(), String).label("fields"),
                _NOT_ASKED,
            )
            .select_from(rows.outerjoin(old, same))
            .where(rows.c["_kind"] == "invalid")
        )

    def collect_settled(self, *, deletes: bool) -> Chosen:
        """The failed records so far that this run settled, renewed, or made pointless."""
        rows = self.failed.c
        chosen = select(rows.identity, rows.unidentified).where(rows.sync_name == self.sync_name)
        people = chosen.where(~rows.unidentified)
        kept = self.residue.c
        residue = select(kept.identity).where(
            kept.sync_name == self.sync_name, kept.sync_run_id == self.run_id
        )
        # Apart, and not "IN … OR IN …": PostgreSQL can hash only what is joined.
        parts = [
            people.where(rows.identity.in_(select(self.tried().c["_identity"]))),
            people.where(rows.identity.in_(residue)),
            chosen.where(rows.unidentified),
        ]
        if not deletes:
            there = exists().where(self.snapshot.c["_identity"] == rows.identity)
            parts.append(people.where(~there))
        return select(*union_all(*parts).subquery("settled").c)


def clear_failures(failed: Table, sync_name: str, settled: FromClause) -> Delete:
    """Remove what :meth:`SettleStatements.collect_settled` found."""
    rows = failed.c
    named = exists().where(
        settled.c["identity"] == rows.identity, settled.c["unidentified"] == rows.unidentified
    )
    return sql_delete(failed).where(rows.sync_name == sync_name, named)


def add_failures(failed: Table, fresh: FromClause) -> Insert:
    """Write what :meth:`SettleStatements.collect_failures` found."""
    chosen = select(*(fresh.c[name] for name in FAILED_COLUMNS))
    return insert(failed).from_select(list(FAILED_COLUMNS), chosen)

"""Some rows for a person to look at: of a plan, of a snapshot, of what is known of one person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import BigInteger, String, and_, case, cast, func, literal, null, or_, select

from reverse_etl.warehouse.shape import Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy import FromClause, Table, TableClause

    from reverse_etl.warehouse.sql import Chosen, Expression

_PLAIN = {Kind.INTEGER, Kind.FLOAT, Kind.BOOLEAN}


class Mapped(NamedTuple):
    """A run table with the kinds of its mapped columns, by name."""

    table: FromClause
    columns: Mapping[str, Kind]

    def values(self) -> list[Expression]:
        """Return the columns as every driver can hand them over.

        All but numbers and booleans become text: DuckDB's driver needs pytz for a time with a zone.
        """
        rows = self.table.c
        return [
            rows[name] if kind in _PLAIN else cast(rows[name], String)
            for name, kind in self.columns.items()
        ]


def sample_plan(plan: Mapped, before: Mapped | None, operation: str, count: int) -> Chosen:
    """Some changes of one operation, in the order of sending.

    Args:
        plan: The plan.
        before: The snapshot that it was compared with, or None.
        operation: ``insert``, ``update`` or ``delete``.
        count: At most so many.

    Returns:
        ``_identity``, ``_alias``, ``_primary_key``, ``_operation``, ``_retry``, ``_fields``;
        whether the snapshot before has the person, and with which alias; the plan's columns, and
        those of the snapshot.
    """
    chosen = _planned(plan, before).where(plan.table.c["_operation"] == operation)
    return chosen.order_by(plan.table.c["_seq"]).limit(count)


def find_in_plan(plan: Mapped, before: Mapped | None, identities: Collection[str]) -> Chosen:
    """The changes of some people, with the columns of :func:`sample_plan`."""
    chosen = _planned(plan, before).where(plan.table.c["_identity"].in_(identities))
    return chosen.order_by(plan.table.c["_seq"])


def _planned(plan: Mapped, before: Mapped | None) -> Chosen:
    changes = plan.table.c
    names = ("_identity", "_alias", "_primary_key", "_operation", "_retry", "_fields")
    ours = [changes[name] for name in names]
    if before is None:
        nobody = (literal(0).label("_known"), cast(null(), String).label("_was_alias"))
        return select(*ours, *nobody, *plan.values())
    was = Mapped(before.table.alias("was"), before.columns)
    known = case((was.table.c["_identity"].is_not(None), 1), else_=0).label("_known")
    joined = plan.table.outerjoin(was.table, was.table.c["_identity"] == changes["_identity"])
    values = [value.label(f"now_{n}") for n, value in enumerate(plan.values())]
    older = [value.label(f"was_{n}") for n, value in enumerate(was.values())]
    alias = was.table.c["_alias"].label("_was_alias")
    return select(*ours, known, alias, *values, *older).select_from(joined)


def find_in_snapshot(
    snapshot: Mapped, identities: Collection[str], primary_key: str | None, most: int
) -> Chosen:
    """Some rows of some people, or with a primary key: identity, primary key, columns."""
    rows = snapshot.table.c
    ours = [rows["_identity"], rows["_primary_key"]]
    chosen = select(*ours, *snapshot.values()).where(_is_named(rows, identities, primary_key))
    return chosen.order_by(rows["_identity"]).limit(most)


def find_refused(
    refused: TableClause, identities: Collection[str], primary_key: str | None, most: int
) -> Chosen:
    """Some refused rows of some people, or with a primary key."""
    rows = refused.c
    names = ("_identity", "_primary_key", "_error_code", "_error_reason")
    chosen = select(*(rows[name] for name in names))
    chosen = chosen.where(_is_named(rows, identities, primary_key))
    return chosen.order_by(rows["_identity"], rows["_primary_key"]).limit(most)


def refused_by_reason(refused: TableClause) -> Chosen:
    """Count refused rows by what is wrong with them: kind, error code, rows, of them new."""
    rows = refused.c
    by = (rows["_kind"], rows["_error_code"])
    number = cast(func.sum(rows["_rows"]), BigInteger)
    new = cast(func.sum(case((rows["_new"], rows["_rows"]), else_=0)), BigInteger)
    return select(*by, number, new).group_by(*by).order_by(number.desc())


def sample_refused(refused: TableClause, count: int) -> Chosen:
    """Some refused rows of each error code: code, identity, primary key, reason."""
    rows = refused.c
    place = func.row_number().over(
        partition_by=rows["_error_code"], order_by=(rows["_primary_key"], rows["_identity"])
    )
    names = ("_error_code", "_identity", "_primary_key", "_error_reason")
    placed = select(*(rows[name] for name in names), place.label("_place")).subquery("placed")
    chosen = select(*(placed.c[name] for name in names)).where(placed.c["_place"] <= count)
    return chosen.order_by(placed.c["_error_code"], placed.c["_place"])


def retries_by_reason(changes: TableClause, failed: FromClause, sync_name: str) -> Chosen:
    """Count the planned changes that an earlier run left open, by the code of their record.

    NULL for those without one: planned by a run that did not come to send or confirm them.
    """
    same = and_(
        failed.c.sync_name == sync_name,
        failed.c.identity == changes.c["_identity"],
        ~failed.c.unidentified,
    )
    chosen = select(failed.c.error_code, func.count()).select_from(changes.outerjoin(failed, same))
    counted = chosen.where(changes.c["_retry"]).group_by(failed.c.error_code)
    return counted.order_by(func.count().desc())


# --- one person ----------------------------------------------------------------------------


def known_under(table: FromClause, sync_name: str | None, primary_key: str, most: int) -> Chosen:
    """Some of those whom a table knows under a primary key, once each.

    Args:
        table: ``sync_log`` or ``failed_records``; or a snapshot, without a sync's name.
        sync_name: The sync.
        primary_key: The key.
        most: At most so many.
    """
    mark = "" if sync_name else "_"
    identity, key = table.c[f"{mark}identity"], table.c[f"{mark}primary_key"]
    mine = [table.c["sync_name"] == sync_name] if sync_name else []
    chosen = select(identity).where(*mine, key == primary_key).distinct()
    return chosen.order_by(identity).limit(most)


def log_of(log: Table, sync_name: str, identities: Collection[str]) -> Chosen:
    """Every line of some people, in order."""
    named = log.c.identity.in_(identities)
    lines = select(log).where(log.c.sync_name == sync_name, named)
    return lines.order_by(log.c.sync_run_id, log.c.primary_key)


def failed_records_of(failed: Table, sync_name: str, identities: Collection[str]) -> Chosen:
    """The failed records of some people."""
    named = failed.c.identity.in_(identities)
    return select(failed).where(failed.c.sync_name == sync_name, named).order_by(failed.c.identity)


def residue_of(residue: Table, sync_name: str, run_id: int, identities: Collection[str]) -> Chosen:
    """Who of some people left the query and may still be at the destination."""
    rows = residue.c
    mine = (rows.sync_name == sync_name, rows.sync_run_id == run_id)
    return select(rows.identity).where(*mine, rows.identity.in_(identities))


def planned_of(changes: TableClause, outcomes: TableClause, identities: Collection[str]) -> Chosen:
    """What the last committed plan has for some people, each with its outcome, if it has one."""
    ours = [changes.c[name] for name in ("_identity", "_seq", "_operation")]
    told = [outcomes.c[name] for name in ("status", "error_code")]
    joined = changes.outerjoin(outcomes, outcomes.c["seq"] == changes.c["_seq"])
    chosen = select(*ours, *told).select_from(joined)
    return chosen.where(changes.c["_identity"].in_(identities))


def _is_named(rows: Any, identities: Collection[str], primary_key: str | None) -> Expression:  # noqa: ANN401 - columns
    return _either(rows["_identity"].in_(identities), rows["_primary_key"], primary_key)


def _either(named: Expression, column: Expression, primary_key: str | None) -> Expression:
    return named if primary_key is None else or_(named, column == primary_key)

"""Who is really at the destination, against who is believed to be there.

The destination names its members one by one, by an identifier. Where a project has two kinds of
identifiers it is read twice (two *readings*): the first shows everyone by the first kind if they
have it, the second by the second kind. What a line may be as an identity is its *handle*; with
two kinds it has two.

A person with both identifiers is on two lines, and nothing says which two. So:

* a line in both readings is somebody with one identifier;
* whoever is found by one identifier alone (*half*) explains one line of the other reading, and
  nobody knows which. While there are such people, a line that only that reading has may be
  theirs, and is nobody of ours for certain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Boolean,
    Integer,
    String,
    and_,
    case,
    cast,
    func,
    literal,
    null,
    or_,
    select,
    union,
    union_all,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import CompoundSelect, FromClause, Join, Table, TableClause

    from reverse_etl.warehouse.sql import Chosen, Expression
    from reverse_etl.warehouse.tables import Columns, RunTables

FIRST, SECOND = "first", "second"

READING_COLUMNS: Columns = (("_reading", Integer),)
LINE_COLUMNS: Columns = ("_handle", "_other", ("_in_first", Integer), ("_in_second", Integer))
PEOPLE_COLUMNS: Columns = (
    "_identity",
    "_alias",
    "_primary_key",
    ("_open", Boolean),
    ("_found", Boolean),
    "_half",
)
EXTRA_COLUMNS: Columns = (*LINE_COLUMNS, ("_open", Integer))
CLAIM_COLUMNS: Columns = ("_identity", "_alias", "_primary_key")


@dataclass(frozen=True)
class MemberStatements:
    """The comparison of a list with the base.

    Attributes:
        sync_name: The sync.
        identifiers: Names of the kinds of identifiers, in order of precedence; one or two.
        prefixed: Whether an identity is written ``name:value``.
        sends_alias: Whether the second identifier was sent along with the first.
        base: The base snapshot.
        open: Temporary table of what earlier runs left open, see ``PendingStatements``.
        members: Temporary table of what the destination said.
        lines: Temporary table: its lines, each once.
        people: Temporary table: the base, and whether each was found.
        extras: Temporary table: the lines that nobody of the base explains.
        claims: Temporary table: those of them whom this sync once added.
    """

    sync_name: str
    identifiers: Sequence[str]
    prefixed: bool
    sends_alias: bool
    base: TableClause
    open: TableClause
    members: TableClause
    lines: TableClause
    people: TableClause
    extras: TableClause
    claims: TableClause

    @property
    def _has_two(self) -> bool:
        return len(self.identifiers) > 1

    # --- what the destination said ---------------------------------------------------------

    def each_line(self) -> Chosen:
        """Every line once, as the identities that it may be."""
        rows = self.members.c
        handles = [self._named(name, rows[name]) for name in self.identifiers]
        named = select(
            handles[0].label("_handle"),
            (handles[1] if self._has_two else cast(null(), String)).label("_other"),
            rows["_reading"],
        ).subquery("named")
        second = 1 if self._has_two else 0
        return (
            select(
                named.c["_handle"],
                func.max(named.c["_other"]).label("_other"),
                func.max(_whether(named.c["_reading"] == 0)).label("_in_first"),
                func.max(_whether(named.c["_reading"] == second)).label("_in_second"),
            )
            .where(named.c["_handle"].is_not(None))
            .group_by(named.c["_handle"])
        )

    def _named(self, name: str, value: Expression) -> Expression:
        return literal(f"{name}:") + value if self.prefixed else value

    def _by_alias(self, rows: FromClause) -> Expression:
        """The handle of somebody's second identifier."""
        return self._named(self.identifiers[1], rows.c["_alias"])

    # --- who is believed to be there -------------------------------------------------------

    def find_people(self) -> Chosen:
        """The people of the base, each with whether a line names them."""
        base, lines = self.base, self.lines
        joined = base.outerjoin(self.open, self.open.c["_identity"] == base.c["_identity"])
        joined = joined.outerjoin(lines, lines.c["_handle"] == base.c["_identity"])
        found: Expression = lines.c["_handle"].is_not(None)
        half: Expression = cast(null(), String)
        if self._has_two:
            others = self._others()
            joined = joined.outerjoin(others, others.c["_other"] == self._known_alias())
            by_other = others.c["_other"].is_not(None)
            half = case(
                (and_(found, ~by_other, lines.c["_in_second"] == 0), literal(FIRST)),
                (and_(~found, by_other, others.c["_in_first"] == 0), literal(SECOND)),
                else_=half,
            )
            found = or_(found, by_other)
        return select(
            base.c["_identity"],
            base.c["_alias"],
            base.c["_primary_key"],
            self.open.c["_identity"].is_not(None).label("_open"),
            found.label("_found"),
            half.label("_half"),
        ).select_from(joined)

    def _others(self) -> Any:  # noqa: ANN401 - a subquery
        """The lines by their second handle; two spellings of an e-mail address are one."""
        rows = self.lines.c
        chosen = select(rows["_other"], func.max(rows["_in_first"]).label("_in_first"))
        return chosen.where(rows["_other"].is_not(None)).group_by(rows["_other"]).subquery("others")

    def _known_alias(self) -> Expression:
        """The second handle under which somebody of the base was sent."""
        alias = self._by_alias(self.base)
        if self.sends_alias:
            return alias
        return case((self.base.c["_identity"] == alias, alias), else_=cast(null(), String))

    def count_people(self) -> Chosen:
        """Count the base by whether their state is open, whether found, and how."""
        rows = self.people.c
        by = [rows["_open"], rows["_found"], rows["_half"]]
        return select(*by, func.count()).group_by(*by)

    # --- who else is there -----------------------------------------------------------------

    def find_extras(self) -> Chosen:
        """The lines that nobody of the base explains; ``_open`` is NULL, 0 (as alias) or 1."""
        lines, base = self.lines, self.base
        joined: FromClause = lines.outerjoin(base, base.c["_identity"] == lines.c["_handle"])
        unknown = [base.c["_identity"].is_(None)]
        left = self._open_handles().subquery("left_open")
        joined = joined.outerjoin(left, left.c["handle"] == lines.c["_handle"])
        is_open: Expression = left.c["own"]
        if self._has_two:
            named, known = base.alias("by_other"), base.alias("by_alias")
            joined = joined.outerjoin(named, named.c["_identity"] == lines.c["_other"])
            joined = joined.outerjoin(known, self._by_alias(known) == lines.c["_other"])
            unknown += [named.c["_identity"].is_(None), known.c["_identity"].is_(None)]
            too = left.alias("left_open_too")
            joined = joined.outerjoin(too, too.c["handle"] == lines.c["_other"])
            is_open = func.coalesce(is_open, too.c["own"])
        return select(*lines.c, is_open.label("_open")).select_from(joined).where(*unknown)

    def _open_handles(self) -> Chosen:
        rows = self.open
        found = [select(rows.c["_identity"].label("handle"), literal(1).label("own"))]
        if self._has_two:
            alias = select(self._by_alias(rows).label("handle"), literal(0).label("own"))
            found.append(alias.where(rows.c["_alias"].is_not(None)))
        handles = union_all(*found).subquery("handles")
        chosen = select(handles.c["handle"], func.max(handles.c["own"]).label("own"))
        return chosen.group_by(handles.c["handle"])

    def count_extras(self) -> Chosen:
        """Count the extra lines by the readings they are in, and by whether they are open."""
        rows = self.extras.c
        by = [rows["_in_first"], rows["_in_second"], rows["_open"]]
        return select(*by, func.count()).group_by(*by)

    def find_claims(self, log: Table, since: int, older: Sequence[RunTables]) -> Chosen:
        """Those of the extra lines whom this sync once added, each identity once.

        Args:
            log: ``sync_log``: they are added who were sent with success.
            since: The first run whose lines speak of this list for certain.
            older: Runs before the base that ended in order: what they planned and did not fail
                was done. Who was only in a snapshot may never have been added.
        """
        sources = [
            chosen
            for handle in self._extra_handles()
            for chosen in (
                self._logged(log, since, handle),
                *(self._delivered(tables, handle) for tables in older),
            )
        ]
        found = union_all(*sources).subquery("found")
        return select(
            found.c["_identity"],
            func.max(found.c["_alias"]).label("_alias"),
            func.max(found.c["_primary_key"]).label("_primary_key"),
        ).group_by(found.c["_identity"])

    def _extra_handles(self) -> list[Expression]:
        rows = self.extras.c
        return [rows["_handle"], rows["_other"]] if self._has_two else [rows["_handle"]]

    def _logged(self, log: Table, since: int, handle: Expression) -> Chosen:
        rows = log.c
        return (
            select(
                rows.identity.label("_identity"),
                cast(null(), String).label("_alias"),
                rows.primary_key.label("_primary_key"),
            )
            .select_from(log.join(self.extras, handle == rows.identity))
            .where(
                self.extras.c["_open"].is_(None),
                rows.sync_name == self.sync_name,
                rows.sync_run_id >= since,
                rows.status == "succeeded",
                rows.operation.in_(["insert", "update"]),
            )
        )

    def _delivered(self, tables: RunTables, handle: Expression) -> Chosen:
        rows, outcomes = tables.changes.c, tables.outcomes
        found = tables.changes.join(self.extras, handle == rows["_identity"])
        found = found.outerjoin(outcomes, outcomes.c["seq"] == rows["_seq"])
        return (
            select(rows["_identity"], rows["_alias"], rows["_primary_key"])
            .select_from(found)
            .where(
                self.extras.c["_open"].is_(None),
                rows["_operation"].in_(["insert", "update"]),
                func.coalesce(outcomes.c["status"], "succeeded") == "succeeded",
            )
        )

    # --- what is wrong ---------------------------------------------------------------------

    def find_wrong(self, *, halves: frozenset[str]) -> CompoundSelect[Any]:
        """Who is missing, as updates, and who is certainly there because of us, as deletes.

        Args:
            halves: Which halves there are (:data:`FIRST`, :data:`SECOND`), see the module.
        """
        missing = select(
            self.people.c["_identity"],
            self.people.c["_alias"],
            self.people.c["_primary_key"],
            literal("update").label("_operation"),
        ).where(~self.people.c["_open"], ~self.people.c["_found"])
        return union_all(missing, *self._ours(halves))

    def _ours(self, halves: frozenset[str]) -> list[Any]:
        extras, claims = self.extras.c, self.claims.c
        alone = and_(extras["_in_first"] == 1, extras["_in_second"] == 1)
        found: FromClause = self._extras_of(extras["_handle"], extras["_in_first"])
        certain: list[Expression] = []
        if SECOND in halves:
            # Not EXISTS: some engines take none that looks at both sides of a join. Whoever is
            # found twice by it is one again in the union below.
            pair = self.extras.alias("pair")
            other = pair.c["_other"]
            is_pair = and_(other == self._by_alias(self.claims), pair.c["_in_first"] == 0)
            found = found.outerjoin(pair, is_pair)
            # The other line of the person is known, and nobody of the base explains it.
            certain = [or_(alone, other.is_not(None))]
        ours = [self._delete(claims["_alias"], found, certain)]
        if self._has_two:
            found = self._extras_of(extras["_other"], extras["_in_second"])
            bare = func.substr(extras["_other"], len(self.identifiers[1]) + 2)
            ours.append(self._delete(bare, found, [alone] if FIRST in halves else []))
        # An identity may be on two lines that are spelled differently.
        return [select(*union(*ours).subquery("ours").c)]

    def _extras_of(self, handle: Expression, in_reading: Expression) -> Join:
        return self.claims.join(
            self.extras, and_(handle == self.claims.c["_identity"], in_reading == 1)
        )

    def _delete(self, alias: Expression, found: FromClause, certain: list[Expression]) -> Chosen:
        claims = self.claims
        return (
            select(
                claims.c["_identity"],
                alias.label("_alias"),
                claims.c["_primary_key"],
                literal("delete").label("_operation"),
            )
            .select_from(found)
            .where(self.extras.c["_open"].is_(None), *certain)
        )

    # --- to look at ------------------------------------------------------------------------

    def sample_others(self, wrong: TableClause, count: int) -> Chosen:
        """Some of the people whom others added, by what the first reading shows."""
        extras = self.extras
        shown: Expression = extras.c["_handle"]
        joined = extras.outerjoin(wrong, wrong.c["_identity"] == extras.c["_handle"])
        ours = [wrong.c["_identity"]]
        if self._has_two:
            alone = and_(extras.c["_in_second"] == 1, extras.c["_other"].is_not(None))
            shown = case((alone, extras.c["_other"]), else_=shown)
            by_other = wrong.alias("by_other")
            joined = joined.outerjoin(by_other, by_other.c["_identity"] == extras.c["_other"])
            ours.append(by_other.c["_identity"])
        chosen = select(shown.label("shown")).select_from(joined)
        chosen = chosen.where(extras.c["_in_first"] == 1, extras.c["_open"].is_(None))
        return chosen.where(*(each.is_(None) for each in ours)).order_by("shown").limit(count)


def _whether(condition: Expression) -> Expression:
    return case((condition, 1), else_=0)


def count_wrong(wrong: TableClause) -> Chosen:
    """Count what is wrong, by the operation that would repair it."""
    by = wrong.c["_operation"]
    return select(by, func.count()).group_by(by)


def sample_wrong(wrong: TableClause, operation: str, count: int) -> Chosen:
    """Some of the people that an operation would repair."""
    chosen = select(wrong.c["_identity"]).where(wrong.c["_operation"] == operation)
    return chosen.order_by(wrong.c["_identity"]).limit(count)


def sample_open(left_open: TableClause, count: int) -> Chosen:
    """Some of the people whose state is open, with where that is known from."""
    rows = left_open.c
    return select(rows["_identity"], rows["_origin"]).order_by(rows["_identity"]).limit(count)


def without_residue(left_open: Any) -> Chosen:  # noqa: ANN401 - any SELECT
    """What is left open, but for residue: where nobody is removed, it is none of a run's work."""
    rows = left_open.subquery("left_open")
    return select(*rows.c).where(rows.c["_origin"] != "residue")


def last_full_run(runs: Table, sync_name: str) -> Chosen:
    """The run since which the log is certain to speak of the present list, or NULL.

    A full run may have gone to another account, or to a list that was made anew; it sent all that
    is believed to be there, so the log since then names everyone who still counts.
    """
    row = runs.c
    planned = row.inserts_planned + row.updates_planned + row.deletes_planned
    without_effect = or_(
        row.status.in_(["held", "planning"]), and_(row.status == "failed", planned == 0)
    )
    return select(func.max(row.sync_run_id)).where(
        row.sync_name == sync_name, row.sync_type == "full", ~without_effect
    )


def ended_in_order(runs: Table, sync_name: str) -> Chosen:
    """The runs that settled all that they planned."""
    row = runs.c
    ended = row.status.in_(["succeeded", "completed_with_failures"])
    return select(row.sync_run_id).where(row.sync_name == sync_name, ended)


def last_delivery(runs: Table, sync_name: str) -> Chosen:
    """When the last run that changed anything at the destination ended, or NULL."""
    row = runs.c
    changed = row.inserts_succeeded + row.updates_succeeded + row.deletes_succeeded
    return select(func.max(row.finished_at)).where(row.sync_name == sync_name, changed > 0)


# --- profiles ------------------------------------------------------------------------------


def choose_profiles(base: TableClause, left_open: TableClause, count: int) -> Chosen:
    """Some people of the base who are not open: the same ones every time, from everywhere in it."""
    rows = base.c
    joined = base.outerjoin(left_open, left_open.c["_identity"] == rows["_identity"])
    chosen = select(rows["_identity"], rows["_alias"], rows["_primary_key"]).select_from(joined)
    order = [func.md5(rows["_identity"]), rows["_identity"]]
    return chosen.where(left_open.c["_identity"].is_(None)).order_by(*order).limit(count)


def read_people(
    base: TableClause, identities: Sequence[str], columns: Sequence[Expression]
) -> Chosen:
    """Some people of a snapshot, with these columns."""
    identity = base.c["_identity"]
    chosen = select(identity, base.c["_alias"], *columns).where(identity.in_(identities))
    return chosen.order_by(identity)

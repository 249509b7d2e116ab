"""The query, evaluated once, as a set of identities.

First every row of the query goes into the snapshot with its own identity. Most rows are alone
with it. The few that are not (*contested*: no identity, one that another row claims too, an
e-mail that another row holds) are taken out, resolved by primary key, and the winners go back.
So the whole table is written once and sorted never.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Delete,
    Insert,
    String,
    and_,
    case,
    cast,
    false,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    text,
    true,
    union_all,
)
from sqlalchemy import column as sql_column
from sqlalchemy import delete as sql_delete

from reverse_etl.warehouse.tables import (
    IDENTITY_COLUMNS,
    clause,
    exact,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import CompoundSelect, FromClause, Subquery, TableClause

    from reverse_etl.connector import Identifier
    from reverse_etl.warehouse.shape import Shape, SourceColumn
    from reverse_etl.warehouse.sql import Chosen, Expression, Sql

MISSING_IDENTIFIER = "missing_identifier"
INVALID_IDENTIFIER = "invalid_identifier"
DUPLICATE_IDENTITY = "duplicate_identity"


def query_source(query: str, names: list[str]) -> Subquery:
    """Return the user's query as a subquery, its text untouched."""
    # A bare colon would be a bind parameter; the new lines keep a closing comment a comment.
    escaped = query.replace(":", "\\:")
    return text(f"\n{escaped}\n").columns(*(sql_column(exact(n)) for n in names)).subquery("source")


def first_row(shape: Shape, sql: Sql) -> Chosen:
    """The first row that a snapshot would hold; asks of the query what a run asks."""
    unused = clause("unused", [], None)
    return SnapshotStatements(shape, sql, unused, unused, unused).take().limit(1)


def no_rows(shape: Shape, sql: Sql) -> Chosen:
    """No row of the mapped columns, as they would be read from a plan: only their types."""
    return _as_read(shape, sql, shape.plan_columns).limit(0)


def all_rows(shape: Shape, sql: Sql) -> Chosen:
    """Every row of the query, as its columns would be read from a plan."""
    return _as_read(shape, sql, list(shape.columns))


def _as_read(shape: Shape, sql: Sql, names: Sequence[str]) -> Chosen:
    source = query_source(shape.query, list(shape.columns))
    columns = [(name, shape.columns[name]) for name in names]
    return select(*(sql.read(sql.stored(source.c[n], c), c).label(exact(n)) for n, c in columns))


@dataclass(frozen=True)
class SnapshotStatements:
    """The statements that turn a query into a snapshot.

    Attributes:
        shape: The sync.
        sql: The engine's expressions.
        snapshot: The table that is made.
        contested: Temporary table of rows that are not alone with their identity.
        resolved: Temporary table: the contested rows, ranked.
    """

    shape: Shape
    sql: Sql
    snapshot: TableClause
    contested: TableClause
    resolved: TableClause

    def take(self) -> Chosen:
        """Every row of the query, with its own identity or NULL."""
        source = query_source(self.shape.query, list(self.shape.columns))
        identity, alias = self._identity(source)
        columns = [
            self.sql.stored(source.c[name], column).label(exact(name))
            for name, column in self.shape.columns.items()
        ]
        return select(
            identity.label("_identity"),
            alias.label("_alias"),
            self._primary_key(source).label("_primary_key"),
            *columns,
        )

    def _primary_key(self, source: FromClause) -> Expression:
        names = self.shape.primary_key
        if len(names) == 1:
            return self.sql.text_of(source.c[names[0]], self.shape.columns[names[0]])
        parts: Expression = literal("[")
        for n, name in enumerate(names):
            value = self.sql.json_text(source.c[name], self.shape.columns[name])
            parts = parts + value if n == 0 else parts + literal(",") + value
        return parts + literal("]")

    def _identity(self, source: Subquery) -> tuple[Expression, Expression]:
        usable = {
            identifier.name: self._usable(identifier, source, self.shape.columns[column])
            for identifier, column in self.shape.identifiers
        }
        alias = usable.get(self.shape.alias_name or "", cast(null(), String))
        if not self.shape.prefixed:
            (identity,) = usable.values()
            return identity, cast(null(), String)
        named = [literal(f"{name}:") + value for name, value in usable.items()]
        return (func.coalesce(*named) if len(named) > 1 else named[0]), alias

    def _usable(self, identifier: Identifier, source: Subquery, column: SourceColumn) -> Expression:
        """The normalised identifier of a row, or NULL when it cannot be used."""
        raw = self.sql.text_of(source.c[column.name], column)
        value = self.sql.trimmed(raw) if identifier.trim else raw
        value = self.sql.ascii_lower(value) if identifier.lower else value
        checked = case(
            (self._fits(identifier, value, identifier.pattern), value),
            else_=cast(null(), String),
        )
        if identifier.plain is None:
            return checked
        # Nearly every value is plain, and trimming is dear: 10 s per million rows in DuckDB.
        plain = self.sql.plain_lower(raw) if identifier.lower else raw
        return case((self._fits(identifier, raw, identifier.plain), plain), else_=checked)

    def _fits(self, identifier: Identifier, value: Expression, pattern: str) -> Expression:
        return and_(
            func.length(value) <= identifier.max_length,
            self.sql.matches(value, pattern),
        )

    # --- contested rows --------------------------------------------------------------------

    def contest(self) -> Chosen:
        """The rows that are not alone with their identity, in primary key order."""
        rows = self.snapshot
        # Joins, not "IN … OR IN …": PostgreSQL can hash only what is joined.
        shared = self._more_than_once("_identity")
        joined = rows.outerjoin(shared, shared.c["value"] == rows.c["_identity"])
        wanted = [rows.c["_identity"].is_(None), shared.c["value"].is_not(None)]
        if self.shape.alias_name:
            held = self._more_than_once("_alias")
            joined = joined.outerjoin(held, held.c["value"] == rows.c["_alias"])
            wanted.append(held.c["value"].is_not(None))
        rank = func.row_number().over(order_by=self._order(rows))
        chosen = select(*rows.c, rank.label("_rank")).select_from(joined)
        return chosen.where(or_(*wanted))

    def _more_than_once(self, name: str) -> FromClause:
        value = self.snapshot.c[name]
        counted = select(value.label("value")).where(value.is_not(None))
        shared = counted.group_by(value).having(func.count() > 1)
        return self.sql.evaluated_once(shared, f"shared{name}")

    def _order(self, rows: FromClause) -> list[Expression]:
        names = dict.fromkeys([*self.shape.primary_key, *self.shape.columns])
        return [self.sql.sort_keys(rows.c[name], self.shape.columns[name]) for name in names]

    def resolve(self) -> Chosen:
        """Each contested row with the person it is (``_person``) and its place among theirs."""
        rows: FromClause = self.contested
        person: Expression = rows.c["_identity"]
        joined: FromClause = rows
        if self.shape.prefixed and self.shape.alias_name:
            owner = self._owners()
            # A row that has only an e-mail is the person who has it beside a user id.
            loose = person == literal(f"{self.shape.alias_name}:") + rows.c["_alias"]
            joined = rows.outerjoin(owner, owner.c["_alias"] == rows.c["_alias"])
            person = case((loose, func.coalesce(owner.c["_identity"], person)), else_=person)
        known = select(*rows.c, person.label("_person")).select_from(joined).subquery("known")
        place = func.row_number().over(
            partition_by=known.c["_person"],
            order_by=known.c["_rank"],
        )
        placed = select(*known.c, place.label("_place")).subquery("placed")
        # An e-mail that several people claim goes with the smallest primary key only.
        claim = func.row_number().over(
            partition_by=[placed.c["_alias"], case((placed.c["_place"] == 1, 1), else_=0)],
            order_by=placed.c["_rank"],
        )
        return select(*placed.c, claim.label("_claim"))

    def _owners(self) -> Subquery:
        rows = self.contested
        loose = literal(f"{self.shape.alias_name}:") + rows.c["_alias"]
        order = func.row_number().over(partition_by=rows.c["_alias"], order_by=rows.c["_rank"])
        ranked = (
            select(rows.c["_alias"], rows.c["_identity"], order.label("_first"))
            .where(rows.c["_alias"].is_not(None), rows.c["_identity"] != loose)
            .subquery("ranked")
        )
        first = select(ranked.c["_alias"], ranked.c["_identity"]).where(ranked.c["_first"] == 1)
        return first.subquery("owner")

    def remove_contested(self) -> list[Delete]:
        """Take the contested rows out of the snapshot."""
        rows, taken = self.snapshot, self.contested.c["_identity"]
        return [
            sql_delete(rows).where(rows.c["_identity"].is_(None)),
            sql_delete(rows).where(
                rows.c["_identity"].in_(select(taken).where(taken.is_not(None))),
            ),
        ]

    def return_winners(self) -> Insert:
        """Put one row of each contested person back."""
        names = [*IDENTITY_COLUMNS, *map(exact, self.shape.columns)]
        return insert(self.snapshot).from_select(names, self._winners())

    def _winners(self) -> Chosen:
        rows = self.resolved
        claimed: Expression = rows.c["_alias"]
        if self.shape.alias_name:
            claimed = case((rows.c["_claim"] == 1, claimed), else_=cast(null(), String))
        return select(
            rows.c["_person"],
            claimed,
            rows.c["_primary_key"],
            *(rows.c[name] for name in self.shape.columns),
        ).where(rows.c["_person"].is_not(None), rows.c["_place"] == 1)

    def without_contested(self) -> CompoundSelect[Any]:
        """The snapshot anew, where no row of it can be deleted: who is alone, and the winners."""
        rows, taken = self.snapshot, self.contested.c["_identity"]
        names = [*IDENTITY_COLUMNS, *self.shape.columns]
        alone = select(*(rows.c[name] for name in names)).where(
            rows.c["_identity"].is_not(None),
            rows.c["_identity"].not_in(select(taken).where(taken.is_not(None))),
        )
        labelled = (
            column.label(exact(name))
            for name, column in zip(names, self._winners().selected_columns, strict=True)
        )
        winners = self._winners().with_only_columns(*labelled)
        return union_all(alone, winners)

    # --- rows that could not be used -------------------------------------------------------

    def refuse(self, base_refused: TableClause | None) -> list[Chosen]:
        """The rows without identifier, and the rows that lost their identity to another."""
        return [
            _marked_new(self._without_identifier(), base_refused, "_error_code", "_error_reason"),
            _marked_new(self._duplicates(), base_refused, "_primary_key", "_differs"),
        ]

    def _without_identifier(self) -> Subquery:
        rows = self.contested
        name = literal("row:") + func.coalesce(rows.c["_primary_key"], "null")
        code, reason = self._why_unidentified(rows)
        # Named first, grouped after: to a server, two bind parameters are two expressions.
        each = (
            select(
                name.label("_identity"),
                rows.c["_primary_key"],
                code.label("_error_code"),
                reason.label("_error_reason"),
            )
            .where(rows.c["_identity"].is_(None))
            .subquery("each_row")
        )
        return (
            select(
                each.c["_identity"],
                func.min(each.c["_primary_key"]).label("_primary_key"),
                cast(null(), String).label("_alias"),
                literal("invalid").label("_kind"),
                func.min(each.c["_error_code"]).label("_error_code"),
                func.min(each.c["_error_reason"]).label("_error_reason"),
                cast(func.count(), BigInteger).label("_rows"),
                false().label("_differs"),
            )
            .group_by(each.c["_identity"])
            .subquery("unidentified")
        )

    def _why_unidentified(self, rows: FromClause) -> tuple[Expression, Expression]:
        given = []
        for identifier, name in self.shape.identifiers:
            value = self.sql.text_of(rows.c[name], self.shape.columns[name])
            there = and_(value.is_not(None), self.sql.trimmed(value) != "")
            given.append((identifier, name, there))
        expected = " or ".join(f"{i.name} ({i.expected})" for i, _, _ in given)
        reasons = [
            (there, literal(f"column {name} holds no usable {i.name}: expected {i.expected}"))
            for i, name, there in given
        ]
        missing = literal(f"no identifier: needs {expected}")
        code = case(
            (or_(*(there for _, _, there in given)), literal(INVALID_IDENTIFIER)),
            else_=literal(MISSING_IDENTIFIER),
        )
        return code, case(*reasons, else_=missing)

    def _duplicates(self) -> Subquery:
        rows, winner = self.resolved, self.resolved.alias("winner")
        others = [
            rows.c[name].is_distinct_from(winner.c[name]) for name in self.shape.field_columns
        ]
        same = rows.join(
            winner,
            and_(winner.c["_person"] == rows.c["_person"], winner.c["_place"] == 1),
        )
        reason = literal("another row with the same identity goes first: primary key ")
        return (
            select(
                rows.c["_person"].label("_identity"),
                rows.c["_primary_key"],
                rows.c["_alias"],
                literal("duplicate").label("_kind"),
                literal(DUPLICATE_IDENTITY).label("_error_code"),
                (reason + func.coalesce(winner.c["_primary_key"], "NULL")).label("_error_reason"),
                cast(1, BigInteger).label("_rows"),
                (or_(*others) if others else false()).label("_differs"),
            )
            .select_from(same)
            .where(rows.c["_person"].is_not(None), rows.c["_place"] > 1)
            .subquery("duplicates")
        )

    def set_aside(self, refused: TableClause, chosen: Chosen) -> Insert:
        """Write refused rows down."""
        return insert(refused).from_select([c.name for c in refused.c], chosen)


def _marked_new(rows: Subquery, base: TableClause | None, *told_apart_by: str) -> Chosen:
    if base is None:
        return select(*rows.c, true().label("_new"))
    names = ("_identity", "_kind", *told_apart_by)
    seen = select(*(base.c[name] for name in names)).distinct().subquery("seen")
    same = [
        seen.c["_identity"] == rows.c["_identity"],
        *(seen.c[name].is_not_distinct_from(rows.c[name]) for name in names[1:]),
    ]
    new = cast(seen.c["_identity"].is_(None), Boolean)
    return select(*rows.c, new.label("_new")).select_from(rows.outerjoin(seen, and_(*same)))


def count_refused(refused: TableClause) -> Chosen:
    """Count the refused rows by kind and by whether they are new."""
    by = [refused.c["_kind"], refused.c["_new"]]
    return select(*by, cast(func.sum(refused.c["_rows"]), BigInteger)).group_by(*by)

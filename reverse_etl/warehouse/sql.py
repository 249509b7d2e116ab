"""Expressions that engines write differently, with the form most of them share as the base."""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    FromClause,
    Select,
    String,
    and_,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    true,
    union,
)

from reverse_etl.warehouse.shape import NUMBERS, TIMES, Kind, SourceColumn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Expression = ColumnElement[Any]
Chosen: TypeAlias = "Select[*tuple[Any, ...]]"

# The white space that Unicode and JavaScript's trim() agree on.
WHITE_SPACE = (
    "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008"
    "\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
)

# Doubles hold every integer up to here.
_EXACT_DOUBLE = 2**53


@dataclass(frozen=True)
class Comparison:
    """What makes a row of the new snapshot differ from the same row of the base.

    Attributes:
        values: Pairs of values of the new snapshot and of the base.
        every_row: Whether every row that is in both counts as different.
        same_types: Whether the values have the same types on both sides.
    """

    values: Sequence[tuple[Expression, Expression]]
    every_row: bool
    same_types: bool


class Sql:
    """How one engine spells what the statements need."""

    tokenizer = ""
    """Name of the dialect for the tokenizer of the user's query."""

    types: ClassVar[Mapping[str, Kind]] = {}
    """Lower-case type name, without parameters, to the kind of its values."""

    read_as: ClassVar[Mapping[Kind, str]] = {Kind.JSON: "json", Kind.DECIMAL: "number"}
    """Kinds that are stored or read as text, to what the text is for who reads it."""

    full_join: ClassVar[bool] = True
    """Whether there is a FULL OUTER JOIN."""

    def evaluated_once(self, chosen: Chosen, name: str) -> FromClause:
        """Return a query within a query that the engine runs once, whatever it is joined with."""
        return chosen.subquery(name)

    def kind(self, type_name: str) -> Kind:
        """Return the kind of a type by the engine's name for it."""
        bare = type_name.lower().partition("(")[0].strip()
        return self.types.get(bare, Kind.OTHER)

    def kind_in_tables(self, column: SourceColumn) -> Kind:
        """Return the kind that our own tables show for a column of the query."""
        return column.kind

    def text_of(self, expression: Expression, column: SourceColumn) -> Expression:
        """Return a column's value as the text of an identifier; 42.0 is ``42``."""
        if column.kind is not Kind.FLOAT:
            return cast(expression, String)
        # Integers with gaps often arrive as doubles; nobody's user id is "42.0".
        whole = and_(
            func.abs(expression) < literal(_EXACT_DOUBLE, Double),
            expression == func.floor(expression),
        )
        # Not over a decimal: PostgreSQL keeps only 15 digits of a double there.
        as_integer = cast(cast(expression, BigInteger), String)
        return case((whole, as_integer), else_=cast(expression, String))

    def stored(self, expression: Expression, column: SourceColumn) -> Expression:
        """Return what the snapshot keeps of a column: something that can be compared."""
        if column.kind is Kind.OTHER:
            return cast(expression, String)
        return expression

    def comparable(self, now: SourceColumn, before: SourceColumn) -> bool:
        """Return whether values of two columns can be compared with each other."""
        if Kind.FLOAT is now.kind is before.kind:
            # Each is sent with its own digits: 0.1 of 32 bits is 0.10000000149011612 of 64.
            return now.type_name == before.type_name
        return now.kind is before.kind or {now.kind, before.kind} <= NUMBERS

    def sent(
        self, expression: Expression, column: SourceColumn, *, as_text: bool, whole_seconds: bool
    ) -> Expression:
        """Return what of a stored value is sent: two values of which it is equal are no change.

        Values inside nested ones are compared as they are.

        Args:
            expression: The value.
            column: Its column.
            as_text: Whether the field wants text: 1.50 and 1.5 are then two values.
            whole_seconds: Whether times are sent cut to seconds.
        """
        if column.kind in {Kind.DECIMAL, Kind.FLOAT} and as_text:
            return cast(expression, String)
        if column.kind is Kind.JSON and not as_text:
            return self.plain_json(expression)
        if whole_seconds and column.kind in TIMES:
            return self.whole_second(expression, column)
        return expression

    def whole_second(self, expression: Expression, column: SourceColumn) -> Expression:
        """Return a time without the part of its second."""
        zoned = column.kind is Kind.INSTANT
        # A zone's rules are no matter here, and looking them up is dear.
        return func.date_trunc("second", func.timezone("UTC", expression) if zoned else expression)

    def plain_json(self, expression: Expression) -> Expression:
        """Return stored JSON without white space that says nothing, if the engine can do that."""
        return expression

    def read(self, expression: Expression, column: SourceColumn) -> Expression:
        """Return what is read of a stored column, for Arrow."""
        del column
        return expression

    def trimmed(self, expression: Expression) -> Expression:
        """Remove white space from both ends."""
        return func.trim(expression, WHITE_SPACE)

    def matches(self, expression: Expression, pattern: str) -> Expression:
        """Return whether a text matches a regular expression."""
        return expression.regexp_match(pattern)

    def plain_lower(self, expression: Expression) -> Expression:
        """Fold a text that is known to be ASCII."""
        return func.lower(expression)

    def ascii_lower(self, expression: Expression) -> Expression:
        """Fold A-Z and nothing else: a lower-case Turkish dotted I is another mailbox."""
        return func.translate(expression, string.ascii_uppercase, string.ascii_lowercase)

    def json_text(self, expression: Expression, column: SourceColumn) -> Expression:
        """Return a value as JSON text; NULL as ``null``."""
        del column
        return func.coalesce(cast(func.to_json(expression), String), "null")

    def sort_keys(self, expression: Expression, column: SourceColumn) -> Expression:
        """Return the typed order of a column, NULLs last."""
        sortable = expression
        if column.kind in {Kind.JSON, Kind.NESTED, Kind.OTHER}:
            sortable = cast(expression, String)
        return sortable.asc().nulls_last()

    def pairs(
        self,
        now: FromClause,
        base: FromClause,
        comparison: Comparison,
        pending: FromClause | None,
    ) -> tuple[FromClause, Expression]:
        """Return the FROM and the WHERE that pair what is with what was, where they differ.

        Args:
            now: The new snapshot.
            base: The base snapshot.
            comparison: What counts as different.
            pending: Identities to consider even when nothing differs, or None.
        """
        if not self.full_join:
            return self._pairs_without_full_join(now, base, comparison, pending)
        joined = now.join(base, now.c["_identity"] == base.c["_identity"], full=True)
        differs = self.differs(now, base, comparison)
        if pending is None:
            return joined, differs
        identity = func.coalesce(now.c["_identity"], base.c["_identity"])
        joined = joined.join(pending, pending.c["_identity"] == identity, full=True)
        return joined, or_(differs, pending.c["_due"])

    def _pairs_without_full_join(
        self,
        now: FromClause,
        base: FromClause,
        comparison: Comparison,
        pending: FromClause | None,
    ) -> tuple[FromClause, Expression]:
        """Find who differs first, then fetch them."""
        both = now.outerjoin(base, now.c["_identity"] == base.c["_identity"])
        gone = base.outerjoin(now, now.c["_identity"] == base.c["_identity"])
        found = [
            select(now.c["_identity"]).select_from(both).where(self.differs(now, base, comparison)),
            select(base.c["_identity"]).select_from(gone).where(now.c["_identity"].is_(None)),
        ]
        if pending is not None:
            found.append(select(pending.c["_identity"]).where(pending.c["_due"]))
        keys = union(*found).subquery("keys")
        joined: FromClause = keys
        for side in (now, base, *([pending] if pending is not None else [])):
            joined = joined.outerjoin(side, side.c["_identity"] == keys.c["_identity"])
        return joined, true()

    def sum_of_hashes(self, values: Sequence[Expression]) -> Expression:
        """Return a digest, as text, of the values of all rows in any order."""
        raise NotImplementedError

    def differs(self, now: FromClause, base: FromClause, comparison: Comparison) -> Expression:
        """Return whether a pair differs: one side is missing, or a value is another one."""
        # Not "IS NULL": a pending identity may be on neither side, and that is no difference.
        missing = now.c["_identity"].is_distinct_from(base.c["_identity"])
        if comparison.every_row:
            return or_(missing, now.c["_identity"].is_not(None))
        return or_(
            missing,
            *(left.is_distinct_from(right) for left, right in comparison.values),
        )

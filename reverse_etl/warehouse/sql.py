"""Expressions that engines write differently, with the form most of them share as the base."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Double,
    FromClause,
    Numeric,
    String,
    and_,
    case,
    cast,
    func,
    literal,
    or_,
)

from reverse_etl.warehouse.shape import Kind, SourceColumn

if TYPE_CHECKING:
    from collections.abc import Sequence

Expression = ColumnElement[Any]

# The white space that Unicode and JavaScript's trim() agree on.
WHITE_SPACE = (
    "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008"
    "\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
)

# Doubles hold every integer up to here.
_EXACT_DOUBLE = 2**53


class Sql:
    """How one engine spells what the statements need."""

    tokenizer = ""
    """Name of the dialect for the tokenizer of the user's query."""

    types: dict[str, Kind] = {}
    """Lower-case type name, without parameters, to the kind of its values."""

    def kind(self, type_name: str) -> Kind:
        """Return the kind of a type by the engine's name for it."""
        bare = type_name.lower().partition("(")[0].strip()
        return self.types.get(bare, Kind.OTHER)

    def text_of(self, expression: Expression, column: SourceColumn) -> Expression:
        """Return a column's value as the text of an identifier; 42.0 is ``42``."""
        if column.kind is not Kind.FLOAT:
            return cast(expression, String)
        # Integers with gaps often arrive as doubles; nobody's user id is "42.0".
        whole = and_(
            func.abs(expression) < literal(_EXACT_DOUBLE, Double),
            expression == func.floor(expression),
        )
        as_integer = cast(cast(expression, Numeric(18, 0)), String)
        return case((whole, as_integer), else_=cast(expression, String))

    def stored(self, expression: Expression, column: SourceColumn) -> Expression:
        """Return what the snapshot keeps of a column: something that can be compared."""
        if column.kind is Kind.OTHER:
            return cast(expression, String)
        return expression

    def read(self, expression: Expression, column: SourceColumn) -> Expression:
        """Return what is read of a stored column, for Arrow."""
        del column
        return expression

    def trimmed(self, expression: Expression) -> Expression:
        """Remove white space from both ends."""
        return func.trim(expression, WHITE_SPACE)

    def ascii_lower(self, expression: Expression) -> Expression:
        """Fold A-Z and nothing else: a lower-case Turkish dotted I is another mailbox."""
        return func.translate(expression, string.ascii_uppercase, string.ascii_lowercase)

    def json_text(self, expression: Expression) -> Expression:
        """Return a value as JSON text; NULL as ``null``."""
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
        compared: Sequence[tuple[Expression, Expression]],
        *,
        changed_shape: bool,
        same_types: bool,
        pending: FromClause | None,
    ) -> tuple[FromClause, Expression]:
        """Return the FROM and the WHERE that pair what is with what was, where they differ.

        Args:
            now: The new snapshot.
            base: The base snapshot.
            compared: Pairs of values of ``now`` and ``base``.
            changed_shape: Whether every row that is in both counts as different.
            same_types: Whether the compared columns have the same types on both sides.
            pending: Identities to consider even when nothing differs, or None.
        """
        del same_types
        joined = now.join(base, now.c._identity == base.c._identity, full=True)
        differs = self.differs(now, base, compared, changed_shape=changed_shape)
        if pending is None:
            return joined, differs
        identity = func.coalesce(now.c._identity, base.c._identity)
        joined = joined.join(pending, pending.c._identity == identity, full=True)
        return joined, or_(differs, pending.c._due)

    def sum_of_hashes(self, values: Sequence[Expression]) -> Expression:
        """Return a digest, as text, of the values of all rows in any order."""
        raise NotImplementedError

    def differs(
        self,
        now: FromClause,
        base: FromClause,
        compared: Sequence[tuple[Expression, Expression]],
        *,
        changed_shape: bool,
    ) -> Expression:
        """Return whether a pair differs: one side is missing, or a value is another one."""
        # Not "IS NULL": a pending identity may be on neither side, and that is no difference.
        missing = now.c._identity.is_distinct_from(base.c._identity)
        if changed_shape:
            return or_(missing, now.c._identity.is_not(None))
        return or_(missing, *(left.is_distinct_from(right) for left, right in compared))

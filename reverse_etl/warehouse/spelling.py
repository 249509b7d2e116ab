"""What engines write differently, to be mixed into the compiler of their SQLAlchemy dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.sql.compiler import SQLCompiler

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine


class Spelling(SQLCompiler):
    """What an engine writes differently, mixed into the compiler of its SQLAlchemy dialect."""

    def render_literal_value(self, value: Any, type_: TypeEngine[Any]) -> str:  # noqa: ANN401
        """Write a time as a time: as a bare text it would give a column of text."""
        if value is not None and isinstance(type_, sa.DateTime):
            return self.time_literal(value.isoformat(" ", "microseconds"))
        return super().render_literal_value(value, type_)

    def time_literal(self, text: str) -> str:
        """Return the literal of a time without zone."""
        return f"TIMESTAMP '{text}'"

    def ordered_window(self, over: Any, by: str, **kw: Any) -> str:  # noqa: ANN401 - a visitor's
        """Give a window an order that says nothing, where an engine insists on one."""
        text = str(super().visit_over(over, **kw))  # type: ignore[no-untyped-call]
        return f"{text.removesuffix('()')}(ORDER BY {by})" if text.endswith("OVER ()") else text


# Escapes of the patterns of identifiers, and the POSIX classes that are the same characters.
_CLASSES = ((r"\s", "[:space:]"), (r"\x01-\x1f\x7f", "[:cntrl:]"))


def posix(pattern: str) -> str:
    r"""Return a regular expression without ``\s`` and ``\x01``, for engines that know POSIX's.

    Raises:
        ValueError: It has another escape.
    """
    for escape, named in _CLASSES:
        pattern = pattern.replace(escape, named)
    if "\\" in pattern:
        message = f"no POSIX form of the pattern {pattern}"
        raise ValueError(message)
    return pattern


def java(pattern: str) -> str:
    r"""Return a regular expression for Java's engine, where ``$`` is also before a last newline.

    Source: java.util.regex.Pattern, "Boundary matchers".
    """
    return f"{pattern[:-1]}\\z" if pattern.endswith("$") else pattern

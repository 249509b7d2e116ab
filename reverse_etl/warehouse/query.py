"""The user's query: one statement, run exactly as written.

Drivers of DuckDB and PostgreSQL both execute ``select 1; drop table t`` and answer with the
SELECT's row, so the text is cut into tokens first (by sqlglot, which knows each dialect's
strings, comments and dollar quotes) and anything after a semicolon is refused.
"""

from __future__ import annotations

import sqlglot
from sqlglot import Token, TokenType
from sqlglot.errors import SqlglotError

from reverse_etl.errors import SourceError

_OPENING = {TokenType.L_PAREN}
_CLOSING = {TokenType.R_PAREN}

# Words that no SELECT begins with. An engine would refuse them too, since the query is put into
# parentheses; but it would stumble over some later word, and call that a syntax error.
_OTHER_STATEMENTS = frozenset(
    (
        *("ALTER", "ATTACH", "BEGIN", "CALL", "COMMIT", "COPY", "CREATE", "DELETE", "DETACH"),
        *("DO", "DROP", "EXECUTE", "EXPLAIN", "GRANT", "INSERT", "INSTALL", "LOAD", "MERGE"),
        *("PRAGMA", "REVOKE", "ROLLBACK", "SET", "TRUNCATE", "UPDATE", "USE", "VACUUM"),
    )
)


def single_statement(query: str, dialect: str) -> str:
    """Return the query without its trailing semicolon.

    Args:
        query: SQL as the user wrote it; may hold comments, and end in ``;`` and a comment.
        dialect: Name of the SQL dialect for the tokenizer: ``duckdb`` or ``postgres``.

    Raises:
        SourceError: It is empty, no SELECT, holds a second statement, or closes a parenthesis
            that it never opened.
    """
    tokens = _tokens(query, dialect)
    end = next((n for n, token in enumerate(tokens) if _is_semicolon(token)), None)
    if end is not None:
        for token in tokens[end:]:
            if not _is_semicolon(token):
                raise SourceError(
                    f"the query holds a second statement at {_where(query, token)}: nothing was "
                    "executed. Keep one SELECT.",
                )
        query, tokens = query[: tokens[end].start], tokens[:end]
    if not tokens:
        raise SourceError("the query is empty. Write one SELECT.")
    first = tokens[0].text.upper()
    if first in _OTHER_STATEMENTS:
        raise SourceError(f"the query begins with {first}: nothing was executed. Write one SELECT.")
    _refuse_unbalanced(query, tokens)
    return query


def _tokens(query: str, dialect: str) -> list[Token]:
    try:
        return list(sqlglot.tokenize(query, read=dialect))
    except SqlglotError:
        # Its own words quote the query, and the place in them is not that of the quote.
        raise SourceError(
            "the query cannot be read: most likely it opens a quote, a $$ or a comment (/*) and "
            "never closes it. Close it.",
        ) from None


def _is_semicolon(token: Token) -> bool:
    return token.token_type is TokenType.SEMICOLON


def _refuse_unbalanced(query: str, tokens: list[Token]) -> None:
    # The query is put into parentheses; one that closes them would escape its place.
    depth = 0
    for token in tokens:
        depth += (token.token_type in _OPENING) - (token.token_type in _CLOSING)
        if depth < 0:
            raise SourceError(
                f"the query closes a parenthesis it never opened at {_where(query, token)}. "
                "Remove it, or open one before it.",
            )


def _where(query: str, token: Token) -> str:
    """Return where a token begins, counted within the query; its own column is that of its end."""
    before = query[: token.start].split("\n")
    return f"line {len(before)}, column {len(before[-1]) + 1}"

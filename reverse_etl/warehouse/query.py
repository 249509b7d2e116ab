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


def single_statement(query: str, dialect: str) -> str:
    """Return the query without its trailing semicolon.

    Args:
        query: SQL as the user wrote it; may hold comments, and end in ``;`` and a comment.
        dialect: Name of the SQL dialect for the tokenizer: ``duckdb`` or ``postgres``.

    Raises:
        SourceError: It is empty, holds a second statement, or closes a parenthesis that it
            never opened.
    """
    tokens = _tokens(query, dialect)
    end = next((n for n, token in enumerate(tokens) if _is_semicolon(token)), None)
    if end is not None:
        for token in tokens[end:]:
            if not _is_semicolon(token):
                where = f"line {token.line}, column {token.col}"
                raise SourceError(
                    f"the query holds a second statement at {where}: nothing was executed. "
                    "Keep one SELECT.",
                )
        query, tokens = query[: tokens[end].start], tokens[:end]
    if not tokens:
        raise SourceError("the query is empty. Write one SELECT.")
    _refuse_unbalanced(tokens)
    return query


def _tokens(query: str, dialect: str) -> list[Token]:
    try:
        return list(sqlglot.tokenize(query, read=dialect))
    except SqlglotError as error:
        raise SourceError(f"the query cannot be read: {_first_line(error)}") from None


def _is_semicolon(token: Token) -> bool:
    return token.token_type is TokenType.SEMICOLON


def _refuse_unbalanced(tokens: list[Token]) -> None:
    # The query is put into parentheses; one that closes them would escape its place.
    depth = 0
    for token in tokens:
        depth += (token.token_type in _OPENING) - (token.token_type in _CLOSING)
        if depth < 0:
            where = f"line {token.line}, column {token.col}"
            raise SourceError(f"the query closes a parenthesis it never opened at {where}.")


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__

"""The user's query is one statement; its text is otherwise left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.errors import SourceError
from reverse_etl.warehouse.query import single_statement

DIALECTS = ["duckdb", "postgres"]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "query",
    [
        "select 1",
        "  select 1 -- a;b",
        "select ';' as \";\", $$;$$, $x$;$$;$x$ /* ; */",
        "select E'\\';' || ';''' -- ' ;\n",
        "select '🙂\t🙂', '\\'",
        "select (1), '(', \")\" from t /* ( */ -- (",
        "select :a, ::b, %s, ?, {x}, #1",
        "/* nested /* ; */ ; */ select 1",
    ],
)
def test_one_statement_is_returned_as_it_is(query: str, dialect: str) -> None:
    assert single_statement(query, dialect) == query


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("query", ["select '🙂', ';'", "select 1 /* é; */", "select\t'\\'\r\n"])
@pytest.mark.parametrize("ending", [";", " ; ", ";;\n;", "; -- done; '", ";/* ; */;\n-- (\n"])
def test_what_ends_the_statement_is_cut_off(query: str, ending: str, dialect: str) -> None:
    assert single_statement(query + ending, dialect).rstrip() == query.rstrip()


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("query", ["", " \n", ";", "-- select 1", "/* select 1; */", "; ;--\n;"])
def test_there_must_be_a_statement(query: str, dialect: str) -> None:
    with pytest.raises(SourceError, match=r"the query is empty\. Write one SELECT"):
        single_statement(query, dialect)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("select 1; select 2", "line 1, column"),
        ("select ';';\n\n  drop table t", "line 3, column"),
        ("select E'\\''; drop table t; --'", "line 1, column"),
        ("select $a$ $$ ; $a$ ; drop table t", "line 1, column"),
        ("; select 1", "line 1, column"),
    ],
)
def test_a_second_statement_is_refused(query: str, where: str, dialect: str) -> None:
    with pytest.raises(SourceError, match="holds a second statement at") as caught:
        single_statement(query, dialect)
    assert where in str(caught.value)
    assert "nothing was executed" in str(caught.value)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "query", ["select 1) q", "select (1)) from ((t)", ") (", "select 1 as x) a, (select 2"]
)
def test_the_query_stays_in_its_parentheses(query: str, dialect: str) -> None:
    with pytest.raises(SourceError, match="closes a parenthesis it never opened at line 1"):
        single_statement(query, dialect)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("query", ["select 'open", 'select "open', "select $$open"])
def test_what_cannot_be_read_is_refused(query: str, dialect: str) -> None:
    with pytest.raises(SourceError, match="the query cannot be read"):
        single_statement(query, dialect)


@given(st.text(st.sampled_from("select 1;'\"$a-/*\\\n()[]{}🙂E"), max_size=40))
def test_the_text_is_only_ever_shortened(query: str) -> None:
    for dialect in DIALECTS:
        try:
            kept = single_statement(query, dialect)
        except SourceError:
            continue
        assert query.startswith(kept)
        assert kept.strip()

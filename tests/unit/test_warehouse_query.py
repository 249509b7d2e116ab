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
        ("select 1; select 2", "line 1, column 11"),
        ("select ';';\n\n  drop table t", "line 3, column 3"),
        ("select '🙂';\r\n\tdrop table t", "line 2, column 2"),
        ("select E'\\''; drop table t; --'", "line 1, column 15"),
        ("select $a$ $$ ; $a$ ; drop table t", "line 1, column 23"),
        ('select 1; "t"', "line 1, column 11"),
        ("; select 1", "line 1, column 3"),
    ],
)
def test_a_second_statement_is_refused(query: str, where: str, dialect: str) -> None:
    with pytest.raises(SourceError) as caught:
        single_statement(query, dialect)
    assert str(caught.value) == (
        f"the query holds a second statement at {where}: nothing was executed. Keep one SELECT."
    )


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "query",
    [
        *("insert into t values (1)", "Update t set a = 1 returning *", "delete from t", "drop x"),
        *("create table t as select 1", "copy t to 'x'", "explain select 1", "SET a = 1", "commit"),
        *("-- one\nINSERT into t select 1;", "/* a */ truncate t", "merge into t using s on true"),
    ],
)
def test_what_begins_with_another_word_is_no_select(query: str, dialect: str) -> None:
    word = query.removeprefix("-- one\n").removeprefix("/* a */ ").split()[0].upper()
    with pytest.raises(SourceError) as caught:
        single_statement(query, dialect)
    assert str(caught.value) == (
        f"the query begins with {word}: nothing was executed. Write one SELECT."
    )


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "query", ["from t", "values (1)", "table t", "with a as (select 1) table a", "(select 1)"]
)
def test_a_query_may_begin_with_other_words_than_select(query: str, dialect: str) -> None:
    assert single_statement(query, dialect) == query


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("select 1) q", "line 1, column 9"),
        ("select (1)) from ((t)", "line 1, column 11"),
        (") (", "line 1, column 1"),
        ("select 1 as x\n ) a, (select 2", "line 2, column 2"),
    ],
)
def test_the_query_stays_in_its_parentheses(query: str, where: str, dialect: str) -> None:
    with pytest.raises(SourceError) as caught:
        single_statement(query, dialect)
    assert str(caught.value) == (
        f"the query closes a parenthesis it never opened at {where}. Remove it, or open one before "
        "it."
    )


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "query", ["select 'canary", 'select "canary', "select $$canary", "select 1 /* canary"]
)
def test_what_cannot_be_read_is_refused(query: str, dialect: str) -> None:
    with pytest.raises(SourceError) as caught:
        single_statement(query, dialect)
    assert str(caught.value) == (
        "the query cannot be read: most likely it opens a quote, a $$ or a comment (/*) and never "
        "closes it. Close it."
    )


@given(st.text(st.sampled_from("select 1;'\"$a-/*\\\n()[]{}🙂E"), max_size=40))
def test_the_text_is_only_ever_shortened(query: str) -> None:
    for dialect in DIALECTS:
        try:
            kept = single_statement(query, dialect)
        except SourceError:
            continue
        assert query.startswith(kept)
        assert kept.strip()

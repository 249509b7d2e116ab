"""What any warehouse must do, as tests to subclass.

A test module of a warehouse holds one class per part of the suite::

    class TestQueries(MyWarehouse, QuerySuite): ...

where ``MyWarehouse`` derives from :class:`WarehouseSuite` and has a fixture ``url``, and a fixture
``control_url`` where the engine needs a control database. The rows are the suite's, the spelling
of the engine's types and of its own syntax are the class's. What does not work gets one of three
marks, each with its reason: :func:`not_implemented`, :func:`not_yet_possible`, :func:`never`.
"""

from __future__ import annotations

# ruff: noqa: S608 - the statements are made of the suite's own words
import json
import re
import string
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import pytest
import sqlglot
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import BigInteger

from reverse_etl.connector import Identifier, Operation
from reverse_etl.errors import Busy, LeaseLost, SourceError, WarehouseError
from reverse_etl.testing.planner import (
    EMAIL,
    HYBRID,
    USER_ID,
    Planned,
    Planner,
    StandingClock,
    TakesEverything,
)
from reverse_etl.warehouse import warehouse_at
from reverse_etl.warehouse.lease import Lease
from reverse_etl.warehouse.sql import WHITE_SPACE
from reverse_etl.warehouse.statements import control
from reverse_etl.warehouse.tables import SCHEMA_VERSION, clause

if TYPE_CHECKING:
    from reverse_etl.warehouse.base import Warehouse


def not_implemented(reason: str) -> pytest.MarkDecorator:
    """Mark a test that fails because nobody has built it for this engine."""
    return pytest.mark.xfail(reason=f"not implemented: {reason}", strict=True)


def not_yet_possible(reason: str) -> pytest.MarkDecorator:
    """Mark a test that fails until the engine or its driver changes; name what is awaited."""
    return pytest.mark.xfail(reason=f"not yet possible: {reason}", strict=True)


def never(reason: str) -> pytest.MarkDecorator:
    """Mark a test that fails because of what the engine is."""
    return pytest.mark.xfail(reason=f"never: {reason}", strict=True)


# Stands in the rows of a query that fails, and may be in no message.
CANARY = "canary'\"o@secret.example"
_BIG = 4815162342108


_OBJECTS = (
    "select schema_name, table_name from information_schema.schemata "
    "left join information_schema.tables on table_schema = schema_name"
)


class WarehouseSuite:
    """An open warehouse, empty, for each test.

    A subclass has a fixture ``url`` that returns the SQLAlchemy URL of an empty database.

    Attributes:
        schema: Where our tables are.
        spelling: What ``sqlglot`` calls the engine's SQL, if statements of the suite, which are
            PostgreSQL's, have to be said in it.
        said: Statements of the suite that it would say wrongly, to the engine's.
        verbatim: Beginnings of statements that need no translation.
    """

    schema: ClassVar[str] = "reverse_etl"
    spelling: ClassVar[str | None] = None
    said: ClassVar[Mapping[str, str]] = {}
    verbatim: ClassVar[Sequence[str]] = ()

    @pytest.fixture
    def control_url(self) -> str | None:
        """Return the URL of an empty control database, where the engine needs one."""
        return None

    @pytest.fixture
    def warehouse_in(self, url: str, control_url: str | None) -> Callable[[str], Warehouse]:
        """Return what makes the warehouse with our tables in a schema, still closed."""

        def make(schema: str) -> Warehouse:
            made = warehouse_at(url, schema, StandingClock())
            if control_url is not None:
                made.keep_control_in(warehouse_at(control_url, schema, StandingClock()))
            return made

        return make

    @pytest.fixture
    def warehouse(self, warehouse_in: Callable[[str], Warehouse]) -> Iterator[Warehouse]:
        """Open the warehouse for one test."""
        with warehouse_in(self.schema) as opened:
            yield opened

    @pytest.fixture(autouse=True)
    def _spell(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Planner, "spell", staticmethod(self.spell))

    def spell(self, statement: str) -> str:
        """Say a statement of the suite in the engine's words."""
        if statement in self.said:
            return self.said[statement]
        if self.spelling is None or any(map(statement.startswith, self.verbatim)):
            return statement
        (said,) = sqlglot.transpile(statement, read="postgres", write=self.spelling)
        return said

    def objects(self, warehouse: Warehouse) -> set[tuple[Any, ...]]:
        """Return the names of all schemas and of what is in them."""
        with warehouse.transaction() as tx:
            found = tx.connection.exec_driver_sql(_OBJECTS)
            return {tuple(row) for row in found.all()}

    def has_table(self, planner: Planner, name: str) -> bool:
        """Return whether our schema has a table."""
        return (self.schema, name) in self.objects(planner.warehouse)

    @pytest.fixture
    def planner(self, warehouse: Warehouse) -> Planner:
        """Plan runs of a sync ``people``."""
        return Planner(warehouse)


# --- the query of the user -----------------------------------------------------------------


class QuerySuite(WarehouseSuite):
    r"""A query runs as it is written, once, alone.

    Attributes:
        spelled: Expressions of the engine's own syntax, to the text of their value.
        written: The same for whole queries with the columns ``id``, ``email`` and ``v``.
        counted: The query and, to be run before it, the making of a sequence ``evaluations``;
            the query advances it for each row.
        quoting: Expressions over the columns ``email`` (text) and ``big`` (integer) that fail
            for the row's value; the column ``email`` holds ``CANARY``.
    """

    spelled: ClassVar[Mapping[str, str]] = {}
    written: ClassVar[Mapping[str, str]] = {}
    quoting: ClassVar[Sequence[str]] = ()

    expressions: ClassVar[Mapping[str, str]] = {
        "'it''s :name, ::b, :1, \\:c and :'": "it's :name, ::b, :1, \\:c and :",
        "cast('7'::integer as varchar)": "7",
        "cast('12:30:00' as varchar)": "12:30:00",
        "'100% %s %(x)s %% %%s %'": "100% %s %(x)s %% %%s %",
        "case when 'abc' like '%b%' then 'yes' end": "yes",
        "cast(7 % 4 as varchar)": "3",
        "'a\\b\\\\c\\'": "a\\b\\\\c\\",
        "$$it's; :x %s $1 ?$$": "it's; :x %s $1 ?",
        "$tag$a $$ ; b$tag$": "a $$ ; b",
        "';'": ";",
        "')'": ")",
        "'(' /* ) ; ' */": "(",
        "'? $1 {0} {{x}} #{y}'": "? $1 {0} {{x}} #{y}",
        "'é🙂\u2028 ; '": "é🙂\u2028 ; ",
        "'two\nlines'": "two\nlines",
        "(select max(x) from (values ('a'), ('b')) as t(x))": "b",
        "'x' -- ); drop table canary; '\n": "x",
        "'x' /* outer /* ; inner */ ' */": "x",
        "first_value(cast('w' as varchar)) over (order by 1)": "w",
    }
    queries: ClassVar[Mapping[str, str]] = {
        "with p as (select 1 as id, 'a@x.org' as email) select *, 'cte' as v from p": "cte",
        "select 1 as id, 'a@x.org' as email, 'u' as v union all select 1, 'a@x.org', 'u'": "u",
        "select * from (values (1, 'a@x.org', 'v')) as t(id, email, v)": "v",
        "select 1 as id, 'a@x.org' as email, 'o' as v order by email desc, 1 limit 5": "o",
        "select 1 as id, 'a@x.org' as email, 's' as v;": "s",
        "select 1 as id, 'a@x.org' as email, 's' as v ; ; \n;": "s",
        "select 1 as id, 'a@x.org' as email, 'c' as v -- done; really (": "c",
        "select 1 as id, 'a@x.org' as email, 'c' as v; -- done; 'really": "c",
        "select 1 as id, 'a@x.org' as email, '🙂' as v /* é */; /* ; */": "🙂",
        "-- first\nselect 1 as id,\r\n'a@x.org' as email,\r\n'n' as v": "n",
        "/* ; */ SELECT 1 AS id, 'a@x.org' AS email, 'U' AS v": "U",
        "(select 1 as id, 'a@x.org' as email, 'p' as v)": "p",
    }

    @pytest.fixture
    def canary(self, planner: Planner) -> Iterator[Planner]:
        """Make a table that must still hold its row when the test ends."""
        planner.execute(
            "create table canary (id integer, email varchar, big bigint)",
            f"insert into canary values (1, $${CANARY}$$, {_BIG})",
        )
        yield planner
        assert planner.rows("select id, big from canary") == [(1, _BIG)]

    def test_expressions_mean_what_they_say(self, planner: Planner) -> None:
        """Colons, percent signs, backslashes and quotes reach the engine unchanged."""
        wanted = {**self.expressions, **self.spelled}
        columns = ", ".join(f"{expression} as v{n}" for n, expression in enumerate(wanted))
        planned = planner.run(
            f"select 1 as id, 'a@x.org' as email, {columns}",
            fields=[f"v{n}" for n in range(len(wanted))],
        )
        found = {
            expression: planned.column(f"v{n}")["a@x.org"] for n, expression in enumerate(wanted)
        }
        assert found == wanted

    def test_queries_run_as_written(self, planner: Planner) -> None:
        """Comments, closing semicolons, and every form of a SELECT."""
        wanted = {**self.queries, **self.written}
        found = {
            query: planner.run(query, fields=["v"], full=True).column("v")["a@x.org"]
            for query in wanted
        }
        assert found == wanted

    refused: ClassVar[Sequence[str]] = (
        "select id, email from canary; drop table canary",
        "select id, email from canary;\n-- more\ndelete from canary;",
        "select id, email from canary where email <> ';' ; drop table canary; --'",
        "select id, email, E'\\'' from canary; drop table canary; --'",
        "select id, email, $$;$$ from canary ; drop table canary",
        "select id, email, '🙂🙂' from canary ; drop table canary",
        "insert into canary values (2, 'b@x.org', 2)",
        "insert into canary values (2, 'b@x.org', 2) returning id, email",
        "update canary set big = 2 returning id, email",
        "delete from canary returning id, email",
        "with gone as (delete from canary returning *) select * from gone",
        "drop table canary",
        "create table copied as select * from canary",
        "select id, email into copied from canary",
        "truncate canary",
        "select id, email from canary) q; drop table canary; select * from (select 1",
        "select id, email from canary) a, (select 1 as one",
        "select id, email from canary) union (select 2, 'b@x.org'",
        "commit",
        "begin; select id, email from canary",
    )

    def test_anything_but_one_select_is_refused_unexecuted(self, canary: Planner) -> None:
        """Neither a second statement nor a changing one takes effect."""
        accepted = []
        for query in self.refused:
            try:
                canary.attempt(query)
            except SourceError:
                assert canary.scalar("select big from canary") == _BIG, query
            else:
                accepted.append(query)
        assert accepted == []

    @pytest.mark.parametrize(
        "query",
        [
            "select 1) x; drop table canary; select (2",
            "select 1 as one) q; drop table canary; select * from (select 2",
            "select 1; drop table canary",
        ],
    )
    def test_the_engine_itself_takes_one_statement_only(self, canary: Planner, query: str) -> None:
        """Even a text that the tokenizer misread cannot bring a second statement along."""
        with pytest.raises(SourceError), canary.warehouse.transaction() as tx:
            tx.columns_of(query)

    @pytest.mark.parametrize("query", [";", "-- nothing", "/* ; */", ";;\n--x\n;"])
    def test_an_empty_query_is_refused(self, planner: Planner, query: str) -> None:
        """There must be something to run."""
        with pytest.raises(SourceError, match="the query is empty"):
            planner.attempt(query)

    @pytest.mark.parametrize(
        ("query", "hint"),
        [
            ("selec 1 as id, 'a@x.org' as email", "syntax error"),
            ("select 1 as id, 'a@x.org' as email from no_such_table", "no_such_table"),
            ("select id, e_mail from canary", "e_mail"),
            ("select no_such_function(id), email from canary", "no_such_function"),
            ("select id, 'open from canary", "the query cannot be read"),
            ("select (id, email from canary", "the query"),
        ],
    )
    def test_a_wrong_query_says_what_is_wrong(self, canary: Planner, query: str, hint: str) -> None:
        """On one line, with the word that the engine stumbled over."""
        with pytest.raises(SourceError) as caught:
            canary.attempt(query)
        assert hint in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1

    def test_the_table_can_be_given_instead(self, planner: Planner) -> None:
        """Its parts are quoted, so any name will do."""
        planner.execute(
            'create schema "My 100% schema"',
            'create table "My 100% schema"."a ""b"" :c" as '
            "select 1 as id, 'a@x.org' as email, '%' as v",
        )
        planned = planner.run(None, table='My 100% schema.a "b" :c', fields=["v"])
        assert planned.column("v") == {"a@x.org": "%"}

    names: ClassVar[Sequence[str]] = (
        *("order", "select", "Mixed Case", "a b", 'a"b', "a'b", "a:b", ":a", "a::b", "%"),
        *("%s", "a%%b", "%(x)s", "ünï🙂", "a.b", "a\\b", "a(b)", "a[0]", "1a", "`a`", "?"),
        *("a,b", "a--b", "/*a", "$1", "{a}", "a;b", "seq", "identity", "value", "q", "_v"),
    )

    def test_columns_may_have_any_name(self, planner: Planner) -> None:
        """As primary key and field, through a first load, an update and a delete."""
        columns = ", ".join(f"{self._named(name)} varchar" for name in self.names)
        planner.execute(f"create table people (email varchar, {columns})")
        for email, value in (("a@x.org", "x"), ("b@x.org", "y")):
            values = ", ".join(f"'{value}{n}'" for n in range(len(self.names)))
            planner.execute(f"insert into people values ('{email}', {values})")
        sync: dict[str, Any] = {"primary_key": self.names, "fields": self.names}
        assert planner.run("select * from people", **sync).counts == (2, 0, 0)
        assert planner.run("select * from people", **sync).counts == (0, 0, 0)
        for name in self.names:
            planner.execute(f"update people set {self._named(name)} = 'z' where email = 'a@x.org'")
        planner.execute("delete from people where email = 'b@x.org'")
        planned = planner.run("select * from people", **sync)
        assert planned.counts == (0, 1, 1)
        found = {name: planned.column(name) for name in self.names}
        assert found == {
            name: {"a@x.org": "z", "b@x.org": f"y{n}"} for n, name in enumerate(self.names)
        }

    @pytest.mark.parametrize("name", ["order", 'a"b', "a'b", ":a", "%(x)s", "ünï🙂", "a\\b"])
    def test_an_identifier_may_have_any_name(self, planner: Planner, name: str) -> None:
        """Also where a message names the column."""
        planner.run(
            f"select * from (values (1, 'a@x.org'), (2, 'bad')) as t(id, {self._named(name)})",
            identifiers={"email": name},
        )
        refused = planner.rows("select _error_reason from reverse_etl.refused_people_1")
        assert refused == [(f"column {name} holds no usable email: expected an e-mail address",)]

    @staticmethod
    def _named(name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    def test_missing_columns_are_told_together(self, planner: Planner) -> None:
        """Each with the key of the config that names it and the closest column."""
        with pytest.raises(SourceError) as caught:
            planner.run(
                "select 1 as customer_id, 'a@x.org' as e_mail, 2 as \"Plan\"",
                fields=["plann", "zzz"],
            )
        text = str(caught.value)
        assert "source.primary_key names the column id" in text
        assert "identifiers.email names the column email (closest: e_mail)" in text
        assert "fields.plann names the column plann (closest: Plan)" in text
        assert "fields.zzz names the column zzz;" in text or "column zzz." in text
        assert "Its columns are customer_id, e_mail, Plan" in text

    def test_a_column_is_found_whatever_its_case(self, planner: Planner) -> None:
        """When only one is meant; its own spelling is used from then on."""
        query = 'select 1 as "ID", \'a@x.org\' as "Email", 2 as "V"'
        assert planner.run(query, fields=["v"]).column("V") == {"a@x.org": 2}

    @pytest.mark.parametrize("name", ["_identity", "_seq", "_rank", "_primary_key"])
    def test_our_own_column_names_are_refused(self, planner: Planner, name: str) -> None:
        """They would clash in our tables."""
        with pytest.raises(SourceError, match=f"{name}, a word of our own"):
            planner.run(f"select 1 as id, 'a@x.org' as email, 1 as {name}", fields=[name])

    def test_a_failing_row_is_not_quoted(self, canary: Planner) -> None:
        """Messages about data repeat the data: none of it may come through."""
        shared = [
            *(f"cast(email as {name})" for name in ("integer", "date", "boolean", "timestamp")),
            *(f"cast(email as {name})" for name in ("double precision", "json", "uuid")),
            *("cast(big as smallint)", "big * 9223372036854775807", "cast(big as decimal(5, 2))"),
            *("cast(email || '''' as integer)", "cast('\n\nLINE ' || email as integer)"),
        ]
        for expression in [*shared, *self.quoting]:
            with pytest.raises(SourceError) as caught:
                canary.attempt(f"select id, email, {expression} as v from canary", fields=["v"])
            shown = "".join(traceback.format_exception(caught.value))
            for part in ("canary'", "o@secret", str(_BIG)):
                assert part not in shown, expression
            assert len(str(caught.value)) > len("the query fails: "), expression

    def test_the_query_is_evaluated_once(self, planner: Planner) -> None:
        """Also when it fails to have the columns, and on later runs."""
        planner.execute("create sequence evaluations")
        query = (
            "select nextval('evaluations') as v, id, 'a' || id || '@x.org' as email "
            "from (values (1), (2), (3)) as t(id)"
        )
        planner.run(query, fields=["v"])
        assert planner.scalar("select nextval('evaluations')") == 4
        with pytest.raises(SourceError):
            planner.run(query, fields=["nothing"])
        assert planner.scalar("select nextval('evaluations')") == 5
        planner.run(query, fields=["v"])
        assert planner.scalar("select nextval('evaluations')") == 9

    def test_a_failing_query_leaves_nothing_behind(self, planner: Planner) -> None:
        """The transaction takes every table of the run with it."""
        planner.run("select 1 as id, 'a@x.org' as email")
        before = self.objects(planner.warehouse)
        with pytest.raises(SourceError):
            planner.run("select 1/0 as id, cast('x' || 1 as integer) as email")
        assert self.objects(planner.warehouse) == before
        assert planner.run("select 1 as id, 'a@x.org' as email").counts == (0, 0, 0)


# --- values --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Values:
    """A type of the engine and some of its values.

    Attributes:
        type: As a column is declared.
        read: Literal of a value to what a connector reads, in the order of the rows. All are
            different from each other and from NULL. Times are whole numbers: microseconds since
            1970, dates days.
        same: Pairs of literals that are the same value.
        metadata: What the Arrow field says under ``kind``.
        before: Statements that must run first.
    """

    type: str
    read: Mapping[str, Any]
    same: Sequence[tuple[str, str]] = ()
    metadata: str = ""
    before: Sequence[str] = field(default=())


class ValueSuite(WarehouseSuite):
    """Every type of the engine arrives unharmed, and changes are seen, and only changes.

    Attributes:
        values: By name.
        retyped: Type and literal before, type and literal after, the number of updates.
    """

    values: ClassVar[Mapping[str, Values]] = {}
    retyped: ClassVar[Sequence[tuple[str, str, str, str, int]]] = ()

    @pytest.fixture
    def typed(self, planner: Planner) -> Planner:
        """Make a table with one column of each type; a row uses one of them."""
        columns = ", ".join(f"v{n} {values.type}" for n, values in enumerate(self.values.values()))
        for values in self.values.values():
            planner.execute(*values.before)
        planner.execute(f"create table people (id varchar, {columns})")
        return planner

    @property
    def _fields(self) -> list[str]:
        return [f"v{n}" for n in range(len(self.values))]

    def _fill(self, planner: Planner, rows: Mapping[tuple[str, int], str]) -> None:
        """Write rows: the name of the type and a number, to a literal."""
        places = list(self.values)
        planner.execute(
            "delete from people",
            *(
                f"insert into people (id, v{places.index(name)}) "
                f"values ('{places.index(name)}_{n}', {literal})"
                for (name, n), literal in rows.items()
            ),
        )

    def _run(self, planner: Planner) -> Planned:
        query = "select *, 'p' || id || '@x.org' as email from people"
        return planner.run(query, fields=self._fields)

    def _found(self, planned: Planned) -> dict[tuple[str, int], str]:
        """Return who is planned, with the value of the row's type as its Python text."""
        if planned.page is None:
            return {}
        found = {}
        for place, name in enumerate(self.values):
            texts = map(repr, read_column(planned.page, f"v{place}"))
            identities = planned.page.column("_identity").to_pylist()
            for identity, text in zip(identities, texts, strict=True):
                owner, _, n = identity.removeprefix("p").removesuffix("@x.org").partition("_")
                if int(owner) == place:
                    found[name, int(n)] = text
        return found

    def test_values_arrive_and_changes_are_seen(self, typed: Planner) -> None:
        """NULL, extremes and empty values; the same again; each value to the next one."""
        literals = {name: ["NULL", *values.read] for name, values in self.values.items()}
        expected = {name: [None, *v.read.values()] for name, v in self.values.items()}

        def rows(lists: Mapping[str, Sequence[Any]], shift: int) -> dict[tuple[str, int], Any]:
            return {
                (name, n): given[(n + shift) % len(given)]
                for name, given in lists.items()
                for n in range(len(given))
            }

        def texts(shift: int) -> dict[tuple[str, int], str]:
            # As text, because NaN is not equal to itself and 1 is equal to True.
            return {key: repr(value) for key, value in rows(expected, shift).items()}

        self._fill(typed, rows(literals, 0))
        first = self._run(typed)
        assert first.counts == (len(texts(0)), 0, 0)
        assert self._found(first) == texts(0)
        assert first.page is not None
        kinds = [first.page.schema.field(name).metadata or {} for name in self._fields]
        assert {
            name: kind.get(b"kind", b"").decode()
            for name, kind in zip(self.values, kinds, strict=True)
        } == {name: values.metadata for name, values in self.values.items()}
        assert self._found(self._run(typed)) == {}

        self._fill(typed, rows(literals, 1))
        changed = self._run(typed)
        assert self._found(changed) == texts(1)
        assert changed.counts == (0, len(texts(1)), 0)

        typed.execute("delete from people")
        gone = self._run(typed)
        assert self._found(gone) == texts(1)
        assert gone.counts == (0, 0, len(texts(1)))

    def test_equal_values_are_no_change(self, typed: Planner) -> None:
        """However they are written."""
        pairs = {
            (name, n): pair
            for name, values in self.values.items()
            for n, pair in enumerate([*values.same, *((v, v) for v in values.read)])
        }
        self._fill(typed, {key: left for key, (left, _) in pairs.items()})
        self._run(typed)
        self._fill(typed, {key: right for key, (_, right) in pairs.items()})
        assert self._found(self._run(typed)) == {}

    def test_any_value_may_name_a_row(self, typed: Planner) -> None:
        """As a primary key, alone or with another column; distinct values, distinct names."""
        given = [(name, n) for name, values in self.values.items() for n in range(len(values.read))]
        literals = {(name, n): [*self.values[name].read][n] for name, n in given}
        self._fill(typed, literals)
        for place, name in enumerate(self.values):
            query = (
                f"select v{place}, id, 'a@x.org' as email from people where id like '{place}|_%'"
            )
            query += " escape '|'"
            for key in ([f"v{place}"], [f"v{place}", "id"]):
                keys = [row[2] for row in typed.identities(query, primary_key=key)]
                assert len(set(keys) - {None}) == len(self.values[name].read), (name, keys)
                if len(key) > 1:
                    assert all(k.startswith("[") and k.endswith("]") for k in keys), keys

    def test_the_type_of_a_key_decides_its_order(self, typed: Planner) -> None:
        """Whatever the type, rows that claim one identity can be put in order."""
        literals = {
            (name, n): literal
            for name, values in self.values.items()
            for n, literal in enumerate(values.read)
        }
        self._fill(typed, literals)
        planned = typed.run(
            "select *, 'same@x.org' as email from people", primary_key=[*self._fields, "id"]
        )
        assert planned.counts == (1, 0, 0)
        assert planned.plan.rows_duplicate == len(literals) - 1

    def test_the_type_of_a_column_changes(self, planner: Planner) -> None:
        """The next run works, and knows which values changed and who left."""
        for values in self.values.values():
            planner.execute(*values.before)
        found = {}
        for n, (before, old, after, new, _) in enumerate(self.retyped):
            one = Planner(planner.warehouse, f"retyped{n}")
            row = "select {0} as id, 'p{0}@x.org' as email, cast({1} as {2}) as v"
            two = f"{row.format(1, old, before)} union all {row.format(2, old, before)}"
            one.run(two, fields=["v"])
            try:
                left = one.run(row.format(1, new, after), fields=["v"])
            except WarehouseError as error:
                found[before, old, after, new] = str(error)
            else:
                assert "p2@x.org" in left.identities
                found[before, old, after, new] = str(left.counts)
        assert found == {tuple(change): f"(0, {updates}, 1)" for *change, updates in self.retyped}


@dataclass(frozen=True)
class Sent:
    """A value that becomes another one, or the same in another form.

    Attributes:
        type: Of the column.
        before: Literal.
        after: Literal.
        updates: Whether what would be sent of it changes: 1 or 0.
        wanted: Type of the field at the destination, or None.
        retyped: Type of the column afterwards, or None when it stays.
    """

    type: str
    before: str
    after: str
    updates: int
    wanted: str | None = None
    retyped: str | None = None


class SentSuite(WarehouseSuite):
    """An update is planned only when what would be sent has changed.

    Attributes:
        sent: For a destination that takes whole seconds.
    """

    sent: ClassVar[Sequence[Sent]] = ()

    @pytest.fixture
    def planner(self, warehouse: Warehouse) -> Planner:
        """Plan runs of a sync ``people``."""
        return Planner(warehouse, destination=TakesEverything(whole_seconds=True))

    def test_only_what_would_be_sent_counts(self, planner: Planner) -> None:
        """With pending changes of others and without them: an engine may compare in two ways."""
        given = [each for each in self.sent if each.retyped is None]
        columns = ", ".join(f"v{n} {each.type}" for n, each in enumerate(given))
        planner.execute(f"create table people (id varchar, {columns})")
        fields = {
            f"v{n}": {"column": f"v{n}", **({"type": each.wanted} if each.wanted else {})}
            for n, each in enumerate(given)
        }
        query = "select *, 'p' || id || '@x.org' as email from people"
        expected = {f"p{n}@x.org" for n, each in enumerate(given) if each.updates}
        fill = {
            when: [
                "delete from people",
                "insert into people (id) values ('x')",
                *(
                    f"insert into people (id, v{n}) values ('{n}', {getattr(each, when)})"
                    for n, each in enumerate(given)
                ),
            ]
            for when in ("before", "after")
        }
        for refused in ([], ["px@x.org"]):
            planner.execute(*fill["before"])
            planner.run(query, fields=fields, full=True, refused=refused)
            planner.execute(*fill["after"])
            assert planner.run(query, fields=fields).identities == expected

    def test_also_when_the_type_of_the_column_changes(self, planner: Planner) -> None:
        """As text, another type is another value."""
        found = {}
        for n, each in enumerate(self.sent):
            if each.retyped is None:
                continue
            one = Planner(planner.warehouse, f"sent{n}", planner.destination)
            fields = {"v": {"column": "v", **({"type": each.wanted} if each.wanted else {})}}
            row = "select 1 as id, 'p@x.org' as email, cast({0} as {1}) as v"
            one.run(row.format(each.before, each.type), fields=fields)
            left = one.run(row.format(each.after, each.retyped), fields=fields)
            found[each] = left.counts
        assert found == {each: (0, each.updates, 0) for each in self.sent if each.retyped}


def read_column(page: pa.RecordBatch, name: str) -> list[Any]:
    """Return a column as Python values; times as microseconds, dates as days since 1970."""
    column = page.column(name)
    if pa.types.is_timestamp(column.type):
        whole: list[Any] = column.cast(pa.timestamp("us", column.type.tz)).cast("int64").to_pylist()
        return whole
    if pa.types.is_date32(column.type):
        days: list[Any] = column.cast("int32").to_pylist()
        return days
    values: list[Any] = column.to_pylist()
    return values


# --- fields that were sent -----------------------------------------------------------------


class FieldSetSuite(WarehouseSuite):
    """A delete that clears fields knows which ones were sent, whatever became of the mapping."""

    @pytest.fixture
    def planner(self, warehouse: Warehouse) -> Planner:
        """Plan runs of a sync ``people``."""
        return Planner(warehouse, destination=TakesEverything(clears_fields=True))

    @staticmethod
    def people(*names: str) -> str:
        """Return a query of some people with the columns ``a``, ``b`` and ``c``."""
        rows = ", ".join(f"('{name}@x.org', 1, 2, 3)" for name in names)
        chosen = f"select email as id, email, a, b, c from (values {rows or '(NULL, 1, 2, 3)'})"
        return f"{chosen} as t(email, a, b, c)" + ("" if names else " where false")

    @staticmethod
    def cleared(planned: Planned) -> dict[str, list[list[str]] | None]:
        """Return the field sets of the plan by name of the person."""
        return {
            identity.partition("@")[0]: text and [json.loads(line) for line in text.split("\n")]
            for identity, text in planned.column("_fields").items()
        }

    def test_who_leaves_has_the_fields_of_the_base(self, planner: Planner) -> None:
        """Not those of the mapping of today; an upsert sends just its own."""
        first = planner.run(self.people("p", "q"), fields={"y": "b", "x": "a", 'n\\n"é': "c"})
        assert self.cleared(first) == {"p": None, "q": None}
        left = planner.run(self.people("q"), fields={"z": "c"})
        assert self.cleared(left) == {"p": [['n\\n"é', "x", "y"]], "q": None}

    def test_what_was_never_confirmed_is_known_too(self, planner: Planner) -> None:
        """A plan that was broken off is joined by those of later mappings."""
        planner.run(self.people("p", "q"), fields=["a", "b"], confirmed=False)
        again = planner.run(self.people("p", "q"), fields=["a"], confirmed=False)
        assert self.cleared(again) == {name: [["a", "b"], ["a"]] for name in "pq"}
        left = planner.run(self.people("q"), fields=["c"], confirmed=False)
        assert self.cleared(left) == {
            "p": [["a", "b"], ["a"]],
            "q": [["a", "b"], ["a"], ["c"]],
        }
        still = planner.run(self.people(), fields=["a"])
        assert self.cleared(still) == {
            "p": [["a", "b"], ["a"]],
            "q": [["a", "b"], ["a"], ["c"]],
        }
        assert planner.run(self.people(), fields=["a"]).counts == (0, 0, 0)

    def test_the_same_mapping_is_named_once(self, planner: Planner) -> None:
        """In whatever order, and however often it was tried."""
        planner.run(self.people("p"), fields=["a", "b"], confirmed=False)
        planner.run(self.people("p"), fields=["b", "a"], confirmed=False)
        again = planner.run(self.people("p"), fields=["a", "b"], confirmed=False)
        assert self.cleared(again) == {"p": [["a", "b"]]}
        for _ in range(2):
            left = planner.run(self.people(), fields=["a", "b"], confirmed=False)
            assert self.cleared(left) == {"p": [["a", "b"]]}

    def test_a_confirmed_upsert_leaves_older_fields_alone(self, planner: Planner) -> None:
        """A field no longer mapped is left as it is."""
        planner.run(self.people("p"), fields=["a", "b"], confirmed=False)
        assert self.cleared(planner.run(self.people("p"), fields=["a"])) == {
            "p": [["a", "b"], ["a"]]
        }
        assert self.cleared(planner.run(self.people(), fields=["a"])) == {"p": [["a"]]}

    def test_a_refused_delete_keeps_its_fields(self, planner: Planner) -> None:
        """While the mapping changes, and when the person comes back and leaves again."""
        everybody = self.people("p")
        planner.run(everybody, fields=["a"])
        planner.run(self.people(), fields=["b"], refused=["p@x.org"])
        fields = "select fields from reverse_etl.failed_records"
        assert planner.control_rows(fields) == [('["a"]',)]
        back = planner.run(everybody, fields=["b"], refused=["p@x.org"])
        assert self.cleared(back) == {"p": [["a"], ["b"]]}
        assert planner.control_rows(fields) == [('["a"]\n["b"]',)]
        left = planner.run(self.people(), fields=["c"], refused=["p@x.org"])
        assert self.cleared(left) == {"p": [["a"], ["b"]]}
        assert self.cleared(planner.run(self.people(), full=True, refused=[])) == {
            "p": [["a"], ["b"]]
        }
        assert planner.control_rows(fields) == []

    def test_a_failure_that_waits_still_counts(self, planner: Planner) -> None:
        """It is not due, so its run plans nothing; but who leaves may hold its fields."""
        planner.run(self.people("p"), fields=["a", "b"], refused=["p@x.org"])
        assert planner.run(self.people("p"), fields=["a"], refused=[]).counts == (0, 0, 0)
        assert self.cleared(planner.run(self.people(), fields=["a"])) == {"p": [["a", "b"]]}

    def test_who_left_in_upsert_mode_is_cleared_by_a_later_mirror(self, planner: Planner) -> None:
        """Of all that was sent until then, and of nothing that was sent to others since."""
        planner.run(self.people("p", "q"), fields=["a"], mode="upsert", confirmed=False)
        planner.run(self.people("p", "q"), fields=["b"], mode="upsert", confirmed=False)
        for _ in range(2):
            gone = planner.run(self.people("q"), fields=["b"], mode="upsert", refused=[])
        assert gone.counts == (0, 0, 0)
        planner.run(self.people("q"), fields=["c"], mode="upsert", refused=[])
        mirror = planner.run(self.people("q"), fields=["c"], refused=[])
        assert self.cleared(mirror) == {"p": [["a"], ["b"]]}
        assert planner.run(self.people("q"), fields=["c"]).counts == (0, 0, 0)

    def test_who_left_while_nothing_is_cleared_stays(self, planner: Planner) -> None:
        """What ``on_delete: keep`` lets go is not remembered, also where e-mails are shared."""
        keeping = replace(HYBRID, clears_fields=True, deletes=False)
        rows = "select * from (values ('u1', 'a@x.org', 1)) as t(id, email, v)"
        sync: dict[str, Any] = {
            "identifiers": {"userId": "id", "email": "email"},
            "fields": ["v"],
            "refused": [],
        }
        one = Planner(planner.warehouse, "kept", keeping)
        one.run(rows, **sync)
        assert one.run(f"{rows} where v = 2", **sync).counts == (0, 0, 0)
        clearing = Planner(planner.warehouse, "kept", replace(keeping, deletes=True))
        assert clearing.run(f"{rows} where v = 2", **sync).counts == (0, 0, 0)

    def test_who_is_held_by_another_row_is_cleared_of_all_later(self, planner: Planner) -> None:
        """In a hybrid project, in which a person is known by two identifiers."""
        hybrid = Planner(planner.warehouse, "held", replace(HYBRID, clears_fields=True))
        rows = (
            "select * from (values (1, 'u1', 'a@x.org'), (2, NULL, 'a@x.org')) as t(id, u, email)"
        )
        sync: dict[str, Any] = {"identifiers": {"userId": "u", "email": "email"}}
        failed = hybrid.run(
            f"{rows} where id = 1", fields=["id", "u"], refused=["userId:u1"], **sync
        )
        assert failed.counts == (1, 0, 0)
        hybrid.run(f"{rows} where id = 1", fields=["id"], refused=[], **sync)
        held = hybrid.run(f"{rows} where id = 2", fields=["id"], refused=[], **sync)
        assert held.counts == (1, 0, 0)
        left = hybrid.run(f"{rows} where id = 3", fields=["id"], refused=[], **sync)
        assert left.column("_fields") == {
            "userId:u1": '["id", "u"]',
            "email:a@x.org": '["id"]',
        }

    def test_other_destinations_pay_nothing(self, planner: Planner) -> None:
        """No column more, nothing written."""
        one = Planner(planner.warehouse, "plain")
        one.run(self.people("p"), fields=["a"], confirmed=False)
        planned = one.run(self.people(), fields=["b"], refused=["p@x.org"])
        assert planned.page is not None
        assert planned.page.schema.names == ["_identity", "_alias", "b"]
        found = one.rows("select _fields from reverse_etl.changes_plain_2")
        found += one.control_rows("select fields from reverse_etl.failed_records")
        assert found == [(None,), (None,)]


# --- identities ----------------------------------------------------------------------------

_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)

_LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
_TRICKY = st.sampled_from(
    [*WHITE_SPACE, *"@@@...aAzZ09_+-'\"%:\\?\u0130\u0131\u017f\u212a\u200b\u180e\u00ad\x7f\x01é🙂"]
)
_ADDRESSES = st.tuples(
    st.text(st.one_of(st.sampled_from(WHITE_SPACE)), max_size=3),
    st.text(st.one_of(_TRICKY, _LETTERS), max_size=8),
    st.sampled_from(["@", "", "@@", " @ "]),
    st.text(st.one_of(_TRICKY, _LETTERS), max_size=8),
    st.sampled_from([".", "", ".org", ".ORG", "..org", ".o\x1fg"]),
    st.text(st.sampled_from(WHITE_SPACE), max_size=3),
).map("".join)
_LONG = st.integers(245, 260).map(lambda size: ("a" * (size - 6)) + "@x.org")


_TRICKY_VALUES = (
    [f"{space}Ada@X.org{space}" for space in WHITE_SPACE],
    ["\u0130@x.org", "I@X.ORG", "\u0131@x.org", "\u212a@x.org", "\u017f@x.org"],
    ["a@x.org\n", "a@x.org\n\n", "\na@x.org", "a\n@x.org", "a@x.o\x0brg", "a@x\u00a0.org"],
    ["\u200ba@x.org", "\u180ea@x.org", "a@x.org\u200b", "\ufeffa@x.org", "\x1ca@x.org"],
    ["", " ", "@", "a@b", "a@b.", "a@.b", "a@@b.c", "a b@c.d", "a@b.c d", '"a b"@c.d'],
    ["a" * 248 + "@x.org", "a" * 249 + "@x.org", " " * 300 + "a@x.org", "é" * 248 + "@x.org"],
    ["x" * 52, "x" * 53, " x", "x ", "x y", "x\ty", "é", "0", "-0", "\x7f", "~", "!"],
)


def normalised(identifier: Identifier, value: str) -> str | None:
    """Return the identity of a value, by the letter of the contract."""
    value = value.strip(WHITE_SPACE) if identifier.trim else value
    value = value.translate(_ASCII_LOWER) if identifier.lower else value
    # Python's $ would let a closing line feed through.
    pattern = identifier.pattern.removesuffix("$") + r"\Z"
    fits = len(value) <= identifier.max_length and re.search(pattern, value, re.ASCII)
    return value if fits else None


class IdentitySuite(WarehouseSuite):
    """Identities are made in SQL exactly as the contract of an identifier says.

    Attributes:
        identifiers: To be tried, each alone.
        double: The engine's name of a double.
    """

    identifiers: ClassVar[Sequence[Identifier]] = (
        EMAIL,
        replace(EMAIL, plain=None),
        USER_ID,
        replace(USER_ID, trim=True),
    )
    double: ClassVar[str] = "double precision"

    def test_identities_are_those_of_the_contract(self, warehouse: Warehouse) -> None:
        """Trimming, folding, length and pattern; on the quick way and on the slow one."""
        planners = [
            Planner(warehouse, destination=TakesEverything((one,))) for one in self.identifiers
        ]

        @settings(max_examples=15)
        @given(st.lists(st.one_of(_ADDRESSES, _LONG, st.text(_LETTERS, max_size=60)), max_size=60))
        @example([value for values in _TRICKY_VALUES for value in values])
        def check(values: list[str]) -> None:
            with warehouse.transaction() as tx:
                tx.drop(clause("given", (), self.schema))
                tx.create_empty(clause("given", (("id", BigInteger), "v"), self.schema))
                tx.upload(
                    clause("given", ("id", "v"), self.schema),
                    pa.RecordBatch.from_pydict({"id": range(len(values)), "v": values}),
                )
            for planner, identifier in zip(planners, self.identifiers, strict=True):
                rows = planner.identities(
                    "select * from reverse_etl.given", identifiers={identifier.name: "v"}
                )
                found = {int(key): identity for identity, _, key in rows}
                assert found == {n: normalised(identifier, v) for n, v in enumerate(values)}

        check()

    def test_a_whole_double_is_an_integer(self, planner: Planner) -> None:
        """Integers with gaps arrive as doubles; nobody's user id is ``42.0``."""
        user = Planner(planner.warehouse, destination=TakesEverything((USER_ID,)))
        given_ids = {"42.0": "42", "-7": "-7", "-0.0": "0", "42.5": "42.5", "1e15": "1" + "0" * 15}
        given_ids["9007199254740991"] = "9007199254740991"
        rows = " union all ".join(
            f"select '{n}' as n, cast('{n}' as {self.double}) as id" for n in given_ids
        )
        found = user.identities(
            f"select * from ({rows}) x", identifiers={"userId": "id"}, primary_key=["n"]
        )
        assert {key: identity for identity, _, key in found} == given_ids

    def test_doubles_beyond_the_exact_ones_stay_distinct(self, planner: Planner) -> None:
        """And NaN, infinities and NULL do not fail the query."""
        user = Planner(planner.warehouse, destination=TakesEverything((USER_ID,)))
        given_ids = [
            "1e300",
            "-1e300",
            "9007199254740993",
            "NaN",
            "Infinity",
            "-Infinity",
            "1e-300",
        ]
        rows = " union all ".join(f"select cast('{n}' as {self.double}) as id" for n in given_ids)
        query = f"select * from ({rows} union all select null) x"
        found = [row[0] for row in user.identities(query, identifiers={"userId": "id"})]
        assert len({identity for identity in found if identity}) == len(given_ids)
        assert found.count(None) == 1

    def test_a_person_has_one_identity_in_a_hybrid_project(self, planner: Planner) -> None:
        """A row with only an e-mail is the person who has it beside a user id."""
        hybrid = Planner(planner.warehouse, destination=HYBRID)
        rows = "(1, 'u1', ' A@x.org'), (2, NULL, 'a@X.org'), (3, NULL, 'b@x.org'), (4, '', '')"
        planned = hybrid.run(
            f"select * from (values {rows}) as t(id, uid, email)",
            identifiers={"userId": "uid", "email": "email"},
        )
        assert planned.identities == {"userId:u1", "email:b@x.org"}
        assert planned.column("_alias") == {"userId:u1": "a@x.org", "email:b@x.org": "b@x.org"}
        assert (planned.plan.rows_invalid, planned.plan.rows_duplicate) == (1, 1)

    def test_the_smallest_primary_key_wins(self, planner: Planner) -> None:
        """By its type, not by its text; NULL is the last."""
        rows = "(NULL, 'a@x.org', 'null'), (10, ' a@x.org', 'ten'), (9, 'A@x.org', 'nine')"
        planned = planner.run(f"select * from (values {rows}) as t(id, email, v)", fields=["v"])
        assert planned.column("v") == {"a@x.org": "nine"}
        assert planned.plan.rows_duplicate == 2


# --- our schema ----------------------------------------------------------------------------


class SchemaSuite(WarehouseSuite):
    """Our own tables, whatever the schema is called."""

    def test_preparing_twice_changes_nothing(self, warehouse: Warehouse) -> None:
        """The second program finds the tables of the first."""
        warehouse.prepare_schema()
        planner = Planner(warehouse)
        planner.run("select 1 as id, 'a@x.org' as email")
        warehouse.prepare_schema()
        versions = "select version from reverse_etl.schema_version"
        assert planner.control_rows(versions) == [(SCHEMA_VERSION,)]
        assert planner.run("select 1 as id, 'a@x.org' as email").counts == (0, 0, 0)

    def test_tables_of_another_version_are_refused(self, planner: Planner) -> None:
        """With both versions and what to do."""
        planner.control_execute("update reverse_etl.schema_version set version = 999")
        words = rf"schema reverse_etl have version 999.*needs {SCHEMA_VERSION}"
        with pytest.raises(WarehouseError, match=words):
            planner.warehouse.prepare_schema()

    @pytest.mark.parametrize("name", ['we"ird', "100%", "%s", "Upper.Case", "ünï'", "a:b"])
    def test_the_schema_may_have_any_name(
        self, warehouse_in: Callable[[str], Warehouse], name: str
    ) -> None:
        """Through a first load, recorded failures, an update and a delete."""
        with warehouse_in(name) as warehouse:
            planner = Planner(warehouse)
            query = "select id, 'p' || id || '@x.org' as email, {} as v from (values {}) as t(id)"
            first = planner.run(query.format("'%'", "(1), (2)"), fields=["v"])
            assert first.counts == (2, 0, 0)
            outcomes = first.plan.tables.outcomes
            with warehouse.transaction() as tx:
                failed = {"seq": [1, 2], "status": ["failed", "failed"]}
                tx.upload(outcomes, pa.RecordBatch.from_pydict(failed))
            with warehouse.transaction() as tx:
                assert tx.runs_with_tables("people")["outcomes"] == [1]
            again = planner.run(query.format("':x'", "(1)"), fields=["v"])
            assert again.counts == (0, 1, 1)
            assert again.column("v") == {"p1@x.org": ":x", "p2@x.org": "%"}
            view = '"' + name.replace('"', '""') + '".snapshot_people'
            assert planner.rows(f"select _identity, v from {view}") == [("p1@x.org", ":x")]

    @pytest.mark.parametrize("name", ["reverse_etl", 'we"ird', "100%"])
    def test_rights_are_proven_and_nothing_stays(
        self, warehouse_in: Callable[[str], Warehouse], name: str
    ) -> None:
        """Before the first run, and with tables that are in use."""
        with warehouse_in(name) as warehouse:
            before = self.objects(warehouse)
            warehouse.prove_rights()
            assert self.objects(warehouse) == before
            planner = Planner(warehouse)
            planner.run("select 1 as id, 'a@x.org' as email")
            before = self.objects(warehouse)
            warehouse.prove_rights()
            assert self.objects(warehouse) == before
            assert planner.run("select 1 as id, 'a@x.org' as email").counts == (0, 0, 0)

    def test_an_error_undoes_tables_too(self, planner: Planner) -> None:
        """A transaction is all or nothing, whatever is done in it."""
        with pytest.raises(WarehouseError):
            planner.execute(
                "create table reverse_etl.half (a integer)",
                "insert into reverse_etl.half values (1)",
                "select * from no_such_table",
            )
        assert not self.has_table(planner, "half")

    def test_an_abandoned_transaction_leaves_nothing(self, planner: Planner) -> None:
        """Without an error."""
        with planner.warehouse.transaction() as tx:
            tx.connection.exec_driver_sql("create table reverse_etl.half (a integer)")
            tx.abandon()
        assert not self.has_table(planner, "half")

    def test_a_failed_upload_is_our_error(self, planner: Planner) -> None:
        """And takes the transaction with it; the text names no value."""
        planner.execute("create table reverse_etl.target (a integer, b varchar)")
        target = clause("target", ("a", "b"), "reverse_etl")
        with pytest.raises(WarehouseError) as caught:  # noqa: PT012, SIM117 - one transaction
            with planner.warehouse.transaction() as tx:
                tx.upload(target, pa.RecordBatch.from_pydict({"a": [1], "b": ["fine"]}))
                tx.upload(target, pa.RecordBatch.from_pydict({"a": [CANARY], "b": [CANARY]}))
        assert "secret" not in "".join(traceback.format_exception(caught.value))
        assert planner.rows("select * from reverse_etl.target") == []

    def test_an_upload_brings_every_kind_of_value(self, planner: Planner) -> None:
        """NULLs, quotes, tabs, backslashes and emoji among them."""
        planner.execute("create table reverse_etl.target (a bigint, b varchar, c boolean)")
        target = clause("target", ("a", "b", "c"), "reverse_etl")
        texts = [None, "", 'it\'s "q"', "tab\tline\nreturn\r", "\\N", "\\", "🙂 é", "%s :x", "NULL"]
        columns = {
            "a": [None, *range(1, len(texts))],
            "b": texts,
            "c": [None, *(n % 2 == 0 for n in range(1, len(texts)))],
        }
        with planner.warehouse.transaction() as tx:
            tx.upload(target, pa.RecordBatch.from_pydict(columns))
        found = planner.rows("select a, b, c from reverse_etl.target order by a nulls first")
        assert found == list(zip(*columns.values(), strict=True))

    def test_the_view_follows_the_snapshot(self, planner: Planner) -> None:
        """Also when columns come and go."""
        planner.run("select 1 as id, 'a@x.org' as email, 'x' as v", fields=["v"])
        planner.run("select 1 as id, 'a@x.org' as email, 2 as w", fields=["w"])
        view = "select * from reverse_etl.snapshot_people"
        assert planner.rows(view) == [("a@x.org", None, "1", 1, "a@x.org", 2)]
        planner.run("select 3 as id, 'a@x.org' as email, 4 as w", fields=["w"])
        assert planner.rows(view) == [("a@x.org", None, "3", 3, "a@x.org", 4)]

    def test_what_earlier_runs_left_open_is_planned_again(self, planner: Planner) -> None:
        """Nothing was confirmed, so everything is planned once more, as what it was."""
        rows = "select id, 'p' || id || '@x.org' as email from (values {}) as t(id)"
        planner.run(rows.format("(1), (2)"), confirmed=False)
        again = planner.run(rows.format("(2), (3)"), confirmed=False)
        assert again.counts == (2, 0, 1)
        assert again.plan.planned == {
            Operation.INSERT: 2,
            Operation.UPDATE: 0,
            Operation.DELETE: 1,
        }
        assert planner.run(rows.format("(2), (3)")).counts == (2, 0, 1)
        assert planner.run(rows.format("(2), (3)")).counts == (0, 0, 0)


# --- the lease -----------------------------------------------------------------------------


class LeaseSuite(WarehouseSuite):
    """One run per sync at a time; whoever lost the lease writes nothing more."""

    def lease(
        self, warehouse: Warehouse, owner: str = "host-a:1:aa", sync_name: str = "people"
    ) -> Lease:
        """Name a lease of 30 seconds."""
        return Lease(warehouse, sync_name, seconds=30, clock=warehouse.clock, owner=owner)

    def taken_over(self, planner: Planner) -> Lease:
        """Return a lease that another run has taken in the meantime."""
        lease = self.lease(planner.warehouse)
        lease.take()
        planner.execute(
            "update reverse_etl.sync_state set lease_token = lease_token + 1, "
            "lease_owner = 'host-b:2:bb' where sync_name = 'people'"
        )
        return lease

    def state(self, planner: Planner) -> tuple[Any, ...]:
        """Read the process of the owner, and the token."""
        rows = planner.rows("select lease_owner, lease_token from reverse_etl.sync_state")
        owner, token = rows[0]
        return owner and ":".join(owner.split(":")[:3]), token

    def test_the_token_grows_with_every_owner(self, planner: Planner) -> None:
        """Taken and given back, again and again."""
        tokens = []
        for _ in range(3):
            lease = self.lease(planner.warehouse)
            lease.take()
            tokens.append(lease.token)
            lease.give_back()
        assert tokens == [1, 2, 3]
        assert self.state(planner) == (None, 3)

    def test_two_syncs_do_not_know_each_other(self, planner: Planner) -> None:
        """Each has its own lease."""
        first, second = (self.lease(planner.warehouse, sync_name=name) for name in ("a", "b"))
        first.take()
        second.take()
        first.renew()
        second.renew()
        assert planner.scalar("select count(*) from reverse_etl.sync_state") == 2

    def test_renewing_after_a_takeover_fails(self, planner: Planner) -> None:
        """The lease stays with its new owner."""
        with pytest.raises(LeaseLost, match="people has taken the lease"):
            self.taken_over(planner).renew()
        assert self.state(planner) == ("host-b:2:bb", 2)

    def test_nothing_is_committed_after_a_takeover(self, planner: Planner) -> None:
        """The guard at the end of a transaction takes all of it back."""
        lease = self.taken_over(planner)
        planner.execute("create table reverse_etl.written (a integer)")
        with pytest.raises(LeaseLost):  # noqa: PT012, SIM117 - one transaction
            with planner.warehouse.transaction() as tx:
                tx.connection.exec_driver_sql("insert into reverse_etl.written values (1)")
                lease.confirm(tx)
        assert planner.rows("select * from reverse_etl.written") == []

    @pytest.mark.parametrize("step", ["number_run", "advance", "keep_target", "commit_run"])
    def test_every_change_of_the_state_is_fenced(self, planner: Planner, step: str) -> None:
        """A statement under an old token changes no row."""
        lease = self.taken_over(planner)
        state = planner.warehouse.tables.state
        rest: dict[str, dict[str, Any]] = {
            "number_run": {},
            "advance": {"position": 5, "send_limit": 9, "requests_sent": 1},
            "keep_target": {"target_id": "7", "created_at": None},
            "commit_run": {"run_id": 3, "send_limit": 9, "mapping": "{}", "account": {}},
        }
        before = planner.rows("select * from reverse_etl.sync_state")
        statement = getattr(control, step)(state, "people", lease.token, **rest[step])
        with pytest.raises(LeaseLost), planner.warehouse.transaction() as tx:
            lease.guard(tx.run(statement))
        assert planner.rows("select * from reverse_etl.sync_state") == before

    def test_giving_back_a_lost_lease_is_harmless(self, planner: Planner) -> None:
        """The new owner keeps it."""
        self.taken_over(planner).give_back()
        assert self.state(planner) == ("host-b:2:bb", 2)


class SharedLeaseSuite(LeaseSuite):
    """The lease of a warehouse that many processes use at once."""

    def expire(self, planner: Planner) -> None:
        """Put the expiry into the past of the server's clock."""
        planner.execute("update reverse_etl.sync_state set lease_expires_at = '2001-01-01'")

    def test_the_second_is_told_who_and_until_when(self, planner: Planner, url: str) -> None:
        """And changes nothing."""
        self.lease(planner.warehouse).take()
        until = planner.scalar("select lease_expires_at from reverse_etl.sync_state")
        with (
            warehouse_at(url, self.schema, StandingClock()) as other,
            pytest.raises(Busy) as caught,
        ):
            self.lease(other, "host-b:2:bb").take()
        assert "host-a:1:aa:" in str(caught.value)
        assert f"until {until} UTC" in str(caught.value)
        assert self.state(planner) == ("host-a:1:aa", 1)

    def test_it_expires_by_the_clock_of_the_server(self, planner: Planner) -> None:
        """However wrong the clock of this machine is: here it says 2030."""
        self.lease(planner.warehouse).take()
        with pytest.raises(Busy):
            self.lease(planner.warehouse, "host-b:2:bb").take()
        self.expire(planner)
        late = self.lease(planner.warehouse, "host-b:2:bb")
        late.take()
        assert late.token == 2
        age = "select extract(epoch from lease_expires_at - now() at time zone 'UTC')"
        assert 0 < planner.scalar(f"{age} from reverse_etl.sync_state") <= 30

    def test_an_expired_lease_can_be_renewed_while_nobody_took_it(self, planner: Planner) -> None:
        """Its token is still the newest."""
        lease = self.lease(planner.warehouse)
        lease.take()
        self.expire(planner)
        lease.renew()
        with pytest.raises(Busy):
            self.lease(planner.warehouse, "host-b:2:bb").take()

    def test_a_request_renews_an_old_lease_first(self, planner: Planner) -> None:
        """Or is not started, when another run took it."""
        lease = self.lease(planner.warehouse)
        lease.take()
        lease.check(10)
        self.expire(planner)
        planner.warehouse.clock.sleep(20.5)
        lease.check(10)
        with pytest.raises(Busy):
            self.lease(planner.warehouse, "host-b:2:bb").take()
        self.expire(planner)
        self.lease(planner.warehouse, "host-b:2:bb").take()
        lease.check(10)
        planner.warehouse.clock.sleep(20.5)
        with pytest.raises(LeaseLost):
            lease.check(10)

    def test_of_sixteen_at_once_one_wins(self, planner: Planner) -> None:
        """Also when the sync's row does not exist yet; the others know who won."""
        start = threading.Barrier(16)

        def attempt(n: int) -> str | None:
            lease = self.lease(planner.warehouse, owner=f"host-{n}:{n}:xx")
            start.wait()
            try:
                lease.take()
            except Busy as error:
                found = re.search(r"busy: (\S+) is running", str(error))
                assert found is not None
                return found[1].rpartition(":")[0]
            return None

        with ThreadPoolExecutor(16) as pool:
            told = list(pool.map(attempt, range(16)))
        owner, token = self.state(planner)
        assert planner.scalar("select count(*) from reverse_etl.sync_state") == 1
        assert token == 1
        assert told.count(None) == 1
        assert told.index(None) == int(owner.split(":")[1])
        assert set(told) == {None, owner}

    def test_many_may_make_the_tables_at_once(self, url: str) -> None:
        """Every scheduler that starts for the first time finds or makes them."""
        start = threading.Barrier(8)

        def prepare(_: int) -> None:
            with warehouse_at(url, self.schema, StandingClock()) as warehouse:
                start.wait()
                warehouse.prepare_schema()

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(prepare, range(8)))
        with warehouse_at(url, self.schema, StandingClock()) as warehouse:
            versions = Planner(warehouse).rows("select version from reverse_etl.schema_version")
        assert versions == [(SCHEMA_VERSION,)]


class FileLeaseSuite(LeaseSuite):
    """The lease of a warehouse that one process opens at a time."""

    def test_a_dead_lease_is_taken_over_at_once(self, planner: Planner) -> None:
        """The file is open here, so nobody else can be running."""
        planner.execute(
            "insert into reverse_etl.sync_state (sync_name, lease_owner, lease_token, last_run_id,"
            " lease_expires_at) values ('people', 'host-b:2:bb', 7, 3, '2999-01-01')"
        )
        lease = self.lease(planner.warehouse)
        lease.take()
        assert lease.token == 8
        assert self.state(planner) == ("host-a:1:aa", 8)

    def test_this_process_waits_for_itself(self, planner: Planner) -> None:
        """Whatever the clock says: there is no heartbeat here."""
        self.lease(planner.warehouse).take()
        planner.warehouse.clock.sleep(3600)
        with pytest.raises(Busy, match=r"busy: host-a:1:aa:\w+ is running it"):
            self.lease(planner.warehouse).take()
        assert self.state(planner) == ("host-a:1:aa", 1)

    def test_a_request_needs_no_renewal(self, planner: Planner) -> None:
        """The file's lock is the lease."""
        lease = self.lease(planner.warehouse)
        lease.take()
        before = planner.rows("select * from reverse_etl.sync_state")
        planner.warehouse.clock.sleep(3600)
        lease.check(10)
        assert planner.rows("select * from reverse_etl.sync_state") == before

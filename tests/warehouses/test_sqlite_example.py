"""The example of a warehouse in a package of its own, installed, against the suite and the sandbox.

``pip install -e examples/sqlite_warehouse`` puts it there; SQLite itself is Python's.
"""

# ruff: noqa: S608 - the statements are made of the tests' own words

from __future__ import annotations

import itertools
import sqlite3
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar

import pytest
import sqlalchemy as sa
import sqlglot
from sqlglot import exp

from connectors.iterable.sandbox import Sandbox
from reverse_etl.errors import SourceError, WarehouseError
from reverse_etl.testing.planner import USER_ID, Planner, StandingClock, TakesEverything
from reverse_etl.testing.warehouse_suite import (
    FieldSetSuite,
    IdentitySuite,
    QuerySuite,
    SchemaSuite,
    Sent,
    SentSuite,
    SharedLeaseSuite,
    Values,
    ValueSuite,
    WarehouseSuite,
)
from reverse_etl.warehouse import OFFERED, warehouse_at
from reverse_etl.warehouse.base import Warehouse
from tests.elsewhere import Elsewhere
from tests.world import CREATE_PEOPLE, World, first_sync

if not entry_points(group=OFFERED, name="sqlite"):
    pytest.skip("not installed: pip install -e examples/sqlite_warehouse", allow_module_level=True)


_BIG = 4815162342108


class SQLite(WarehouseSuite):
    spelling = "sqlite"

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        path = tmp_path / "shop.db"
        sqlite3.connect(path).close()
        return f"sqlite:///{path}"

    def spell(self, statement: str) -> str:
        """Give lists of values the names of their columns, for which SQLite has other words."""
        if " as t(" not in statement or statement.startswith(tuple(self.verbatim) or "\0"):
            return super().spell(statement)
        tree = sqlglot.parse_one(statement, read="postgres")
        for values in list(tree.find_all(exp.Values)):
            rows = [row.expressions or [row] for row in values.expressions]
            named = [
                _typed(f"column{n}", column).as_(name.copy(), quoted=name.quoted)
                for n, (name, column) in enumerate(
                    zip(values.args["alias"].columns, zip(*rows, strict=True), strict=True), 1
                )
            ]
            inner = exp.Subquery(this=exp.Values(expressions=values.expressions))
            values.replace(exp.select(*named).from_(inner).subquery("t"))
        return tree.sql("sqlite")

    def objects(self, warehouse: Warehouse) -> set[tuple[Any, ...]]:
        with warehouse.transaction() as tx:
            found = set()
            for row in tx.connection.exec_driver_sql("PRAGMA database_list").all():
                place = '"' + row.name.replace('"', '""') + '"'
                names = tx.connection.exec_driver_sql(f"SELECT name FROM {place}.sqlite_master")
                found |= {(row.name, name) for (name,) in names.all()}
            return found


def _typed(name: str, values: Sequence[exp.Expression]) -> exp.Expression:
    """Return a column; of what is not a column of a table only a CAST has a type here."""
    are_numbers = all(value.is_int or isinstance(value, exp.Null) for value in values)
    return exp.cast(exp.column(name), "int") if are_numbers else exp.column(name)


class TestIdentities(SQLite, IdentitySuite):
    def test_doubles_beyond_the_exact_ones_stay_distinct(self, planner: Planner) -> None:
        """A text that is no number is 0 when it is cast, and NaN is NULL."""
        user = Planner(planner.warehouse, destination=TakesEverything((USER_ID,)))
        given = ["1e300", "-1e300", "9007199254740993.0", "9e999", "-9e999", "1e-300"]
        rows = " union all ".join(f"select {number} as id" for number in given)
        query = f"select * from ({rows} union all select null) x"
        found = [row[0] for row in user.identities(query, identifiers={"userId": "id"})]
        assert len({identity for identity in found if identity}) == len(given)
        assert found.count(None) == 1


class TestFieldSets(SQLite, FieldSetSuite):
    pass


class TestSchema(SQLite, SchemaSuite):
    said: ClassVar[Mapping[str, str]] = {
        f"select {n} as id, 'a@x.org' as email, {w} as w": (
            f"select cast({n} as integer) as id, 'a@x.org' as email, cast({w} as integer) as w"
        )
        for n, w in ((1, 2), (3, 4))
    } | {
        # Any other table takes any value.
        "create table reverse_etl.target (a integer, b varchar)": (
            "create table reverse_etl.target (a integer, b text) strict"
        ),
    }

    def test_our_file_can_be_opened_by_itself(self, planner: Planner, tmp_path: Path) -> None:
        planner.run("select 1 as id, 'a@x.org' as email")
        with closing(sqlite3.connect(tmp_path / "shop.db.reverse_etl")) as alone:
            found = alone.execute("select _identity, id from snapshot_people").fetchall()
        assert found == [("a@x.org", "1")]

    def test_a_missing_file_is_named_and_not_made(self, tmp_path: Path) -> None:
        path = tmp_path / "none.db"
        with pytest.raises(WarehouseError, match=rf"no SQLite file {path}"):
            warehouse_at(f"sqlite:///{path}", "reverse_etl", StandingClock()).open()
        assert list(tmp_path.iterdir()) == []

    def test_two_columns_of_one_name_are_refused(self, planner: Planner) -> None:
        with pytest.raises(SourceError, match="two columns named id"):
            planner.attempt("select 1 as id, 'a@x.org' as email, 2 as id")


class TestLease(SQLite, SharedLeaseSuite):
    said: ClassVar[Mapping[str, str]] = {
        "select extract(epoch from lease_expires_at - now() at time zone 'UTC') "
        "from reverse_etl.sync_state": (
            "select (julianday(lease_expires_at) - julianday('now')) * 86400 "
            "from reverse_etl.sync_state"
        ),
    }


class TestQueries(SQLite, QuerySuite):
    expressions: ClassVar[Mapping[str, str]] = {
        expression: value
        for expression, value in QuerySuite.expressions.items()
        # No dollar quotes, no nested comments, no names for the columns of a list of values.
        if not any(part in expression for part in ("::integer", "$$", "$tag$", "/* outer", "t(x)"))
    }
    spelled: ClassVar[Mapping[str, str]] = {
        "'$$it''s; :x %s $1 ?$$'": "$$it's; :x %s $1 ?$$",
        "(select [a; b] from (select 'c' as [a; b]))": "c",
        "(select `a; b` from (select 'c' as `a; b`))": "c",
        "printf('%d%%', 5)": "5%",
        "x'00ff'": "00ff",
        "'x' /* /* ; ' */": "x",
        'json_extract(\'{"a:b": "%s"}\', \'$."a:b"\')': "%s",
    }
    queries: ClassVar[Mapping[str, str]] = {
        query: value
        for query, value in QuerySuite.queries.items()
        if "t(id" not in query and not query.startswith("(")
    }
    written: ClassVar[Mapping[str, str]] = {
        "with recursive p(id) as (values (1)) select id, 'a@x.org' as email, 'r' as v from p": "r",
    }
    refused: ClassVar[Sequence[str]] = (
        *QuerySuite.refused,
        "select id, email from canary /* /* */; drop table canary; /* */ */",
        "replace into canary values (2, 'b@x.org', 2)",
        "attach database 'x.db' as x",
        "pragma user_version = 3",
        "vacuum",
        "select id, email from canary where id = :id",
        "select id, email from canary where id = ?",
    )
    quoting: ClassVar[Sequence[str]] = (
        "json(email)",
        "json_extract('{}', email)",
        "json_object(big, big)",
        "'a' like 'a' escape email",
        "abs(-9223372036854775807 - email - 1)",
        "load_extension(email)",
        "'a' regexp ('(' || email)",
        "zeroblob(big)",
        "ntile(email) over ()",
    )
    said: ClassVar[Mapping[str, str]] = {
        'select 1 as "ID", \'a@x.org\' as "Email", 2 as "V"': (
            'select 1 as "ID", \'a@x.org\' as "Email", cast(2 as integer) as "V"'
        ),
        "create sequence evaluations": "select 1",
        "select nextval('evaluations')": "select nextval('evaluations')",
    }
    verbatim: ClassVar[Sequence[str]] = (
        *queries,
        *written,
        *refused,
        *(";", "-- nothing", "/* ; */", "selec 1", "select id, 'open", "select (id, email"),
        *("select no_such_function", "select id, email, ", "select 1 as id, 'a@x.org' as email, "),
    )

    @pytest.fixture(autouse=True)
    def _sequence(self, warehouse: Warehouse) -> None:
        """Let every connection count, as SQLite has no sequences."""
        numbers = itertools.count(1)

        def lend(native: sqlite3.Connection, _record: object) -> None:
            native.create_function("nextval", 1, lambda _name: next(numbers))

        sa.event.listen(warehouse.engine, "connect", lend)

    def test_the_table_can_be_given_instead(self, planner: Planner) -> None:
        """Its parts are quoted, so any name will do; the user's file is called ``main``."""
        name = '"a ""b"" :c"'
        planner.execute(f"create table {name} (id integer, email text, v text)")
        planner.execute(f"insert into {name} values (1, 'a@x.org', '%')")
        planned = planner.run(None, table='main.a "b" :c', fields=["v"])
        assert planned.column("v") == {"a@x.org": "%"}

    def test_a_failing_row_is_not_quoted(self, canary: Planner) -> None:
        for expression in self.quoting:
            with pytest.raises(SourceError) as caught:
                canary.attempt(f"select id, email, {expression} as v from canary", fields=["v"])
            shown = "".join(traceback.format_exception(caught.value))
            for part in ("canary'", "o@secret", str(_BIG)):
                assert part not in shown, expression

    def test_a_failing_query_leaves_nothing_behind(self, planner: Planner) -> None:
        """Nothing fails by itself here, but a function can."""
        planner.run("select 1 as id, 'a@x.org' as email, 1 as v")
        before = self.objects(planner.warehouse)
        with pytest.raises(SourceError):
            planner.run("select 1 as id, 'a@x.org' as email, json('x') as v", fields=["v"])
        assert self.objects(planner.warehouse) == before
        assert planner.run("select 1 as id, 'a@x.org' as email, 1 as v").counts == (0, 0, 0)

    def test_a_value_that_is_not_of_its_columns_type_is_refused(self, planner: Planner) -> None:
        planner.execute("create table people (id integer, email text)")
        planner.execute("insert into people values (1, 'a@x.org'), ('secret', 'b@x.org')")
        with pytest.raises(SourceError, match="column id holds a value of type text") as caught:
            planner.run("select * from people")
        assert "secret" not in str(caught.value)


TEXTS = (
    "",
    " ",
    "a",
    "A",
    "a ",
    "é",
    "e\u0301",
    'it\'s "q" \\ % :x ?',
    "two\r\nlines\t",
    "🙂",
    "NULL",
)


class TestValues(SQLite, ValueSuite):
    verbatim: ClassVar[Sequence[str]] = ("",)
    values: ClassVar[Mapping[str, Values]] = {
        "integer": Values(
            "integer",
            {"-9223372036854775808": -(2**63), "0": 0, "9223372036854775807": 2**63 - 1},
            [("1", "1.0"), ("1", "'1'")],
        ),
        "real": Values(
            "real",
            {
                "0.1": 0.1,
                "0.1 + 0.2": 0.1 + 0.2,
                "-1.7976931348623157e308": -sys.float_info.max,
                "5e-324": 5e-324,
                "5": 5.0,
                "9e999": float("inf"),
            },
            [("-0.0", "0.0"), ("1.50", "1.5")],
        ),
        "numeric": Values(
            "numeric(10, 2)", {"12.5": 12.5, "3": 3.0, "9007199254740991": 2.0**53 - 1}
        ),
        "text": Values("text", {"'" + text.replace("'", "''") + "'": text for text in TEXTS}),
        "varchar": Values("varchar(3)", {"'longer'": "longer", "7": "7"}, [("7", "'7'")]),
        "without case": Values("text collate nocase", {"'a'": "a", "'A'": "A"}),
        "boolean": Values("boolean", {"true": True, "false": False}, [("1", "true")]),
        "blob": Values("blob", {"x''": "", "x'00ff'": "00ff"}),
        "date": Values("date", {"'2026-01-02'": "2026-01-02", "1767312000": "1767312000"}),
        "json": Values("json", {"'{\"a\": 1}'": '{"a": 1}', "'{\"a\":1}'": '{"a":1}'}),
        "no type": Values("", {"1": "1", "'a'": "a", "1.5": "1.5", "x'ff'": "ff"}, [("2", "2.0")]),
    }
    retyped: ClassVar[Sequence[tuple[str, str, str, str, int]]] = (
        ("integer", "1", "real", "1.0", 0),
        ("integer", "1", "text", "'1'", 1),
        ("text", "'a'", "varchar", "'a'", 0),
        ("real", "0.1", "real", "0.10000000000000001", 0),
        ("numeric", "'a'", "text", "0", 1),
    )


class TestSent(SQLite, SentSuite):
    verbatim: ClassVar[Sequence[str]] = ("",)
    sent: ClassVar[Sequence[Sent]] = (
        Sent("integer", "1", "1.0", 0),
        Sent("integer", "1", "2", 1),
        Sent("real", "1", "1.0", 0, wanted="string"),
        Sent("real", "0.3", "0.1 + 0.2", 1, wanted="string"),
        Sent("text", "'1'", "'1.0'", 1, wanted="double"),
        Sent("boolean", "true", "1", 0),
        Sent("integer", "1", "'1'", 1, wanted="string", retyped="text"),
        Sent("integer", "1", "1", 0, retyped="real"),
    )


# --- whole runs ------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    path = tmp_path / "shop.db"
    sqlite3.connect(path).close()
    database = Elsewhere(f"sqlite:///{path}", "sqlite")
    database.sql(CREATE_PEOPLE)
    with Sandbox("email") as sandbox:
        yield World(database, sandbox, tmp_path, first_sync())
    database.release()


def test_a_list_follows_the_query_through_its_life(world: World) -> None:
    world.put({"email": " Ann@x.org", "plan": "50% 'off'"}, {"email": "bo@x.org"}, {"email": "cy"})
    first = world.run()
    assert (first.status, first.planned) == ("completed_with_failures", world.changes(insert=2))
    assert world.members() == {"ann@x.org", "bo@x.org"}
    assert world.fields("ann@x.org")["plan"] == "50% 'off'"
    world.put({"email": "ann@x.org", "plan": "gold"}, {"email": "di@x.org"})
    second = world.run()
    assert second.planned == world.changes(insert=1, update=1, delete=1)
    assert world.members() == {"ann@x.org", "di@x.org"}
    world.quiet()


def test_the_users_file_holds_nothing_of_ours(world: World, tmp_path: Path) -> None:
    world.put_emails("ann")
    world.run()
    with closing(sqlite3.connect(tmp_path / "shop.db")) as alone:
        assert alone.execute("select name from sqlite_master").fetchall() == [("people",)]


def test_another_program_may_read_the_users_file_during_a_run(world: World, tmp_path: Path) -> None:
    world.put_emails("ann")
    with closing(sqlite3.connect(tmp_path / "shop.db")) as other:
        reading = other.execute("select * from people union all select * from people")
        assert reading.fetchone()
        world.run()
        assert reading.fetchone()
    assert world.members() == {"ann@x.com"}


@pytest.mark.parametrize("moment", range(1, 90, 8))
def test_who_is_killed_anywhere_is_repaired_by_the_next_run(world: World, moment: int) -> None:
    world.put_emails("ann", "bo")
    world.run()
    world.put_emails("bo", "cy")
    world.die_at(moment)
    world.run()
    assert world.members() == {"bo@x.com", "cy@x.com"}
    world.quiet()

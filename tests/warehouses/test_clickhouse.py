"""ClickHouse against the suite for warehouses, and whole runs in it, by the real engine.

The engine is chDB's, behind an HTTP interface of ours (``reverse_etl.testing.clickhouse_http``), so
that the driver's way to a server is taken as well; a few tests take the engine in this process.
No ClickHouse server was ever asked.
"""

# ruff: noqa: S608 - the statements are made of the tests' own words

from __future__ import annotations

import re
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from connectors.iterable.identifiers import EMAIL, USER_ID
from connectors.iterable.sandbox import Fault, Sandbox
from reverse_etl.check import check
from reverse_etl.connector import Identifier
from reverse_etl.errors import ConfigError, RightsError, SourceError, WarehouseError
from reverse_etl.preview import preview
from reverse_etl.testing.clickhouse import ClickHouseServer, running_server, what_is_missing
from reverse_etl.testing.planner import Planner, StandingClock
from reverse_etl.testing.warehouse_suite import (
    CANARY,
    FieldSetSuite,
    IdentitySuite,
    QuerySuite,
    SchemaSuite,
    Sent,
    SentSuite,
    Values,
    ValueSuite,
    WarehouseSuite,
    never,
)
from reverse_etl.warehouse import clickhouse, warehouse_at, warehouse_of
from reverse_etl.warehouse.base import Warehouse
from reverse_etl.warehouse.clickhouse_dialect import quoted
from reverse_etl.warehouse.tables import clause
from tests.world import (
    COLUMNS,
    Beside,
    Database,
    World,
    first_profile_sync,
    first_sync,
)

MISSING = what_is_missing()
if MISSING is not None:
    pytest.skip(f"no ClickHouse here: {MISSING}", allow_module_level=True)

DAY = 86_400_000_000
SYSTEM = ("default", "system", "information_schema", "INFORMATION_SCHEMA")

_MORNING = "'2026-01-01 09:00:00'"

ALONE = "in ClickHouse a statement takes effect by itself"


@pytest.fixture(scope="module")
def server() -> Iterator[ClickHouseServer]:
    with running_server() as started:
        yield started


@pytest.fixture
def url(server: ClickHouseServer) -> str:
    # A schema of ours is a database of the server, so each test has the server for itself.
    for (name,) in server.rows("SHOW DATABASES"):
        if name not in SYSTEM:
            server.execute(f"DROP DATABASE `{name.replace('`', chr(92) + '`')}` SYNC")
    server.execute("CREATE DATABASE shop")
    return server.url("shop")


class ClickHouse(WarehouseSuite):
    spelling = "clickhouse"

    @pytest.fixture
    def control_url(self, tmp_path: Path) -> str:
        return f"duckdb:///{tmp_path}/control.duckdb"

    def spell(self, statement: str) -> str:
        said = super().spell(statement)
        if re.match(r"delete from \S+$", said, re.IGNORECASE):
            return said.replace("delete from", "truncate table").replace("DELETE FROM", "TRUNCATE")
        # Rows are changed by rewriting their columns.
        changed = r"ALTER TABLE \1 UPDATE \2"
        said = re.sub(r"^update (\S+) set (.*)$", changed, said, flags=re.DOTALL | re.IGNORECASE)
        return said.replace("|_%' escape '|'", "\\\\_%'")


# --- queries -------------------------------------------------------------------------------


class TestQueries(ClickHouse, QuerySuite):
    expressions: ClassVar[Mapping[str, str]] = {
        **{
            expression: value
            for expression, value in QuerySuite.expressions.items()
            if "\\" not in expression and "12:30" not in expression
        },
        "'it''s :name, ::b, :1 and :'": "it's :name, ::b, :1 and :",
    }
    spelled: ClassVar[Mapping[str, str]] = {
        r"'a\'b;c'": "a'b;c",
        r"'a\\b'": r"a\b",
        r"'a\tb'": "a\tb",
        "'x' # ; a comment '\n": "x",
        "'{a:Int8} {{x}}'": "{a:Int8} {{x}}",
        "`id`": "1",
        '"id"': "1",
        "[1, 2][-1]": "2",
        "(1, 'b').2": "b",
        "id ? 'yes' : 'no'": "yes",
        "if(match('ab', '^a.$'), 'm', '')": "m",
        "formatDateTime(toDate('2026-01-02'), '%Y:%m')": "2026:01",
        "arrayStringConcat(arrayMap(x -> concat(x, ':'), ['a']))": "a:",
        "toString(toDateTime('2026-01-02 03:04:05'))": "2026-01-02 03:04:05",
        "toString(r.b IS NULL)": "1",
    }
    written: ClassVar[Mapping[str, str]] = {
        "with recursive p as (select 1 as id) select id, 'a@x.org' as email, 'r' as v from p": "r",
        "select 1 as id, 'a@x.org' as email, 'd' as v union select 1, 'a@x.org', 'd'": "d",
        "select 1 as id, 'a@x.org' as email, l.v from values('v String', 's') l "
        "settings join_use_nulls = 0": "s",
        "from (select 1 as id, 'a@x.org' as email, 'f' as v) select *": "f",
    }
    refused: ClassVar[Sequence[str]] = (
        *(each for each in QuerySuite.refused if "E'" not in each),
        "select id, email, 'a\\'' from canary; drop table canary; -- '",
        "select id, email from canary into outfile '/tmp/reverse_etl_canary'",
        "select id, email from canary format JSON",
        "alter table canary delete where 1",
        "insert into canary select 2, 'b@x.org', 2",
        "explain select id, email from canary",
        "show tables",
        "set join_use_nulls = 0",
        "exchange tables canary and canary",
    )
    quoting: ClassVar[Sequence[str]] = (
        "toInt32(assumeNotNull(email))",
        "email + 1",
        "toDateTime64(email, 3)",
        "toUUID(assumeNotNull(email))",
        "toIPv4(assumeNotNull(email))",
        "accurateCast(big, 'Int8')",
        "JSONExtractInt(email) + throwIf(email != '', 'told')",
        "throwIf(big > 0, concat('x', 'y'))",
        "match(email, concat('(', email))",
        "formatQuery(email)",
        "CAST(email AS Enum8('a' = 1))",
        "toTimeZone(now(), email)",
        "parseDateTime(email, '%Y')",
        "intDiv(big, 0)",
        "dictGet(email, 'a', big)",
    )
    # As PostgreSQL's they would say something else.
    verbatim: ClassVar[Sequence[str]] = (
        *refused,
        *("select", "with", "from", "(", "/*", "--", ";", "selec", "SELECT"),
        *("create table people", "insert into people", "update people", "delete from people"),
        "create schema",
        'create table "My',
    )
    said: ClassVar[Mapping[str, str]] = {
        'create schema "My 100% schema"': 'create database "My 100% schema"',
        'create table "My 100% schema"."a ""b"" :c" as '
        "select 1 as id, 'a@x.org' as email, '%' as v": (
            'create table "My 100% schema"."a ""b"" :c" engine = Log as '
            "select 1 as id, 'a@x.org' as email, '%' as v"
        ),
        f"insert into canary values (1, $${CANARY}$$, 4815162342108)": (
            f"insert into canary values (1, $${CANARY}$$, 4815162342108)"
        ),
    }

    @staticmethod
    def _named(name: str) -> str:
        return quoted(name)

    def test_expressions_mean_what_they_say(self, planner: Planner) -> None:
        wanted = {**self.expressions, **self.spelled}
        columns = ", ".join(f"{expression} as v{n}" for n, expression in enumerate(wanted))
        planned = planner.run(
            f"select p.*, {columns} from (select 1 as id, 'a@x.org' as email) as p "
            "left join (select 2 as c, 1 as b) as r on r.c = p.id",
            fields=[f"v{n}" for n in range(len(wanted))],
        )
        found = {
            expression: str(planned.column(f"v{n}")["a@x.org"])
            for n, expression in enumerate(wanted)
        }
        assert found == wanted

    @pytest.mark.parametrize(
        ("query", "hint"),
        [
            ("selec 1 as id, 'a@x.org' as email", "Syntax error"),
            ("select 1 as id, 'a@x.org' as email from no_such_table", "no_such_table"),
            ("select id, e_mail from canary", "e_mail"),
            ("select no_such_function(id), email from canary", "no_such_function"),
            ("select id, 'open from canary", "the query cannot be read"),
            ("select (id, email from canary", "the query"),
        ],
    )
    def test_a_wrong_query_says_what_is_wrong(self, canary: Planner, query: str, hint: str) -> None:
        super().test_a_wrong_query_says_what_is_wrong(canary, query, hint)

    def test_a_failing_row_is_not_quoted(self, canary: Planner) -> None:
        shown = {}
        for expression in self.quoting:
            with pytest.raises(SourceError) as caught:
                canary.attempt(f"select id, email, {expression} as v from canary", fields=["v"])
            shown[expression] = "".join(traceback.format_exception(caught.value))
        for text in shown.values():
            assert not any(part in text for part in ("canary'", "o@secret", "4815162342108")), text

    def test_the_query_is_evaluated_once(self, planner: Planner) -> None:
        """There are no sequences to count with, but no two evaluations have the same value."""
        people = "select number as id, concat('p', toString(number), '@x.org') as email"
        query = f"{people}, toString(generateUUIDv4(number)) as v from numbers(3)"
        for run in (1, 2):
            sent = planner.run(query, fields=["v"]).column("v")
            kept = planner.rows(f"select _identity, v from reverse_etl.snapshot_people_{run}")
            assert (len(set(sent.values())), dict(kept)) == (3, sent)


# --- values --------------------------------------------------------------------------------


def whole_numbers(name: str, low: int, high: int) -> Values:
    return Values(f"Nullable({name})", {str(n): n for n in sorted({low, 0, high})})


def wide_numbers(name: str, *numbers: int) -> Values:
    read = {f"'{n}'": str(n) for n in (0, *numbers)}
    return Values(f"Nullable({name})", read, metadata="number")


BITS = (8, 16, 32, 64)
TEXTS = {
    "''": "",
    "' '": " ",
    "'a'": "a",
    "'A'": "A",
    "'a '": "a ",
    "'é'": "é",
    "'e\u0301'": "e\u0301",
    "'it\\'s \"q\" \\\\ % :x ?'": 'it\'s "q" \\ % :x ?',
    "'two\\r\\nlines\\t'": "two\r\nlines\t",
    "'🙂'": "🙂",
    "'NULL'": "NULL",
    "'\\\\N'": "\\N",
    "'a\\0b'": "a\0b",
    # What is no UTF-8 cannot be sent as it is.
    "unhex('61FF')": "a\ufffd",
}


class TestValues(ClickHouse, ValueSuite):
    verbatim: ClassVar[Sequence[str]] = ("",)
    values: ClassVar[Mapping[str, Values]] = {
        "bool": Values("Nullable(Bool)", {"true": True, "false": False}, [("true", "1")]),
        **{f"int{n}": whole_numbers(f"Int{n}", -(2 ** (n - 1)), 2 ** (n - 1) - 1) for n in BITS},
        **{f"uint{n}": whole_numbers(f"UInt{n}", 0, 2**n - 1) for n in BITS},
        "int128": wide_numbers("Int128", -(2**127), 2**127 - 1),
        "uint256": wide_numbers("UInt256", 2**256 - 1),
        "decimal": Values(
            "Nullable(Decimal(10, 2))",
            {"'-99999999.99'": "-99999999.99", "'1.5'": "1.50", "0": "0.00"},
            [("'1.50'", "'1.5'")],
            "number",
        ),
        "wide decimal": Values(
            "Nullable(Decimal(76, 30))",
            {"'1e-30'": "0." + "0" * 29 + "1", "'9e34'": "9" + "0" * 34 + "." + "0" * 30},
            metadata="number",
        ),
        "float64": Values(
            "Nullable(Float64)",
            {
                "0.1": 0.1,
                "-1.7976931348623157e308": -1.7976931348623157e308,
                "5e-324": 5e-324,
                "0": 0.0,
                "inf": float("inf"),
                "-inf": float("-inf"),
                "nan": float("nan"),
            },
            [("-0.0", "0.0"), ("nan", "-nan")],
        ),
        "float32": Values(
            "Nullable(Float32)",
            {"0.1": 0.10000000149011612, "16777217": 16777216.0, "nan": float("nan")},
        ),
        "bfloat16": Values("Nullable(BFloat16)", {"1.5": 1.5, "-0.125": -0.125}),
        "string": Values("Nullable(String)", TEXTS),
        "low cardinality": Values("LowCardinality(Nullable(String))", TEXTS),
        "fixed string": Values("Nullable(FixedString(3))", {"'a'": "a", "'abc'": "abc", "''": ""}),
        "enum": Values(
            "Nullable(Enum8('' = 0, 'it\\'s' = 1, 'B' = -1))", {"''": "", "'it\\'s'": "it's"}
        ),
        "uuid": Values(
            "Nullable(UUID)",
            {
                f"'{'0' * 8}-0000-0000-0000-{n:012}'": f"{'0' * 8}-0000-0000-0000-{n:012}"
                for n in (0, 7)
            },
        ),
        "ipv4": Values("Nullable(IPv4)", {f"'{each}'": each for each in ("127.0.0.1", "1.2.3.4")}),
        "ipv6": Values("Nullable(IPv6)", {"'::1'": "::1", "'::ffff:1.2.3.4'": "::ffff:1.2.3.4"}),
        "json": Values(
            "Nullable(JSON)",
            {"'{}'": "{}", '\'{"a": [1, "é/"]}\'': '{"a":[1,"é/"]}'},
            metadata="json",
        ),
        "variant": Values("Variant(Int64, String)", {"7::Int64": "7", "'x'": "x"}),
        "aggregate": Values("SimpleAggregateFunction(max, Nullable(Int64))", {"1": 1, "-1": -1}),
        "date": Values(
            "Nullable(Date)", {"'1970-01-01'": 0, "'2149-06-06'": 65535, "'2026-01-02'": 20455}
        ),
        "date32": Values("Nullable(Date32)", {"'1900-01-01'": -25567, "'2299-12-31'": 120529}),
        "datetime": Values(
            "Nullable(DateTime)",
            {"'1970-01-01 00:00:00'": 0, "'2106-02-07 06:28:15'": (2**32 - 1) * 1_000_000},
        ),
        "datetime with a zone": Values(
            "Nullable(DateTime('Asia/Tokyo'))", {"'1970-01-02 09:00:00'": DAY}
        ),
        "datetime64": Values(
            "Nullable(DateTime64(6, 'UTC'))",
            {
                "'1970-01-01 00:00:00.000001'": 1,
                "'1900-01-01 00:00:00'": -25567 * DAY,
                "'2299-12-31 23:59:59.999999'": 120530 * DAY - 1,
            },
            [
                (
                    "toDateTime64('2026-01-01 00:00:00', 6, 'UTC')",
                    "toDateTime64('2026-01-01 09:00:00', 3, 'Asia/Tokyo')",
                )
            ],
        ),
        "nanoseconds": Values(
            "Nullable(DateTime64(9))",
            {"'1970-01-01 00:00:00.000001'": 1, "'2262-04-11 23:47:16'": 9_223_372_036 * 10**6},
        ),
        "seconds": Values("Nullable(DateTime64(0, 'UTC'))", {"'1960-01-01 00:00:00'": -3653 * DAY}),
    }
    retyped: ClassVar[Sequence[tuple[str, str, str, str, int]]] = (
        ("Int32", "1", "Int64", "1", 0),
        ("UInt8", "1", "Int128", "1", 0),
        ("Int32", "1", "String", "1", 1),
        ("Int32", "1", "Float64", "1", 0),
        ("Int32", "1", "Decimal(5, 2)", "1", 0),
        ("Float64", "1.5", "Decimal(5, 2)", "1.5", 0),
        ("Decimal(5, 1)", "'1.5'", "Decimal(60, 2)", "'1.50'", 0),
        ("Decimal(5, 1)", "'1.5'", "Decimal(6, 2)", "'1.51'", 1),
        ("FixedString(3)", "'a'", "String", "'a'", 0),
        ("Enum8('a' = 1)", "'a'", "LowCardinality(String)", "'a'", 0),
        ("String", "'a'", "Nullable(String)", "'a'", 0),
        ("String", "'a'", "String", "'A'", 1),
        ("Date", "'2026-01-01'", "Date32", "'2026-01-01'", 0),
        ("Date", "'2026-01-01'", "DateTime", "'2026-01-01'", 1),
        ("DateTime", "'2026-01-01'", "DateTime64(6, 'UTC')", "'2026-01-01'", 0),
        ("DateTime('UTC')", "'2026-01-01 00:00:00'", "DateTime('Asia/Tokyo')", _MORNING, 0),
        ("Float32", "0.5", "Float64", "0.5", 1),
        ("Float64", "0.5", "Nullable(Float64)", "0.5", 0),
        ("UUID", "generateUUIDv4()", "String", "'x'", 1),
    )

    def test_nested_values_are_json(self, planner: Planner) -> None:
        """They are none of those that may be NULL; a map's keys have no order."""
        query = (
            "select 1 as id, 'a@x.org' as email, [1, NULL] as a, map('b', {0}, 'a', 'é/\"') as m,"
            " (1, 'x') as t, CAST((1, 2.50) AS Tuple(a Int8, b Decimal(5, 2))) as n,"
            " (1., 2.)::Point as p, [('x', 1)]::Nested(k String, v Int64) as s,"
            " [toDate('2026-01-02')] as d"
        )
        names = "amtnpsd"
        planned = planner.run(query.format("'1'"), fields=list(names))
        assert planned.page is not None
        assert {name: planned.column(name)["a@x.org"] for name in names} == {
            "a": "[1,null]",
            "m": '{"a":"é/\\"","b":"1"}',
            "t": '[1,"x"]',
            "n": '{"a":1,"b":2.50}',
            "p": "[1,2]",
            "s": '[{"k":"x","v":1}]',
            "d": '["2026-01-02"]',
        }
        kinds = {planned.page.schema.field(name).metadata[b"kind"] for name in names}
        assert kinds == {b"json"}
        again = query.replace("map('b', {0}, 'a', 'é/\"')", "map('a', 'é/\"', 'b', {0})")
        assert planner.run(again.format("'1'"), fields=list(names)).counts == (0, 0, 0)
        assert planner.run(again.format("'2'"), fields=list(names)).counts == (0, 1, 0)

    def test_columns_of_nothing_but_null_keep_their_types(self, planner: Planner) -> None:
        types = ("Bool", "UInt64", "Float64", "Date", "DateTime", "String")
        columns = ", ".join(f"CAST(NULL AS Nullable({t})) as v{n}" for n, t in enumerate(types))
        query = f"select 1 as id, 'a@x.org' as email, {columns}, NULL as v6"
        page = planner.run(query, fields=[f"v{n}" for n in range(7)]).page
        assert page is not None
        found = [str(page.schema.field(f"v{n}").type) for n in range(7)]
        assert found == [
            *("bool", "uint64", "double", "date32[day]", "timestamp[us, tz=UTC]"),
            *("string", "string"),
        ]


class TestSent(ClickHouse, SentSuite):
    verbatim: ClassVar[Sequence[str]] = ("",)
    sent: ClassVar[Sequence[Sent]] = (
        Sent("Nullable(DateTime64(6))", "'2026-01-01 00:00:00.1'", "'2026-01-01 00:00:00.9'", 0),
        Sent("Nullable(DateTime64(6))", "'2026-01-01 00:00:00.9'", "'2026-01-01 00:00:01.1'", 1),
        Sent("Nullable(DateTime64(6))", "'1960-01-01 00:00:00.1'", "'1960-01-01 00:00:00.9'", 0),
        Sent("Nullable(DateTime64(9))", "'2026-01-01 00:00:00.1'", "'2026-01-01 00:00:00.9'", 0),
        Sent("Nullable(DateTime)", "'2026-01-01 00:00:00'", "'2026-01-01 00:00:01'", 1),
        Sent("Nullable(Float64)", "nan", "nan", 0),
        Sent("Nullable(Float64)", "nan", "NULL", 1),
        Sent("Nullable(Float64)", "nan", "nan", 0, "string"),
        Sent("Nullable(Float64)", "1", "1.0", 0, "string"),
        Sent("Nullable(Float64)", "0.0", "-0.0", 0),
        Sent("Nullable(JSON)", '\'{"b": 1, "a": 2}\'', '\'{"a":2,"b":1}\'', 0),
        Sent("Decimal(5, 1)", "'1.5'", "'1.50'", 0, None, "Decimal(5, 2)"),
        Sent("Decimal(5, 1)", "'1.5'", "'1.50'", 1, "string", "Decimal(5, 2)"),
        Sent("Int32", "1", "1", 0, None, "Float64"),
        Sent("Int32", "1", "1", 1, "string", "Float64"),
        Sent("DateTime", "'2026-01-01'", "'2026-01-01 00:00:00.5'", 0, None, "DateTime64(3)"),
    )


# --- identities, fields, schema ------------------------------------------------------------


class TestIdentities(ClickHouse, IdentitySuite):
    identifiers: ClassVar[Sequence[Identifier]] = (*IdentitySuite.identifiers, EMAIL, USER_ID)


class TestFieldSets(ClickHouse, FieldSetSuite):
    pass


class TestSchema(ClickHouse, SchemaSuite):
    @never(ALONE)
    def test_an_error_undoes_tables_too(self, planner: Planner) -> None:
        super().test_an_error_undoes_tables_too(planner)

    @never(ALONE)
    def test_an_abandoned_transaction_leaves_nothing(self, planner: Planner) -> None:
        super().test_an_abandoned_transaction_leaves_nothing(planner)

    def test_a_failed_upload_is_our_error(self, planner: Planner) -> None:
        """What fits is there all the same; what does not is never NULL."""
        planner.execute("create table reverse_etl.target (a integer, b varchar)")
        target = clause("target", ("a", "b"), "reverse_etl")
        refused: list[dict[str, list[Any]]] = [
            {"a": [CANARY], "b": [CANARY]},
            {"a": [2**40], "b": ["x"]},
        ]
        for wrong in refused:
            with (  # noqa: PT012 - one transaction
                pytest.raises(WarehouseError) as caught,
                planner.warehouse.transaction() as tx,
            ):
                tx.upload(target, pa.RecordBatch.from_pydict({"a": [1], "b": ["fine"]}))
                tx.upload(target, pa.RecordBatch.from_pydict(wrong))
            assert "secret" not in "".join(traceback.format_exception(caught.value))
        assert planner.rows("select * from reverse_etl.target") == [(1, "fine")] * 2


# --- whole runs ----------------------------------------------------------------------------


class Shop(Beside):
    """The server, in whose database ``shop`` the people are, and a control database beside it."""

    def __init__(self, server: ClickHouseServer, control: str) -> None:
        Database.__init__(self, server.url("shop"))
        self.server, self.control = server, Database(control)
        types = ("Int32", "String", "String", "String", "String", "Float64")
        columns = ", ".join(
            f"{name} Nullable({kind})" for name, kind in zip(COLUMNS, types, strict=True)
        )
        server.execute(f"CREATE TABLE shop.people ({columns}) ENGINE = MergeTree ORDER BY ()")

    def release(self) -> None:
        self.control.release()

    def sql(self, query: str) -> list[dict[str, Any]]:
        if any(name in query for name in ("sync_state", "sync_runs", "failed_records")):
            return self.control.sql(query)
        return self.server.named_rows(query)

    def replace(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        self.server.execute(f"TRUNCATE TABLE shop.{table}")
        self.server.insert(f"shop.{table}", columns, rows)


@pytest.fixture
def world(url: str, server: ClickHouseServer, tmp_path: Path) -> Iterator[World]:
    del url
    sandbox = Sandbox("email")
    sandbox.start()
    try:
        database = Shop(server, f"duckdb:///{tmp_path}/control.duckdb")
        yield World(database, sandbox, tmp_path, sync=first_sync())
    finally:
        sandbox.stop()


def scratch(world: World) -> list[str]:
    return [name for name in world.tables() if name.startswith("scratch_")]


def test_a_list_follows_its_query(world: World) -> None:
    world.put(
        {"email": "ada@x.com", "plan": "gold"},
        {"email": "bob@x.com", "plan": "silver"},
        {"email": "EVE@x.com", "plan": "it's\\ %s \n🙂"},
    )
    assert world.run().planned == world.changes(insert=3)
    assert world.members() == {"ada@x.com", "bob@x.com", "eve@x.com"}
    assert world.fields("eve@x.com")["plan"] == "it's\\ %s \n🙂"
    world.quiet()
    # A change of nothing but case is one, and somebody leaves.
    world.put({"email": "ada@x.com", "plan": "GOLD"}, {"email": "bob@x.com", "plan": "silver"})
    assert world.run().planned == world.changes(update=1, delete=1)
    assert world.members() == {"ada@x.com", "bob@x.com"}
    assert world.lines(3) == [
        ("delete", "eve@x.com", "succeeded", None),
        ("update", "ada@x.com", "succeeded", None),
    ]
    # NULL and an empty text are two values; without join_use_nulls they would be one.
    world.put({"email": "ada@x.com", "plan": ""}, {"email": "bob@x.com"})
    assert world.run().planned == world.changes(update=2)
    world.put({"email": "ada@x.com"}, {"email": "bob@x.com", "plan": ""})
    assert world.run().planned == world.changes(update=2)
    world.quiet()
    assert scratch(world) == []


def test_who_is_refused_is_written_down_and_tried_again(world: World) -> None:
    world.put_emails("ada", "bob")
    world.faults = [Fault("refuse", identifiers=("bob@x.com",), bucket="notFound", times=1)]
    first = world.run()
    assert (first.status, set(world.failed())) == ("completed_with_failures", {"bob@x.com"})
    assert world.run().planned == world.changes(insert=1)
    assert world.members() == {"ada@x.com", "bob@x.com"}
    assert world.failed() == {}
    world.quiet()


def test_rows_that_cannot_be_used_are_told(world: World) -> None:
    world.put(
        {"email": "ada@x.com", "plan": "a"}, {"email": "ADA@x.com", "plan": "b"}, {"plan": "c"}
    )
    report = world.run()
    assert (report.planned, report.invalid, report.duplicates) == (world.changes(insert=1), 1, 1)
    assert world.fields("ada@x.com")["plan"] == "a"
    assert set(world.failed()) == {"row:3"}
    world.quiet()


def test_profiles_follow_their_query_and_are_cleared(world: World) -> None:
    world.sync = first_profile_sync()
    world.put({"email": "ada@x.com", "plan": "gold"}, {"email": "bob@x.com", "city": "Rome"})
    assert world.run().planned == world.changes(insert=2)
    world.put({"email": "bob@x.com", "city": "Oslo"})
    assert world.run().planned == world.changes(update=1, delete=1)
    assert world.fields("bob@x.com")["city"] == "Oslo"
    assert world.fields("ada@x.com").get("plan") is None
    world.quiet()


def test_a_run_that_fails_leaves_no_table_and_the_next_one_works(world: World) -> None:
    world.put_emails("ada")
    world.run()
    before = world.tables()
    failed = world.run(expected_digest="of another plan")
    assert (failed.status, failed.error_code, world.sent) == ("failed", "plan_refused", [])
    assert world.tables() == before
    world.sync["source"]["query"] = "select * from people where throwIf(email = 'bob@x.com') = 0"
    world.put_emails("ada", "bob")
    failed = world.run()
    assert (failed.status, world.sent) == ("failed", [])
    assert "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO" in (failed.error or "")
    assert world.tables() == before
    world.put_emails("ada", "cy")
    assert world.run().planned == world.changes(insert=1)


@pytest.mark.parametrize("first", [1, 8])
def test_a_run_that_dies_at_any_statement_is_repaired_by_the_next(world: World, first: int) -> None:
    world.put_emails("ada", "bob")
    world.run()
    world.put_emails("bob", "cy")
    moment = first
    while world.die_at(moment):
        world.run()
        assert world.members() == {"bob@x.com", "cy@x.com"}
        world.put_emails("ada", "bob")
        world.run()
        world.put_emails("bob", "cy")
        moment += 14
    assert moment > 40, "a run has more statements than that"
    assert world.members() == {"bob@x.com", "cy@x.com"}


def test_a_preview_and_an_audit_leave_nothing(world: World) -> None:
    world.put_emails("ada", "bob")
    world.run()
    before = world.kept()
    world.put_emails("bob", "cy")
    world.database.release()
    assert preview(world.config(), "vip").report.planned == world.changes(insert=1, delete=1)
    assert world.kept() == before
    (checked,) = check(world.config(), ["vip"])
    assert {finding.verdict for finding in checked.findings} <= {"ok", "warning", "unproven"}
    assert world.kept() == before


def test_before_the_first_run_a_check_leaves_nothing(world: World) -> None:
    world.put_emails("ada")
    world.database.release()
    (checked,) = check(world.config(), ["vip"])
    assert {finding.verdict for finding in checked.findings} <= {"ok", "warning", "unproven"}
    assert world.tables() == set()


# --- settings, accounts, and what else a server may say --------------------------------------


def opened(url: str, folder: Path) -> Warehouse:
    warehouse = warehouse_at(url, "reverse_etl", StandingClock())
    control = f"duckdb:///{folder}/control.duckdb"
    warehouse.keep_control_in(warehouse_at(control, "reverse_etl", StandingClock()))
    return warehouse


def test_an_account_that_may_not_change_settings_is_refused(
    url: str, server: ClickHouseServer, tmp_path: Path
) -> None:
    del url
    restricted = server.url("shop", server.restricted)
    with (
        pytest.raises(WarehouseError, match="join_use_nulls"),
        opened(restricted, tmp_path),
    ):
        pass
    assert server.rows("SHOW DATABASES LIKE 'reverse_etl'") == []


def test_a_setting_that_does_not_take_effect_is_noticed(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(clickhouse._SETTINGS, "join_use_nulls", 0)
    with pytest.raises(WarehouseError, match="no change would be found"), opened(url, tmp_path):
        pass


def test_without_control_database_it_is_refused(world: World) -> None:
    world.put_emails("ada")
    config = world.config()
    alone = config.warehouses["local"].model_copy(update={"control": None})
    config = replace(config, warehouses={**config.warehouses, "local": alone})
    with pytest.raises(ConfigError, match="cannot change single rows safely"):
        warehouse_of(config, "local", StandingClock())


def test_a_url_that_cannot_work_says_so(server: ClickHouseServer, tmp_path: Path) -> None:
    closed = server.url("shop").replace(f":{server.port}", ":1")
    wrong = server.url("shop", password="not-the-password")
    for url, words in ((closed, r"no connection .* at 127.0.0.1:1"), (wrong, "Authentication")):
        with pytest.raises(WarehouseError, match=words) as caught, opened(url, tmp_path):
            pass
        assert "not-the-password" not in str(caught.value)
        assert server.password not in str(caught.value)


def test_rows_stream_in_pieces_with_their_types(url: str, tmp_path: Path) -> None:
    with opened(url, tmp_path) as warehouse:
        statement = "select number, if(number % 2, NULL, 1.5) as d from numbers(200000)"
        with warehouse.stream_arrow(statement) as reader:
            sizes = [batch.num_rows for batch in reader]
            assert [str(field.type) for field in reader.schema] == ["uint64", "double"]
        assert sum(sizes) == 200_000
        assert len(sizes) > 1
        with warehouse.stream_arrow("select 1 as a, 'x' as b where 0") as reader:
            assert reader.read_all().schema.names == ["a", "b"]


def test_a_source_that_is_only_read_is_not_written_to(url: str, tmp_path: Path) -> None:
    source = warehouse_at(url, "reverse_etl", StandingClock())
    home = warehouse_at(f"duckdb:///{tmp_path}/home.duckdb", "reverse_etl", StandingClock())
    home.read_from(source)
    query = (
        "select 1 as id, 'a@x.org' as email, true as paid, 1.50::Decimal(9, 2) as d, [1, 2] as n,"
        " toDateTime64('2026-01-02 03:04:05.5', 3, 'UTC') as t, '2026-01-02'::Date as day"
    )
    with home:
        planner = Planner(home)
        fields = ["paid", "d", "n", "t", "day"]
        planned = planner.run(query, fields=fields)
        found = [str(planned.column(name)["a@x.org"]) for name in fields]
        assert found == ["True", "1.50", "[1,2]", "2026-01-02 03:04:05.500000+00:00", "2026-01-02"]
        assert planner.run(query, fields=fields).counts == (0, 0, 0)
    with pytest.raises(WarehouseError, match="READONLY"), source.looking() as tx:
        tx.connection.exec_driver_sql("CREATE DATABASE forbidden")


def test_another_zone_of_the_server_makes_no_difference(url: str, tmp_path: Path) -> None:
    query = "select 1 as id, 'a@x.org' as email, toDateTime('2026-01-02 03:04:05') as t"
    with opened(f"{url}?ch_session_timezone=Asia%2FTokyo", tmp_path) as warehouse:
        planned = Planner(warehouse).run(query, fields=["t"])
        assert str(planned.column("t")["a@x.org"]) == "2026-01-02 03:04:05+00:00"


def test_a_result_is_never_cut_short(url: str, tmp_path: Path) -> None:
    """An account may be limited to a part of a result; the others would seem to have left."""
    query = (
        "select number as id, concat('p', toString(number), '@x.org') as email from numbers(3e5)"
    )
    limit = "?ch_max_rows_to_read=10&ch_read_overflow_mode=break"
    with (
        opened(f"{url}{limit}", tmp_path) as warehouse,
        pytest.raises(SourceError, match="TOO_MANY_ROWS"),
    ):
        Planner(warehouse).run(query)


def test_the_grants_that_are_needed_are_named(url: str, tmp_path: Path) -> None:
    """The account of the engine has no right to make others: the only one that it lacks."""
    with (
        opened(url, tmp_path) as warehouse,
        pytest.raises(RightsError, match="privileges") as caught,
        warehouse.transaction() as tx,
    ):
        tx.connection.exec_driver_sql("CREATE USER joe")
    assert "  CREATE DATABASE IF NOT EXISTS `reverse_etl`;" in str(caught.value)
    assert "ON `reverse_etl`.* TO `tester`;" in str(caught.value)
    assert "  GRANT SELECT ON `…`.* TO `tester`;" in str(caught.value)


def test_a_folder_that_another_process_has_open_is_told(tmp_path: Path) -> None:
    holder = (
        "import chdb, sys; held = chdb.connect(sys.argv[1]); print('open', flush=True);"
        " sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, f"{tmp_path}/data"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        with (
            pytest.raises(WarehouseError, match="cannot be opened"),
            opened(f"chdb:///{tmp_path}/data", tmp_path),
        ):
            pass


def test_the_engine_in_this_process_gets_the_same_statements(tmp_path: Path) -> None:
    row = "select {0} as id, 'p{0}@x.org' as email, {1} as v"
    with opened(f"chdb:///{tmp_path}/data", tmp_path) as warehouse:
        planner = Planner(warehouse)
        both = f"{row.format(1, 1)} union all {row.format(2, 2)}"
        assert planner.run(both, fields=["v"]).counts == (2, 0, 0)
        assert planner.run(both, fields=["v"]).counts == (0, 0, 0)
        assert planner.run(row.format(2, 3), fields=["v"], refused=["p1@x.org"]).counts == (0, 1, 1)
        assert planner.run(row.format(2, 3), fields=["v"], refused=[]).counts == (0, 0, 0)
        with warehouse.transaction() as tx, pytest.raises(SourceError, match="Syntax error"):
            tx.columns_of("select 1 as one) q; drop database shop; select * from (select 2")

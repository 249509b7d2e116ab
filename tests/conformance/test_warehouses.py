"""DuckDB and PostgreSQL against the suite for warehouses, each with its own types and syntax."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import ClassVar
from uuid import UUID

import pytest

from connectors.iterable.identifiers import EMAIL, USER_ID
from reverse_etl.connector import Identifier
from reverse_etl.testing.planner import Planner
from reverse_etl.testing.warehouse_suite import (
    FieldSetSuite,
    FileLeaseSuite,
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

DAY = 86_400_000_000


class DuckDB(WarehouseSuite):
    @pytest.fixture
    def url(self, duckdb_url: str) -> str:
        return duckdb_url


class PostgreSQL(WarehouseSuite):
    @pytest.fixture
    def url(self, postgres_url: str) -> str:
        return postgres_url


# --- queries -------------------------------------------------------------------------------


class TestDuckDBQueries(DuckDB, QuerySuite):
    spelled: ClassVar[Mapping[str, str]] = {
        "{'a': 1, 'b:c': 2}['a']::varchar": "1",
        "[1, 2, 3][2:3][1]::varchar": "2",
        "(7 // 2)::varchar": "3",
        "list_transform([1], lambda x: x + 1)[1]::varchar": "2",
        "E'a\\'b;c'": "a'b;c",
        "'{\"a\": \"%s\"}'::json->>'a'": "%s",
        "json_extract_string('{\"a:b\": 1}', '$.\"a:b\"')": "1",
        "regexp_extract('a1:b', '(\\d):', 1)": "1",
    }
    written: ClassVar[Mapping[str, str]] = {
        "from (values (1, 'a@x.org', 'f')) as t(id, email, v)": "f",
        "select * exclude (w) from (values (1, 'a@x.org', 'e', 2)) as t(id, email, v, w)": "e",
    }
    quoting: ClassVar[Sequence[str]] = (
        "strptime(email, '%Y')",
        "date_trunc(email, now())",
        "email::int[]",
        "email::interval",
        "email::struct(a integer)",
        "timezone(email, now())",
        "regexp_matches('a', email || '(')",
        "email::enum('x')",
        "error(email)",
        "json_extract(email, '$.a')",
    )


class TestPostgreSQLQueries(PostgreSQL, QuerySuite):
    spelled: ClassVar[Mapping[str, str]] = {
        "E'a\\'b;c'": "a'b;c",
        "U&'\\0041;'": "A;",
        "('{\"a\": 1}'::jsonb ? 'a')::text": "true",
        "('{\"a\": 1}'::jsonb @> '{\"a\": 1}')::text": "true",
        "'{\"a\": \"%s\"}'::json->>'a'": "%s",
        "(array[1, 2, 3])[2:3]::text": "{2,3}",
        "('x' ~ '^x$')::text": "true",
        "format('%s-%I', 'a', 'b c')": 'a-"b c"',
        "to_char(date '2026-01-02', 'YYYY:MM')": "2026:01",
        "'a'\n'b'": "ab",
        "B'101'::text": "101",
    }
    written: ClassVar[Mapping[str, str]] = {
        "table only_row": "t",
        "select 1 as id, 'a@x.org' as email, 'l' as v for update": "l",
    }
    quoting: ClassVar[Sequence[str]] = (
        "to_date(email, 'YYYY-MM-DD')",
        "to_timestamp(email, 'YYYY-MM-DD')",
        "('{' || email)::int[]",
        "email::inet",
        "email::interval",
        "email::point",
        "now() at time zone email",
        "('<' || email)::xml",
        "regexp_match('x', email || '(')",
        "chr((big / 1000)::integer)",
        "shout(email)",
        "email::mood",
    )

    @pytest.fixture(autouse=True)
    def _objects(self, planner: Planner) -> None:
        planner.execute(
            "create table only_row as select 1 as id, 'a@x.org' as email, 't' as v",
            "create type mood as enum ('good')",
            "create function shout(v text) returns text language plpgsql "
            "as $$ begin raise exception '%', v; end $$",
        )


class TestDuckDBIdentities(DuckDB, IdentitySuite):
    identifiers: ClassVar[Sequence[Identifier]] = (*IdentitySuite.identifiers, EMAIL, USER_ID)


class TestPostgreSQLIdentities(PostgreSQL, IdentitySuite):
    identifiers: ClassVar[Sequence[Identifier]] = (*IdentitySuite.identifiers, EMAIL, USER_ID)


class TestDuckDBFieldSets(DuckDB, FieldSetSuite):
    pass


class TestPostgreSQLFieldSets(PostgreSQL, FieldSetSuite):
    pass


class TestDuckDBSchema(DuckDB, SchemaSuite):
    pass


class TestPostgreSQLSchema(PostgreSQL, SchemaSuite):
    pass


class TestDuckDBLease(DuckDB, FileLeaseSuite):
    pass


class TestPostgreSQLLease(PostgreSQL, SharedLeaseSuite):
    pass


# --- values --------------------------------------------------------------------------------


def whole_numbers(name: str, low: int, high: int) -> Values:
    return Values(name, {str(n): n for n in sorted({low, 0, high})}, same=[("1", "1")])


DOUBLES = {
    "0.1": 0.1,
    "-1.7976931348623157e308": -1.7976931348623157e308,
    "2.2250738585072014e-308": 2.2250738585072014e-308,
    "'NaN'": math.nan,
    "'Infinity'": math.inf,
    "'-Infinity'": -math.inf,
    "0": 0.0,
}
TEXTS = {
    "''": "",
    "' '": " ",
    "'a'": "a",
    "'A'": "A",
    "'a '": "a ",
    "'é'": "é",
    "'e\u0301'": "e\u0301",
    "'it''s \"q\" \\ % :x ?'": 'it\'s "q" \\ % :x ?',
    "'two\r\nlines\t'": "two\r\nlines\t",
    "'🙂'": "🙂",
    "'NULL'": "NULL",
}


class TestDuckDBValues(DuckDB, ValueSuite):
    values: ClassVar[Mapping[str, Values]] = {
        "boolean": Values("boolean", {"true": True, "false": False}, [("true", "1::boolean")]),
        "tinyint": whole_numbers("tinyint", -128, 127),
        "smallint": whole_numbers("smallint", -(2**15), 2**15 - 1),
        "integer": whole_numbers("integer", -(2**31), 2**31 - 1),
        "bigint": whole_numbers("bigint", -(2**63), 2**63 - 1),
        "utinyint": whole_numbers("utinyint", 0, 255),
        "usmallint": whole_numbers("usmallint", 0, 2**16 - 1),
        "uinteger": whole_numbers("uinteger", 0, 2**32 - 1),
        "ubigint": whole_numbers("ubigint", 0, 2**64 - 1),
        "hugeint": Values(
            "hugeint", {str(n): str(n) for n in (-(2**127), 0, 2**127 - 1)}, metadata="number"
        ),
        "uhugeint": Values(
            "uhugeint", {str(n): str(n) for n in (0, 2**128 - 1)}, metadata="number"
        ),
        "bignum": Values(
            "bignum", {f"'{n}'": str(n) for n in (-(10**60), 0, 10**60)}, metadata="number"
        ),
        "decimal": Values(
            "decimal(18, 3)",
            {n: Decimal(n) for n in ("999999999999999.999", "-0.001", "0.000", "1.500")},
            [("1.5", "1.50"), ("0", "-0.0")],
            "number",
        ),
        "wide decimal": Values(
            "decimal(38, 0)", {"9" * 38: Decimal("9" * 38), "0": Decimal(0)}, metadata="number"
        ),
        "deep decimal": Values(
            "decimal(38, 38)", {"'0." + "9" * 38 + "'": Decimal("0." + "9" * 38)}, metadata="number"
        ),
        "double": Values(
            "double", DOUBLES, [("-0.0", "0.0"), ("'NaN'", "'-NaN'"), ("1.50", "1.5")]
        ),
        "float": Values(
            "float", {"0.5": 0.5, "'NaN'": math.nan, "'inf'": math.inf}, [("-0.0", "0.0")]
        ),
        "varchar": Values("varchar", {**TEXTS, "'a' || chr(0) || 'b'": "a\0b"}),
        "json": Values(
            "json",
            {
                "'{}'": "{}",
                "'[]'": "[]",
                "'null'": "null",
                '\'{"a": [1, "é"]}\'': '{"a": [1, "é"]}',
            },
            metadata="json",
        ),
        "list": Values(
            "integer[]", {"[]": [], "[NULL]": [None], "[1, 2]": [1, 2], "[2, 1]": [2, 1]}
        ),
        "array": Values("integer[2]", {"[1, 2]": [1, 2], "[1, NULL]": [1, None]}),
        "nested list": Values("varchar[][]", {"[['a'], []]": [["a"], []], "[NULL]": [None]}),
        "struct": Values(
            'struct("a b" integer, c varchar[])',
            {
                "{'a b': 1, 'c': ['x']}": {"a b": 1, "c": ["x"]},
                "{'a b': NULL, 'c': NULL}": {"a b": None, "c": None},
            },
        ),
        "map": Values(
            "map(varchar, integer)",
            {"map {'k': 1}": [("k", 1)], "map {}": [], "map {'k': 2}": [("k", 2)]},
        ),
        "union": Values("union(n integer, t varchar)", {"1": "1", "'x'": "x"}),
        "timestamp": Values(
            "timestamp",
            {
                "'1970-01-01 00:00:00.000001'": 1,
                "'0001-01-01'": -719162 * DAY,
                "'9999-12-31 23:59:59.999999'": 2932897 * DAY - 1,
            },
            [("'2026-01-01'", "'2026-01-01 00:00:00'")],
        ),
        "timestamp_s": Values("timestamp_s", {"'1970-01-02'": DAY}),
        "timestamp_ms": Values("timestamp_ms", {"'1970-01-02'": DAY}),
        "timestamp_ns": Values("timestamp_ns", {"'1970-01-02'": DAY}),
        "timestamptz": Values(
            "timestamptz",
            {"'1970-01-01 00:00:00+00'": 0, "'1970-01-01 00:00:00-01'": 3_600_000_000},
            [("'2026-01-01 12:00:00+02'", "'2026-01-01 10:00:00+00'")],
        ),
        "date": Values(
            "date", {"'1970-01-01'": 0, "'0001-01-01'": -719162, "'9999-12-31'": 2932896}
        ),
        "time": Values("time", {"'00:00:00'": "00:00:00", "'23:59:59.999999'": "23:59:59.999999"}),
        "timetz": Values("timetz", {"'00:00:00+02'": "00:00:00+02"}),
        "interval": Values(
            "interval",
            {"'1 month'": "1 month", "'-3 days'": "-3 days", "'0 days'": "00:00:00"},
            [("'12 months'", "'1 year'")],
        ),
        "uuid": Values(
            "uuid",
            {f"'{u}'": str(u) for u in (UUID(int=0), UUID(int=2**128 - 1))},
            [(f"'{UUID(int=0xAB)}'", f"'{str(UUID(int=0xAB)).upper()}'")],
        ),
        "enum": Values("enum('', 'it''s', 'b]')", {"''": "", "'it''s'": "it's", "'b]'": "b]"}),
        "blob": Values("blob", {"''": b"", "'\\x00\\xFF'::blob": b"\x00\xff"}),
        "bit": Values("bit", {"'101'": "101", "'0'": "0"}),
    }
    retyped: ClassVar[Sequence[tuple[str, str, str, str, int]]] = (
        ("integer", "1", "bigint", "1", 0),
        ("integer", "1", "bigint", "2", 1),
        ("integer", "1", "varchar", "1", 1),
        ("integer", "1", "double", "1", 0),
        ("integer", "1", "hugeint", "1", 0),
        ("bigint", "1", "decimal(5, 2)", "1", 0),
        ("decimal(5, 1)", "1.5", "decimal(6, 2)", "1.50", 0),
        ("decimal(5, 1)", "1.5", "decimal(6, 2)", "1.51", 1),
        ("varchar", "'a'", "json", "'\"a\"'", 1),
        ("date", "'2026-01-01'", "timestamp", "'2026-01-01'", 1),
        ("timestamp", "'2026-01-01'", "timestamptz", "'2026-01-01 00:00:00+00'", 1),
        ("timestamp", "'2026-01-01'", "timestamp_ns", "'2026-01-01'", 0),
        ("integer[]", "[1]", "varchar[]", "['1']", 1),
        ("integer[]", "[1]", "integer[1]", "[1]", 1),
        ("struct(a integer)", "{'a': 1}", "struct(a integer, b integer)", "{'a': 1, 'b': 2}", 1),
        ("struct(a integer)", "{'a': 1}", "struct(b integer)", "{'b': 1}", 1),
        ("integer[]", "[1]", "map(varchar, integer)", "map {'a': 1}", 1),
        ("enum('a')", "'a'", "enum('b', 'a')", "'a'", 0),
        ("varchar", "'a'", "enum('a')", "'a'", 1),
        ("boolean", "true", "integer", "1", 1),
        ("blob", "'a'", "varchar", "'a'", 1),
    )


class TestPostgreSQLValues(PostgreSQL, ValueSuite):
    values: ClassVar[Mapping[str, Values]] = {
        "boolean": Values("boolean", {"true": True, "false": False}, [("true", "'yes'")]),
        "smallint": whole_numbers("smallint", -(2**15), 2**15 - 1),
        "integer": whole_numbers("integer", -(2**31), 2**31 - 1),
        "bigint": whole_numbers("bigint", -(2**63), 2**63 - 1),
        "numeric": Values(
            "numeric",
            {
                "0": "0",
                "1.5": "1.5",
                "'NaN'": "NaN",
                "'Infinity'": "Infinity",
                "1e-50": "0." + "0" * 49 + "1",
                "1e131": "1" + "0" * 131,
            },
            [("1.50", "1.5"), ("0", "-0.0"), ("'NaN'", "'nan'")],
            "number",
        ),
        "numeric(10, 2)": Values(
            "numeric(10, 2)", {"-99999999.99": "-99999999.99", "1.5": "1.50"}, metadata="number"
        ),
        "double precision": Values(
            "double precision", DOUBLES, [("-0.0", "0.0"), ("'NaN'", "'nan'"), ("1.50", "1.5")]
        ),
        "real": Values(
            "real", {"0.5": 0.5, "'NaN'": math.nan, "'-Infinity'": -math.inf}, [("'-0'", "0.0")]
        ),
        "text": Values("text", TEXTS),
        "varchar": Values("varchar(20)", {"''": "", "'a'": "a", "'a '": "a "}),
        "char": Values("char(3)", {"''": "   ", "'a'": "a  "}, [("'a'", "'a '")]),
        "one byte": Values('"char"', {"'a'": "a", "'b'": "b"}),
        "name": Values("name", {"'a'": "a", "''": ""}),
        "json": Values(
            "json",
            {
                "'{}'": "{}",
                "'null'": "null",
                "'[1, \"é\"]'": '[1, "é"]',
                '\'{"a": 1, "a": 2}\'': '{"a": 1, "a": 2}',
            },
            metadata="json",
        ),
        "jsonb": Values(
            "jsonb",
            {"'{}'": "{}", "'null'": "null", "'\"\"'": '""'},
            [('\'{"a":1,"b":2}\'', '\'{"b": 2, "a": 1}\'')],
            "json",
        ),
        "array": Values(
            "integer[]",
            {"'{}'": "[]", "'{NULL}'": "[null]", "'{1,2}'": "[1, 2]"},
            metadata="json",
        ),
        "text array": Values(
            "text[]",
            {"'{\"a,b\",NULL}'": '["a,b", null]', "array['NULL']": '["NULL"]'},
            metadata="json",
        ),
        "matrix": Values(
            "integer[][]",
            {"'{{1,2},{3,4}}'": "[[1, 2], [3, 4]]", "'{{1},{2}}'": "[[1], [2]]"},
            metadata="json",
        ),
        "composite": Values(
            "pair",
            {"row(1, 'x y')": '(1,"x y")', "row(NULL, '')": '(,"")'},
            before=["create type pair as (a integer, b text)"],
        ),
        "timestamp": Values(
            "timestamp",
            {
                "'1970-01-01 00:00:00.000001'": 1,
                "'0001-01-01'": -719162 * DAY,
                "'9999-12-31 23:59:59.999999'": 2932897 * DAY - 1,
            },
            [("'2026-01-01'", "'2026-01-01 00:00:00'")],
        ),
        "timestamp(0)": Values("timestamp(0)", {"'1970-01-02'": DAY}),
        "timestamptz": Values(
            "timestamptz",
            {"'1970-01-01 00:00:00+00'": 0, "'1970-01-01 00:00:00-01'": 3_600_000_000},
            [("'2026-01-01 12:00:00+02'", "'2026-01-01 10:00:00+00'")],
        ),
        "date": Values(
            "date", {"'1970-01-01'": 0, "'0001-01-01'": -719162, "'9999-12-31'": 2932896}
        ),
        "time": Values("time", {"'00:00'": "00:00:00", "'24:00'": "24:00:00"}),
        "timetz": Values("timetz", {"'00:00+02'": "00:00:00+02"}),
        "interval": Values(
            "interval",
            {"'1 month'": "1 mon", "'-3 days'": "-3 days", "'0'": "00:00:00"},
            [("'12 months'", "'1 year'")],
        ),
        "uuid": Values(
            "uuid",
            {f"'{u}'": str(u) for u in (UUID(int=0), UUID(int=2**128 - 1))},
            [(f"'{UUID(int=0xAB)}'", f"'{str(UUID(int=0xAB)).upper()}'")],
        ),
        "enum": Values(
            "mood", {"''": "", "'it''s'": "it's"}, before=["create type mood as enum ('', 'it''s')"]
        ),
        "domain": Values(
            "positive",
            {"1": 1, "2": 2},
            before=["create domain positive as integer check (value > 0)"],
        ),
        "bytea": Values("bytea", {"''": b"", "'\\x00ff'": b"\x00\xff"}),
        "point": Values("point", {"'(0,0)'": "(0,0)", "'(1.5,-2)'": "(1.5,-2)"}),
        "box": Values("box", {"'(1,1),(0,0)'": "(1,1),(0,0)"}),
        "inet": Values("inet", {"'127.0.0.1'": "127.0.0.1/32", "'::1/64'": "::1/64"}),
        "macaddr": Values("macaddr", {"'08:00:2b:01:02:03'": "08:00:2b:01:02:03"}),
        "bit": Values("bit(3)", {"'101'": "101"}),
        "varbit": Values("varbit", {"'101'": "101", "''": ""}),
        "money": Values("money", {"1.5": "$1.50", "0": "$0.00"}),
        "range": Values("int4range", {"'[1,5)'": "[1,5)", "'empty'": "empty"}),
        "tsvector": Values("tsvector", {"'a b'": "'a' 'b'"}),
        "oid": Values("oid", {"4294967295": "4294967295", "0": "0"}),
    }
    retyped: ClassVar[Sequence[tuple[str, str, str, str, int]]] = (
        ("integer", "1", "bigint", "1", 0),
        ("integer", "1", "bigint", "2", 1),
        ("integer", "1", "text", "1", 1),
        ("integer", "1", "double precision", "1", 0),
        ("bigint", "1", "numeric(5, 2)", "1", 0),
        ("numeric(5, 1)", "1.5", "numeric(6, 2)", "1.50", 0),
        ("numeric(5, 1)", "1.5", "numeric", "1.51", 1),
        ("varchar(3)", "'a'", "text", "'a'", 0),
        ("char(3)", "'a'", "text", "'a'", 1),
        ("json", "'{\"a\": 1}'", "jsonb", "'{\"a\": 1}'", 0),
        ("text", "'a'", "jsonb", "'\"a\"'", 1),
        ("date", "'2026-01-01'", "timestamp", "'2026-01-01'", 1),
        ("timestamp", "'2026-01-01'", "timestamptz", "'2026-01-01 00:00:00+00'", 1),
        ("timestamp(0)", "'2026-01-01'", "timestamp", "'2026-01-01'", 0),
        ("integer[]", "'{1}'", "text[]", "'{1}'", 1),
        ("integer[]", "'{1}'", "bigint[]", "'{1}'", 0),
        ("time", "'10:00'", "interval", "'10:00'", 0),
        ("boolean", "true", "integer", "1", 1),
        ("bytea", "'a'", "text", "'a'", 1),
    )


# --- what would be sent --------------------------------------------------------------------


def times(name: str, zone: str = "") -> tuple[Sent, ...]:
    """Times that a destination of whole seconds can and cannot tell apart."""

    def at(text: str) -> str:
        return f"'{text}{zone}'"

    return (
        Sent(name, at("2026-01-01 10:00:00.1"), at("2026-01-01 10:00:00.999999"), 0),
        Sent(name, at("2026-01-01 10:00:00.999999"), at("2026-01-01 10:00:01"), 1),
        Sent(name, at("1969-12-31 23:59:58"), at("1969-12-31 23:59:58.9"), 0),
        Sent(name, at("1969-12-31 23:59:59.9"), at("1970-01-01 00:00:00.1"), 1),
        Sent(name, at("0001-01-01 00:00:00"), at("0001-01-01 00:00:00.5"), 0),
        Sent(name, at("2026-01-01 10:00:00.1"), at("2026-01-01 10:00:00.2"), 0, "string"),
        Sent(name, at("2026-01-01 10:00:00.1"), at("2026-01-01 10:00:00.2"), 0, "date"),
        Sent(name, "NULL", at("2026-01-01 10:00:00.1"), 1),
        Sent(name, at("2026-01-01 10:00:00.1"), "NULL", 1),
        Sent(name, "'infinity'", "'infinity'", 0),
        Sent(name, "'infinity'", "'-infinity'", 1),
        Sent(name, "'infinity'", at("2026-01-01 10:00:00"), 1),
    )


ELSEWHERE = Sent("timestamptz", "'2026-01-01 12:00:00.1+02'", "'2026-01-01 10:00:00.2+00'", 0)

DOCUMENTS = (
    Sent("json", '\'{"a": [1, "x"]}\'', '\'{"a":[1,"x"]}\'', 0),
    Sent("json", '\'{"a": [1, "x"]}\'', '\'{ "a" : [1,\n"x"] }\'', 0),
    Sent("json", '\'{"a": [1, "x"]}\'', '\'{"a": ["x", 1]}\'', 1),
    Sent("json", '\'{"a": "x y"}\'', '\'{"a": "x  y"}\'', 1),
    Sent("json", "'{\"a\": 1}'", '\'{"a": 1, "b": null}\'', 1),
    Sent("json", "'{\"a\": 1.50}'", "'{\"a\": 1.5}'", 0),
    Sent("json", "'\"\\u0000\"'", "'\"\\u0001\"'", 1),
    Sent("json", "'[1e9999999]'", "'[2e9999999]'", 1),
    Sent("json", "'0.12345678901234567'", "'0.12345678901234568'", 1),
    Sent("json", "'12345678901234567890123'", "'12345678901234567890124'", 1),
    Sent("json", f"'[{'9' * 140_000}]'", f"'[{'9' * 139_999}8]'", 1),
    Sent("json", "'{\"a\": 1}'", "'{\"a\":1}'", 1, "string"),
    Sent("json", "NULL", "'null'", 1),
)

NUMBERS = (
    Sent("double precision", "42", "42.0", 0),
    Sent("double precision", "-0.0", "0.0", 0),
    Sent("double precision", "'NaN'", "'NaN'", 0),
    Sent("double precision", "1.5", "1.50", 0, "string"),
    Sent("double precision", "0.1", "0.11", 1, "string"),
    Sent("integer", "42", "43", 1, "string"),
    Sent("decimal(5, 1)", "1.5", "1.50", 0, None, "decimal(6, 2)"),
    Sent("decimal(5, 1)", "1.5", "1.50", 1, "string", "decimal(6, 2)"),
    Sent("decimal(5, 1)", "1.5", "1.5", 0, None, "double precision"),
    Sent("double precision", "0.1", "0.1", 0, None, "decimal(5, 1)"),
    Sent("double precision", "0.1", "0.11", 1, None, "decimal(5, 2)"),
    Sent("integer", "42", "42.0", 0, None, "double precision"),
    Sent("integer", "42", "42.0", 1, "string", "double precision"),
    Sent("integer", "42", "42", 0, "string", "bigint"),
    Sent("integer", "42", "42", 1, "string", "varchar"),
)


class TestDuckDBSent(DuckDB, SentSuite):
    sent: ClassVar[Sequence[Sent]] = (
        *times("timestamp"),
        *times("timestamptz", "+00"),
        *times("timestamp_ns")[:4],
        ELSEWHERE,
        *DOCUMENTS,
        # DuckDB has no form of JSON in which the order of keys is lost.
        Sent("json", '\'{"a": 1, "b": 2}\'', '\'{"b": 2, "a": 1}\'', 1),
        *NUMBERS,
        Sent("timestamp_s", "'2026-01-01'", "'2026-01-01 00:00:00.5'", 0, None, "timestamp"),
        Sent("bigint", "42", "42", 0, None, "hugeint"),
    )


class TestPostgreSQLSent(PostgreSQL, SentSuite):
    sent: ClassVar[Sequence[Sent]] = (
        *times("timestamp"),
        *times("timestamptz", "+00"),
        ELSEWHERE,
        *DOCUMENTS,
        Sent("json", '\'{"a": 1, "b": 2}\'', '\'{"b": 2, "a": 1}\'', 0),
        Sent("json", '\'{"a": 1, "a": 2}\'', "'{\"a\": 2}'", 0),
        Sent("json", "'\"\\ud800\"'", "'\"\\ud801\"'", 1),
        Sent("jsonb", "'[1.50]'", "'[1.5]'", 0),
        Sent("jsonb", "'[1.50]'", "'[1.5]'", 1, "string"),
        Sent("jsonb", "'[1.50]'", "'[1.51]'", 1),
        *NUMBERS,
        Sent("numeric", "1.50", "1.5", 0),
        Sent("numeric", "1.50", "1.5", 1, "string"),
        Sent("timestamp(0)", "'2026-01-01'", "'2026-01-01 00:00:00.5'", 0, None, "timestamp"),
        Sent("json", "'{\"a\":1}'", "'{\"a\": 1}'", 0, None, "jsonb"),
    )

"""Spark against the suite for warehouses, and whole runs in it, on a real cluster."""

# ruff: noqa: S608 - the statements are made of the tests' own words

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from connectors.iterable.sandbox import Fault, Sandbox
from reverse_etl.errors import SourceError, WarehouseError
from reverse_etl.preview import preview
from reverse_etl.testing.planner import Planner, StandingClock
from reverse_etl.testing.spark import SparkCluster, running_cluster, what_is_missing
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
from reverse_etl.warehouse import warehouse_at
from reverse_etl.warehouse.base import Warehouse
from reverse_etl.warehouse.spark_sql import quoted, text_literal
from reverse_etl.warehouse.tables import clause
from tests.world import COLUMNS, Beside, Database, World, first_profile_sync, first_sync

MISSING = what_is_missing()
if MISSING is not None:
    pytest.skip(f"no Spark here: {MISSING}", allow_module_level=True)

DAY = 86_400_000_000
ALONE = "in Spark a statement takes effect by itself"


@pytest.fixture(scope="module")
def cluster() -> Iterator[SparkCluster]:
    with running_cluster() as started:
        yield started


@pytest.fixture
def url(cluster: SparkCluster) -> str:
    for (name,) in cluster.rows("SHOW SCHEMAS"):
        if name != "default":
            cluster.execute(f"DROP SCHEMA {quoted(name)} CASCADE")
    for _, name, _ in cluster.rows("SHOW TABLES IN default"):
        cluster.execute(f"DROP TABLE default.{quoted(name)}")
    return cluster.url()


class Spark(WarehouseSuite):
    spelling = "spark"

    @pytest.fixture
    def control_url(self, tmp_path: Path) -> str:
        return f"duckdb:///{tmp_path}/control.duckdb"

    def spell(self, statement: str) -> str:
        said = super().spell(statement).replace("(id varchar,", "(id string,")
        return re.sub(r"^delete from (\S+)$", r"TRUNCATE TABLE \1", said, flags=re.IGNORECASE)

    def objects(self, warehouse: Warehouse) -> set[tuple[Any, ...]]:
        with warehouse.transaction() as tx:
            schemas = tx.connection.exec_driver_sql("SHOW SCHEMAS").scalars().all()
            found: set[tuple[Any, ...]] = {(schema, None) for schema in schemas}
            for schema in schemas:
                rows = tx.connection.exec_driver_sql(f"SHOW TABLES IN {quoted(schema)}").all()
                found |= {(schema, row[1]) for row in rows}
        return found


# --- queries -------------------------------------------------------------------------------


class TestQueries(Spark, QuerySuite):
    expressions: ClassVar[Mapping[str, str]] = {
        **{
            expression: value
            for expression, value in QuerySuite.expressions.items()
            if not any(part in expression for part in ("\\", "$$", "$tag$", "varchar"))
        },
        "cast('7' as string)": "7",
        "first_value('w') over (order by 1)": "w",
    }
    spelled: ClassVar[Mapping[str, str]] = {
        r"'a\'b;c'": "a'b;c",
        r"'a\\b'": r"a\b",
        r"r'a\b'": r"a\b",
        "\"in 'double' ; quotes\"": "in 'double' ; quotes",
        "'${spark.master} ${env:HOME}'": "${spark.master} ${env:HOME}",
        "array(':a', '%')[1]": "%",
        "`id`": "1",
        "date_format(date'2026-01-02', 'yyyy:MM')": "2026:01",
        "current_timezone()": "UTC",
    }
    queries: ClassVar[Mapping[str, str]] = {
        query: value
        for query, value in QuerySuite.queries.items()
        if "🙂" in query or "with" in query
    }
    written: ClassVar[Mapping[str, str]] = {
        "from (select 1 as id, 'a@x.org' as email, 'f' as v) select *": "f",
        "select 1 as id, 'a@x.org' as email, v from range(1) lateral view "
        "explode(array('l')) t as v": "l",
        "select 1 as id, 'a@x.org' as email, 's' as v; ; -- done; 'really": "s",
    }
    refused: ClassVar[Sequence[str]] = (
        *(
            each
            for each in QuerySuite.refused
            if "E'" not in each and "$$" not in each and "🙂" not in each
        ),
        "select id, email, 'a\\'' from canary; drop table canary; -- '",
        "insert overwrite canary values (2, 'b@x.org', 2)",
        "from canary insert into canary select 2, 'b@x.org', 2",
        "begin drop table canary; end",
        "set spark.sql.ansi.enabled = false",
    )
    quoting: ClassVar[Sequence[str]] = (
        "cast(email as int)",
        "cast(email as date)",
        "cast(email as boolean)",
        "cast(email as timestamp)",
        "cast(email as double)",
        "cast(big as smallint)",
        "big * 9223372036854775807",
        "cast(big as decimal(5, 2))",
        "raise_error(email)",
        "assert_true(email = '', email)",
        "to_date(email, 'yyyy')",
        "from_json(email, 'a int', map('mode', 'FAILFAST')).a",
        "parse_json(email)",
        "regexp_like('a', concat(email, '('))",
        "cast(concat('\\n\\nSQLSTATE: 42000 ', email) as int)",
        "raise_error(concat('[TABLE] ', email, ' SQLSTATE: 42P01'))",
    )
    verbatim: ClassVar[Sequence[str]] = (
        *refused,
        *("select", "with", "from", "(", "/*", "--", ";", "selec", "SELECT"),
    )
    said: ClassVar[Mapping[str, str]] = {
        f"insert into canary values (1, $${CANARY}$$, 4815162342108)": (
            f"insert into canary values (1, {text_literal(CANARY)}, 4815162342108)"
        ),
        "select 1 as customer_id, 'a@x.org' as e_mail, 2 as \"Plan\"": (
            "select 1 as customer_id, 'a@x.org' as e_mail, 2 as `Plan`"
        ),
        'select 1 as "ID", \'a@x.org\' as "Email", 2 as "V"': (
            "select 1 as `ID`, 'a@x.org' as `Email`, 2 as `V`"
        ),
    }

    @staticmethod
    def _named(name: str) -> str:
        return quoted(name)

    def test_expressions_mean_what_they_say(self, planner: Planner) -> None:
        wanted = {**self.expressions, **self.spelled}
        columns = ", ".join(f"{expression} as v{n}" for n, expression in enumerate(wanted))
        planned = planner.run(
            f"select p.*, {columns} from (select 1 as id, 'a@x.org' as email) p",
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
        for expression in self.quoting:
            with pytest.raises(SourceError) as caught:
                canary.attempt(f"select id, email, {expression} as v from canary", fields=["v"])
            shown = "".join(traceback.format_exception(caught.value))
            for part in ("canary'", "o@secret", "4815162342108"):
                assert part not in shown, expression

    def test_the_table_can_be_given_instead(self, planner: Planner) -> None:
        """Names of tables are words here; only those of columns are free."""
        planner.execute("create schema shop")
        planner.execute("create table shop.people as select 1 as id, 'a@x.org' as email, '%' as v")
        planned = planner.run(None, table="shop.people", fields=["v"])
        assert planned.column("v") == {"a@x.org": "%"}

    def test_columns_may_have_any_name(self, planner: Planner) -> None:
        """Rows cannot be changed, so the table is made anew."""

        def people(*rows: tuple[str, str]) -> None:
            chosen = " union all ".join(
                f"select '{email}' as email, "
                + ", ".join(
                    f"{text_literal(value + str(n))} as {quoted(name)}"
                    for n, name in enumerate(self.names)
                )
                for email, value in rows
            )
            planner.execute("drop table if exists people")
            with planner.warehouse.transaction() as tx:
                tx.connection.exec_driver_sql(f"create table people as {chosen}")

        sync: dict[str, Any] = {"primary_key": self.names, "fields": self.names}
        people(("a@x.org", "x"), ("b@x.org", "y"))
        assert planner.run("select * from people", **sync).counts == (2, 0, 0)
        people(("a@x.org", "z"))
        planned = planner.run("select * from people", **sync)
        assert planned.counts == (0, 1, 1)
        found = {name: planned.column(name) for name in self.names}
        assert found == {
            name: {"a@x.org": f"z{n}", "b@x.org": f"y{n}"} for n, name in enumerate(self.names)
        }

    @never("there are no sequences in Spark")
    def test_the_query_is_evaluated_once(self, planner: Planner) -> None:
        super().test_the_query_is_evaluated_once(planner)


# --- values --------------------------------------------------------------------------------


def whole_numbers(name: str, bits: int) -> Values:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return Values(name, {f"'{n}'": n for n in (low, 0, high)}, same=[("'1'", "1")])


SIZES = {"tinyint": 8, "smallint": 16, "int": 32, "bigint": 64}
TEXTS = (
    *("", " ", "a", "A", "a ", "é", "e\u0301", 'it\'s "q" \\ % :x ? ${env:HOME}'),
    *("two\r\nlines\t", "🙂", "NULL", "a\0b"),
)


class TestValues(Spark, ValueSuite):
    verbatim: ClassVar[Sequence[str]] = ("select", "insert", "create")
    values: ClassVar[Mapping[str, Values]] = {
        "boolean": Values("boolean", {"true": True, "false": False}, [("true", "1")]),
        **{name: whole_numbers(name, bits) for name, bits in SIZES.items()},
        "decimal": Values(
            "decimal(10, 2)",
            {"-99999999.99": "-99999999.99", "1.5": "1.50", "0": "0.00"},
            [("1.50", "1.5")],
            "number",
        ),
        "wide decimal": Values(
            "decimal(38, 30)",
            {"'1e-30'": "0." + "0" * 29 + "1", "99999999": "99999999." + "0" * 30},
            metadata="number",
        ),
        "double": Values(
            "double",
            {
                "0.1": 0.1,
                "'-1.7976931348623157e308'": -1.7976931348623157e308,
                "'5e-324'": 5e-324,
                "0": 0.0,
                "'Infinity'": float("inf"),
                "'NaN'": float("nan"),
            },
            [("'-0.0'", "'0.0'"), ("'NaN'", "'nan'")],
        ),
        "float": Values(
            "float", {"0.1": 0.10000000149011612, "16777217": 16777216.0, "'NaN'": float("nan")}
        ),
        "string": Values("string", {text_literal(text): text for text in TEXTS}),
        "varchar": Values("varchar(20)", {"'a'": "a", "'A'": "A", "'a '": "a "}),
        "date": Values(
            "date",
            {"'1970-01-01'": 0, "'0001-01-01'": -719162, "'9999-12-31'": 2932896},
            [("'2026-01-02'", "timestamp'2026-01-02 03:04:05'")],
        ),
        "timestamp_ntz": Values(
            "timestamp_ntz",
            {
                "'1970-01-01 00:00:00.000001'": 1,
                "'0001-01-01'": -719162 * DAY,
                "'9999-12-31 23:59:59.999999'": 2932897 * DAY - 1,
            },
            [("'2026-01-01'", "'2026-01-01 00:00:00'")],
        ),
        "timestamp": Values(
            "timestamp",
            {
                "'1970-01-01 00:00:00.000001'": 1,
                "'1970-01-02 09:00:00+09:00'": DAY,
                "'0001-01-01'": -719162 * DAY,
            },
            [("'2026-01-01 00:00:00Z'", "'2026-01-01 09:00:00+09:00'")],
        ),
        "binary": Values("binary", {"x''": b"", "x'00ff'": b"\0\xff", "'a'": b"a"}),
        "array": Values(
            "array<string>",
            {
                "array()": "[]",
                "array('a', NULL)": '["a",null]',
                "array('it\\'s \"')": '["it\'s \\""]',
            },
            metadata="json",
        ),
        "struct": Values(
            "struct<a: int, b: array<double>>",
            {
                "named_struct('a', 1, 'b', array(0.5))": '{"a":1,"b":[0.5]}',
                "named_struct('a', NULL, 'b', NULL)": '{"a":null,"b":null}',
            },
            metadata="json",
        ),
        "map": Values(
            "map<string, int>", {"map('k', 1)": '{"k":1}', "map()": "{}"}, metadata="json"
        ),
        "variant": Values(
            "variant",
            {
                'parse_json(\'{"b": [1, null], "a": "x"}\')': '{"a":"x","b":[1,null]}',
                "parse_json('1.50')": "1.5",
            },
            metadata="json",
        ),
        "interval": Values(
            "interval day to second", {"interval '1' day": "INTERVAL '1 00:00:00' DAY TO SECOND"}
        ),
    }
    retyped: ClassVar[Sequence[tuple[str, str, str, str, int]]] = (
        ("int", "1", "bigint", "1", 0),
        ("int", "1", "string", "1", 1),
        ("int", "1", "double", "1", 0),
        ("int", "1", "decimal(5, 2)", "1", 0),
        ("decimal(5, 1)", "1.5", "decimal(6, 2)", "1.50", 0),
        ("decimal(5, 1)", "1.5", "decimal(6, 2)", "1.51", 1),
        ("date", "'2026-01-01'", "timestamp", "'2026-01-01'", 1),
        ("timestamp", "'2026-01-01'", "timestamp_ntz", "'2026-01-01'", 1),
        ("float", "0.5", "double", "0.5", 1),
        ("binary", "'a'", "string", "'a'", 1),
        ("array<int>", "array(1)", "array<bigint>", "array(1)", 0),
        ("array<int>", "array(1)", "map<string, int>", "map('a', 1)", 1),
    )

    @pytest.fixture
    def typed(self, planner: Planner) -> Planner:
        columns = ", ".join(f"v{n} {each.type}" for n, each in enumerate(self.values.values()))
        planner.execute(f"create table people (id string, {columns})")
        return planner

    def _fill(self, planner: Planner, rows: Mapping[tuple[str, int], str]) -> None:
        """Write all rows at once: each statement is a job of the cluster."""
        places = list(self.values)
        lines = []
        for (name, n), literal in rows.items():
            place = places.index(name)
            values = [
                f"cast({literal if at == place else 'NULL'} as {self.values[each].type})"
                for at, each in enumerate(places)
            ]
            lines.append(f"select '{place}_{n}', {', '.join(values)}")
        planner.execute("truncate table people", f"insert into people {' union all '.join(lines)}")

    def test_any_value_may_name_a_row(self, typed: Planner) -> None:
        given = {
            (name, n): literal
            for name, values in self.values.items()
            for n, literal in enumerate(values.read)
        }
        self._fill(typed, given)
        for name, values in self.values.items():
            place = list(self.values).index(name)
            query = (
                f"select v{place}, id, 'a@x.org' as email from people "
                f"where id like '{place}!_%' escape '!'"
            )
            for key in ([f"v{place}"], [f"v{place}", "id"]):
                keys = [row[2] for row in typed.identities(query, primary_key=key)]
                assert len(set(keys) - {None}) == len(values.read), (name, keys)

    def test_columns_of_nothing_but_null_keep_their_types(self, planner: Planner) -> None:
        types = ("boolean", "bigint", "double", "date", "timestamp", "timestamp_ntz", "binary")
        columns = ", ".join(f"cast(null as {each}) as v{n}" for n, each in enumerate(types))
        query = f"select 1 as id, 'a@x.org' as email, {columns}, null as v7"
        page = planner.run(query, fields=[f"v{n}" for n in range(8)]).page
        assert page is not None
        assert [str(page.schema.field(f"v{n}").type) for n in range(8)] == [
            *("bool", "int64", "double", "date32[day]", "timestamp[us, tz=UTC]"),
            *("timestamp[us]", "binary", "string"),
        ]


class TestSent(Spark, SentSuite):
    verbatim: ClassVar[Sequence[str]] = ("select", "insert", "create")
    sent: ClassVar[Sequence[Sent]] = (
        Sent(
            "timestamp", "timestamp'2026-01-01 00:00:00.1'", "timestamp'2026-01-01 00:00:00.9'", 0
        ),
        Sent(
            "timestamp_ntz",
            "timestamp_ntz'2026-01-01 00:00:00.9'",
            "timestamp_ntz'2026-01-01 00:00:01'",
            1,
        ),
        Sent(
            "timestamp_ntz",
            "timestamp_ntz'1960-01-01 00:00:00.1'",
            "timestamp_ntz'1960-01-01 00:00:00.9'",
            0,
        ),
        Sent("double", "double('nan')", "double('nan')", 0),
        Sent("double", "double('nan')", "NULL", 1),
        Sent("decimal(5, 1)", "1.5", "1.50", 0, None, "decimal(5, 2)"),
        Sent("decimal(5, 1)", "1.5", "1.50", 1, "string", "decimal(5, 2)"),
        Sent("int", "1", "1", 0, None, "double"),
        Sent("int", "1", "1", 1, "string", "double"),
    )


# --- identities, fields, schema -----------------------------------------------------------


class TestIdentities(Spark, IdentitySuite):
    double = "double"
    verbatim: ClassVar[Sequence[str]] = ("select",)


class TestFieldSets(Spark, FieldSetSuite):
    pass


class TestSchema(Spark, SchemaSuite):
    @never(ALONE)
    def test_an_error_undoes_tables_too(self, planner: Planner) -> None:
        super().test_an_error_undoes_tables_too(planner)

    @never(ALONE)
    def test_an_abandoned_transaction_leaves_nothing(self, planner: Planner) -> None:
        super().test_an_abandoned_transaction_leaves_nothing(planner)

    @pytest.mark.parametrize("name", ["ours", "x_1"])
    def test_the_schema_may_have_any_name(self, warehouse_in: Any, name: str) -> None:
        """Of letters, digits and underlines: Spark takes no others."""
        super().test_the_schema_may_have_any_name(warehouse_in, name)

    @pytest.mark.parametrize("name", ["reverse_etl"])
    def test_rights_are_proven_and_nothing_stays(self, warehouse_in: Any, name: str) -> None:
        super().test_rights_are_proven_and_nothing_stays(warehouse_in, name)

    def test_another_name_of_a_schema_is_refused(self, warehouse_in: Any) -> None:
        with warehouse_in("100%") as warehouse, pytest.raises(WarehouseError, match="valid name"):
            warehouse.prepare_schema()

    def test_a_failed_upload_is_our_error(self, planner: Planner) -> None:
        """What fits is there all the same; the text names no value."""
        planner.execute("create table reverse_etl.target (a integer, b varchar)")
        target = clause("target", ("a", "b"), "reverse_etl")
        with (  # noqa: PT012 - one transaction
            pytest.raises(WarehouseError) as caught,
            planner.warehouse.transaction() as tx,
        ):
            tx.upload(target, pa.RecordBatch.from_pydict({"a": [1], "b": ["fine"]}))
            tx.upload(target, pa.RecordBatch.from_pydict({"a": [CANARY], "b": [CANARY]}))
        assert "secret" not in "".join(traceback.format_exception(caught.value))
        assert planner.rows("select * from reverse_etl.target") == [(1, "fine")]


# --- whole runs ----------------------------------------------------------------------------


class Shop(Beside):
    """The cluster, where the people are, and a control database beside it."""

    def __init__(self, cluster: SparkCluster, control: str) -> None:
        Database.__init__(self, cluster.url())
        self.cluster, self.control = cluster, Database(control)
        types = ("int", "string", "string", "string", "string", "double")
        columns = ", ".join(f"{name} {kind}" for name, kind in zip(COLUMNS, types, strict=True))
        cluster.execute(f"CREATE TABLE default.people ({columns}) USING PARQUET")

    def release(self) -> None:
        self.control.release()

    def sql(self, query: str) -> list[dict[str, Any]]:
        if any(name in query for name in ("sync_state", "sync_runs", "failed_records")):
            return self.control.sql(query)
        return self.cluster.named_rows(query.replace('"', "`"))

    def tables(self) -> set[str]:
        kept = self.control.tables()
        if ("reverse_etl",) not in self.cluster.rows("SHOW SCHEMAS"):
            return kept
        return kept | {row[1] for row in self.cluster.rows("SHOW TABLES IN reverse_etl")}

    def replace(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        if not rows:
            self.cluster.execute(f"TRUNCATE TABLE default.{table}")
            return
        lines = ", ".join(f"({', '.join(map(literal, row))})" for row in rows)
        names = ", ".join(columns)
        self.cluster.execute(f"INSERT OVERWRITE default.{table} ({names}) VALUES {lines}")


def literal(value: Any) -> str:
    if value is None:
        return "NULL"
    return text_literal(value) if isinstance(value, str) else str(value)


@pytest.fixture
def world(url: str, cluster: SparkCluster, tmp_path: Path) -> Iterator[World]:
    del url
    sandbox = Sandbox("email")
    sandbox.start()
    try:
        database = Shop(cluster, f"duckdb:///{tmp_path}/control.duckdb")
        yield World(database, sandbox, tmp_path, sync=first_sync())
    finally:
        sandbox.stop()


def scratch(world: World) -> list[str]:
    return [name for name in world.tables() if name.startswith("scratch_")]


def test_a_list_follows_its_query(world: World) -> None:
    world.put(
        {"email": "ada@x.com", "plan": "gold"},
        {"email": "bob@x.com", "plan": "silver"},
        {"email": "EVE@x.com", "plan": "it's\\ %s ${spark.master} \n🙂"},
    )
    assert world.run().planned == world.changes(insert=3)
    assert world.members() == {"ada@x.com", "bob@x.com", "eve@x.com"}
    assert world.fields("eve@x.com")["plan"] == "it's\\ %s ${spark.master} \n🙂"
    world.quiet()
    # A change of nothing but case is one, and somebody leaves.
    world.put({"email": "ada@x.com", "plan": "GOLD"}, {"email": "bob@x.com", "plan": "silver"})
    assert world.run().planned == world.changes(update=1, delete=1)
    assert world.members() == {"ada@x.com", "bob@x.com"}
    assert world.lines(3) == [
        ("delete", "eve@x.com", "succeeded", None),
        ("update", "ada@x.com", "succeeded", None),
    ]
    assert scratch(world) == []


def test_who_is_refused_is_written_down_and_tried_again(world: World) -> None:
    world.put(
        {"email": "ada@x.com", "plan": "a"},
        {"email": "ADA@x.com", "plan": "b"},
        {"plan": "c"},
        {"email": "bob@x.com"},
    )
    world.faults = [Fault("refuse", identifiers=("bob@x.com",), bucket="notFound", times=1)]
    first = world.run()
    assert (first.status, first.invalid, first.duplicates) == ("completed_with_failures", 1, 1)
    assert set(world.failed()) == {"bob@x.com", "row:3"}
    assert world.run().planned == world.changes(insert=1)
    assert world.members() == {"ada@x.com", "bob@x.com"}
    assert set(world.failed()) == {"row:3"}


def test_profiles_follow_their_query_and_are_cleared(world: World) -> None:
    world.sync = first_profile_sync()
    world.put({"email": "ada@x.com", "plan": "gold"}, {"email": "bob@x.com", "city": "Rome"})
    assert world.run().planned == world.changes(insert=2)
    world.put({"email": "bob@x.com", "city": "Oslo"})
    assert world.run().planned == world.changes(update=1, delete=1)
    assert world.fields("bob@x.com")["city"] == "Oslo"
    assert world.fields("ada@x.com").get("plan") is None


def test_a_run_that_fails_leaves_no_table_and_the_next_one_works(world: World) -> None:
    world.put_emails("ada")
    world.run()
    before = world.tables()
    failed = world.run(expected_digest="of another plan")
    assert (failed.status, failed.error_code, world.sent) == ("failed", "plan_refused", [])
    assert world.tables() == before
    world.put_emails("ada", "cy")
    assert world.run().planned == world.changes(insert=1)


# Among the statements of a run: before planning, while tables are made, before and after the
# commit, while settling, while old tables go.
@pytest.mark.parametrize("moment", [12, 24, 36, 48, 60])
def test_a_run_that_dies_at_a_statement_is_repaired_by_the_next(world: World, moment: int) -> None:
    world.put_emails("ada", "bob")
    world.run()
    world.put_emails("bob", "cy")
    assert world.die_at(moment)
    world.run()
    assert world.members() == {"bob@x.com", "cy@x.com"}


def test_a_preview_leaves_nothing(world: World) -> None:
    world.put_emails("ada", "bob")
    world.run()
    before = world.tables()
    world.put_emails("bob", "cy")
    world.database.release()
    assert preview(world.config(), "vip").report.planned == world.changes(insert=1, delete=1)
    assert world.tables() == before


def test_old_lines_of_the_log_go_with_their_runs(url: str, tmp_path: Path) -> None:
    with opened(url, tmp_path) as warehouse:
        warehouse.prepare_schema()
        log = warehouse.tables.log
        with warehouse.transaction() as tx:
            for run in (1, 2, 3, 4):
                for name in ("vip", "other"):
                    lines = {
                        "sync_name": [name] * 2,
                        "sync_run_id": [run] * 2,
                        "identity": ["a", "b"],
                    }
                    tx.upload(log, pa.RecordBatch.from_pydict(lines))
            warehouse.forget_earlier(tx, log, "vip", 3)
            warehouse.forget_run(tx, log, "vip", 4)
            warehouse.forget_run(tx, log, "nobody", 4)
        with warehouse.transaction() as tx:
            found = tx.connection.exec_driver_sql(
                "SELECT sync_name, sync_run_id, count(*) FROM reverse_etl.sync_log"
                " GROUP BY ALL ORDER BY ALL"
            ).all()
    assert [tuple(row) for row in found] == [
        *(("other", run, 2) for run in (1, 2, 3, 4)),
        ("vip", 3, 2),
    ]


# --- connections -----------------------------------------------------------------------------


def opened(url: str, folder: Path) -> Warehouse:
    warehouse = warehouse_at(url, "reverse_etl", StandingClock())
    control = f"duckdb:///{folder}/control.duckdb"
    warehouse.keep_control_in(warehouse_at(control, "reverse_etl", StandingClock()))
    return warehouse


def test_a_url_that_cannot_work_says_so(cluster: SparkCluster, tmp_path: Path) -> None:
    closed = cluster.url().replace(f":{cluster.port}", ":1")
    unknown = cluster.url("no_such_schema")
    for url, words in ((closed, r"no connection .* at 127.0.0.1:1"), (unknown, "no_such_schema")):
        with (
            pytest.raises(WarehouseError, match=words),
            opened(url, tmp_path) as warehouse,
        ):
            warehouse.prepare_schema()


def test_rows_stream_in_pieces_with_their_types(url: str, tmp_path: Path) -> None:
    with opened(url, tmp_path) as warehouse:
        statement = (
            "select id, if(id % 2 = 0, null, concat('é', id)) as s, "
            "if(id % 3 = 0, null, timestamp_micros(id)) as t, cast(id / 8 as decimal(9, 3)) as d "
            "from range(0, 50001, 1, 1)"
        )
        with warehouse.stream_arrow(statement) as reader:
            table = pa.Table.from_batches(list(reader), reader.schema)
            sizes = [len(batch) for batch in table.to_batches()]
        assert [str(field.type) for field in table.schema] == [
            *("int64", "string", "timestamp[us, tz=UTC]", "string")
        ]
        assert len(sizes) == 3
        assert table.column("id").to_pylist() == list(range(50_001))
        expected = [None if n % 2 == 0 else f"é{n}" for n in range(50_001)]
        assert table.column("s").to_pylist() == expected
        times = table.column("t").cast("int64").to_pylist()
        assert times == [None if n % 3 == 0 else n for n in range(50_001)]
        assert table.column("d")[9].as_py() == "1.125"


def test_a_source_that_is_only_read_is_not_written_to(
    url: str, cluster: SparkCluster, tmp_path: Path
) -> None:
    source = warehouse_at(url, "reverse_etl", StandingClock())
    home = warehouse_at(f"duckdb:///{tmp_path}/home.duckdb", "reverse_etl", StandingClock())
    home.read_from(source)
    query = (
        "select 1 as id, 'a@x.org' as email, true as paid, cast(1.5 as decimal(9, 2)) as d,"
        " array(1, 2) as n, timestamp'2026-01-02 03:04:05.5' as t, date'2026-01-02' as day"
    )
    with home:
        planner = Planner(home)
        fields = ["paid", "d", "n", "t", "day"]
        planned = planner.run(query, fields=fields)
        found = [str(planned.column(name)["a@x.org"]) for name in fields]
        assert found == ["True", "1.50", "[1,2]", "2026-01-02 03:04:05.500000+00:00", "2026-01-02"]
        assert planner.run(query, fields=fields).counts == (0, 0, 0)
    assert cluster.rows("SHOW SCHEMAS") == [("default",)]

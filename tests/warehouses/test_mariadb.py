"""MariaDB against the suite for warehouses, and whole runs in it, on a real server."""

# ruff: noqa: S608 - the statements are made of the tests' own words

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from connectors.iterable.identifiers import EMAIL, USER_ID
from connectors.iterable.sandbox import Fault, Sandbox
from reverse_etl.config import load_config
from reverse_etl.connector import AccountSettings, Identifier, Operation, Request
from reverse_etl.delivery.transport import Transport
from reverse_etl.errors import RightsError, SourceError, WarehouseError
from reverse_etl.ports import Ports, http_transport
from reverse_etl.report import RunSummary
from reverse_etl.run import Options, run_sync
from reverse_etl.testing.mariadb import MariaDBServer, running_server, what_is_missing
from reverse_etl.testing.patience import PatientClock, PatientTransport
from reverse_etl.testing.planner import Planner, StandingClock, TakesEverything
from reverse_etl.testing.warehouse_suite import (
    CANARY,
    FieldSetSuite,
    IdentitySuite,
    QuerySuite,
    SchemaSuite,
    SharedLeaseSuite,
    Values,
    ValueSuite,
    WarehouseSuite,
    never,
)
from reverse_etl.warehouse import warehouse_at

MISSING = what_is_missing()
if MISSING is not None:
    pytest.skip(f"no MariaDB here: {MISSING}", allow_module_level=True)

DAY = 86_400_000_000
SYSTEM = ("information_schema", "mysql", "performance_schema", "sys")

COMMITS = "in MariaDB, making a table commits what was done before"


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDBServer]:
    with running_server() as started:
        yield started


@pytest.fixture
def url(server: MariaDBServer) -> str:
    # A schema of ours is a database of the server, so each test has the server for itself.
    for (name,) in server.rows("SHOW DATABASES"):
        if name not in SYSTEM:
            server.execute(f"DROP DATABASE `{name.replace('`', '``')}`")
    server.execute("CREATE DATABASE shop CHARACTER SET latin1")
    return server.url("shop")


class MariaDB(WarehouseSuite):
    spelling = "mysql"

    def spell(self, statement: str) -> str:
        return re.sub(r"NEXTVAL\('(\w+)'\)", r"NEXTVAL(\1)", super().spell(statement))


# --- queries -------------------------------------------------------------------------------


class TestQueries(MariaDB, QuerySuite):
    expressions: ClassVar[Mapping[str, str]] = {
        "'it''s :name, ::b, :1 and :'": "it's :name, ::b, :1 and :",
        "cast('12:30:00' as char)": "12:30:00",
        "'100% %s %(x)s %% %%s %'": "100% %s %(x)s %% %%s %",
        "case when 'abc' like '%b%' then 'yes' end": "yes",
        "cast(7 % 4 as char)": "3",
        "';'": ";",
        "')'": ")",
        "'(' /* ) ; ' */": "(",
        "'? $1 {0} {{x}} #{y}'": "? $1 {0} {{x}} #{y}",
        "'é🙂\u2028 ; '": "é🙂\u2028 ; ",
        "'two\nlines'": "two\nlines",
        "(select max(x) from (select 'a' as x union select 'b') t)": "b",
        "'x' -- ); drop table canary; '\n": "x",
        "first_value('w') over (order by 1)": "w",
    }
    spelled: ClassVar[Mapping[str, str]] = {
        r"'a\'b;c'": "a'b;c",
        r"'a\\b'": r"a\b",
        "\"in 'double' ; quotes\"": "in 'double' ; quotes",
        "'x' # ; a comment '\n": "x",
        'json_value(\'{"a:b": "%s"}\', \'$."a:b"\')': "%s",
        "date_format('2026-01-02', '%Y:%m')": "2026:01",
        "'a' 'b'": "ab",
        "cast('x' regexp '^x$' as char)": "1",
        "cast(7 div 2 as char)": "3",
        "`id`": "1",
        "@@time_zone": "+00:00",
    }
    queries: ClassVar[Mapping[str, str]] = {
        query: value for query, value in QuerySuite.queries.items() if "(values" not in query
    }
    written: ClassVar[Mapping[str, str]] = {
        "with recursive p as (select 1 as id) select id, 'a@x.org' as email, 'r' as v from p": "r",
    }
    refused: ClassVar[Sequence[str]] = (
        *(each for each in QuerySuite.refused if "$$" not in each and "E'" not in each),
        "select id, email, 'a\\'' from canary; drop table canary; -- '",
        "select id, email from canary into outfile '/tmp/reverse_etl_canary'",
        "select id, email from canary /*! ; drop table canary */",
        "select id, email from canary /*!) x; drop table canary; select (2 */",
        "replace into canary values (2, 'b@x.org', 2)",
        "call nothing()",
        "set @x = 1",
    )
    quoting: ClassVar[Sequence[str]] = (
        "email + 1",
        "cast(email as unsigned)",
        "cast(email as datetime)",
        "cast(email as inet6)",
        "cast(email as uuid)",
        "cast(big as decimal(5, 2))",
        "big * 9223372036854775807",
        "'a' regexp concat(email, '(')",
        "shout(email)",
        "json_extract(email, '$.a') + 1",
        "cast(concat(email, '''') as integer)",
        "cast(concat('\n\nLINE ', email) as integer)",
    )
    said: ClassVar[Mapping[str, str]] = {
        "create table canary (id integer, email varchar, big bigint)": (
            "create table canary (id integer, email varchar(50), big bigint) character set utf8mb4"
        ),
        f"insert into canary values (1, $${CANARY}$$, 4815162342108)": (
            "insert into canary values "
            f"(1, '{CANARY.replace(chr(39), chr(39) * 2)}', 4815162342108)"
        ),
    }
    verbatim: ClassVar[Sequence[str]] = (
        *queries,
        *written,
        *refused,
        "create function",
        "select id, email, ",
        "select no_such_function",
        "select p.*, ",
        "select 1 as id, 'a@x.org' as email, 'it''s",
        *(";", "-- nothing", "# x", "/* ; */", "selec 1", "select id, 'open", "select (id, email"),
    )

    # Names have no characters beyond the basic plane.
    names: ClassVar[Sequence[str]] = tuple(
        name for name in QuerySuite.names if max(name) <= "\uffff"
    )

    @pytest.fixture(autouse=True)
    def _objects(self, planner: Planner) -> None:
        planner.execute(
            "create function shout(v text) returns text deterministic "
            "begin signal sqlstate '45000' set message_text = v; return v; end",
        )

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

    # Two dashes are a comment only with a space after them.
    @pytest.mark.parametrize("query", [";", "-- nothing", "/* ; */", ";;\n-- x\n;", "# x"])
    def test_an_empty_query_is_refused(self, planner: Planner, query: str) -> None:
        super().test_an_empty_query_is_refused(planner, query)

    @pytest.mark.parametrize(
        ("query", "hint"),
        [
            ("selec 1 as id, 'a@x.org' as email", "SQL syntax"),
            ("select 1 as id, 'a@x.org' as email from no_such_table", "no_such_table"),
            ("select id, e_mail from canary", "e_mail"),
            ("select no_such_function(id), email from canary", "no_such_function"),
            ("select id, 'open from canary", "the query cannot be read"),
            ("select (id, email from canary", "the query"),
        ],
    )
    def test_a_wrong_query_says_what_is_wrong(self, canary: Planner, query: str, hint: str) -> None:
        super().test_a_wrong_query_says_what_is_wrong(canary, query, hint)

    @pytest.mark.parametrize("name", ["order", 'a"b', "a'b", ":a", "%(x)s", "ünï", "a\\b", "a`b"])
    def test_an_identifier_may_have_any_name(self, planner: Planner, name: str) -> None:
        super().test_an_identifier_may_have_any_name(planner, name)

    def test_a_failing_row_is_not_quoted(self, canary: Planner) -> None:
        shown = {}
        for expression in self.quoting:
            try:
                canary.attempt(f"select id, email, {expression} as v from canary", fields=["v"])
            except SourceError as error:
                shown[expression] = str(error)
        # Casts to a type of the engine are an error in strict mode, when a table is filled.
        assert len(shown) >= 8, shown
        for text in shown.values():
            assert not any(part in text for part in ("canary'", "o@secret", "4815162342108")), shown


# --- identities, fields, schema, lease -----------------------------------------------------


class TestIdentities(MariaDB, IdentitySuite):
    identifiers: ClassVar[Sequence[Identifier]] = (*IdentitySuite.identifiers, EMAIL, USER_ID)

    def test_doubles_beyond_the_exact_ones_stay_distinct(self, planner: Planner) -> None:
        """MariaDB has neither NaN nor infinities."""
        user = Planner(planner.warehouse, destination=TakesEverything((USER_ID,)))
        given = ["1e300", "-1e300", "9007199254740993", "1e-300"]
        rows = " union all ".join(f"select cast('{n}' as double precision) as id" for n in given)
        query = f"select * from ({rows} union all select null) x"
        found = [row[0] for row in user.identities(query, identifiers={"userId": "id"})]
        assert len({identity for identity in found if identity}) == len(given)
        assert found.count(None) == 1


class TestFieldSets(MariaDB, FieldSetSuite):
    pass


class TestSchema(MariaDB, SchemaSuite):
    @never(COMMITS)
    def test_an_error_undoes_tables_too(self, planner: Planner) -> None:
        super().test_an_error_undoes_tables_too(planner)

    @never(COMMITS)
    def test_an_abandoned_transaction_leaves_nothing(self, planner: Planner) -> None:
        super().test_an_abandoned_transaction_leaves_nothing(planner)


class TestLease(MariaDB, SharedLeaseSuite):
    said: ClassVar[Mapping[str, str]] = {
        "select extract(epoch from lease_expires_at - now() at time zone 'UTC') "
        "from reverse_etl.sync_state": (
            "select timestampdiff(microsecond, utc_timestamp(6), lease_expires_at) / 1e6 "
            "from reverse_etl.sync_state"
        ),
    }


# --- values --------------------------------------------------------------------------------


def whole_numbers(name: str, low: int, high: int) -> Values:
    return Values(name, {str(n): n for n in sorted({low, 0, high})}, same=[("1", "1")])


def unsigned(name: str, bits: int) -> Values:
    return whole_numbers(f"{name} unsigned", 0, 2**bits - 1)


def signed(name: str, bits: int) -> Values:
    return whole_numbers(name, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


TEXTS = {
    "''": "",
    "' '": " ",
    "'a'": "a",
    "'A'": "A",
    "'a '": "a ",
    "'é'": "é",
    "'e\u0301'": "e\u0301",
    "'ß'": "ß",
    "'ss'": "ss",
    "'it''s \"q\" \\\\ % :x ?'": 'it\'s "q" \\ % :x ?',
    "'two\r\nlines\t'": "two\r\nlines\t",
    "'🙂'": "🙂",
    "'NULL'": "NULL",
    "'a\\0b'": "a\0b",
}
SIZES = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64}


class TestValues(MariaDB, ValueSuite):
    verbatim: ClassVar[Sequence[str]] = ("",)
    values: ClassVar[Mapping[str, Values]] = {
        "boolean": Values("tinyint(1)", {"true": True, "false": False}, [("true", "1")]),
        **{name: signed(name, bits) for name, bits in SIZES.items()},
        **{f"{name} unsigned": unsigned(name, bits) for name, bits in SIZES.items()},
        "zerofill": Values("int(5) zerofill", {"42": 42, "0": 0}),
        "year": Values("year", {"2026": 2026, "1901": 1901}),
        "bit(1)": Values("bit(1)", {"b'1'": True, "b'0'": False}),
        "bit(9)": Values("bit(9)", {"b'101'": 5, "b'0'": 0}),
        "bit(64)": Values("bit(64)", {"18446744073709551615": 2**64 - 1, "1": 1}),
        "decimal": Values(
            "decimal(10, 2)",
            {"-99999999.99": "-99999999.99", "1.5": "1.50", "0": "0.00"},
            [("1.50", "1.5")],
            "number",
        ),
        "wide decimal": Values(
            "decimal(65, 30)",
            {"1e-30": "0." + "0" * 29 + "1", "9e34": "9" + "0" * 34 + "." + "0" * 30},
            metadata="number",
        ),
        "double": Values(
            "double",
            {
                "0.1": 0.1,
                "-1.7976931348623157e308": -1.7976931348623157e308,
                "2.2250738585072014e-308": 2.2250738585072014e-308,
                "0": 0.0,
            },
            [("-0.0", "0.0"), ("1.50", "1.5")],
        ),
        "float": Values("float", {"0.1": 0.10000000149011612, "16777217": 16777216.0}),
        "varchar": Values("varchar(50) character set utf8mb4", TEXTS),
        "without case": Values(
            "varchar(50) character set utf8mb4 collate utf8mb4_general_ci", TEXTS
        ),
        "longtext": Values("longtext character set utf8mb4", TEXTS),
        "latin1": Values(
            "varchar(20) character set latin1", {"'é'": "é", "'A'": "A", "'a '": "a ", "'a'": "a"}
        ),
        "char": Values("char(3)", {"''": "", "'a'": "a", "'A'": "A"}, [("'a'", "'a '")]),
        "enum": Values("enum('', 'it''s', 'B')", {"''": "", "'it''s'": "it's"}),
        "set": Values("set('a', 'b')", {"''": "", "'a,b'": "a,b"}, [("'b,a'", "'a,b'")]),
        "json": Values("json", {"'{}'": "{}", "'null'": "null", "'[1, \"é\"]'": '[1, "é"]'}),
        "uuid": Values(
            "uuid",
            {
                f"'{'0' * 8}-0000-0000-0000-{n:012}'": f"{'0' * 8}-0000-0000-0000-{n:012}"
                for n in (0, 7)
            },
        ),
        "inet6": Values("inet6", {"'::1'": "::1", "'::ffff:1.2.3.4'": "::ffff:1.2.3.4"}),
        "datetime": Values(
            "datetime(6)",
            {
                "'1970-01-01 00:00:00.000001'": 1,
                "'0001-01-01'": -719162 * DAY,
                "'9999-12-31 23:59:59.999999'": 2932897 * DAY - 1,
            },
            [("'2026-01-01'", "'2026-01-01 00:00:00'")],
        ),
        "datetime(0)": Values("datetime", {"'1970-01-02'": DAY}),
        "timestamp": Values(
            "timestamp(6) null",
            {"'1970-01-01 00:00:00.000001'": 1, "'2038-01-19 03:14:07.9'": 2_147_483_647_900_000},
        ),
        "date": Values(
            "date", {"'1970-01-01'": 0, "'0001-01-01'": -719162, "'9999-12-31'": 2932896}
        ),
        "time": Values(
            "time(6)", {"'00:00'": "00:00:00.000000", "'-838:59:59'": "-838:59:59.000000"}
        ),
        "blob": Values("blob", {"''": b"", "x'00ff'": b"\x00\xff"}),
        "varbinary": Values("varbinary(9)", {"'a'": b"a", "'a '": b"a ", "'A'": b"A"}),
        "binary": Values("binary(3)", {"x'00ff'": b"\x00\xff\x00", "'a'": b"a\0\0"}),
        "geometry": Values("point", {"point(1, 2)": "POINT(1 2)", "point(0, 0.5)": "POINT(0 0.5)"}),
    }
    retyped: ClassVar[Sequence[tuple[str, str, str, str, int]]] = (
        ("signed", "1", "unsigned", "1", 0),
        ("signed", "1", "unsigned", "2", 1),
        ("signed", "1", "char", "1", 1),
        ("signed", "1", "double", "1", 0),
        ("signed", "1", "decimal(5, 2)", "1", 0),
        ("decimal(5, 1)", "1.5", "decimal(6, 2)", "1.50", 0),
        ("decimal(5, 1)", "1.5", "decimal(6, 2)", "1.51", 1),
        ("char(3)", "'a'", "char", "'a'", 0),
        ("char(3)", "'a'", "char(9)", "'A'", 1),
        ("date", "'2026-01-01'", "datetime", "'2026-01-01'", 1),
        ("datetime", "'2026-01-01'", "datetime(6)", "'2026-01-01'", 0),
        ("time", "'10:00'", "time", "'10:00:00'", 0),
        ("binary", "'a'", "char", "'a'", 1),
        ("float", "0.5", "double", "0.5", 1),
    )

    @pytest.fixture
    def typed(self, planner: Planner) -> Planner:
        columns = ", ".join(f"v{n} {each.type}" for n, each in enumerate(self.values.values()))
        planner.execute(f"create table people (id varchar(50), {columns})")
        return planner

    def _run(self, planner: Planner) -> Any:
        query = "select *, concat('p', id, '@x.org') as email from people"
        return planner.run(query, fields=self._fields)

    def test_a_date_of_zeros_is_none(self, planner: Planner) -> None:
        planner.execute(
            "create table dates (id int, email varchar(20), d date, t datetime)",
            "insert into dates values (1, 'a@x.org', 0, 0), (2, 'b@x.org', '2026-00-00', NULL),"
            " (3, 'c@x.org', '2026-01-02', '2026-01-02')",
        )
        planned = planner.run("select * from dates", fields=["d", "t"])
        assert [value for value in planned.column("d").values() if value is None] == [None, None]
        assert planned.column("t")["a@x.org"] is None
        assert str(planned.column("d")["c@x.org"]) == "2026-01-02"

    def test_columns_of_nothing_but_null_keep_their_types(self, planner: Planner) -> None:
        types = ("tinyint(1)", "bigint unsigned", "double", "date", "timestamp(6) null", "blob")
        columns = ", ".join(f"v{n} {each}" for n, each in enumerate(types))
        planner.execute(
            f"create table nothing (id int, email varchar(20), {columns})",
            "insert into nothing (id, email) values (1, 'a@x.org')",
        )
        page = planner.run("select * from nothing", fields=[f"v{n}" for n in range(6)]).page
        assert page is not None
        found = [str(page.schema.field(f"v{n}").type) for n in range(6)]
        assert found == [
            "bool",
            "uint64",
            "double",
            "date32[day]",
            "timestamp[us, tz=UTC]",
            "binary",
        ]


# --- whole runs ----------------------------------------------------------------------------

SYNC, LIST, KEY = "vip", "VIP customers", "sandbox-key"


class World:
    """A sync of a table of people to a list, with real runs over loopback HTTP."""

    def __init__(self, url: str, server: MariaDBServer, folder: Path, sandbox: Sandbox) -> None:
        self.url, self.server, self.folder, self.sandbox = url, server, folder, sandbox
        self.clock = PatientClock()
        self.sent: list[Request] = []
        server.execute(
            "CREATE TABLE shop.people (id INT, email VARCHAR(100), plan VARCHAR(20), paid BOOL)"
        )

    def put(self, **plans: str) -> None:
        """Let the source hold these people and no others."""
        self.server.execute("DELETE FROM shop.people")
        for n, (name, plan) in enumerate(plans.items()):
            self.server.execute(
                f"INSERT INTO shop.people VALUES ({n}, '{name}@x.com', '{plan}', true)"
            )

    def run(self, **options: Any) -> RunSummary:
        """Run the sync."""
        transports: list[PatientTransport] = []

        def transport(account: AccountSettings) -> Transport:
            transports.append(PatientTransport(http_transport(account), self.clock))
            return transports[-1]

        ports = Ports(self.clock, random.Random(7), transport=transport)
        report = run_sync(self._config(), SYNC, Options(**options), ports)
        self.sent = [request for each in transports for request in each.sent]
        return report

    def _config(self) -> Any:
        document = {
            "warehouses": {"local": {"url": "${WAREHOUSE_URL}", "schema": "reverse_etl"}},
            "destinations": {
                "iterable": {
                    "type": "iterable",
                    "api_key": "${ITERABLE_API_KEY}",
                    "base_url": self.sandbox.url,
                    "project_type": "email",
                    "requests_per_second": 0,
                }
            },
            "syncs": {
                SYNC: {
                    "source": {
                        "warehouse": "local",
                        "query": "select * from people where plan <> 'none'",
                        "primary_key": "id",
                    },
                    "destination": {"name": "iterable", "object": "list", "list": {"name": LIST}},
                    "identifiers": {"email": "email"},
                    "fields": {"plan": "plan", "paid": "paid"},
                    "max_delete_percent": 100,
                }
            },
        }
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        return load_config(path, {"ITERABLE_API_KEY": KEY, "WAREHOUSE_URL": self.url})

    def members(self) -> set[str]:
        """Return who is on the list."""
        return self.sandbox.state.members(self.sandbox.state.list_named(LIST).id)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Read rows as an administrator."""
        return self.server.rows(statement)


@pytest.fixture
def world(url: str, server: MariaDBServer, tmp_path: Path) -> Iterator[World]:
    sandbox = Sandbox("email")
    sandbox.start()
    try:
        yield World(url, server, tmp_path, sandbox)
    finally:
        sandbox.stop()


def changes(insert: int = 0, update: int = 0, delete: int = 0) -> dict[Operation, int]:
    return {Operation.INSERT: insert, Operation.UPDATE: update, Operation.DELETE: delete}


def test_a_list_follows_its_query(world: World) -> None:
    world.put(ada="gold", bob="silver", eve="gold")
    first = world.run()
    assert (first.status, first.planned) == ("succeeded", changes(insert=3)), first.error
    assert world.members() == {"ada@x.com", "bob@x.com", "eve@x.com"}
    profile = world.sandbox.state.profile("ada@x.com")
    assert profile is not None
    assert (profile.fields["plan"], profile.fields["paid"]) == ("gold", True)

    quiet = world.run()
    assert (quiet.status, quiet.planned, world.sent) == ("succeeded", changes(), [])

    # A change of nothing but case is one, and somebody leaves.
    world.put(ada="GOLD", bob="silver")
    changed = world.run()
    assert (changed.status, changed.planned) == ("succeeded", changes(update=1, delete=1))
    assert world.members() == {"ada@x.com", "bob@x.com"}
    assert world.rows(
        "SELECT identity, operation, status FROM reverse_etl.sync_log WHERE sync_run_id = 3"
        " ORDER BY 1"
    ) == [("ada@x.com", "update", "succeeded"), ("eve@x.com", "delete", "succeeded")]
    assert world.rows("SELECT email FROM reverse_etl.snapshot_vip ORDER BY 1") == [
        ("ada@x.com",),
        ("bob@x.com",),
    ]


def test_who_is_refused_is_written_down_and_tried_again(world: World) -> None:
    world.put(ada="gold", bob="silver")
    world.sandbox.faults = (Fault("refuse", identifiers=("bob@x.com",), bucket="invalid"),)
    first = world.run()
    assert (first.status, first.failed_records_open) == ("completed_with_failures", 1)
    failed = "SELECT identity, attempts, retryable FROM reverse_etl.failed_records"
    assert [row[0] for row in world.rows(failed)] == ["bob@x.com"]
    assert world.members() == {"ada@x.com"}
    world.sandbox.faults = ()
    again = world.run(full=True)
    assert (again.status, again.failed_records_open) == ("succeeded", 0), again.error
    assert world.members() == {"ada@x.com", "bob@x.com"}
    assert world.rows(failed) == []


def test_a_run_that_fails_leaves_no_table_and_the_next_one_works(world: World) -> None:
    world.put(ada="gold")
    world.run()
    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'reverse_etl'"
    before = set(world.rows(tables))
    world.server.execute("ALTER TABLE shop.people RENAME TO shop.persons")
    failed = world.run()
    assert (failed.status, world.sent) == ("failed", [])
    assert "people" in (failed.error or "")
    assert set(world.rows(tables)) == before
    world.server.execute("ALTER TABLE shop.persons RENAME TO shop.people")
    world.put(ada="gold", bob="silver")
    # Fails late: the tables of the run are made, and committed with each statement.
    held = world.run(expected_digest="of another plan")
    assert (held.status, held.error_code, world.sent) == ("failed", "plan_refused", [])
    assert set(world.rows(tables)) == before
    after = world.run()
    assert (after.status, after.planned) == ("succeeded", changes(insert=1))


# --- rights, settings, and what a killed program leaves ------------------------------------


def account(server: MariaDBServer) -> str:
    """Make an account that may only read the shop; return its URL."""
    server.execute(
        "DROP USER IF EXISTS reader@'127.0.0.1'",
        "CREATE USER reader@'127.0.0.1' IDENTIFIED BY 'secret-of-reader'",
        "GRANT SELECT ON shop.* TO reader@'127.0.0.1'",
    )
    return server.url("shop", "reader", "secret-of-reader")


def test_the_grants_that_are_named_are_those_that_help(url: str, server: MariaDBServer) -> None:
    del url
    reader = account(server)
    with warehouse_at(reader, "reverse_etl", StandingClock()) as warehouse:
        with pytest.raises(RightsError) as caught:
            warehouse.prepare_schema()
        named = re.findall(r"^  ((?:CREATE|GRANT) .*);$", str(caught.value), re.MULTILINE)
        server.execute(*(each for each in named if "…" not in each))
    with warehouse_at(reader, "reverse_etl", StandingClock()) as warehouse:
        warehouse.prove_rights()
        planner = Planner(warehouse)
        assert planner.run("select 1 as id, 'a@x.org' as email").counts == (1, 0, 0)
        assert planner.run("select 2 as id, 'b@x.org' as email", refused=[]).counts == (1, 0, 1)
    assert "secret-of-reader" not in str(caught.value)


@pytest.mark.parametrize(
    "lost", ["SELECT 1", "DROP TABLE reverse_etl.sync_runs", "DROP TABLE reverse_etl.sync_state"]
)
def test_tables_that_were_never_finished_are_completed(
    url: str, server: MariaDBServer, lost: str
) -> None:
    with warehouse_at(url, "reverse_etl", StandingClock()) as warehouse:
        warehouse.prepare_schema()
    # As a program leaves them that is killed before its last statement, or in the middle.
    server.execute("DELETE FROM reverse_etl.schema_version", lost)
    warehouse = warehouse_at(url, "reverse_etl", StandingClock())
    with warehouse.looking() as tx:
        assert not warehouse.is_prepared(tx)
    with warehouse_at(url, "reverse_etl", StandingClock()) as warehouse:
        planner = Planner(warehouse)
        assert planner.run("select 1 as id, 'a@x.org' as email").counts == (1, 0, 0)
    # In use, the same is damage.
    server.execute("DELETE FROM reverse_etl.schema_version")
    with (
        warehouse_at(url, "reverse_etl", StandingClock()) as warehouse,
        pytest.raises(WarehouseError, match="schema_version nothing is left"),
    ):
        warehouse.prepare_schema()


def test_a_server_with_other_settings_makes_no_difference(url: str, server: MariaDBServer) -> None:
    server.execute(
        "SET GLOBAL sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES'",
        "SET GLOBAL time_zone = '+05:00'",
    )
    try:
        with warehouse_at(url, "reverse_etl", StandingClock()) as warehouse:
            planner = Planner(warehouse)
            query = "select 1 as \"id\", 'A' || '@x.org' as email, 'a\\b''c' as v"
            planned = planner.run(query, fields=["v"], refused=["a@x.org"])
            assert planned.column("v") == {"a@x.org": "a\\b'c"}
            assert planner.run(query, fields=["v"], refused=[]).counts == (0, 0, 0)
            with warehouse.transaction() as tx:
                apart = planner.scalar("select timestampdiff(second, utc_timestamp(), now())")
                assert (tx.now().tzinfo, apart) == (None, 0)
    finally:
        server.execute("SET GLOBAL sql_mode = DEFAULT", "SET GLOBAL time_zone = DEFAULT")


def test_a_url_that_cannot_work_says_so(server: MariaDBServer) -> None:
    closed = server.url("shop").replace(f":{server.port}", ":1")
    wrong = server.url("shop", "tester", "not-the-password")
    for url, words in (
        (server.url(""), "names no database"),
        (server.url("shop").replace("+pymysql", "+mysqldb"), r"mariadb\+pymysql"),
        (closed, "no connection to the warehouse"),
        (wrong, "Access denied"),
    ):
        with (
            pytest.raises(WarehouseError, match=words) as caught,
            warehouse_at(url, "reverse_etl", StandingClock()) as warehouse,
        ):
            warehouse.prepare_schema()
        assert "not-the-password" not in str(caught.value)
        assert server.password not in str(caught.value)


def test_rows_stream_in_pieces_with_their_types(url: str) -> None:
    with warehouse_at(url, "reverse_etl", StandingClock()) as warehouse:
        statement = "select seq, if(seq % 2, null, 1.5e0) as d from seq_1_to_50000"
        with warehouse.stream_arrow(statement) as reader:
            sizes = [batch.num_rows for batch in reader]
            assert [str(field.type) for field in reader.schema] == ["uint64", "double"]
        assert (sum(sizes), len(sizes)) == (50_000, 3)


def test_a_source_that_is_only_read_is_not_written_to(url: str, server: MariaDBServer) -> None:
    reader = account(server)
    server.execute(
        "CREATE TABLE shop.people AS SELECT 1 AS id, 'a@x.org' AS email, TRUE AS paid",
        "GRANT INSERT ON shop.* TO reader@'127.0.0.1'",
    )
    home, source = (warehouse_at(one, "reverse_etl", StandingClock()) for one in (url, reader))
    home.read_from(source)
    with home:
        planner = Planner(home)
        planned = planner.run("select * from people", fields=["paid"])
        assert planned.column("paid") == {"a@x.org": 1}
        assert planner.run("select * from people", fields=["paid"]).counts == (0, 0, 0)
    with (
        pytest.raises(WarehouseError, match="READ ONLY"),
        source.looking() as tx,
    ):
        tx.connection.exec_driver_sql("INSERT INTO people VALUES (2, 'b@x.org', 0)")

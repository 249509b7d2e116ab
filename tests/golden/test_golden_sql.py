"""The text of every statement, per dialect: a change of a statement is seen in review.

The files are written anew with::

    REWRITE_GOLDEN=1 .venv/bin/pytest tests/golden/test_golden_sql.py
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import sqlglot
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.schema import ExecutableDDLElement

from reverse_etl.connector import MappedField
from reverse_etl.errors import WarehouseError
from reverse_etl.testing.planner import EMAIL, USER_ID, StandingClock
from reverse_etl.warehouse import warehouse_at
from reverse_etl.warehouse.base import Warehouse
from reverse_etl.warehouse.duckdb import DuckDBWarehouse
from reverse_etl.warehouse.duckdb_dialect import DuckDBDialect
from reverse_etl.warehouse.mariadb import MariaDBWarehouse
from reverse_etl.warehouse.mariadb_dialect import MariaDBDialect
from reverse_etl.warehouse.postgresql import PostgreSQLWarehouse
from reverse_etl.warehouse.shape import Base, Kind, Shape, SourceColumn
from reverse_etl.warehouse.spark import SparkWarehouse
from reverse_etl.warehouse.spark_dialect import SparkDialect
from reverse_etl.warehouse.sql import WHITE_SPACE, Sql
from reverse_etl.warehouse.statements import (
    audit,
    changes,
    control,
    looks,
    retention,
    settle,
    snapshot,
)
from reverse_etl.warehouse.tables import (
    AUDITED_COLUMNS,
    IDENTITY_COLUMNS,
    PENDING_COLUMNS,
    ControlTables,
    RunTables,
    clause,
    columns_of,
)

FOLDER = Path(__file__).parent / "sql"
REWRITE = bool(os.environ.get("REWRITE_GOLDEN"))

SCHEMA = "reverse_etl"
SYNC = "vip"
NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC).replace(tzinfo=None)

# No service ever executed these; the dialects are those of the drivers that are installed.
UNTRIED = {
    # Or else the driver looks for credentials at once.
    "bigquery": "bigquery://project?user_supplied_client=True",
    "databricks": "databricks://token:t@localhost?http_path=/p&catalog=c&schema=s",
    "redshift": "redshift://u:p@localhost/d",
    "snowflake": "snowflake://u:p@account/d",
    "trino": "trino://u@localhost/c",
}

WAREHOUSES: Mapping[str, tuple[Warehouse, sa.Dialect]] = {
    "duckdb": (DuckDBWarehouse("duckdb:///x", SCHEMA, StandingClock()), DuckDBDialect()),  # type: ignore[no-untyped-call]
    "postgresql": (
        PostgreSQLWarehouse("postgresql://x", SCHEMA, StandingClock()),
        PGDialect_psycopg(),  # type: ignore[no-untyped-call]
    ),
    "mariadb": (
        MariaDBWarehouse("mariadb+pymysql://x/shop", SCHEMA, StandingClock()),
        MariaDBDialect(),
    ),
    "spark": (SparkWarehouse("hive://x", SCHEMA, StandingClock()), SparkDialect()),
}

# Run by their own tests only.
WITH_OWN_TESTS = {"mariadb", "spark", "clickhouse"}

# Their dialect is that of a driver, which may not be installed.
WITH_DRIVERS = {**UNTRIED, "clickhouse": "clickhousedb://u@localhost/d"}

Statement = sa.Select[Any] | sa.CompoundSelect[Any] | sa.UpdateBase | ExecutableDDLElement


# --- the syncs -----------------------------------------------------------------------------


# The engines' own names of types, where they are not PostgreSQL's.
TYPES: Mapping[str, Mapping[str, str]] = {
    "duckdb": {"text": "VARCHAR", "numeric": "DECIMAL(18,2)"},
    "bigquery": {
        "text": "STRING",
        "integer": "INTEGER",
        "bigint": "INTEGER",
        "json": "STRUCT",
        "double precision": "FLOAT",
        "numeric": "NUMERIC",
        "timestamp": "DATETIME",
        "timestamp with time zone": "TIMESTAMP",
    },
    "databricks": {
        "text": "string",
        "integer": "int",
        "numeric": "decimal(18,2)",
        "double precision": "double",
        "timestamp": "timestamp_ntz",
        "timestamp with time zone": "timestamp",
        "json": "struct<a:int>",
    },
    "mariadb": {
        "text": "varchar(100)",
        "integer": "int(11)",
        "bigint": "bigint(20)",
        "numeric": "decimal(18,2)",
        "double precision": "double",
        "timestamp": "datetime(6)",
        "timestamp with time zone": "timestamp(6)",
        "json": "json",
    },
    "clickhouse": {
        "text": "Nullable(String)",
        "integer": "Int32",
        "bigint": "Nullable(Int64)",
        "double precision": "Nullable(Float64)",
        "numeric": "Nullable(Decimal(18, 2))",
        "timestamp": "Nullable(DateTime64(6))",
        "timestamp with time zone": "Nullable(DateTime64(6, 'UTC'))",
        "json": "Tuple(a Int64)",
    },
    "spark": {
        "text": "string",
        "integer": "int",
        "numeric": "decimal(18,2)",
        "double precision": "double",
        "timestamp": "timestamp_ntz",
        "timestamp with time zone": "timestamp",
        "json": "struct<a:int>",
    },
    "redshift": {
        "text": "string",
        "double precision": "float",
        "json": "super",
        "timestamp with time zone": "timestamptz",
    },
    "snowflake": {
        "text": "TEXT",
        "integer": "FIXED(38,0)",
        "bigint": "FIXED(38,0)",
        "json": "VARIANT",
        "double precision": "REAL",
        "numeric": "FIXED(18,2)",
        "timestamp": "TIMESTAMP_NTZ",
        "timestamp with time zone": "TIMESTAMP_TZ",
    },
    "trino": {
        "text": "varchar",
        "numeric": "decimal(18,2)",
        "double precision": "double",
        "timestamp": "timestamp(6)",
        "json": "row(a integer)",
        "timestamp with time zone": "timestamp(6) with time zone",
    },
}


def columns(sql: Sql, types: Mapping[str, str]) -> dict[str, SourceColumn]:
    spelled = TYPES.get(sql.tokenizer, {})
    named = {name: spelled.get(type_, type_) for name, type_ in types.items()}
    return {name: SourceColumn(name, type_, sql.kind(type_)) for name, type_ in named.items()}


def email_mirror(sql: Sql) -> Shape:
    types = {
        "customer_id": "integer",
        "email": "text",
        "plan": "text",
        "score": "double precision",
    }
    return Shape(
        sync_name=SYNC,
        query="select customer_id, email, plan, score from customers where plan like '%:vip'",
        primary_key=("customer_id",),
        identifiers=((EMAIL, "email"),),
        alias_name=None,
        prefixed=False,
        sends_alias=False,
        deletes=True,
        upsert=False,
        fields=(MappedField("plan", "plan"), MappedField("score", "score", null="clear")),
        columns=columns(sql, types),
    )


def hybrid_mirror(sql: Sql) -> Shape:
    shape = email_mirror(sql)
    user = columns(sql, {"user id": "bigint"})
    return replace(
        shape,
        primary_key=("user id", "customer_id"),
        identifiers=((USER_ID, "user id"), (EMAIL, "email")),
        alias_name="email",
        prefixed=True,
        sends_alias=True,
        columns={**user, **shape.columns},
    )


def email_upsert(sql: Sql) -> Shape:
    return replace(email_mirror(sql), deletes=False, upsert=True)


def profiles(sql: Sql) -> Shape:
    """A sync of profiles: its deletes clear fields, and its times are cut to seconds."""
    shape = email_mirror(sql)
    zoned = "timestamp with time zone"
    types = {"paid": "numeric", "seen": "timestamp", "joined": zoned, "extras": "json"}
    return replace(
        shape,
        fields=(MappedField("paid_text", "paid", type="string"), *map(MappedField, types, types)),
        columns={**shape.columns, **columns(sql, types)},
        clears_fields=True,
        whole_seconds=True,
    )


def base_of(shape: Shape) -> Base:
    return Base(4, 90, 120, 3, shape.fields, shape.columns)


# --- the statements ------------------------------------------------------------------------


class Statements:
    """Every statement of one sync on one engine, by name."""

    def __init__(self, warehouse: Warehouse, shape: Shape) -> None:
        self.warehouse, self.sql, self.shape = warehouse, warehouse.sql, shape
        self.control: ControlTables = warehouse.tables
        self.now = RunTables(SYNC, 5, SCHEMA, shape.columns, shape.plan_columns)
        self.before = RunTables(SYNC, 4, SCHEMA, shape.columns, shape.columns)
        found = [*IDENTITY_COLUMNS, *shape.columns]
        # Where nothing is temporary they lie with the others; their longer names are left out.
        self.place = None if warehouse.capabilities.temporary_tables else SCHEMA
        self.contested = clause(f"contested_{SYNC}", [*found, "_rank"], self.place)
        ranked = [*found, "_rank", "_person", "_place", "_claim"]
        self.resolved = clause(f"resolved_{SYNC}", ranked, self.place)
        self.pending = clause(f"pending_{SYNC}", PENDING_COLUMNS, self.place)

    def snapshot(self) -> dict[str, list[Statement]]:
        taking = snapshot.SnapshotStatements(
            self.shape, self.sql, self.now.snapshot, self.contested, self.resolved
        )
        winners = [*taking.remove_contested(), taking.return_winners()]
        refused = self.now.refused
        return {
            "take": [taking.take()],
            "contest": [taking.contest()],
            "resolve": [taking.resolve()],
            "return_winners": [*winners],
            "refuse": [
                taking.set_aside(refused, chosen) for chosen in taking.refuse(self.before.refused)
            ],
            "refuse_first": [taking.set_aside(refused, chosen) for chosen in taking.refuse(None)],
            "count_refused": [snapshot.count_refused(refused)],
            "first_row": [snapshot.first_row(self.shape, self.sql)],
            "no_rows": [snapshot.no_rows(self.shape, self.sql)],
        }

    def collect(
        self, *, full: bool = False, retry: bool = True, audited: sa.TableClause | None = None
    ) -> list[Statement]:
        statements = changes.PendingStatements(
            SYNC,
            self.control.failed,
            self.control.residue,
            base_of(self.shape),
            self.before.changes,
            self.before.outcomes,
            retry=retry,
            full=full,
            clears_fields=self.shape.clears_fields,
            audited=audited,
        )
        return [statements.collect()]

    def collect_first(self) -> list[Statement]:
        failed, residue = self.control.failed, self.control.residue
        statements = changes.PendingStatements(
            SYNC, failed, residue, None, None, None, retry=True, full=False
        )
        return [statements.collect()]

    def changes(
        self, base: Base | None, *, pending: bool = False, full: bool = False
    ) -> changes.ChangesStatements:
        return changes.ChangesStatements(
            self.shape,
            self.sql,
            self.now.snapshot,
            self.now.refused,
            self.before.snapshot if base else None,
            base,
            self.control.former,
            self.pending if pending else None,
            full=full,
        )

    def former(self) -> list[Statement]:
        planned = self.changes(base_of(self.shape), pending=True)
        return [planned.keep_former(self.now.changes, 5)]

    def residue(self, *, pending: bool = True) -> list[Statement]:
        planned = self.changes(base_of(self.shape), pending=pending)
        return [planned.keep_residue(self.control.residue, self.now.changes, 5)]

    def settle(self, *, outcomes: bool = True, position: int = 90) -> dict[str, list[Statement]]:
        fresh = clause(f"failures_{SYNC}", columns_of(self.control.failed), None)
        settled = clause(f"settled_{SYNC}", ("identity", ("unidentified", sa.Boolean)), None)
        now, tables = self.now, self.control
        statements = settle.SettleStatements(
            SYNC,
            5,
            now.changes,
            now.outcomes if outcomes else None,
            now.refused,
            now.snapshot,
            tables.log,
            tables.failed,
            tables.residue,
            position,
            120,
            self.shape.field_set,
        )
        return {
            "count": [statements.count()],
            "write_log": [*statements.write_log(NOW, NOW)],
            "collect_failures": [statements.collect_failures(NOW)],
            "collect_settled": [statements.collect_settled(deletes=True)],
            "collect_settled_without_deletes": [statements.collect_settled(deletes=False)],
            "clear_failures": [settle.clear_failures(tables.failed, SYNC, settled)],
            "add_failures": [settle.add_failures(tables.failed, fresh)],
        }


def prefixed(prefix: str, found: Mapping[str, list[Statement]]) -> dict[str, list[Statement]]:
    return {f"{prefix}_{name}": statements for name, statements in found.items()}


def retyped(base: Base) -> Base:
    """Return the base as if a number had been of another type."""
    score = SourceColumn("score", "bigint", Kind.INTEGER)
    return replace(base, columns={**base.columns, "score": score})


def remapped(base: Base) -> Base:
    """Return the base as if a field had not been mapped."""
    return replace(base, fields=base.fields[:1])


def of_planning(warehouse: Warehouse) -> dict[str, list[Statement]]:
    email = Statements(warehouse, email_mirror(warehouse.sql))
    hybrid = Statements(warehouse, hybrid_mirror(warehouse.sql))
    upsert = Statements(warehouse, email_upsert(warehouse.sql))
    written = Statements(warehouse, profiles(warehouse.sql))
    base, both, wide = base_of(email.shape), base_of(hybrid.shape), base_of(written.shape)
    return {
        **prefixed("snapshot_email", email.snapshot()),
        **prefixed("snapshot_hybrid", hybrid.snapshot()),
        "pending_collect": email.collect(),
        "pending_collect_full": email.collect(full=True),
        "pending_collect_without_retry": email.collect(retry=False),
        "pending_collect_first": email.collect_first(),
        "plan_email_first": [email.changes(None).plan()],
        "plan_email_first_pending": [email.changes(None, pending=True).plan()],
        "plan_email": [email.changes(base).plan()],
        "plan_email_pending": [email.changes(base, pending=True).plan()],
        "plan_email_full": [email.changes(base, pending=True, full=True).plan()],
        "plan_email_remapped": [email.changes(remapped(base)).plan()],
        "plan_email_retyped": [email.changes(retyped(base)).plan()],
        "plan_hybrid": [hybrid.changes(both).plan()],
        "plan_hybrid_pending": [hybrid.changes(both, pending=True).plan()],
        "plan_upsert_pending": [upsert.changes(base, pending=True).plan()],
        "pending_collect_profiles": written.collect(),
        "plan_profiles": [written.changes(wide).plan()],
        "plan_profiles_pending": [written.changes(wide, pending=True).plan()],
        "plan_profiles_remapped": [written.changes(remapped(wide)).plan()],
        "residue_profiles": written.residue(pending=False),
        "residue_profiles_pending": written.residue(),
        "residue_hybrid": hybrid.residue(),
        "residue_upsert": upsert.residue(pending=False),
        "former_hybrid": hybrid.former(),
        "count_plan": [changes.count_plan(email.now.changes)],
        "sample_deletes": [changes.sample_deletes(email.now.changes, 5)],
        "digest": [changes.digest(warehouse.sql, email.now.changes, ["_identity", "score"])],
        "page": [changes.plan_range(email.now.changes, 11, 20, [*email.now.changes.c])],
    }


def of_looks(warehouse: Warehouse) -> dict[str, list[Statement]]:
    email = Statements(warehouse, email_mirror(warehouse.sql))
    tables, now, before = warehouse.tables, email.now, email.before
    kinds = {name: email.shape.columns[name].kind for name in email.shape.plan_columns}
    plan, was = looks.Mapped(now.changes, kinds), looks.Mapped(before.snapshot, kinds)
    some = ["ada@x.com", "o'hara@x.com"]
    return {
        "sample_plan": [
            looks.sample_plan(plan, was, "update", 10),
            looks.sample_plan(plan, None, "insert", 10),
        ],
        "find_in_plan": [looks.find_in_plan(plan, was, some)],
        "find_in_snapshot": [looks.find_in_snapshot(was, some, "7", 21)],
        "find_refused": [looks.find_refused(now.refused, some, None, 21)],
        "refused": [looks.refused_by_reason(now.refused), looks.sample_refused(now.refused, 3)],
        "retries_by_reason": [looks.retries_by_reason(now.changes, tables.failed, SYNC)],
        "one_person": [
            looks.known_under(tables.log, SYNC, "7", 21),
            looks.known_under(before.snapshot, None, "7", 21),
            looks.log_of(tables.log, SYNC, some),
            looks.failed_records_of(tables.failed, SYNC, some),
            looks.residue_of(tables.residue, SYNC, 4, some),
            looks.planned_of(before.changes, before.outcomes, some),
        ],
    }


def of_audit(warehouse: Warehouse) -> dict[str, list[Statement]]:
    email = Statements(warehouse, email_mirror(warehouse.sql))
    hybrid = Statements(warehouse, hybrid_mirror(warehouse.sql))
    wrong = clause(f"audited_{SYNC}", AUDITED_COLUMNS, email.place)
    left_open = clause(f"left_open_{SYNC}", PENDING_COLUMNS, email.place)
    tables, base = warehouse.tables, email.before.snapshot
    people = audit.read_people(base, ["o'hara@x.com", "50%@x.com"], [base.c["plan"]])
    in_doubt = members(hybrid, left_open, wrong, "first", "second")["find_wrong"]
    return {
        **prefixed("email", members(email, left_open, wrong)),
        **prefixed("hybrid", members(hybrid, left_open, wrong)),
        "hybrid_find_wrong_in_doubt": in_doubt,
        "count_wrong": [audit.count_wrong(wrong)],
        "sample_wrong": [audit.sample_wrong(wrong, "delete", 10)],
        "sample_open": [audit.sample_open(left_open, 10)],
        "without_residue": [audit.without_residue(email.collect()[0])],
        "last_full_run": [audit.last_full_run(tables.runs, SYNC)],
        "last_delivery": [audit.last_delivery(tables.runs, SYNC)],
        "pending": email.collect(audited=wrong),
        "choose_profiles": [audit.choose_profiles(base, left_open, 100)],
        "read_people": [people],
    }


def members(
    known: Statements, left_open: sa.TableClause, wrong: sa.TableClause, *halves: str
) -> dict[str, list[Statement]]:
    shape = known.shape
    names = [identifier.name for identifier, _ in shape.identifiers]
    found = audit.MemberStatements(
        SYNC,
        names,
        shape.prefixed,
        shape.sends_alias,
        known.before.snapshot,
        left_open,
        clause(f"members_{SYNC}", [*names, "_reading"], known.place),
        clause(f"lines_{SYNC}", audit.LINE_COLUMNS, known.place),
        clause(f"people_{SYNC}", audit.PEOPLE_COLUMNS, known.place),
        clause(f"extras_{SYNC}", audit.EXTRA_COLUMNS, known.place),
        clause(f"claims_{SYNC}", audit.CLAIM_COLUMNS, known.place),
    )
    older = RunTables(SYNC, 3, SCHEMA, (), ())
    return {
        "each_line": [found.each_line()],
        "find_people": [found.find_people()],
        "count_people": [found.count_people()],
        "find_extras": [found.find_extras()],
        "count_extras": [found.count_extras()],
        "find_claims": [found.find_claims(known.control.log, 2, [older])],
        "find_wrong": [found.find_wrong(halves=frozenset(halves))],
        "sample_others": [found.sample_others(wrong, 10)],
    }


def of_control(warehouse: Warehouse) -> dict[str, list[Statement]]:
    tables = warehouse.tables
    state, runs, failed = tables.state, tables.runs, tables.failed
    now, until = warehouse.now_expression(), warehouse.after_now(30)

    def take(*, force: bool) -> list[Statement]:
        return [control.take_lease(state, SYNC, "host:1:ab", now, until, force=force)]

    advance = control.advance(state, SYNC, 7, position=90, send_limit=120, requests_sent=3)
    commit = control.commit_run(
        state,
        SYNC,
        7,
        run_id=5,
        send_limit=30,
        mapping="{}",
        account={"account_host": "api.iterable.com"},
        sync_log_retention_days=30,
        served=NOW,
    )
    start: dict[str, Any] = {"sync_name": SYNC, "sync_run_id": 5, "status": "planning"}
    all_failed = control.choose_failures(failed, SYNC)
    one_failed = control.choose_failures(failed, SYNC, error_code="rejected", primary_key="7")
    return {
        "know_sync": [control.know_sync(state, SYNC)],
        "take_lease": take(force=False),
        "take_dead_lease": take(force=True),
        "renew_lease": [control.renew_lease(state, SYNC, 7, until)],
        "give_lease_back": [control.give_lease_back(state, SYNC, 7)],
        "number_run": [control.number_run(state, SYNC, 7)],
        "read_state": [control.read_state(state, SYNC)],
        "commit_run": [commit],
        "see_sync": [control.see_sync(state, SYNC, NOW)],
        "serve_tick": [control.serve_tick(state, SYNC, 7, NOW)],
        "last_successes": [control.last_successes(runs, [SYNC, "people"])],
        "last_endings": [control.last_endings(runs, [SYNC, "people"])],
        "keep_target": [control.keep_target(state, SYNC, 7, "12", NOW)],
        "keep_alerts": [
            control.hold_alerts(state, SYNC),
            control.keep_alerts(state, SYNC, '{"5e0cc35bc4ea1d73": "failed"}'),
        ],
        "advance": [advance],
        "still_mine": [control.still_mine(state, SYNC, 7)],
        "start_run": [control.start_run(runs, start)],
        "change_run": [control.change_run(runs, SYNC, 5, {"status": "held"})],
        "unfinished_runs": [control.unfinished_runs(runs, SYNC)],
        "count_open": [control.count_open(failed, SYNC)],
        "read_failed": [control.read_failed(failed, all_failed, 10)],
        "sample_failures": [control.sample_failures(failed, all_failed, 5)],
        "failures_by_reason": [control.failures_by_reason(failed, all_failed)],
        "request_retry": [
            control.matching_failures(failed, one_failed),
            control.request_retry(failed, one_failed, NOW),
        ],
        "forget_failed": [control.forget_failed(failed, SYNC)],
        "touch": [*control.touch(state)],
    }


def of_settling(warehouse: Warehouse) -> dict[str, list[Statement]]:
    tables = warehouse.tables
    statements = Statements(warehouse, email_mirror(warehouse.sql))
    written = Statements(warehouse, profiles(warehouse.sql)).settle()
    return {
        **prefixed("settle", statements.settle()),
        "settle_collect_failures_profiles": written["collect_failures"],
        "settle_count_alike": statements.settle(outcomes=False, position=120)["count"],
        "settle_write_log_alike": statements.settle(outcomes=False, position=120)["write_log"],
        "settle_write_log_alike_killed": statements.settle(outcomes=False)["write_log"],
        "settle_collect_failures_alike": statements.settle(outcomes=False)["collect_failures"],
        "last_run_before": [retention.last_run_before(tables.runs, SYNC, NOW)],
        "noted_rules": [retention.noted_rules(tables.state)],
        "has_lines_before": [retention.has_lines_before(tables.log, SYNC, 5, NOW)],
        "forget_run": [retention.forget_run(tables.log, SYNC, 5)],
        "forget_log": [retention.forget_earlier(tables.log, SYNC, 5, NOW)],
        "forget_residue": [retention.forget_earlier(tables.residue, SYNC, 5)],
    }


def of_tables(warehouse: Warehouse) -> dict[str, list[Statement]]:
    """Show how tables are made; the others show only what is put into them."""
    email = Statements(warehouse, email_mirror(warehouse.sql))
    now, chosen = email.now, changes.count_rows(email.now.changes)
    view = sa.schema.CreateView(sa.select(*now.changes.c), SYNC, schema=SCHEMA, or_replace=True)
    filled = [warehouse.filled_table(table, chosen) for table in (now.snapshot, email.pending)]
    return {
        "empty": [warehouse.empty_table(now.outcomes)],
        "filled": [made for made in filled if isinstance(made, ExecutableDDLElement)],
        "log": [sa.schema.CreateTable(warehouse.tables.log)],
        "view": [view],
    }


@cache
def all_statements(warehouse: Warehouse) -> dict[str, list[Statement]]:
    parts: list[Callable[[Warehouse], dict[str, list[Statement]]]] = [
        of_planning,
        of_settling,
        lambda known: prefixed("control", of_control(known)),
        lambda known: prefixed("audit", of_audit(known)),
        lambda known: prefixed("look", of_looks(known)),
        lambda known: prefixed("table", of_tables(known)),
    ]
    return {name: found for part in parts for name, found in part(warehouse).items()}


# --- their text ----------------------------------------------------------------------------


def text_of(statements: list[Statement], dialect: sa.Dialect) -> str:
    return ";\n\n".join(laid_out(compiled(one, dialect)) for one in statements) + ";\n"


def compiled(statement: Statement, dialect: sa.Dialect) -> str:
    # What makes a table writes its values as literals anyway.
    kwargs = {} if isinstance(statement, ExecutableDDLElement) else {"literal_binds": True}
    text = str(statement.compile(dialect=dialect, compile_kwargs=kwargs)).strip()
    text = text.replace("%%", "%") if dialect.identifier_preparer._double_percents else text
    # The white space that is trimmed is shown by its codes.
    text = text.replace(f"'{WHITE_SPACE}'", f"U&'{_codes(WHITE_SPACE)}'")
    text = text.replace(f"[{WHITE_SPACE}]", f"[{_codes(WHITE_SPACE)}]")  # in a pattern
    assert text.isascii()
    return text


def _codes(text: str) -> str:
    return "".join(f"\\{ord(character):04x}" for character in text)


# Literals and quoted names, parentheses and commas, words; each with the space before it.
TOKEN = re.compile(
    r"""(\s*)('(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|[(),]|[^\s'"(),]+)""", re.DOTALL
)
STARTS_LINE = {
    *("SELECT", "FROM", "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "UNION", "SET", "VALUES"),
    *("FULL", "LEFT", "JOIN"),
}
CONTINUES_LINE = {("OUTER", "JOIN"), ("FULL", "JOIN"), ("LEFT", "JOIN"), ("DISTINCT", "FROM")}
STARTS_INNER_LINE = {"WHEN", "ELSE", "AND", "OR"}


def laid_out(text: str) -> str:
    """Start lines where a query's parts start; what is inside other parentheses stays together."""
    tokens = TOKEN.findall(text)
    assert "".join(space + token for space, token in tokens) == text.rstrip(), "nothing is lost"
    lines, opened, previous = [""], [True], ""
    for place, (space, token) in enumerate(tokens):
        if token == ")":
            within_query = opened.pop()
            if within_query:
                lines.append("  " * (sum(opened) - 1))
        joined = (previous, token) in CONTINUES_LINE
        if opened[-1] and not joined and token in STARTS_LINE | STARTS_INNER_LINE:
            lines.append("  " * (sum(opened) - 1 + 2 * (token in STARTS_INNER_LINE)))
        elif space and lines[-1].strip():
            lines[-1] += " "
        lines[-1] += token
        if token == "(":
            opened.append(tokens[place + 1][1] in {"SELECT", "select"})
        if token == "," and opened[-1]:
            lines.append("  " * sum(opened))
        previous = token
    return "\n".join(line.rstrip() for line in lines if line.strip())


# --- the tests -----------------------------------------------------------------------------


def header(dialect: str) -> str:
    if dialect in UNTRIED:
        return (
            f"-- {dialect}: only text. Written from the documentation; no statement here was ever\n"
            "-- executed by the service. Lines are broken for reading.\n\n"
        )
    runs = (
        "tests/warehouses"
        if dialect in WITH_OWN_TESTS
        else "tests/conformance and tests/acceptance"
    )
    return (
        f"-- {dialect}: only the text is compared here; the statement is executed on this engine\n"
        f"-- by {runs}. Lines are broken for reading.\n\n"
    )


@pytest.mark.parametrize("dialect", WAREHOUSES)
@pytest.mark.parametrize("name", all_statements(WAREHOUSES["duckdb"][0]))
def test_a_statement_is_the_one_in_its_file(dialect: str, name: str) -> None:
    assert in_file(dialect, name, *WAREHOUSES[dialect]), "see the top of this file"


@pytest.mark.parametrize("dialect", WITH_DRIVERS)
def test_the_statements_for_a_driver_are_those_in_its_files(dialect: str) -> None:
    warehouse = warehouse_at(WITH_DRIVERS[dialect], SCHEMA, StandingClock())
    try:
        spoken = warehouse.make_engine().dialect
    except WarehouseError as error:
        pytest.skip(str(error))
    names = all_statements(warehouse)
    others = [name for name in names if not in_file(dialect, name, warehouse, spoken)]
    assert others == [], "see the top of this file"
    for path in (FOLDER / dialect).iterdir():
        statements = sqlglot.parse(path.read_text(encoding="utf-8"), read=dialect)
        # What another parser of this SQL does not know it keeps as a command, unread.
        assert not any(isinstance(each, sqlglot.exp.Command) for each in statements), path.name


def in_file(dialect: str, name: str, warehouse: Warehouse, spoken: sa.Dialect) -> bool:
    text = header(dialect) + text_of(all_statements(warehouse)[name], spoken)
    path = FOLDER / dialect / f"{name}.sql"
    if REWRITE:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("dialect", [*WAREHOUSES, *WITH_DRIVERS])
def test_every_file_is_of_a_statement(dialect: str) -> None:
    known = {f"{name}.sql" for name in all_statements(WAREHOUSES["duckdb"][0])}
    assert {path.name for path in (FOLDER / dialect).iterdir()} == known

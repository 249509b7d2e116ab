"""The sample warehouse: the same rows everywhere, as messy as its README says."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import subprocess
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

import sample_warehouse
from sample_warehouse import (
    ALL_QUERY,
    VIP_QUERY,
    SampleWarehouseError,
    audience_query,
    build,
    build_duckdb,
    build_postgresql,
    evolve,
    summary,
)
from sample_warehouse.__main__ import main

PEOPLE = 20_000
TABLES = ("customers", "experiment_assignments", "orders")
CONTENTS = "select * from {}"
# JSON as text: one driver hands it over as a dict, the other one as a string.
ASSIGNMENTS = (
    "select user_id, experiment_id, experiment_name, assignment, added_at, churn_risk,"
    " cast(offer as text) from experiment_assignments"
)
COUNT = "select count(distinct customer_id) from customers where {}"
README = files("sample_warehouse").joinpath("README.md").read_text(encoding="utf-8")

Run = Callable[[str], Any]
Rows = dict[int, list[tuple[Any, ...]]]


def readme_mess() -> Iterator[tuple[str, str, str]]:
    """Read kind, share and condition from the table of the README."""
    for line in README.splitlines():
        found = re.fullmatch(r"\| (.+) \| ((?:about )?\d+) \| `(.+)` \|", line)
        if found:
            yield found[1], found[2], found[3]


MESS = list(readme_mess())


@pytest.fixture
def run() -> Iterator[Run]:
    """An empty DuckDB in memory."""
    with duckdb.connect() as connection:
        yield connection.execute


@pytest.fixture(scope="module")
def built() -> Iterator[Run]:
    """A built DuckDB in memory; the tests only read it."""
    with duckdb.connect() as connection:
        build(connection.execute, "duckdb", PEOPLE)
        yield connection.execute


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Run]:
    """A fresh PostgreSQL database."""
    with psycopg.connect(plain(postgres_url)) as connection:
        yield connection.execute


def plain(url: str) -> str:
    """The URL as libpq reads it."""
    return url.replace("postgresql+psycopg://", "postgresql://")


def contents(run: Run, table: str) -> list[str]:
    """Every row of a table as text, sorted: what is compared between builds and engines."""
    query = ASSIGNMENTS if table == "experiment_assignments" else CONTENTS.format(table)
    return sorted(map(repr, run(query).fetchall()))


def digest(run: Run) -> str:
    """One value for the contents of all three tables."""
    total = hashlib.sha256()
    for table in TABLES:
        total.update("\n".join([table, *contents(run, table)]).encode())
    return total.hexdigest()


def count(run: Run, condition: str) -> int:
    """How many different customers fulfil a condition."""
    (row,) = run(COUNT.format(condition)).fetchall()
    return int(row[0])


def customers(run: Run) -> Rows:
    """The rows of each customer."""
    rows: Rows = defaultdict(list)
    for row in run("select * from customers order by customer_id, updated_at, plan").fetchall():
        rows[row[0]].append(row)
    return rows


def sharers(rows: Rows) -> dict[str, set[int]]:
    """The customers of each address that more than one has."""
    owners: dict[str, set[int]] = defaultdict(set)
    for number, versions in rows.items():
        address = (versions[0][2] or "").strip().lower()
        if address:
            owners[address].add(number)
    return {address: numbers for address, numbers in owners.items() if len(numbers) > 1}


def column_changes(before: Rows, after: Rows, column: int) -> dict[int, tuple[Any, Any]]:
    """Old and new value of a column for each customer in whom it changed."""
    return {
        number: (before[number][0][column], after[number][0][column])
        for number in before.keys() & after.keys()
        if before[number][0][column] != after[number][0][column]
    }


def test_readme_table_is_read() -> None:
    assert len(MESS) == 22


@pytest.mark.parametrize(("kind", "share", "condition"), MESS, ids=[kind for kind, _, _ in MESS])
def test_mess_has_the_documented_share(built: Run, kind: str, share: str, condition: str) -> None:
    expected = int(share.removeprefix("about ")) * PEOPLE / 1000
    tolerance = 0.1 * expected if share.startswith("about") else 0
    assert abs(count(built, condition) - expected) <= tolerance, kind


def test_mess_conditions_hold_on_postgresql(postgres: Run, run: Run) -> None:
    build(postgres, "postgresql", 3_000)
    build(run, "duckdb", 3_000)
    for kind, _, condition in MESS:
        assert count(postgres, condition) == count(run, condition) > 0, kind


def test_every_thousand_has_the_same_mess(built: Run) -> None:
    rows = built(
        "select count(distinct customer_id) from customers"
        " where email is null group by (customer_id - 1) // 1000"
    ).fetchall()
    assert rows == [(10,)] * (PEOPLE // 1000)


def test_mess_of_emails_and_user_ids_meets_in_one_customer(built: Run) -> None:
    unreachable = "(email is null or email = '') and (user_id is null or user_id = '')"
    assert 1 <= count(built, unreachable) <= 20


def test_two_builds_are_the_same(run: Run, built: Run) -> None:
    build(run, "duckdb", PEOPLE)
    assert digest(run) == digest(built)


def test_a_customer_is_the_same_at_every_scale(run: Run, built: Run) -> None:
    build(run, "duckdb", 2_000)
    smaller = contents(run, "customers")
    larger = contents(built, "(from customers where customer_id <= 2000)")
    assert smaller == larger


def test_duckdb_and_postgresql_hold_the_same_rows_through_their_life(
    run: Run, postgres: Run
) -> None:
    build(run, "duckdb", 5_000)
    build(postgres, "postgresql", 5_000)
    for table in TABLES:
        assert contents(run, table) == contents(postgres, table)
    for step in (1, 2):
        evolve(run, "duckdb", step, 5.0)
        evolve(postgres, "postgresql", step, 5.0)
        for table in TABLES:
            assert contents(run, table) == contents(postgres, table)
    assert summary(run) == summary(postgres)


def test_columns_have_the_promised_types(built: Run) -> None:
    rows = built(
        "select column_name, data_type from information_schema.columns"
        " where table_name = 'customers' order by ordinal_position"
    ).fetchall()
    assert rows == [
        ("customer_id", "BIGINT"),
        ("user_id", "VARCHAR"),
        ("email", "VARCHAR"),
        ("first_name", "VARCHAR"),
        ("plan", "VARCHAR"),
        ("country", "VARCHAR"),
        ("lifetime_value", "DECIMAL(12,2)"),
        ("churn_risk", "DOUBLE"),
        ("signed_up_at", "TIMESTAMP"),
        ("updated_at", "TIMESTAMP"),
    ]


def test_every_address_ends_in_a_reserved_domain(built: Run) -> None:
    reserved = re.compile(r"@([a-z]+\.)?example\.(com|org|net)$")
    emails = [row[0] for row in built("select email from customers").fetchall()]
    with_host = [email.strip().lower() for email in emails if email and "@" in email]
    assert len(with_host) > PEOPLE * 0.97
    assert [email for email in with_host if not reserved.search(email)] == []


def test_first_names_hold_one_decomposed_spelling(built: Run) -> None:
    rows = built("select distinct first_name from customers where first_name <> ''").fetchall()
    names = {row[0] for row in rows}
    decomposed = {name for name in names if name != unicodedata.normalize("NFC", name)}
    assert decomposed == {"Ame\u0301lie"}
    assert {"Ольга", "美咲", "ليلى"} < names


def test_values_are_in_their_ranges(built: Run) -> None:
    (row,) = built(
        "select list(distinct plan order by plan), min(lifetime_value), max(lifetime_value),"
        " min(churn_risk), max(churn_risk), min(signed_up_at), max(updated_at),"
        " bool_and(signed_up_at <= updated_at) from customers"
    ).fetchall()
    plans, lowest, highest, safest, riskiest, first, last, ordered = row
    assert plans == ["basic", "free", "premium"]
    assert Decimal(0) <= lowest < Decimal(1)
    assert Decimal(2030) < highest <= Decimal(2035)
    assert 0 <= safest < 0.01
    assert 0.99 < riskiest < 1
    assert datetime(2019, 1, 1) <= first < last < datetime(2026, 1, 1)  # noqa: DTZ001
    assert ordered


def test_experiments_are_even_and_the_second_is_another_one(built: Run) -> None:
    sizes = built(
        "select experiment_id, count(*) from experiment_assignments group by all"
    ).fetchall()
    assert len(sizes) == 4
    assert all(abs(size - PEOPLE * 0.105) < PEOPLE * 0.01 for _, size in sizes)
    (same,) = built(
        "select count(*) from (select user_id from experiment_assignments where user_id <> ''"
        " group by user_id, experiment_id having count(distinct assignment) > 1)"
    ).fetchall()
    (double,) = built(
        "select count(*) from (select user_id from experiment_assignments where user_id <> ''"
        " group by user_id having count(distinct experiment_id) > 1)"
    ).fetchall()
    # Only customers who share a user_id can be in one experiment with two assignments.
    assert same[0] < PEOPLE * 0.005
    assert PEOPLE * 0.018 < double[0] < PEOPLE * 0.025


def test_assignments_hold_times_nulls_and_nested_values(built: Run) -> None:
    columns = built(
        "select column_name, data_type from information_schema.columns"
        " where table_name = 'experiment_assignments' order by ordinal_position"
    ).fetchall()
    assert columns == [
        ("user_id", "VARCHAR"),
        ("experiment_id", "VARCHAR"),
        ("experiment_name", "VARCHAR"),
        ("assignment", "VARCHAR"),
        ("added_at", "TIMESTAMP"),
        ("churn_risk", "DOUBLE"),
        ("offer", "JSON"),
    ]
    offers = built("select distinct assignment, offer from experiment_assignments").fetchall()
    assert len(offers) == 3
    by_arm = {arm: json.loads(offer) for arm, offer in offers if offer is not None}
    assert set(by_arm) == {"variant_a", "variant_b"}
    assert by_arm["variant_a"]["price"] == {"months": 3, "rebate": 0.1}
    assert by_arm["variant_b"]["channel"] == "app"
    (nulls,) = built(
        "select count(*) filter (churn_risk is null), count(*) filter (user_id is null)"
        " from experiment_assignments"
    ).fetchall()
    assert all(count > 50 for count in nulls)


def test_orders_have_one_number_each_and_a_customer(built: Run) -> None:
    (row,) = built(
        "select count(*), count(distinct order_id), count(distinct customer_id),"
        " bool_and(amount >= 3) from orders"
    ).fetchall()
    total, numbers, buyers, priced = row
    assert total == numbers
    assert abs(total - PEOPLE * 1.5) < PEOPLE * 0.05
    assert abs(buyers - PEOPLE * 0.75) < PEOPLE * 0.03
    assert priced


def test_a_user_id_above_a_million_is_not_cut(run: Run) -> None:
    values = sample_warehouse.build.__globals__["_first_values"](1, '"main"')
    values["numbers"] = (
        "SELECT CAST(n AS BIGINT) AS i FROM generate_series(999990, 1000020) AS s(n)"
    )
    render = sample_warehouse.build.__globals__["statements"].render
    for name in ("tables", "customers"):
        for statement in render(name, values):
            run(statement)
    rows = run("select customer_id, user_id from customers where user_id <> ''").fetchall()
    own = [(number, user_id) for number, user_id in rows if user_id == f"u-{number}"]
    assert {number for number, _ in own} & set(range(1_000_000, 1_000_021))
    assert len(own) >= 15


def test_audience_queries(built: Run) -> None:
    assert audience_query(above=1000) == VIP_QUERY
    everybody = built(ALL_QUERY)
    names = [column[0] for column in everybody.description]
    assert names == ["customer_id", "user_id", "email", "first_name", "plan", "churn_risk"]
    total = len(everybody.fetchall())
    assert total == summary(built).customers
    assert 0.28 * total < len(built(VIP_QUERY).fetchall()) == summary(built).vips < 0.32 * total
    assert built(audience_query(2000, schema="main")).fetchall()


def test_summary_counts(built: Run) -> None:
    counts = summary(built)
    assert counts.people == PEOPLE
    assert counts.customers == PEOPLE * 1005 // 1000
    assert counts.shared_addresses == PEOPLE * 20 // 1000
    (row,) = built("select count(*) from orders").fetchall()
    assert counts.orders == row[0]


def test_step_changes_what_it_says(run: Run) -> None:
    build(run, "duckdb", PEOPLE)
    before = customers(run)
    evolve(run, "duckdb", 1)
    after = customers(run)

    joined, left = after.keys() - before.keys(), before.keys() - after.keys()
    assert joined == set(range(PEOPLE + 1, PEOPLE + len(joined) + 1))
    assert len(joined) == pytest.approx(PEOPLE / 300, abs=3)

    pairs = sharers(before)
    widowed = [numbers for numbers in pairs.values() if len(numbers & left) == 1]
    assert len(pairs) == 400
    assert 10 <= len(widowed) <= 35
    unshared = left - set().union(*pairs.values())
    assert len(unshared) == pytest.approx(PEOPLE / 300, abs=8)

    plans = column_changes(before, after, 4)
    values = column_changes(before, after, 6)
    emails = column_changes(before, after, 2)
    assert len(plans) == pytest.approx(PEOPLE / 600, abs=3)
    assert len(values) == pytest.approx(PEOPLE / 600, abs=3)
    assert len(emails) == pytest.approx(PEOPLE / 2000, abs=2)
    assert {new - old for old, new in values.values()} == {Decimal(250)}
    assert len({new for _, new in emails.values()}) == len(emails)

    touched = plans.keys() | values.keys() | emails.keys()
    assert column_changes(before, after, 9).keys() == touched
    day = datetime(2026, 1, 2).date()  # noqa: DTZ001 - the columns have no zone
    assert {after[number][0][9].date() for number in touched | joined} == {day}
    untouched = before.keys() - left - touched
    assert all(before[number] == after[number] for number in untouched)


def test_step_carries_over_to_orders_and_experiments(run: Run) -> None:
    build(run, "duckdb", PEOPLE)
    before, first = customers(run), summary(run)
    assigned = set(contents(run, "experiment_assignments"))
    evolve(run, "duckdb", 1)
    after, second = customers(run), summary(run)

    values = column_changes(before, after, 6)
    (orders,) = run(
        "select count(*), count(distinct customer_id) from orders where amount = 250"
        " and ordered_at >= timestamp '2026-01-01'"
    ).fetchall()
    assert orders == (len(values), len(values))
    assert second.orders == first.orders + len(values)
    (numbers,) = run("select count(*) - count(distinct order_id) from orders").fetchall()
    assert numbers == (0,)

    now = set(contents(run, "experiment_assignments"))
    assert 10 < len(assigned - now) < 120
    assert 10 < len(now - assigned) < 120
    halved = {number for number in values if before[number][0][7]}
    assert all(after[number][0][7] == before[number][0][7] / 2 for number in halved)


def test_a_new_plan_moves_a_customer_to_the_next_arm(run: Run) -> None:
    following = {"control": "variant_a", "variant_a": "variant_b", "variant_b": "control"}
    query = (
        "select user_id, experiment_id, list(distinct assignment) from experiment_assignments"
        " where user_id in (select user_id from customers where user_id <> '' group by user_id"
        " having count(distinct customer_id) = 1) group by all"
    )
    build(run, "duckdb", PEOPLE)
    before = {tuple(row[:2]): row[2] for row in run(query).fetchall()}
    people = customers(run)
    evolve(run, "duckdb", 1)
    after = {tuple(row[:2]): row[2] for row in run(query).fetchall()}

    new_plan = {people[number][0][1] for number in column_changes(people, customers(run), 4)}
    moved = {key for key in before.keys() & after.keys() if before[key] != after[key]}
    assert len(moved) > 5
    assert {user_id for user_id, _ in moved} <= new_plan
    assert all(after[key] == [following[arm] for arm in before[key]] for key in moved)
    (odd,) = run(
        "select count(*) from experiment_assignments"
        " where (assignment = 'control') <> (offer is null)"
    ).fetchall()
    assert odd == (0,)


def test_steps_are_deterministic_and_differ(run: Run) -> None:
    digests = []
    leavers = []
    for step in (1, 1, 2):
        build(run, "duckdb", 5_000, replace=True)
        before = customers(run)
        evolve(run, "duckdb", step)
        digests.append(digest(run))
        leavers.append(before.keys() - customers(run).keys())
    assert digests[0] == digests[1] != digests[2]
    assert leavers[0]
    assert not leavers[0] & leavers[2]


def test_numbers_are_never_used_again(run: Run) -> None:
    build(run, "duckdb", 2_000)
    seen: set[int] = set(customers(run))
    for step in range(1, 6):
        before = set(customers(run))
        evolve(run, "duckdb", step, 20.0)
        joined = set(customers(run)) - before
        assert joined
        assert not joined & seen
        seen |= joined


@pytest.mark.parametrize("percent", [0.3, 10.0, 100.0])
def test_percent_scales_a_step(run: Run, percent: float) -> None:
    build(run, "duckdb", PEOPLE)
    before = customers(run)
    evolve(run, "duckdb", 1, percent)
    after = customers(run)
    joined = len(after.keys() - before.keys())
    values = len(column_changes(before, after, 6))
    assert joined == pytest.approx(PEOPLE * percent / 300, rel=0.05, abs=3)
    assert values == pytest.approx(PEOPLE * percent / 600, rel=0.10, abs=3)


def test_build_does_not_touch_tables_unasked(tmp_path: Path) -> None:
    path = tmp_path / "new" / "warehouse.duckdb"
    build_duckdb(path, 1_000)
    with pytest.raises(SampleWarehouseError, match=r"customers, experiment_assignments, orders"):
        build_duckdb(path, 2_000)
    with duckdb.connect(str(path)) as connection:
        assert summary(connection.execute).people == 1_000
    build_duckdb(path, 2_000, replace=True)
    with duckdb.connect(str(path)) as connection:
        assert summary(connection.execute).people == 2_000


def test_build_in_a_schema_of_its_own(run: Run) -> None:
    run("create table customers (mine integer)")
    build(run, "duckdb", 1_000, schema="magazine")
    evolve(run, "duckdb", 1, 10.0, schema="magazine")
    assert summary(run, schema="magazine").people > 900
    assert run("select * from customers").fetchall() == []


def test_build_postgresql_takes_the_url_of_sqlalchemy(postgres_url: str) -> None:
    build_postgresql(postgres_url, 1_000, schema="magazine")
    with pytest.raises(SampleWarehouseError, match="replace"):
        build_postgresql(postgres_url, 1_000, schema="magazine")
    build_postgresql(postgres_url, 2_000, schema="magazine", replace=True)
    with psycopg.connect(plain(postgres_url)) as connection:
        assert summary(connection.execute, schema="magazine").people == 2_000


def test_a_password_is_never_shown() -> None:
    with pytest.raises(SampleWarehouseError) as caught:
        build_postgresql("postgresql+psycopg://reader:s3cret%zz@127.0.0.1/db", 1_000)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__
    with pytest.raises(SampleWarehouseError, match="could not be reached") as refused:
        build_postgresql("postgresql://reader:s3cret@127.0.0.1:1/db", 1_000)
    assert "s3cret" not in f"{refused.value} {refused.value.__cause__}"


def test_a_file_that_is_no_duckdb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be read as the header of one" * 100)
    with pytest.raises(SampleWarehouseError, match=r"could not open .*notes\.txt"):
        build_duckdb(path, 1_000)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"people": 0}, "people is 0"),
        ({"people": 10_000_001}, "people is 10000001"),
        ({"schema": 'x"; drop table y'}, "schema is"),
        ({"dialect": "mysql"}, "dialect is 'mysql'"),
    ],
)
def test_build_refuses_before_it_runs(arguments: dict[str, Any], message: str) -> None:
    ran: list[str] = []
    with pytest.raises(SampleWarehouseError, match=message):
        build(ran.append, **{"dialect": "duckdb", **arguments})
    assert ran == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"step": 0}, "step is 0"),
        ({"step": 1, "percent": 0.0}, "percent is 0.0"),
        ({"step": 1, "percent": 100.5}, "percent is 100.5"),
        ({"step": 1, "schema": "a-b"}, "schema is 'a-b'"),
    ],
)
def test_evolve_refuses_before_it_runs(arguments: dict[str, Any], message: str) -> None:
    ran: list[str] = []
    with pytest.raises(SampleWarehouseError, match=message):
        evolve(ran.append, "duckdb", **arguments)
    assert ran == []


def test_no_statement_holds_a_parameter_mark() -> None:
    ran: list[str] = []
    build(ran.append, "postgresql", 1_000, schema="magazine", replace=True)
    evolve(ran.append, "postgresql", 1, schema="magazine")
    assert len(ran) > 15
    assert [text for text in ran if "%" in text or "?" in text or "random" in text.lower()] == []


def test_public_names_are_exact() -> None:
    public = {
        name
        for name, value in vars(sample_warehouse).items()
        if not name.startswith("_") and not inspect.ismodule(value) and name != "annotations"
    }
    assert public == set(sample_warehouse.__all__)


def test_command_line_builds_and_evolves(tmp_path: Path) -> None:
    url = f"duckdb:///{tmp_path / 'deep' / 'warehouse.duckdb'}"
    command = [sys.executable, "-m", "sample_warehouse", "--url", url, "--people", "1000"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^people +1,000$", done.stdout, re.MULTILINE)
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (again.returncode, again.stdout) == (1, "")
    assert "already" in again.stderr


def test_command_line_step_needs_a_build(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"duckdb:///{tmp_path / 'warehouse.duckdb'}"
    assert main(["--url", url, "--step", "1"]) == 1
    assert "Build first" in capsys.readouterr().err
    assert main(["--url", url, "--people", "3000"]) == 0
    first = capsys.readouterr().out
    assert main(["--url", url, "--step", "1", "--percent", "10"]) == 0
    assert capsys.readouterr().out != first


def test_command_line_on_postgresql(postgres_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--url", postgres_url, "--people", "1000", "--schema", "magazine"]) == 0
    assert main(["--url", postgres_url, "--schema", "magazine", "--step", "1"]) == 0
    assert re.search(r"^orders +1,\d\d\d$", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize("url", ["mysql://u:s3cret@h/db", "duckdb:///", "duckdb:///:memory:"])
def test_command_line_refuses_a_url(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["--url", url])
    assert exit_info.value.code == 2
    assert "s3cret" not in capsys.readouterr().err


def test_readme_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.+?)```", README, re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})  # noqa: S102 - our own README
    assert "Summary(customers=" in capsys.readouterr().out
